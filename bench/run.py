"""Measure flannelviz and print one line for each figure as soon as it is there, with the limit beside it.

The figures are information and the exit status is 0: a busy machine is slower, and the load stands at the top.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # `python bench/run.py` puts bench/ there, and not what it measures
    sys.path.insert(0, str(ROOT))

from bench.browser import browser  # noqa: E402
from bench.building import build  # noqa: E402
from bench.imports import imports  # noqa: E402
from bench.kernels import memory  # noqa: E402
from bench.labs import lab  # noqa: E402
from bench.line import FULL, QUICK, Line, Scale  # noqa: E402
from bench.lookups import lookup  # noqa: E402
from bench.notebooks import notebooks  # noqa: E402
from bench.pictures import picture  # noqa: E402
from bench.stages import stage  # noqa: E402
from bench.traces import trace  # noqa: E402

Group = Callable[[Scale], Iterator[Line]]
GROUPS: tuple[Group, ...] = (imports, trace, build, lookup, picture, stage, browser, notebooks, memory, lab)
NAMES = tuple(group.__name__ for group in GROUPS)
WIDTHS = (68, 62, 12, 7)


def main(arguments: list[str] | None = None) -> None:
    options = parsed(arguments)
    scale = QUICK if options.quick else FULL
    print(machine(), f"large network: {scale.name}", "", sep="\n")
    print(columns("what", "measured", "limit", "verdict", "command"), flush=True)
    for group in (group for group in GROUPS if group.__name__ in (options.groups or NAMES)):
        for line in measured(group, scale):
            command = f"python -m bench {group.__name__}"
            print(columns(line.what, line.measured, line.limit, line.verdict, command), flush=True)
    print(f"\nload average at the end {load()}")


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    parser.add_argument("groups", nargs="*", metavar="group", help=f"any of {', '.join(NAMES)}; all without a name")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.groups) - set(NAMES))
    if unknown:
        parser.error(f"there is no group {', '.join(unknown)}; choose from {', '.join(NAMES)}")
    return options


def measured(group: Group, scale: Scale) -> Iterator[Line]:
    """Yield the lines of a group; what breaks is one more line, so that the other groups get their turn."""
    try:
        yield from group(scale)
    except Exception as error:
        yield Line(f"the group {group.__name__} broke off", f"{type(error).__name__}: {error}")


def columns(*cells: str) -> str:
    *padded, last = cells
    return " | ".join([*(f"{cell:<{width}}" for cell, width in zip(padded, WIDTHS)), last])


def machine() -> str:
    """Return what the figures depend on."""
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, load average {load()}"


def load() -> str:
    return " ".join(f"{value:.2f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "not known"


if __name__ == "__main__":
    main()
