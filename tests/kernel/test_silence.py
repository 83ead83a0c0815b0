"""Where no error tells why a packet died, the kernel is asked: its counters, rules, devices and addresses."""

import errno
import struct
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from flannelviz.controlplane.timeline import build
from flannelviz.dataplane.trace import trace
from flannelviz.errors import LabError
from flannelviz.kernel import silence
from flannelviz.kernel.blueprint import Sighting
from flannelviz.kernel.forget import check_deleted
from flannelviz.kernel.sender import TABLE_FULL, Sender
from flannelviz.kernel.silence import cause, grown, overflows
from flannelviz.model import ServicePlan
from flannelviz.network import Network
from flannelviz.packet import Disposition
from flannelviz.tables import (
    CNI0,
    ETH0,
    LO,
    Address,
    Chain,
    FdbEntry,
    Match,
    Route,
    Rule,
    Sysctl,
    Tables,
)
from flannelviz.topologies import article_plan
from tests.kernel.conftest import MakeLab

Change = Callable[[Tables], Tables]
FROM_PODS = Match(IPv4Network("172.16.0.128/25"))


def network(**changes: Any) -> Network:
    return build(replace(article_plan(), vpc_decrements_ttl=True, **changes)).network


def adding(*rows: Any) -> Change:
    return lambda tables: tables.adding(*rows)


def refusing(chain: str, rule: Rule) -> Change:
    def change(tables: Tables) -> Tables:
        old = tables.chain("filter", chain)
        assert old is not None
        return tables.adding(replace(old, rules=(rule, *old.rules)))

    return change


def changing(dev: str, **changes: Any) -> Change:
    def change(tables: Tables) -> Tables:
        link = tables.link(dev)
        assert link is not None
        return tables.adding(replace(link, **changes))

    return change


def without(*kinds: type) -> Change:
    """Tables without the rows of these kinds on flannel.1."""
    return lambda tables: tables.without(*(r for r in tables.rows() if isinstance(r, kinds) and r.dev == "flannel.1"))


def port_down(tables: Tables) -> Tables:
    assert tables.lan is not None
    first, *others = tables.lan.ports
    return replace(tables, lan=replace(tables.lan, ports=(first._replace(up=False), *others)))


