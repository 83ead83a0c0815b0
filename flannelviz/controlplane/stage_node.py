"""The node stage as events: the cloud-controller-manager and flanneld prepare each node, the VPC learns its podCIDR.

Control plane. Each step is one event; the programs themselves are in flanneld.py and cloud_routes.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Network

from flannelviz.controlplane import cloud_routes, flanneld
from flannelviz.controlplane.backends import BACKENDS, FLANNELD, taken_by_kernel
from flannelviz.controlplane.cloud_routes import COMPONENT as CCM
from flannelviz.controlplane.draft import Change, Draft, Job, Phase, job
from flannelviz.controlplane.failure import Failure
from flannelviz.controlplane.stage_cluster import KUBELET, kube_event_file, node_file
from flannelviz.controlplane.vpc_api import Listed, create_route_entries, delete_route_entries
from flannelviz.controlplane.vpc_calls import create_calls, refused_calls
from flannelviz.model import VPC, Condition, Node
from flannelviz.tables import File, Origin, RouteEntry

FLANNEL_IS_UP = Condition("NetworkUnavailable", "False", "FlannelIsUp", "Flannel is running on this node")

# --- The cloud-controller-manager initialises the Node ----------------------------------------------------------------


def _initialise(draft: Draft, name: str) -> Change:
    node = cloud_routes.initialized(draft.nodes[name])
    action = f"initialises Node {name}: NetworkUnavailable=True, since it has no route yet"
    return Change(CCM, action, (name,), node_file(node, CCM, "initialises the Node"), nodes=(node,))


def _initialise_all(draft: Draft, jobs: Sequence[Job]) -> None:
    for one in jobs:
        draft.nodes[one.subject] = cloud_routes.initialized(draft.nodes[one.subject])


# --- flanneld ---------------------------------------------------------------------------------------------------------


def _install_cni(draft: Draft, name: str) -> Change:
    tables = flanneld.cni_installed(draft.written[name], draft.plan)
    action = f"install-cni copies {flanneld.CNI_CONF} to {name}"
    return Change(FLANNELD, action, (name,), flanneld.cni_conf(draft.plan), written={name: tables})


def ready(draft: Draft, name: str) -> Change:
    """Return the kubelet's report once there is a CNI configuration."""
    node = replace(draft.nodes[name], ready="True")
    action = f"finds a CNI configuration on {name}: the Node is Ready"
    return Change(KUBELET, action, (name,), node_file(node, KUBELET, "reports Ready"), nodes=(node,))


def _acquire_lease(draft: Draft, name: str) -> Change:
    node = draft.nodes[name]
    leased = flanneld.lease_acquired(node, draft.plan.backend)
    if isinstance(leased, Failure):
        log = Origin(FLANNELD, "exits", leased.message)
        artefact = File("kubectl logs kube-flannel-ds", f"{leased.message}\n", log)
        return Change(FLANNELD, f"exits on {name}: {leased.message}", (name,), artefact)
    action = f"acquires the lease {node.pod_cidr} for {name} and annotates the Node"
    tables = draft.written[name]
    tables = tables.adding(*BACKENDS[draft.plan.backend].own(tables, node))
    artefact = node_file(leased, FLANNELD, "publishes its lease")
    return Change(FLANNELD, action, (name,), artefact, nodes=(leased,), written={name: tables})


def _masquerade(draft: Draft, name: str) -> Change:
    tables = flanneld.masquerading(draft.written[name], _pod_cidr_of(draft, name), draft.plan)
    return Change(FLANNELD, f"sets up masquerade rules on {name} (--ip-masq)", (name,), written={name: tables})


def _pod_cidr_of(draft: Draft, name: str) -> IPv4Network:
    pod_cidr = draft.nodes[name].pod_cidr
    assert pod_cidr is not None, "these steps belong to nodes with a podCIDR"
    return pod_cidr


def _forward(draft: Draft, name: str) -> Change:
    tables = flanneld.forwarding(draft.written[name], draft.plan)
    return Change(FLANNELD, f"sets up forward rules on {name}", (name,), written={name: tables})


