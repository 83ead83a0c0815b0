"""The same journey under each backend: who is visited, who counts the TTL, which headers the fabric sees."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from flannelviz.controlplane.timeline import build
from flannelviz.dataplane.trace import send, trace
from flannelviz.faults import break_network
from flannelviz.network import Network
from flannelviz.packet import Disposition, Learned, Packet, Trace
from flannelviz.tables import Chain, FdbEntry, Link, Neighbor, Route, Rule, SecurityRule, Tables
from flannelviz.topologies import article_plan

A1, B1, NODE_A, NODE_B = "172.16.0.130", "172.16.8.2", "192.168.0.10", "192.168.0.11"
BACKENDS = {
    "alloc": {"backend": "alloc"},
    "ali-vpc": {"backend": "ali-vpc"},
    "host-gw on a switch": {"backend": "host-gw", "fabric": "switch"},
    "vxlan": {"backend": "vxlan"},
}


def network_with(**changes: object) -> Network:
    return build(replace(article_plan(), **changes)).network


@pytest.fixture(scope="module")
def networks() -> dict[str, Network]:
    return {name: network_with(**changes) for name, changes in BACKENDS.items()}


def places(found: Trace) -> str:
    return " ".join(hop.place.removeprefix("default/") for hop in found.request)


def step(found: Trace, place: str, kind: str):  # type: ignore[no-untyped-def]
    hop = next(hop for hop in found.request if hop.place == place)
    return next(step for step in hop.steps if step.kind == kind)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("source", "destination", "way", "seen", "ttl"),
    [
        ("a1", "b1", "a1 node-a VPC node-b b1", A1, 62),
        ("a1", "a2", "a1 node-a a2", A1, 64),
        ("a1", "db", "a1 node-a VPC db", NODE_A, 63),
        ("a1", "node-b", "a1 node-a VPC node-b", NODE_A, 63),
        ("a1", "Internet", "a1 node-a VPC Internet", "198.51.100.1", 63),
    ],
)
def test_each_backend_leads_the_same_way(
    networks: dict[str, Network], backend: str, source: str, destination: str, way: str, seen: str, ttl: int
) -> None:
    found = trace(networks[backend], source, destination)
    assert found.ok
    assert places(found) == way
    assert [hop.place for hop in found.reply] == [hop.place for hop in reversed(found.request)]
    assert (str(found.source_seen), found.request[-1].sent.ttl) == (seen, ttl)


@pytest.mark.parametrize(
    ("backend", "decided"),
    [
        ("alloc", "0.0.0.0/0"),  # the node knows nothing of the other podCIDR
        ("ali-vpc", "0.0.0.0/0"),
        ("host-gw on a switch", "172.16.8.0/25"),
        ("vxlan", "172.16.8.0/25"),
    ],
)
def test_which_route_of_the_node_decides(networks: dict[str, Network], backend: str, decided: str) -> None:
    assert str(step(trace(networks[backend], "a1", "b1"), "node-a", "route").row.dst) == decided


@pytest.mark.parametrize(
    ("backend", "seen"),
    [("alloc", NODE_A), ("ali-vpc", NODE_A), ("host-gw on a switch", NODE_A), ("vxlan", "172.16.0.128")],
)
def test_the_source_of_a_node_is_that_of_the_device(networks: dict[str, Network], backend: str, seen: str) -> None:
    assert str(trace(networks[backend], "node-a", "b1").source_seen) == seen


@pytest.mark.parametrize(
    ("backend", "known"), [("alloc", True), ("ali-vpc", True), ("host-gw on a switch", False), ("vxlan", False)]
)
def test_only_where_the_vpc_knows_podcidrs_does_another_ecs_reach_pods(
    networks: dict[str, Network], backend: str, known: bool
) -> None:
    assert trace(networks[backend], "db", "b1").ok is known


# --- vxlan -----------------------------------------------------------------------------------------------------------


def test_the_fabric_sees_node_addresses_and_the_pods_inside(networks: dict[str, Network]) -> None:
    found = trace(networks["vxlan"], "a1", "b1")
    outer = next(hop for hop in found.request if hop.place == "VPC").received
    assert (str(outer.src), str(outer.dst), outer.proto, outer.dport, outer.size) == (NODE_A, NODE_B, "udp", 8472, 134)
    inner = outer.inner
    assert inner is not None
    assert (str(inner.src), str(inner.dst), inner.proto, inner.ttl, inner.size) == (A1, B1, "icmp", 63, 84)
    macs = [networks["vxlan"].tables(node).link("flannel.1").mac for node in ("node-a", "node-b")]
    assert [inner.src_mac, inner.dst_mac] == macs
    assert found.request[-1].sent.inner is None


def test_the_three_rows_of_a_lease_are_read_in_turn(networks: dict[str, Network]) -> None:
    kinds = [s.kind for s in trace(networks["vxlan"], "a1", "b1").request[1].steps]
    wanted = ["route", "neighbor", "fdb", "vxlan"]
    after = kinds[kinds.index("route") :]
    assert [kind for kind in after if kind in wanted] == [*wanted, "neighbor"]  # then the gateway of eth0


def test_the_other_end_unpacks_before_it_routes(networks: dict[str, Network]) -> None:
    kinds = [s.kind for s in trace(networks["vxlan"], "a1", "b1").request[3].steps]
    assert kinds.index("vxlan") < kinds.index("route")


@pytest.mark.parametrize(
    ("rows", "disposition"),
    [
        ("routes", Disposition.SOURCE_REJECTED),  # the default route, and no SNAT entry for pods
        ("neighbors", Disposition.NEIGHBOR_UNREACHABLE),  # flannel.1 does not ask
        ("fdb", Disposition.UNDELIVERABLE),
    ],
)
def test_each_of_the_three_rows_is_needed(networks: dict[str, Network], rows: str, disposition: Disposition) -> None:
    tables = networks["vxlan"].tables("node-a")
    left = tuple(row for row in getattr(tables, rows) if "node-b" not in row.origin.because)
    broken = networks["vxlan"].writing("node-a", replace(tables, **{rows: left}))
    assert trace(broken, "a1", "b1").disposition is disposition


@pytest.mark.parametrize("gone", [True, False])
def test_without_the_device_nobody_listens_on_its_port(networks: dict[str, Network], gone: bool) -> None:
    tables = networks["vxlan"].tables("node-b")
    link = tables.link("flannel.1")
    changed = tables.without(link) if gone else tables.adding(replace(link, up=False))
    found = trace(networks["vxlan"].writing("node-b", changed), "a1", "b1")
    assert (found.disposition, found.died_at, found.reply) == (Disposition.REFUSED, "node-b", ())
    assert [(hops[0].place, hops[-1].place) for hops in found.errors] == [("node-b", "node-a")]


def test_another_vtep_mac_is_not_taken(networks: dict[str, Network]) -> None:
    tables = networks["vxlan"].tables("node-b")
    moved = tables.adding(Link("flannel.1", "vxlan", "fe:00:00:00:00:01", 1450))
    found = trace(networks["vxlan"].writing("node-b", moved), "a1", "b1")
    assert (found.disposition, found.died_at) == (Disposition.UNDELIVERABLE, "node-b")


def test_the_nat_gateway_lets_no_answer_to_a_stranger_out(networks: dict[str, Network]) -> None:
    """host-gw in a routed VPC: a pod that is seen as itself is answered by the default route, where it never was."""
    routed = break_network(network_with(backend="host-gw"), "masquerade-missing", "node-a")
    found = trace(routed, "a1", "node-b")
    assert (found.disposition, found.reply_disposition) == (Disposition.ACCEPTED, Disposition.SOURCE_REJECTED)
    assert found.died_at == "VPC"


def test_the_nat_gateway_lets_no_error_about_a_stranger_out(networks: dict[str, Network]) -> None:
    """Without its route back node-b sends the error by its default route, and the NAT gateway never saw the flow."""
    tables = networks["vxlan"].tables("node-b")
    lost = tables.without(*(route for route in tables.routes if route.dev == "flannel.1"))
    found = trace(networks["vxlan"].writing("node-b", lost), "a1", "172.16.8.99")
    assert found.request[-1].icmp.what == "host unreachable"
    assert [(hops[-1].place, hops[-1].disposition) for hops in found.errors] == [("VPC", Disposition.SOURCE_REJECTED)]


def test_a_tunnel_that_leads_into_itself_ends(networks: dict[str, Network]) -> None:
    """A route to the other node by the tunnel itself: the kernel calls it circular, and drops what would go round."""
    tables = networks["vxlan"].tables("node-a")
    circular = tables.adding(Route(IPv4Network(f"{NODE_B}/32"), "flannel.1"))
    found = trace(networks["vxlan"].writing("node-a", circular), "a1", "b1")
    assert (found.disposition, found.died_at) == (Disposition.UNDELIVERABLE, "node-a")
    assert found.request[-1].steps[-1].says == "flannel.1 would lead into itself"


def looping(tables: Tables) -> Tables:
    """Two tunnels, each of which leads its packets into the other."""
    one, other, here, there = "flannel.1", "flannel.2", IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
    entry = next(entry for entry in tables.fdb if entry.dst == IPv4Address(NODE_B))
    away = entry.lladdr
    return tables.without(entry).adding(
        replace(tables.link(one), name=other),
        Route(IPv4Network(here), other),
        Route(IPv4Network(there), one),
        Neighbor(here, away, other),
        Neighbor(there, away, one),
        FdbEntry(away, other, dst=there),
        FdbEntry(away, one, dst=here),
    )


def test_tunnels_that_lead_into_each_other_end(networks: dict[str, Network]) -> None:
    tables = looping(networks["vxlan"].tables("node-a"))
    found = trace(networks["vxlan"].writing("node-a", tables), "a1", "b1")
    assert (found.disposition, found.died_at) == (Disposition.UNDELIVERABLE, "node-a")
    kinds = [step.kind for step in found.request[-1].steps]
    assert kinds.count("vxlan") == 5, "wrapped four times, then no more"


def test_a_tunnel_takes_nothing_that_it_has_sent_itself(networks: dict[str, Network]) -> None:
    home = Chain("nat", "OUTPUT", "ACCEPT", (Rule("DNAT", to=(IPv4Address(NODE_A), None)),))
    network = networks["vxlan"].writing("node-a", networks["vxlan"].tables("node-a").adding(home))
    found = trace(network, "a1", "b1")
    assert (found.disposition, found.died_at) == (Disposition.UNDELIVERABLE, "node-a")


@pytest.mark.parametrize(
    ("place", "chain", "marked"),
    [
        pytest.param("node-a", "OUTPUT", {}, id="into it"),
        pytest.param("node-b", "FORWARD", {"proto": "udp", "dport": 8472}, id="out of it"),
    ],
)
def test_a_mark_goes_through_the_tunnels_device(
    networks: dict[str, Network], place: str, chain: str, marked: dict[str, Any]
) -> None:
    tables = networks["vxlan"].tables(place)
    mark = Chain("nat", "PREROUTING", "ACCEPT", (Rule("MARK", set_mark=(0x10, 0x10), **marked),))
    drop = Chain("filter", chain, "ACCEPT", (Rule("DROP", mark=(0x10, 0x10)),))
    found = trace(networks["vxlan"].writing(place, tables.adding(mark, drop)), "a1", "b1")
    assert (found.disposition, found.died_at) == (Disposition.DENIED, place)


def test_what_comes_out_of_a_tunnel_is_new_to_prerouting(networks: dict[str, Network]) -> None:
    """Also where the tunnel's packet came in by a bridge, where iptables has seen it."""
    tables = networks["vxlan"].tables("node-b")
    dnat = Rule("DNAT", in_dev="flannel.1", to=(IPv4Address("172.16.8.3"), None))
    leading = networks["vxlan"].writing("node-b", tables.adding(Chain("nat", "PREROUTING", "ACCEPT", (dnat,))))
    inner = Packet(IPv4Address(A1), IPv4Address("172.16.8.77"), dst_mac=tables.link("flannel.1").mac)
    found = send(leading, "b1", Packet(None, IPv4Address(NODE_B), "udp", dport=8472, inner=inner))
    assert [hop.place for hop in found.request] == ["default/b1", "node-b", "default/b2"]


