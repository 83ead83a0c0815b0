"""Events and hops in words: what happened here, which row decided, and which command shows it. HTML, all of it escaped.

Views: they read and write nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from flannelviz.model import visible
from flannelviz.network import Event
from flannelviz.packet import AnyRow, Hop, Packet, Step, Trace
from flannelviz.tables import File
from flannelviz.views.markup import table_html, visible_lines
from flannelviz.views.rounds import hidden
from flannelviz.views.rowtext import row_text
from flannelviz.views.sheets import change_text
from flannelviz.views.text import short_place

MOST_LINES = 12  # of an artefact that is shown without being asked for
KIND = {
    "vpc route": "VPC route table",
    "fdb": "bridge FDB",
    "eni": "ENIs of the VPC",
    "snat": "SNAT of the NAT gateway",
}


def event_card(event: Event) -> str:
    """Return the rows that an event wrote and removed, and what an operator would see of it: beside them, if short."""
    places = ", ".join(short_place(place) for place in event.places) or "no place"
    rows = [*_signed("+", event.wrote), *_signed("\N{MINUS SIGN}", event.removed)]
    seen = artefact_html(event.artefact)
    if not rows:
        return f"<p>No table that forwards a packet changes.</p>{seen}"
    table = table_html(f"What changes at {places}", ("\N{PLUS-MINUS SIGN}", "place", "row", "because"), rows)
    return f'<div class="fv-columns">{table}<div>{seen}</div></div>' if seen else table


def artefact_html(artefact: File | None) -> str:
    """Return what an operator would see, with the name of the file above it; a long one opens on demand."""
    if artefact is None:
        return ""
    named = "" if artefact.path == "commands" else f"<code>{escape(visible(artefact.path))}</code>"
    text = f"<pre>{escape(visible_lines(artefact.text))}</pre>"
    lines = len(artefact.text.splitlines())
    if lines > MOST_LINES:
        return f"<details><summary>{named or 'commands'} ({lines} lines)</summary>{text}</details>"
    return f'<p class="fv-note">{named}</p>{text}' if named else text


def _signed(sign: str, changed: Iterable[tuple[str, AnyRow]]) -> Iterator[Sequence[str]]:
    return ((sign, *_row_cells(place, row)) for place, row in changed)


def _row_cells(place: str, row: AnyRow) -> tuple[str, str, str]:
    origin = getattr(row, "origin", None)
    return short_place(place), _as_code(row_text(row)), origin.because if origin else ""


def _as_code(text: str) -> str:
    return f"`{text}`" if text and "`" not in text else text


def hop_card(trace: Trace, number: int, which: str = "") -> str:
    """Return every lookup of one hop, with the row that decided and the one that would decide without it.

    `which` tells its caption from that of another journey.
    """
    hop = trace.hops[number - 1]
    head = ("table", "decided by", "without it", "outcome", "command that shows it")
    title = f"{which}: lookups at" if which else "Lookups at"
    return table_html(f"{title} {short_place(hop.place)}", head, map(_step_cells, hop.steps))


def packet_text(packet: Packet) -> str:
    """Return a packet's header in one line."""
    port = f" port {packet.dport}" if packet.proto != "icmp" else ""
    source = packet.src or "source not set"
    return f"{packet.proto}, {source} → {packet.dst}{port}, ttl {packet.ttl}, {packet.size} bytes"


def _step_cells(step: Step) -> Sequence[str]:
    decided = _as_code(row_text(step.row)) or "no row"
    spare = _as_code(row_text(step.runner_up)) or "nothing"
    change = change_text(step)
    outcome = step.says + (f"\n{change}" if change else "")
    return KIND.get(step.kind, step.kind), decided, spare, outcome, _as_code(step.command)


def hop_numbers(trace: Trace, *wanted: int | None) -> Iterator[int | str]:
    """Return the numbers of the hops to list, the `wanted` ones among them, and words for those left out between."""
    left_out = hidden((hop.place for hop in trace.request), (hop.place for hop in trace.reply)).difference(wanted)
    skipped: list[int] = []
    for number in range(1, len(trace.hops) + 1):
        if number in left_out:
            skipped.append(number)
            continue
        if skipped:
            yield _skipped_says(trace, skipped)
            skipped = []
        yield number


def _skipped_says(trace: Trace, numbers: Sequence[int]) -> str:
    first, last = trace.hops[numbers[0] - 1].received.ttl, trace.hops[numbers[-1] - 1].received.ttl
    return f"… {len(numbers)} more hops, TTL {first} to {last}"


def because_text(hop: Hop) -> str:
    """Return the row that decided a hop; where no row did, what the lookup found."""
    row, step = row_text(hop.because), hop.deciding_step
    return _as_code(row) or (step.says if step else "")
