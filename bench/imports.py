"""How long it takes until the package is there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.line import IMPORT, Line, Scale, number, seconds

ROOT = Path(__file__).resolve().parents[1]
BARE = "pass"
PACKAGE = "import flannelviz"
TO_TRACE = "from flannelviz import article, trace"
WITH_WIDGETS = "from flannelviz.views import widgets"


def imports(scale: Scale) -> Iterator[Line]:
    """Yield what fresh interpreters need; those with and those without the import take turns."""
    programs = (BARE, PACKAGE, TO_TRACE, WITH_WIDGETS)
    for program in programs:
        start(program)  # Python compiles what is new once
    taken = {program: [] for program in programs}
    for _ in range(scale.runs):
        for program in programs:
            taken[program].append(seconds(start, program) * 1000)
    of = f"(median of {scale.runs}; bare python {number(median(taken[BARE]))} ms)"
    for program in programs[1:]:
        over = median(taken[program]) - median(taken[BARE])
        yield Line(
            f"{program}, over bare python", f"{number(over)} ms {of}", IMPORT if program == PACKAGE else None, over
        )


def start(program: str) -> None:
    """Run a program in a fresh interpreter."""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
