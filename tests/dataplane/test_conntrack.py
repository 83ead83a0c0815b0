"""conntrack: what it remembers, for how long, and what it tells the rules."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from flannelviz.dataplane.nat import conntrack_runs, masquerade_address
from flannelviz.dataplane.trace import trace
from flannelviz.faults import break_network
from flannelviz.network import Network
from flannelviz.packet import Disposition, Learned, Trace
from flannelviz.tables import Address, Chain, Match, Rule, Tables
from flannelviz.topologies import article

A1, NODE_A, NAT_EIP = "172.16.0.130", "192.168.0.10", "198.51.100.1"
ASKS_CONNTRACK = Chain("filter", "INPUT", "ACCEPT", (Rule("ACCEPT", ctstate="ESTABLISHED"),))


@pytest.fixture(scope="module")
def network() -> Network:
    return article()


def flushed(network: Network, node: str) -> Network:
    return break_network(network, "masquerade-missing", node)


def with_chain(network: Network, node: str, chain: Chain) -> Network:
    return network.writing(node, network.tables(node).adding(chain))


def to_db(network: Network, learned: Learned | None = None, **options: object) -> Trace:
    return trace(network, "a1", "db", learned=learned, **options)


# --- which address a rule puts in ------------------------------------------------------------------------------------

OWN = (("127.0.0.1/8", "lo"), ("192.168.0.10/24", "eth0"), ("10.1.0.5/24", "eth0"), ("10.7.7.7/32", "lo"))


@pytest.mark.parametrize(
    ("dev", "next_hop", "own", "address"),
    [
        pytest.param("eth0", "192.168.0.253", OWN, "192.168.0.10", id="the device's first"),
        pytest.param("eth0", "10.1.0.1", OWN, "10.1.0.5", id="the one on the next hop's network"),
        pytest.param("eth0", "8.8.8.8", OWN, "192.168.0.10", id="or the first"),
        pytest.param("lo", "192.168.0.10", OWN, "10.7.7.7", id="no address in 127.0.0.0/8"),
        pytest.param("cni0", "172.16.0.130", OWN, "10.7.7.7", id="of another device: lo comes first"),
        pytest.param("cni0", "172.16.0.130", OWN[:3], "192.168.0.10", id="or any"),
        pytest.param("cni0", "172.16.0.130", OWN[:1], None, id="there is none"),
    ],
)
def test_masquerade_asks_the_device_and_no_route(
    dev: str, next_hop: str, own: tuple[tuple[str, str], ...], address: str | None
) -> None:
    tables = Tables(addresses=tuple(Address(IPv4Interface(text), at) for text, at in own))
    found = masquerade_address(tables, dev, IPv4Address(next_hop))
    assert (str(found) if found else None) == address


def test_masquerade_does_not_ask_for_the_routes_source(network: Network) -> None:
    tables = network.tables("node-a")
    default = next(route for route in tables.routes if route.dst.prefixlen == 0)
    led = tables.without(default).adding(replace(default, src=IPv4Address("172.16.0.129")))
    assert trace(network.writing("node-a", led), "a1", "Internet").ok


def test_masquerade_asks_for_the_gateways_network(network: Network) -> None:
    tables = network.tables("node-a")
    more = replace(tables, addresses=(Address(IPv4Interface("10.1.0.5/24"), "eth0"), *tables.addresses))
    assert str(trace(network.writing("node-a", more), "a1", "Internet").request[1].sent.src) == NODE_A


def test_what_is_bridged_is_masqueraded_as_another_device_where_the_bridge_has_no_address(network: Network) -> None:
    broken = break_network(network, "cni0-without-address", "node-a")
    masquerade = Chain("nat", "POSTROUTING", "ACCEPT", (Rule("MASQUERADE"),))
    found = trace(with_chain(broken, "node-a", masquerade), "a1", "a2")
    assert (str(found.source_seen), found.reply_disposition) == (NODE_A, Disposition.NEIGHBOR_UNREACHABLE)


def test_what_ends_here_gets_its_source_at_input(network: Network) -> None:
    rule = Rule("SNAT", in_dev="cni0", to=(IPv4Address("10.9.9.9"), None))
    changed = with_chain(network, "node-a", Chain("nat", "INPUT", "ACCEPT", (rule,)))
    found = trace(changed, "a1", "node-a")
    assert found.ok
    assert str(found.source_seen) == "10.9.9.9"
    assert str(trace(changed, "b1", "node-a").source_seen) == "192.168.0.11", "the rule is for cni0"


def leading_home(network: Network, lo_up: bool = True) -> Network:
    """node-a, whose own packets to 10.9.9.9 come to itself, under another source."""
    tables = network.tables("node-a")
    dnat = Rule("DNAT", dst=Match(IPv4Network("10.9.9.9/32")), to=(IPv4Address(NODE_A), None))
    snat = Rule("SNAT", out_dev="lo", to=(IPv4Address("172.16.0.129"), None))
    chains = (Chain("nat", "OUTPUT", "ACCEPT", (dnat,)), Chain("nat", "POSTROUTING", "ACCEPT", (snat,)))
    return network.writing("node-a", tables.adding(*chains, replace(tables.link("lo"), up=lo_up)))


def test_what_dnat_leads_home_leaves_by_lo(network: Network) -> None:
    found = trace(leading_home(network), "node-a", "10.9.9.9")
    assert found.ok
    assert str(found.source_seen) == "172.16.0.129"
    assert trace(leading_home(network, lo_up=False), "node-a", "10.9.9.9").disposition is Disposition.LINK_DOWN
    closed = with_chain(leading_home(network), "node-a", Chain("filter", "OUTPUT", "DROP"))
    assert trace(closed, "node-a", "10.9.9.9").disposition is Disposition.DENIED


# --- how long a flow lives -------------------------------------------------------------------------------------------


def test_a_flow_survives_its_rule_while_something_needs_conntrack(network: Network) -> None:
    first = to_db(network)
    assert str(first.source_seen) == NODE_A
    left = with_chain(flushed(network, "node-a"), "node-a", ASKS_CONNTRACK)
    assert str(to_db(left, first.learned).source_seen) == NODE_A, "the flow is known, no rule is asked"
    assert str(to_db(left).source_seen) == A1, "a new flow finds no rule"


def test_a_flow_dies_with_the_last_rule_that_needs_conntrack(network: Network) -> None:
    first = to_db(network)
    assert str(to_db(flushed(network, "node-a"), first.learned).source_seen) == A1


@pytest.mark.parametrize(
    ("chains", "runs"),
    [
        ((), False),
        ((Chain("filter", "FORWARD", "DROP", (Rule("ACCEPT"),)),), False),
        ((Chain("nat", "POSTROUTING", "ACCEPT", (Rule("RETURN"),)),), False),
        ((Chain("nat", "POSTROUTING", "ACCEPT", (Rule("MASQUERADE"),)),), True),
        ((Chain("nat", "KUBE-SEP-X", None, (Rule("DNAT", to=(IPv4Address(A1), 80)),)),), True),
        ((ASKS_CONNTRACK,), True),
    ],
)
def test_what_makes_conntrack_run(chains: tuple[Chain, ...], runs: bool) -> None:
    assert conntrack_runs(Tables(chains=chains)) is runs


def test_a_dropped_packet_leaves_no_flow(network: Network) -> None:
    found = to_db(break_network(network, "forward-drop-without-flanneld", "node-a"))
    assert found.disposition is Disposition.DENIED
    assert not [place for place, _ in found.learned.flows if place == "node-a"]


def test_a_flow_is_known_by_both_of_its_directions(network: Network) -> None:
    flows = {key: flow for (place, key), flow in to_db(network).learned.flows.items() if place == "node-a"}
    (flow,) = set(flows.values())
    assert set(flows) == {flow.original, flow.reply}
    assert flow.translated


# --- one source port twice -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("destination", ["db", "node-b", "Internet"])
def test_the_second_flow_from_one_port_gets_another(network: Network, destination: str) -> None:
    options = {"proto": "udp", "sport": 5555, "dport": 53}
    first = trace(network, "a1", destination, **options)
    second = trace(network, "a2", destination, learned=first.learned, **options)
    ports = [next(hop for hop in found.request if hop.place == "node-a").sent.sport for found in (first, second)]
    assert ports == [5555, 5556]
    assert second.ok, "its answer comes back under the port that a2 chose"
    assert second.reply[-1].sent.dport == 5555


def test_one_port_to_two_places_is_kept(network: Network) -> None:
    first = trace(network, "a1", "db", proto="udp", sport=5555, dport=53)
    second = trace(network, "a2", "node-b", proto="udp", sport=5555, dport=53, learned=first.learned)
    assert next(hop for hop in second.request if hop.place == "node-a").sent.sport == 5555


# --- what rules may ask ----------------------------------------------------------------------------------------------


STATEFUL = (Rule("ACCEPT", ctstate="ESTABLISHED,RELATED"), Rule("ACCEPT", src=Match(IPv4Network("172.16.0.130/32"))))


def test_a_stateful_firewall_lets_answers_in_and_nothing_new(network: Network) -> None:
    guarded = with_chain(network, "node-a", Chain("filter", "FORWARD", "DROP", STATEFUL))
    assert trace(guarded, "a1", "b1").ok
    found = trace(guarded, "b1", "a1")
    assert (found.disposition, found.died_at) == (Disposition.DENIED, "node-a")
    opened = trace(guarded, "a1", "b1", proto="udp", sport=53, dport=40000)
    answer = trace(guarded, "b1", "a1", proto="udp", sport=40000, dport=53, learned=opened.learned)
    assert answer.disposition is Disposition.ACCEPTED, "it belongs to the flow that a1 began"


def test_an_error_is_related_to_the_flow_it_speaks_of(network: Network) -> None:
    guarded = with_chain(network, "node-a", Chain("filter", "FORWARD", "DROP", STATEFUL))
    found = trace(guarded, "a1", "b1", proto="udp", dport=53, served=False)
    assert [hops[-1].place for hops in found.errors] == ["default/a1"]
    only = (Rule("ACCEPT", ctstate="NEW,ESTABLISHED"),)
    strict = with_chain(network, "node-a", Chain("filter", "FORWARD", "DROP", only))
    found = trace(strict, "a1", "b1", proto="udp", dport=53, served=False)
    assert [hops[-1].place for hops in found.errors] == ["node-a"]


def test_snat_writes_the_port_that_it_names(network: Network) -> None:
    rule = Rule("SNAT", src=Match(IPv4Network("172.16.0.130/32")), to=(IPv4Address(NODE_A), 1024))
    chain = replace(network.tables("node-a").chain("nat", "POSTROUTING"), rules=(rule,))
    found = to_db(with_chain(network, "node-a", chain), proto="udp", dport=53)
    assert (str(found.source_seen), found.request[-1].sent.sport) == (NODE_A, 1024)
    assert found.ok


# --- whether it was answered -----------------------------------------------------------------------------------------


def unanswered(network: Network, learned: Learned | None = None) -> Trace:
    return trace(network, "a1", "db", proto="udp", dport=53, served=False, learned=learned)


def test_a_flow_is_new_until_an_answer_was_seen(network: Network) -> None:
    """An ICMP error is no answer: a rule for what is ESTABLISHED does not see the second packet either."""
    only_known = Chain("filter", "FORWARD", "ACCEPT", (Rule("DROP", ctstate="ESTABLISHED"),))
    refusing = with_chain(network, "node-a", only_known)
    first = unanswered(refusing)
    assert unanswered(refusing, first.learned).disposition is Disposition.REFUSED
    answered = trace(network, "a1", "db", proto="udp", dport=53)
    assert unanswered(refusing, answered.learned).disposition is Disposition.DENIED


def test_a_reset_before_any_other_answer_ends_the_flow(network: Network) -> None:
    found = trace(network, "a1", "db", proto="tcp", dport=80, served=False)
    assert found.reply[-1].place == "default/a1", "its own packet is translated all the same"
    assert not [place for place, _ in found.learned.flows if place == "node-a"]
