"""On the way out of a Linux place: the filter, POSTROUTING, the neighbour, the wire. Reads tables."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

from flannelviz.dataplane import nat
from flannelviz.dataplane.arp import Question, answer, port_of
from flannelviz.dataplane.lookup import fib
from flannelviz.dataplane.netfilter import decide
from flannelviz.dataplane.visit import Visit
from flannelviz.model import VPC
from flannelviz.packet import Disposition
from flannelviz.tables import LO, Link, Neighbor, Origin, Route, Tables

ARP_ANSWER = Origin("kernel", "ARP reply")


def post_route(visit: Visit, tables: Tables, route: Route, in_dev: str | None) -> Disposition:
    """Return what becomes of a packet whose route is known: size, POSTROUTING, neighbour, wire."""
    refused = too_large(visit, tables, route, "") if in_dev is None else None
    if refused:
        return refused
    nat.after_routing(visit, tables, in_dev, route.dev, lambda: source_address(tables, route))
    link = tables.link(route.dev)
    assert link is not None, "a usable route has a device"
    visit.out_dev = link.name
    return _carrier_lost(visit, link) or _resolve(visit, tables, route, link) or _leave(visit, tables, link)


def source_address(tables: Tables, route: Route) -> IPv4Address | None:
    """Return the source that the kernel gives a packet which leaves by `route` without one.

    Source: the route's src; else the device's address on the next hop's network; else its first; else any other.
    """
    if route.src is not None:
        return route.src
    on_dev = [a.interface for a in tables.addresses if a.dev == route.dev]
    near = [i.ip for i in on_dev if route.via is not None and route.via in i.network]
    others = [a.interface.ip for a in tables.addresses if a.dev != LO]
    return next(iter((*near, *(i.ip for i in on_dev), *others)), None)


def too_large(visit: Visit, tables: Tables, route: Route, error: str) -> Disposition | None:
    """Return MTU_EXCEEDED if the packet may not be fragmented and does not fit; `error` is the ICMP error it causes."""
    link = tables.link(route.dev)
    packet = visit.packet
    if link is None or packet.size <= link.mtu or not packet.dont_fragment:
        return None
    saying = ("{} bytes do not fit {}'s MTU of {}", packet.size, link.name, link.mtu)
    visit.note("mtu", saying, link, asking=("ip link show {}", link.name))
    if error:
        answer_with(visit, tables, error)
    return Disposition.MTU_EXCEEDED


def filtered(visit: Visit, tables: Tables, name: str, in_dev: str | None, out_dev: str | None) -> Disposition | None:
    """Return DENIED if the filter chain drops the packet, else None; an empty ACCEPT chain is no step."""
    if "chains" in tables.unknown:
        return unknown(visit, "chains", ("iptables -S {}", name))
    chain = tables.chain("filter", name)
    if chain is None or (not chain.rules and chain.policy == "ACCEPT"):
        return None
    said, runner_up = decide(tables, chain, visit.packet, in_dev, out_dev)
    saying = ("{}: {}", name, said.target)
    visit.note(f"filter {name}", saying, said.row, runner_up, asking=("iptables -S {}", name))
    return None if said.target == "ACCEPT" else Disposition.DENIED


def _carrier_lost(visit: Visit, link: Link) -> Disposition | None:
    """Return LINK_DOWN if the far end of the wire is down, so that this end has no carrier."""
    if link.peer is None or link.peer[0] == VPC:
        return None
    far = visit.network.tables(link.peer[0]).link(link.peer[1])
    if far is not None and far.up:
        return None
    visit.note(
        "link", ("{} has no carrier: its far end is down", link.name), link, asking=("ip link show {}", link.name)
    )
    return Disposition.LINK_DOWN


def _resolve(visit: Visit, tables: Tables, route: Route, link: Link) -> Disposition | None:
    """Fill in the frame's MACs from a permanent entry, from what was learned, or by asking."""
    next_hop = route.via or visit.packet.dst
    asking = ("ip neigh show {} dev {}", next_hop, link.name)
    row = _neighbor(visit, tables, link, next_hop)
    if row is None:
        visit.note("neighbor", ("nobody answers for {} on {}", next_hop, link.name), asking=asking)
        if visit.in_dev is not None:
            answer_with(visit, tables, "host unreachable")
        return Disposition.NEIGHBOR_UNREACHABLE
    framed = replace(visit.packet, src_mac=link.mac, dst_mac=row.lladdr)
    visit.note("neighbor", ("{} is at {}", next_hop, row.lladdr), row, now=framed, asking=asking)
    return None


def _neighbor(visit: Visit, tables: Tables, link: Link, next_hop: IPv4Address) -> Neighbor | None:
    fixed = next((n for n in tables.neighbors if n.dst == next_hop and n.dev == link.name), None)
    if fixed is not None:
        return fixed
    key = (visit.place, link.name, next_hop)
    mac = visit.memory.neighbors.get(key)
    if mac is None:
        mac = answer(visit.network, visit.place, link, Question(next_hop, visit.packet.src))
        if mac is None:
            return None
        visit.memory.neighbors[key] = mac
    return Neighbor(next_hop, mac, link.name, origin=ARP_ANSWER)


def _leave(visit: Visit, tables: Tables, link: Link) -> Disposition:
    if link.kind != "bridge":
        return onto_wire(visit, link)
    port = switch(visit, tables, link)
    return Disposition.UNDELIVERABLE if port is None else onto_wire(visit, port)


def switch(visit: Visit, tables: Tables, bridge: Link) -> Link | None:
    """Return the port for the frame's MAC, and note the FDB lookup."""
    mac = visit.packet.dst_mac
    port = port_of(visit.network, tables, mac)
    asking = ("bridge fdb show br {} | grep {}", bridge.name, mac)
    if port is None:
        visit.note("fdb", ("{} is behind no port of {}: flooded, and nobody takes it", mac, bridge.name), asking=asking)
    else:
        visit.note("fdb", ("{} is behind {}", mac, port.name), port, asking=asking)
    return port


def onto_wire(visit: Visit, link: Link) -> Disposition:
    """Return FORWARDED, with the place at the other end of the wire as the next one."""
    visit.out_dev = link.name
    if link.peer is None:
        visit.note("link", ("{} leads nowhere", link.name), link, asking=("ip link show {}", link.name))
        return Disposition.UNDELIVERABLE
    visit.next = link.peer[0]
    return Disposition.FORWARDED


def unknown(visit: Visit, table: str, asking: tuple[object, ...]) -> Disposition:
    """Return UNKNOWN: this place needs a table that the input did not hold."""
    visit.note("unknown", ("the input does not hold the {} of {}", table, visit.place), asking=asking)
    return Disposition.UNKNOWN


def answer_with(visit: Visit, tables: Tables, what: str) -> None:
    """Note the ICMP error sent back; its source is the address that this place uses towards the sender.

    Source: net/ipv4/icmp.c, icmp_errors_use_inbound_ifaddr 0.
    """
    src = visit.packet.src
    back = fib(tables).decide(int(src))[0] if src is not None else None
    visit.send_error(what, source_address(tables, back) if back else None)
