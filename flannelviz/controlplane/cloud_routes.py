"""The cloud-controller-manager's route controller: Node podCIDR -> one entry in the VPC route table.

Control plane, node stage. `era` "current" follows v2.x: Node events are handled at once, and a pass over the whole
cluster repairs the rest every five minutes. `era` "1.12" follows v1.9.3.101 (April 2019): nothing but that pass, and
nobody removes the entry of a deleted Node.

Source: kubernetes/cloud-provider-alibaba-cloud pkg/controller/route.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from typing import NamedTuple

from flannelviz.controlplane.ranges import inside
from flannelviz.controlplane.vpc_api import (
    DUPLICATE,
    Block,
    Listed,
    Refusal,
    block,
    create_route_entries,
    delete_route_entries,
    route_table,
)
from flannelviz.model import ClusterPlan, Condition, Era, KubeEvent, Node
from flannelviz.tables import Origin, RouteEntry, VpcTables

COMPONENT = "cloud-controller-manager"
PERIOD = 300  # seconds between two passes: --route-reconciliation-period; the first comes one period after the start
EXCLUDE_LABELS = ("service.alibabacloud.com/exclude-node", "service.beta.kubernetes.io/exclude-node")
UNAVAILABLE = "NetworkUnavailable"
DEFAULT_ROUTE = IPv4Network("0.0.0.0/0")
Wanted = tuple[Node, IPv4Network, str]  # a Node, its podCIDR, its instance

NOT_YET = Condition(UNAVAILABLE, "True", "NoRouteCreated", "Node created without a route")
ROUTE_CREATED = Condition(UNAVAILABLE, "False", "RouteCreated", "RouteController created a route")
NO_ROUTE_CREATED = Condition(UNAVAILABLE, "True", "NoRouteCreated", "RouteController failed to create a route")


class KnownRoute(NamedTuple):
    """What the cloud-controller-manager remembers of a Node, so that it can clean up when the Node is gone."""

    pod_cidr: IPv4Network
    instance_id: str


@dataclass(frozen=True)
class RouteController:
    """The configuration of the route controller, and `known`, the memory that a restart wipes out."""

    cluster_cidr: IPv4Network
    route_table_ids: tuple[str, ...] = ()  # routeTableIDs of the cloud-config
    configure_cloud_routes: bool = True
    era: Era = "current"
    known: Mapping[str, KnownRoute] = field(default_factory=dict)

    def restarted(self) -> RouteController:
        """Return the controller after a restart: it knows no Node until its first pass over the cluster."""
        return replace(self, known={})


@dataclass(frozen=True)
class Outcome:
    """What one run of the controller came to.

    `nodes` are the Nodes that it changed, `retry` the names of those that it will try again: after 5 s, then twice
    as long each time, up to 300 s.
    """

    controller: RouteController
    vpc: VpcTables
    nodes: tuple[Node, ...] = ()
    events: tuple[KubeEvent, ...] = ()
    created: tuple[Listed, ...] = ()
    deleted: tuple[Listed, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    retry: tuple[str, ...] = ()


def start(plan: ClusterPlan, era: Era = "current") -> RouteController:
    """Return the route controller of a new cluster."""
    return RouteController(plan.cluster_cidr, plan.ccm_route_table_ids, era=era)


def initialized(node: Node) -> Node:
    """Return `node` as the cloud-controller-manager's node controller leaves it: without a route, and tainted for it.

    Source: pkg/controller/node: NetworkUnavailable=True shows as the taint network-unavailable:NoSchedule.
    """
    return with_condition(node, NOT_YET)


def provider_id(region: str, instance_id: str) -> str:
    """Return the spec.providerID by which a Node names its ECS instance."""
    return f"{region}.{instance_id}"


def instance_of(node: Node) -> str | None:
    """Return the instance id in the Node's providerID, or None where there is none.

    Source: `<region>.<instance id>`, with or without the prefix `alicloud://`.
    """
    _, _, instance = node.provider_id.removeprefix("alicloud://").partition(".")
    return instance or None


def node_added(controller: RouteController, vpc: VpcTables, node: Node) -> Outcome:
    """Return what a new Node makes the controller do: create its entry, if it has a podCIDR and a providerID."""
    return sync(controller, vpc, (node,))


def node_updated(controller: RouteController, vpc: VpcTables, old: Node, new: Node) -> Outcome:
    """Return what an update makes the controller do: nothing unless the podCIDR changed. Ready is not looked at."""
    return Outcome(controller, vpc) if old.pod_cidr == new.pod_cidr else sync(controller, vpc, (new,))


def node_deleted(controller: RouteController, vpc: VpcTables, name: str) -> Outcome:
    """Return what the end of a Node makes the controller do: remove its entry, if the controller knows the Node.

    After a restart and before the next pass it does not, and the entry stays behind.
    """
    return sync(controller, vpc, (), deleted=(name,))


def sync(controller: RouteController, vpc: VpcTables, nodes: Iterable[Node], deleted: Iterable[str] = ()) -> Outcome:
    """Return what a batch of Node events makes the controller do: first the deletions, then the creations.

    Shape: a duplicate counts as success, even where the entry leads to another instance; the next pass repairs it.
    A Node whose entry was there before keeps its condition until that pass.
    Source: batchSyncCloudRoutes.
    """
    if controller.era == "1.12" or not controller.configure_cloud_routes:
        return Outcome(controller, vpc)
    nodes = tuple(nodes)
    wanted = list(_wanted(nodes))
    back = {node.name for node in nodes}  # deleted and registered again within the batch: no deletion is seen
    gone = {name: controller.known[name] for name in deleted if name in controller.known and name not in back}
    if not wanted and not gone:
        return Outcome(controller, vpc)
    tables = _tables(controller, vpc)
    if isinstance(tables, KubeEvent):
        return Outcome(controller, vpc, events=(tables,), retry=(*gone, *(node.name for node, *_ in wanted)))
    run = _Run(controller, vpc)
    for table in tables:
        run.remove(table, _entries_of(run.vpc, table, gone.values()))
        present = {(block(e.dst), e.next_hop_id) for e in _considered(vpc, table)}
        run.create_batch(table, [w for w in wanted if (block(w[1]), w[2]) not in present])
    run.forget(gone)
    return run.outcome()


def reconcile(controller: RouteController, vpc: VpcTables, nodes: Iterable[Node]) -> Outcome:
    """Return what the periodic pass does: delete the entries in conflict with a Node, then create the missing ones.

    Shape: both work on the entries as they were listed before the first deletion.
    Source: reconcileForCluster, syncTableRoutes.
    """
    if not controller.configure_cloud_routes:
        return Outcome(controller, vpc)
    nodes = tuple(nodes)
    tables = _tables(controller, vpc)
    if isinstance(tables, KubeEvent):
        return Outcome(controller, vpc, events=(tables,))
    run = _Run(controller, vpc)
    owners = _Owners.of(nodes)
    for table in tables:
        listed = _considered(vpc, table)
        run.remove(table, [e for e in listed if inside(e.dst, controller.cluster_cidr) and owners.conflict(e)])
        run.create_each(table, nodes, {(block(e.dst), e.next_hop_id) for e in listed})
    return run.outcome()


def conflicts(entry: RouteEntry, nodes: Iterable[Node], cluster_cidr: IPv4Network) -> bool:
    """Return whether the periodic pass deletes `entry`.

    That is so if it lies in the cluster CIDR, and strictly inside the podCIDR of a Node, or equals it but leads to
    another instance. Entries that match no Node stay, and so do those that contain a podCIDR.
    Source: conflictWithNodes.
    """
    considered = entry.kind == "Custom" and entry.next_hop_type == "Instance" and entry.dst != DEFAULT_ROUTE
    return considered and inside(entry.dst, cluster_cidr) and _Owners.of(nodes).conflict(entry)


def with_condition(node: Node, condition: Condition) -> Node:
    """Return `node` with `condition` in place of the one of the same type."""
    kept = tuple(old for old in node.conditions if old.type != condition.type)
    return replace(node, conditions=(*kept, condition))


def _wanted(nodes: Iterable[Node], era: Era = "current") -> Iterator[Wanted]:
    """Return the Nodes that shall have an entry, each with its podCIDR and instance."""
    for node in nodes:
        unknown = node.ready == "Unknown" and era != "1.12"  # the check came with v1.9.3.220
        excluded = any(key in EXCLUDE_LABELS for key, _ in node.labels)
        instance = instance_of(node)
        if not (unknown or excluded or node.deleting) and node.pod_cidr is not None and instance is not None:
            yield node, node.pod_cidr, instance


def _tables(controller: RouteController, vpc: VpcTables) -> tuple[str, ...] | KubeEvent:
    """Return the ids of the route tables to write, or the event that says why there are none.

    Shape: the VPC id in the words of today is that of the cloud-config, which most often gives none. In 1.12 the
    words were a line of the log.
    """
    found = controller.route_table_ids or tuple(table.id for table in vpc.route_tables)
    if controller.route_table_ids or len(found) == 1:
        return found
    if controller.era == "1.12":
        why = "multiple route table or no route table found in vpc"
    elif found:
        why = f"multiple route tables found by vpc id[], length(tables)={len(found)}"
    else:
        why = "no route tables found by vpc id[]"
    message = f"Reconciling route error: {why}"
    return KubeEvent("Event route-controller", "Warning", "SyncRouteFailed", message, "route-controller")


def _considered(vpc: VpcTables, table: str) -> tuple[RouteEntry, ...]:
    """Return the entries that the controller sees at all: Custom, to one Instance, and not the default route."""
    return tuple(
        e
        for e in route_table(vpc, table).entries
        if e.next_hop_type == "Instance" and e.kind == "Custom" and e.dst != DEFAULT_ROUTE
    )


def _entries_of(vpc: VpcTables, table: str, known: Iterable[KnownRoute]) -> list[RouteEntry]:
    wanted = {(block(route.pod_cidr), route.instance_id) for route in known}
    return [e for e in _considered(vpc, table) if (block(e.dst), e.next_hop_id) in wanted] if wanted else []


def _entry(node: Node, pod_cidr: IPv4Network, instance: str) -> RouteEntry:
    origin = Origin(COMPONENT, f"CreateRouteEntry for {node.name}", f"Node {node.name} has podCIDR {pod_cidr}")
    return RouteEntry(pod_cidr, "Instance", instance, origin=origin)


def _failure(node: Node, refusal: Refusal, message: str) -> KubeEvent:
    text = f"Error creating route entry in {refusal.table}: {message}"
    return KubeEvent(f"Node {node.name}", "Warning", "CreateRouteFailed", text, "route-controller")


def _old_failure(node: Node, refusal: Refusal) -> KubeEvent:
    """Return the failure in the words of 2019, spelling included, without the request id.

    Source: public notes of an ACK 1.12.6 user.
    """
    text = (
        f"timed out waiting for the condition -> WaitCreate: ceate route for table {refusal.table} error, "
        f"Aliyun API Error: Status Code: 400 Code: {refusal.code} Message: {refusal.message}"
    )
    return KubeEvent(f"Node {node.name}", "Warning", "FailedToCreateRoute", text, "route-controller")


@dataclass(slots=True)
class _Owners:
    """The podCIDRs of the Nodes by length and number, so that 5,000 entries need no 25 million comparisons."""

    instances: Mapping[int, Mapping[int, set[str]]]

    @classmethod
    def of(cls, nodes: Iterable[Node]) -> _Owners:
        found: defaultdict[int, defaultdict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        for node in nodes:
            if node.pod_cidr is not None:
                start, length = block(node.pod_cidr)
                found[length][start >> (32 - length)].add(instance_of(node) or "")
        return cls(found)

    def conflict(self, entry: RouteEntry) -> bool:
        start, length = block(entry.dst)
        for owned, numbers in self.instances.items():
            instances = numbers.get(start >> (32 - owned)) if owned <= length else None
            if instances and (owned < length or instances != {entry.next_hop_id}):
                return True
        return False


@dataclass(slots=True)
class _Run:
    """One run of the controller while it lasts; it changes, and never leaves this module."""

    controller: RouteController
    vpc: VpcTables
    nodes: dict[str, Node] = field(default_factory=dict)
    known: dict[str, KnownRoute] = field(default_factory=dict)
    events: list[KubeEvent] = field(default_factory=list)
    created: list[Listed] = field(default_factory=list)
    deleted: list[Listed] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    retry: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known = dict(self.controller.known)

    def remove(self, table: str, entries: list[RouteEntry]) -> None:
        self.vpc = delete_route_entries(self.vpc, entries, table)
        self.deleted.extend(Listed(table, entry) for entry in entries)

    def create_batch(self, table: str, wanted: list[Wanted]) -> None:
        """Create the entries of a batch; duplicates are taken for success."""
        refused = self._create(table, wanted)
        for node, pod_cidr, instance in wanted:
            refusal = refused.get(node.name)
            if refusal is None or refusal.code == DUPLICATE:
                self._succeeded(node, pod_cidr, instance)
            else:
                self.events.append(_failure(node, refusal, refusal.message))
                self._set(node, NO_ROUTE_CREATED)
                self.retry[node.name] = None

    def create_each(self, table: str, nodes: tuple[Node, ...], listed: set[tuple[Block, str]]) -> None:
        """Create the missing entries one by one; a duplicate that leads to another instance is a failure."""
        all_wanted = list(_wanted(nodes, self.controller.era))
        missing = [w for w in all_wanted if (block(w[1]), w[2]) not in listed]
        refused = self._create(table, missing)
        made = {node.name for node, *_ in missing} - refused.keys()
        for node, pod_cidr, instance in all_wanted:
            refusal = refused.get(node.name)
            if refusal is not None:
                self._failed_in_pass(node, refusal)
                continue
            self._succeeded(node, pod_cidr, instance)
            if node.name in made and self.controller.era != "1.12":
                self._created_event(node, table, pod_cidr)

    def _create(self, table: str, wanted: list[Wanted]) -> dict[str, Refusal]:
        entries = [_entry(*w) for w in wanted]
        self.vpc, created, refusals = create_route_entries(self.vpc, entries, table)
        self.created.extend(Listed(table, entry) for entry in created)
        self.refusals.extend(refusals)
        by_entry = {id(refusal.entry): refusal for refusal in refusals}
        return {w[0].name: by_entry[id(e)] for w, e in zip(wanted, entries, strict=True) if id(e) in by_entry}

    def _succeeded(self, node: Node, pod_cidr: IPv4Network, instance: str) -> None:
        self.known.setdefault(node.name, KnownRoute(pod_cidr, instance))
        self._set(node, ROUTE_CREATED)

    def _failed_in_pass(self, node: Node, refusal: Refusal) -> None:
        """Report the failure; today's pass leaves the condition as it is."""
        if self.controller.era == "1.12":
            self.events.append(_old_failure(node, refusal))
            self._set(node, NO_ROUTE_CREATED)
        else:
            self.events.append(_failure(node, refusal, f"Message: {refusal.message}"))

    def _created_event(self, node: Node, table: str, pod_cidr: IPv4Network) -> None:
        text = f"Created route for {table} with {node.name} -> {pod_cidr} successfully"
        self.events.append(KubeEvent(f"Node {node.name}", "Normal", "CreatedRoute", text, "route-controller"))

    def _set(self, node: Node, condition: Condition) -> None:
        """Set the condition; today's code leaves one that has this status already, words and all."""
        now = self.nodes.get(node.name, node)
        old = now.condition(UNAVAILABLE)
        same = old == condition if self.controller.era == "1.12" else old is not None and old.status == condition.status
        if not same:
            self.nodes[node.name] = with_condition(now, condition)

    def forget(self, names: Iterable[str]) -> None:
        for name in names:
            del self.known[name]

    def outcome(self) -> Outcome:
        return Outcome(
            controller=replace(self.controller, known=self.known),
            vpc=self.vpc,
            nodes=tuple(self.nodes.values()),
            events=tuple(self.events),
            created=tuple(self.created),
            deleted=tuple(self.deleted),
            refusals=tuple(self.refusals),
            retry=tuple(self.retry),
        )
