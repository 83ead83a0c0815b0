"""A ClusterIP is an address that no device has: kube-proxy's rules send it to a pod, and conntrack brings it back."""

from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from flannelviz.controlplane.timeline import build
from flannelviz.dataplane.trace import trace
from flannelviz.faults import break_network
from flannelviz.model import ClusterPlan, ServicePlan
from flannelviz.network import Network
from flannelviz.packet import Disposition, Trace
from flannelviz.tables import Chain, Rule
from flannelviz.topologies import article_plan

WEB = IPv4Address("172.19.0.10")
A1, A2, B1, NODE_A = "172.16.0.130", "172.16.0.131", "172.16.8.2", "192.168.0.10"
FIRST, SECOND, THIRD = 0.1, 0.5, 0.9  # dice that choose a1, a2, b1


def plan(*endpoints: str, **changes: object) -> ClusterPlan:
    service = ServicePlan("web", WEB, 80, endpoints)
    return replace(article_plan(), services=(service,), **changes)


@pytest.fixture(scope="module", params=["v0.10", "head"])
def network(request: pytest.FixtureRequest) -> Network:
    """The running example under both eras of rules, with a Service in front of a1, a2 and b1."""
    return build(plan("a1", "a2", "b1", rules=request.param, hairpin=True)).network


def asking(network: Network, source: str, dice: float | None = None, **options: object) -> Trace:
    return trace(network, source, WEB, **{"proto": "tcp", "dport": 80, "dice": dice, **options})


def received(found: Trace) -> tuple[str, str, int]:
    """What the receiver saw: source, destination, port."""
    last = found.request[-1].sent
    return str(last.src), str(last.dst), last.dport


# --- there and back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "dice", "places", "seen"),
    [
        pytest.param("a1", THIRD, "a1 node-a VPC node-b b1", (A1, B1), id="fact-49: the pod's source is kept"),
        ("a1", SECOND, "a1 node-a a2", (A1, A2)),
        ("b2", FIRST, "b2 node-b VPC node-a a1", ("172.16.8.3", A1)),
        ("node-a", THIRD, "node-a VPC node-b b1", (NODE_A, B1)),
        ("node-a", FIRST, "node-a a1", ("172.16.0.129", A1)),  # masqueraded as cni0
        pytest.param(
            "a1", FIRST, "a1 node-a a1", ("172.16.0.129", A1), id="hairpin: masqueraded, or it would answer itself"
        ),
    ],
)
def test_an_endpoint_answers_and_the_answer_comes_from_the_cluster_ip(
    network: Network, source: str, dice: float, places: str, seen: tuple[str, str]
) -> None:
    found = asking(network, source, dice)
    assert found.ok
    assert [hop.place.removeprefix("default/") for hop in found.request] == places.split()
    assert received(found) == (*seen, 8080)
    answer = found.reply[-1].sent
    assert (str(answer.src), answer.sport) == (str(WEB), 80)


def test_the_steps_name_the_rule_and_then_the_flow(network: Network) -> None:
    found = asking(network, "a1", THIRD)
    there = next(step for step in found.request[1].steps if step.kind == "nat PREROUTING")
    assert there.row.target == "DNAT"
    assert ("dst", str(WEB), B1) in there.changes
    assert ("dport", "80", "8080") in there.changes
    back = [step for step in found.reply[-2].steps if step.kind == "conntrack"]
    assert ("src", B1, str(WEB)) in back[-1].changes
    assert back[-1].row.translated


def test_a_mark_stays_on_its_machine(network: Network) -> None:
    found = asking(network, "node-a", THIRD)
    marks = [(step.place, step.after.mark) for hop in found.request for step in hop.steps]
    assert ("node-a", 0x4000) in marks
    assert not [mark for place, mark in marks if place != "node-a" and mark]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"dport": 81}, "another port"),
        ({"proto": "udp"}, "another protocol"),
        ({"proto": "icmp"}, "nobody answers a ping"),
    ],
)
def test_what_no_rule_matches_leaves_for_the_vpc(network: Network, options: dict, why: str) -> None:
    found = asking(network, "a1", **options)
    assert not found.ok, why
    assert found.request[2].place == "VPC"


def test_an_ecs_that_is_no_node_has_no_rules(network: Network) -> None:
    assert not asking(network, "db").ok


def test_a_port_is_drawn_also_where_the_address_stays(network: Network) -> None:
    sent = asking(network, "node-a", THIRD).request[0].sent
    drawn = any("--random-fully" in rule.options for c in network.tables("node-a").chains for rule in c.rules)
    assert (str(sent.src), sent.sport != 40000) == (NODE_A, drawn)


@pytest.mark.parametrize(("dev", "ok"), [("eth0", False), ("cni0", True)])
def test_the_filter_sees_the_device_of_the_first_route(network: Network, dev: str, ok: bool) -> None:
    closed = Chain("filter", "OUTPUT", "ACCEPT", (Rule("DROP", out_dev=dev),))
    found = asking(network.writing("node-a", network.tables("node-a").adding(closed)), "node-a", FIRST)
    assert found.ok is ok
    assert ok or (found.disposition, found.died_at) == (Disposition.DENIED, "node-a")


