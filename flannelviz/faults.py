"""Named ways to break a network: who does it in real life, what it changes, how one finds out. Network -> Network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from flannelviz.errors import FaultError
from flannelviz.model import VPC
from flannelviz.network import Network
from flannelviz.tables import CNI0, ETH0, Chain, Link, Origin, Port, RouteEntry, Sysctl, Tables

Target = Literal["node", "pod", "VPC"]
Break = Callable[[Network, str], Network]
FLANNEL_CHAINS = ("FLANNEL-POSTRTG", "FLANNEL-FWD")


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to break a network: what it hits, who causes it in real life, what it changes, what one sees."""

    name: str
    target: Target
    cause: str
    change: str
    symptom: str
    command: str  # what shows the fault on a real machine
    apply: Break


def break_network(network: Network, fault: str | Fault, target: str | None = None) -> Network:
    """Return `network` with one fault in it; the given network stays as it was.

    Raises: FaultError if there is no such fault, or it does not fit this target.
    """
    found = fault if isinstance(fault, Fault) else fault_called(fault)
    return found.apply(network, _checked_target(network, found, target))


def fault_called(name: str) -> Fault:
    """Return the fault of this name.

    Raises: FaultError, with the names there are.
    """
    found = next((fault for fault in FAULTS if fault.name == name), None)
    if found is None:
        raise FaultError(f"there is no fault called {name!r}; there are {', '.join(f.name for f in FAULTS)}")
    return found


def targets(network: Network, fault: Fault) -> tuple[str, ...]:
    """Return the places that `fault` can hit in this network."""
    if fault.target == "VPC":
        return (VPC,)
    if fault.target == "node":
        return tuple(name for name in network.nodes if name in network.written)
    return tuple(place for place in network.pods if network.port(place) is not None)


def _checked_target(network: Network, fault: Fault, target: str | None) -> str:
    possible = targets(network, fault)
    if target is None and possible:
        return possible[0]
    place = network.place(target) if target is not None else ""
    if place not in possible:
        named = ", ".join(possible[:6]) or "none in this network"
        raise FaultError(f"{fault.name} hits a {fault.target}, and {target!r} is none; possible: {named}")
    return place


# --- what they change ----------------------------------------------------------------------------------------------


def _origin(fault: str) -> Origin:
    return Origin("fault", fault, f"{fault} is switched on")


def _edit(change: Callable[[Tables], Tables]) -> Break:
    """Return a fault that changes the tables of one place."""
    return lambda network, place: network.writing(place, change(network.tables(place)))


def _setting(name: str, value: int) -> Break:
    return _edit(lambda tables: tables.adding(Sysctl(name, value, _origin(f"{name}={value}"))))


def _link_down(name: str) -> Break:
    def change(tables: Tables) -> Tables:
        link = tables.link(name)
        return tables if link is None else tables.adding(replace(link, up=False))

    return _edit(change)


def _entry_of(network: Network, node: str) -> RouteEntry:
    cidr = network.nodes[node].pod_cidr
    found = next((e for e in network.vpc.routes if e.dst == cidr and e.kind == "Custom"), None)
    if found is None:
        raise FaultError(
            f"the VPC holds no entry for {node}'s podCIDR {cidr}; break another node, or add the entry first"
        )
    return found


def _without_entry(network: Network, node: str) -> Network:
    return network.writing_vpc(network.vpc.without(_entry_of(network, node)))


def _pointing_at(choose: Callable[[Network, str], str], fault: str) -> Break:
    """Return a fault that points a node's VPC entry at another instance."""

    def apply(network: Network, node: str) -> Network:
        old = _entry_of(network, node)
        wrong = replace(old, next_hop_id=choose(network, node), origin=_origin(fault))
        return network.writing_vpc(network.vpc.without(old).adding(wrong))

    return apply


def _other_instance(network: Network, node: str) -> str:
    """Return the instance of the last other node: on the running example, of the one that is neither end."""
    others = [name for name in network.nodes if name != node and name in network.ecs]
    if not others:
        raise FaultError(f"{node} is the only node; a wrong next hop needs another one")
    return network.ecs[others[-1]].instance_id


