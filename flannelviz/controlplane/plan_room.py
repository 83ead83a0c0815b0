"""How much fits into a plan, and what it runs out of. Control plane, initial stage; it writes nothing.

Source: Alibaba Cloud, "Plan CIDR blocks for an ACK cluster", CreateCluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from flannelviz.controlplane import node_ipam
from flannelviz.controlplane.ranges import either, free_network, offer
from flannelviz.errors import AddressPlanError
from flannelviz.model import ClusterPlan, Node, usable_pod_ips
from flannelviz.network import counted

NODE_MASKS = range(24, 29)
POD_MASKS = range(8, 29)  # of the pod CIDR as a whole


def pods_per_node_to_mask(pods: int) -> int:
    """Return the node mask for `pods` addresses on each node: 32 - log2(pods).

    Raises: AddressPlanError unless `pods` is 16, 32, 64, 128 or 256.
    Source: CreateCluster, node_cidr_mask from 24 to 28.
    """
    allowed = [1 << (32 - mask) for mask in reversed(NODE_MASKS)]
    if pods not in allowed:
        raise AddressPlanError(f"{pods} addresses on each node is no choice of the console; take {either(allowed)}")
    return 33 - pods.bit_length()


def free_route_entries(plan: ClusterPlan) -> int:
    """Return how many entries of a route table are left for nodes: the quota, less the NAT gateway's default route."""
    return max(0, plan.route_quota - int(plan.nat_gateway))


def max_nodes(plan: ClusterPlan) -> int:
    """Return how many nodes the plan has room for: the podCIDR blocks or the free route entries, whichever is less."""
    return min(plan.max_nodes, free_route_entries(plan))


def shortages(plan: ClusterPlan) -> tuple[str, ...]:
    """Return what the plan runs out of, each with a way out."""
    return (*_too_many_nodes(plan), *_too_many_pods(plan), *_shared_pod_cidrs(plan))


def _too_many_nodes(plan: ClusterPlan) -> Iterator[str]:
    count, blocks, entries = len(plan.nodes), plan.max_nodes, free_route_entries(plan)
    if count > blocks:
        holds = f"{plan.cluster_cidr} holds {counted(blocks, 'block')} of /{plan.node_mask}"
        yield f"{counted(count, 'node')}, but {holds}; {_more_blocks(plan, count)}"
    if count > entries:
        nat = ", one of which is the NAT gateway's" if plan.nat_gateway else ""
        yield (
            f"{counted(count, 'node')}, but a route table has {plan.route_quota} custom entries{nat}, and each node "
            f"needs one; plan {counted(entries, 'node')}, or raise route_quota to {count + int(plan.nat_gateway)}"
        )


def _more_blocks(plan: ClusterPlan, nodes: int) -> str:
    """Return a way to have `nodes` blocks: smaller ones that still hold the pods, or a larger cluster CIDR."""
    cluster, bits = plan.cluster_cidr, (nodes - 1).bit_length()
    longer = cluster.prefixlen + bits
    if longer <= NODE_MASKS[-1] and usable_pod_ips(longer) >= max(len(node.pods) for node in plan.nodes):
        return f"take a node mask of /{longer}"
    return f"{offer(free_for_pods(plan, plan.node_mask - bits))} for the pods"


def _too_many_pods(plan: ClusterPlan) -> Iterator[str]:
    room = usable_pod_ips(plan.node_mask)
    for node in plan.nodes:
        if len(node.pods) > room:
            fitting = next((mask for mask in reversed(NODE_MASKS) if usable_pod_ips(mask) >= len(node.pods)), None)
            way_out = f"take a node mask of /{fitting}" if fitting else f"spread them over more nodes, {room} on each"
            yield f"{len(node.pods)} pods on {node.name}, but a /{plan.node_mask} has {room} pod addresses; {way_out}"


def _shared_pod_cidrs(plan: ClusterPlan) -> Iterator[str]:
    """Return which nodes share a podCIDR, as kube-controller-manager, which does not notice it, would hand them out."""
    if all(node.pod_cidr is None for node in plan.nodes):
        return
    allocator, owners, shared = node_ipam.start(plan), dict[IPv4Network, str](), dict[str, IPv4Network]()
    for node in plan.nodes:
        allocator, handled, _ = node_ipam.node_added(allocator, Node(node.name, pod_cidr=node.pod_cidr))
        cidr = handled.pod_cidr
        if cidr is not None and owners.setdefault(cidr, node.name) != node.name:
            shared[node.name] = cidr
    free = free_network((plan.node_mask,), owners, (plan.cluster_cidr,))
    for name, cidr in shared.items():
        yield f"podCIDR {cidr} of {name} is that of {owners[cidr]}, which registers before it; {offer(free)}"


def free_for_pods(plan: ClusterPlan, mask: int) -> IPv4Network | None:
    """Return a pod CIDR of this mask, or the next longer one, that overlaps nothing of the plan, or None."""
    taken = [network for network in (plan.vpc_cidr, plan.service_cidr) if network is not None]
    return free_network(masks_from(mask, POD_MASKS), taken)


def masks_from(wanted: int, allowed: range) -> range:
    """Return the masks to try: `wanted` or the nearest that is allowed, then the longer ones."""
    return range(min(max(wanted, allowed[0]), allowed[-1]), allowed.stop)
