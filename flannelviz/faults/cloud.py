"""What faults change in the VPC, and in the Nodes for which the cloud-controller-manager speaks there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network

from flannelviz.controlplane.cloud_routes import initialized
from flannelviz.controlplane.flanneld import SUBNET_ENV
from flannelviz.errors import FaultError
from flannelviz.faults.changes import Break, origin, unwired, without_cni0, without_flanneld
from flannelviz.model import Pod
from flannelviz.network import Network
from flannelviz.tables import (
    ETH0,
    Eni,
    LeasedLine,
    RouteEntry,
    RouteTable,
    SecurityGroup,
)


def entry_of(network: Network, node: str) -> RouteEntry:
    """Return the VPC entry for a node's podCIDR.

    Raises: FaultError if there is none to break.
    """
    cidr = network.nodes[node].pod_cidr
    found = next((e for e in network.vpc.routes if e.dst == cidr and e.kind == "Custom"), None)
    if found is None:
        raise FaultError(
            f"the VPC holds no entry for {node}'s podCIDR {cidr}; break another node, or add the entry first"
        )
    return found


def has_entry(network: Network, node: str) -> bool:
    """Return whether the VPC holds an entry for a node's podCIDR; with vxlan, host-gw and Terway it needs none."""
    known: frozenset[IPv4Network] | None = network.vpc.memo.get("custom entries")
    if known is None:
        known = network.vpc.memo["custom entries"] = frozenset(e.dst for e in network.vpc.routes if e.kind == "Custom")
    return network.nodes[node].pod_cidr in known


def has_instance_entries(network: Network, _target: str) -> bool:
    """Return whether any VPC entry leads to an ECS."""
    return any(e.next_hop_type == "Instance" for e in network.vpc.routes)


def without_entry(network: Network, node: str) -> Network:
    """Return `network` without the VPC entry for this node's podCIDR."""
    return network.writing_vpc(network.vpc.without(entry_of(network, node)))


def pointing_at(choose: Callable[[Network, str], str], fault: str) -> Break:
    """Return a fault that points a node's VPC entry at another instance."""

    def apply(network: Network, node: str) -> Network:
        old = entry_of(network, node)
        wrong = replace(old, next_hop_id=choose(network, node), origin=origin(fault))
        return network.writing_vpc(network.vpc.without(old).adding(wrong))

    return apply


def other_instance(network: Network, node: str) -> str:
    """Return the instance of the last other node: on the running example, of the one that is neither end."""
    others = [name for name in network.nodes if name != node and name in network.ecs]
    if not others:
        raise FaultError(f"{node} is the only node; a wrong next hop needs another one")
    return network.ecs[others[-1]].instance_id


def with_second_route_table(network: Network, _target: str) -> Network:
    """Return `network` as a cloud-controller-manager leaves it that does not know which of two route tables to use."""
    unrouted = without_cloud_routes(network, _target)
    vpc = unrouted.vpc
    given = tuple(e for e in vpc.routes if e.kind == "System")
    second = RouteTable(f"vtb-custom-{len(vpc.route_tables)}", "Custom", given)
    return unrouted.writing_vpc(replace(vpc, route_tables=(*vpc.route_tables, second)))


def without_cloud_routes(network: Network, _target: str) -> Network:
    """Return `network` as a cloud-controller-manager leaves it that has made no entry for any Node."""
    gone = tuple(e for e in network.vpc.routes if e.next_hop_type == "Instance")
    return _without_route(network.writing_vpc(network.vpc.without(*gone)), tuple(network.nodes))


def quota_reached(network: Network, node: str) -> Network:
    """Return `network` as if the route table had been full when this node joined."""
    vpc = without_entry(network, node).vpc
    full = replace(vpc.system_table, quota=vpc.system_table.custom_entries)
    return _without_route(network.writing_vpc(replace(vpc, route_tables=(full, *vpc.route_tables[1:]))), (node,))


def _without_route(network: Network, nodes: tuple[str, ...]) -> Network:
    """Return `network` with the condition of a Node that never got its route."""
    return replace(network, nodes={**network.nodes, **{name: initialized(network.nodes[name]) for name in nodes}})