def _without_instance_entries(network: Network, _target: str) -> Network:
    gone = tuple(e for e in network.vpc.routes if e.next_hop_type == "Instance")
    return network.writing_vpc(network.vpc.without(*gone))


def _without_security_rule(network: Network, _target: str) -> Network:
    groups = tuple(replace(group, inbound=()) for group in network.vpc.security_groups)
    return network.writing_vpc(replace(network.vpc, security_groups=groups))


def _without_nat_gateway(network: Network, _target: str) -> Network:
    gone = tuple(e for e in network.vpc.routes if e.next_hop_type == "NatGateway")
    return network.writing_vpc(replace(network.vpc.without(*gone), snat=()))


def _without_snat(network: Network, _target: str) -> Network:
    return network.writing_vpc(replace(network.vpc, snat=()))


def _source_check(network: Network, node: str) -> Network:
    address = network.ecs[node].address
    checked = replace(network.vpc.enis[address], source_dest_check=True)
    return network.writing_vpc(replace(network.vpc, enis={**network.vpc.enis, address: checked}))


def _flushed(table: str) -> Callable[[Tables], Tables]:
    """Return tables with every chain of one iptables table emptied, and chains of one's own gone."""

    def change(tables: Tables) -> Tables:
        kept = tuple(
            replace(c, rules=()) if c.table == table else c
            for c in tables.chains
            if c.table != table or c.policy is not None
        )
        return replace(tables, chains=kept)

    return change


def _forward_policy_drop(tables: Tables) -> Tables:
    old = tables.chain("filter", "FORWARD") or Chain("filter", "FORWARD", "ACCEPT")
    return tables.adding(replace(old, policy="DROP", origin=_origin("forward-drop")))


def _without_flanneld(tables: Tables) -> Tables:
    emptied = _flushed("nat")(_flushed("filter")(tables))
    return replace(emptied, files=tuple(f for f in emptied.files if not f.path.startswith("/run/flannel")))


def _without_cni0(tables: Tables) -> Tables:
    """Return tables as after `ip link delete cni0`: the ports lose their master, the pods keep their veths."""
    unplugged = (
        replace(tables.lan, ports=tuple(p._replace(attached=False) for p in tables.lan.ports)) if tables.lan else None
    )
    return replace(
        tables,
        fixed_links=tuple(link for link in tables.fixed_links if link.name != CNI0),
        addresses=tuple(a for a in tables.addresses if a.dev != CNI0),
        routes=tuple(r for r in tables.routes if r.dev != CNI0),
        lan=unplugged,
    )


def _without_cni0_address(tables: Tables) -> Tables:
    return replace(
        tables,
        addresses=tuple(a for a in tables.addresses if a.dev != CNI0),
        routes=tuple(r for r in tables.routes if r.dev != CNI0),
    )


def _port_changed(change: Callable[[Port], Port]) -> Break:
    """Return a fault at a pod's port, which lives in its node's tables."""

    def apply(network: Network, pod: str) -> Network:
        node = network.pods[pod].node or ""
        tables = network.tables(node)
        assert tables.lan is not None, "a pod with a port has a LAN"
        ports = tuple(change(port) if port.pod == pod else port for port in tables.lan.ports)
        return network.writing(node, replace(tables, lan=replace(tables.lan, ports=ports)))

    return apply


def _without_routes(keep: Callable[[Tables], tuple[object, ...]]) -> Break:
    return _edit(lambda tables: replace(tables, routes=tuple(r for r in tables.routes if r in keep(tables))))


def _smaller_mtu(tables: Tables) -> Tables:
    link = tables.link(ETH0) or Link(ETH0, "device")
    return tables.adding(replace(link, mtu=1400, origin=_origin("eth0-mtu-1400")))


