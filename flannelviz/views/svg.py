"""A scene as SVG text: every box, wire and row with an id and data-* attributes, the light as attributes alone.

The standard library is enough. To move the light is to change `data-lit` ("now", "path" or none) on elements that are
all there already: `data-hop` lists the hops at which an element is lit, `data-direction` says there or back.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from math import atan2, degrees, hypot
from xml.sax.saxutils import escape, quoteattr

from flannelviz.model import visible
from flannelviz.views.rounds import drawn_stops
from flannelviz.views.shapes import Box, Lane, Move, Point, RowLabel, Scene, Stop, Wire
from flannelviz.views.style import STYLE
from flannelviz.views.theme import ALERTS, NORMAL, SMALL, mono_width, shorten

BADGE_R = 9.5
DRAWN_ONCE = 4096  # pieces of markup that are kept: the drawings of one journey differ in their light alone


def svg(scene: Scene, *, hop: int | None = None, title: str | None = None, prefix: str = "fv-") -> str:
    """Return the picture as SVG text, the same bytes each time.

    `hop` counts from 1 and lights that hop, and the way up to it more faintly; without it the whole way is lit.
    `prefix` goes before every id, for a page with several pictures.

    Raises: IndexError if the scene's path has no such hop.
    """
    if hop is not None and not 1 <= hop <= len(scene.path):
        raise IndexError(f"hop {hop} is not on this path of {len(scene.path)} hops; hops count from 1")
    says = visible(scene.path[hop - 1].says if hop else scene.says)
    name = visible(title) if title else scene.says
    lights = _Lights(scene, hop)
    body = "\n".join(_body(scene, lights, prefix))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="fv" role="img"'
        f' viewBox="0 0 {_n(scene.width)} {_n(scene.height)}"'
        f' width="100%" style="max-width:{_n(scene.width * 1.4)}px;min-width:{_n(scene.width * 0.75)}px"'
        f' aria-label={quoteattr(says)} data-hop="{hop or ""}" data-hops="{len(scene.path)}">\n'
        f"<title>{escape(visible(name))}</title>\n<desc>{escape(description(scene, hop))}</desc>\n"
        f"<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def data_uri(picture: str) -> str:
    """Return SVG text as a data: address, which an untrusted notebook shows in an <img>."""
    return "data:image/svg+xml;base64," + b64encode(picture.encode()).decode()


def description(scene: Scene, hop: int | None = None) -> str:
    """Return in words what the picture shows: its places, then the way of the packet."""
    places = [
        f"{box.label} {box.sublabel}".strip() + (f" ({box.note.severity})" if box.note else "")
        for box in scene.boxes
        if box.kind in ("node", "ecs", "pod", "fold")
    ]
    return visible(". ".join([scene.says, "Places: " + ", ".join(places), *_way(scene, hop)]) + ".")


def _way(scene: Scene, hop: int | None) -> Iterator[str]:
    """Return the stops up to `hop` as sentences, and how many are left out of a loop."""
    told, skipped = {stop.number for stop in drawn_stops(scene.path, hop)}, 0
    for stop in (stop for stop in scene.path if hop is None or stop.number <= hop):
        if stop.number not in told:
            skipped += 1
            continue
        if skipped:
            yield f"{skipped} more hops"
        yield stop.says
        skipped = 0
    if skipped:
        yield f"{skipped} more hops"


class _Lights:
    """Which hops light an id, and what state it is in."""

    def __init__(self, scene: Scene, hop: int | None) -> None:
        self.hop = hop
        self.stops: dict[str, list[Stop]] = {}
        for stop in scene.path:
            for id in dict.fromkeys((*stop.boxes, *stop.wires, *stop.rows)):
                self.stops.setdefault(id, []).append(stop)
        self.event = {**dict.fromkeys(scene.written, "wrote"), **dict.fromkeys(scene.removed, "removed")}

    def of(self, id: str) -> dict[str, str]:
        """Return the data-* attributes of an element."""
        stops = self.stops.get(id, [])
        found = {"data-hop": " ".join(str(stop.number) for stop in stops)} if stops else {}
        reached = [stop for stop in stops if self.hop is None or stop.number <= self.hop]
        if reached:
            last = reached[-1] if self.hop else reached[0]
            found["data-lit"] = self.state(reached[-1])
            found["data-direction"] = last.direction
            found.update({"data-lost": reached[-1].lost} if reached[-1].lost else {})
        elif id in self.event:
            found["data-lit"] = self.event[id]
        return found

    def state(self, stop: Stop) -> str:
        """Return how brightly a stop is lit: now, as part of the path, or not at all."""
        if self.hop is None or stop.number < self.hop:
            return "path"
        return "now" if stop.number == self.hop else ""


def _body(scene: Scene, lights: _Lights, prefix: str) -> Iterator[str]:
    yield f'<rect class="fv-ground" width="{_n(scene.width)}" height="{_n(scene.height)}" rx="8"/>'
    yield from (_lane(lane) for lane in scene.lanes)
    yield from _group("boxes", (_box(box, lights, prefix) for box in scene.boxes))
    yield from _group("wires", (_wire(wire, lights, prefix) for wire in scene.wires))
    yield from _group("rows", (_row(row, lights, prefix) for row in scene.rows))
    stops = drawn_stops(scene.path, lights.hop)
    yield from _group("moves", (_move(move, stop, lights) for stop in stops for move in stop.moves))
    yield from _group("badges", (_badge(stop, lights) for stop in stops if stop.boxes))
    yield from _group("signs", _signs(scene))


def _group(name: str, items: Iterable[str]) -> Iterator[str]:
    yield f'<g class="fv-{name}">'
    yield from items
    yield "</g>"


def _n(number: float) -> str:
    return f"{number:.1f}".rstrip("0").rstrip(".")


def _attributes(values: Mapping[str, str]) -> str:
    return "".join(_attribute(name, value) for name, value in values.items() if value)


@lru_cache(maxsize=DRAWN_ONCE)
def _attribute(name: str, value: str) -> str:
    return f" {name}={quoteattr(visible(value))}"


def _text(
    x: float, y: float, words: str, kind: str, *, anchor: str = "", mono: bool = False, size: float = SMALL
) -> str:
    """Return one line of text; monospaced ASCII gets the width it was laid out for, whatever the font."""
    if not words:
        return ""
    more = f' text-anchor="{anchor}"' if anchor else ""
    if mono and words.isascii():
        more += f' textLength="{_n(mono_width(words, size))}" lengthAdjust="spacingAndGlyphs"'
    name = f"fv-{kind} fv-mono" if mono else f"fv-{kind}"
    return f'<text class="{name}" x="{_n(x)}" y="{_n(y)}"{more}>{escape(visible(words))}</text>'


# --- boxes, wires, rows -------------------------------------------------------------------------------------------


def _box(box: Box, lights: _Lights, prefix: str) -> str:
    values = {"data-place": box.place, "data-kind": box.kind, "data-state": box.state, **lights.of(box.id)}
    return f'<g id="{prefix}{box.id}" class="fv-box fv-{box.kind}"{_attributes(values)}>{_box_inside(box)}</g>'


@lru_cache(maxsize=DRAWN_ONCE)
def _box_inside(box: Box) -> str:
    radius = {"vpc": 14, "node": 10, "ecs": 10, "lan": 8, "veth": 5, "vswitch": 6}.get(box.kind, 7)
    shape = f'<rect x="{_n(box.x)}" y="{_n(box.y)}" width="{_n(box.w)}" height="{_n(box.h)}" rx="{radius}"/>'
    return f"<title>{escape(visible(box.name))}</title>{shape}{''.join(_words(box))}{_alert(box)}"


def _alert(box: Box) -> str:
    """Return the sign of a box with a note: a triangle with an exclamation mark, filled where there is an error."""
    if box.note is None:
        return ""
    fill, line, ink = ALERTS[box.note.severity]
    return (
        f'<g class="fv-alert" transform="translate({_n(box.sign[0])} {_n(box.sign[1])})" stroke-linejoin="round">'
        f'<path d="M0 -7L8 6H-8z" fill="var(--fv-{fill})" stroke="var(--fv-{line})" stroke-width="1.4"/>'
        f'<path d="M0 -3v4.5M0 4v.1" fill="none" stroke="var(--fv-{ink})" stroke-width="2" stroke-linecap="round"/>'
        "</g>"
    )


def _words(box: Box) -> Iterator[str]:
    """Return the texts of a box: how they stand depends on its kind."""
    x, right, centre = box.x, box.x + box.w, box.middle
    match box.kind:
        case "node" | "ecs":
            yield _text(x + 12, box.y + 29, box.label, "name")
            yield _text(x + 12, box.y + 44, box.sublabel, "note")
        case "kernel" | "router":
            yield _text(x + 12, box.y + 19, box.label, "head")
            yield _text(right - 12, box.y + 19, box.sublabel, "note", anchor="end")
        case "lan":
            yield _text(x + 10, box.y + 15, box.label, "note")
            yield _text(x + 64, box.y + 15, box.sublabel, "small", mono=True)
        case "vswitch" | "bridge":
            yield _text(x + 10, box.y + box.h / 2 + 4.5, box.label, "head")
            yield _text(right - 10, box.y + box.h / 2 + 4, box.sublabel, "small", anchor="end", mono=True)
        case "eth0":
            yield _text(x + 9, box.y + 16, box.label, "head")
            yield _text(right - 9, box.y + 16, box.sublabel, "small", anchor="end", mono=True)
        case "veth" | "fold":
            yield _text(centre, box.y + box.h / 2 + 4, box.label, "small", anchor="middle", mono=box.kind == "veth")
        case "pod" | "nat" | "internet":
            y = box.y + (20 if box.sublabel else box.h / 2 + 4.5)
            yield _text(centre, y, box.label, "name", anchor="middle")
            yield _text(centre, box.y + 36, box.sublabel, "small", anchor="middle", mono=True)


def _wire(wire: Wire, lights: _Lights, prefix: str) -> str:
    values = {
        "data-kind": wire.kind,
        "data-a": wire.a,
        "data-b": wire.b,
        "data-state": wire.state,
        **lights.of(wire.id),
    }
    cut = _cut(wire.points) if wire.state == "down" else ""
    return f'<g id="{prefix}{wire.id}" class="fv-wire"{_attributes(values)}>{_line(wire.points)}{cut}</g>'


@lru_cache(maxsize=DRAWN_ONCE)
def _line(points: tuple[Point, ...]) -> str:
    return f'<polyline points="{" ".join(f"{_n(x)},{_n(y)}" for x, y in points)}"/>'


def _cut(points: tuple[Point, ...]) -> str:
    (x, y), _ = _halfway(points)
    return f'<path class="fv-cut" d="M{_n(x - 4)} {_n(y - 4)}l8 8m0 -8l-8 8"/>'


def _row(row: RowLabel, lights: _Lights, prefix: str) -> str:
    values = {"data-place": row.place, "data-kind": row.kind, **lights.of(row.id)}
    return f'<g id="{prefix}{row.id}" class="fv-row"{_attributes(values)}>{_row_inside(row)}</g>'


@lru_cache(maxsize=DRAWN_ONCE)
def _row_inside(row: RowLabel) -> str:
    target = _text(row.x + 140, row.y + 12, row.target, "small", mono=True)
    return (
        f"<title>{escape(visible(row.title))}</title>"
        f'<rect x="{_n(row.x)}" y="{_n(row.y)}" width="{_n(row.w)}" height="16" rx="4"/>'
        f"{_text(row.x + 6, row.y + 12, row.text, 'small', mono=True)}{target}"
    )


def _lane(lane: Lane) -> str:
    y = lane.y + 12
    return (
        f'<g class="fv-lane"><path d="M16 {_n(lane.y)}v{_n(lane.h)}"/>{_text(26, y, lane.label, "head")}'
        f"{_text(26, y + 16, lane.sublabel, 'small', mono=True)}"
        f"{_text(26, y + (32 if lane.sublabel else 16), lane.note, 'note')}</g>"
    )


# --- the light ----------------------------------------------------------------------------------------------------


def _mark(kind: str, stop: Stop, lights: _Lights, inner: str) -> str:
    values = {"data-hop": str(stop.number), "data-direction": stop.direction, "data-lit": lights.state(stop)}
    return f'<g class="fv-{kind}"{_attributes(values)}>{inner}</g>'


def _move(move: Move, stop: Stop, lights: _Lights) -> str:
    return _mark("move", stop, lights, _line(move.points) + _arrow(move.points))


@lru_cache(maxsize=DRAWN_ONCE)
def _arrow(points: tuple[Point, ...]) -> str:
    (x, y), angle = _halfway(points)
    return f'<path d="M-5 -4.5L5 0L-5 4.5z" transform="translate({_n(x)} {_n(y)}) rotate({_n(angle)})"/>'


def _halfway(points: tuple[Point, ...]) -> tuple[Point, float]:
    """Return the middle of the longest stretch of a line, and its angle in degrees."""
    stretches = pairwise(points)
    (ax, ay), (bx, by) = max(stretches, key=lambda s: hypot(s[1][0] - s[0][0], s[1][1] - s[0][1]))
    return ((ax + bx) / 2, (ay + by) / 2), degrees(atan2(by - ay, bx - ax))


def _badge(stop: Stop, lights: _Lights) -> str:
    x, y = stop.badge
    digits = 7.0 * len(str(stop.number))
    if stop.direction == "there":
        pill = _pill(x - BADGE_R, y, max(2 * BADGE_R, digits + 8), str(stop.number))
    else:
        pill = _pill(x - digits - 36, y, digits + 42, f"{stop.number} back")
    return _mark("badge", stop, lights, pill + _end(stop))


def _pill(left: float, y: float, width: float, words: str) -> str:
    text = _text(left + width / 2, y + 4, words, "count", anchor="middle")
    top, height = _n(y - BADGE_R), _n(2 * BADGE_R)
    return f'<rect x="{_n(left)}" y="{top}" width="{_n(width)}" height="{height}" rx="{BADGE_R}"/>{text}'


def _end(stop: Stop) -> str:
    """Return how the journey ended here, where it ended early or nobody can say how it goes on."""
    return _cross(stop) if stop.lost else _question(stop) if stop.unknown else ""


def _question(stop: Stop) -> str:
    """Return a question mark in a dashed frame: nobody can say how the packet goes on."""
    x, y = stop.cross
    return (
        f'<g class="fv-untold"><rect x="{_n(x)}" y="{_n(y - 10)}" width="20" height="20" rx="10"/>'
        f"{_text(x + 10, y + 4, '?', 'note', anchor='middle')}</g>"
    )


def _cross(stop: Stop) -> str:
    """Return a cross with a word beside it: here the packet was lost."""
    x, y = stop.cross
    words = shorten(stop.lost, 24)
    left, width = x, len(words) * SMALL * 0.66 + 34
    return (
        f'<g class="fv-lost"><rect x="{_n(left)}" y="{_n(y - 10)}" width="{_n(width)}" height="20" rx="10"/>'
        f'<path d="M{_n(left + 10)} {_n(y - 4)}l8 8m0 -8l-8 8"/>{_text(left + 24, y + 4, words, "count")}</g>'
    )


def _signs(scene: Scene) -> Iterator[str]:
    """Return a plus at everything an event wrote, a minus at what it removed."""
    corners = {box.id: (box.x + box.w - 2, box.y + 2) for box in scene.boxes}
    corners.update({row.id: (row.x + row.w - 8, row.y + 8) for row in scene.rows})
    for ids, lit, stroke in ((scene.written, "wrote", "M-4 0h8M0 -4v8"), (scene.removed, "removed", "M-4 0h8")):
        for id in (one for one in ids if one in corners):
            x, y = corners[id]
            inner = f'<circle r="7"/><path d="{stroke}"/>'
            yield f'<g class="fv-sign" data-lit="{lit}" transform="translate({_n(x)} {_n(y)})">{inner}</g>'


__all__ = ["NORMAL", "data_uri", "description", "svg"]
