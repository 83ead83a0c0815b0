"""Where NAT happens: conntrack at the entrance, the nat table for the first packet of a flow, its undoing for answers.

Reads tables; what conntrack learns goes into the visit's memory.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

from flannelviz.dataplane.netfilter import Asked, Verdict, decide
from flannelviz.dataplane.visit import Connection, Visit, flow_key, reversed_key
from flannelviz.packet import Flow, FlowKey, Packet
from flannelviz.tables import LO, Rule, Tables

RANDOM = "--random-fully"  # a port is drawn by lot, also where the address stays
NAT_TARGETS = frozenset({"MASQUERADE", "SNAT", "DNAT"})


def conntrack_runs(tables: Tables) -> bool:
    """Return whether conntrack is on: the kernel hooks it in while some rule needs it, and lets go after the last.

    Source: the record, "conntrack dies with its last rule".
    """
    found: bool | None = tables.memo.get("conntrack")
    if found is None:
        rules = [rule for chain in tables.chains for rule in chain.rules]
        found = tables.memo["conntrack"] = any(r.target in NAT_TARGETS or r.ctstate for r in rules)
    return found


def entering(visit: Visit, tables: Tables, hook: str, in_dev: str | None, out_dev: str | None) -> None:
    """Look the packet up in conntrack, and give it the destination it should have.

    `hook` is PREROUTING for what comes in, OUTPUT for what a program here sends. The nat table is asked for the first
    packet of a flow only.
    """
    if not conntrack_runs(tables):
        visit.connection = None
        return
    key, flow = _looked_up(visit)
    visit.connection = Connection(key, flow)
    if flow is not None:
        _note_answer(visit, flow)
        _to_its_destination(visit, visit.connection)
    elif visit.packet.begins_a_flow:
        _translated(visit, tables, hook, in_dev, out_dev)


def _looked_up(visit: Visit) -> tuple[FlowKey, Flow | None]:
    """Return the key of the packet and its flow, if there is one: an own ICMP error brings it along."""
    packet = visit.packet
    if packet.belongs_to is not None:
        visit.packet = replace(packet, belongs_to=None)
        return packet.belongs_to
    key = flow_key(packet)
    return key, visit.memory.flows.get((visit.place, key))


def _note_answer(visit: Visit, flow: Flow) -> None:
    """Note that a flow was answered; a reset that comes before any other answer makes conntrack forget it instead.

    Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_in; nf_conntrack_proto_tcp.c, nf_conntrack_tcp_packet.
    """
    assert visit.connection is not None, "what has a flow was looked up"
    if flow.answered or visit.packet.about is not None or not visit.connection.is_reply:
        return
    if visit.packet.reset:
        visit.memory.forget(visit.place, flow)
    else:
        visit.memory.track(visit.place, replace(flow, answered=True))


def _to_its_destination(visit: Visit, connection: Connection) -> None:
    """Rewrite the destination as the flow has it: towards its endpoint, or back to who began it."""
    packet, (dst, port) = visit.packet, connection.destination
    if packet.about is not None:
        packet = replace(packet, about=_seen_before(packet.about, connection))
    if not connection.destination_changes:
        visit.packet = packet
        return
    now = replace(packet, dst=IPv4Address(dst), dport=port)
    saying = ("known flow: destination {} -> {}", packet.dst, now.dst)
    visit.note("conntrack", saying, connection.flow, now=now, asking=_asking(connection))


def _asking(connection: Connection) -> tuple[object, ...]:
    """Return the command that shows the flow: by the source of the direction in which this packet goes."""
    side = "--reply-src" if connection.is_reply else "--src"
    return (f"conntrack -L {side} {{}}", IPv4Address(connection.key[1]))


def _seen_before(about: Packet, connection: Connection) -> Packet:
    """Return the packet inside an ICMP error as its sender knew it, before this place translated it."""
    flow = connection.flow
    assert flow is not None, "an error that is looked up belongs to a flow"
    _, src, sport, dst, dport = flow.original if connection.is_reply else flow.reply
    return replace(about, src=IPv4Address(src), sport=sport, dst=IPv4Address(dst), dport=dport)


def leaving(visit: Visit, tables: Tables, in_dev: str | None, out_dev: str, gateway: IPv4Address | None = None) -> None:
    """Give the packet the source it should have, at POSTROUTING, and confirm a new flow."""
    connection = visit.connection
    if connection is None:
        return
    if connection.flow is not None:
        _from_its_source(visit, connection)
    elif visit.packet.begins_a_flow:
        _translated(visit, tables, "POSTROUTING", in_dev, out_dev, gateway)
        _confirm(visit, connection)


def delivered(visit: Visit, tables: Tables, in_dev: str) -> None:
    """Give the packet that ends here the source it should have, at INPUT, and confirm a new flow.

    An answer gets the address that was asked.
    """
    connection = visit.connection
    if connection is None:
        return
    if connection.flow is not None:
        _from_its_source(visit, connection)
    elif visit.packet.begins_a_flow:
        _translated(visit, tables, "INPUT", in_dev, None)
        _confirm(visit, connection)


def _confirm(visit: Visit, connection: Connection) -> None:
    """Note the flow; where another one has its answer's addresses and ports, it gets another source port.

    Source: net/netfilter/nf_nat_core.c, nf_nat_alloc_null_binding, get_unique_tuple.
    """
    free = _on_a_free_port(visit, visit.packet)
    if free is not visit.packet:
        saying = ("source port {} is another flow's: {}", visit.packet.sport, free.sport)
        visit.note("conntrack", saying, now=free, asking=("conntrack -L --src {}", free.src))
    visit.memory.track(visit.place, Flow(connection.key, reversed_key(flow_key(visit.packet))))


def _from_its_source(visit: Visit, connection: Connection) -> None:
    """Rewrite the source as the flow has it: masqueraded as before, or back to the Service that was asked."""
    packet, (src, port) = visit.packet, connection.source
    if not connection.source_changes:
        return
    now = replace(packet, src=IPv4Address(src), sport=port)
    saying = ("known flow: source {} -> {}", packet.src, now.src)
    visit.note("conntrack", saying, connection.flow, now=now, asking=_asking(connection))


def _translated(
    visit: Visit,
    tables: Tables,
    hook: str,
    in_dev: str | None,
    out_dev: str | None,
    gateway: IPv4Address | None = None,
) -> None:
    """Ask the nat table, and note what it says where it has rules."""
    chain = tables.chain("nat", hook)
    if chain is None or not chain.rules:
        return
    said, runner_up = decide(tables, chain, Asked(visit.packet, in_dev, out_dev))
    now = _applied(visit.packet, said)
    if said.target == "MASQUERADE":
        now = _masqueraded(now, said, masquerade_address(tables, out_dev, gateway or now.dst))
    visit.note(
        f"nat {hook}",
        ("{}: {}", _word(said), _change(visit.packet, now)),
        said.row,
        runner_up,
        now=now,
        asking=("iptables -t nat -S {}", said.chain),
    )


def _change(before: Packet, after: Packet) -> str:
    if before.dst != after.dst:
        return f"destination {before.dst} -> {after.dst}"
    if before.src == after.src and before.sport != after.sport:
        return f"source kept, its port {before.sport} -> {after.sport}"
    return "source kept" if before.src == after.src else f"source {before.src} -> {after.src}"


def _word(said: Verdict) -> str:
    """Return the target as the rule writes it: a RETURN ends in the chain's policy."""
    return said.row.target if isinstance(said.row, Rule) else f"no rule, policy {said.target}"


