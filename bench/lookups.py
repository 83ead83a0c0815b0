"""Longest prefix match: the index of flannelviz beside pytricia, a Patricia trie in C.

Both get the same addresses, as `IPv4Address` objects, and give back the row; pytricia is asked in whichever spelling
turns out the fastest. `Fib.decide` also finds the row that would decide without the winner.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from ipaddress import IPv4Address
from random import Random
from statistics import median
from typing import Any

from bench.line import LOOKUP, Budget, Line, Scale, number, seconds
from flannelviz import Network, RouteEntry, large
from flannelviz.dataplane.lookup import Fib, longest_prefix_match
from flannelviz.topologies import three_nodes

OURS, THEIRS_WITH_RUNNER_UP = "Fib.decide", "get_key, parent, get"
NO_PYTRICIA = "no pytricia here: with a C compiler, `pip install -r bench/requirements.txt`"
Ways = dict[str, Callable[[Any], object]]


def lookup(scale: Scale) -> Iterator[Line]:
    """Yield lookups in the VPC's route table of the small and of the large network."""
    small, big = three_nodes(), large(scale.nodes, scale.pods_per_node)
    yield from compared(small, None, scale)
    yield from compared(big, LOOKUP, scale)


def compared(network: Network, budget: Budget | None, scale: Scale) -> Iterator[Line]:
    """Yield `Fib.decide` beside the fastest spelling of pytricia, for the row alone and with its runner-up."""
    rows, addresses = network.vpc.routes, some_addresses(network, scale.pairs)
    check(rows, addresses[:12])
    gc.collect()  # what building the network put off
    times = taking_turns(our_ways(rows) | their_ways(rows), addresses, scale.rounds)
    own, both = times.pop(OURS), times.pop(THEIRS_WITH_RUNNER_UP, None)
    what = f"row of an address, {len(rows):,} routes"
    if both is None:
        yield Line(what, f"{number(own)} ns; {NO_PYTRICIA}", budget)
        return
    best = min(times, key=times.__getitem__)
    against = f"{number(own)} ns; {best}: {number(times[best])} ns"
    yield Line(what, f"{number(own / times[best])} x, {against}", budget, own / times[best])
    yield Line(f"{what}, and its runner-up", f"{number(own / both)} x, {number(own)} ns; pytricia: {number(both)} ns")
    if budget:
        others = ", ".join(f"{way} {number(taken)} ns" for way, taken in times.items() if way != best)
        yield Line(f"other spellings of pytricia, {len(rows):,} routes", others)


def our_ways(rows: Sequence[RouteEntry]) -> Ways:
    decide = Fib(rows).decide
    return {OURS: lambda address: decide(int(address))}


def their_ways(rows: Sequence[RouteEntry]) -> Ways:
    """Return the spellings of pytricia, or none where it is not installed."""
    try:
        from pytricia import PyTricia
    except ImportError:
        return {}
    trie = PyTricia(32)
    for row in rows:
        trie.insert(str(row.dst), row)
    trie.freeze()
    return {
        "get(int(a))": lambda address: trie.get(int(address)),
        "get(a.packed)": lambda address: trie.get(address.packed),
        "get(a)": lambda address: trie.get(address),
        "get(str(a))": lambda address: trie.get(str(address)),
        THEIRS_WITH_RUNNER_UP: partial(with_runner_up, trie),
    }


def with_runner_up(trie: Any, address: IPv4Address) -> tuple[object, object]:
    """Return what `Fib.decide` returns, from a trie."""
    prefix = trie.get_key(int(address))
    above = trie.parent(prefix)
    return trie[prefix], trie[above] if above else None


def taking_turns(ways: Ways, addresses: Sequence[IPv4Address], rounds: int) -> dict[str, float]:
    """Return the median time of one lookup each way, the ways taking turns. Units: nanoseconds."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, find in ways.items():
            taken[way].append(seconds(all_of, find, addresses) / len(addresses) * 1e9)
    return {way: median(times) for way, times in taken.items()}


def all_of(find: Callable[[Any], object], addresses: Sequence[IPv4Address]) -> None:
    for address in addresses:
        find(address)


def some_addresses(network: Network, count: int) -> list[IPv4Address]:
    """Return addresses of random pods, and one in ten from outside the cluster."""
    random = Random(count)
    inside = (network.pod_ip(place) for place in random.choices(list(network.pods), k=count))
    return [IPv4Address(random.getrandbits(32)) if random.random() < 0.1 else found for found in inside]


def check(rows: Sequence[RouteEntry], addresses: Sequence[IPv4Address]) -> None:
    """Compare nothing that gives different answers."""
    ways = our_ways(rows) | their_ways(rows)
    for address in addresses:
        right = longest_prefix_match(rows, address)
        assert ways[OURS](address) == right
        for way in set(ways) - {OURS}:
            assert ways[way](address) == (right if way == THEIRS_WITH_RUNNER_UP else right[0]), (way, address)
