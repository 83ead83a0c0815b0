"""Terway's data path: policy rules decide which table is asked, and the VPC delivers to each pod by its own address."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from flannelviz.controlplane.terway import host_end
from flannelviz.controlplane.timeline import build
from flannelviz.dataplane.lookup import deciding_rule
from flannelviz.dataplane.trace import trace
from flannelviz.model import ServicePlan
from flannelviz.network import Network
from flannelviz.packet import Disposition
from flannelviz.tables import Link, PolicyRule, Route, Sysctl, Tables
from flannelviz.topologies import article_plan

A1, A2, B1 = "192.168.0.1", "192.168.0.2", "192.168.0.3"
NODE_A, NODE_B = "192.168.0.10", "192.168.0.11"
EVERYWHERE = IPv4Network("0.0.0.0/0")


@pytest.fixture(scope="module")
def network() -> Network:
    service = ServicePlan("web", IPv4Address("172.19.0.10"), 80, ("b1",))
    nodes = tuple(replace(node, pod_cidr=None) for node in article_plan().nodes)
    return build(replace(article_plan(), cni="terway", nodes=nodes, services=(service,))).network


@pytest.mark.parametrize(
    ("source", "destination", "places", "seen", "ttl"),
    [
        ("a1", "a2", "a1 node-a a2", A1, 63),  # routed on the node, where flannel has a bridge
        ("a1", "b1", "a1 node-a VPC node-b b1", A1, 62),
        ("a1", "db", "a1 node-a VPC db", A1, 63),  # no masquerade: the vSwitch knows a1
        ("a1", "node-b", "a1 node-a VPC node-b", A1, 63),
        ("db", "b1", "db VPC node-b b1", "192.168.0.12", 63),
        ("node-a", "a1", "node-a a1", NODE_A, 64),
        ("node-a", "b1", "node-a VPC node-b b1", NODE_A, 63),
        ("a1", "Internet", "a1 node-a VPC Internet", "198.51.100.1", 63),
        ("a1", "172.19.0.10", "a1 node-a VPC node-b b1", A1, 62),
    ],
)
def test_journeys(network: Network, source: str, destination: str, places: str, seen: str, ttl: int) -> None:
    found = trace(network, source, destination, proto="tcp", dport=80)
    assert found.ok
    assert [hop.place.removeprefix("default/") for hop in found.request] == places.split()
    assert (str(found.source_seen), found.request[-1].sent.ttl) == (seen, ttl)


@pytest.mark.parametrize(
    ("place", "priority", "dev"),
    [("node-a", 2048, "eth1"), ("node-b", 512, host_end("default/b1"))],
)
def test_a_policy_rule_decides_and_is_shown(network: Network, place: str, priority: int, dev: str) -> None:
    hop = next(hop for hop in trace(network, "a1", "b1").request if hop.place == place)
    rule = next(step for step in hop.steps if step.kind == "ip rule")
    assert rule.row.priority == priority
    assert rule.command == f"ssh {place} ip rule"
    assert hop.because.dev == dev


def test_the_vpc_decides_by_the_vswitch_and_the_eni(network: Network) -> None:
    hop = next(hop for hop in trace(network, "a1", "b1").request if hop.place == "VPC")
    rows = {step.kind: step.row for step in hop.steps}
    assert str(rows["vpc route"].dst) == "192.168.0.0/24"
    assert (str(rows["eni"].address), rows["eni"].device, hop.next_dev) == (B1, "eth1", "eth1")


def test_without_its_rule_a_pod_leaves_by_eth0_and_comes_back_by_eth1(network: Network) -> None:
    tables = network.tables("node-a")
    ours = next(rule for rule in tables.policy if rule.src == IPv4Network(A1))
    found = trace(network.writing("node-a", tables.without(ours)), "a1", "b1")
    assert next(hop for hop in found.request if hop.place == "node-a").out_dev == "eth0"
    assert found.ok


def test_without_its_address_on_the_eni_a_pod_is_unknown_to_the_vpc(network: Network) -> None:
    enis = {address: eni for address, eni in network.vpc.enis.items() if str(address) != B1}
    found = trace(network.writing_vpc(replace(network.vpc, enis=enis)), "a1", "b1")
    assert (found.disposition, found.died_at) == (Disposition.UNDELIVERABLE, "VPC")


def test_rp_filter_asks_the_rules_as_if_the_answer_came_in_where_the_packet_goes_out(network: Network) -> None:
    """fib_frontend.c, __fib_validate_source: what leaves for a pod is asked back from that pod's device, so by eth1."""
    strict = network.tables("node-b").adding(Sysctl("net.ipv4.conf.all.rp_filter", 1))
    assert trace(network.writing("node-b", strict), "b1", "node-a").ok
    assert not trace(network.writing("node-b", replace(strict, policy=())), "b1", "a1").ok


