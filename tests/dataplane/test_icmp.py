"""ICMP errors: who sends one, from which address, and where it ends."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from flannelviz.controlplane.timeline import build
from flannelviz.dataplane.trace import send, trace
from flannelviz.faults import break_network
from flannelviz.model import ServicePlan
from flannelviz.network import Network
from flannelviz.packet import Disposition, Packet, Trace
from flannelviz.tables import Chain, Rule
from flannelviz.topologies import article, article_plan

A1, CNI0_A, NODE_A, NODE_B = "172.16.0.130", "172.16.0.129", "192.168.0.10", "192.168.0.11"


def told(found: Trace) -> list[tuple[str, str, str]]:
    """Each error: who sent it, from which address, and where it ended."""
    return [(hops[0].place, str(hops[0].received.src), hops[-1].place) for hops in found.errors]


@pytest.fixture(scope="module")
def network() -> Network:
    return article()


@pytest.mark.parametrize(
    ("options", "what", "error"),
    [
        pytest.param(
            {"ttl": 1}, "time exceeded", ("node-a", CNI0_A, "default/a1"), id="by the address towards the pod"
        ),
        pytest.param(
            {"ttl": 2}, "time exceeded", ("node-b", NODE_B, "default/a1"), id="by the address towards the VPC"
        ),
        ({"destination": "172.16.8.99"}, "host unreachable", ("node-b", NODE_B, "default/a1")),
        ({"destination": "172.16.0.200"}, "host unreachable", ("default/a1", A1, "default/a1")),
        (
            {"proto": "udp", "dport": 53, "served": False},
            "port unreachable",
            ("default/b1", "172.16.8.2", "default/a1"),
        ),
    ],
)
def test_who_sends_it_and_where_it_ends(
    network: Network, options: dict, what: str, error: tuple[str, str, str]
) -> None:
    found = trace(network, "a1", **{"destination": "b1", **options})
    assert found.request[-1].icmp.what == what
    assert told(found) == [error]
    assert found.errors[0][-1].disposition is Disposition.ACCEPTED


@pytest.mark.parametrize("source", ["a1", "a2"])
def test_an_error_about_a_masqueraded_packet_finds_its_pod(network: Network, source: str) -> None:
    """The other node knows node-a's address only; conntrack on node-a knows whose packet it was."""
    found = trace(network, source, "node-b", proto="udp", dport=53, served=False)
    assert told(found) == [("node-b", NODE_B, f"default/{source}")]
    at_node_a = found.errors[0][-2]
    assert str(at_node_a.received.dst) == NODE_A
    assert at_node_a.sent.dst == network.pod_ip(f"default/{source}")
    assert at_node_a.sent.about.src == network.pod_ip(f"default/{source}"), "the packet inside is translated too"


def test_an_error_about_a_translated_destination_speaks_of_the_cluster_ip() -> None:
    service = ServicePlan("web", IPv4Address("172.19.0.10"), 80, ("b1",), proto="udp")
    network = build(replace(article_plan(), services=(service,))).network
    found = trace(network, "a1", "172.19.0.10", proto="udp", dport=80, served=False)
    assert found.died_at == "default/b1"
    (error,) = found.errors
    inside = error[-1].sent.about
    assert (str(inside.dst), inside.dport) == ("172.19.0.10", 80)


def test_tcp_without_a_listener_is_reset(network: Network) -> None:
    found = trace(network, "a1", "b1", proto="tcp", dport=80, served=False)
    assert (found.disposition, found.died_at, found.errors) == (Disposition.REFUSED, "default/b1", ())
    assert [hop.place for hop in found.reply] == [hop.place for hop in reversed(found.request)]


def test_a_ping_needs_no_program(network: Network) -> None:
    assert trace(network, "a1", "b1", served=False).ok


def test_no_error_answers_an_error(network: Network) -> None:
    """An error whose TTL runs out, or that comes to nobody, ends there."""
    about = Packet(IPv4Address(A1), IPv4Address("172.16.8.2"))
    error = Packet(IPv4Address(NODE_B), IPv4Address(A1), ttl=1, about=about)
    found = send(network, "node-b", error)
    assert found.disposition is Disposition.TTL_EXCEEDED
    assert found.errors == ()


