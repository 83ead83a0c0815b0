"""What of a network gets a place in its picture, and what is folded into a count. READS only.

A count says how many are left out: "+ 4,996 nodes". Whatever a trace touches, or the caller asks for, is never folded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from flannelviz.model import INTERNET, VPC
from flannelviz.network import Event, Network
from flannelviz.packet import Trace
from flannelviz.tables import ETH0, Chain, Link, Route, RouteEntry, Rule, Tables

MOST_NODES, MOST_OTHERS, MOST_PODS, MOST_ROUTES, MOST_ENTRIES = 4, 2, 6, 5, 8
T = TypeVar("T")
Ranks = Mapping[object, int]  # of what goes before others
NO_RANKS: Ranks = {}
NO_TABLES = Tables()


@dataclass(frozen=True, slots=True)
class Shown:
    """The parts that have a place in the picture, in order; the rest is in the counts of the current network."""

    nodes: tuple[str, ...]
    others: tuple[str, ...]
    pods: Mapping[str, tuple[str, ...]]  # of each node: those on its pod LAN
    host_pods: Mapping[str, tuple[str, ...]]  # of each node: those in the node's own network
    routes: Mapping[str, tuple[Route, ...]]
    entries: tuple[RouteEntry, ...]
    route_lines: int  # of the longest kernel, the count of what is folded included
    entry_lines: int


def shown(
    network: Network,
    layout: Network,
    wanted: Collection[str],
    rows: Collection[object],
    early: Collection[str] = (),
) -> Shown:
    """Return what is drawn of `layout`, plus what only `network` has; places that are `early` go before others.

    Shape: at most 4 nodes, 2 other ECS, 6 pods for each node, 5 routes, 8 VPC entries, unless more are wanted.
    """
    homes = {network.pods[name].node for name in wanted if name in network.pods}
    keep = {*wanted, *homes}
    nodes = _first(_both(_nodes(layout), _nodes(network)), MOST_NODES, keep, _ranks(_homes(network, early)))
    others = _first(_both(_others(layout), _others(network)), MOST_OTHERS, keep)
    ranks = _ranks(early)
    pods = {node: _pods(network, layout, node, wanted, ranks) for node in nodes}
    routes = {
        place: _first(_both(tables_of(layout, place).routes, tables_of(network, place).routes), MOST_ROUTES, rows)
        for place in nodes
    }
    entries = _entries(network, layout, nodes, rows)
    lines = max((_lines(kept, tables_of(layout, name).routes) for name, kept in routes.items()), default=1)
    lan, host = ({node: split[i] for node, split in pods.items()} for i in (0, 1))
    return Shown(nodes, others, lan, host, routes, entries, max(lines, 1), _lines(entries, layout.vpc.routes))


def _pods(
    network: Network, layout: Network, node: str, wanted: Collection[str], ranks: Ranks
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the pods of a node that are drawn: those on its pod LAN first, then those in its own network."""
    found = _both(layout.pods_on(node), network.pods_on(node))
    host = {name for name in found if (layout.pods.get(name) or network.pods[name]).host_network}
    in_order = [*(n for n in found if n not in host), *(n for n in found if n in host)]
    kept = _first(in_order, MOST_PODS, wanted, ranks)
    return tuple(n for n in kept if n not in host), tuple(n for n in kept if n in host)


def _lines(kept: Sequence[object], of: Sequence[object]) -> int:
    return len(kept) + (len(of) > len(kept))


def _entries(
    network: Network, layout: Network, nodes: Sequence[str], rows: Collection[object]
) -> tuple[RouteEntry, ...]:
    hops = {net.ecs[name].instance_id for net in (network, layout) for name in nodes if name in net.ecs}
    found = _near(layout, hops, rows)
    if network is not layout:
        found = _both(found, _near(network, hops, rows))
    return _first(sorted(found, key=lambda entry: entry.kind == "Custom"), MOST_ENTRIES, rows)


