"""Events and hops in words: what happened here, which row decided, and which command shows it. HTML, all of it escaped.

Views: they read and write nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from flannelviz.model import visible
from flannelviz.network import Event
from flannelviz.packet import AnyRow, Disposition, Hop, Packet, Step, Trace
from flannelviz.tables import File
from flannelviz.views.rounds import hidden
from flannelviz.views.rowtext import row_text
from flannelviz.views.sheets import change_text
from flannelviz.views.text import hop_says, short_place
from flannelviz.views.widgets.panel import marked, table_html, visible_lines

MOST_LINES = 12  # of an artefact that is shown without being asked for
KIND = {
    "vpc route": "VPC route table",
    "fdb": "bridge FDB",
    "eni": "ENIs of the VPC",
    "snat": "SNAT of the NAT gateway",
}


def line_html(words: str) -> str:
    """Return the sentence above a picture, which a screen reader reads whenever it changes."""
    return f'<p class="fv-line" role="status">{words}</p>'


def event_line(event: Event, last: int) -> str:
    """Return who did what, in one sentence."""
    head = f"event {event.number} of {last}, {event.stage} stage"
    return line_html(f"<b>{escape(head)}</b><br><b>{marked(event.component)}</b> {marked(event.action)}")


def event_card(event: Event) -> str:
    """Return the rows that an event wrote and removed, and what an operator would see of it: beside them, if short."""
    places = ", ".join(short_place(place) for place in event.places) or "no place"
    rows = [*_signed("+", event.wrote), *_signed("\N{MINUS SIGN}", event.removed)]
    seen = artefact_html(event.artefact)
    if not rows:
        return f"<p>No table that forwards a packet changes.</p>{seen}"
    table = table_html(f"What changes at {places}", ("", "place", "row", "because"), rows)
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


def events_table(events: Iterable[Event], caption: str, current: int | None = None) -> str:
    """Return events as a table, one line each; `current` is the number of the one that is marked."""
    listed = tuple(events)
    rows = ((e.number, e.stage, e.component, e.action, _count(e)) for e in listed)
    index = next((i for i, event in enumerate(listed) if event.number == current), None)
    return table_html(caption, ("event", "stage", "component", "does", "rows"), rows, index)


def _count(event: Event) -> str:
    written = f"+{len(event.wrote)}" if event.wrote else ""
    removed = f"\N{MINUS SIGN}{len(event.removed)}" if event.removed else ""
    return f"{written} {removed}".strip() or "0"


def hop_line(trace: Trace, number: int) -> str:
    """Return what happens at a hop in one sentence, and the packet as it came and as it left."""
    hop = trace.hops[number - 1]
    return line_html(f"<b>{marked(hop_says(trace, number))}</b><br>{_packets(hop)}")


def hop_card(trace: Trace, number: int) -> str:
    """Return every lookup of one hop, with the row that decided and the one that would decide without it."""
    hop = trace.hops[number - 1]
    head = ("table", "decided by", "without it", "outcome", "command that shows it")
    return table_html(f"Lookups at {short_place(hop.place)}", head, map(_step_cells, hop.steps))


def _packets(hop: Hop) -> str:
    came, went = packet_text(hop.received), packet_text(hop.sent)
    forwarded = hop.disposition is Disposition.FORWARDED and came != went
    return f"in: <code>{escape(came)}</code>" + (f" out: <code>{escape(went)}</code>" if forwarded else "")


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


def trace_table(trace: Trace, current: int | None = None) -> str:
    """Return a journey as a table, one line for each hop, of a loop only its first and last rounds."""
    lines = list(hop_numbers(trace, current))
    rows = (_hop_cells(trace, line) if isinstance(line, int) else (line, *[""] * 5) for line in lines)
    head = ("hop", "way", "place", "fate", "row that decided", "packet as it left")
    return table_html("The journey, hop by hop", head, rows, lines.index(current) if current else None)


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


def _hop_cells(trace: Trace, number: int) -> Sequence[object]:
    hop = trace.hops[number - 1]
    way = "there" if number <= len(trace.request) else "back"
    return number, way, short_place(hop.place), hop.disposition.value, because_text(hop), packet_text(hop.sent)


def because_text(hop: Hop) -> str:
    """Return the row that decided a hop; where no row did, what the lookup found."""
    row, step = row_text(hop.because), hop.deciding_step
    return _as_code(row) or (step.says if step else "")


def result_html(trace: Trace, says: str) -> str:
    """Return the outcome of a journey in one line; what it means is in the words, the colour only repeats it."""
    state = "yes" if trace.ok else "no"
    return f'<p class="fv-result" role="status" data-ok="{state}">{marked(says)}.</p>'
