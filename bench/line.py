"""One line of the table, the budgets it may be held against, and the arithmetic behind its figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import NamedTuple


class Budget(NamedTuple):
    """What something may cost at most, in `unit`."""

    what: str
    limit: float
    unit: str

    def __str__(self) -> str:
        return f"{self.limit:g} {self.unit}"


IMPORT = Budget("import flannelviz, over bare python", 60, "ms")
TRACE = Budget("one trace there and back, with evidence", 0.5, "ms")
TRACE_LARGE = Budget("the same in the large network", 1.2, "x")
BUILD_TIME = Budget("building the large network", 2, "s")
BUILD_MEMORY = Budget("memory of building the large network", 400, "MB")
LOOKUP = Budget("longest prefix match in the large route table", 1, "x pytricia")
CHANGE = Budget("change of source or destination to new picture", 100, "ms p95")
KEY = Budget("key press to picture on the stage", 16.7, "ms p95")
FIRST = Budget("first picture on the stage", 1, "s")
NOTEBOOK = Budget("a notebook, top to bottom", 10, "s")
KERNEL = Budget("memory of a learner's kernel over a bare one", 30, "MB")
KERNEL_FIGURES = Budget("the same with pandas and matplotlib figures", 100, "MB")
LAB_SMALL = Budget("building a lab of 3 nodes x 2 pods", 1, "s")
LAB_LARGE = Budget("building a lab of 10 nodes x 10 pods", 4, "s")
LAB_PACKET = Budget("a real packet across nodes, sent and observed", 2, "ms")
BUDGETS = (
    *(IMPORT, TRACE, TRACE_LARGE, BUILD_TIME, BUILD_MEMORY),
    *(LOOKUP, CHANGE, NOTEBOOK, KERNEL, KERNEL_FIGURES),
    *(LAB_SMALL, LAB_LARGE, LAB_PACKET),
)
BROWSED = (KEY, FIRST)  # budgets that only a browser can tell about


@dataclass(frozen=True)
class Line:
    """One figure. Without a budget it is information; with one, but without a value, it could not be measured."""

    what: str
    measured: str
    budget: Budget | None = None
    value: float | None = None  # in the unit of the budget

    @property
    def limit(self) -> str:
        """Return the limit with its unit, or an empty text."""
        return str(self.budget) if self.budget else ""

    @property
    def verdict(self) -> str:
        """Return "ok", "over", "missing" where there is nothing to compare, or an empty text without a budget."""
        if self.budget is None:
            return ""
        if self.value is None:
            return "missing"
        return "ok" if self.value <= self.budget.limit else "over"


@dataclass(frozen=True)
class Scale:
    """How large the large network is, and how often things are measured."""

    nodes: int = 5000
    pods_per_node: int = 30
    runs: int = 15  # of a fresh interpreter
    builds: int = 3  # of the large network, each in a process of its own
    pairs: int = 600  # of pods, for traces and lookups
    rounds: int = 15  # of all lookups
    moves: int = 60  # of a control
    kernels: int = 3  # of each kind, for memory and notebooks
    notebooks: int = 1000  # at most

    @property
    def name(self) -> str:
        """Return the size of the large network in words."""
        return f"{self.nodes:,} nodes, {self.nodes * self.pods_per_node:,} pods"


FULL = Scale()
QUICK = Scale(nodes=40, pods_per_node=3, runs=2, builds=1, pairs=12, rounds=2, moves=4, kernels=1, notebooks=1)


def seconds(action: Callable[..., object], *arguments: object) -> float:
    """Return how long `action` takes, on the clock on the wall."""
    start = time.perf_counter()
    action(*arguments)
    return time.perf_counter() - start


def p95(values: Sequence[float]) -> float:
    """Return the value that 19 in 20 do not exceed."""
    return quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


def number(value: float) -> str:
    """Return `value` with three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def medians(values: Sequence[float], unit: str, of: str) -> str:
    """Return the median in words, with how many of what it is of."""
    return f"{number(median(values))} {unit} (median of {len(values)} {of})"


def both(values: Sequence[float], unit: str, of: str) -> str:
    """Return median and p95 in words."""
    return f"{number(median(values))} {unit}, p95 {number(p95(values))} {unit} ({len(values)} {of})"
