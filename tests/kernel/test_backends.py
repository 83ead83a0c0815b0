"""Each backend in a real kernel: what carries packets between nodes there is what carries them in the model."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from flannelviz.controlplane.timeline import build
from flannelviz.faults import break_network
from flannelviz.kernel import Lab
from flannelviz.model import VSwitch
from flannelviz.network import Network
from flannelviz.packet import Disposition
from flannelviz.tables import CNI0, ETH0, Tables
from flannelviz.topologies import article_plan
from prove.case import Sent, compared
from tests.kernel.conftest import Found, MakeLab, counted, in_labs
from tests.kernel.test_lab import JOURNEYS, differences

TUNNEL = "flannel.1"


@cache
def vxlan() -> Network:
    return build(replace(article_plan(), backend="vxlan", vpc_decrements_ttl=True)).network


@pytest.fixture(scope="module")
def vxlan_lab(refusal: str | None) -> Iterator[Lab]:
    if refusal is not None:
        pytest.skip(refusal)
    with Lab(vxlan()) as lab:
        yield lab


def found_by(network: Network, lab: Lab, journeys: list[tuple[str, str, dict[str, Any]]]) -> dict[str, tuple[str, ...]]:
    """What model and kernel say differently, by journey."""
    found = {f"{start} {end} {how}": differences(network, lab, start, end, **how) for start, end, how in journeys}
    return {journey: words for journey, words in found.items() if words}


def found_in_a_lab(network: Network, journeys: list[tuple[str, str, dict[str, Any]]]) -> dict[str, tuple[str, ...]]:
    """The same, in a lab of its own."""
    with Lab(network) as lab:
        return found_by(network, lab, journeys)


@pytest.mark.parametrize("proto", ["icmp", "udp", "tcp"])
def test_every_pair_of_places_goes_through_the_tunnel_as_the_model_says(vxlan_lab: Lab, proto: str) -> None:
    assert found_by(vxlan(), vxlan_lab, [(*pair, {"proto": proto}) for pair in JOURNEYS]) == {}


def test_the_tunnels_headers_are_seen_and_what_they_carry(vxlan_lab: Lab) -> None:
    _, node_a, vpc, node_b, _ = vxlan_lab.trace("a1", "b1").request
    outer, inner = node_a.sent, node_a.sent.inner
    assert inner is not None
    assert (str(outer.src), str(outer.dst), outer.proto, outer.dport) == ("192.168.0.10", "192.168.0.11", "udp", 8472)
    assert (outer.size, outer.ttl, vpc.sent.ttl) == (134, 64, 63)
    assert (str(inner.src), str(inner.dst), inner.proto, inner.ttl) == ("172.16.0.130", "172.16.8.2", "icmp", 63)
    vteps = [vxlan().tables(node).link(TUNNEL) for node in ("node-a", "node-b")]
    assert (inner.src_mac, inner.dst_mac) == tuple(link.mac for link in vteps if link)
    assert node_b.received.inner is not None
    assert (node_b.sent.inner, node_b.sent.ttl) == (None, 62)
    assert "in by flannel.1" in node_b.steps[0].says


SIZES = [
    (*pair, {"size": size, "proto": proto, "dont_fragment": whole})
    for pair in (("a1", "b1"), ("node-a", "b1"), ("a1", "node-b"), ("a1", "Internet"), ("Internet", "node-a"))
    for size in (1450, 1451, 1500)
    for proto in ("icmp", "udp")
    for whole in (True, False)
]


def test_what_exceeds_1450_bytes_ends_or_is_cut_as_the_model_says(vxlan_lab: Lab) -> None:
    assert found_by(vxlan(), vxlan_lab, SIZES) == {}


def test_1450_bytes_fit_and_1451_do_not(vxlan_lab: Lab) -> None:
    assert vxlan_lab.trace("a1", "b1", proto="udp", size=1450).ok
    assert vxlan_lab.trace("a1", "b1", proto="udp", size=1451).disposition is Disposition.MTU_EXCEEDED


# --- broken ----------------------------------------------------------------------------------------------------------


def without(name: str) -> Any:
    """Tables without the rows of flannel.1 in one table."""
    return lambda tables: replace(tables, **{name: tuple(r for r in getattr(tables, name) if r.dev != TUNNEL)})


def with_link(dev: str, **changes: Any) -> Any:
    def change(tables: Tables) -> Tables:
        link = tables.link(dev)
        assert link is not None
        return tables.adding(replace(link, **changes))

    return change


BREAKS = {
    "no route": ("node-a", without("routes")),
    "no neighbour": ("node-a", without("neighbors")),
    "no FDB entry": ("node-a", without("fdb")),
    "no way back": ("node-b", without("routes")),
    "the tunnel's far end is down": ("node-b", with_link(TUNNEL, up=False)),
    "the tunnel's near end is down": ("node-a", with_link(TUNNEL, up=False)),
    "the far VTEP has another MAC": ("node-b", with_link(TUNNEL, mac="fe:00:00:00:00:01")),
    "eth0 is down": ("node-a", with_link(ETH0, up=False)),
    "cni0 is down": ("node-b", with_link(CNI0, up=False)),
    "a pod's MTU is 1500": ("default/a1", with_link(ETH0, mtu=1500)),
    "the tunnel's MTU is 1400": ("node-a", with_link(TUNNEL, mtu=1400)),
    "eth0's MTU is 1400": ("node-a", with_link(ETH0, mtu=1400)),
}
FEW: list[tuple[str, str, dict[str, Any]]] = [
    ("a1", "b1", {}),
    ("b1", "a1", {}),
    ("a1", "b1", {"proto": "tcp"}),
    ("node-a", "b1", {}),
    ("b1", "node-a", {}),
    ("a1", "db", {}),
    ("a1", "172.16.8.99", {}),
    ("a1", "b1", {"proto": "udp", "size": 1450}),
    ("b1", "a1", {"proto": "udp", "size": 1450}),
    ("a1", "b1", {"proto": "udp", "size": 1500}),
    *(("a1", "b1", {"ttl": ttl}) for ttl in (1, 2, 3)),
]


def in_a_broken_tunnel(place: str, change: Any) -> dict[str, tuple[str, ...]]:
    network = vxlan().writing(place, change(vxlan().tables(place)))
    return found_in_a_lab(network, FEW)


@in_labs(in_a_broken_tunnel, BREAKS)
def test_a_broken_tunnel_breaks_in_the_same_way(found: Found) -> None:
    assert found.result() == {}


def sizes(source: str, destination: str, *numbers: int, whole: bool = True) -> list[Sent]:
    """UDP of these sizes, each after the other."""
    first = Sent(source, destination, "udp", dport=53, dont_fragment=whole, warm=True)
    return [replace(first, size=number) for number in numbers]


NARROW: dict[str, tuple[Network, int, list[Sent]]] = {
    "nobody believes in less than 552 bytes": (counted(), 500, sizes("a1", "b1", 600, 540, 552, 553)),
    "who was told of very little answers without DF": (counted(), 500, sizes("b1", "a1", 540, 540, 300)),
    "through a very narrow tunnel little is passed on": (
        vxlan(),
        580,
        [*sizes("a1", "b1", 552, 553, 553), *sizes("node-a", "b1", 552, 553)],
    ),
    "a tunnel looks at each fragment": (
        vxlan(),
        1494,
        [*sizes("a1", "b1", 3000, whole=False), *sizes("node-a", "b1", 1450, 1444)],
    ),
}


def in_a_narrow_lab(network: Network, mtu: int, packets: list[Sent]) -> dict[str, tuple[str, ...]]:
    narrow = network.writing("node-a", with_link(ETH0, mtu=mtu)(network.tables("node-a")))
    with Lab(narrow) as lab:
        return {str(one.sent): one.differences for one in compared(narrow, lab, packets) if one.differences}


@in_labs(in_a_narrow_lab, NARROW)
def test_a_place_is_told_what_fits_as_the_model_says(found: Found) -> None:
    assert found.result() == {}


# --- other planes ----------------------------------------------------------------------------------------------------

FIRST, SECOND = article_plan().nodes
ZONES = {
    "vswitches": (*article_plan().vswitches, VSwitch("vsw-b", IPv4Network("192.168.1.0/28"), "cn-hangzhou-b")),
    "nodes": (FIRST, replace(SECOND, address=None, vswitch="vsw-b")),
}
EIP = IPv4Address("198.51.100.77")
SWITCH = {"backend": "host-gw", "fabric": "switch"}
TERWAY = {"cni": "terway", "nodes": tuple(replace(node, pod_cidr=None) for node in article_plan().nodes)}
WITH_EIP = {"nodes": (replace(FIRST, eip=EIP), SECOND)}
PLANES: dict[str, dict[str, Any]] = {
    "ali-vpc": {"backend": "ali-vpc"},
    "host-gw on a switch": SWITCH,
    "host-gw in a routed VPC": {"backend": "host-gw"},
    "host-gw across vSwitches": SWITCH | ZONES,
    "vxlan across vSwitches": {"backend": "vxlan"} | ZONES,
    "alloc across vSwitches": ZONES,
    "a narrow eth0 under a tunnel": {"backend": "vxlan", "mtu": 1400},
    "Terway": TERWAY,
    "Terway with a narrow ENI": TERWAY | {"mtu": 1400},
    "an EIP": WITH_EIP,
    "an EIP on a switch": WITH_EIP | SWITCH,
    "several route tables": {"route_tables": 2, "ccm_route_table_ids": ("vtb-custom-1",)},
}
MORE = ("192.168.0.253", "192.168.0.255", "192.168.1.9")
PAIRS = [
    *JOURNEYS,
    *((source, odd) for source in ("a1", "b1", "db", "Internet") for odd in MORE),
    ("Internet", str(EIP)),
]


def in_another_plane(changes: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    network = build(replace(article_plan(), vpc_decrements_ttl=True, **changes), strict=False).network
    return found_in_a_lab(network, [(*pair, {}) for pair in PAIRS])


@in_labs(in_another_plane, {name: (changes,) for name, changes in PLANES.items()})
def test_every_pair_of_places_in_other_planes(found: Found) -> None:
    assert found.result() == {}


def test_a_route_of_flanneld_comes_before_the_kernels_own_to_the_same_place(make_lab: MakeLab) -> None:
    """With host-gw, a podCIDR that two nodes have is on node-b's cni0 and behind node-a: the older route decides."""
    whole = build(replace(article_plan(), vpc_decrements_ttl=True, **SWITCH)).network
    network = break_network(whole, "duplicate-pod-cidr")
    assert found_by(network, make_lab(network), [(*pair, {}) for pair in JOURNEYS]) == {}


TERWAY_BREAKS = {
    "the second ENI is down": ("node-a", with_link("eth1", up=False)),
    "no rule sends pods to the second ENI": ("node-a", lambda t: replace(t, policy=t.policy[:1])),
    "no policy rule": ("node-b", lambda t: replace(t, policy=())),
    "no forwarding": ("node-b", lambda t: replace(t, sysctls=())),
    "the pod has no neighbour": ("default/a1", lambda t: replace(t, neighbors=())),
}


def in_a_broken_terway(place: str, change: Any) -> dict[str, tuple[str, ...]]:
    plane = build(replace(article_plan(), vpc_decrements_ttl=True, **TERWAY), strict=False).network
    network = plane.writing(place, change(plane.tables(place)))
    return found_in_a_lab(network, [(*p, {}) for p in JOURNEYS if {"a1", "b1", "node-a", "db"} >= set(p)])


@in_labs(in_a_broken_terway, TERWAY_BREAKS)
def test_a_broken_terway_breaks_in_the_same_way(found: Found) -> None:
    assert found.result() == {}
