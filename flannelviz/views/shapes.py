"""What a picture is made of: boxes, wires, rows and the path of the light, with coordinates. Plain values of the views.

Units: px of the viewBox, origin at the top left. Every list is in the order of drawing, the hindmost first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Point = tuple[float, float]
Direction = Literal["there", "back"]
State = Literal["", "unknown", "down", "pending"]
Severity = Literal["error", "warning", "notice"]
RowKind = Literal["route", "chain", "unknown", "more"]
BoxKind = Literal[
    "vpc",
    "internet",
    "router",
    "nat",
    "vswitch",
    "node",
    "ecs",
    "eth0",
    "kernel",
    "lan",
    "bridge",
    "veth",
    "pod",
    "fold",
]


@dataclass(frozen=True, slots=True)
class Note:
    """What is wrong with a place: how grave it is at worst, and in words."""

    severity: Severity
    says: str


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with a name: a place, a device of a place, or a count of what is folded away."""

    id: str
    kind: BoxKind
    place: str
    label: str
    sublabel: str
    x: float
    y: float
    w: float
    h: float
    parent: str = ""
    title: str = ""  # the full text, where `label` had to be shortened
    state: State = ""
    note: Note | None = None

    @property
    def right(self) -> float:
        """Return the x of the right edge."""
        return self.x + self.w

    @property
    def middle(self) -> float:
        """Return the x of the centre."""
        return self.x + self.w / 2

    @property
    def bottom(self) -> float:
        """Return the y of the lower edge."""
        return self.y + self.h

    @property
    def name(self) -> str:
        """Return what the box is called, and what is wrong with it; the second line only if the title lacks it."""
        title = self.title or self.label
        called = title if not self.sublabel or self.sublabel in title else f"{title} {self.sublabel}"
        return f"{called}; {self.note.says}" if self.note else called

    @property
    def sign(self) -> Point:
        """Return where the sign of a note stands: by the name of a node, else at the lower right, clear of all text."""
        return (self.x + 3, self.y + 3) if self.kind == "node" else (self.right - 9, self.bottom + 2)


@dataclass(frozen=True, slots=True)
class Wire:
    """A line from box `a` to box `b`."""

    id: str
    a: str
    b: str
    kind: str
    points: tuple[Point, ...]
    state: State = ""


def wire_id(a: str, b: str) -> str:
    """Return the id of the wire between two boxes."""
    return f"{a}...{b}"


@dataclass(frozen=True, slots=True)
class RowLabel:
    """One row of a table, as text inside a box; `target` names the next hop in a column of its own."""

    id: str
    parent: str
    place: str
    text: str
    x: float
    y: float
    w: float
    title: str
    target: str = ""
    kind: RowKind = "route"


@dataclass(frozen=True, slots=True)
class Lane:
    """The caption of one level, beside it."""

    label: str
    sublabel: str
    note: str
    y: float
    h: float


@dataclass(frozen=True, slots=True)
class Move:
    """A stretch of the packet's way along one wire, beside the wire's own line, in the direction of travel."""

    wire: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """What is lit at one hop: the boxes in the order of travel, the wires, the rows that decided.

    `number` counts from 1 over the hops there and then back. `badge` is where the number stands; `lost` is the word
    for how the journey ended here, or empty; `unknown` tells that nobody can say how it goes on. `says` tells the hop
    in one sentence.
    """

    number: int
    place: str
    direction: Direction
    boxes: tuple[str, ...]
    moves: tuple[Move, ...]
    rows: tuple[str, ...]
    badge: Point
    lost: str
    cross: Point
    says: str
    unknown: bool = False

    @property
    def wires(self) -> tuple[str, ...]:
        """Return the ids of the wires that the packet takes."""
        return tuple(move.wire for move in self.moves)


@dataclass(frozen=True, slots=True)
class Scene:
    """A whole picture as data. `written` and `removed` are the ids that an event touched."""

    width: float
    height: float
    lanes: tuple[Lane, ...]
    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]
    rows: tuple[RowLabel, ...]
    path: tuple[Stop, ...] = ()
    written: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    says: str = ""

    @property
    def ids(self) -> frozenset[str]:
        """Return the id of everything drawn."""
        return frozenset(item.id for group in (self.boxes, self.wires, self.rows) for item in group)

    def box(self, id: str) -> Box | None:
        """Return the box of this id, or None."""
        return next((box for box in self.boxes if box.id == id), None)


def ident(place: str, part: str = "") -> str:
    """Return an id for `place`, or for a part of it: different names give different ids, fit for HTML and CSS."""
    return f"{_slug(place)}__{_slug(part)}" if part else _slug(place)


def _slug(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-.") else f"_{ord(c):x}." for c in name)