def _near(network: Network, hops: Collection[str], rows: Collection[object]) -> tuple[RouteEntry, ...]:
    """Return the entries of the system, to the outside or to one of `hops`, and those in `rows`; else the first."""
    routes, numbers = network.vpc.routes, entry_numbers(network)
    wanted = {numbers.get(row) for row in rows if isinstance(row, RouteEntry)}
    near = (e for i, e in enumerate(routes) if i in wanted or _always(e) or e.next_hop_id in hops)
    return tuple(dict.fromkeys(near)) or routes[:MOST_ENTRIES]


def entry_numbers(network: Network) -> dict[RouteEntry, int]:
    """Return where each VPC entry stands in its table: hashing thousands of them for every picture takes too long."""
    found: dict[RouteEntry, int] | None = network.vpc.memo.get("entry numbers")
    if found is None:
        found = network.vpc.memo["entry numbers"] = {entry: i for i, entry in enumerate(network.vpc.routes)}
    return found


def _always(entry: RouteEntry) -> bool:
    return entry.kind == "System" or entry.next_hop_type == "NatGateway"


def tables_of(network: Network, place: str) -> Tables:
    """Return the tables of a place, or empty ones where it has none yet."""
    return network.written.get(place, NO_TABLES)


def host_end(network: Network, pod: str) -> Link | None:
    """Return the node's end of a pod's veth pair: a port of the pod LAN, or a device of its own; None if unknown."""
    tables = tables_of(network, network.pods[pod].node or "")
    port = network.port(pod)
    if port is not None and tables.lan is not None:
        return tables.lan.veth(port)
    return next((link for link in tables.fixed_links if link.kind == "veth" and link.peer == (pod, ETH0)), None)


def _nodes(network: Network) -> list[str]:
    return list(dict.fromkeys([*network.nodes, *(name for name, ecs in network.ecs.items() if ecs.is_node)]))


def _others(network: Network) -> list[str]:
    return [name for name, ecs in network.ecs.items() if not ecs.is_node and name not in network.nodes]


def _both(first: Iterable[T], second: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _homes(network: Network, places: Iterable[str]) -> Iterator[str | None]:
    return (network.pods[name].node if name in network.pods else name for name in places)


def _ranks(early: Iterable[object]) -> Ranks:
    return {item: i for i, item in enumerate(dict.fromkeys(early))}


def _first(items: Sequence[T], most: int, wanted: Collection[object], ranks: Ranks = NO_RANKS) -> tuple[T, ...]:
    """Return the wanted ones and as many others as there is room for, ranked ones before the first, in their order."""
    if len(items) <= most:
        return tuple(items)
    kept = {item for item in items if item in wanted} if wanted else set()
    for item in sorted(items, key=lambda item: ranks.get(item, len(ranks))) if ranks else items:
        if len(kept) >= most:
            break
        kept.add(item)
    return tuple(item for item in items if item in kept)


def counts(network: Network) -> tuple[int, int]:
    """Return how many nodes and how many other ECS instances there are."""
    nodes = len(network.nodes) + sum(ecs.is_node and name not in network.nodes for name, ecs in network.ecs.items())
    return nodes, len(network.nodes.keys() | network.ecs.keys()) - nodes


def touched(trace: Trace | None, event: Event | None) -> tuple[set[str], set[object]]:
    """Return the places and the rows that a trace or an event touches."""
    hops = trace.hops if trace else ()
    places = {hop.place for hop in hops} - {VPC, INTERNET}
    rows: set[object] = {step.row for hop in hops for step in hop.steps if _is_hashable(step.row)}
    if event:
        places.update(place for place in (*event.places, *(p for p, _ in (*event.wrote, *event.removed))))
        rows.update(row for _, row in (*event.wrote, *event.removed) if _is_hashable(row))
    return places, rows - {None}


def _is_hashable(row: object) -> bool:
    return isinstance(row, Route | RouteEntry)


def rules(tables: Tables, table: str) -> list[tuple[Chain, Rule]]:
    """Return every rule of the filter or nat table with its chain."""
    return [(chain, rule) for chain in tables.chains if chain.table == table for rule in chain.rules]
