"""Journeys there and back on the running example: who is visited, which row decides, what the receiver sees."""

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest

from flannelviz.controlplane.timeline import build
from flannelviz.dataplane.fabric import OUTSIDE_HOST
from flannelviz.dataplane.netfilter import Asked, verdict
from flannelviz.dataplane.trace import send, trace
from flannelviz.errors import AddressPlanError, PacketError, UnknownPlaceError
from flannelviz.faults import FAULTS, break_network
from flannelviz.importers.kubectl import read_kubectl
from flannelviz.model import ClusterPlan, NodePlan
from flannelviz.network import Network
from flannelviz.packet import Disposition, Hop, Packet, Step, Trace
from flannelviz.tables import Address, Chain, FdbEntry, Match, Neighbor, Route, Row, Rule, Sysctl, veth_name
from flannelviz.topologies import article, article_plan, article_timeline

A1, A2, B1 = "172.16.0.130", "172.16.0.131", "172.16.8.2"
NODE_A, NODE_B, DB = "192.168.0.10", "192.168.0.11", "192.168.0.12"
NAT_EIP = "198.51.100.1"
PING = Packet(IPv4Address(A1), IPv4Address(B1))


@pytest.fixture(scope="module", params=["v0.10", "head"])
def network(request: pytest.FixtureRequest) -> Network:
    """The running example under both lists of masquerade rules."""
    return build(replace(article_plan(), rules=request.param)).network


def hop_at(found: Trace, place: str) -> Hop:
    return next(hop for hop in found.request if hop.place == place)


def step_of(hop: Hop, kind: str) -> Step:
    return next(step for step in hop.steps if step.kind == kind)


@pytest.mark.parametrize(
    ("source", "destination", "places", "seen", "ttl"),
    [
        pytest.param("a1", "127.0.0.1", "a1", "127.0.0.1", 64, id="within a pod"),
        pytest.param("a1", "127.9.9.9", "a1", "127.0.0.1", 64, id="within a pod, by another address of lo"),
        pytest.param("a1", A1, "a1", A1, 64, id="within a pod, by its own address"),
        pytest.param("a1", "a2", "a1 node-a a2", A1, 64, id="fact-31: same node, TTL 64"),
        pytest.param("a1", "b1", "a1 node-a VPC node-b b1", A1, 62, id="fact-32: cross node, TTL 62"),
        pytest.param("a1", "db", "a1 node-a VPC db", NODE_A, 63, id="fact-34: pod to another ECS"),
        pytest.param("a1", "node-a", "a1 node-a", A1, 64, id="fact-35: pod to its own node"),
        pytest.param("a1", "node-b", "a1 node-a VPC node-b", NODE_A, 63, id="fact-35: pod to another node"),
        pytest.param("db", "b1", "db VPC node-b b1", DB, 63, id="fact-36: ECS to pod"),
        pytest.param("node-a", "a1", "node-a a1", "172.16.0.129", 64, id="fact-37: node to its own pod"),
        pytest.param("node-a", "b1", "node-a VPC node-b b1", NODE_A, 63, id="fact-37: node to a remote pod"),
        pytest.param("a1", "Internet", "a1 node-a VPC Internet", NAT_EIP, 63, id="pod to the Internet"),
        pytest.param("a1", "8.8.8.8", "a1 node-a VPC Internet", NAT_EIP, 63, id="pod to any public address"),
        pytest.param("a1", "100.100.2.136", "a1 node-a VPC", NODE_A, 63, id="pod to the VPC's resolver"),
    ],
)
def test_who_is_visited_and_what_the_receiver_sees(
    network: Network, source: str, destination: str, places: str, seen: str, ttl: int
) -> None:
    found = trace(network, source, destination)
    assert found.ok
    assert [hop.place.removeprefix("default/") for hop in found.request] == places.split()
    assert [hop.place for hop in found.reply] == [hop.place for hop in reversed(found.request)]
    assert (str(found.source_seen), found.request[-1].sent.ttl) == (seen, ttl)


def test_same_node_frames_go_from_pod_to_pod(network: Network) -> None:  # fact-31
    hop = hop_at(trace(network, "a1", "a2"), "node-a")
    assert (hop.sent.src_mac, hop.sent.dst_mac) == ("0a:58:ac:10:00:82", "0a:58:ac:10:00:83")
    assert "route" not in {step.kind for step in hop.steps}


