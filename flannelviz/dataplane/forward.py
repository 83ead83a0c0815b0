"""One packet at one Linux place: the kernel's order of lookups, from its tables and nothing else."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

from flannelviz.dataplane import nat
from flannelviz.dataplane.arp import reverse_path_ok
from flannelviz.dataplane.egress import (
    answer_with,
    filtered,
    onto_wire,
    post_route,
    resolve,
    routed,
    source_address,
    switch,
    too_large,
    unknown,
)
from flannelviz.dataplane.lookup import broadcast_of, fib, local_address
from flannelviz.dataplane.tunnel import encapsulated, vxlan_device
from flannelviz.dataplane.visit import Memory, Visit
from flannelviz.network import Network
from flannelviz.packet import Disposition, Hop, Packet
from flannelviz.tables import LO, VNI, VXLAN_PORT, Link, Origin, Route, Sysctl, Tables

IP_FORWARD = "net.ipv4.ip_forward"
BRIDGE_NF = "net.bridge.bridge-nf-call-iptables"
IP_FORWARD_UNSET = Sysctl(IP_FORWARD, 0, Origin("kernel", "default"))


def forward(network: Network, place: str, packet: Packet, in_dev: str | None, memory: Memory) -> Hop:
    """Return what a Linux place does with `packet`: sent by a program there (`in_dev` None), or come in by a device.

    Source: the order of net/ipv4/ip_input.c, ip_forward.c, ip_output.c and net/bridge/br_input.c.
    """
    visit = Visit(network, place, packet, in_dev, memory)
    tables = network.tables(place)
    end = _originate(visit, tables) if in_dev is None else _arrive(visit, tables, in_dev)
    return visit.hop(end)


# --- sent by a program at this place ---------------------------------------------------------------------------------


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
        return _over_loopback(visit, tables)
    if broadcast_of(tables, packet.dst):
        return _broadcast(visit, tables)
    if "routes" in tables.unknown:
        return unknown(visit, "routes", ("ip route get {}", packet.dst))
    route, runner_up = routed(visit, tables, None)
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
    refused = too_large(visit, tables, route, "")
    if refused:
        return refused
    return _through_output(visit, tables, route)


def _through_output(visit: Visit, tables: Tables, route: Route) -> Disposition:
    """Return what becomes of an own packet that has a route: OUTPUT may change its destination, and so its route."""
    before = visit.packet.dst
    nat.entering(visit, tables, "OUTPUT", None, route.dev)
    if visit.packet.dst != before:
        return _rerouted(visit, tables, route.dev)
    return filtered(visit, tables, "OUTPUT", None, route.dev) or _sent_on(visit, tables, route, None)


def _sent_on(visit: Visit, tables: Tables, route: Route, in_dev: str | None) -> Disposition:
    """Return what becomes of a packet that leaves; what a tunnel wraps it in begins a way of its own."""
    end = post_route(visit, tables, route, in_dev) or encapsulated(visit, tables)
    return _through_output(visit, tables, end) if isinstance(end, Route) else end


def _over_loopback(visit: Visit, tables: Tables) -> Disposition:
    """Return what becomes of a packet to an own address; conntrack may know that it belongs to somebody else."""
    before = visit.packet.dst
    visit.out_dev = LO
    nat.entering(visit, tables, "OUTPUT", None, LO)
    if visit.packet.dst != before:
        return _rerouted(visit, tables, LO)
    denied = filtered(visit, tables, "OUTPUT", None, LO)
    if denied:
        return denied
    nat.leaving(visit, tables, None, LO, lambda: next((a.interface.ip for a in tables.addresses if a.dev != LO), None))
    return _loopback_down(visit, tables) or filtered(visit, tables, "INPUT", LO, None) or Disposition.ACCEPTED


def _rerouted(visit: Visit, tables: Tables, dev: str) -> Disposition:
    """Return what becomes of an own packet to which OUTPUT gave another destination: its route is looked up again.

    Shape: the filter still sees `dev`, the device of the first route; the source address stays.
    Source: ip_route_me_harder.
    """
    packet = visit.packet
    own = local_address(tables, packet.dst)
    asking = ("ip route get {}", packet.dst)
    if own is not None:
        visit.note("local", ("{} is an own address: over lo", packet.dst), own, asking=asking)
        visit.out_dev = LO
        return filtered(visit, tables, "OUTPUT", None, dev) or _deliver(visit, tables, LO)
    route, runner_up = routed(visit, tables, None)
    if route is None:
        return _no_route(visit, asking)
    visit.note("route", ("{} matches {}", packet.dst, route.dst), route, runner_up, asking=asking)
    return filtered(visit, tables, "OUTPUT", None, dev) or _sent_on(visit, tables, route, None)


def _loopback_down(visit: Visit, tables: Tables) -> Disposition | None:
    if "fixed_links" in tables.unknown:
        return unknown(visit, "links", ("ip link show lo",))
    link = tables.link(LO)
    if link is not None and link.up:
        return None
    visit.note("link", ("lo is down, and own addresses are reached over it",), link, asking=("ip link show lo",))
    return Disposition.LINK_DOWN


# --- come in by a device ---------------------------------------------------------------------------------------------


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
    visit.memory.fdb[visit.place, bridge.name, visit.packet.src_mac] = port.name
    if tables.sysctl(BRIDGE_NF):
        end = _seen_by_iptables(visit, tables, bridge, port)
        if end is not None:
            return end
    asking = ("bridge fdb show br {} | grep {}", bridge.name, visit.packet.dst_mac)
    if visit.packet.dst_mac == bridge.mac:
        visit.note("fdb", ("{} is {}'s own MAC: up to the IP stack", bridge.mac, bridge.name), bridge, asking=asking)
        return _receive(visit, tables, bridge.name)
    return _bridge_across(visit, tables, bridge, port)


def _seen_by_iptables(visit: Visit, tables: Tables, bridge: Link, port: Link) -> Disposition | None:
    """Return where a frame ends to which PREROUTING gave another destination; None if it goes on as it came.

    A new destination on this bridge is reached by a new MAC, without routing; any other one goes up to the IP stack.
    Source: net/bridge/br_netfilter_hooks.c, br_nf_pre_routing_finish.
    """
    asked = visit.packet.dst
    nat.entering(visit, tables, "PREROUTING", bridge.name, None)
    visit.prerouted = True
    packet = visit.packet
    if packet.dst == asked or local_address(tables, packet.dst) is not None:
        return None
    route, runner_up = routed(visit, tables, bridge.name)
    if route is None or route.dev != bridge.name or not tables.sysctl(IP_FORWARD):
        visit.packet = replace(packet, dst_mac=bridge.mac)
        return None
    asking = ("ip route get {} from {} iif {}", packet.dst, packet.src, bridge.name)
    visit.note("route", ("{} is on {} itself: bridged", packet.dst, bridge.name), route, runner_up, asking=asking)
    known = (visit.place, bridge.name, packet.dst) in visit.memory.neighbors
    end = resolve(visit, tables, route, bridge, keep_source=True)
    if end is None and not known:  # br_nf_pre_routing_finish_bridge: the first frame goes through the bridge itself
        visit.out_dev = bridge.name
    return end or _bridge_across(visit, tables, bridge, port)


def _bridge_across(visit: Visit, tables: Tables, bridge: Link, in_port: Link) -> Disposition:
    """Return what the bridge does with a frame for another port; with br_netfilter, iptables sees it as well."""
    out_port = switch(visit, tables, bridge, in_port.name)
    if out_port is None:
        return Disposition.UNDELIVERABLE
    if out_port.name == in_port.name and not in_port.hairpin:
        saying = ("{} has no hairpin mode: not sent back", in_port.name)
        visit.note("link", saying, in_port, asking=("bridge -d link",))
        visit.out_dev = bridge.name
        return Disposition.UNDELIVERABLE
    if tables.sysctl(BRIDGE_NF):
        dropped = filtered(visit, tables, "FORWARD", bridge.name, bridge.name)
        if dropped:
            return dropped
        nat.leaving(visit, tables, bridge.name, bridge.name, lambda: _address_on(tables, bridge.name))
    return onto_wire(visit, out_port)


def _address_on(tables: Tables, dev: str) -> IPv4Address | None:
    return next((a.interface.ip for a in tables.addresses if a.dev == dev), None)


def _receive(visit: Visit, tables: Tables, dev: str) -> Disposition:
    """Return what the IP stack does with a packet that came in by `dev`."""
    if not visit.prerouted:
        nat.entering(visit, tables, "PREROUTING", dev, None)
    packet = visit.packet
    assert packet.src is not None, "a packet on the wire has a source"
    own_source = local_address(tables, packet.src)
    if own_source is not None and _looked_at(tables, packet):
        visit.note(
            "local",
            ("source {} is an own address, from outside: a martian", packet.src),
            own_source,
            asking=("ip addr",),
        )
        return Disposition.SOURCE_REJECTED
    own = local_address(tables, packet.dst)
    if own is not None and "routes" not in tables.unknown and not reverse_path_ok(tables, dev, packet.src, packet.dst):
        return _reverse_path_failed(visit, tables, dev)
    if own is not None:
        asking = ("ip route get {} from {} iif {}", packet.dst, packet.src, dev)
        visit.note("local", ("{} is an own address: delivered here", packet.dst), own, asking=asking)
        return _deliver(visit, tables, dev)
    if broadcast_of(tables, packet.dst):
        return _deliver(visit, tables, dev) if packet.proto == "udp" else _broadcast(visit, tables)
    return _forward_on(visit, tables, dev)


def _looked_at(tables: Tables, packet: Packet) -> bool:
    """Return whether the source matters: without forwarding, what is for others is dropped before anybody asks."""
    stays = local_address(tables, packet.dst) is not None or broadcast_of(tables, packet.dst) is not None
    return stays or bool(tables.sysctl(IP_FORWARD))


def _deliver(visit: Visit, tables: Tables, dev: str) -> Disposition:
    denied = filtered(visit, tables, "INPUT", dev, None)
    if denied:
        return denied
    nat.delivered(visit)
    return _decapsulated(visit, tables) or Disposition.ACCEPTED


def _decapsulated(visit: Visit, tables: Tables) -> Disposition | None:
    """Return what becomes of the packet inside a VXLAN packet, which comes in by the VXLAN device; None if it is none.

    Source: drivers/net/vxlan, vxlan_stop: without a device that is up, nobody listens on its UDP port.
    """
    inner, dev = visit.packet.inner, vxlan_device(tables)
    if inner is None:
        return None
    if dev is None:
        saying = ("no VXLAN device is up, so nobody listens on UDP port {}", VXLAN_PORT)
        visit.note("vxlan", saying, asking=("ip -d link show type vxlan",))
        answer_with(visit, tables, "port unreachable")
        return Disposition.REFUSED
    visit.note(
        "vxlan", ("{} unpacks it, VNI {}", dev.name, VNI), dev, now=inner, asking=("ip -d link show {}", dev.name)
    )
    visit.prerouted = False
    return _receive(visit, tables, dev.name) if inner.dst_mac == dev.mac else _not_for_me(visit, dev)


# --- forwarded -------------------------------------------------------------------------------------------------------


def _forward_on(visit: Visit, tables: Tables, dev: str) -> Disposition:
    packet = visit.packet
    asking = ("ip route get {} from {} iif {}", packet.dst, packet.src, dev)
    if "routes" in tables.unknown:
        return unknown(visit, "routes", asking)
    if not tables.sysctl(IP_FORWARD):
        return _forwarding_disabled(visit, tables)
    route, runner_up = routed(visit, tables, dev)
    if route is None:
        answer_with(visit, tables, "net unreachable")
        return _no_route(visit, asking)
    if packet.src is not None and not reverse_path_ok(tables, dev, packet.src, packet.dst, route.dev):
        return _reverse_path_failed(visit, tables, dev)
    visit.note("route", ("{} matches {}", packet.dst, route.dst), route, runner_up, asking=asking)
    return (
        _too_old(visit, tables)
        or too_large(visit, tables, route, "fragmentation needed")
        or _decrement(visit, tables)
        or filtered(visit, tables, "FORWARD", dev, route.dev)
        or _sent_on(visit, tables, route, dev)
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
    asking = ("traceroute -n {}", visit.packet.dst)
    visit.note("ttl", ("TTL is {}: it may not be forwarded again", visit.packet.ttl), asking=asking)
    answer_with(visit, tables, "time exceeded")
    return Disposition.TTL_EXCEEDED


def _decrement(visit: Visit, tables: Tables) -> Disposition | None:
    ttl = visit.packet.ttl
    saying = ("ip_forward is 1: TTL {} -> {}", ttl, ttl - 1)
    aged = replace(visit.packet, ttl=ttl - 1)
    visit.note("sysctl", saying, _ip_forward(tables), now=aged, asking=("sysctl {}", IP_FORWARD))
    return None


# --- answers that are no delivery ------------------------------------------------------------------------------------


def _no_route(visit: Visit, asking: tuple[object, ...]) -> Disposition:
    visit.note("route", ("no route to {}", visit.packet.dst), asking=asking)
    return Disposition.NO_ROUTE


def _broadcast(visit: Visit, tables: Tables) -> Disposition:
    """Return UNDELIVERABLE: nobody forwards to a subnet's broadcast address, and only UDP programs get such packets."""
    row = broadcast_of(tables, visit.packet.dst)
    saying = ("{} is a broadcast address here: neither forwarded nor answered", visit.packet.dst)
    visit.note("local", saying, row, asking=("ip route get {}", visit.packet.dst))
    return Disposition.UNDELIVERABLE