def with_vswitch_over_pods(network: Network, node: str) -> Network:
    """Return `network` with a vSwitch that has this node's podCIDR, so that the entry for it was refused."""
    vpc = without_entry(network, node).vpc
    local = RouteEntry(entry_of(network, node).dst, "local", kind="System", origin=origin("vswitch-over-pods"))
    return _without_route(network.writing_vpc(vpc.adding(local)), (node,))


def without_pod_cidr(network: Network, node: str) -> Network:
    """Return `network` with a Node that was never given a podCIDR: no entry, no flanneld, no pod with an address."""
    bare = replace(without_cni0(without_flanneld(network.tables(node))), lan=None)
    left = _without_route(network.writing_vpc(without_entry(network, node).vpc), (node,)).writing(node, bare)
    unallocated = replace(left.nodes[node], pod_cidr=None, annotations=())
    stuck = {place: _stuck(network.pods[place]) for place in network.pods_on(node)}
    return replace(unwired(left, node), nodes={**left.nodes, node: unallocated}, pods={**left.pods, **stuck})


def _stuck(pod: Pod) -> Pod:
    """Return `pod` as it waits on a node on which flanneld never came so far; in the host's network it runs."""
    if pod.host_network:
        return pod
    return replace(pod, phase="Pending", ip=None, message=f"open {SUBNET_ENV}: no such file or directory")


def with_overlapping_peer(network: Network, _target: str) -> Network:
    """Return `network` with a line to hosts that have addresses of the cluster CIDR.

    Shape: the line takes what comes from the VPC; a pod's address is one of its own for the other end.
    """
    if network.plan is None:
        raise FaultError("the cluster CIDR is not known, so neither is what overlaps it; take a network that was built")
    entry = RouteEntry(
        network.plan.cluster_cidr, "Attachment", "tr-attach-peer", origin=origin("peer-range-overlaps-pods")
    )
    line = LeasedLine(known=(), admitted=(network.plan.vpc_cidr,))
    return network.writing_vpc(replace(network.vpc.adding(entry), leased_line=line))


def with_foreign_security_group(network: Network, node: str) -> Network:
    """Return `network` with this node's ENI in a security group that has no rule."""
    foreign = SecurityGroup("sg-foreign")
    eni = replace(eni_of(network, node), security_group=foreign.id)
    groups = (*(group for group in network.vpc.security_groups if group.id != foreign.id), foreign)
    vpc = replace(network.vpc, security_groups=groups, enis={**network.vpc.enis, eni.address: eni})
    return network.writing_vpc(vpc)


def eni_of(network: Network, node: str) -> Eni:
    """Return the primary ENI of a node.

    Raises: FaultError if the VPC knows none.
    """
    found = next((eni for eni in network.vpc.enis.values() if eni.place == node and eni.device == ETH0), None)
    if found is None:
        raise FaultError(f"the VPC knows no ENI of {node}; break another node, or attach one first")
    return found


def without_security_rule(network: Network, _target: str) -> Network:
    """Return `network` with security groups that have no inbound rule."""
    groups = tuple(replace(group, inbound=()) for group in network.vpc.security_groups)
    return network.writing_vpc(replace(network.vpc, security_groups=groups))


def without_nat_gateway(network: Network, _target: str) -> Network:
    """Return `network` without NAT gateway: neither default entry nor SNAT entries."""
    gone = tuple(e for e in network.vpc.routes if e.next_hop_type == "NatGateway")
    return network.writing_vpc(replace(network.vpc.without(*gone), snat=()))


def without_snat(network: Network, _target: str) -> Network:
    """Return `network` with a NAT gateway that translates nothing."""
    return network.writing_vpc(replace(network.vpc, snat=()))


def source_check(network: Network, node: str) -> Network:
    """Return `network` with the source/destination check of this node's ENI switched on."""
    checked = replace(eni_of(network, node), source_dest_check=True)
    return network.writing_vpc(replace(network.vpc, enis={**network.vpc.enis, checked.address: checked}))
