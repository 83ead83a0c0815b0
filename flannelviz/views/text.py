"""Everything of a network and a journey as plain text: the table twin of every picture. READS only."""

from __future__ import annotations

from flannelviz.model import INTERNET, VPC, visible
from flannelviz.packet import Disposition, Hop, Trace
from flannelviz.tables import FdbEntry, Link, Route, RouteEntry
from flannelviz.views.learned import with_learned
from flannelviz.views.rounds import gap_in, shown_with
from flannelviz.views.rowtext import EVERYWHERE, decider, route_text, row_text, step_text
from flannelviz.views.ruletext import iptables_s, iptables_save, rule_text
from flannelviz.views.tooltext import (
    bridge_fdb,
    bridge_link,
    columns,
    conntrack,
    describe_route_entry_list,
    ip_addr,
    ip_neigh,
    ip_route,
    ip_rule,
    kubectl_nodes,
    kubectl_pods,
    route_lines,
    table_texts,
)


def short_place(place: str) -> str:
    """Return a place as one says it: a pod of the default namespace by its bare name."""
    return visible(place.removeprefix("default/"))


def trace_text(trace: Trace) -> str:
    """Return a journey, one line a hop: the place, what became of the packet, and the row that decided.

    Shape: the hops there; then, after the word "back", those of the reply; of a loop its first and last rounds.
    """
    if not trace.hops:
        return f"{short_place(trace.source)} sends nothing to {short_place(trace.destination)}"
    lines = columns([_hop_cells(hop) for hop in trace.hops], gap="  ").split("\n")
    there, back = lines[: len(trace.request)], lines[len(trace.request) :]
    told = _shortened(there, trace.request)
    return "\n".join([*told, *(["back", *_shortened(back, trace.reply)] if back else [])])


def _shortened(lines: list[str], hops: tuple[Hop, ...]) -> list[str]:
    gap = gap_in([hop.place for hop in hops])
    return shown_with(lines, gap, gap.says(hops) if gap else "")


def _hop_cells(hop: Hop) -> tuple[str, str, str]:
    return short_place(hop.place), hop.disposition.value, _reason(hop)


def _reason(hop: Hop) -> str:
    if hop.disposition is Disposition.ACCEPTED:
        return ""
    if hop.disposition is not Disposition.FORWARDED:
        return hop.deciding_step.says if hop.deciding_step else ""
    return _because(hop)


def _because(hop: Hop) -> str:
    """Return the row that sent the packet on, the way a trace shows it; where no row did, what was found."""
    row, step = hop.because, hop.deciding_step
    match row:
        case Route():
            return decider(row)
        case RouteEntry(dst=dst, next_hop_type=kind, next_hop_id=target):
            return " ".join(word for word in (str(dst), kind, target, f"({hop.next_place})") if word)
        case Link() if step is not None:
            return step_text(step)
    return visible(step.says) if step else ""


def hop_says(trace: Trace, number: int) -> str:
    """Return one hop as a sentence, such as "hop 2 of 10: node-a routes to 192.168.0.253 by default route".

    `number` counts from 1, over the hops there and then back.
    """
    hop = trace.hops[number - 1]
    way = ", on the way back" if number > len(trace.request) else ""
    told = (
        untold_says(hop, "the packet")
        if hop.disposition is Disposition.UNKNOWN
        else f"{place_name(hop.place)} {_does(hop)}"
    )
    return f"hop {number} of {len(trace.hops)}{way}: {told}"


def untold_says(hop: Hop, what: str) -> str:
    """Return that nobody can say how `what` goes on from a hop, and what the input does not hold."""
    reason = visible(hop.deciding_step.says) if hop.deciding_step else "the input does not say"
    head, of, rest = reason.partition(f" of {visible(hop.place)}")
    reason = head.replace(" hold the ", " hold its ", 1) if of and not rest else reason
    return f"nobody can say how {what} goes on from {place_name(hop.place)}: {reason}"


def place_name(place: str) -> str:
    """Return a place as a sentence names it: node-a, the VPC, the Internet."""
    return {VPC: "the VPC", INTERNET: "the Internet"}.get(place, short_place(place))


def _does(hop: Hop) -> str:
    if hop.disposition is Disposition.ACCEPTED:
        return "accepts the packet"
    if hop.disposition is not Disposition.FORWARDED:
        step = hop.deciding_step
        return f"loses the packet, {hop.disposition.value}" + (f" ({visible(step.says)})" if step else "")
    return _forwards(hop)


def _forwards(hop: Hop) -> str:
    row, to = hop.because, place_name(hop.next_place) if hop.next_place else "the next place"
    if isinstance(row, Route):
        by = "default route" if row.dst == EVERYWHERE else str(row.dst)
        return f"routes to {row.via} by {by}" if row.via else f"delivers on {visible(row.dev)} by {by}"
    if isinstance(row, RouteEntry):
        return f"routes to {to} by {'default route' if row.dst == EVERYWHERE else row.dst}"
    if isinstance(row, Link | FdbEntry):
        return f"switches to {to} by the MAC behind {visible(row.name if isinstance(row, Link) else row.dev)}"
    return f"passes it on to {to}"


__all__ = [
    "bridge_fdb",
    "bridge_link",
    "conntrack",
    "describe_route_entry_list",
    "hop_says",
    "ip_addr",
    "ip_neigh",
    "ip_route",
    "ip_rule",
    "iptables_s",
    "iptables_save",
    "kubectl_nodes",
    "kubectl_pods",
    "place_name",
    "route_lines",
    "route_text",
    "row_text",
    "rule_text",
    "short_place",
    "table_texts",
    "trace_text",
    "untold_says",
    "with_learned",
]
