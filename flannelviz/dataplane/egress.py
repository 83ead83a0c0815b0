"""On the way out of a Linux place: the filter, POSTROUTING, the neighbour, the wire. Reads tables."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

from flannelviz.dataplane import nat
from flannelviz.dataplane.arp import Question, answer, port_of
from flannelviz.dataplane.lookup import broadcast_of, deciding_rule, local_address, route_for
from flannelviz.dataplane.netfilter import Asked, decide
from flannelviz.dataplane.visit import Visit
from flannelviz.model import VPC
from flannelviz.packet import LEAST_PATH_MTU, Disposition
from flannelviz.tables import LO, FdbEntry, Link, Neighbor, Origin, Route, Rule, Tables, veth_name

ARP_ANSWER = Origin("kernel", "ARP reply")
LEARNED = Origin("kernel", "learns a MAC", "a frame from it came in by this port")
VLAN_TAG = 4  # bytes
REJECT_WITH = {
    "icmp-net-unreachable": "net unreachable",
    "icmp-host-unreachable": "host unreachable",
    "icmp-proto-unreachable": "protocol unreachable",
    "icmp-port-unreachable": "port unreachable",
    "icmp-net-prohibited": "net prohibited",
    "icmp-host-prohibited": "host prohibited",
    "icmp-admin-prohibited": "administratively prohibited",
}


def post_route(visit: Visit, tables: Tables, route: Route, in_dev: str | None) -> Disposition | None:
    """Return what becomes of a packet whose route is known: size, POSTROUTING, neighbour, wire; None for a tunnel."""
    refused = too_large(visit, tables, route, "") if in_dev is None else None
    if refused:
        return refused
    nat.leaving(visit, tables, in_dev, route.dev, route.via)
    link = tables.link(route.dev)
    assert link is not None, "a usable route has a device"
    visit.out_dev = link.name
    return _carrier_lost(visit, tables, link) or resolve(visit, tables, route, link) or _leave(visit, tables, link)


def routed(visit: Visit, tables: Tables, in_dev: str | None) -> tuple[Route | None, Route | None]:
    """Return the route for the packet and the runner-up; where policy routing is used, note the rule that decides."""
    packet = visit.packet
    if tables.policy:
        rule = deciding_rule(tables, packet.dst, packet.src, in_dev)
        if rule is not None:
            visit.note("ip rule", ("priority {}: table {}", rule.priority, rule.table), rule, asking=("ip rule",))
    return route_for(tables, packet.dst, packet.src, in_dev)


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
    if link is None or not packet.dont_fragment:
        return None
    if packet.size <= link.mtu:
        return _known_too_large(visit, tables, error) if visit.memory.path_mtu else None
    saying = ("{} bytes do not fit {}'s MTU of {}", packet.size, link.name, link.mtu)
    visit.note("mtu", saying, link, asking=("ip link show {}", link.name))
    if error:
        answer_with(visit, tables, error, link.mtu)
    return Disposition.MTU_EXCEEDED


def _known_too_large(visit: Visit, tables: Tables, error: str) -> Disposition | None:
    """Return MTU_EXCEEDED if the place was told, by an ICMP error or a tunnel, that this does not fit the way.

    Source: net/ipv4/route.c, __ip_rt_update_pmtu; include/net/ip.h, ip_dst_mtu_maybe_forward: what is passed on has to
    fit only a way that takes very little. `ip route get` shows it, as "cache expires".
    """
    dst = visit.packet.dst
    told = visit.memory.path_mtu.get((visit.place, dst))
    if told is None or visit.packet.size <= (fits := max(told, LEAST_PATH_MTU)):
        return None
    if visit.in_dev is not None and told >= LEAST_PATH_MTU:
        return None
    saying = ("{} bytes do not fit the way to {}, which takes {}", visit.packet.size, dst, fits)
    visit.note("mtu", saying, asking=("ip route get {}", dst))
    if error:
        answer_with(visit, tables, error, fits)
    return Disposition.MTU_EXCEEDED


def filtered(visit: Visit, tables: Tables, name: str, in_dev: str | None, out_dev: str | None) -> Disposition | None:
    """Return DENIED if the filter chain drops the packet, else None; an empty ACCEPT chain is no step.

    REJECT drops it as well, and says so to the sender in the words of its rule.
    """
    if "chains" in tables.unknown:
        return unknown(visit, "chains", ("iptables -S {}", name))
    chain = tables.chain("filter", name)
    if chain is None or (not chain.rules and chain.policy == "ACCEPT"):
        return None
    said, runner_up = decide(tables, chain, Asked(visit.packet, in_dev, out_dev, visit.state))
    saying = ("{}: {}", name, said.target)
    visit.note(f"filter {name}", saying, said.row, runner_up, asking=("iptables -S {}", said.chain))
    if said.target == "REJECT" and isinstance(said.row, Rule) and (what := _rejected_with(said.row)):
        answer_with(visit, tables, what)
    return None if said.target == "ACCEPT" else Disposition.DENIED


def _rejected_with(rule: Rule) -> str:
    """Return the ICMP error that a REJECT rule sends, or an empty text: a TCP reset is none.

    Source: iptables-extensions(8), REJECT: icmp-port-unreachable unless --reject-with says otherwise.
    """
    words = " ".join(rule.options).split()
    kind = words[words.index("--reject-with") + 1] if "--reject-with" in words else "icmp-port-unreachable"
    return REJECT_WITH.get(kind, "")


def _carrier_lost(visit: Visit, tables: Tables, link: Link) -> Disposition | None:
    """Return LINK_DOWN if the device has no carrier: the far end of its wire is down, or every port of the bridge."""
    why = _why_no_carrier(visit, tables, link)
    if why is None:
        return None
    visit.note("link", ("{} has no carrier: {}", link.name, why), link, asking=("ip link show {}", link.name))
    answer_with(visit, tables, "host unreachable")
    return Disposition.LINK_DOWN


def _why_no_carrier(visit: Visit, tables: Tables, link: Link) -> str | None:
    if visit.network.has_carrier(tables, link):
        return None
    return "none of its ports is up" if link.kind == "bridge" else "its far end is down"


def resolve(visit: Visit, tables: Tables, route: Route, link: Link, keep_source: bool = False) -> Disposition | None:
    """Fill in the frame's MACs from a permanent entry, from what was learned, or by asking.

    `keep_source`: the frame is bridged on, and keeps the MAC of who sent it.
    """
    next_hop = route.via or visit.packet.dst
    asking = ("ip neigh show {} dev {}", next_hop, link.name)
    row = _neighbor(visit, tables, link, next_hop)
    if row is None:
        visit.note("neighbor", ("nobody answers for {} on {}", next_hop, link.name), asking=asking)
        answer_with(visit, tables, "host unreachable")
        return Disposition.NEIGHBOR_UNREACHABLE
    src_mac = visit.packet.src_mac if keep_source else link.mac
    framed = replace(visit.packet, src_mac=src_mac, dst_mac=row.lladdr)
    visit.note("neighbor", ("{} is at {}", next_hop, row.lladdr), row, now=framed, asking=asking)
    return None


def _neighbor(visit: Visit, tables: Tables, link: Link, next_hop: IPv4Address) -> Neighbor | None:
    fixed = next((n for n in tables.neighbors if n.dst == next_hop and n.dev == link.name), None)
    if fixed is not None:
        return fixed
    key = (visit.place, link.name, next_hop)
    mac = visit.memory.neighbors.get(key)
    if mac is None:
        mac = answer(visit.network, visit.place, link, Question(next_hop, _asker(visit, tables, link, next_hop)))
        if mac is None:
            return None
        visit.memory.neighbors[key] = mac
        _learn_port(visit, link, mac)
    return Neighbor(next_hop, mac, link.name, origin=ARP_ANSWER)


def _asker(visit: Visit, tables: Tables, link: Link, target: IPv4Address) -> IPv4Address | None:
    """Return the address under which a place asks: the packet's source if that is its own, else one of the device.

    Source: net/ipv4/arp.c, arp_solicit, with arp_announce 0.
    """
    src = visit.packet.src
    if src is not None and local_address(tables, src) is not None:
        return src
    on_dev = [a.interface for a in tables.addresses if a.dev == link.name]
    return next(iter((*(i.ip for i in on_dev if target in i.network), *(i.ip for i in on_dev))), None)


def _learn_port(visit: Visit, link: Link, mac: str) -> None:
    """Note behind which port of the bridge the ARP answer came in."""
    tables = visit.network.tables(visit.place)
    port = port_of(visit.network, tables, mac) if link.kind == "bridge" else None
    if port is not None:
        visit.memory.fdb[visit.place, link.name, mac] = port.name


def _leave(visit: Visit, tables: Tables, link: Link) -> Disposition | None:
    if link.kind == "vxlan":
        return None
    if link.kind != "bridge":
        return onto_wire(visit, link)
    port = switch(visit, tables, link)
    return Disposition.UNDELIVERABLE if port is None else onto_wire(visit, port)


def switch(visit: Visit, tables: Tables, bridge: Link, in_port: str | None = None) -> Link | None:
    """Return the port for the frame's MAC, and note the FDB lookup; an unknown MAC is flooded to all other ports."""
    mac = visit.packet.dst_mac
    fixed = _fixed_port(visit, tables, bridge)
    port = tables.link(fixed.dev) if fixed is not None else port_of(visit.network, tables, mac)
    asking = ("bridge fdb show br {} | grep {}", bridge.name, mac)
    if port is not None:
        known = visit.memory.fdb.get((visit.place, bridge.name, mac)) == port.name
        row = fixed or (FdbEntry(mac, port.name, bridge.name, origin=LEARNED) if known else port)
        how = "is behind" if known or fixed else "is not known yet: flooded, and taken behind"
        visit.note("fdb", ("{} {} {}", mac, how, port.name), row, asking=asking)
        return port
    visit.note("fdb", ("{} is behind no port of {}: flooded, and nobody takes it", mac, bridge.name), asking=asking)
    ports = tables.lan.ports if tables.lan else ()
    flooded = (veth_name(p.pod) for p in ports if p.up and p.attached and veth_name(p.pod) != in_port)
    visit.out_dev = next(flooded, bridge.name)
    return None


