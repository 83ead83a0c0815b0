"""One packet at one Linux place: the kernel's order of lookups, from its tables and nothing else."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

from flannelviz.dataplane import nat
from flannelviz.dataplane.arp import Question, answer, port_of, reverse_path_ok
from flannelviz.dataplane.lookup import broadcast_of, fib, local_address
from flannelviz.dataplane.netfilter import decide
from flannelviz.dataplane.visit import Memory, Visit
from flannelviz.model import VPC
from flannelviz.network import Network
from flannelviz.packet import Disposition, Hop, Packet
from flannelviz.tables import LO, Link, Neighbor, Origin, Route, Sysctl, Tables

IP_FORWARD = "net.ipv4.ip_forward"
BRIDGE_NF = "net.bridge.bridge-nf-call-iptables"
ARP_ANSWER = Origin("kernel", "ARP reply")
IP_FORWARD_UNSET = Sysctl(IP_FORWARD, 0, Origin("kernel", "default"))


def forward(network: Network, place: str, packet: Packet, in_dev: str | None, memory: Memory) -> Hop:
    """Return what a Linux place does with `packet`: sent by a program there (`in_dev` None), or come in by a device.

    Source: the order of net/ipv4/ip_input.c, ip_forward.c, ip_output.c and net/bridge/br_input.c.
    """
    visit = Visit(network, place, packet, in_dev, memory)
    tables = network.tables(place)
    end = _originate(visit, tables) if in_dev is None else _arrive(visit, tables, in_dev)
    return visit.hop(end)


# --- sent by a program at this place -------------------------------------------------------------------------------


def _originate(visit: Visit, tables: Tables) -> Disposition:
    packet = visit.packet
    own = local_address(tables, packet.dst)
    if own is not None:
        filled = packet if packet.src is not None else replace(packet, src=packet.dst)
        visit.note(
            "local",
            ("{} is an own address: over lo", packet.dst),
            own,
            now=filled,
            asking=("ip route get {}", packet.dst),
        )
        visit.out_dev = LO
        return _loopback_down(visit, tables) or _filtered(visit, tables, "INPUT", LO, None) or Disposition.ACCEPTED
    if broadcast_of(tables, packet.dst):
        return _broadcast(visit, tables)
    if "routes" in tables.unknown:
        return _unknown(visit, "routes", ("ip route get {}", packet.dst))
    route, runner_up = fib(tables).decide(int(packet.dst))
    if route is None:
        return _no_route(visit, asking=("ip route get {}", packet.dst))
    source = packet.src or source_address(tables, route)
    visit.note(
        "route",
        ("{} matches {}", packet.dst, route.dst),
        route,
        runner_up,
        now=packet if packet.src is not None else replace(packet, src=source),
        asking=("ip route get {}", packet.dst),
    )
    return _filtered(visit, tables, "OUTPUT", None, route.dev) or _post_route(visit, tables, route, None)


def _loopback_down(visit: Visit, tables: Tables) -> Disposition | None:
    link = tables.link(LO)
    if link is not None and link.up:
        return None
    visit.note("link", ("lo is down, and own addresses are reached over it",), link, asking=("ip link show lo",))
    return Disposition.LINK_DOWN


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


# --- come in by a device -------------------------------------------------------------------------------------------


def _arrive(visit: Visit, tables: Tables, in_dev: str) -> Disposition:
    link = tables.link(in_dev)
    if link is None or not link.up:
        visit.note("link", ("{} is down", in_dev), link, asking=("ip link show {}", in_dev))
        return Disposition.LINK_DOWN
    if link.master is not None:
        return _arrive_at_bridge(visit, tables, link)
    if visit.packet.dst_mac and visit.packet.dst_mac != link.mac:
        return _not_for_me(visit, link)
    return _receive(visit, tables, in_dev)


def _not_for_me(visit: Visit, link: Link) -> Disposition:
    visit.note(
        "link",
        ("the frame is for {}, {} is {}: ignored", visit.packet.dst_mac, link.name, link.mac),
        link,
        asking=("ip link show {}", link.name),
    )
    return Disposition.UNDELIVERABLE


def _arrive_at_bridge(visit: Visit, tables: Tables, port: Link) -> Disposition:
    bridge = tables.link(port.master or "")
    if bridge is None or not bridge.up:
        visit.note(
            "link", ("{} is down: its ports pass nothing", port.master), bridge, asking=("ip link show {}", port.master)
        )
        return Disposition.LINK_DOWN
    asking = ("bridge fdb show br {} | grep {}", bridge.name, visit.packet.dst_mac)
    if visit.packet.dst_mac == bridge.mac:
        visit.note("fdb", ("{} is {}'s own MAC: up to the IP stack", bridge.mac, bridge.name), bridge, asking=asking)
        return _receive(visit, tables, bridge.name)
    return _bridge_across(visit, tables, bridge, port)


def _bridge_across(visit: Visit, tables: Tables, bridge: Link, in_port: Link) -> Disposition:
    """Return what the bridge does with a frame for another port; with br_netfilter, iptables sees it as well."""
    out_port = _switch(visit, tables, bridge)
    if out_port is None:
        return Disposition.UNDELIVERABLE
    if out_port.name == in_port.name and not in_port.hairpin:
        visit.note("link", ("{} has no hairpin mode: not sent back", in_port.name), in_port, asking=("bridge -d link",))
        return Disposition.UNDELIVERABLE
    if tables.sysctl(BRIDGE_NF):
        dropped = _filtered(visit, tables, "FORWARD", bridge.name, bridge.name)
        if dropped:
            return dropped
        nat.after_routing(visit, tables, bridge.name, bridge.name, lambda: None)
    return _onto_wire(visit, out_port)


def _switch(visit: Visit, tables: Tables, bridge: Link) -> Link | None:
    """Return the port for the frame's MAC, and note the FDB lookup."""
    mac = visit.packet.dst_mac
    port = port_of(visit.network, tables, mac)
    asking = ("bridge fdb show br {} | grep {}", bridge.name, mac)
    if port is None:
        visit.note("fdb", ("{} is behind no port of {}: flooded, and nobody takes it", mac, bridge.name), asking=asking)
    else:
        visit.note("fdb", ("{} is behind {}", mac, port.name), port, asking=asking)
    return port