def test_cross_node_goes_in_four_frames(network: Network) -> None:  # fact-32
    found = trace(network, "a1", "b1")
    frames = [(hop.sent.src_mac, hop.sent.dst_mac) for hop in found.request[:-1]]
    eth0_a, eth0_b = (network.ecs[name].mac for name in ("node-a", "node-b"))
    assert frames == [
        ("0a:58:ac:10:00:82", "0a:58:ac:10:00:81"),
        (eth0_a, "ee:ff:ff:ff:ff:ff"),
        ("ee:ff:ff:ff:ff:ff", eth0_b),
        ("0a:58:ac:10:08:01", "0a:58:ac:10:08:02"),
    ]
    assert {(str(hop.sent.src), str(hop.sent.dst)) for hop in found.request} == {(A1, B1)}


def test_cross_node_asks_node_as_default_route(network: Network) -> None:  # fact-33
    row = hop_at(trace(network, "a1", "b1"), "node-a").because
    assert str(getattr(row, "dst", "")) == "0.0.0.0/0"


def test_the_pod_prefers_its_cluster_route_to_its_default_route(network: Network) -> None:
    step = step_of(trace(network, "a1", "b1").request[0], "route")
    assert [str(row.dst) for row in (step.row, step.runner_up)] == ["172.16.0.0/16", "0.0.0.0/0"]


@pytest.mark.parametrize(
    ("rules", "src", "dst", "target"),
    [
        pytest.param("v0.10", A1, "224.0.0.1", "ACCEPT", id="fact-38: multicast, list (a)"),
        pytest.param("head", A1, "224.0.0.1", "ACCEPT", id="fact-38: multicast, list (b)"),
        pytest.param("v0.10", "172.16.8.2", "172.16.9.5", "ACCEPT", id="fact-39: transit, list (a)"),
        pytest.param("head", "172.16.8.2", "172.16.9.5", "MASQUERADE", id="fact-39: transit, list (b)"),
        pytest.param("v0.10", A1, DB, "MASQUERADE", id="fact-34: pod to ECS, list (a)"),
        pytest.param("head", A1, DB, "MASQUERADE", id="fact-34: pod to ECS, list (b)"),
        pytest.param("v0.10", DB, A1, "ACCEPT", id="fact-36: ECS to pod, list (a)"),
        pytest.param("head", DB, A1, "ACCEPT", id="fact-36: ECS to pod, list (b)"),
    ],
)
def test_postrouting_of_node_a(rules: str, src: str, dst: str, target: str) -> None:
    tables = build(replace(article_plan(), rules=rules)).network.tables("node-a")
    chain = tables.chain("nat", "POSTROUTING")
    assert chain is not None
    assert verdict(tables, chain, Asked(Packet(IPv4Address(src), IPv4Address(dst)), "cni0", "eth0")).target == target


def test_the_reply_of_a_masqueraded_flow_meets_no_nat_rule(network: Network) -> None:  # fact-40
    found = trace(network, "a1", "Internet")
    at_node = next(hop for hop in found.reply if hop.place == "node-a")
    assert "nat POSTROUTING" not in {step.kind for step in at_node.steps}
    assert step_of(at_node, "conntrack").changes[0] == ("dst", NODE_A, A1)


def test_two_pods_on_one_port_are_kept_apart() -> None:
    network = article()
    first = trace(network, "a1", "Internet", proto="udp", sport=5555, dport=53)
    second = trace(network, "a2", "Internet", proto="udp", sport=5555, dport=53, learned=first.learned)
    ports = [hop_at(found, "node-a").sent.sport for found in (first, second)]
    assert ports[0] == 5555
    assert ports[1] != 5555
    assert second.ok


# --- the outside ---------------------------------------------------------------------------------------------------


def test_without_nat_gateway_the_packet_dies_in_the_vpc_after_snat() -> None:  # fact-45
    found = trace(build(replace(article_plan(), nat_gateway=False)).network, "a1", "Internet")
    assert (found.disposition, found.died_at) == (Disposition.NO_ROUTE, "VPC")
    assert str(found.request[-1].received.src) == NODE_A