FAULTS: tuple[Fault, ...] = (
    Fault(
        "vpc-route-missing",
        "node",
        "someone deletes the entry in the VPC console; or the cloud-controller-manager had no quota or no rights for it",
        "the VPC route table loses the entry for this node's podCIDR",
        "pods on this node and pods elsewhere cannot reach each other; same node and Internet are fine",
        "aliyun vpc DescribeRouteEntryList",
        _without_entry,
    ),
    Fault(
        "vpc-route-wrong-ecs",
        "node",
        "a hand-made entry, or one left by a node that was replaced, until the periodic pass repairs it",
        "the entry for this node's podCIDR points at another ECS",
        "packets for its pods come to the wrong node, which sends them back to the VPC: a loop until the TTL ends",
        "aliyun vpc DescribeRouteEntryList",
        _pointing_at(_other_instance, "vpc-route-wrong-ecs"),
    ),
    Fault(
        "vpc-route-stale",
        "node",
        "an ECS was released, and nobody deleted its entry: cloud-controller-managers before v1.9.3.220 never do",
        "the entry for this node's podCIDR points at an instance that is gone",
        "packets for its pods vanish in the VPC",
        "aliyun vpc DescribeRouteEntryList",
        _pointing_at(lambda _network, _node: "i-released0000000000", "vpc-route-stale"),
    ),
    Fault(
        "several-route-tables",
        "VPC",
        "a second route table is made in the VPC, and the cloud-controller-manager is not told which to use",
        "the cloud-controller-manager writes no entry at all",
        "no pod reaches a pod on another node; every node keeps the taint network-unavailable",
        "kubectl describe node | grep -A3 NetworkUnavailable",
        _without_instance_entries,
    ),
    Fault(
        "security-group-rule-missing",
        "VPC",
        "someone tidies up the cluster's security group and deletes the rule for the pod CIDR",
        "the security group no longer lets pod addresses in",
        "pods do not reach pods on other nodes; same node and Internet are fine, node to node as well",
        "aliyun ecs DescribeSecurityGroupAttribute",
        _without_security_rule,
    ),
    Fault(
        "source-dest-check-on",
        "node",
        "the check of the primary ENI was never switched off, or was switched on again by hand",
        "the VPC drops what leaves this node's ENI with a source that is not the ENI's own address",
        "pods of this node reach nobody in the cluster outside their node; the Internet works, thanks to SNAT",
        "aliyun ecs DescribeNetworkInterfaces",
        _source_check,
    ),
    Fault(
        "nat-gateway-missing",
        "VPC",
        "'Configure SNAT for VPC' was not ticked when the cluster was made: an ACK cluster has no Internet by default",
        "no NAT gateway, so no default entry in the VPC route table",
        "no pod reaches the Internet, although the node translates the source correctly",
        "aliyun vpc DescribeRouteEntryList",
        _without_nat_gateway,
    ),
    Fault(
        "snat-entry-missing",
        "VPC",
        "the NAT gateway is there, but nobody gave it an SNAT entry for the nodes' vSwitch",
        "the NAT gateway translates nothing",
        "no pod reaches the Internet; the packets die at the NAT gateway",
        "aliyun vpc DescribeSnatTableEntries",
        _without_snat,
    ),
    Fault(
        "ip-forward-off",
        "node",
        "a hardening script or a sysctl.d file that writes net.ipv4.ip_forward = 0",
        "the node no longer forwards between its devices",
        "cross-node and Internet traffic of its pods dies in silence; within the node all is well",
        "sysctl net.ipv4.ip_forward",
        _setting("net.ipv4.ip_forward", 0),
    ),
    Fault(
        "forward-drop",
        "node",
        "Docker 1.13 or later switched on ip_forward itself, and set the FORWARD policy to DROP",
        "filter FORWARD has the policy DROP; flanneld's two accept rules are still there",
        "nothing, as long as flanneld's rules are there",
        "iptables -S FORWARD",
        _edit(_forward_policy_drop),
    ),
    Fault(
        "forward-drop-without-flanneld",
        "node",
        "policy DROP as Docker sets it, on a node whose flanneld is older than v0.9.1 or whose rules were flushed",
        "filter FORWARD has the policy DROP and no accept rule",
        "nothing is forwarded; with bridge-nf-call-iptables=1 not even between two pods of the node",
        "iptables -S FORWARD",
        _edit(lambda tables: _forward_policy_drop(_flushed("filter")(tables))),
    ),
    Fault(
        "masquerade-missing",
        "node",
        "someone flushes the nat table; flanneld from v0.9.1 puts it back within seconds, if it still runs",
        "the nat table is empty",
        "pods lose the Internet; pod to pod works, and other ECS now see pod addresses",
        "iptables -t nat -S POSTROUTING",
        _edit(_flushed("nat")),
    ),
    Fault(
        "flanneld-not-running",
        "node",
        "the daemonset does not tolerate a taint of this node, or its image cannot be pulled",
        "no masquerade rules, no forward rules, no /run/flannel/subnet.env",
        "new pods stay in ContainerCreating; running ones lose the Internet",
        "ls /run/flannel/subnet.env",
        _edit(_without_flanneld),
    ),
    Fault(
        "cni0-missing",
        "node",
        "someone ran `ip link delete cni0` and restarted no pod",
        "no bridge, no gateway address, no route into the pod LAN",
        "its pods are cut off; what comes for them from the VPC goes back there: a loop until the TTL ends",
        "ip link show cni0",
        _edit(_without_cni0),
    ),
    Fault(
        "cni0-down",
        "node",
        "`ip link set cni0 down`, or a network manager that takes over unknown bridges",
        "cni0 is down, and the kernel takes its route away",
        "its pods are cut off; what comes for them from the VPC loops until the TTL ends",
        "ip link show cni0",
        _link_down(CNI0),
    ),
    Fault(
        "cni0-without-address",
        "node",
        "the first ADD failed in IPAM, after the bridge was made and before it had its address",
        "cni0 is up and has no address, so the kernel makes no route into the pod LAN",
        "pods of this node reach each other and nobody else",
        "ip addr show cni0",
        _edit(_without_cni0_address),
    ),
    Fault(
        "eth0-down",
        "node",
        "the ECS loses its ENI, or an administrator its senses",
        "eth0 is down, and every route through it is gone",
        "the node and its pods are cut off; within the node all is well",
        "ip link show eth0",
        _link_down(ETH0),
    ),
    Fault(
        "eth0-mtu-1400",
        "node",
        "an image or a script that lowers the MTU of eth0 after the pods were made with 1500",
        "eth0 passes at most 1400 bytes, the pods still send 1500",
        "small packets pass; large ones come back as 'fragmentation needed', if that ICMP gets through",
        "ip link show eth0",
        _edit(_smaller_mtu),
    ),
    Fault(
        "rp-filter-strict",
        "node",
        "a hardening guide: net.ipv4.conf.all.rp_filter = 1",
        "a packet is accepted only from the device by which its source would be reached",
        "nothing on a healthy ACK network: every way back is the way there",
        "sysctl net.ipv4.conf.all.rp_filter",
        _setting("net.ipv4.conf.all.rp_filter", 1),
    ),
    Fault(
        "bridge-nf-off",
        "node",
        "the module br_netfilter is not loaded, or the sysctl is 0",
        "frames that cross cni0 from port to port are not shown to iptables",
        "nothing by itself; ClusterIP answers between pods of one node break",
        "sysctl net.bridge.bridge-nf-call-iptables",
        _setting("net.bridge.bridge-nf-call-iptables", 0),
    ),
    Fault(
        "veth-detached",
        "pod",
        "cni0 was deleted and made again: the veths of old pods are not plugged in again",
        "the host end of the pod's veth has no master",
        "the pod sends, its node answers for the gateway, but nothing finds the way back to it",
        "bridge link",
        _port_changed(lambda port: port._replace(attached=False)),
    ),
    Fault(
        "veth-host-down",
        "pod",
        "`ip link set vethXXXXXXXX down` on the node",
        "the host end of the pod's veth is down, so the pod's eth0 has no carrier",
        "the pod reaches nobody, and nobody reaches it",
        "ip link | grep veth",
        _port_changed(lambda port: port._replace(up=False)),
    ),
    Fault(
        "pod-without-default-route",
        "pod",
        "the delegate lacks isDefaultGateway: upstream's manifest has it, a hand-written one may not",
        "the pod has routes to the cluster CIDR and its own podCIDR, and no default route",
        "other pods are reachable; everything else is 'Network is unreachable'",
        "ip route",
        _without_routes(lambda tables: tuple(r for r in tables.routes if r.dst.prefixlen > 0)),
    ),
    Fault(
        "pod-without-routes",
        "pod",
        "a privileged container that runs `ip route flush`, or a CNI plugin that died half way",
        "the pod has its on-link route and nothing else",
        "only pods of the same node are reachable",
        "ip route",
        _without_routes(lambda tables: tuple(r for r in tables.routes if r.via is None)),
    ),
)
