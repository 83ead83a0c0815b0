"""The clusters of the kernel record, built as values: what a line of it starts from, and what it breaks."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from flannelviz.controlplane.timeline import build
from flannelviz.dataplane.trace import trace
from flannelviz.faults import break_network
from flannelviz.model import ClusterPlan, NodePlan, VSwitch
from flannelviz.network import Network
from flannelviz.packet import Learned
from flannelviz.tables import (
    Chain,
    LeasedLine,
    Link,
    Match,
    Origin,
    RouteEntry,
    Rule,
    SecurityGroup,
    SecurityRule,
    Tables,
)

EVERYWHERE, OUTSIDE = IPv4Network("0.0.0.0/0"), IPv4Network("203.0.113.0/24")
NODES = (
    {"name": "node-a", "ip": "192.168.0.10", "pod_cidr": "172.16.0.128/25", "pods": ["web", "db"]},
    {"name": "node-b", "ip": "192.168.0.11", "pod_cidr": "172.16.8.0/25", "pods": ["web", "db"]},
    {"name": "node-c", "ip": "192.168.0.12", "pod_cidr": "172.16.9.0/25", "pods": ["web", "db"]},
)
ORIGIN = Origin("laboratory", "prepares the case")


def laboratory(spec: dict[str, Any]) -> Network:
    """Return the recorded cluster: a router in place of the VPC, which leads to the outside host untranslated."""
    backend = {"vpc-route": "alloc"}.get(spec.get("backend", "alloc"), spec.get("backend", "alloc"))
    plan = ClusterPlan(
        vswitches=(VSwitch("vsw-a", IPv4Network("192.168.0.0/16")),),
        nodes=tuple(_node(node) for node in spec.get("nodes", NODES)),
        rules=spec.get("rules", "v0.10"),
        masquerade=spec.get("masq", True),
        vpc_decrements_ttl=True,
        nat_gateway=False,
        hairpin=True,
        backend=backend,
        fabric="switch" if backend == "host-gw" and spec.get("vswitch") != "routed" else "routed",
    )
    network = _with_settings(build(plan, strict=False).network, spec)
    return network.writing_vpc(
        replace(
            network.vpc.adding(RouteEntry(OUTSIDE, "Attachment", origin=ORIGIN)),
            answers_all_arp=False,
            leased_line=LeasedLine(known=(plan.vpc_cidr,), admitted=(plan.vpc_cidr,)),
            security_groups=(SecurityGroup("sg-cluster", (SecurityRule(EVERYWHERE, origin=ORIGIN),)),),
        )
    )


def _node(node: dict[str, Any]) -> NodePlan:
    cidr = IPv4Network(node["pod_cidr"], strict=False)
    return NodePlan(node["name"], tuple(f"{node['name']}/{pod}" for pod in node["pods"]), IPv4Address(node["ip"]), cidr)


def _with_settings(network: Network, spec: dict[str, Any]) -> Network:
    for name in network.nodes:
        if spec.get("bridge_nf") is False:
            network = break_network(network, "bridge-nf-off", name)
        if spec.get("rp_filter"):
            network = break_network(network, "rp-filter-strict", name)
    return network


def warmed(network: Network) -> Learned:
    """Return what is known after every pair has talked."""
    learned = Learned()
    for source in network.pods:
        for destination in network.pods:
            if source != destination:
                learned = trace(network, source, destination, learned=learned).learned
    return learned


# --- what the record breaks -----------------------------------------------------------------------------------------

Change = Callable[[Network, Network, str], Network]  # healthy network, broken so far, what stands behind the colon


def broken(healthy: Network, faults: list[str]) -> Network:
    """Return `healthy` with the record's faults in it, in order."""
    network = healthy
    for text in faults:
        name, _, target = text.partition(":")
        if name == "warm":
            continue
        change = ONLY_HERE.get(name)
        network = change(healthy, network, target) if change else break_network(network, name, target.split(">")[0])
    return network


def _edit(network: Network, place: str, change: Callable[[Tables], Tables]) -> Network:
    return network.writing(place, change(network.tables(place)))


def _conntrack_in_use(_healthy: Network, network: Network, node: str) -> Network:
    """A firewall rule that asks conntrack keeps it running when the last nat rule goes."""
    chain = Chain("filter", "INPUT", "ACCEPT", (Rule("RETURN", ctstate="INVALID", origin=ORIGIN),))
    return _edit(network, node, lambda tables: tables.adding(chain))


def _masquerade_back(healthy: Network, network: Network, node: str) -> Network:
    back = tuple(chain for chain in healthy.tables(node).chains if chain.table == "nat")
    return _edit(network, node, lambda tables: tables.adding(*back))


def _external_route_to_pods(_healthy: Network, network: Network, _target: str) -> Network:
    line = network.vpc.leased_line
    assert line is not None
    assert network.plan is not None
    known = replace(line, known=(*line.known, network.plan.cluster_cidr))
    return network.writing_vpc(replace(network.vpc, leased_line=known))


def _pod_mtu_1500(_healthy: Network, network: Network, pod: str) -> Network:
    link = network.tables(pod).link("eth0") or Link("eth0", "veth")
    return _edit(network, pod, lambda tables: tables.adding(replace(link, mtu=1500)))


def _first_rule(tables: Tables, chain: str, rule: Rule) -> Tables:
    old = tables.chain("nat", chain)
    assert old is not None
    return tables.adding(replace(old, rules=(rule, *old.rules)))


def _service(_healthy: Network, network: Network, target: str) -> Network:
    address, _, pod = target.partition(">")
    endpoint = network.pod_ip(pod)
    assert endpoint is not None
    rule = Rule("DNAT", dst=Match(IPv4Network(address)), to=(endpoint, None), origin=ORIGIN)
    for node in network.nodes:
        network = _edit(network, node, lambda t: _first_rule(_first_rule(t, "PREROUTING", rule), "OUTPUT", rule))
    return network


def _hairpin_masquerade(_healthy: Network, network: Network, pod: str) -> Network:
    own = Match(IPv4Network(network.pod_ip(pod)))
    rule = Rule("MASQUERADE", src=own, dst=own, origin=ORIGIN)
    return _edit(network, network.pods[pod].node or "", lambda tables: _first_rule(tables, "POSTROUTING", rule))


def _hairpin_off(_healthy: Network, network: Network, pod: str) -> Network:
    def change(tables: Tables) -> Tables:
        assert tables.lan is not None
        ports = tuple(port._replace(hairpin=False) if port.pod == pod else port for port in tables.lan.ports)
        return replace(tables, lan=replace(tables.lan, ports=ports))

    return _edit(network, network.pods[pod].node or "", change)


ONLY_HERE: dict[str, Change] = {
    "conntrack-in-use": _conntrack_in_use,
    "masquerade-back": _masquerade_back,
    "external-route-to-pods": _external_route_to_pods,
    "pod-mtu-1500": _pod_mtu_1500,
    "service": _service,
    "service-hairpin-masquerade": _hairpin_masquerade,
    "hairpin-off": _hairpin_off,
}