def test_a_node_with_its_own_eip_needs_no_nat_gateway() -> None:
    plan = article_plan()
    eip = IPv4Address("198.51.100.77")
    nodes = (replace(plan.nodes[0], eip=eip), *plan.nodes[1:])
    network = build(replace(plan, nodes=nodes, nat_gateway=False)).network
    found = trace(network, "a1", "Internet")
    assert found.ok
    assert found.source_seen == eip
    assert not trace(network, "b1", "Internet").ok


def test_whether_an_own_public_address_leads_back_in_is_not_known(network: Network) -> None:
    found = trace(network, "a1", NAT_EIP)
    assert (found.disposition, found.died_at) == (Disposition.UNKNOWN, "Internet")
    assert "is a public address of this VPC" in found.request[-1].steps[-1].says


def test_the_vpc_sends_nothing_of_its_own(network: Network) -> None:
    with pytest.raises(PacketError, match="send from an ECS, a pod, or the Internet"):
        trace(network, "VPC", "a1")


def test_the_internet_knows_no_private_address(network: Network) -> None:
    assert trace(network, "Internet", "a1").disposition is Disposition.NO_ROUTE
    assert trace(network, "Internet", NAT_EIP).died_at == "VPC"


# --- unknown addresses, TTL, MTU -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("destination", "disposition", "where"),
    [
        ("172.16.0.200", Disposition.NEIGHBOR_UNREACHABLE, "default/a1"),  # own podCIDR: the pod asks itself
        ("172.16.8.99", Disposition.NEIGHBOR_UNREACHABLE, "node-b"),  # B's podCIDR
        ("172.16.77.7", Disposition.SOURCE_REJECTED, "VPC"),  # no node's: the default entry, and no SNAT entry
        ("192.168.0.77", Disposition.UNDELIVERABLE, "VPC"),  # the fabric answers ARP, and knows no ENI
        ("172.16.0.255", Disposition.UNDELIVERABLE, "default/a1"),  # the broadcast address of the podCIDR
    ],
)
def test_an_address_that_nobody_has(destination: str, disposition: Disposition, where: str) -> None:
    found = trace(article(), "a1", destination)
    assert (found.disposition, found.died_at) == (disposition, where)


@pytest.mark.parametrize(
    ("ttl", "where", "sender"), [(1, "node-a", "172.16.0.129"), (2, "node-b", NODE_B), (3, None, None)]
)
def test_ttl_runs_out_where_it_is_counted(network: Network, ttl: int, where: str | None, sender: str | None) -> None:
    found = trace(network, "a1", "b1", ttl=ttl)
    assert found.died_at == where
    icmp = found.request[-1].icmp
    assert (str(icmp.source) if icmp else None) == sender


@pytest.mark.parametrize(("size", "ok"), [(1500, True), (1501, False)])
def test_the_pods_own_mtu_is_the_limit(network: Network, size: int, ok: bool) -> None:
    found = trace(network, "a1", "b1", size=size)
    assert found.ok is ok
    assert ok or (found.disposition, found.died_at) == (Disposition.MTU_EXCEEDED, "default/a1")


def test_a_smaller_mtu_on_the_way_answers_fragmentation_needed() -> None:
    found = trace(break_network(article(), "eth0-mtu-1400", "node-a"), "a1", "b1", size=1450)
    assert (found.disposition, found.died_at) == (Disposition.MTU_EXCEEDED, "node-a")
    assert found.request[-1].icmp is not None
    assert found.request[-1].icmp.what == "fragmentation needed"


def test_what_only_has_a_network_is_none() -> None:
    with pytest.raises(PacketError, match=r"a Timeline is no network; .* its \.network"):
        trace(article_timeline(), "a1", "b1")  # type: ignore[arg-type]


# --- loopback, broadcast, and what a device permits ------------------------------------------------------------------


def changed(place: str, *rows: Row) -> Network:
    return article().writing(place, article().tables(place).adding(*rows))


def dnat(hook: str, asked: str, to: str) -> Chain:
    rule = Rule("DNAT", dst=Match(IPv4Network(asked)), to=(IPv4Address(to), None))
    return Chain("nat", hook, "ACCEPT", (rule,))


@pytest.mark.parametrize(("source", "asked"), [("db", NODE_A), ("a1", NODE_A), ("a1", A2)])
def test_nothing_from_outside_reaches_a_loopback_address(source: str, asked: str) -> None:
    found = trace(changed("node-a", dnat("PREROUTING", asked, "127.0.0.1")), source, asked)
    assert (found.disposition, found.died_at, found.errors) == (Disposition.UNDELIVERABLE, "node-a", ())
    assert found.request[-1].because.interface == IPv4Interface("127.0.0.1/8")


