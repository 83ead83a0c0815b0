"""A whole notebook as one HTML file: its text, its code, its outputs, and every stage as live as in the notebook.

Views: the notebook is read, never run, and nothing in it is changed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from flannelviz.errors import NotebookError
from flannelviz.views.export.document import document
from flannelviz.views.export.reading import read
from flannelviz.views.stage.page import write_whole

__all__ = ["Exported", "export"]


class Exported(NamedTuple):
    """Where the file is, how many stages live in it, and how many widgets the notebook holds no state of."""

    path: Path
    stages: int
    stateless: int


def export(notebook: str | Path, to: str | Path | None = None) -> Exported:
    """Write a notebook as one HTML file: to a file or a folder, else beside itself; return what became of it.

    Raises: NotebookError if there is no such notebook, it was never run, or nothing can be written there.
    """
    source = Path(notebook)
    target = _target(source, to)
    made = document(read(source), source)
    try:
        write_whole(target, made.html)
    except OSError as error:
        raise NotebookError(f"{target} cannot be written: {error.strerror or error}") from error
    return Exported(target, made.stages, made.stateless)


def _target(source: Path, to: str | Path | None) -> Path:
    beside = source.with_suffix(".html")
    if to is None:
        return beside
    target = Path(to)
    if target.is_dir() or str(to).endswith(("/", os.sep)):
        target = target / beside.name
    if not target.parent.is_dir():
        raise NotebookError(f"the folder {target.parent} does not exist; make it first (mkdir -p {target.parent})")
    if target.suffix == ".ipynb":
        raise NotebookError(f"{target} is the name of a notebook; a page is called {target.with_suffix('.html').name}")
    return target
