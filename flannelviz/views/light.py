"""What is lit: a trace as a path over boxes and wires, an event as the ids that it touched. READS only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from flannelviz.model import INTERNET, VPC
from flannelviz.network import Event, Network
from flannelviz.packet import AnyRow, Disposition, Hop, Trace
from flannelviz.tables import (
    CNI0,
    ETH0,
    Address,
    Chain,
    Eni,
    FdbEntry,
    Link,
    Neighbor,
    PolicyRule,
    Route,
    RouteEntry,
    Rule,
    SnatEntry,
)
from flannelviz.views.machine import route_key
from flannelviz.views.podlan import POLICY
from flannelviz.views.shapes import Box, Direction, Move, Point, RowLabel, Stop, Wire, ident
from flannelviz.views.text import hop_says

ASIDE, FARTHER = 3.0, 10.0  # px: the packet runs beside its wire, there on one side and back on the other
BADGE_STEP, MOST_BADGES = 24.0, 4
Lines = dict[tuple[Direction, str, str], float]  # how far beside a wire each way along it runs
SWITCHING = ("fdb", "link", "neighbor", "filter", "nat", "mtu")
WORD = {
    Disposition.LOOP: "loop",
    Disposition.UNDELIVERABLE: "no receiver",
    Disposition.DENIED: "denied",
    Disposition.SOURCE_REJECTED: "source rejected",
    Disposition.MTU_EXCEEDED: "too large",
    Disposition.NEIGHBOR_UNREACHABLE: "unreachable",
    Disposition.FORWARDING_DISABLED: "not forwarding",
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a picture holds, by id; wires by the two boxes that they join."""

    boxes: Mapping[str, Box]
    between: Mapping[tuple[str, str], Wire]
    rows: frozenset[str]

    @classmethod
    def of(cls, boxes: Iterable[Box], wires: Iterable[Wire], rows: Iterable[RowLabel]) -> Drawn:
        """Return the index of these shapes."""
        joined = {(wire.a, wire.b): wire for wire in wires}
        return cls({box.id: box for box in boxes}, joined, frozenset(row.id for row in rows))


def path(network: Network, trace: Trace, drawn: Drawn) -> tuple[Stop, ...]:
    """Return one stop for each hop, there and back."""
    used: Lines = {}
    ways: tuple[tuple[Direction, tuple[Hop, ...]], ...] = (("there", trace.request), ("back", trace.reply))
    says = iter(hop_says(trace, number) for number in range(1, len(trace.hops) + 1))
    stops: list[Stop] = []
    for direction, hops in ways:
        trails = _trails(network, hops, drawn.boxes)
        onward = [*(trail[:1] for trail in trails[1:]), []]
        for hop, trail, first in zip(hops, trails, onward):
            moves = tuple(_moves([*trail, *first], drawn.between, direction, used))
            rows = tuple(dict.fromkeys(id for id in _rows_of(hop) if id in drawn.rows))
            taken = sum(stop.direction == direction and stop.place == hop.place for stop in stops)
            badge, cross = _marks(drawn.boxes.get(_main(trail)), direction, taken)
            number = len(stops) + 1
            unknown = hop.disposition is Disposition.UNKNOWN
            end = (lost_word(hop), cross, next(says), unknown)
            stops.append(Stop(number, hop.place, direction, tuple(trail), moves, rows, badge, *end))
    return tuple(stops)


def _marks(box: Box | None, direction: Direction, taken: int) -> tuple[Point, Point]:
    """Return where the number stands, and the cross; `taken` numbers of this direction stand there already."""
    if box is None:
        return (0.0, 0.0), (0.0, 0.0)
    step = min(taken, MOST_BADGES - 1) * BADGE_STEP
    x = box.x + step if direction == "there" else box.x + box.w - 2 * step
    return (x, box.y), (box.x + 10, box.bottom + 5)


def lost_word(hop: Hop) -> str:
    """Return how the journey was lost at this hop, or nothing: an unknown end is no loss."""
    if hop.disposition in (Disposition.ACCEPTED, Disposition.FORWARDED, Disposition.UNKNOWN):
        return ""
    return WORD.get(hop.disposition, str(hop.disposition.value))


def _main(trail: Sequence[str]) -> str:
    """Return the box of a stop that carries its number: where the decision was made."""
    deciding = [id for id in trail if id == ident(VPC) or id.endswith("__kernel")]
    switching = [id for id in trail if id.endswith(f"__{CNI0}")]
    first: str = next(iter((*deciding, *switching, *trail)), "")
    return first


# --- the way through the boxes of each place ------------------------------------------------------------------------


def _trails(network: Network, hops: Sequence[Hop], boxes: Mapping[str, Box]) -> list[list[str]]:
    """Return, for each hop, the boxes that the packet passes, in order."""
    found = []
    for i, hop in enumerate(hops):
        before = hops[i - 1].place if i else None
        ids = _trail(network, hop, before)
        found.append(_drawn(ids, boxes))
    return found


def _drawn(ids: Iterable[str], boxes: Mapping[str, Box]) -> list[str]:
    trail: list[str] = []
    for id in ids:
        if id in boxes and (not trail or trail[-1] != id):
            trail.append(id)
    return trail


def _trail(network: Network, hop: Hop, before: str | None) -> list[str]:
    if hop.place == INTERNET:
        return [ident(INTERNET)]
    if hop.place == VPC:
        return _through_vpc(network, hop, before)
    if hop.place in network.pods:
        return [ident(hop.place)]
    return _through_machine(network, hop, before)