# --- which endpoint --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dice", "endpoint"),
    [(0.0, A1), (0.33332, A1), (0.33334, A2), (0.66665, A2), (0.66668, B1), (1.0, B1)],
)
def test_the_dice_choose(network: Network, dice: float, endpoint: str) -> None:
    assert received(asking(network, "b2", dice))[1] == endpoint


def test_many_flows_are_shared_about_evenly(network: Network) -> None:
    counts = Counter(received(asking(network, "b2", sport=30000 + n))[1] for n in range(600))
    assert set(counts) == {A1, A2, B1}
    assert all(150 <= count <= 250 for count in counts.values()), counts


def test_a_flow_stays_with_its_endpoint(network: Network) -> None:
    first = asking(network, "b2", FIRST)
    again = asking(network, "b2", THIRD, learned=first.learned)  # the rules are asked for a new flow only
    assert received(again)[1] == received(first)[1] == A1
    assert received(asking(network, "b2", THIRD, sport=40001, learned=first.learned))[1] == B1


# --- where it goes wrong ---------------------------------------------------------------------------------------------


def test_without_hairpin_a_pod_does_not_reach_itself() -> None:
    network = build(plan("a1", hairpin=False)).network
    found = asking(network, "a1")
    assert (found.disposition, found.died_at) == (Disposition.UNDELIVERABLE, "node-a")
    assert "hairpin" in found.request[-1].steps[-1].says
    assert asking(network, "a2").ok


@pytest.mark.parametrize(
    ("dice", "fate"),
    [
        (SECOND, (Disposition.ACCEPTED, Disposition.UNEXPECTED)),  # a2 answers a1 directly, past conntrack
        (THIRD, (Disposition.ACCEPTED, Disposition.ACCEPTED)),  # from another node it comes through the IP stack
    ],
)
def test_without_bridge_nf_an_answer_on_the_same_node_comes_from_an_address_not_asked(
    network: Network, dice: float, fate: tuple[Disposition, Disposition]
) -> None:
    found = asking(break_network(network, "bridge-nf-off", "node-a"), "a1", dice)
    assert (found.disposition, found.reply_disposition) == fate
    if dice == SECOND:
        assert str(found.reply[-1].sent.src) == A2


@pytest.mark.parametrize("source", ["a1", "node-a"])
@pytest.mark.parametrize("rules", ["v0.10", "head"])
def test_without_endpoints_the_node_refuses(rules: str, source: str) -> None:
    found = asking(build(plan(rules=rules)).network, source)
    assert (found.disposition, found.died_at) == (Disposition.DENIED, "node-a")
    assert found.request[-1].icmp is not None
    assert found.request[-1].icmp.what == "port unreachable"
    assert [hops[-1].place for hops in found.errors] == [f"default/{source}" if source == "a1" else source]


def test_flushed_rules_take_the_service_along(network: Network) -> None:
    broken = break_network(network, "masquerade-missing", "node-a")
    assert not asking(broken, "a1", THIRD).ok
    assert asking(broken, "b2", FIRST).ok, "the other node still has its rules"


@pytest.mark.parametrize("fault", ["ip-masq-off", "flanneld-not-running"])
def test_faults_of_flanneld_leave_kube_proxys_rules_alone(network: Network, fault: str) -> None:
    assert asking(break_network(network, fault, "node-a"), "a1", THIRD).ok


@pytest.mark.parametrize("rules", ["v0.10", "head"])
def test_the_mark_that_asks_for_masquerading_reaches_the_tunnel_unless_it_is_cleared(rules: str) -> None:
    steps = asking(build(plan("b1", backend="vxlan", rules=rules)).network, "node-a").request[0].steps
    outer = [step for step in steps if step.kind == "nat POSTROUTING"][-1]
    assert (outer.before.inner is not None, outer.before.mark) == (True, 0x4000 if rules == "v0.10" else 0)
    assert outer.row.target == ("MASQUERADE" if rules == "v0.10" else "RETURN")


def test_what_a_tunnel_taught_the_node_counts_behind_a_service() -> None:
    service = ServicePlan("dns", WEB, 53, ("b1",), proto="udp")
    whole = build(replace(article_plan(), backend="vxlan", services=(service,))).network
    network = break_network(whole, "eth0-mtu-1400", "node-a")
    first = asking(network, "node-a", proto="udp", dport=53, size=1400)
    assert first.ok
    again = asking(network, "node-a", proto="udp", dport=53, size=1400, learned=first.learned)
    assert (again.disposition, again.died_at) == (Disposition.MTU_EXCEEDED, "node-a")


def test_node_to_remote_endpoint_under_vxlan_comes_from_the_tunnels_address() -> None:
    found = asking(build(plan("b1", backend="vxlan")).network, "node-a")
    assert found.ok
    assert received(found)[:2] == ("172.16.0.128", B1)
