"""What may happen to a cluster that stands: `build(plan).then(DeleteNode("node-b"), PeriodicPass())`. Control plane.

A happening is a value. Its phases say which programs act and in what order; a phase is asked for its jobs when its
turn comes, so that it sees what the earlier ones left. A node or pod that is added takes the same steps as in `build`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network

from flannelviz.controlplane import (
    console,
    stage_cluster,
    stage_later,
    stage_node,
    stage_pod,
    stage_services,
    stage_upkeep,
)
from flannelviz.controlplane.draft import Draft, Group, Job, Phase, job
from flannelviz.controlplane.one_node import (
    Standing,
    endpoints_changed,
    grown,
    narrowed,
    phase,
    phases_of,
    places,
    planned_again,
    pod_jobs,
    waiting_for_blocks,
    waiting_for_entries,
    waiting_pods,
    watchers,
)
from flannelviz.controlplane.plan_kinds import check_all, check_machines
from flannelviz.controlplane.plan_room import shortages
from flannelviz.controlplane.vpc_api import Listed
from flannelviz.errors import AddressPlanError, FaultError, UnknownPlaceError
from flannelviz.model import NodePlan, parse_network
from flannelviz.tables import Origin, RouteEntry

SHOWN = 5  # names in a message

_BY_HAND = Origin(stage_cluster.CONSOLE, "CreateRouteEntry", "somebody asked for it by hand")


class Happening(ABC):
    """Something that happens to a cluster that stands."""

    @abstractmethod
    def phases(self, draft: Standing) -> Iterator[Phase]:
        """Return what the programs do, in their order; `draft` is what the phases before have left.

        Raises: a FlannelvizError if the cluster has nothing of this name, or no place for it.
        """


@dataclass(frozen=True, slots=True)
class AddNode(Happening):
    """An ECS is bought and joins the cluster; then its pods start."""

    node: NodePlan

    def phases(self, draft: Standing) -> Iterator[Phase]:
        """Return the phases of `build`, for this node alone."""
        _check_machine(draft, self.node)
        _check(draft, self.node)
        draft.asked.append(self.node)
        yield from phases_of(self.node, (*stage_cluster.PHASES, *stage_node.PHASES))
        yield from watchers(draft, draft.nodes[self.node.name], stage_later.lease_added)
        yield from phases_of(self.node, (*stage_pod.PHASES, *stage_services.PHASES))
        yield from endpoints_changed(draft, places(self.node.pods), but=self.node.name)


@dataclass(frozen=True, slots=True)
class DeleteNode(Happening):
    """Somebody removes a node from the cluster, and its ECS is released: ENI, tables and pods go with it."""

    name: str

    def phases(self, draft: Standing) -> Iterator[Phase]:
        """Return the end of the Node object, then what its watchers do, then that of the ECS and of its pods.

        Shape: who waited for a podCIDR or for a route entry gets what has become free.
        """
        node = draft.nodes[_node(draft, self.name)]
        pods = tuple(place for place, pod in draft.pods.items() if pod.node == node.name)
        yield phase("cluster", job(node.name, stage_later.delete_node))
        if node.pod_cidr is not None:
            yield phase("cluster", job(node, stage_later.release_pod_cidr))
            yield from watchers(draft, node, stage_later.lease_removed)
            if draft.plan.backend == "alloc":
                yield phase("node", job(node.name, stage_later.remove_route))
        yield phase("initial", job(node.name, stage_later.release_ecs))
        if pods:
            yield phase("pod", Job(node.name, (Group(pods, (stage_later.collect_pod,)),)))
        yield from endpoints_changed(draft, pods)
        yield from waiting_for_entries(draft)
        yield from waiting_for_blocks(draft)
        yield from waiting_pods(draft)


@dataclass(frozen=True, slots=True)
class AddPod(Happening):
    """A pod is bound to a node; with `host_network` it runs in the network of the node itself."""

    name: str
    node: str
    host_network: bool = False

    def phases(self, draft: Standing) -> Iterator[Phase]:
        """Return the pod stage for this pod: where cni0 is there, only what is left to do."""
        node = _node(draft, self.node)
        planned = planned_again(draft, node, () if self.host_network else (self.name,))
        planned = replace(planned, host_pods=(self.name,)) if self.host_network else planned
        _check(draft, planned)
        draft.asked.append(planned)
        yield phase("pod", *pod_jobs(draft, planned))
        yield from endpoints_changed(draft, places((self.name,)))


@dataclass(frozen=True, slots=True)
class DeletePod(Happening):
    """Somebody deletes a pod: its address, its veth pair and its chain go, cni0 stays."""

    name: str

    def phases(self, draft: Standing) -> Iterator[Phase]:
        """Return the end of the pod; one that waited for an address on its node is tried again."""
        pod = _pod(draft, self.name)
        node = draft.pods[pod].node
        yield phase("pod", stage_later.unwiring(draft, pod))
        yield from endpoints_changed(draft, (pod,))
        if node is not None:
            yield from waiting_pods(draft, node)


@dataclass(frozen=True, slots=True)
class RestartControllerManager(Happening):
    """kube-controller-manager starts again: its allocator searches from block 0."""

    def phases(self, draft: Standing) -> Iterator[Phase]:
        """Return the restart; Nodes that waited for a podCIDR are handled again."""
        yield phase("cluster", job(None, stage_upkeep.restart_allocator))
        yield from waiting_for_blocks(draft)
        yield from waiting_pods(draft)


@dataclass(frozen=True, slots=True)
class RestartCloudControllerManager(Happening):
    """The cloud-controller-manager starts again: until its next pass it knows no Node."""

    def phases(self, draft: Standing) -> Iterator[Phase]:
        """Return the restart."""
        yield phase("node", job(None, stage_upkeep.restart_routes))


@dataclass(frozen=True, slots=True)
class PeriodicPass(Happening):
    """Five minutes have gone by: the cloud-controller-manager compares the VPC route table with all Nodes."""

    def phases(self, draft: Standing) -> Iterator[Phase]:
        """Return the deletions of entries in conflict with a Node, then the creations of missing ones."""
        if draft.plan.backend != "alloc":
            raise FaultError(
                f"with the backend {draft.plan.backend} the cloud-controller-manager writes no routes; "
                f"build the plan with backend='alloc', or leave PeriodicPass out"
            )
        yield Phase("node", stage_upkeep.periodic_pass)
        yield from waiting_pods(draft)


@dataclass(frozen=True, slots=True)
class HandMadeEntry(Happening):
    """Somebody makes a VPC route entry at the console: `dst`, a network, leads to `ecs`, a node or another ECS."""

    dst: str | IPv4Network
    ecs: str
    table: str | None = None

    def phases(self, draft: Standing) -> Iterator[Phase]:
        """Return the entry, or its refusal by the VPC."""
        if self.ecs not in draft.ecs:
            raise UnknownPlaceError(f"no ECS is called {self.ecs!r}; take one of {_some(draft.ecs)}")
        instance = draft.ecs[self.ecs].instance_id
        entry = RouteEntry(parse_network(self.dst), "Instance", instance, origin=_BY_HAND)
        yield phase("node", job(Listed(_table(draft, self.table), entry), stage_upkeep.create_by_hand))


@dataclass(frozen=True, slots=True)
class HandRemovedEntry(Happening):
    """Somebody deletes the VPC route entry for `dst` at the console."""

    dst: str | IPv4Network
    table: str | None = None

    def phases(self, draft: Standing) -> Iterator[Phase]:
        """Return the end of the entry; a Node that waited for room in the table gets its own."""
        dst, table = parse_network(self.dst), _table(draft, self.table)
        entries = next(found.entries for found in draft.vpc.route_tables if found.id == table)
        custom = {entry.dst: entry for entry in entries if entry.kind == "Custom"}
        if dst not in custom:
            raise UnknownPlaceError(f"{table} has no custom entry for {dst}; take one of {_some(map(str, custom))}")
        yield phase("node", job(Listed(table, custom[dst]), stage_upkeep.delete_by_hand))
        yield from waiting_for_entries(draft)
        yield from waiting_pods(draft)


# --- Names ------------------------------------------------------------------------------------------------------------


def _some(names: Iterable[str]) -> str:
    """Return the first few of `names` for a message."""
    found = list(names)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more if found else "none: there is none yet"


def _node(draft: Draft, name: str) -> str:
    if name not in draft.nodes:
        raise UnknownPlaceError(f"no Node is called {name!r} at this moment; take one of {_some(draft.nodes)}")
    return name


def _pod(draft: Draft, name: str) -> str:
    if name in draft.nodes:
        raise UnknownPlaceError(f"{name!r} is a Node, not a pod; write DeleteNode({name!r})")
    return draft.network().place(name) if name not in draft.pods else name


def _table(draft: Draft, name: str | None) -> str:
    tables = [table.id for table in draft.vpc.route_tables]
    if name is not None and name not in tables:
        raise UnknownPlaceError(f"the VPC has no route table {name!r}; take one of {_some(tables)}")
    return name or tables[0]


def _check_machine(draft: Draft, planned: NodePlan) -> None:
    """Check that neither the name nor an address of a new node is that of an ECS."""
    check_all("AddNode", (planned,), NodePlan)
    check_machines((planned,))
    if planned.name in draft.ecs:
        raise AddressPlanError(f"there is an ECS {planned.name!r} already; give the new node another name")
    owner = next((ecs.name for ecs in draft.ecs.values() if ecs.address == planned.address), None)
    if owner is not None:
        address = f"{planned.address} of {planned.name}"
        raise AddressPlanError(f"{address} is already that of {owner}; take another, or leave it out")
    if planned.eip is not None and any(eni.eip == planned.eip for eni in draft.vpc.enis.values()):
        raise AddressPlanError(f"the EIP {planned.eip} is already bound, and an EIP is bound to one; take another")


def _check(draft: Standing, planned: NodePlan) -> None:
    """Check names and addresses as the console does, and that no pod is there twice; what runs out is a warning."""
    console.check_plan(narrowed(draft, planned).plan, strict=False)
    for place in places(planned.pods + planned.host_pods):
        if place in draft.pods:
            raise AddressPlanError(
                f"there is a pod {place!r} already; take another name, or DeletePod({place!r}) first"
            )
    draft.warnings.extend(told for told in shortages(grown(draft, planned)) if told not in draft.warnings)
