"""Controllers that start again, the periodic pass over the VPC, and somebody who edits it by hand, as events.

Control plane. Each step is one event; the programs themselves are in node_ipam.py, cloud_routes.py and vpc_api.py.
"""

from __future__ import annotations

from dataclasses import replace

from flannelviz.controlplane import cloud_routes, node_ipam
from flannelviz.controlplane.cloud_routes import COMPONENT as CCM
from flannelviz.controlplane.draft import Change, Draft, Group, Job
from flannelviz.controlplane.stage_cluster import CONSOLE, api_call, kube_event_file
from flannelviz.controlplane.stage_later import seen
from flannelviz.controlplane.vpc_api import Listed, create_route_entries, delete_route_entries
from flannelviz.controlplane.vpc_calls import create_calls, delete_calls, refused_calls
from flannelviz.model import VPC, KubeEvent, Node

BY_HAND = "somebody asked for it"

# --- Controllers start again, and the periodic pass -------------------------------------------------------------------


def restart_allocator(draft: Draft, _subject: object) -> Change:
    """Return kube-controller-manager after a restart: the cursor at 0, the blocks of all Nodes marked as used."""
    cidrs = [node.pod_cidr for node in draft.nodes.values() if node.pod_cidr is not None]
    allocator = draft.allocator.restarted(cidrs, draft.plan.service_cidr)
    action = f"starts again: cursor back at {allocator.block(0)}, the podCIDRs of {len(cidrs)} Nodes marked as used"
    log = "\n".join(f"Node {node.name} has CIDR {node.pod_cidr}" for node in draft.nodes.values() if node.pod_cidr)
    artefact = seen("kube-controller-manager log", log or "no Node has a CIDR", node_ipam.COMPONENT, "starts")
    return Change(node_ipam.COMPONENT, action, (), artefact, allocator=allocator)


def restart_routes(draft: Draft, _subject: object) -> Change:
    """Return the cloud-controller-manager after a restart: it knows no Node until its next pass."""
    action = f"starts again: it knows no Node until its first pass, {cloud_routes.PERIOD} seconds from now"
    artefact = seen("cloud-controller-manager log", "Starting route controller", CCM, "starts")
    return Change(CCM, action, (), artefact, routes=draft.routes.restarted())


def periodic_pass(draft: Draft) -> list[Job]:
    """Return what the pass finds now: first the deletions, then the creations, the failures, and the conditions."""
    outcome = cloud_routes.reconcile(draft.routes, draft.vpc, draft.nodes.values())
    failures = [event for event in outcome.events if event.type == "Warning"]
    groups = (
        Group((outcome,), (_compare,)),
        Group(outcome.deleted, (_delete_conflict,)),
        Group(outcome.created, (_create_missing,)),
        Group(failures, (_fail_to_create,)),
        Group(outcome.nodes, (_report,)),
    )
    return [Job(VPC, tuple(group for group in groups if group.things))]


def _compare(draft: Draft, outcome: cloud_routes.Outcome) -> Change:
    work = len(outcome.deleted), len(outcome.created)
    action = f"compares the VPC route table with {len(draft.nodes)} Nodes: {work[0]} to delete, {work[1]} to create"
    artefact = api_call("vpc", "DescribeRouteEntryList", "the periodic pass", RouteEntryType="Custom")
    artefact = replace(artefact, origin=artefact.origin._replace(component=CCM))
    return Change(CCM, action, (), artefact, routes=outcome.controller)


def _delete_conflict(draft: Draft, listed: Listed) -> Change:
    entry = listed.entry
    action = f"deletes the VPC route entry {entry.dst} -> {entry.next_hop_id}, in conflict with a Node's podCIDR"
    vpc = delete_route_entries(draft.vpc, (entry,), listed.table)
    artefact = delete_calls(CCM, (listed,), "it is in conflict with a Node's podCIDR")
    return Change(CCM, action, (VPC,), artefact, vpc=vpc)


def _create_missing(draft: Draft, listed: Listed) -> Change:
    action = f"creates the missing VPC route entry {listed.entry.dst} -> {listed.entry.next_hop_id}"
    artefact = create_calls(CCM, (listed,), "the pass found no entry for a Node's podCIDR")
    return Change(CCM, action, (VPC,), artefact, vpc=draft.vpc.adding(listed.entry, table=listed.table))


def _fail_to_create(draft: Draft, event: KubeEvent) -> Change:
    return Change(CCM, f"reports {event.reason}: {event.message}", (VPC,), kube_event_file(event))


def _report(draft: Draft, node: Node) -> Change:
    condition = node.condition(cloud_routes.UNAVAILABLE)
    text = f"NetworkUnavailable={condition.status if condition else ''}"
    event = KubeEvent(f"Node {node.name}", "Normal", condition.reason if condition else "", text, "route-controller")
    return Change(CCM, f"sets {text} on Node {node.name}", (), kube_event_file(event), nodes=(node,))


# --- By hand ----------------------------------------------------------------------------------------------------------


def create_by_hand(draft: Draft, listed: Listed) -> Change:
    """Return the entry that somebody asked for at the console, or the refusal of the VPC."""
    made = create_route_entries(draft.vpc, (listed.entry,), listed.table)
    entry = listed.entry
    if made.refusals:
        refusal = refused_calls(CONSOLE, made.refusals, BY_HAND)
        return Change(CONSOLE, f"is refused the VPC route entry {entry.dst}: {made.refusals[0]}", (VPC,), refusal)
    action = f"creates the VPC route entry {entry.dst} -> {entry.next_hop_id} by hand"
    return Change(CONSOLE, action, (VPC,), create_calls(CONSOLE, (listed,), BY_HAND), vpc=made.vpc)


def delete_by_hand(draft: Draft, listed: Listed) -> Change:
    """Return the end of an entry that somebody deleted at the console."""
    entry = listed.entry
    vpc = delete_route_entries(draft.vpc, (entry,), listed.table)
    action = f"deletes the VPC route entry {entry.dst} -> {entry.next_hop_id} by hand"
    return Change(CONSOLE, action, (VPC,), delete_calls(CONSOLE, (listed,), BY_HAND), vpc=vpc)
