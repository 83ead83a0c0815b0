"""One packet at one Linux place: the kernel's order of lookups, from its tables and nothing else."""

from __future__ import annotations

from dataclasses import replace

from flannelviz.dataplane import checks, nat
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
from flannelviz.dataplane.lookup import broadcast_of, local_address, primary_address
from flannelviz.dataplane.tunnel import encapsulated, vxlan_device
from flannelviz.dataplane.visit import Memory, Visit
from flannelviz.network import Network
from flannelviz.packet import Disposition, Hop, Packet
from flannelviz.tables import LO, VNI, VXLAN_PORT, Address, Link, Route, Tables

BRIDGE_NF = "net.bridge.bridge-nf-call-iptables"


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
        return _to_oneself(visit, tables, own)
    if broadcast_of(tables, packet.dst):
        return checks.broadcast(visit, tables)
    if "routes" in tables.unknown:
        return unknown(visit, "routes", ("ip route get {}", packet.dst))
    route, runner_up = routed(visit, tables, None)
    if route is None:
        return checks.no_route(visit, asking=("ip route get {}", packet.dst))
    source = packet.src or source_address(tables, route)
    visit.note(
        "route",
        ("{} matches {}", packet.dst, route.dst),
        route,
        runner_up,
        now=packet if packet.src is not None else replace(packet, src=source),
        asking=("ip route get {}", packet.dst),
    )
    refused = checks.kept_on_lo(visit, tables, route) or too_large(visit, tables, route, "")
    return refused or _through_output(visit, tables, route)


def _to_oneself(visit: Visit, tables: Tables, own: Address) -> Disposition:
    packet = visit.packet
    filled = packet if packet.src is not None else replace(packet, src=primary_address(tables, own))
    saying = ("{} is an own address: over lo", packet.dst)
    visit.note("local", saying, own, now=filled, asking=("ip route get {}", packet.dst))
    return _over_loopback(visit, tables)


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
    return filtered(visit, tables, "OUTPUT", None, LO) or _looped_back(visit, tables)


def _looped_back(visit: Visit, tables: Tables) -> Disposition:
    """Return what becomes of a packet that leaves by lo and comes in by it; conntrack has finished with it by then."""
    nat.leaving(visit, tables, None, LO)
    return (
        checks.loopback_down(visit, tables)
        or filtered(visit, tables, "INPUT", LO, None)
        or _decapsulated(visit, tables)
        or Disposition.ACCEPTED
    )


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
        return filtered(visit, tables, "OUTPUT", None, dev) or _looped_back(visit, tables)
    route, runner_up = routed(visit, tables, None)
    if route is None:
        return checks.no_route(visit, asking)
    visit.note("route", ("{} matches {}", packet.dst, route.dst), route, runner_up, asking=asking)
    refused = checks.kept_on_lo(visit, tables, route) or filtered(visit, tables, "OUTPUT", None, dev)
    return refused or _sent_on(visit, tables, route, None)


# --- come in by a device ---------------------------------------------------------------------------------------------


def _arrive(visit: Visit, tables: Tables, in_dev: str) -> Disposition:
    link = tables.link(in_dev)
    if link is None or not link.up:
        visit.note("link", ("{} is down", in_dev), link, asking=("ip link show {}", in_dev))
        return Disposition.LINK_DOWN
    if link.master is not None:
        return _arrive_at_bridge(visit, tables, link)
    if visit.packet.dst_mac and visit.packet.dst_mac != link.mac:
        return checks.not_for_me(visit, link)
    return _receive(visit, tables, in_dev)


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
    if packet.dst == asked:
        return None
    own = local_address(tables, packet.dst)
    route, runner_up = routed(visit, tables, bridge.name) if own is None else (None, None)
    if route is None or route.dev != bridge.name or not checks.forwarding(tables, bridge.name).value:
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
        nat.leaving(visit, tables, bridge.name, bridge.name)
    return onto_wire(visit, out_port)


def _receive(visit: Visit, tables: Tables, dev: str) -> Disposition:
    """Return what the IP stack does with a packet that came in by `dev`."""
    if not visit.prerouted:
        nat.entering(visit, tables, "PREROUTING", dev, None)
    packet = visit.packet
    assert packet.src is not None, "a packet on the wire has a source"
    if packet.dst.is_loopback:
        return checks.loopback_from_outside(visit, tables)
    own, broadcast = local_address(tables, packet.dst), broadcast_of(tables, packet.dst)
    stays, own_source = own or broadcast, local_address(tables, packet.src)
    if own_source is not None and (stays is not None or checks.forwarding(tables, dev).value):  # else dropped first
        return checks.own_from_outside(visit, own_source)
    if stays is None:
        return _forward_on(visit, tables, dev)
    if "routes" not in tables.unknown and not reverse_path_ok(tables, dev, packet.src, packet.dst):
        return checks.reverse_path_failed(visit, tables, dev)
    if own is not None:
        asking = ("ip route get {} from {} iif {}", packet.dst, packet.src, dev)
        visit.note("local", ("{} is an own address: delivered here", packet.dst), own, asking=asking)
        return _deliver(visit, tables, dev)
    return _deliver(visit, tables, dev) if packet.proto == "udp" else checks.broadcast(visit, tables)


def _deliver(visit: Visit, tables: Tables, dev: str) -> Disposition:
    denied = filtered(visit, tables, "INPUT", dev, None)
    if denied:
        return denied
    nat.delivered(visit, tables, dev)
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
    inner = replace(inner, mark=visit.packet.mark) if visit.packet.mark else inner
    visit.note(
        "vxlan", ("{} unpacks it, VNI {}", dev.name, VNI), dev, now=inner, asking=("ip -d link show {}", dev.name)
    )
    visit.prerouted = False
    return _receive(visit, tables, dev.name) if inner.dst_mac == dev.mac else checks.not_for_me(visit, dev)


# --- forwarded -------------------------------------------------------------------------------------------------------


def _forward_on(visit: Visit, tables: Tables, dev: str) -> Disposition:
    packet = visit.packet
    asking = ("ip route get {} from {} iif {}", packet.dst, packet.src, dev)
    if "routes" in tables.unknown:
        return unknown(visit, "routes", asking)
    if not checks.forwarding(tables, dev).value:
        return checks.forwarding_disabled(visit, tables, dev)
    route, runner_up = routed(visit, tables, dev)
    if route is None:
        answer_with(visit, tables, "net unreachable")
        return checks.no_route(visit, asking)
    if packet.src is not None and not reverse_path_ok(tables, dev, packet.src, packet.dst, route.dev):
        return checks.reverse_path_failed(visit, tables, dev, route.dev)
    visit.note("route", ("{} matches {}", packet.dst, route.dst), route, runner_up, asking=asking)
    return (
        checks.too_old(visit, tables)
        or too_large(visit, tables, route, "fragmentation needed")
        or checks.decrement(visit, tables, dev)
        or filtered(visit, tables, "FORWARD", dev, route.dev)
        or _sent_on(visit, tables, route, dev)
    )
