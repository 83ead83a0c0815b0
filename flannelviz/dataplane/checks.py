"""What the kernel checks of a packet besides its route and the filter: where such a check ends it. Reads tables."""

from __future__ import annotations

from dataclasses import replace

from flannelviz.dataplane.egress import answer_with, unknown
from flannelviz.dataplane.lookup import broadcast_of, local_address, route_for
from flannelviz.dataplane.visit import Visit
from flannelviz.packet import Disposition
from flannelviz.tables import LO, Address, Link, Origin, Route, Sysctl, Tables, device_setting

IP_FORWARD = "net.ipv4.ip_forward"
IP_FORWARD_UNSET = Sysctl(IP_FORWARD, 0, Origin("kernel", "default"))
ALL_IPV4 = "net.ipv4."  # how the names of such settings begin


def kept_on_lo(visit: Visit, tables: Tables, route: Route) -> Disposition | None:
    """Return SOURCE_REJECTED if a packet from 127.0.0.0/8 would leave by another device than lo.

    Source: net/ipv4/route.c, __mkroute_output, where route_localnet is 0.
    """
    src = visit.packet.src
    if src is None or not src.is_loopback or route.dev == LO:
        return None
    saying = ("source {} is an address of lo, and may not leave by {}", src, route.dev)
    visit.note("local", saying, local_address(tables, src), asking=("ip addr show lo",))
    return Disposition.SOURCE_REJECTED


def loopback_down(visit: Visit, tables: Tables) -> Disposition | None:
    """Return LINK_DOWN if lo is down, over which own addresses are reached; None if it is up."""
    if "fixed_links" in tables.unknown:
        return unknown(visit, "links", ("ip link show lo",))
    link = tables.link(LO)
    if link is not None and link.up:
        return None
    visit.note("link", ("lo is down, and own addresses are reached over it",), link, asking=("ip link show lo",))
    return Disposition.LINK_DOWN


def loopback_from_outside(visit: Visit, tables: Tables) -> Disposition:
    """Return UNDELIVERABLE: nothing that comes in by a wire is for 127.0.0.0/8, which is lo's alone.

    Source: net/ipv4/route.c, ip_route_input_slow: a martian destination, where route_localnet is 0.
    """
    dst = visit.packet.dst
    saying = ("destination {} is an address of lo, and this came from outside: a martian", dst)
    visit.note("local", saying, local_address(tables, dst), asking=("ip addr show lo",))
    return Disposition.UNDELIVERABLE


def own_from_outside(visit: Visit, own: Address) -> Disposition:
    """Return SOURCE_REJECTED: a packet from a wire has `own`, an address of this place, as its source."""
    saying = ("source {} is an own address, from outside: a martian", visit.packet.src)
    visit.note("local", saying, own, asking=("ip addr",))
    return Disposition.SOURCE_REJECTED


def not_for_me(visit: Visit, link: Link) -> Disposition:
    """Return UNDELIVERABLE: the frame carries the MAC of another device."""
    visit.note(
        "link",
        ("the frame is for {}, {} is {}: ignored", visit.packet.dst_mac, link.name, link.mac),
        link,
        asking=("ip link show {}", link.name),
    )
    return Disposition.UNDELIVERABLE


def forwarding_disabled(visit: Visit, tables: Tables, dev: str) -> Disposition:
    """Return FORWARDING_DISABLED: what came in by `dev` is not passed on."""
    row = forwarding(tables, dev)
    saying = ("{} is 0: dropped in silence", row.name.removeprefix(ALL_IPV4))
    visit.note("sysctl", saying, row, asking=("sysctl {}", row.name))
    return Disposition.FORWARDING_DISABLED


def forwarding(tables: Tables, dev: str) -> Sysctl:
    """Return the setting that allows to forward what comes in by `dev`: its own, else the one for all devices.

    Source: net/ipv4/route.c, ip_route_input_slow, IN_DEV_FORWARD; writing ip_forward writes that of every device.
    """
    own, found = device_setting(dev, "forwarding"), IP_FORWARD_UNSET
    for row in tables.sysctls:
        if row.name == own:
            return row
        if row.name == IP_FORWARD:
            found = row
    return found


def reverse_path_failed(visit: Visit, tables: Tables, dev: str, out_dev: str | None = None) -> Disposition:
    """Return SOURCE_REJECTED: the way back to the sender does not lead by `dev`."""
    src, dst = visit.packet.src, visit.packet.dst
    back = route_for(tables, src, dst, out_dev)[0] if src is not None else None
    saying = ("rp_filter: {} does not come back by {}: dropped", src, dev)
    from_there = ("ip route get {} from {} iif {}", src, dst, out_dev)
    asking = from_there if tables.policy and out_dev else ("ip route get {}", src)
    visit.note("rp_filter", saying, back, asking=asking)
    return Disposition.SOURCE_REJECTED


def too_old(visit: Visit, tables: Tables) -> Disposition | None:
    """Return TTL_EXCEEDED if the packet may not be forwarded once more, and answer its sender; else None."""
    if visit.packet.ttl > 1:
        return None
    asking = ("traceroute -n {}", visit.packet.dst)
    visit.note("ttl", ("TTL is {}: it may not be forwarded again", visit.packet.ttl), asking=asking)
    answer_with(visit, tables, "time exceeded")
    return Disposition.TTL_EXCEEDED


def decrement(visit: Visit, tables: Tables, dev: str) -> Disposition | None:
    """Take one from the TTL of a packet that is forwarded, and return None: it goes on."""
    ttl, row = visit.packet.ttl, forwarding(tables, dev)
    saying = ("{} is 1: TTL {} -> {}", row.name.removeprefix(ALL_IPV4), ttl, ttl - 1)
    visit.note("sysctl", saying, row, now=replace(visit.packet, ttl=ttl - 1), asking=("sysctl {}", row.name))
    return None


def no_route(visit: Visit, asking: tuple[object, ...]) -> Disposition:
    """Return NO_ROUTE: no line of the table asked matches."""
    visit.note("route", ("no route to {}", visit.packet.dst), asking=asking)
    return Disposition.NO_ROUTE


def broadcast(visit: Visit, tables: Tables) -> Disposition:
    """Return UNDELIVERABLE: nobody forwards to a subnet's broadcast address, and only UDP programs get such packets."""
    row = broadcast_of(tables, visit.packet.dst)
    saying = ("{} is a broadcast address here: neither forwarded nor answered", visit.packet.dst)
    visit.note("local", saying, row, asking=("ip route get {}", visit.packet.dst))
    return Disposition.UNDELIVERABLE