@pytest.mark.parametrize("to", [A1, DB])
def test_a_loopback_address_leaves_by_no_wire(to: str) -> None:
    found = trace(changed("node-a", dnat("OUTPUT", "127.0.0.1/32", to)), "node-a", "127.0.0.1")
    assert (found.disposition, found.died_at) == (Disposition.SOURCE_REJECTED, "node-a")
    bound = send(article(), "node-a", Packet(IPv4Address("127.0.0.1"), IPv4Address(to)))
    assert (bound.disposition, bound.died_at) == (Disposition.SOURCE_REJECTED, "node-a")


@pytest.mark.parametrize("to", [NODE_A, "172.16.0.129"])
def test_what_dnat_on_the_bridge_gives_to_the_node_goes_up_to_it(to: str) -> None:
    found = trace(changed("node-a", dnat("PREROUTING", A2, to)), "a1", "a2")
    assert found.ok
    assert found.request[-1].place == "node-a"


def test_what_the_bridge_may_not_forward_dnat_does_not_bridge() -> None:
    forbidden = Sysctl("net.ipv4.conf.cni0.forwarding", 0)
    found = trace(changed("node-a", dnat("PREROUTING", "172.19.0.9/32", A2), forbidden), "a1", "172.19.0.9")
    assert (found.disposition, found.died_at) == (Disposition.FORWARDING_DISABLED, "node-a")


@pytest.mark.parametrize(
    ("proto", "disposition"),
    [("udp", Disposition.ACCEPTED), ("tcp", Disposition.UNDELIVERABLE), ("icmp", Disposition.UNDELIVERABLE)],
)
def test_only_udp_programs_get_a_broadcast(proto: str, disposition: Disposition) -> None:
    found = trace(article(), "a1", "172.16.8.127", proto=proto, dport=53 if proto != "icmp" else 0)
    assert (found.disposition, found.request[-1].place) == (disposition, "node-b")


@pytest.mark.parametrize("destination", ["172.16.8.1", "172.16.8.127"])
def test_rp_filter_asks_for_the_source_of_a_broadcast_too(destination: str) -> None:
    strict = Sysctl("net.ipv4.conf.all.rp_filter", 1)
    network = changed("node-b", strict, Route(IPv4Network("172.16.0.128/25"), "cni0", scope="link"))
    found = trace(network, "a1", destination, proto="udp", dport=53)
    assert (found.disposition, found.died_at) == (Disposition.SOURCE_REJECTED, "node-b")


@pytest.mark.parametrize(
    ("of_all", "of_eth0", "says"),
    [
        (1, 0, "conf.eth0.forwarding is 0: dropped in silence"),
        (0, 1, "conf.eth0.forwarding is 1: TTL 63 -> 62"),
        (0, None, "ip_forward is 0: dropped in silence"),
    ],
)
def test_the_device_that_a_packet_comes_in_by_permits_to_forward_it(
    of_all: int, of_eth0: int | None, says: str
) -> None:
    own = () if of_eth0 is None else (Sysctl("net.ipv4.conf.eth0.forwarding", of_eth0),)
    found = trace(changed("node-b", Sysctl("net.ipv4.ip_forward", of_all), *own), "a1", "b1")
    step = step_of(hop_at(found, "node-b"), "sysctl")
    assert step.says == says
    name = "net.ipv4.ip_forward" if of_eth0 is None else "net.ipv4.conf.eth0.forwarding"
    assert (step.row.name, step.command) == (name, f"ssh node-b sysctl {name}")
    assert (found.disposition is Disposition.FORWARDING_DISABLED) is ("is 0" in says)


@pytest.mark.parametrize(
    ("forwards", "disposition"), [(1, Disposition.SOURCE_REJECTED), (0, Disposition.FORWARDING_DISABLED)]
)
def test_who_does_not_forward_asks_for_no_source(forwards: int, disposition: Disposition) -> None:
    """The VPC sends node-a's own packet back to it, for an address that is not its own."""
    setting = Sysctl("net.ipv4.ip_forward", forwards)
    found = trace(break_network(changed("node-a", setting), "vpc-route-wrong-ecs", "node-b"), "node-a", "b1")
    assert (found.disposition, found.died_at) == (disposition, "node-a")


