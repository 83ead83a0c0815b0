"""Events and hops in words: what happened here, which row decided, and which command shows it. HTML, all of it escaped.

Views: they read and write nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from flannelviz.network import Event
from flannelviz.packet import AnyRow, Disposition, Hop, Packet, Step, Trace
from flannelviz.tables import File
from flannelviz.views.text import hop_says, row_text, short_place
from flannelviz.views.theme import visible
from flannelviz.views.widgets.panel import marked, table_html, visible_lines

KIND = {
    "vpc route": "VPC route table",
    "fdb": "bridge FDB",
    "eni": "ENIs of the VPC",
    "snat": "SNAT of the NAT gateway",
}


def event_card(event: Event, last: int) -> str:
    """Return one event: its author, what it did, what an operator would see of it, and the rows that changed."""
    places = ", ".join(short_place(place) for place in event.places) or "no table"
    head = f"event {event.number} of {last}, {event.stage} stage"
    return (
        f'<div class="fv-card" role="status"><p class="fv-note">{escape(head)}</p>'
        f"<p><b>{marked(event.component)}</b> {marked(event.action)}</p>{artefact_html(event.artefact)}</div>"
        + table_html(f"What it changes: {places}", ("", "place", "row", "because"), _changed(event))
    )


def artefact_html(artefact: File | None) -> str:
    """Return what an operator would see, with the name of the file or the command above it."""
    if artefact is None:
        return ""
    name = (
        "" if artefact.path == "commands" else f'<p class="fv-note"><code>{escape(visible(artefact.path))}</code></p>'
    )
    return f"{name}<pre>{escape(visible_lines(artefact.text))}</pre>"


def _changed(event: Event) -> Iterator[Sequence[str]]:
    if not event.wrote and not event.removed:
        yield ("", "", "nothing: no table that forwards a packet changes", "")
    yield from (("+", *_row_cells(place, row)) for place, row in event.wrote)
    yield from (("\N{MINUS SIGN}", *_row_cells(place, row)) for place, row in event.removed)


def _row_cells(place: str, row: AnyRow) -> tuple[str, str, str]:
    origin = getattr(row, "origin", None)
    return short_place(place), _as_code(row_text(row)), origin.because if origin else ""


def _as_code(text: str) -> str:
    return f"`{text}`" if text and "`" not in text else text


def events_table(events: Iterable[Event], current: int) -> str:
    """Return events as a table, one line each, the current one marked."""
    listed = tuple(events)
    rows = ((e.number, e.stage, e.component, e.action, _count(e)) for e in listed)
    index = next((i for i, event in enumerate(listed) if event.number == current), None)
    return table_html("Events up to here", ("event", "stage", "component", "does", "rows"), rows, index)


def _count(event: Event) -> str:
    written = f"+{len(event.wrote)}" if event.wrote else ""
    removed = f"\N{MINUS SIGN}{len(event.removed)}" if event.removed else ""
    return f"{written} {removed}".strip() or "0"


def hop_card(trace: Trace, number: int) -> str:
    """Return one hop: the packet as it came and as it left, and every lookup with the row that decided."""
    hop = trace.hops[number - 1]
    head = f'<p role="status"><b>{marked(hop_says(trace, number))}</b></p>'
    return f'<div class="fv-card">{head}{_packets(hop)}</div>' + table_html(
        f"Lookups at {short_place(hop.place)}",
        ("table", "row that decided", "without it", "outcome", "command that shows it"),
        map(_step_cells, hop.steps),
    )


def _packets(hop: Hop) -> str:
    came = f"<p>in: <code>{escape(packet_text(hop.received))}</code></p>"
    went = f"<p>out: <code>{escape(packet_text(hop.sent))}</code></p>"
    return came + (went if hop.disposition is Disposition.FORWARDED and hop.sent != hop.received else "")


def packet_text(packet: Packet) -> str:
    """Return a packet's header in one line."""
    port = f" port {packet.dport}" if packet.proto != "icmp" else ""
    return f"{packet.proto} {packet.src or '?'} > {packet.dst}{port}, ttl {packet.ttl}, {packet.size} bytes"


def _step_cells(step: Step) -> Sequence[str]:
    changes = "".join(f"\n{name} {old or 'none'} > {new}" for name, old, new in step.changes)
    decided = _as_code(row_text(step.row)) or "no row"
    spare = _as_code(row_text(step.runner_up)) or "nothing"
    return KIND.get(step.kind, step.kind), decided, spare, step.says + changes, _as_code(step.command)


def trace_table(trace: Trace, current: int | None = None) -> str:
    """Return a journey as a table, one line for each hop."""
    rows = (_hop_cells(trace, number) for number in range(1, len(trace.hops) + 1))
    head = ("hop", "way", "place", "fate", "row that decided", "packet as it left")
    return table_html("The journey, hop by hop", head, rows, None if current is None else current - 1)


def _hop_cells(trace: Trace, number: int) -> Sequence[object]:
    hop = trace.hops[number - 1]
    way = "there" if number <= len(trace.request) else "back"
    row = _as_code(row_text(hop.because))
    return number, way, short_place(hop.place), hop.disposition.value, row, packet_text(hop.sent)


def result_html(trace: Trace, says: str) -> str:
    """Return the outcome of a journey in one line; what it means is in the words, the colour only repeats it."""
    state = "yes" if trace.ok else "no"
    return f'<p class="fv-result" role="status" data-ok="{state}">{marked(says)}.</p>'
