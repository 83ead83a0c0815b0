"""A lab in the kernel: how long it takes to build one, and to send a real packet and see all of its way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median

from bench.line import LAB_LARGE, LAB_PACKET, LAB_SMALL, Budget, Line, Scale, both, medians, seconds
from flannelviz.controlplane.timeline import build
from flannelviz.kernel import Lab, why_not
from flannelviz.network import Network
from flannelviz.topologies import plan

SIZES = ((3, 2, LAB_SMALL), (10, 10, LAB_LARGE))


def lab(scale: Scale) -> Iterator[Line]:
    """Yield the time to build labs of two sizes, and the time of a packet, the first of its flow and a later one."""
    reason = why_not()
    if reason is not None:
        yield from (Line(budget.what, reason, budget) for budget in (LAB_SMALL, LAB_LARGE, LAB_PACKET))
        return
    for nodes, pods, budget in SIZES:
        yield _building(build(plan(nodes, pods)).network, budget, scale.builds)
    yield from _packets(build(plan(3, 2)).network, scale.pairs)


def _building(network: Network, budget: Budget, times: int) -> Line:
    values = []
    for _ in range(times):
        with ExitStack() as stack:
            values.append(seconds(lambda: stack.enter_context(Lab(network))))
    return Line(budget.what, medians(values, "s", "labs"), budget, median(values))


def _packets(network: Network, times: int) -> Iterator[Line]:
    with Lab(network) as running:
        cold = [1e3 * seconds(lambda: running.trace("a1", "b1")) for _ in range(times)]
        warm = [1e3 * seconds(lambda: running.trace("a1", "b1", warm=True)) for _ in range(times)]
    yield Line(LAB_PACKET.what, both(cold, "ms", "packets"), LAB_PACKET, median(cold))
    yield Line("the same, neighbours and flows known", both(warm, "ms", "packets"), LAB_PACKET, median(warm))