def test_the_source_is_the_address_on_the_network_of_the_next_hop() -> None:
    tables = article().tables("node-a")
    other = Address(IPv4Interface("10.1.0.5/24"), "eth0")
    found = trace(article().writing("node-a", replace(tables, addresses=(other, *tables.addresses))), "node-a", "b1")
    assert str(found.source_seen) == NODE_A


@pytest.mark.parametrize(("known", "heard"), [(True, False), (False, False), (True, True)])
def test_a_bridge_sends_where_somebody_has_written_until_it_hears_better(known: bool, heard: bool) -> None:
    """A frame from the MAC itself moves the entry: its ARP answer, or any packet, even one that the node drops."""
    mac = "0a:58:ac:10:00:83"
    written = FdbEntry(mac, veth_name("default/a1"), master="cni0", state="static")
    network = changed("node-a", written)
    pod = network.tables("default/a1")
    permanent = Neighbor(IPv4Address(A2), mac, "eth0", "PERMANENT")
    before = trace(break_network(network, "ip-forward-off", "node-a"), "a2", "b1").learned if heard else None
    network = network.writing("default/a1", pod.adding(permanent)) if known else network
    found = trace(network, "a1", "a2", learned=before)
    astray = known and not heard
    assert found.disposition is (Disposition.UNDELIVERABLE if astray else Disposition.ACCEPTED)
    assert (step_of(hop_at(found, "node-a"), "fdb").row == written) is astray


def test_own_addresses_are_reached_over_lo() -> None:
    tables = article().tables("node-a")
    broken = article().writing("node-a", tables.adding(replace(tables.link("lo"), up=False)))
    found = trace(broken, "node-a", "172.16.0.129")
    assert (found.disposition, found.died_at) == (Disposition.LINK_DOWN, "node-a")


# --- evidence, learned state, errors --------------------------------------------------------------------------------


def test_every_step_of_a_routed_hop_has_a_row_and_a_command(network: Network) -> None:
    found = trace(network, "a1", "b1")
    for hop in found.hops:
        assert hop.because is not None
        for step in hop.steps:
            assert step.row is not None, step
            assert getattr(step.row, "origin").component != "unknown", step  # noqa: B009
            assert step.command, step


def test_what_was_learned_is_returned_and_the_network_is_untouched() -> None:
    network = article()
    found = trace(network, "a1", "b1")
    assert ("default/a1", "eth0", IPv4Address("172.16.0.129")) in found.learned.neighbors
    assert network == article()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ttl": 0}, ["ttl 0", "1 to 255"]),
        ({"ttl": 256}, ["ttl 256", "1 to 255"]),
        ({"ttl": "64"}, ["ttl '64'", "1 to 255"]),
        ({"ttl": 1.5}, ["ttl 1.5", "1 to 255"]),
        ({"size": 20}, ["size 20", "28 to 65535"]),
        ({"dport": 70000}, ["dport 70000", "0 to 65535"]),
        ({"proto": "sctp"}, ["'sctp'", "icmp, tcp, udp"]),
        ({"dice": 7}, ["dice", "7", "0 to 1"]),
        ({"dice": -0.1}, ["dice", "-0.1", "0 to 1"]),
        ({"dice": "0.5"}, ["dice", "'0.5'", "0 to 1"]),
    ],
)
def test_a_packet_that_cannot_be(options: dict, words: list[str]) -> None:
    with pytest.raises(PacketError) as caught:
        trace(article(), "a1", "b1", **options)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("source", "destination", "words"),
    [
        ("a9", "b1", ["'a9'", "did you mean"]),
        ("a1", "b7", ["'b7'", "did you mean"]),
        ("a1", "no.such.host", ["'no.such.host'"]),
        ("172.16.0.130", "b1", ["'172.16.0.130'", "an address of default/a1"]),
        ("a1", "VPC", ["VPC has no address, so nothing can be sent to it"]),
    ],
)
def test_an_unknown_name_is_answered_with_near_ones(source: str, destination: str, words: list[str]) -> None:
    with pytest.raises(UnknownPlaceError) as caught:
        trace(article(), source, destination)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("destination", "words"),
    [("fd00::1", ["fd00::1", "IPv6"]), ("172.16.8.300", ["172.16.8.300"]), ("172.16.8.0/25", ["172.16.8.0/25"])],
)
def test_a_text_that_can_only_be_an_address_is_judged_as_one(destination: str, words: list[str]) -> None:
    with pytest.raises(AddressPlanError) as caught:
        trace(article(), "a1", destination)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("name", ["fd00::b1", "10.0.0.5", "node:a"])