def _through_vpc(network: Network, hop: Hop, before: str | None) -> list[str]:
    nat = [ident(VPC, "nat")] if any(step.kind == "snat" for step in hop.steps) else []
    came = nat if before == INTERNET else _bar(network, before)
    goes = nat if hop.next_place == INTERNET or not hop.next_place else _bar(network, hop.next_place)
    return [*came, ident(VPC), *goes]


def _bar(network: Network, place: str | None) -> list[str]:
    ecs = network.ecs.get(place or "")
    return [ident(VPC, f"vswitch {ecs.vswitch}")] if ecs else [ident(VPC, "vswitch ")]


def _through_machine(network: Network, hop: Hop, before: str | None) -> list[str]:
    came = [*_port(network, hop.place, before, hop.in_dev), *_unpacked_by(hop)]
    goes = [*_wrapped_by(hop), *_port(network, hop.place, hop.next_place, hop.out_dev)[::-1]]
    if not goes and hop.out_dev is not None and hop.next_place is None:
        goes = [ident(hop.place, hop.out_dev)]
    inside = [ident(hop.place, "kernel")] if _routed(hop) or not (came or goes) else []
    trail = [*came, *inside, *goes]
    return trail if hop.place in network.nodes or (inside and len(trail) > 1) else [ident(hop.place), *trail]


def _routed(hop: Hop) -> bool:
    """Return whether the packet rose from the bridge to the IP stack: some lookup was no switching."""
    return hop.in_dev is None or any(step.kind.split(" ")[0] not in SWITCHING for step in hop.steps)


def _unpacked_by(hop: Hop) -> list[str]:
    """Return the tunnel out of which the packet came here."""
    rows = (step.row for step in hop.steps if step.kind == "vxlan")
    return [ident(hop.place, row.name) for row in rows if isinstance(row, Link)]


def _wrapped_by(hop: Hop) -> list[str]:
    """Return the tunnel into which the packet went here: the one whose FDB named a node."""
    rows = (step.row for step in hop.steps if step.kind == "fdb")
    return [ident(hop.place, row.dev) for row in rows if isinstance(row, FdbEntry) and row.dst is not None]


def _port(network: Network, place: str, other: str | None, dev: str | None) -> list[str]:
    """Return the boxes between the wire to `other` and the kernel of `place`; `dev` is the device at that wire."""
    if other is None:
        return []
    if other in network.pods:
        return [ident(other, "veth"), ident(place, CNI0), ident(place, POLICY)]
    return [ident(place, dev or ETH0)]


def _moves(
    trail: Sequence[str],
    between: Mapping[tuple[str, str], Wire],
    direction: Direction,
    used: Lines,
) -> Iterator[Move]:
    """Return the stretches along a trail; one against an earlier one of the same direction runs farther outside."""
    for a, b in pairwise(trail):
        wire = between.get((a, b)) or between.get((b, a))
        if wire is not None:
            points = wire.points if wire.a == a else wire.points[::-1]
            aside = used.setdefault((direction, a, b), FARTHER if (direction, b, a) in used else ASIDE)
            yield Move(wire.id, _beside(points, -aside if direction == "there" else aside))


def _beside(points: Sequence[Point], aside: float) -> tuple[Point, ...]:
    """Return a line beside this one: moved sideways, or both ways where it has corners."""
    bent, upright = len(points) > 2, points[0][0] == points[1][0]
    dx, dy = aside * (bent or upright), aside * (bent or not upright)
    return tuple((x + dx, y + dy) for x, y in points)


# --- rows ---------------------------------------------------------------------------------------------------------


def _rows_of(hop: Hop) -> Iterator[str]:
    for step in hop.steps:
        if isinstance(step.row, Route | RouteEntry):
            yield row_id(hop.place, step.row)
        if step.kind.startswith(("nat", "filter")):
            yield ident(hop.place, step.kind.split(" ")[0])


def row_id(place: str, row: AnyRow) -> str:
    """Return the id of the row, or of the box that stands for it."""
    match row:
        case Route():
            return ident(place, route_key(row))
        case RouteEntry(dst=dst, next_hop_id=hop):
            return ident(VPC, f"entry {dst} {hop}")
        case Chain(table=table):
            return ident(place, table)
        case Rule(target=target):
            return ident(place, "nat" if target in ("MASQUERADE", "DNAT", "SNAT") else "filter")
        case PolicyRule():
            return ident(place, POLICY)
        case Link(kind="veth", peer=(pod, _)) if "/" in pod:
            return ident(pod, "veth")
        case Link(name=dev) | Address(dev=dev) | FdbEntry(dev=dev) | Neighbor(dev=dev):
            return ident(place, dev)
        case SnatEntry():
            return ident(VPC, "nat")
        case Eni(place=owner):
            return ident(owner, "eth0")
    return ident(place, "kernel")


def event_ids(pairs: Iterable[tuple[str, AnyRow]], places: Iterable[str], known: frozenset[str]) -> tuple[str, ...]:
    """Return the drawn ids of written or removed rows; those of the places, where no row is drawn."""
    rows = [_nearest(place, row_id(place, row), known) for place, row in pairs]
    found = [id for id in rows if id] or [ident(place) for place in places]
    return tuple(id for id in dict.fromkeys(found) if id in known)


def _nearest(place: str, id: str, known: frozenset[str]) -> str:
    """Return the id if it is drawn, else that of the kernel or the place around it."""
    return next((one for one in (id, ident(place, "kernel"), ident(place)) if one in known), "")


def light_event(event: Event, known: frozenset[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the ids that the event wrote, and those that it removed."""
    removed = event_ids(event.removed, (), known)
    wrote = event_ids(event.wrote, () if event.removed else event.places, known)
    return wrote, tuple(id for id in removed if id not in wrote)