def _fixed_port(visit: Visit, tables: Tables, bridge: Link) -> FdbEntry | None:
    """Return the entry that somebody has written for the frame's MAC, until a frame from that MAC has moved it.

    Source: net/bridge/br_fdb.c, br_fdb_update: only a sticky entry stays. An ARP answer is such a frame.
    """
    mac = visit.packet.dst_mac
    found = _fixed(tables).get((bridge.name, mac))
    if found is None or (visit.place, bridge.name, mac) in visit.memory.fdb:
        return None
    return None if mac in visit.memory.neighbors.values() else found


def _fixed(tables: Tables) -> dict[tuple[str, str], FdbEntry]:
    found: dict[tuple[str, str], FdbEntry] | None = tables.memo.get("fixed ports")
    if found is None:
        found = tables.memo["fixed ports"] = {(e.master, e.lladdr): e for e in tables.fdb if e.master is not None}
    return found


def onto_wire(visit: Visit, link: Link) -> Disposition:
    """Return FORWARDED, with the place at the other end of the wire as the next one."""
    visit.out_dev = link.name
    if link.peer is None:
        visit.note("link", ("{} leads nowhere", link.name), link, asking=("ip link show {}", link.name))
        return Disposition.UNDELIVERABLE
    if _peer_takes_less(visit, link):
        return Disposition.MTU_EXCEEDED
    visit.next, visit.next_dev = link.peer
    if visit.packet.mark:
        visit.packet = replace(visit.packet, mark=0)  # a mark belongs to one machine
    return Disposition.FORWARDED


