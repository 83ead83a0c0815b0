"""How long one trace takes: the packet there, the answer back, with every row and runner-up on the way."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from itertools import islice
from random import Random
from statistics import median

import flannelviz
from bench.line import TRACE, TRACE_LARGE, Line, Scale, medians, number, seconds
from flannelviz import Network, large
from flannelviz.topologies import three_nodes

Pair = tuple[str, str]


def trace(scale: Scale) -> Iterator[Line]:
    """Yield traces between nodes; the small and the large network take turns, so that both meet the same noise."""
    small, big = three_nodes(), large(scale.nodes, scale.pods_per_node)
    gc.collect()  # what building the network put off
    yield from first_of_all(big, scale)
    yield from first_visits(big, scale)
    yield from random_pairs(small, big, scale)
    yield from one_pair(small, big, scale)
    yield from read_aloud(small, scale)


def first_of_all(big: Network, scale: Scale) -> Iterator[Line]:
    """Yield what the first trace costs: the indexes of the network are made on demand."""
    taken = timed(big, next(fresh_pairs(big, 1)))
    yield Line(f"the very first trace, {scale.name}", f"{number(taken)} ms (one)")


def first_visits(big: Network, scale: Scale) -> Iterator[Line]:
    """Yield traces between nodes and pods that nobody asked for before."""
    pairs = list(islice(fresh_pairs(big, 2), scale.pairs // 2))
    times = [(timed(small := three_nodes(), crossing(small, 1)[0]), timed(big, pair)) for pair in pairs]
    near, far = zip(*times)
    yield Line("a trace in a network just built, 3 nodes", medians(near, "ms", "networks"))
    ratio = median(far) / median(near)
    words = f"{number(ratio)} x, {medians(far, 'ms', 'pairs')}"
    yield Line(f"first visit of nodes and pods, {scale.name}", words)


def random_pairs(small: Network, big: Network, scale: Scale) -> Iterator[Line]:
    """Yield traces between random pairs that were asked for once before."""
    pairs = list(zip(crossing(small, scale.pairs), crossing(big, scale.pairs)))
    near, far = taking_turns(small, big, pairs)
    yield Line("one trace there and back, 3 nodes, random pairs", medians(near, "ms", "pairs"), TRACE, median(near))
    yield compared(f"the same, {scale.name}, random pairs", near, far)


def one_pair(small: Network, big: Network, scale: Scale) -> Iterator[Line]:
    """Yield traces of one pair in each network, again and again."""
    pairs = [(crossing(small, 1)[0], crossing(big, 1)[0])] * scale.pairs
    near, far = taking_turns(small, big, pairs)
    yield Line("one trace there and back, 3 nodes, one pair", medians(near, "ms", "traces"), TRACE, median(near))
    yield compared(f"the same, {scale.name}, one pair", near, far)


def compared(what: str, near: Sequence[float], far: Sequence[float]) -> Line:
    ratio = median(far) / median(near)
    return Line(what, f"{number(ratio)} x, {medians(far, 'ms', 'traces')}", TRACE_LARGE, ratio)


def read_aloud(small: Network, scale: Scale) -> Iterator[Line]:
    """Yield traces of which every sentence and every command is read.

    Shape: no limit of its own; that of a trace with evidence is for the trace that holds it all, read or not.
    """
    times = [seconds(read_all, small, pair) * 1000 for pair in crossing(small, scale.pairs)]
    what = f"the same, 3 nodes, all of it read as text ({TRACE} is for the trace that holds it)"
    yield Line(what, medians(times, "ms", "pairs"))


def read_all(network: Network, pair: Pair) -> list[str]:
    """Return what a reader of the whole trace reads."""
    journey = flannelviz.trace(network, *pair)
    return [f"{step.says} {step.command}" for hop in (*journey.request, *journey.reply) for step in hop.steps]


def taking_turns(small: Network, big: Network, pairs: Sequence[tuple[Pair, Pair]]) -> tuple[list[float], list[float]]:
    """Return the times of each network's traces, after one round that does not count. Units: milliseconds."""
    for near, far in pairs:
        timed(small, near), timed(big, far)
    times = [(timed(small, near), timed(big, far)) for near, far in pairs]
    return [near for near, _ in times], [far for _, far in times]


def timed(network: Network, pair: Pair) -> float:
    """Return how long one trace takes. Units: milliseconds."""
    return seconds(flannelviz.trace, network, *pair) * 1000


def crossing(network: Network, count: int) -> list[Pair]:
    """Return that many random pairs of pods on different nodes, the same ones each time."""
    random, pods = Random(count), list(network.pods)
    drawn = iter(lambda: tuple(random.sample(pods, 2)), None)
    return list(islice((pair for pair in drawn if network.pods[pair[0]].node != network.pods[pair[1]].node), count))


def fresh_pairs(network: Network, seed: int) -> Iterator[Pair]:
    """Yield pairs of pods of which no two share a node; those of an odd seed never meet those of an even one."""
    first = {pod.node: place for place, pod in network.pods.items()}
    places = list(first.values())[seed % 2 :: 2]
    Random(seed).shuffle(places)
    return zip(places[::2], places[1::2])
