"""Longest prefix match: the definition, a linear scan, and the index that must always equal it. Reads tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from typing import Generic, NamedTuple, TypeVar

from flannelviz.tables import MAIN, Address, PolicyRule, Route, RouteEntry, Tables, VpcTables

Row = TypeVar("Row", Route, RouteEntry)
LOOSE = 4  # places for each block that a list may have


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
    """The same answers from one index for each prefix length in use, the longest asked first.

    Who comes second does not depend on the address but on the block alone, so each block holds both rows.
    `decide(number)` returns the row that decides for the address `number`, and the runner-up.
    """

    __slots__ = ("decide",)

    def __init__(self, rows: Iterable[Row]) -> None:
        blocks: dict[int, dict[int, list[Row]]] = {}
        for row in rows:
            shift = 32 - row.dst.prefixlen
            blocks.setdefault(shift, {}).setdefault(int(row.dst.network_address) >> shift, []).append(row)
        levels: list[tuple[int, dict[int, tuple[Row, Row | None]]]] = []
        self.decide: Callable[[int], tuple[Row | None, Row | None]] = _undecided
        for shift in sorted(blocks, reverse=True):  # shortest prefix first: a longer one asks it who comes second
            answers = {block: _answer(found, block << shift, levels) for block, found in blocks[shift].items()}
            levels.insert(0, (shift, answers))
            self.decide = _level(shift, answers, self.decide)


def _undecided(_number: int) -> tuple[None, None]:
    return (None, None)


def _level(
    shift: int,
    answers: dict[int, tuple[Row, Row | None]],
    shorter: Callable[[int], tuple[Row | None, Row | None]],
) -> Callable[[int], tuple[Row | None, Row | None]]:
    """Return what looks into the blocks of one prefix length, and asks the shorter ones where none of them matches.

    Shape: blocks that lie side by side, as podCIDRs do, stand in a list: of thousands it is faster than a dictionary.
    """
    get, first, span = answers.get, min(answers), max(answers) - min(answers) + 1
    if span > LOOSE * len(answers):
        return lambda number: get(number >> shift) or shorter(number)
    listed = [get(block) for block in range(first, first + span)]

    def ask(number: int) -> tuple[Row | None, Row | None]:
        at = (number >> shift) - first
        return (0 <= at < span and listed[at]) or shorter(number)

    return ask


def _answer(
    found: list[Row], number: int, shorter: list[tuple[int, dict[int, tuple[Row, Row | None]]]]
) -> tuple[Row, Row | None]:
    """Return the best row of one block, and the next one: of the same block, else of the next shorter prefix."""
    ordered = sorted(found, key=_metric)
    runner_up = ordered[1] if len(ordered) > 1 else None
    for shift, answers in shorter:
        if runner_up is None and (covering := answers.get(number >> shift)) is not None:
            runner_up = covering[0]
    return ordered[0], runner_up


MAIN_RULE = PolicyRule(32766, MAIN)  # the kernel's own: ip-rule(8)


def fib(tables: Tables) -> Fib[Route]:
    """Return the index of a Linux place's main table."""
    found: Fib[Route] | None = tables.memo.get("fib")
    if found is None:
        found = tables.memo["fib"] = _fib_of(tables, MAIN)
    return found


def route_for(
    tables: Tables, dst: IPv4Address, src: IPv4Address | None = None, in_dev: str | None = None
) -> tuple[Route | None, Route | None]:
    """Return the route that decides for a packet, and the runner-up: of the first table that has one.

    Shape: with no rule of one's own only the main table is asked.
    Source: ip-rule(8); the local table is asked before all of this.
    """
    rule = deciding_rule(tables, dst, src, in_dev) if tables.policy else None
    return (fib(tables) if rule is None else _fib_of(tables, rule.table)).decide(int(dst))


def deciding_rule(tables: Tables, dst: IPv4Address, src: IPv4Address | None, in_dev: str | None) -> PolicyRule | None:
    """Return the first policy rule that matches and whose table has a route; None: the main table is asked."""
    matching = (rule for rule in _by_priority(tables) if _applies(rule, dst, src, in_dev))
    found = next((r for r in matching if _fib_of(tables, r.table).decide(int(dst))[0] is not None), None)
    return None if found is MAIN_RULE else found


def _by_priority(tables: Tables) -> tuple[PolicyRule, ...]:
    """Return all rules but that of the local table, the lowest priority first; of equals the first one.

    Source: net/core/fib_rules.c, fib_nl_newrule.
    """
    found: tuple[PolicyRule, ...] | None = tables.memo.get("by priority")
    if found is None:
        rules = sorted((MAIN_RULE, *tables.policy), key=lambda rule: rule.priority)
        found = tables.memo["by priority"] = tuple(rules)
    return found


def _applies(rule: PolicyRule, dst: IPv4Address, src: IPv4Address | None, in_dev: str | None) -> bool:
    return (
        (rule.dst is None or dst in rule.dst)
        and (rule.src is None or (src is not None and src in rule.src))
        and (rule.in_dev is None or rule.in_dev == in_dev)
    )


def _fib_of(tables: Tables, table: int) -> Fib[Route]:
    found: dict[int, Fib[Route]] = tables.memo.setdefault("fibs", {})
    if table not in found:
        found[table] = Fib(route for route in tables.usable_routes if route.table == table)
    return found[table]


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


def primary_address(tables: Tables, own: Address) -> IPv4Address:
    """Return the source of what a program sends to the own address `own`: the first of its network on its device.

    Source: net/ipv4/fib_frontend.c, fib_add_ifaddr: it is the prefsrc of a secondary address's local route, too.
    """
    on_dev = (a.interface for a in tables.addresses if a.dev == own.dev)
    return next(i.ip for i in on_dev if i.network == own.interface.network)


def broadcast_of(tables: Tables, address: IPv4Address) -> Address | None:
    """Return the row whose network has `address` as its broadcast address, or None.

    Source: the kernel's `local` table holds a broadcast route for each address with a prefix of /30 or less, and
    drops it when the device goes down, which the address itself outlives.
    """
    found: dict[int, Address] | None = tables.memo.get("broadcast")
    if found is None:
        rows = [a for a in tables.addresses if a.interface.network.prefixlen <= 30 and not a.interface.is_loopback]
        rows = [a for a in rows if (link := tables.link(a.dev)) is None or link.up]
        found = tables.memo["broadcast"] = {int(a.interface.network.broadcast_address): a for a in rows}
    return found.get(int(address))
