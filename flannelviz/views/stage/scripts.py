"""Scripts of stages: a journey hop by hop, a timeline event by event, a journey before and after a fault. READS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from html import escape

from flannelviz.errors import AddressPlanError
from flannelviz.model import parse_address, visible
from flannelviz.network import Event, Network, Stage
from flannelviz.packet import Disposition, Hop, Trace
from flannelviz.views.cards import because_text, event_card, hop_card, packet_text
from flannelviz.views.light import lost_word
from flannelviz.views.moments import Moments, ends_of
from flannelviz.views.scene import journey_says, scene
from flannelviz.views.shapes import Box, Note, Scene
from flannelviz.views.stage.drawing import drawn
from flannelviz.views.stage.inside import Used, inside
from flannelviz.views.stage.script import Ends, Picture, Question, Script, Step, Twin
from flannelviz.views.svg import svg
from flannelviz.views.text import hop_says, place_name, short_place

MOST_EVENTS = 400
BEFORE_AFTER = ("before", "after")
PICKED = ("pod", "node", "ecs", "internet")
Uses = tuple[tuple[int, ...], ...]


# --- a journey ------------------------------------------------------------------------------------------------------


def journey_script(
    network: Network,
    trace: Trace | None = None,
    questions: Sequence[Question] = (),
    *,
    focus: Sequence[str] = (),
    notes: Mapping[str, Note] | None = None,
    asks: bool = False,
) -> Script:
    """Return the script of a journey: nothing lit at step 0, then hop by hop; without a trace, of a network as it is.

    `focus` names places that must not be folded away; the first of them is shown first. `notes` tells what is wrong
    with places. With `asks` there is somebody who answers when a reader chooses other ends, searches, or opens what is
    folded.
    """
    trace = _named(network, trace or Trace("", "", (), Disposition.UNKNOWN))
    whole = scene(network, trace=trace if trace.hops else None, focus=focus, notes=notes)
    says = _said(whole.says, trace, questions)
    picture, uses = _way(network, trace, whole, len(trace.hops), says)
    hops = (_hop(trace, k, uses[k]) for k in range(1, len(trace.hops) + 1))
    ends = Ends(_picks(whole.boxes)) if asks else None
    shown = next((box.id for box in whole.boxes if box.place in focus[:1] and box.kind in PICKED), "")
    return Script(
        "journey",
        "hop",
        says,
        (picture,),
        (Step("start", f"before the first hop: {says}" if trace.hops else says, ("",), ((),)), *hops),
        _hops_twin(trace),
        0 if questions else min(1, len(trace.hops)),
        tuple(questions),
        ends,
        shown,
    )


def journey_drawing(
    network: Network, trace: Trace | None, focus: Sequence[str] = (), notes: Mapping[str, Note] | None = None
) -> str:
    """Return the SVG that stands for a journey where nothing runs: the whole way, every hop lit."""
    return svg(scene(network, trace=trace if trace and trace.hops else None, focus=focus, notes=notes))


def _named(network: Network, trace: Trace) -> Trace:
    """Return a journey that calls its end by name, where the address belongs to a place."""
    try:
        place = network.place_at(parse_address(trace.destination))
    except AddressPlanError:
        return trace
    return replace(trace, destination=place or trace.destination)


def _said(says: str, trace: Trace, questions: Sequence[Question]) -> str:
    """Return what is shown in a sentence; how a journey ends is not told where somebody is asked to predict."""
    return visible(f"{short_place(trace.source)} to {short_place(trace.destination)}" if questions else says)


def _way(network: Network, trace: Trace, whole: Scene, last: int, says: str, label: str = "") -> tuple[Picture, Uses]:
    """Return the picture of a journey up to step `last`, which may be beyond its own end, and the lines in use."""
    hops = len(trace.hops)
    drawings = [svg(replace(whole, path=())), *(svg(whole, hop=k) for k in range(1, hops + 1))]
    used = [[], *map(_rows, trace.hops), *([] for _ in range(last - hops))]
    seen, uses = inside([network] * len(used), whole.boxes, used)
    return Picture(label, says, drawn(drawings), seen), uses


def _rows(hop: Hop) -> Used:
    return [(hop.place, step.row, step.kind) for step in hop.steps if step.row is not None]


def _hop(trace: Trace, number: int, uses: tuple[int, ...]) -> Step:
    hop = trace.hops[number - 1]
    way = "back: " if number > len(trace.request) else ""
    return Step(
        way + place_name(hop.place), visible(hop_says(trace, number)), (_card(trace, number),), (uses,), lost_word(hop)
    )


def _card(trace: Trace, number: int, which: str = "") -> str:
    """Return what one looks up about a hop: the packet as it came and as it left, and every lookup."""
    hop = trace.hops[number - 1]
    came, went = packet_text(hop.received), packet_text(hop.sent)
    sent = hop.disposition is Disposition.FORWARDED and came != went
    packet = f"<code>{escape(visible(came))}</code>" + (f" out: <code>{escape(visible(went))}</code>" if sent else "")
    return f"<p>in: {packet}</p>{hop_card(trace, number, which)}"


def _hops_twin(trace: Trace) -> Twin:
    head = ("hop", "way", "place", "fate", "row that decided", "packet as it left")
    rows = (_hop_row(trace, number, hop) for number, hop in enumerate(trace.hops, 1))
    return Twin("The journey, hop by hop", head, tuple(rows))


def _hop_row(trace: Trace, number: int, hop: Hop) -> tuple[str, ...]:
    way = "there" if number <= len(trace.request) else "back"
    cells = (str(number), way, short_place(hop.place), hop.disposition.value, because_text(hop), packet_text(hop.sent))
    return tuple(visible(cell).replace("`", "") for cell in cells)


def _picks(boxes: Iterable[Box]) -> tuple[tuple[str, str], ...]:
    return tuple((box.id, box.place) for box in boxes if box.kind in PICKED)


# --- a timeline -----------------------------------------------------------------------------------------------------


def events_script(timeline: Moments, stage: Stage | None = None, questions: Sequence[Question] = ()) -> Script:
    """Return the script of a timeline, or of one stage of it: the network as it was, then event by event.

    Raises: ValueError if that is more than a stage holds.
    """
    first, last = ends_of(timeline, stage)
    if last - first >= MOST_EVENTS:
        named = "" if stage else "name one of its stages, or "
        raise ValueError(
            f"{last - first + 1:,} events are more than the {MOST_EVENTS} that a stage holds; {named}build a timeline"
            " of fewer nodes and pods, or look at one moment of this one: timeline.at(k) is the network after event k"
        )
    networks = [timeline.at(k) for k in range(first - 1, last + 1)]
    happened = [timeline.event(k) for k in range(first, last + 1)]
    layout = networks[-1]
    scenes = [scene(networks[0], layout=layout)]
    scenes += [scene(net, event=event, layout=layout) for net, event in zip(networks[1:], happened)]
    used: list[Used] = [[], *map(_changed, happened)]
    boxes = {box.id: box for drawing in scenes for box in drawing.boxes}
    seen, uses = inside(networks, boxes.values(), used)
    says = f"events {first} to {last} of {len(timeline)}"
    picture = Picture("", says, drawn(map(svg, scenes)), seen)
    shown = (_event(event, len(timeline), line) for event, line in zip(happened, uses[1:]))
    steps = (Step("start", f"before event {first}", ("",), (uses[0],)), *shown)
    return Script("events", "event", says, (picture,), steps, _events_twin(happened), 0, tuple(questions))


def _changed(event: Event) -> Used:
    return [(place, row, "") for place, row in (*event.wrote, *event.removed)]


def _event(event: Event, last: int, uses: tuple[int, ...]) -> Step:
    says = f"event {event.number} of {last}, {event.stage} stage: {event.component} {event.action}"
    return Step(visible(event.component), visible(says).replace("`", ""), (event_card(event),), (uses,))


def _events_twin(happened: Iterable[Event]) -> Twin:
    rows = ((str(e.number), e.stage, e.component, e.action, _count(e)) for e in happened)
    told = tuple(tuple(visible(cell).replace("`", "") for cell in row) for row in rows)
    return Twin("What happened, event by event", ("event", "stage", "component", "does", "rows"), told)


def _count(event: Event) -> str:
    signs = (("+", event.wrote), ("\N{MINUS SIGN}", event.removed))
    return " ".join(f"{sign}{len(rows)}" for sign, rows in signs if rows) or "0"


# --- a fault --------------------------------------------------------------------------------------------------------


def fault_script(
    before: tuple[Network, Trace], after: tuple[Network, Trace], says: str = "", questions: Sequence[Question] = ()
) -> Script:
    """Return the script of one journey through two networks, side by side; it opens where they part."""
    networks = (before[0], after[0])
    traces = (_named(*before), _named(*after))
    last = max(len(trace.hops) for trace in traces)
    ways = [
        _way(network, trace, scene(network, trace=trace), last, _said(journey_says(trace), trace, questions), label)
        for network, trace, label in zip(networks, traces, BEFORE_AFTER)
    ]
    number = first_difference(*traces) or 0
    steps = [Step("start", "before the first hop", ("", ""), ((), ()))]
    steps += [_pair(traces, k, tuple(uses[k] for _, uses in ways), k == number) for k in range(1, last + 1)]
    start = 0 if questions else number or min(1, last)
    told = visible(says) or _said(journey_says(traces[1]), traces[1], questions)
    pictures = tuple(picture for picture, _ in ways)
    return Script("fault", "hop", told, pictures, tuple(steps), _pairs_twin(traces), start, tuple(questions))


def _pair(traces: tuple[Trace, Trace], number: int, uses: Uses, parts: bool) -> Step:
    told_apart = zip(traces, BEFORE_AFTER)
    shown = [_card(trace, number, which) if number <= len(trace.hops) else "" for trace, which in told_apart]
    told = [hop_says(trace, number) if number <= len(trace.hops) else "" for trace in traces]
    hops = [trace.hops[number - 1] for trace in traces if number <= len(trace.hops)]
    lost = next((word for hop in hops if (word := lost_word(hop))), "")
    same = told[0] == told[1]
    says = told[0] if same else f"before: {told[0] or 'the journey is over'}; after: {told[1] or 'the journey is over'}"
    here = "here the journeys part; " if parts else ""
    return Step(place_name(hops[-1].place), visible(here + says), tuple(shown), uses, lost, parts)


def _pairs_twin(traces: tuple[Trace, Trace]) -> Twin:
    before, after = (_hops_twin(trace).rows for trace in traces)
    rows = tuple(
        (str(k + 1), *(" ".join(rows[k][1:5]) if k < len(rows) else "" for rows in (before, after)))
        for k in range(max(len(before), len(after)))
    )
    return Twin("The journey before and after", ("hop", "before", "after"), rows)


def first_difference(before: Trace, after: Trace) -> int | None:
    """Return the number of the first hop at which two journeys part, counted from 1, or None if they are the same."""
    for number, (one, other) in enumerate(zip(before.hops, after.hops), 1):
        if (one.place, one.disposition, one.because) != (other.place, other.disposition, other.because):
            return number
    shorter, longer = sorted((len(before.hops), len(after.hops)))
    return None if shorter == longer else shorter + 1