# --- MTU -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "size", "died"),
    [
        ("vxlan", 1450, None),
        ("vxlan", 1451, "default/a1"),
        ("alloc", 1500, None),
        ("alloc", 1501, "default/a1"),
        ("host-gw on a switch", 1500, None),
    ],
)
def test_the_largest_packet_of_a_pod(networks: dict[str, Network], backend: str, size: int, died: str | None) -> None:
    found = trace(networks[backend], "a1", "b1", size=size)
    assert found.died_at == died
    assert found.ok or found.disposition is Disposition.MTU_EXCEEDED


@pytest.mark.parametrize(
    ("mtu", "first", "fits"),
    [
        pytest.param(1400, {"size": 1350}, None, id="it fits"),
        pytest.param(1400, {"size": 1351}, 1350, id="a byte more"),
        pytest.param(1400, {"size": 1351, "dont_fragment": False}, 1350, id="DF is not asked for"),
        pytest.param(1494, {"size": 3000, "dont_fragment": False}, None, id="fragments of 1444 bytes fit"),
        pytest.param(1493, {"size": 3000, "dont_fragment": False}, 1443, id="or do not"),
    ],
)
@pytest.mark.parametrize("source", ["a1", "node-a"])
def test_a_tunnel_teaches_its_node_what_fits(
    networks: dict[str, Network], source: str, mtu: int, first: dict[str, Any], fits: int | None
) -> None:
    network = with_mtu(networks["vxlan"], mtu)
    before = trace(network, source, "b1", proto="udp", **first)
    assert before.ok
    assert before.learned.path_mtu.get(("node-a", IPv4Address(B1))) == fits
    for size in (fits or 1450, (fits or 1450) + 1):
        found = trace(network, "node-a", "b1", proto="udp", size=size, learned=before.learned)
        assert found.died_at == ("node-a" if size > (fits or 1450) else None)
    assert trace(network, "a1", "b1", proto="udp", size=1450, learned=before.learned).ok, "what is passed on may be cut"


