"""What it takes to build a network: time and memory, each time in a process of its own."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.line import BUILD_MEMORY, BUILD_TIME, Line, Scale, medians, number, seconds

ROOT = Path(__file__).resolve().parents[1]
STATUS = Path("/proc/self/status")
SMALLER = (3, 50, 500)  # nodes


class Cost(NamedTuple):
    """What one build took: seconds on the wall and of processor, and of the collection that it put off; megabytes."""

    wall: float
    processor: float
    collection: float
    resident: float | None  # None where the system does not say


def build(scale: Scale) -> Iterator[Line]:
    """Yield how the cost grows with the number of nodes, and the large network at the end."""
    for nodes in (nodes for nodes in SMALLER if nodes < scale.nodes):
        costs = built_apart(nodes, scale)
        what = f"building {nodes} nodes, {nodes * scale.pods_per_node:,} pods"
        yield Line(what, f"{milliseconds(costs)}; {megabytes(costs)}")
    costs = built_apart(scale.nodes, scale)
    wall, processor = (column(costs, name) for name in ("wall", "processor"))
    words = f"{medians(wall, 's', 'builds')}, {number(median(processor))} s of processor"
    yield Line(f"building {scale.name}", words, BUILD_TIME, median(wall))
    yield Line("garbage collection that this build puts off", medians(column(costs, "collection"), "s", "builds"))
    grown = median(column(costs, "resident")) if STATUS.exists() else None
    yield Line(f"memory of {scale.name}", megabytes(costs), BUILD_MEMORY, grown)


def column(costs: list[Cost], name: str) -> list[float]:
    return [getattr(cost, name) for cost in costs]


def milliseconds(costs: list[Cost]) -> str:
    return medians([wall * 1000 for wall in column(costs, "wall")], "ms", "builds")


def megabytes(costs: list[Cost]) -> str:
    if not STATUS.exists():
        return "memory not measured: only Linux tells it here"
    return f"{number(median(column(costs, 'resident')))} MB of RSS"


def built_apart(nodes: int, scale: Scale) -> list[Cost]:
    """Return the costs of several builds, each in a fresh process."""
    command = [sys.executable, "-m", "bench.building", str(nodes), str(scale.pods_per_node)]
    outputs = (subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout for _ in range(scale.builds))
    return [Cost(*json.loads(output)) for output in outputs]


def cost(nodes: int, pods_per_node: int) -> Cost:
    """Return what one build costs here and now, everything it needs being imported."""
    from flannelviz.topologies import large, three_nodes

    three_nodes()
    memory, wall, processor = resident(), time.perf_counter(), time.process_time()
    network = large(nodes, pods_per_node)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    grown = None if memory is None else resident() - memory
    assert len(network.pods) == nodes * pods_per_node
    return Cost(wall, processor, seconds(gc.collect), grown)


def resident() -> float | None:
    """Return how much memory of this process is in RAM, or None where only another system than Linux knows."""
    if not STATUS.exists():
        return None
    return int(STATUS.read_text("utf-8").split("VmRSS:")[1].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    print(json.dumps(cost(int(sys.argv[1]), int(sys.argv[2]))))