def _receive(visit: Visit, tables: Tables, dev: str) -> Disposition:
    """Return what the IP stack does with a packet that came in by `dev`."""
    nat.before_routing(visit, tables)
    packet = visit.packet
    assert packet.src is not None, "a packet on the wire has a source"
    own_source = local_address(tables, packet.src)
    if own_source is not None:
        visit.note(
            "local",
            ("source {} is an own address, from outside: a martian", packet.src),
            own_source,
            asking=("ip addr",),
        )
        return Disposition.SOURCE_REJECTED
    own = local_address(tables, packet.dst)
    if own is not None and "routes" not in tables.unknown and not reverse_path_ok(tables, dev, packet.src):
        return _reverse_path_failed(visit, tables, dev)
    if own is not None:
        asking = ("ip route get {} from {} iif {}", packet.dst, packet.src, dev)
        visit.note("local", ("{} is an own address: delivered here", packet.dst), own, asking=asking)
        return _deliver(visit, tables, dev)
    if broadcast_of(tables, packet.dst):
        return _broadcast(visit, tables)
    return _forward_on(visit, tables, dev)


def _deliver(visit: Visit, tables: Tables, dev: str) -> Disposition:
    denied = _filtered(visit, tables, "INPUT", dev, None)
    if denied:
        return denied
    nat.delivered(visit, tables)
    return Disposition.ACCEPTED


def _forward_on(visit: Visit, tables: Tables, dev: str) -> Disposition:
    packet = visit.packet
    asking = ("ip route get {} from {} iif {}", packet.dst, packet.src, dev)
    if "routes" in tables.unknown:
        return _unknown(visit, "routes", asking)
    if not tables.sysctl(IP_FORWARD):
        return _forwarding_disabled(visit, tables)
    route, runner_up = fib(tables).decide(int(packet.dst))
    if route is None:
        _answer_with(visit, tables, "net unreachable")
        return _no_route(visit, asking)
    if packet.src is not None and not reverse_path_ok(tables, dev, packet.src):
        return _reverse_path_failed(visit, tables, dev)
    visit.note("route", ("{} matches {}", packet.dst, route.dst), route, runner_up, asking=asking)
    return (
        _too_old(visit, tables)
        or _too_large(visit, tables, route, "fragmentation needed")
        or _decrement(visit, tables)
        or _filtered(visit, tables, "FORWARD", dev, route.dev)
        or _post_route(visit, tables, route, dev)
    )


def _forwarding_disabled(visit: Visit, tables: Tables) -> Disposition:
    row = _ip_forward(tables)
    visit.note("sysctl", ("ip_forward is 0: dropped in silence",), row, asking=("sysctl {}", IP_FORWARD))
    return Disposition.FORWARDING_DISABLED


def _ip_forward(tables: Tables) -> Sysctl:
    return next((s for s in tables.sysctls if s.name == IP_FORWARD), IP_FORWARD_UNSET)


def _reverse_path_failed(visit: Visit, tables: Tables, dev: str) -> Disposition:
    src = visit.packet.src
    back = fib(tables).decide(int(src))[0] if src is not None else None
    saying = ("rp_filter: {} does not come back by {}: dropped", src, dev)
    visit.note("rp_filter", saying, back, asking=("ip route get {}", src))
    return Disposition.SOURCE_REJECTED