def _write_subnet_env(draft: Draft, name: str) -> Change:
    pod_cidr = _pod_cidr_of(draft, name)
    tables = flanneld.subnet_env_written(draft.written[name], pod_cidr, draft.plan)
    artefact = flanneld.subnet_env(draft.plan, pod_cidr)
    return Change(FLANNELD, f"writes {flanneld.SUBNET_ENV} on {name}", (name,), artefact, written={name: tables})


def _flanneld_all(draft: Draft, jobs: Sequence[Job]) -> None:
    for one in jobs:
        node, tables = draft.nodes[one.subject], draft.written[one.subject]
        registered = flanneld.register(tables, node, draft.plan)
        leased = flanneld.lease_acquired(node, draft.plan.backend)
        if isinstance(registered, Failure) or isinstance(leased, Failure):
            registered, leased = flanneld.cni_installed(tables, draft.plan), node
        draft.written[node.name] = registered
        draft.nodes[node.name] = replace(leased, ready="True")


# --- flanneld watches the leases of other nodes, with a backend that needs them ---------------------------------------


def _watch_leases(draft: Draft, name: str) -> Change:
    backend = BACKENDS[draft.plan.backend]
    others = [node for node in draft.nodes.values() if node.name != name and node.pod_cidr is not None]
    own = draft.written[name]
    tables = own.adding(*(row for node in others for row in taken_by_kernel(own, backend.remote(node))))
    action = f"adds the leases of {len(others)} other nodes on {name} ({backend.kind})"
    return Change(FLANNELD, action, (name,), written={name: tables})


def _route_of_its_own(draft: Draft, name: str) -> Change:
    """Write the VPC entry as flanneld's ali-vpc backend does: for its own node, through the API, with an access key.

    Shape: any other custom entry that leads to this instance is deleted first, the default route excepted.
    Source: flannel backend/alivpc/alivpc.go v0.11.0; removed upstream in v0.20.0.
    """
    pod_cidr, instance, table = draft.nodes[name].pod_cidr, draft.ecs[name].instance_id, draft.vpc.system_table
    assert pod_cidr is not None
    because = f"the lease of {name} is {pod_cidr}"
    entry = RouteEntry(pod_cidr, "Instance", instance, origin=Origin(FLANNELD, "CreateRouteEntry", because))
    own = [old for old in table.entries if old.kind == "Custom" and old.next_hop_id == instance]
    stale = [old for old in own if old.dst not in (pod_cidr, cloud_routes.DEFAULT_ROUTE)]
    missing = () if any(old.dst == pod_cidr for old in own) else (entry,)
    made = create_route_entries(delete_route_entries(draft.vpc, stale), missing)
    if made.refusals:
        action, artefact = f"is refused the VPC route entry of {name}", refused_calls(FLANNELD, made.refusals, because)
    else:
        also = f", and deletes {len(stale)} that lead there too" if stale else ""
        action = f"{'creates' if missing else 'keeps'} the VPC route entry {pod_cidr} -> {name}{also}"
        artefact = create_calls(FLANNELD, [Listed(table.id, entry)], because)
    return Change(FLANNELD, action, (VPC,), artefact, vpc=made.vpc)


def _network_available(draft: Draft, name: str) -> Change:
    node = draft.nodes[name]
    if BACKENDS[draft.plan.backend].writes_vpc_route and not _has_route(draft, node):
        log = File("kubectl logs kube-flannel-ds", "the VPC has no route to this node\n", Origin(FLANNELD, "exits"))
        return Change(FLANNELD, f"exits on {name}: the VPC has no route to it", (name,), log)
    node = cloud_routes.with_condition(node, FLANNEL_IS_UP)
    artefact = node_file(node, FLANNELD, "reports the network")
    return Change(FLANNELD, f"sets NetworkUnavailable=False on Node {name}", (name,), artefact, nodes=(node,))


