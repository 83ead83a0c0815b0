"""kube-controller-manager's node IPAM: cluster CIDR -> one podCIDR for each Node.

Control plane, cluster stage. The allocator is a bitmap and a cursor; an exhausted cluster CIDR is an answer.
The order is that in which Nodes are handled. Today 30 workers share a queue, so that Nodes registering together have
no sure order; here they come as the caller lists them.

Source: kubernetes pkg/controller/nodeipam/ipam/{cidrset/cidr_set,range_allocator}.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import Literal, NamedTuple

from flannelviz.errors import AddressPlanError
from flannelviz.model import ClusterPlan, Era, KubeEvent, Node

COMPONENT = "kube-controller-manager"
NOT_AVAILABLE = "CIDRNotAvailable"
NO_CIDR_LEFT = "CIDR allocation failed; there are no remaining CIDRs left to allocate in the accepted range"
POD_CIDR_IS_FINAL = 'node updates may not change podCIDR except from "" to valid'


@dataclass(frozen=True, slots=True)
class RangeAllocator:
    """The blocks of a cluster CIDR: bit i of `used` is block i, the search for a free one starts at `cursor`.

    Raises: AddressPlanError if the node mask is shorter than the cluster mask.
    """

    cluster_cidr: IPv4Network
    node_mask: int
    used: int = 0
    cursor: int = 0

    def __post_init__(self) -> None:
        if not self.cluster_cidr.prefixlen <= self.node_mask <= 32:
            raise AddressPlanError(
                f"node mask /{self.node_mask} does not fit the cluster CIDR {self.cluster_cidr}: "
                f"a block must be part of it; take a node mask from {self.cluster_cidr.prefixlen} to 32"
            )

    @property
    def max_cidrs(self) -> int:
        """Return how many blocks the cluster CIDR holds."""
        return 1 << (self.node_mask - self.cluster_cidr.prefixlen)

    @property
    def free(self) -> int:
        """Return how many blocks nobody uses."""
        return self.max_cidrs - self.used.bit_count()

    def block(self, index: int) -> IPv4Network:
        """Return block number `index`, counted from 0."""
        return IPv4Network((int(self.cluster_cidr.network_address) + (index << (32 - self.node_mask)), self.node_mask))

    def index(self, cidr: IPv4Network) -> int:
        """Return the number of the block in which `cidr` begins.

        Raises: AddressPlanError if it lies outside the cluster CIDR.
        """
        return self._touched(cidr)[0]

    def allocate(self) -> tuple[RangeAllocator, IPv4Network | None]:
        """Return the allocator with one more block used, and that block; None where all are used.

        Shape: the first free block from the cursor upward, else from block 0; the cursor moves behind it.
        """
        free = ~self.used & ((1 << self.max_cidrs) - 1)
        if not free:
            return self, None
        ahead = free >> self.cursor << self.cursor
        index = _lowest_bit(ahead or free)
        after = (index + 1) % self.max_cidrs
        return replace(self, used=self.used | 1 << index, cursor=after), self.block(index)

    def occupy(self, cidr: IPv4Network) -> RangeAllocator:
        """Return the allocator with every block that `cidr` touches in use; the cursor stays.

        Raises: AddressPlanError if `cidr` lies outside the cluster CIDR.
        """
        return replace(self, used=self.used | self._bits(cidr))

    def release(self, cidr: IPv4Network) -> RangeAllocator:
        """Return the allocator with every block that `cidr` touches free; the cursor stays.

        A freed block is therefore used again only when the cursor has come round, or after a restart.
        Raises: AddressPlanError if `cidr` lies outside the cluster CIDR.
        """
        return replace(self, used=self.used & ~self._bits(cidr))

    def restarted(
        self, node_cidrs: Iterable[IPv4Network] = (), service_cidr: IPv4Network | None = None
    ) -> RangeAllocator:
        """Return what the allocator knows after a restart: the cursor at 0, the blocks of the Nodes in use.

        Raises: AddressPlanError if a Node's podCIDR lies outside the cluster CIDR: the real program does not start.
        """
        fresh = replace(self, used=0, cursor=0)
        if service_cidr is not None and service_cidr.overlaps(self.cluster_cidr):
            fresh = fresh.occupy(service_cidr)
        for cidr in node_cidrs:
            fresh = fresh.occupy(cidr)
        return fresh

    def _bits(self, cidr: IPv4Network) -> int:
        first, last = self._touched(cidr)
        return ((1 << (last - first + 1)) - 1) << first

    def _touched(self, cidr: IPv4Network) -> tuple[int, int]:
        """Return the first and the last block that `cidr` touches."""
        if not cidr.overlaps(self.cluster_cidr):
            raise AddressPlanError(
                f"{cidr} is outside the cluster CIDR {self.cluster_cidr}; "
                f"a podCIDR there is one such as {self.block(0)}"
            )
        if cidr.prefixlen <= self.cluster_cidr.prefixlen:
            return 0, self.max_cidrs - 1
        base, shift = int(self.cluster_cidr.network_address), 32 - self.node_mask
        return (int(cidr.network_address) - base) >> shift, (int(cidr.broadcast_address) - base) >> shift


def _lowest_bit(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


def start(plan: ClusterPlan) -> RangeAllocator:
    """Return the allocator of a new cluster: the blocks of an overlapping service CIDR are in use.

    Raises: AddressPlanError if the node mask is shorter than the cluster mask.
    """
    return RangeAllocator(plan.cluster_cidr, plan.node_mask).restarted(service_cidr=plan.service_cidr)


class Allocation(NamedTuple):
    """What the allocator did for one Node."""

    allocator: RangeAllocator
    node: Node
    event: KubeEvent | None = None


def node_added(allocator: RangeAllocator, node: Node, era: Era = "current") -> Allocation:
    """Return `node` with a podCIDR, or as it was with the event CIDRNotAvailable.

    Shape: a Node that has a podCIDR keeps it, and its block is marked as used; two Nodes with the same one are not
    noticed.
    Raises: AddressPlanError if its podCIDR lies outside the cluster CIDR.
    """
    if node.pod_cidr is not None:
        return Allocation(allocator.occupy(node.pod_cidr), node)
    after, cidr = allocator.allocate()
    if cidr is None:
        return Allocation(after, node, not_available(node.name, era))
    return Allocation(after, replace(node, pod_cidr=cidr))


def nodes_added(
    allocator: RangeAllocator, nodes: Iterable[Node], era: Era = "current"
) -> tuple[RangeAllocator, tuple[Node, ...], tuple[KubeEvent, ...]]:
    """Return the allocator after all `nodes`, the Nodes in their order, and the events of those that got no block."""
    handled: list[Node] = []
    events: list[KubeEvent] = []
    for node in nodes:
        allocator, node, event = node_added(allocator, node, era)
        handled.append(node)
        if event is not None:
            events.append(event)
    return allocator, tuple(handled), tuple(events)


def node_deleted(allocator: RangeAllocator, node: Node) -> RangeAllocator:
    """Return the allocator with the Node's block free; the cursor stays.

    Raises: AddressPlanError if its podCIDR lies outside the cluster CIDR.
    """
    return allocator if node.pod_cidr is None else allocator.release(node.pod_cidr)


def write_failed(allocation: Allocation, era: Era = "current", server_timeout: bool = False) -> Allocation:
    """Return what remains when the API server did not take the podCIDR: no podCIDR, and the block is free again.

    After a server timeout the write may have happened, so the block stays used: it leaks until a restart.
    """
    allocator, node, _ = allocation
    kept = allocator if server_timeout else node_deleted(allocator, node)
    return Allocation(kept, replace(node, pod_cidr=None), _status_event(node.name, "CIDRAssignmentFailed", era))


def not_available(name: str, era: Era = "current") -> KubeEvent:
    """Return the event of a Node for which no block was left.

    Source: kubernetes pkg/controller/util/node/controller_utils.go; of type Normal in 1.12, Warning today.
    """
    return _status_event(name, NOT_AVAILABLE, era)


def _status_event(name: str, reason: str, era: Era) -> KubeEvent:
    kind: Literal["Normal", "Warning"] = "Normal" if era == "1.12" else "Warning"
    return KubeEvent(f"Node {name}", kind, reason, f"Node {name} status is now: {reason}", "cidrAllocator")


def pod_cidr_refusal(old: Node, new: Node) -> str | None:
    """Return why the API server refuses this update of a Node's podCIDR, or None.

    Source: kubernetes pkg/apis/core/validation/validation.go.
    """
    changed = old.pod_cidr is not None and old.pod_cidr != new.pod_cidr
    return POD_CIDR_IS_FINAL if changed else None
