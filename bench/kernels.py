"""The memory of a learner's kernel: pages that no other process shares, as /proc tells them. Linux only.

A kernel that has just started holds some 15 MB that it has freed and not given back, in which ipywidgets would vanish.
So every kernel gives back what it can before it is measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from subprocess import DEVNULL

from bench.line import KERNEL, KERNEL_FIGURES, Budget, Line, Scale, number

ROOT = Path(__file__).resolve().parents[1]
BARE = "1"
GIVE_BACK = """
import ctypes, gc
gc.collect()
getattr(ctypes.CDLL(None), "malloc_trim", bool)(0)
"""
STEP_AND_TRACE = """
from flannelviz import lab, large
from flannelviz.topologies import article_timeline, three_nodes
explorer, stepper = lab.journey({network}), lab.events(article_timeline())
display(explorer, stepper)
for _, place in explorer.source.options:
    explorer.source.value = place
for stage in (explorer.stage, stepper):
    for step in range(len(stage.script["steps"])):
        stage.step = step
"""
LEARNER = STEP_AND_TRACE.format(network="three_nodes()")
FIGURES = """
import matplotlib.pyplot
from flannelviz.views.figure import figure, figure_svg
from flannelviz.views.frames import routes, vpc_routes
from flannelviz.views.scene import scene
network, drawn = explorer.network, figure(scene(explorer.network, trace=explorer.journey))
display(figure_svg(drawn), drawn, vpc_routes(network), routes(network, "node-a"))
"""
GRAPH = """
from flannelviz.views.scene import graph
display(graph(network))
"""


def memory(scale: Scale) -> Iterator[Line]:
    """Yield what a kernel has over one in which nothing ran."""
    if not Path("/proc/self/smaps_rollup").exists():
        for budget in (KERNEL, KERNEL_FIGURES):
            yield Line(budget.what, "not measured: only Linux tells which pages are a process's own", budget)
        return
    bare = [private(BARE) for _ in range(scale.kernels)]
    yield Line("a bare kernel", f"{number(median(bare))} MB (median of {len(bare)} kernels)")
    yield over(median(bare), LEARNER, "stepping and tracing, 3 nodes", KERNEL, scale)
    yield over(median(bare), LEARNER + FIGURES, "with pandas and matplotlib too", KERNEL_FIGURES, scale)
    yield over(median(bare), LEARNER + FIGURES + GRAPH, "and with a graph of networkx", None, scale)
    program = STEP_AND_TRACE.format(network=f"large({scale.nodes}, {scale.pods_per_node})")
    yield over(median(bare), program, f"without them, {scale.name}", None, scale)


def over(bare: float, program: str, what: str, budget: Budget | None, scale: Scale) -> Line:
    grown = [private(program) - bare for _ in range(scale.kernels)]
    words = f"{number(median(grown))} MB (median of {len(grown)} kernels)"
    return Line(f"kernel memory, {what}", words, budget, median(grown))


def private(program: str) -> float:
    """Return the private memory of a fresh kernel after `program`. Units: megabytes."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT), stderr=DEVNULL)
    try:
        run(client, f"import sys; sys.path.insert(0, {str(ROOT)!r})")
        run(client, program)
        run(client, GIVE_BACK)
        pages = re.findall(r"Private_\w+: +(\d+) kB", Path(f"/proc/{manager.provisioner.pid}/smaps_rollup").read_text())
        return sum(map(int, pages)) * 1024 / 1e6
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(client: object, program: str) -> None:
    answer = client.execute_interactive(program, timeout=120, output_hook=lambda message: None)
    content = answer["content"]
    if content["status"] != "ok":
        raise RuntimeError(f"{content['ename']} in the kernel: {content['evalue']}")