def test_what_is_known_to_fit_only_shrinks(networks: dict[str, Network]) -> None:
    known = {("node-a", IPv4Address(B1)): 1300}
    network = with_mtu(networks["vxlan"], 1400)
    assert trace(network, "a1", "b1", size=1400, learned=Learned(path_mtu=known)).learned.path_mtu == known


def with_mtu(network: Network, mtu: int) -> Network:
    tables = network.tables("node-a")
    return network.writing("node-a", tables.adding(replace(tables.link("eth0"), mtu=mtu)))


@pytest.mark.parametrize(("size", "end"), [(540, "node-a"), (552, "node-a"), (553, "default/a1")])
def test_nobody_believes_in_less_than_552_bytes(networks: dict[str, Network], size: int, end: str) -> None:
    network = with_mtu(networks["alloc"], 500)
    first = trace(network, "a1", "b1", proto="udp", size=600)
    assert trace(network, "a1", "b1", proto="udp", size=size, learned=first.learned).died_at == end


def test_who_was_told_of_very_little_answers_without_df(networks: dict[str, Network]) -> None:
    network = with_mtu(networks["alloc"], 500)
    first = trace(network, "b1", "a1", proto="udp", size=540)
    assert (first.reply_disposition, first.reply[0].sent.dont_fragment) == (Disposition.MTU_EXCEEDED, True)
    again = trace(network, "b1", "a1", proto="udp", size=300, learned=first.learned)
    assert (again.reply_disposition, again.reply[0].sent.dont_fragment) == (Disposition.ACCEPTED, False)


