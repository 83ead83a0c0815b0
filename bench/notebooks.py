"""How long each notebook takes, top to bottom, in a kernel of its own that starts and ends with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from subprocess import DEVNULL

from bench.line import NOTEBOOK, Line, Scale, medians, seconds

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"


def notebooks(scale: Scale) -> Iterator[Line]:
    """Yield one line for each notebook; nothing is written."""
    paths = sorted(FOLDER.glob("*.ipynb"))
    for path in paths[: scale.notebooks]:
        taken = [seconds(execute, path) for _ in range(scale.kernels)]
        yield Line(path.name, medians(taken, "s", "runs"), NOTEBOOK, median(taken))
    if not paths:
        yield Line("notebooks, top to bottom", "not measured: notebooks/ holds none yet", NOTEBOOK)


def execute(path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(nbformat.read(path, as_version=4), timeout=120, kernel_name="python3", resources=resources)
    client.execute(stderr=DEVNULL)
