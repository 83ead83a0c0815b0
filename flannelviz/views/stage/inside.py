"""What one sees on opening a place: its tables line by line, each with its author and the steps it is there. READS.

A line has a number within its picture, so that a step can name the lines that it used or wrote.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from flannelviz.model import INTERNET, VPC, visible
from flannelviz.network import Network
from flannelviz.packet import AnyRow, Flow
from flannelviz.tables import (
    MAIN,
    UNKNOWN_ORIGIN,
    Address,
    Chain,
    Eni,
    FdbEntry,
    File,
    Link,
    Neighbor,
    PolicyRule,
    Route,
    RouteEntry,
    Rule,
    SecurityRule,
    SnatEntry,
    Sysctl,
    Tables,
    VpcTables,
)
from flannelviz.views.light import row_id
from flannelviz.views.rowtext import fdb_rows, row_text
from flannelviz.views.shapes import Box
from flannelviz.views.stage.tracks import tracks
from flannelviz.views.text import place_name

MOST_LINES = 40  # of a table, besides those that a step uses
SWITCH = ("bridge fdb", "bridge link")
OPENED = ("node", "ecs", "pod", "router", "bridge")
COMMANDS = (
    *("ip route", "ip rule", "ip neigh", *SWITCH),
    *("iptables -t nat -S", "iptables -t filter -S", "ip addr", "ip link", "sysctl -a", "conntrack -L"),
    *("aliyun vpc DescribeRouteEntryList", "aliyun ecs DescribeNetworkInterfaces"),
    *("aliyun ecs DescribeSecurityGroupAttribute", "aliyun vpc DescribeSnatTableEntries"),
)
UNTOLD = {
    "routes": "ip route",
    "neighbors": "ip neigh",
    "fdb": "bridge fdb",
    "chains": "iptables -t nat -S",
    "addresses": "ip addr",
    "fixed_links": "ip link",
    "route_tables": "aliyun vpc DescribeRouteEntryList",
    "enis": "aliyun ecs DescribeNetworkInterfaces",
    "security_groups": "aliyun ecs DescribeSecurityGroupAttribute",
    "snat": "aliyun vpc DescribeSnatTableEntries",
}
Used = Sequence[tuple[str, AnyRow, str]]  # of one step: (place, row, kind of lookup or nothing)


class Line(NamedTuple):
    """One line of a table, its author, the element that stands for it, and from which step on it is there or not."""

    text: str
    author: str
    element: str
    at: tuple[tuple[int, bool], ...]


class Table(NamedTuple):
    """What a command prints at a place: the numbers of its lines."""

    command: str
    lines: tuple[int, ...]


class Room(NamedTuple):
    """What opens when an element is chosen: the numbers of its tables."""

    element: str
    name: str
    place: str
    tables: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Inside:
    """Everything in a picture that can be looked into."""

    lines: tuple[Line, ...]
    tables: tuple[Table, ...]
    rooms: tuple[Room, ...]


class _Cell(NamedTuple):
    """Where a line stands, and who wrote it."""

    place: str
    command: str
    text: str
    author: str
    element: str


State = dict[str, _Cell]


def inside(
    networks: Sequence[Network], boxes: Iterable[Box], used: Sequence[Used]
) -> tuple[Inside, tuple[tuple[int, ...], ...]]:
    """Return what can be opened, and the numbers of the lines that each step uses.

    `networks` has one network for each step, `boxes` is what is drawn at any of them, `used` the rows of each step.
    Rows that no table holds, because traffic taught them, are there from the step on that uses them.
    """
    opened = [box for box in boxes if box.kind in OPENED]
    places = list(dict.fromkeys(box.place for box in opened))
    found = tracks(_states(networks, places, used))
    number = {track.key: i for i, track in enumerate(found)}
    lines, tables = [], dict[tuple[str, str], list[int]]()
    for i, track in enumerate(found):
        cell = next(cell for _, cell in track.at if cell)
        lines.append(Line(cell.text, cell.author, cell.element, tuple((step, bool(is_)) for step, is_ in track.at)))
        tables.setdefault((cell.place, cell.command), []).append(i)
    ordered = sorted(tables, key=lambda key: (places.index(key[0]), _rank(key[1])))
    numbers = {key: i for i, key in enumerate(ordered)}
    rooms = tuple(room for box in opened if (room := _room(box, numbers)).tables)
    made = Inside(tuple(lines), tuple(Table(key[1], tuple(tables[key])) for key in ordered), rooms)
    uses = tuple(tuple(_numbers(rows, number)) for rows in used)
    return made, uses


def _numbers(rows: Used, number: Mapping[str, int]) -> Iterator[int]:
    keys = dict.fromkeys(_line_of(place, row, kind, number) for place, row, kind in rows)
    return (number[key] for key in keys if key is not None)


def _line_of(place: str, row: AnyRow, kind: str, known: Iterable[str]) -> str | None:
    """Return the key of the line that stands for a row; a rule may stand in a chain that the asked one calls."""
    if not isinstance(row, Rule):
        key = next(iter(_of_row(place, row)))
        return key if key in known else None
    table, _, chain = kind.partition(" ")
    command, text = f"iptables -t {table} -S", visible(row_text(row))
    own = _key(place, command, f"-A {chain} {text}")
    called = (key for key in known if key.startswith(f"{place}\n{command}\n-A ") and key.endswith(f" {text}"))
    return own if own in known else next(called, None)


def _rank(command: str) -> int:
    return next((i for i, name in enumerate(COMMANDS) if command.startswith(name)), len(COMMANDS))


def _room(box: Box, numbers: Mapping[tuple[str, str], int]) -> Room:
    own = [(command, i) for (place, command), i in numbers.items() if place == box.place]
    name = place_name(box.place)
    if box.kind == "bridge":
        own = [(command, i) for command, i in own if command.startswith((*SWITCH, "ip neigh", "ip rule"))]
        name = f"{box.label} of {name}"
    return Room(box.id, name, box.place, tuple(i for _, i in own))


# --- lines ----------------------------------------------------------------------------------------------------------


def _states(networks: Sequence[Network], places: Sequence[str], used: Sequence[Used]) -> Iterator[State]:
    """Return, for each step, every line that is there."""
    wanted: dict[str, set[AnyRow]] = {place: set() for place in places}
    for place, row, _ in (found for rows in used for found in rows):
        wanted.get(place, set()).add(row)
    learned: State = {}
    known: dict[str, tuple[object, State]] = {}
    state: State = {}
    for network, rows in zip(networks, used):
        changed = False
        for place in places:
            tables = _tables(network, place)
            if place not in known or known[place][0] is not tables:
                known[place] = tables, _lines(place, tables, wanted[place])
                changed = True
        for place, row, _ in rows:
            if place in known and not isinstance(row, Rule | File):
                cells = {k: cell for k, cell in _of_row(place, row).items() if k not in known[place][1]}
                changed |= not cells.keys() <= learned.keys()
                learned.update(cells)
        if changed:
            state = {**{k: cell for _, cells in known.values() for k, cell in cells.items()}, **learned}
        yield state


def _tables(network: Network, place: str) -> Tables | VpcTables | None:
    if place == VPC:
        return network.vpc
    exists = place in network.pods or place in network.written
    return network.tables(place) if exists and place != INTERNET else None


def _lines(place: str, tables: Tables | VpcTables | None, wanted: Collection[AnyRow]) -> State:
    if tables is None:
        return {}
    state: State = {}
    for name in sorted(tables.unknown & UNTOLD.keys()):
        _put(state, _Cell(place, UNTOLD[name], "? unknown: the input does not hold it", "", ""))
    for rows in _sequences(tables):
        kept = list(islice(rows, MOST_LINES))
        if len(rows) > len(kept):
            kept += [row for row in wanted if type(row) is type(kept[0]) and row not in kept]
        for row in kept:
            state.update(_of_row(place, row))
        if len(rows) > len(kept):
            _put(state, _Cell(place, _command(kept[0]), f"+ {len(rows) - len(kept):,} more", "", ""))
    return state


def _sequences(tables: Tables | VpcTables) -> Iterator[Collection[AnyRow]]:
    """Return the rows of a place, sequence by sequence."""
    if isinstance(tables, Tables):
        yield from (tables.usable_routes, tables.policy, tables.neighbors, fdb_rows(tables), tables.chains)
        yield from (tables.addresses, tables.links, tables.sysctls)
        return
    yield from (tables.routes, tables.enis.values())
    yield from (tuple(rule for group in tables.security_groups for rule in group.inbound), tables.snat)


def _put(state: State, cell: _Cell) -> None:
    state[_key(cell.place, cell.command, cell.text)] = cell


def _key(place: str, command: str, text: str) -> str:
    return f"{place}\n{command}\n{text}"


def _of_row(place: str, row: AnyRow) -> State:
    """Return the lines that stand for a row; a chain has one for itself and one for each rule."""
    state: State = {}
    for command, text, author in _texts(row):
        _put(state, _Cell(place, command, text, author, row_id(place, row)))
    return state


def _texts(row: AnyRow) -> Iterator[tuple[str, str, str]]:
    if isinstance(row, Chain):
        yield _command(row), visible(_policy(row)), _author(row)
        for rule in row.rules:
            yield _command(row), visible(f"-A {row.name} {row_text(rule)}"), _author(rule)
        return
    yield _command(row), row_text(row), _author(row)


def _policy(chain: Chain) -> str:
    return f"-P {chain.name} {chain.policy}" if chain.policy else f"-N {chain.name}"


def _author(row: AnyRow) -> str:
    origin = getattr(row, "origin", UNKNOWN_ORIGIN)
    return "" if origin == UNKNOWN_ORIGIN else visible(str(origin))


def _command(row: AnyRow) -> str:
    match row:
        case Route(table=table):
            return "ip route" if table == MAIN else f"ip route show table {table}"
        case Chain(table=table):
            return f"iptables -t {table} -S"
        case Link(master=master) if master is not None:
            return "bridge link"
    return _COMMAND.get(type(row), "")


_COMMAND: dict[type, str] = {
    PolicyRule: "ip rule",
    Neighbor: "ip neigh",
    FdbEntry: "bridge fdb",
    Address: "ip addr",
    Link: "ip link",
    Sysctl: "sysctl -a",
    Flow: "conntrack -L",
    RouteEntry: "aliyun vpc DescribeRouteEntryList",
    Eni: "aliyun ecs DescribeNetworkInterfaces",
    SecurityRule: "aliyun ecs DescribeSecurityGroupAttribute",
    SnatEntry: "aliyun vpc DescribeSnatTableEntries",
    Rule: "iptables",
}