def test_through_a_very_narrow_tunnel_little_is_passed_on(networks: dict[str, Network]) -> None:
    network = with_mtu(networks["vxlan"], 580)
    first = trace(network, "a1", "b1", proto="udp", size=553)
    assert first.ok
    again = trace(network, "a1", "b1", proto="udp", size=553, learned=first.learned)
    assert (again.disposition, again.died_at) == (Disposition.MTU_EXCEEDED, "node-a")
    assert (again.request[-1].icmp.what, again.request[-1].icmp.mtu) == ("fragmentation needed", 552)


def test_a_pod_that_believes_in_1500_hears_that_fragmentation_is_needed(networks: dict[str, Network]) -> None:
    pod = networks["vxlan"].tables("default/a1")
    wide = networks["vxlan"].writing("default/a1", pod.adding(replace(pod.link("eth0"), mtu=1500)))
    found = trace(wide, "a1", "b1", size=1451)
    assert (found.disposition, found.died_at) == (Disposition.MTU_EXCEEDED, "node-a")
    assert found.request[-1].icmp.what == "fragmentation needed"
    assert [hops[-1].place for hops in found.errors] == ["default/a1"]
    assert trace(wide, "a1", "b1", size=1451, dont_fragment=False).ok


@pytest.mark.parametrize(("size", "whole"), [(1455, True), (1500, True), (1500, False)])
def test_a_veth_drops_what_its_other_end_does_not_take(networks: dict[str, Network], size: int, whole: bool) -> None:
    pod = networks["vxlan"].tables("default/a1")
    wide = networks["vxlan"].writing("default/a1", pod.adding(replace(pod.link("eth0"), mtu=1500)))
    found = trace(wide, "a1", "b1", size=size, dont_fragment=whole)
    assert (found.disposition, found.died_at, found.errors) == (Disposition.MTU_EXCEEDED, "default/a1", ())