STRICT = Sysctl("net.ipv4.conf.all.rp_filter", 1)
BACK_BY_CNI0 = Route(FROM_PODS.net, CNI0, scope="link")
A1_AS_WELL = Address(IPv4Interface("172.16.0.130/32"), LO)
DENIED, REJECTED = Disposition.DENIED, Disposition.SOURCE_REJECTED
CASES: dict[str, tuple[dict[str, Any], str, Change, tuple[str, str, dict[str, Any]], Disposition, str]] = {
    "ip_forward is 0": (
        {},
        "node-b",
        adding(Sysctl("net.ipv4.ip_forward", 0)),
        ("a1", "b1", {}),
        Disposition.FORWARDING_DISABLED,
        "InAddrErrors",
    ),
    "a rule of FORWARD": (
        {},
        "node-b",
        refusing("FORWARD", Rule("DROP", src=FROM_PODS)),
        ("a1", "b1", {}),
        DENIED,
        "-A FORWARD -s 172.16.0.128/25 -j DROP",
    ),
    "a policy": (
        {},
        "node-b",
        adding(Chain("filter", "FORWARD", "DROP")),
        ("a1", "b1", {}),
        DENIED,
        ":FORWARD DROP",
    ),
    "a rule of INPUT": (
        {},
        "node-b",
        adding(Chain("filter", "INPUT", "ACCEPT", (Rule("DROP", proto="icmp"),))),
        ("a1", "node-b", {}),
        DENIED,
        "-A INPUT -p icmp -j DROP",
    ),
    "a bridge that iptables sees": (
        {},
        "node-a",
        refusing("FORWARD", Rule("DROP", src=FROM_PODS)),
        ("a1", "a2", {}),
        DENIED,
        "-A FORWARD -s 172.16.0.128/25 -j DROP",
    ),
    "an answer refused": (
        {},
        "node-b",
        refusing("FORWARD", Rule("DROP", dst=FROM_PODS)),
        ("a1", "b1", {}),
        DENIED,
        "-A FORWARD -d 172.16.0.128/25 -j DROP",
    ),
    "rp_filter": ({}, "node-b", adding(STRICT, BACK_BY_CNI0), ("a1", "b1", {}), REJECTED, "IPReversePathFilter"),
    "a martian": ({}, "node-b", adding(A1_AS_WELL), ("a1", "b1", {}), REJECTED, "own address 172.16.0.130"),
    "a broadcast address": (
        {},
        "node-b",
        lambda tables: tables,
        ("a1", "172.16.8.127", {}),
        Disposition.UNDELIVERABLE,
        "broadcast address 172.16.8.127",
    ),
    "a port that is down": ({}, "node-a", port_down, ("a1", "b1", {}), Disposition.LINK_DOWN, "eth0 has no carrier"),
    "an answer without a route": (
        {},
        "default/b1",
        lambda tables: replace(tables, routes=tables.routes[-1:]),
        ("a1", "b1", {}),
        Disposition.NO_ROUTE,
        "no route to 172.16.0.130",
    ),
    "no hairpin mode": (
        {"services": (ServicePlan("web", IPv4Address("172.19.0.10"), 80, ("a1",)),)},
        "node-a",
        lambda tables: tables,
        ("a1", "172.19.0.10", {"proto": "tcp", "dport": 80}),
        Disposition.UNDELIVERABLE,
        "behind no port of cni0",
    ),
    "a VTEP with another MAC": (
        {"backend": "vxlan"},
        "node-b",
        changing("flannel.1", mac="fe:00:00:00:00:01"),
        ("a1", "b1", {}),
        Disposition.UNDELIVERABLE,
        "a frame for fe:",
    ),
    "a tunnel without FDB entry": (
        {"backend": "vxlan"},
        "node-a",
        without(FdbEntry),
        ("a1", "b1", {}),
        Disposition.UNDELIVERABLE,
        "dropped by flannel.1",
    ),
    "a tunnel over an eth0 that is down": (
        {"backend": "vxlan"},
        "node-a",
        changing(ETH0, up=False),
        ("a1", "b1", {}),
        Disposition.NO_ROUTE,
        "not carried by flannel.1",
    ),
    "a veth that takes less": (
        {"backend": "vxlan"},
        "default/a1",
        changing(ETH0, mtu=1500),
        ("a1", "b1", {"proto": "udp", "size": 1500, "dport": 20000}),
        Disposition.MTU_EXCEEDED,
        "dropped by eth0",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_kernel_knows_what_ended_a_packet_in_silence(name: str, make_lab: MakeLab) -> None:
    plan, place, change, (source, destination, options), end, words = CASES[name]
    whole = network(**plan)
    broken = whole.writing(place, change(whole.tables(place)))
    model, kernel = (
        trace(broken, source, destination, **options),
        make_lab(broken).trace(source, destination, **options),
    )
    seen = kernel.hops[-1]
    assert (seen.place, seen.disposition) == (model.hops[-1].place, model.hops[-1].disposition)
    assert seen.disposition is end
    assert seen.steps[-1].kind == "known"
    assert seen.steps[-1].says.startswith(words)


def test_what_needs_no_asking_is_not_asked(make_lab: MakeLab) -> None:
    lab = make_lab(network())
    for destination in ("b1", "172.16.8.99", "172.16.0.140", "Internet"):
        assert [s.kind for hop in lab.trace("a1", destination).hops for s in hop.steps if s.kind == "known"] == []


# --- what it means ---------------------------------------------------------------------------------------------------

CAME_IN = Sighting(0, "request", "node-b", "eth0", False, False, "1.1.1.1", "2.2.2.2", 64, 0, 0, "a", "b")


@pytest.mark.parametrize(
    ("known", "last", "end"),
    [
        ((), CAME_IN, None),
        (("cni0 has no carrier",), CAME_IN, None),  # a bridge without pods, and not on the way
        (("dropped by eth1",), CAME_IN._replace(out=True), None),
        (("no route to 2.2.2.2",), CAME_IN, None),  # the packet itself was for the place
        (("OutNoRoutes",), None, Disposition.NO_ROUTE),
        (("IPReversePathFilter", "own address 1.1.1.1"), CAME_IN, REJECTED),
        ((":FORWARD DROP", "InAddrErrors"), CAME_IN, DENIED),
        ((), CAME_IN._replace(other_host=True), Disposition.UNDELIVERABLE),
        ((), CAME_IN._replace(dev="veth1"), Disposition.UNDELIVERABLE),
        (("-A FORWARD -j DROP",), CAME_IN._replace(dev="veth1"), DENIED),
        (("cni0 is down",), CAME_IN._replace(dev="veth1"), Disposition.LINK_DOWN),
        (("cni0 has no carrier",), CAME_IN._replace(dev="veth1"), Disposition.LINK_DOWN),
        (("lo is down",), None, Disposition.LINK_DOWN),
    ],
)
def test_what_is_known_has_one_meaning(known: tuple[str, ...], last: Sighting | None, end: Disposition | None) -> None:
    found = cause(known, last)
    assert (found[1] if found else None) is end


def test_only_what_has_grown_was_counted_in_between() -> None:
    assert grown({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 1, "d": 0}) == ("b", "c")


def arp_table(path: Path, *full: int) -> None:
    """A kernel's ARP statistics of one CPU each, with so many overflows."""
    path.write_text("\n".join(["entries ... table_fulls", *(f"{'0 ' * 12}{count:08x}" for count in full)]))


def test_a_full_arp_table_is_said_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(silence, "ARP_TABLE", tmp_path / "arp_cache")
    assert overflows() == 0
    sender = Sender({})
    arp_table(tmp_path / "arp_cache", 3, 10)
    with pytest.raises(LabError, match="^the kernel's ARP table, one for all namespaces together, was full") as said:
        sender._check_room()
    assert str(said.value) == TABLE_FULL
    sender._check_room()


def test_this_kernel_tells_when_its_arp_table_was_full() -> None:
    if silence.ARP_TABLE.exists():
        assert silence.ARP_TABLE.read_text().split()[silence.OVERFLOWS] == "table_fulls"


@pytest.mark.parametrize(("number", "known"), [(0, True), (errno.ENOENT, True), (errno.EINVAL, False)])
def test_a_kernel_that_deletes_no_flow_is_named(number: int, known: bool) -> None:
    answer = bytes(16) + struct.pack("i", -number)
    with nullcontext() if known else pytest.raises(LabError, match=r"\(Invalid argument\): run modprobe nf_conntrack"):
        check_deleted(answer)


# --- where nobody listens ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proto", "answer"), [("udp", ()), ("tcp", ("default/b1", "node-b", "VPC", "node-a", "default/a1"))]
)
def test_where_nobody_listens_the_kernel_says_so(proto: str, answer: tuple[str, ...], make_lab: MakeLab) -> None:
    lab = make_lab(network())
    refused = lab.trace("a1", "b1", proto=proto, dport=80, served=False)
    assert refused.disposition is Disposition.REFUSED
    assert tuple(hop.place for hop in refused.reply) == answer
    icmp = refused.request[-1].icmp
    assert (icmp.what if icmp else None) == (None if answer else "port unreachable")
    assert lab.trace("a1", "b1", proto=proto, dport=80).ok, "and again with somebody"
