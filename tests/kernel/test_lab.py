"""Real packets in a real kernel: what is seen of them is what the model says of them."""

import os
import signal
import threading
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from flannelviz.controlplane.timeline import build
from flannelviz.dataplane.trace import trace
from flannelviz.errors import LabError, PacketError, UnknownPlaceError
from flannelviz.faults import FAULTS, Fault, break_network
from flannelviz.kernel import Lab, agrees, cannot_hold
from flannelviz.kernel.lab import DPORT
from flannelviz.network import Network
from flannelviz.packet import LEAST_SIZE, Disposition
from flannelviz.topologies import article_plan, article_timeline, plan
from tests.kernel.conftest import Found, MakeLab, counted, in_labs

PLACES = ("a1", "a2", "b1", "node-a", "node-b", "db", "Internet")
ODD = ("127.0.0.1", "172.16.8.99", "172.16.0.140", "192.168.0.77", "10.9.9.9")  # not there, or not to be reached
JOURNEYS = [(source, destination) for source in PLACES for destination in (*PLACES, *ODD)]
LARGE = {"size": 1480, "proto": "udp"}
FEW: list[tuple[str, str, dict[str, Any]]] = [
    ("a1", "a2", {}),
    ("a1", "b1", {}),
    ("b1", "a1", {}),
    ("a1", "b1", {"proto": "udp"}),
    ("a1", "db", {"proto": "tcp"}),
    ("db", "a1", {}),
    ("a1", "Internet", {}),
    ("node-a", "a1", {}),
    ("node-b", "a1", {}),
    ("a1", "node-b", {}),
    ("a1", "b1", LARGE),
    ("b1", "a1", LARGE),
]


def differences(network: Network, lab: Lab, source: str, destination: str, **options: Any) -> tuple[str, ...]:
    """What the model and the kernel say differently about one packet, sent to a port where somebody listens."""
    options = {"dport": DPORT, **options} if options.get("proto", "icmp") != "icmp" else options
    return agrees(trace(network, source, destination, **options), lab.trace(source, destination, **options))


@pytest.mark.parametrize("proto", ["icmp", "udp", "tcp"])
def test_every_pair_of_places_does_what_the_model_says(article_lab: Lab, proto: str) -> None:
    found = {pair: differences(counted(), article_lab, *pair, proto=proto) for pair in JOURNEYS}
    assert {pair: words for pair, words in found.items() if words} == {}


def test_a_journey_across_nodes_is_told_hop_by_hop(article_lab: Lab) -> None:
    journey = article_lab.trace("a1", "b1")
    assert [hop.place for hop in journey.request] == ["default/a1", "node-a", "VPC", "node-b", "default/b1"]
    assert [hop.sent.ttl for hop in journey.request] == [64, 63, 62, 61, 61]
    assert journey.request[3].received.src_mac == "ee:ff:ff:ff:ff:ff"
    assert journey.source_seen == counted().address("a1")
    assert journey.ok
    assert journey.request[1].steps[0].says == "seen in by vetheb6e8c0e, in by cni0, out of eth0"


@pytest.mark.parametrize("ttl", [1, 2, 3, 4])
def test_a_ttl_ends_where_the_model_says(article_lab: Lab, ttl: int) -> None:
    assert differences(counted(), article_lab, "a1", "b1", ttl=ttl) == ()


def test_the_ports_and_the_size_are_those_asked_for(article_lab: Lab) -> None:
    journey = article_lab.trace("a1", "b1", proto="udp", sport=1234, dport=5353, size=600)
    sent = journey.request[-1].sent
    assert (sent.sport, sent.dport, sent.size, journey.ok) == (1234, 5353, 600, True)


@pytest.mark.parametrize("size", [0, 1, 8, 1400])
@pytest.mark.parametrize("proto", ["icmp", "udp", "tcp"])
def test_packets_of_any_size_are_recognised(article_lab: Lab, proto: str, size: int) -> None:
    assert article_lab.trace("a1", "Internet", proto=proto, size=LEAST_SIZE[proto] + size).ok


def test_a_warm_packet_finds_what_the_one_before_has_taught(article_lab: Lab) -> None:
    article_lab.trace("a1", "db")
    assert article_lab.trace("a1", "db", warm=True).ok


def test_each_cold_packet_is_the_first(article_lab: Lab) -> None:
    for _ in range(3):
        assert differences(counted(), article_lab, "a1", "Internet", proto="udp", sport=777) == ()


def in_a_lab(network: Network) -> dict[str, tuple[str, ...]]:
    """What a lab of this network does in another way than the model says, by journey."""
    few = [journey for journey in FEW if journey[1] == "Internet" or network.address(journey[1])]
    with Lab(network) as lab:
        found = {str(journey): differences(network, lab, *journey[:2], **journey[2]) for journey in few}
    return {journey: words for journey, words in found.items() if words}


def in_a_broken_network(fault: Fault) -> dict[str, tuple[str, ...]]:
    return in_a_lab(break_network(counted(), fault))


@in_labs(in_a_broken_network, {fault.name: (fault,) for fault in FAULTS})
def test_a_broken_network_breaks_in_the_same_way(found: Found) -> None:
    assert found.result() == {}


