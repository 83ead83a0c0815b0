"""How long a learner waits for a picture, counted in the kernel; `browser` counts the rest of the way."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from random import Random

import flannelviz
from bench.line import CHANGE, Line, Scale, both, medians, number, p95, seconds
from flannelviz import Network, large
from flannelviz.topologies import three_nodes


def picture(scale: Scale) -> Iterator[Line]:
    """Yield first pictures, and new ones after a change of source or destination, of both networks."""
    yield from of_one(three_nodes(), "3 nodes", scale)
    yield from of_one(large(scale.nodes, scale.pods_per_node), scale.name, scale)


def of_one(network: Network, where: str, scale: Scale) -> Iterator[Line]:
    gc.collect()  # what building the network put off
    yield from drawings(network, where, scale)
    yield from changes(network, where, scale)


def drawings(network: Network, where: str, scale: Scale) -> Iterator[Line]:
    """Yield the time from a network to SVG text, without and with the way of a packet in it."""
    from flannelviz.views.scene import scene
    from flannelviz.views.svg import svg

    first = seconds(lambda: svg(scene(network))) * 1000
    again = [seconds(lambda: svg(scene(network))) * 1000 for _ in range(scale.moves)]
    yield Line(f"first picture, {where}", f"{number(first)} ms; then {medians(again, 'ms', 'pictures')}")
    pods = list(network.pods)
    journey = flannelviz.trace(network, pods[0], pods[-1])
    lit = [seconds(lambda: svg(scene(network, trace=journey))) * 1000 for _ in range(scale.moves)]
    yield Line(f"picture of a trace, {where}", medians(lit, "ms", "pictures"))


def changes(network: Network, where: str, scale: Scale) -> Iterator[Line]:
    """Yield the time from a new value in a control to a new script for the stage that shows it."""
    from flannelviz.views.widgets import TraceExplorer

    made: list[TraceExplorer] = []
    first = seconds(lambda: made.append(TraceExplorer(network, trace=flannelviz.trace))) * 1000
    yield Line(f"TraceExplorer with its first picture, {where}", f"{number(first)} ms (one)")
    taken = moved(made[0], scale.moves)
    yield Line(f"new source or destination, in the kernel, {where}", both(taken, "ms", "moves"), CHANGE, p95(taken))


def moved(explorer: object, moves: int) -> list[float]:
    """Choose a source from the list, type a destination from anywhere, and so on. Units: milliseconds."""
    random, taken = Random(moves), []
    sources = [value for _, value in explorer.source.options]
    places = list(explorer.network.pods)
    for move in range(moves):
        control, values = (explorer.address, places) if move % 2 else (explorer.source, sources)
        shown = (explorer.source.value, explorer.destination.value, explorer.address.value)
        value = random.choice([value for value in values if value not in shown])
        before = explorer.stage.script
        taken.append(seconds(setattr, control, "value", value) * 1000)
        assert explorer.stage.script != before, f"no new picture for {value}"
    return taken
