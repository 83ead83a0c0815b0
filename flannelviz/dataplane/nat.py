"""Where NAT happens: conntrack before routing, the nat table for the first packet of a flow after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address

from flannelviz.dataplane.netfilter import decide
from flannelviz.dataplane.visit import Visit, flow_key, reversed_key
from flannelviz.packet import Flow, Packet
from flannelviz.tables import Tables


def before_routing(visit: Visit, tables: Tables) -> None:
    """Undo the source translation for a reply, at PREROUTING.

    Source: conntrack reverses replies; the nat table is consulted only for the first packet of a flow.
    """
    if not tables.chains:
        return
    key = flow_key(visit.packet)
    flow = visit.memory.flows.get((visit.place, key))
    if flow is None or key == flow.original or not flow.translated:
        return
    restored = _restored(visit.packet, flow)
    saying = ("reply of a known flow: destination {} -> {}", visit.packet.dst, restored.dst)
    visit.note("conntrack", saying, flow, now=restored, asking=("conntrack -L --reply-src {}", visit.packet.src))


def _restored(packet: Packet, flow: Flow) -> Packet:
    """Return a reply as the program that started the flow expects it."""
    _, src, sport, dst, dport = flow.original
    return replace(packet, src=IPv4Address(dst), sport=dport, dst=IPv4Address(src), dport=sport)


def after_routing(
    visit: Visit, tables: Tables, in_dev: str | None, out_dev: str, source: Callable[[], IPv4Address | None]
) -> None:
    """Let nat POSTROUTING decide for the first packet of a flow; later packets follow conntrack.

    `source` gives the address that MASQUERADE puts in: the one of the output device.
    """
    chain = tables.chain("nat", "POSTROUTING")
    if chain is None:
        return
    key = flow_key(visit.packet)
    flow = visit.memory.flows.get((visit.place, key))
    if flow is not None:
        _as_before(visit, flow, key)
        return
    if _is_reply(visit, key):
        return
    said, runner_up = decide(tables, chain, visit.packet, in_dev, out_dev)
    now = _masqueraded(visit, source()) if said.target == "MASQUERADE" else visit.packet
    if chain.rules:
        changed = "source kept" if now is visit.packet else f"source {visit.packet.src} -> {now.src}"
        visit.note(
            "nat POSTROUTING",
            ("{}: {}", _word(said.target, said.row), changed),
            said.row,
            runner_up,
            now=now,
            asking=("iptables -t nat -S POSTROUTING",),
        )
    visit.memory.track(visit.place, key, reversed_key(flow_key(now)))


def _word(target: str, row: object) -> str:
    """Return the target as the rule writes it: a RETURN ends in the chain's policy."""
    return str(getattr(row, "target", target))


def _is_reply(visit: Visit, key: tuple[str, int, int, int, int]) -> bool:
    """Return whether this packet, restored at PREROUTING, belongs to a flow that came the other way."""
    return (visit.place, reversed_key(key)) in visit.memory.flows


def _as_before(visit: Visit, flow: Flow, key: tuple[str, int, int, int, int]) -> None:
    if key != flow.original or not flow.translated:
        return
    _, _, _, seen_src, seen_sport = flow.reply
    now = replace(visit.packet, src=IPv4Address(seen_src), sport=seen_sport)
    saying = ("known flow: source {} -> {}", visit.packet.src, now.src)
    visit.note("conntrack", saying, flow, now=now, asking=("conntrack -L --src {}", visit.packet.src))


def _masqueraded(visit: Visit, source: IPv4Address | None) -> Packet:
    """Return the packet with the node's address as its source, on a port that no other flow to that place uses."""
    packet = visit.packet
    if source is None or source == packet.src:
        return packet
    now = replace(packet, src=source)
    while (visit.place, reversed_key(flow_key(now))) in visit.memory.flows:
        now = replace(now, sport=now.sport % 65535 + 1)
    return now


def delivered(visit: Visit, tables: Tables) -> None:
    """Note the flow of a packet that ends here, so that its reply passes the nat table by."""
    if not tables.chains:
        return
    key = flow_key(visit.packet)
    if (visit.place, key) not in visit.memory.flows:
        visit.memory.track(visit.place, key, reversed_key(key))