def _applied(packet: Packet, said: Verdict) -> Packet:
    """Return the packet after the verdict: marked, and under the addresses that the rule names."""
    if said.mark != packet.mark:
        packet = replace(packet, mark=said.mark)
    to = said.row.to if isinstance(said.row, Rule) else None
    if said.target == "DNAT" and to is not None:
        return replace(packet, dst=to[0], dport=packet.dport if to[1] is None else to[1])
    if said.target == "SNAT" and to is not None:
        return replace(packet, src=to[0], sport=packet.sport if to[1] is None else to[1])
    return packet


def _masqueraded(packet: Packet, said: Verdict, address: IPv4Address | None) -> Packet:
    """Return the packet under `address`; where it has that one already, a rule may still draw it another port."""
    if address is not None and address != packet.src:
        return replace(packet, src=address)
    if isinstance(said.row, Rule) and RANDOM in said.row.options:
        return replace(packet, sport=_next_port(packet.sport))
    return packet


def masquerade_address(tables: Tables, dev: str | None, next_hop: IPv4Address) -> IPv4Address | None:
    """Return the address that MASQUERADE puts in, or None if the place has none; no route is asked for its src.

    Shape: `dev`'s on the next hop's network, else its first, else another device's, lo before all.
    Source: net/netfilter/nf_nat_masquerade.c, nf_nat_masquerade_ipv4; net/ipv4/devinet.c, inet_select_addr.
    """
    usable = sorted((a for a in tables.addresses if not a.interface.is_loopback), key=lambda row: row.dev != LO)
    on_dev = [row.interface for row in usable if row.dev == dev]
    near = [own.ip for own in on_dev if next_hop in own.network]
    return next(iter((*near, *(own.ip for own in on_dev), *(row.interface.ip for row in usable))), None)


def _on_a_free_port(visit: Visit, packet: Packet) -> Packet:
    """Return the packet on a source port that no other flow to that place uses; the kernel picks one at random."""
    while (visit.place, reversed_key(flow_key(packet))) in visit.memory.flows:
        packet = replace(packet, sport=_next_port(packet.sport))
    return packet


def _next_port(port: int) -> int:
    return port % 65535 + 1
