"""Who answers an ARP request, and whose packets a device takes."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface

import pytest

from flannelviz.controlplane.timeline import build
from flannelviz.dataplane.arp import Question, answers, reverse_path_ok
from flannelviz.dataplane.trace import send, trace
from flannelviz.packet import Disposition, Packet
from flannelviz.tables import Address, Sysctl
from flannelviz.topologies import article, plan

NODE_A, A2 = IPv4Address("192.168.0.10"), IPv4Address("172.16.0.131")


def test_a_device_without_an_address_is_held_to_the_strict_mode() -> None:
    loose = Sysctl("net.ipv4.conf.all.rp_filter", 2)
    tables = article().tables("node-a").adding(loose)
    source, own = IPv4Address("172.16.0.130"), IPv4Address("172.16.0.129")
    assert reverse_path_ok(tables, "eth0", source, own)
    assert not reverse_path_ok(tables, "vetheb6e8c0e", source, own)


@pytest.mark.parametrize(
    ("target", "answered"),
    [("172.16.0.131", True), ("172.16.0.140", True), ("127.0.0.1", False), ("127.9.9.9", False), ("172.16.0.9", False)],
)
def test_any_own_address_is_answered_for_but_those_of_127(target: str, answered: bool) -> None:
    tables = article().tables("default/a2").adding(Address(IPv4Interface("172.16.0.140/32"), "lo"))
    assert answers(tables, "eth0", Question(IPv4Address(target), NODE_A)) is answered


@pytest.mark.parametrize(("source", "ok"), [(None, True), (NODE_A, False)])
def test_a_question_comes_from_the_packets_source_if_that_is_an_own_address(
    source: IPv4Address | None, ok: bool
) -> None:
    """The pod does not tell node-a, whose address it has itself; the address of cni0 it would tell."""
    network = article()
    twin = network.tables("default/a2").adding(Address(IPv4Interface(f"{NODE_A}/32"), "lo"))
    found = send(network.writing("default/a2", twin), "node-a", Packet(source, A2))
    assert found.ok is ok
    assert ok or (found.disposition, found.died_at) == (Disposition.NEIGHBOR_UNREACHABLE, "node-a")


@pytest.mark.parametrize(
    ("written", "down", "ok"),
    [(False, "", False), (True, "", True), (True, "eth0", True), (True, "eth1", False)],
)
def test_a_switch_passes_a_question_to_the_device_of_the_eni(written: bool, down: str, ok: bool) -> None:
    """Terway writes no address of a pod on an ENI's device, so on a switch nobody answers for it."""
    network = build(plan(2, 2, cni="terway")).network
    pod = Address(IPv4Interface(f"{network.pod_ip('default/b1')}/32"), "eth1")
    tables = network.tables("node-b").adding(*((pod,) if written else ()))
    links = tuple(replace(link, up=link.name != down) for link in tables.fixed_links)
    network = network.writing("node-b", replace(tables, fixed_links=links))
    found = trace(network.writing_vpc(replace(network.vpc, fabric="switch")), "node-a", "b1")
    unheard = (Disposition.NEIGHBOR_UNREACHABLE, "node-a")
    assert ((found.disposition, found.died_at) != unheard) is ok