def test_what_rp_filter_shows_is_the_route_that_it_found(network: Network) -> None:
    """What goes on to a pod is asked back by the rule for that pod's own packets, not by the main table."""
    tables = network.tables("node-a").adding(Sysctl("net.ipv4.conf.all.rp_filter", 1))
    ours = next(rule for rule in tables.policy if rule.src == IPv4Network(A1))
    elsewhere = Route(EVERYWHERE, "eth0", via=IPv4Address("192.168.0.253"), table=77)
    changed = tables.without(ours).adding(replace(ours, table=77), elsewhere)
    found = trace(network.writing("node-a", changed), "b1", "a1")
    assert (found.disposition, found.died_at) == (Disposition.SOURCE_REJECTED, "node-a")
    assert found.request[-1].because == elsewhere
    assert found.request[-1].steps[-1].command == f"ssh node-a ip route get {B1} from {A1} iif {host_end('default/a1')}"


# --- which table is asked --------------------------------------------------------------------------------------------

TABLES = Tables(
    fixed_links=(Link("eth0", "device"), Link("eth1", "device"), Link("cali1", "veth")),
    routes=(
        Route(EVERYWHERE, "eth0"),
        Route(EVERYWHERE, "eth1", table=1003),
        Route(IPv4Network("10.0.0.0/8"), "eth1", table=7),
    ),
    policy=(
        PolicyRule(2048, 1003, src=IPv4Network("192.168.0.1/32"), in_dev="cali1"),
        PolicyRule(512, 254, dst=IPv4Network("192.168.0.1/32")),
        PolicyRule(100, 7),
        PolicyRule(512, 1003, dst=IPv4Network("192.168.0.1/32")),
    ),
)


@pytest.mark.parametrize(
    ("src", "dst", "in_dev", "priority"),
    [
        ("192.168.0.1", "10.1.1.1", "cali1", 100),  # the lowest priority first
        ("192.168.0.1", "8.8.8.8", "cali1", 2048),  # table 7 has no route, so the next rule is asked
        ("192.168.0.1", "8.8.8.8", "eth0", None),  # another device: the main table
        ("192.168.0.2", "8.8.8.8", "cali1", None),
        ("192.168.0.1", "192.168.0.1", "cali1", 512),
        (None, "8.8.8.8", "cali1", None),  # no source yet
    ],
)
def test_the_first_rule_that_matches_and_whose_table_has_a_route(
    src: str | None, dst: str, in_dev: str, priority: int | None
) -> None:
    rule = deciding_rule(TABLES, IPv4Address(dst), IPv4Address(src) if src else None, in_dev)
    assert (rule.priority if rule else None) == priority


@pytest.mark.parametrize(("priority", "asked"), [(32765, True), (32766, False), (32767, False)])
def test_behind_the_rule_of_the_main_table_only_what_has_no_route_there_is_asked(priority: int, asked: bool) -> None:
    rule, other = PolicyRule(priority, 77), Route(EVERYWHERE, "eth1", table=77)
    both = replace(TABLES, policy=(rule,), routes=(Route(EVERYWHERE, "eth0"), other))
    assert deciding_rule(both, IPv4Address("8.8.8.8"), None, None) == (rule if asked else None)
    assert deciding_rule(replace(both, routes=(other,)), IPv4Address("8.8.8.8"), None, None) == rule


def test_of_two_rules_of_one_priority_the_older_one_is_asked() -> None:
    own = IPv4Address("192.168.0.1")
    assert deciding_rule(TABLES, own, None, None) == TABLES.policy[1]