def test_an_answer_may_not_be_cut_though_the_question_was(networks: dict[str, Network]) -> None:
    """A program's answer has DF; the node's eth0 carries 1500 bytes of it, its flannel.1 does not."""
    found = trace(networks["vxlan"], "a1", "node-b", proto="udp", size=1500, dont_fragment=False)
    assert (found.disposition, found.reply_disposition) == (Disposition.ACCEPTED, Disposition.MTU_EXCEEDED)
    assert found.died_at == "node-a"
    assert trace(networks["vxlan"], "a1", "node-b", size=1500, dont_fragment=False).ok, "an echo reply has none"


@pytest.mark.parametrize("destination", ["node-b", "Internet"])
def test_who_answers_cuts_what_does_not_fit_its_own_device(networks: dict[str, Network], destination: str) -> None:
    assert trace(networks["alloc"], "a1", destination, proto="udp", size=1501, dont_fragment=False).ok


@pytest.mark.parametrize(("size", "end"), [(1500, Disposition.ACCEPTED), (1501, Disposition.MTU_EXCEEDED)])
def test_a_host_outside_sends_1500_bytes_at_once(networks: dict[str, Network], size: int, end: Disposition) -> None:
    eni = next(e for e in networks["alloc"].vpc.enis.values() if e.place == "node-a")
    owned = replace(eni, eip=IPv4Address("198.51.100.77"))
    vpc = networks["alloc"].vpc
    group = replace(vpc.security_groups[0], inbound=(SecurityRule(IPv4Network("0.0.0.0/0")),))
    open_to_all = replace(vpc, enis={**vpc.enis, eni.address: owned}, security_groups=(group,))
    found = trace(networks["alloc"].writing_vpc(open_to_all), "Internet", "198.51.100.77", size=size)
    assert found.disposition is end


def test_a_full_packet_fits_the_wire_when_wrapped(networks: dict[str, Network]) -> None:
    found = trace(networks["vxlan"], "a1", "b1", size=1450)
    assert next(hop for hop in found.request if hop.place == "VPC").received.size == 1500


def test_a_bridge_without_a_live_port_has_no_carrier(networks: dict[str, Network]) -> None:
    """Nobody is even asked: cni0 is up and has no carrier, so the node says at once that the host is unreachable."""
    tables = networks["alloc"].tables("node-a")
    none_up = replace(tables, lan=replace(tables.lan, ports=tuple(p._replace(up=False) for p in tables.lan.ports)))
    found = trace(networks["alloc"].writing("node-a", none_up), "db", "a1")
    assert (found.disposition, found.died_at) == (Disposition.LINK_DOWN, "node-a")
    assert found.request[-1].icmp.what == "host unreachable"
    one_up = replace(none_up, lan=replace(none_up.lan, ports=(none_up.lan.ports[0], tables.lan.ports[1])))
    found = trace(networks["alloc"].writing("node-a", one_up), "db", "a1")
    assert (found.disposition, found.died_at) == (Disposition.NEIGHBOR_UNREACHABLE, "node-a")


# --- host-gw ---------------------------------------------------------------------------------------------------------


def test_host_gw_dies_in_a_routed_vpc() -> None:
    """The frame reaches the fabric, which looks at the destination address and not at whom the node meant."""
    network = network_with(backend="host-gw")
    found = trace(network, "a1", "b1")
    assert found.died_at == "VPC"
    assert str(step(found, "node-a", "route").row.via) == NODE_B
    assert trace(network, "a1", "a2").ok
    assert trace(network, "node-a", "node-b").ok


def test_on_a_switch_the_frame_goes_to_the_node_that_was_meant(networks: dict[str, Network]) -> None:
    found = trace(networks["host-gw on a switch"], "a1", "b1")
    frame: Packet = next(hop for hop in found.request if hop.place == "node-a").sent
    assert frame.dst_mac == networks["host-gw on a switch"].ecs["node-b"].mac
    assert step(found, "VPC", "fdb").row.place == "node-b"


def test_a_node_that_is_gone_answers_no_arp_on_a_switch(networks: dict[str, Network]) -> None:
    broken = break_network(networks["host-gw on a switch"], "eth0-down", "node-b")
    assert trace(broken, "a1", "b1").disposition is Disposition.NEIGHBOR_UNREACHABLE