def _has_route(draft: Draft, node: Node) -> bool:
    wanted = node.pod_cidr, draft.ecs[node.name].instance_id
    return any((entry.dst, entry.next_hop_id) == wanted for entry in draft.vpc.system_table.entries)


def _lease_jobs(draft: Draft) -> list[Job]:
    backend = BACKENDS[draft.plan.backend]
    watches = (_watch_leases,) if backend.adds_routes else (_route_of_its_own,) if backend.writes_vpc_route else ()
    leased = [node.name for node in draft.nodes.values() if node.pod_cidr is not None]
    return [job(name, *watches, _network_available) for name in leased] if watches else []


# --- The cloud-controller-manager writes routes -----------------------------------------------------------------------


def _create_route(draft: Draft, name: str) -> Change:
    node = draft.nodes[name]
    outcome = cloud_routes.sync(draft.routes, draft.vpc, (node,))
    if outcome.events:
        action = f"creates no route for {name}: {outcome.events[0].message}"
        return Change(
            CCM, action, (VPC,), kube_event_file(outcome.events[0]), vpc=outcome.vpc, routes=outcome.controller
        )
    entry = f"the VPC route entry {node.pod_cidr} -> {cloud_routes.instance_of(node)} ({name})"
    because = f"Node {name} has podCIDR {node.pod_cidr}"
    if outcome.created:
        action, artefact = f"creates {entry}", create_calls(CCM, outcome.created, because)
    elif outcome.refusals:
        action = f"takes {entry} for created, though a duplicate was refused: the next pass compares where it leads"
        artefact = refused_calls(CCM, outcome.refusals, because)
    else:
        action = f"finds {entry} in place"
        log = Origin(CCM, "finds", because)
        artefact = File("cloud-controller-manager log", f"route {node.pod_cidr} exists\n", log)
    return Change(CCM, action, (VPC,), artefact, vpc=outcome.vpc, routes=outcome.controller)


def _route_created(draft: Draft, name: str) -> Change:
    node = cloud_routes.with_condition(draft.nodes[name], cloud_routes.ROUTE_CREATED)
    artefact = node_file(node, CCM, "reports the route")
    return Change(CCM, f"sets NetworkUnavailable=False on Node {name}", (name,), artefact, nodes=(node,))


def _create_all_routes(draft: Draft, jobs: Sequence[Job]) -> None:
    outcome = cloud_routes.sync(draft.routes, draft.vpc, [draft.nodes[job.subject] for job in jobs])
    draft.routes, draft.vpc = outcome.controller, outcome.vpc
    draft.nodes.update((node.name, node) for node in outcome.nodes)


# --- The phases -------------------------------------------------------------------------------------------------------


def _initialise_jobs(draft: Draft) -> list[Job]:
    return [job(name, _initialise) for name in draft.nodes]


def _flanneld_jobs(draft: Draft) -> list[Job]:
    masquerade = (_masquerade,) if draft.plan.masquerade else ()
    registers = (_install_cni, ready, _acquire_lease, *masquerade, _forward, _write_subnet_env)
    exits = (_install_cni, ready, _acquire_lease)
    return [job(node.name, *(registers if node.pod_cidr else exits)) for node in draft.nodes.values()]


def _route_jobs(draft: Draft) -> list[Job]:
    """Return a job for each Node with a podCIDR; where the route fails, the condition stays as it is."""
    if draft.plan.backend != "alloc":
        return []
    nodes: list[Node] = [node for node in draft.nodes.values() if node.pod_cidr is not None]
    changed = {node.name for node in cloud_routes.sync(draft.routes, draft.vpc, nodes).nodes}
    return [job(n.name, _create_route, *((_route_created,) if n.name in changed else ())) for n in nodes]


PHASES = (
    Phase("node", _initialise_jobs, _initialise_all),
    Phase("node", _flanneld_jobs, _flanneld_all),
    Phase("node", _lease_jobs),
    Phase("node", _route_jobs, _create_all_routes),
)