def _too_old(visit: Visit, tables: Tables) -> Disposition | None:
    if visit.packet.ttl > 1:
        return None
    visit.note("ttl", ("TTL is {}: it may not be forwarded again", visit.packet.ttl))
    _answer_with(visit, tables, "time exceeded")
    return Disposition.TTL_EXCEEDED


def _too_large(visit: Visit, tables: Tables, route: Route, error: str) -> Disposition | None:
    link = tables.link(route.dev)
    packet = visit.packet
    if link is None or packet.size <= link.mtu or not packet.dont_fragment:
        return None
    saying = ("{} bytes do not fit {}'s MTU of {}", packet.size, link.name, link.mtu)
    visit.note("mtu", saying, link, asking=("ip link show {}", link.name))
    if error:
        _answer_with(visit, tables, error)
    return Disposition.MTU_EXCEEDED


def _decrement(visit: Visit, tables: Tables) -> Disposition | None:
    ttl = visit.packet.ttl
    saying = ("ip_forward is 1: TTL {} -> {}", ttl, ttl - 1)
    aged = replace(visit.packet, ttl=ttl - 1)
    visit.note("sysctl", saying, _ip_forward(tables), now=aged, asking=("sysctl {}", IP_FORWARD))
    return None


# --- on the way out ------------------------------------------------------------------------------------------------


def _filtered(visit: Visit, tables: Tables, name: str, in_dev: str | None, out_dev: str | None) -> Disposition | None:
    """Return DENIED if the filter chain drops the packet, else None; an empty ACCEPT chain is no step."""
    if "chains" in tables.unknown:
        return _unknown(visit, "chains", ("iptables -S {}", name))
    chain = tables.chain("filter", name)
    if chain is None or (not chain.rules and chain.policy == "ACCEPT"):
        return None
    said, runner_up = decide(tables, chain, visit.packet, in_dev, out_dev)
    saying = ("{}: {}", name, said.target)
    visit.note(f"filter {name}", saying, said.row, runner_up, asking=("iptables -S {}", name))
    return None if said.target == "ACCEPT" else Disposition.DENIED


def _post_route(visit: Visit, tables: Tables, route: Route, in_dev: str | None) -> Disposition:
    """Return what becomes of a packet whose route is known: size, POSTROUTING, neighbour, wire."""
    too_large = _too_large(visit, tables, route, "") if in_dev is None else None
    if too_large:
        return too_large
    nat.after_routing(visit, tables, in_dev, route.dev, lambda: source_address(tables, route))
    link = tables.link(route.dev)
    assert link is not None, "a usable route has a device"
    visit.out_dev = link.name
    return _carrier_lost(visit, link) or _resolve(visit, tables, route, link) or _leave(visit, tables, link)


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
            _answer_with(visit, tables, "host unreachable")
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
        return _onto_wire(visit, link)
    port = _switch(visit, tables, link)
    return Disposition.UNDELIVERABLE if port is None else _onto_wire(visit, port)


def _onto_wire(visit: Visit, link: Link) -> Disposition:
    visit.out_dev = link.name
    if link.peer is None:
        visit.note("link", ("{} leads nowhere", link.name), link, asking=("ip link show {}", link.name))
        return Disposition.UNDELIVERABLE
    visit.next = link.peer[0]
    return Disposition.FORWARDED


# --- answers that are no delivery ----------------------------------------------------------------------------------


def _no_route(visit: Visit, asking: tuple[object, ...]) -> Disposition:
    visit.note("route", ("no route to {}", visit.packet.dst), asking=asking)
    return Disposition.NO_ROUTE


def _broadcast(visit: Visit, tables: Tables) -> Disposition:
    """Return UNDELIVERABLE: no program gets, and no router forwards, a packet to a subnet's broadcast address."""
    row = broadcast_of(tables, visit.packet.dst)
    saying = ("{} is a broadcast address here: neither forwarded nor answered", visit.packet.dst)
    visit.note("local", saying, row, asking=("ip route get {}", visit.packet.dst))
    return Disposition.UNDELIVERABLE


def _unknown(visit: Visit, table: str, asking: tuple[object, ...]) -> Disposition:
    visit.note("unknown", ("the input does not hold the {} of {}", table, visit.place), asking=asking)
    return Disposition.UNKNOWN


def _answer_with(visit: Visit, tables: Tables, what: str) -> None:
    """Note the ICMP error sent back; its source is the address that this place uses towards the sender.

    Source: net/ipv4/icmp.c, icmp_errors_use_inbound_ifaddr 0.
    """
    src = visit.packet.src
    back = fib(tables).decide(int(src))[0] if src is not None else None
    visit.send_error(what, source_address(tables, back) if back else None)