@pytest.mark.parametrize(
    ("fault", "target", "source", "end"),
    [
        ("ip-forward-off", "node-a", None, (Disposition.FORWARDING_DISABLED, "node-a")),  # dropped in silence
        ("forward-drop-without-flanneld", "node-a", None, (Disposition.DENIED, "node-a")),
        ("rp-filter-strict", "node-a", "192.168.0.12", (Disposition.SOURCE_REJECTED, "node-a")),  # that of db
        ("vpc-route-stale", "node-b", None, (Disposition.UNDELIVERABLE, "VPC")),  # the fabric says nothing
    ],
)
def test_who_drops_in_silence(
    network: Network, fault: str, target: str, source: str | None, end: tuple[Disposition, str]
) -> None:
    ping = Packet(IPv4Address(source) if source else None, IPv4Address("172.16.8.2"))
    assert send(network, "a1", ping).disposition is Disposition.ACCEPTED
    found = send(break_network(network, fault, target), "a1", ping)
    assert (found.disposition, found.died_at) == end
    assert found.errors == ()


def test_reject_says_so_where_drop_does_not(network: Network) -> None:
    tables = break_network(network, "forward-drop-without-flanneld", "node-a").tables("node-a")
    chain = tables.chain("filter", "FORWARD")
    rejecting = replace(chain, policy="ACCEPT", rules=(Rule("REJECT"),))
    found = trace(network.writing("node-a", tables.adding(rejecting)), "a1", "b1")
    assert found.disposition is Disposition.DENIED
    assert told(found) == [("node-a", CNI0_A, "default/a1")]


@pytest.mark.parametrize("ttl", [1, 2, 7, 8, 64])
def test_a_loop_ends_at_the_node_that_counts_to_zero(network: Network, ttl: int) -> None:
    found = trace(break_network(network, "cni0-missing", "node-b"), "a1", "b1", ttl=ttl)
    end = Disposition.LOOP if ttl >= 4 else Disposition.TTL_EXCEEDED
    assert found.disposition is end
    assert told(found)[0][2] == "default/a1"
    assert sum(hop.place.startswith("node-") for hop in found.request) == ttl


@pytest.mark.parametrize(
    ("warm", "disposition", "errors"),
    [
        (False, Disposition.NEIGHBOR_UNREACHABLE, [("node-b", NODE_B, "default/a1")]),
        (True, Disposition.UNDELIVERABLE, []),  # the MAC is known still, and the frame goes nowhere
    ],
)
def test_behind_a_dead_wire_only_a_failed_question_is_told(
    network: Network, warm: bool, disposition: Disposition, errors: list[tuple[str, str, str]]
) -> None:
    pod = network.tables("default/b1")
    down = network.writing("default/b1", pod.adding(replace(pod.link("eth0"), up=False)))
    found = trace(down, "a1", "b1", learned=trace(network, "a1", "b1").learned if warm else None)
    assert (found.disposition, found.died_at) == (disposition, "node-b")
    assert told(found) == errors


def test_reject_says_nothing_about_a_broadcast(network: Network) -> None:
    rejecting = Chain("filter", "INPUT", "ACCEPT", (Rule("REJECT"),))
    refusing = network.writing("node-b", network.tables("node-b").adding(rejecting))
    to_one, to_all = (trace(refusing, "a1", to, proto="udp", dport=53) for to in ("172.16.8.1", "172.16.8.127"))
    assert to_one.disposition is to_all.disposition is Disposition.DENIED
    assert (len(to_one.errors), to_all.errors) == (1, ())


def test_nobody_answers_a_broadcast_that_nobody_listens_to():
    last = trace(article(), "a1", "172.16.8.127", proto="udp", dport=53, served=False).request[-1]
    assert last.disposition is Disposition.REFUSED and last.icmp is None


def test_a_reset_carries_nothing():
    found = trace(article(), "a1", "b1", proto="tcp", dport=80, size=600, served=False)
    assert {hop.sent.size for hop in found.reply} == {40}


def test_errors_that_die_in_a_tunnel_come_to_an_end():
    """DNAT leads the packets of a tunnel to a pod, which refuses each, and the error about it takes the same tunnel."""
    network = build(replace(article_plan(), backend="vxlan")).network
    to_b1 = Chain("nat", "PREROUTING", "ACCEPT", (Rule("DNAT", to=(IPv4Address("172.16.8.2"), None)),))
    astray = network.writing("node-a", network.tables("node-a").adding(to_b1))
    errors = trace(astray, "b1", "a1").errors
    assert [hops[-1].disposition for hops in errors] == [Disposition.REFUSED] * 6