def _peer_takes_less(visit: Visit, link: Link) -> bool:
    """Return whether the far end of a veth pair drops what this end may send; no error comes of it.

    Source: include/linux/netdevice.h, is_skb_forwardable: the far end's MTU, and a VLAN tag's length.
    """
    assert link.peer is not None, "a wire has two ends"
    place, dev = link.peer
    far = visit.network.tables(place).link(dev) if place != VPC else None
    size = min(visit.packet.size, link.mtu)
    if far is None or size <= far.mtu + VLAN_TAG:
        return False
    saying = ("{} bytes are more than the {} that {}'s other end takes: dropped in silence", size, far.mtu, link.name)
    visit.note("mtu", saying, far, asking=("ip -s link show {}", link.name))
    return True


def unknown(visit: Visit, table: str, asking: tuple[object, ...]) -> Disposition:
    """Return UNKNOWN: this place needs a table that the input did not hold."""
    visit.note("unknown", ("the input does not hold the {} of {}", table, visit.place), asking=asking)
    return Disposition.UNKNOWN


def answer_with(visit: Visit, tables: Tables, what: str, mtu: int | None = None) -> None:
    """Note the ICMP error sent back: from the own address that was asked for, else from the one used to the sender.

    Source: net/ipv4/icmp.c, __icmp_send, icmp_errors_use_inbound_ifaddr 0; no error answers an error, or what was sent
    to a broadcast address.
    """
    src, dst = visit.packet.src, visit.packet.dst
    if src is None or visit.packet.about is not None or broadcast_of(tables, dst):
        return
    visit.send_error(what, dst if local_address(tables, dst) else _address_towards(tables, src), mtu)


def _address_towards(tables: Tables, sender: IPv4Address) -> IPv4Address | None:
    if local_address(tables, sender):
        return sender
    back = route_for(tables, sender)[0]
    return source_address(tables, back) if back else None