def test_a_place_that_a_dump_names_like_an_address_is_still_found(name: str) -> None:
    def at(place: str, address: str) -> dict[str, object]:
        return {"metadata": {"name": place}, "status": {"addresses": [{"type": "InternalIP", "address": address}]}}

    nodes = [{"kind": "Node", **at("node-a", "192.168.0.1")}, {"kind": "Node", **at(name, "192.168.0.2")}]
    found = read_kubectl(json.dumps({"kind": "List", "apiVersion": "v1", "items": nodes}))
    assert trace(found.network, "node-a", name).request[0].sent.dst == IPv4Address("192.168.0.2")


@pytest.mark.parametrize("destination", [None, 5])
def test_neither_a_name_nor_an_address(destination: object) -> None:
    with pytest.raises(PacketError, match="neither a name nor an IPv4 address"):
        trace(article(), "a1", destination)  # type: ignore[arg-type]


def test_send_takes_a_short_name_and_refuses_multicast() -> None:
    packet = Packet(None, IPv4Address(B1))
    assert send(article(), "a1", packet) == trace(article(), "a1", B1)
    with pytest.raises(PacketError, match="no unicast address"):
        send(article(), "a1", replace(packet, dst=IPv4Address("224.0.0.1")))


def test_every_step_of_every_journey_names_its_command() -> None:
    network = article()
    ends = [*network.pods, *network.ecs_places(), "Internet"]
    broken = [network, *(break_network(network, fault) for fault in FAULTS)]
    known = {place: str(network.address(place)) for place in ends[:-1]} | {"Internet": "Internet"}
    journeys = (
        trace(n, a, known[b], ttl=ttl) for n in broken for a in ends[:-1] for b in ends for ttl in (2, 64) if a != b
    )
    silent = {
        (step.kind, step.says) for found in journeys for hop in found.hops for step in hop.steps if not step.command
    }
    assert silent == set()


def test_names_in_commands_are_quoted_for_the_shell() -> None:
    step = Step("a b/p; rm -rf ~ #$(id)", "route", ("",), None, None, PING, PING, ("ip route get {}", "172.16.8.2"))
    assert step.command == "kubectl exec -n 'a b' 'p; rm -rf ~ #$(id)' -- ip route get 172.16.8.2"


def test_multicast_is_refused_in_one_sentence() -> None:
    with pytest.raises(PacketError, match=r"224\.0\.0\.1 is no unicast address"):
        trace(article(), "a1", "224.0.0.1")


def test_a_pod_without_an_address_cannot_be_reached_by_name() -> None:
    plan = ClusterPlan(nodes=(NodePlan("node-a", ("a1",)),))
    before_pods = build(plan).at(1)
    with pytest.raises(UnknownPlaceError):
        trace(before_pods, "a1", str(OUTSIDE_HOST))


def test_an_imported_network_answers_unknown_and_nothing_else() -> None:
    dump = Path(__file__).parents[2] / "notebooks" / "data" / "oke-vxlan-25.json"
    network = read_kubectl(dump).network
    ends = [name for name in (*network.pods, *network.nodes) if network.address(name) is not None]
    found = {trace(network, a, b).disposition for a in ends for b in (*ends, "127.0.0.1", "8.8.8.8")}
    assert found == {Disposition.UNKNOWN}


def test_two_nodes_with_one_podcidr_answer_for_each_other() -> None:
    """The VPC can hold one entry for it: the second node's pods send, and the first one's get the answers."""
    block = IPv4Network("172.16.8.0/25")
    plan = article_plan()
    nodes = (*plan.nodes, NodePlan("node-c", ("c1",), IPv4Address("192.168.0.20"), block))
    network = build(replace(plan, nodes=nodes), strict=False).network
    found = trace(network, "c1", "a1")
    assert found.disposition is Disposition.ACCEPTED
    assert (found.reply_disposition, found.died_at) == (Disposition.UNEXPECTED, "default/b1")
