"""Longest prefix match: the definition, a linear scan, and the index that must always equal it. Reads tables."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address
from typing import Generic, NamedTuple, TypeVar

from flannelviz.tables import Address, Route, RouteEntry, Tables, VpcTables

Row = TypeVar("Row", Route, RouteEntry)


def _metric(row: Route | RouteEntry) -> int:
    return row.metric if isinstance(row, Route) else 0


def longest_prefix_match(rows: Iterable[Row], dst: IPv4Address) -> tuple[Row | None, Row | None]:
    """Return the row that decides for `dst`, and the one that would decide without it.

    Shape: m rows in, two or fewer out; between equal prefixes the lower metric, then the first row, wins.
    Source: RFC 1812 §5.2.4.3.
    """
    matches = [row for row in rows if dst in row.dst]
    matches.sort(key=lambda row: (-row.dst.prefixlen, _metric(row)))
    return (matches[0] if matches else None, matches[1] if len(matches) > 1 else None)


class Fib(Generic[Row]):
    """The same answers from one dictionary for each prefix length in use, longest first."""

    __slots__ = ("_levels",)

    def __init__(self, rows: Iterable[Row]) -> None:
        by_shift: dict[int, dict[int, list[Row]]] = {}
        for row in rows:
            shift = 32 - row.dst.prefixlen
            by_shift.setdefault(shift, {}).setdefault(int(row.dst.network_address) >> shift, []).append(row)
        self._levels: list[tuple[int, dict[int, tuple[Row, ...]]]] = [
            (shift, {block: tuple(sorted(found, key=_metric)) for block, found in blocks.items()})
            for shift, blocks in sorted(by_shift.items())
        ]

    def decide(self, number: int) -> tuple[Row | None, Row | None]:
        """Return the row that decides for the address `number`, and the runner-up."""
        winner: Row | None = None
        for shift, blocks in self._levels:
            found = blocks.get(number >> shift)
            if found is None:
                continue
            if winner is not None:
                return winner, found[0]
            if len(found) > 1:
                return found[0], found[1]
            winner = found[0]
        return winner, None


def usable_routes(tables: Tables) -> tuple[Route, ...]:
    """Return the routes whose device exists and is up; the kernel drops those of a device that goes down."""
    return tuple(route for route in tables.routes if (link := tables.link(route.dev)) is not None and link.up)


def fib(tables: Tables) -> Fib[Route]:
    """Return the index of a Linux place's main table."""
    found: Fib[Route] | None = tables.memo.get("fib")
    if found is None:
        found = tables.memo["fib"] = Fib(usable_routes(tables))
    return found


def vpc_fib(vpc: VpcTables) -> Fib[RouteEntry]:
    """Return the index of the VPC's system route table."""
    found: Fib[RouteEntry] | None = vpc.memo.get("fib")
    if found is None:
        found = vpc.memo["fib"] = Fib(entry for entry in vpc.routes if entry.status == "Available")
    return found


class _Own(NamedTuple):
    rows: dict[int, Address]
    loopback: Address | None


def local_address(tables: Tables, address: IPv4Address) -> Address | None:
    """Return the row that makes `address` one of the place's own, or None.

    Source: the kernel's `local` table; all of 127.0.0.0/8 is local.
    """
    own: _Own | None = tables.memo.get("local")
    if own is None:
        rows = {int(row.interface.ip): row for row in tables.addresses}
        own = tables.memo["local"] = _Own(rows, next((a for a in rows.values() if a.interface.ip.is_loopback), None))
    number = int(address)
    return own.loopback if number >> 24 == 127 else own.rows.get(number)


def broadcast_of(tables: Tables, address: IPv4Address) -> Address | None:
    """Return the row whose network has `address` as its broadcast address, or None.

    Source: the kernel's `local` table holds a broadcast route for each address with a prefix of /30 or less.
    """
    found: dict[int, Address] | None = tables.memo.get("broadcast")
    if found is None:
        rows = [a for a in tables.addresses if a.interface.network.prefixlen <= 30 and not a.interface.is_loopback]
        found = tables.memo["broadcast"] = {int(a.interface.network.broadcast_address): a for a in rows}
    return found.get(int(address))