CLUSTERS: tuple[dict[str, Any], ...] = (
    {"rules": "head"},
    {"masquerade": False},
    {"vpc_decrements_ttl": False},
    {"hairpin": True},
    {"nat_gateway": False},
    {"node_mask": 28, "nodes": plan(2, 15).nodes},
)


def in_another_cluster(changes: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    plan_of_it = replace(article_plan(), **{"vpc_decrements_ttl": True, **changes})
    return in_a_lab(build(plan_of_it, strict=False).network)


@in_labs(in_another_cluster, {next(iter(changes)): (changes,) for changes in CLUSTERS})
def test_other_clusters_behave_as_the_model_says(found: Found) -> None:
    assert found.result() == {}


def test_an_ecs_with_an_eip_is_reached_from_outside(make_lab: MakeLab) -> None:
    first, second = article_plan().nodes
    eip = IPv4Address("198.51.100.77")
    network = build(replace(article_plan(), nodes=(replace(first, eip=eip), second))).network
    lab = make_lab(network)
    assert differences(network, lab, "Internet", str(eip)) == ()
    assert differences(network, lab, "a1", "Internet") == ()


# --- where model and kernel once parted ways ------------------------------------------------------------------------

MENDED: list[tuple[str | None, str, str, dict[str, Any], str]] = [
    ("eth0-mtu-1400", "b1", "a1", {"size": 1480}, "an echo reply goes without DF: net/ipv4/icmp.c sends it so"),
    (None, "a1", "100.100.2.136", {}, "what the VPC itself answers has no hop behind it"),
    (None, "b1", "172.16.0.255", {"proto": "udp"}, "programs do get a UDP packet to a broadcast address"),
]


@pytest.mark.parametrize(("fault", "source", "destination", "options", "why"), MENDED)
def test_the_kernel_agrees_by_now(
    fault: str | None, source: str, destination: str, options: dict[str, Any], why: str, make_lab: MakeLab
) -> None:
    network = break_network(counted(), fault) if fault else counted()
    assert differences(network, make_lab(network), source, destination, **options) == (), why


# --- the lab as an object --------------------------------------------------------------------------------------------


def test_two_labs_at_once_know_nothing_of_each_other(make_lab: MakeLab) -> None:
    healthy, broken = make_lab(counted()), make_lab(break_network(counted(), "vpc-route-missing", "node-b"))
    for _ in range(2):
        assert healthy.trace("a1", "b1").ok
        assert broken.trace("a1", "b1").died_at == "VPC"


def test_a_closed_lab_says_so(make_lab: MakeLab) -> None:
    lab = make_lab(counted())
    lab.close()
    lab.close()
    with pytest.raises(LabError, match="the lab has ended, its process is gone: make a new Lab"):
        lab.trace("a1", "b1")


def test_an_interrupt_ends_the_lab_and_says_so(make_lab: MakeLab) -> None:
    lab = make_lab(counted())
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        _ = [lab.trace("a1", "b1") for _ in range(10_000)]
    with pytest.raises(LabError, match="the lab has ended, its process is gone: make a new Lab"):
        lab.trace("a1", "b1")


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        (("a9", "b1"), {}, UnknownPlaceError, "no node, ECS or pod is called 'a9'"),
        (("VPC", "b1"), {}, UnknownPlaceError, "no program runs in the VPC"),
        (("a1", "b9"), {}, UnknownPlaceError, "'b9'"),
        (("a1", "224.0.0.1"), {}, PacketError, "224.0.0.1 is no unicast address"),
        (("a1", "b1"), {"proto": "sctp"}, PacketError, "choose one of icmp, tcp, udp"),
        (("a1", "b1"), {"ttl": 0}, PacketError, "no IPv4 packet has ttl 0; choose a whole number from 1 to 255"),
        (("a1", "b1"), {"ttl": "64"}, PacketError, "no IPv4 packet has ttl '64'"),
        (("a1", "b1"), {"size": 20}, PacketError, "no ICMP packet has size 20; choose a whole number from 28 to"),
        (("a1", "b1"), {"size": 39, "proto": "tcp"}, PacketError, "no TCP packet has size 39; choose .* from 40 to"),
        (("a1", "b1"), {"sport": 70000}, PacketError, "no IPv4 packet has sport 70000"),
        (("a1", 5), {}, PacketError, "the destination 5 is neither a name nor an IPv4 address"),
    ],
)
def test_what_no_lab_can_send_is_refused(
    article_lab: Lab, arguments: tuple[str, str], options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        article_lab.trace(*arguments, **options)


def test_pods_of_a_host_network_and_stuck_pods_have_their_place(make_lab: MakeLab) -> None:
    crowded = replace(plan(1, 14).nodes[0], host_pods=("proxy",))
    network = build(replace(plan(1), node_mask=28, nodes=(crowded,)), strict=False).network
    lab = make_lab(network)
    assert lab.trace("proxy", "a1").request[0].place == "node-a"
    assert lab.trace("a14", "a1").disposition is Disposition.NO_ROUTE


@pytest.mark.parametrize("moment", range(0, len(article_timeline()), 4))
def test_any_moment_of_a_timeline_can_be_built(moment: int, make_lab: MakeLab) -> None:
    network = article_timeline().at(moment)
    if cannot_hold(network):
        assert not network.vpc.route_tables
    else:
        make_lab(network)
