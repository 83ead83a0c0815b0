"""VXLAN: a packet is wrapped in another one, which begins its own way through the place. Reads tables."""

from __future__ import annotations

from dataclasses import replace

from flannelviz.dataplane.egress import source_address
from flannelviz.dataplane.lookup import fib
from flannelviz.dataplane.visit import Visit
from flannelviz.packet import Disposition, Packet
from flannelviz.tables import VXLAN_OVERHEAD, VXLAN_PORT, Link, Route, Tables

VXLAN_SPORT = 50000  # a hash of the inner flow on a real machine
IP_HEADER = 20  # bytes
MOST_LAYERS = 4  # include/net/ip_tunnels.h, IP_TUNNEL_RECURSION_LIMIT


def vxlan_device(tables: Tables) -> Link | None:
    """Return the place's VXLAN device, or None."""
    return next((link for link in tables.fixed_links if link.kind == "vxlan" and link.up), None)


def encapsulated(visit: Visit, tables: Tables) -> Route | Disposition:
    """Return the route of the packet that a VXLAN device makes around the one which leaves by it, or how that ended.

    Source: RFC 7348; flannel sets VNI 1 and UDP port 8472, and the FDB names the node behind each VTEP's MAC;
    drivers/net/vxlan, vxlan_get_route: a circular route is dropped.
    """
    inner, dev = visit.packet, visit.out_dev
    entry = next((e for e in tables.fdb if e.lladdr == inner.dst_mac and e.dev == dev), None)
    asking = ("bridge fdb show dev {} | grep {}", dev, inner.dst_mac)
    if entry is None or entry.dst is None:
        visit.note("fdb", ("no node is known behind {}", inner.dst_mac), asking=asking)
        return Disposition.UNDELIVERABLE
    visit.note("fdb", ("{} is on node {}", inner.dst_mac, entry.dst), entry, asking=asking)
    route, runner_up = fib(tables).decide(int(entry.dst))
    if route is None:
        visit.note("route", ("no route to {}", entry.dst), asking=("ip route get {}", entry.dst))
        return Disposition.NO_ROUTE
    if route.dev == dev or _layers(inner) > MOST_LAYERS:
        visit.note("vxlan", ("{} would lead into itself", dev), route, asking=("ip route get {}", entry.dst))
        return Disposition.UNDELIVERABLE
    _teach_path_mtu(visit, tables, route)
    outer = Packet(
        source_address(tables, route),
        entry.dst,
        "udp",
        sport=VXLAN_SPORT,
        dport=VXLAN_PORT,
        size=inner.size + VXLAN_OVERHEAD,
        dont_fragment=False,
        mark=inner.mark,
        inner=replace(inner, mark=0) if inner.mark else inner,
    )
    saying = ("wrapped in UDP from {} to {}, by {}", outer.src, outer.dst, route.dst)
    visit.note("vxlan", saying, route, runner_up, now=outer, asking=("ip route get {}", entry.dst))
    return route


def _teach_path_mtu(visit: Visit, tables: Tables, route: Route) -> None:
    """Have the place know what fits the way to the inner packet's destination, if this one fills more than a packet.

    Source: net/ipv4/ip_tunnel_core.c, skb_tunnel_check_pmtu, which looks at each fragment and not at DF.
    """
    inner, device, under = visit.packet, tables.link(visit.out_dev or ""), tables.link(route.dev)
    assert device is not None and under is not None, "a packet leaves by devices that are there"
    fits = under.mtu - VXLAN_OVERHEAD
    if _first_piece(inner.size, device.mtu) > fits:
        visit.memory.learn_path_mtu(visit.place, inner.dst, fits)


def _first_piece(size: int, mtu: int) -> int:
    """Return the size of a packet, or of its first fragment, whose data is a multiple of 8 bytes. RFC 791 §3.2."""
    return size if size <= mtu else IP_HEADER + (mtu - IP_HEADER) // 8 * 8


def _layers(packet: Packet | None) -> int:
    return 0 if packet is None else 1 + _layers(packet.inner)
