"""Notebooks from disk: what is none, and what was never run, is refused with the way out. READS only."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import nbformat
from nbformat.validator import NotebookValidationError

from flannelviz.errors import NotebookError


def read(path: Path) -> Any:
    """Return the notebook at `path` in nbformat 4. Raises: NotebookError if it is none, or was never run."""
    notebook = _parsed(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    if code and not any(cell.outputs or cell.execution_count for cell in code):
        raise NotebookError(
            f"{path} was never run, so there is nothing to show; run it first "
            f"(Run All Cells in JupyterLab, then save), and export it again"
        )
    return notebook


def _parsed(path: Path) -> Any:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise NotebookError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise NotebookError(f"{path} is a folder; name a notebook in it") from None
    except UnicodeDecodeError:
        raise NotebookError(f"{path} is no notebook: it is not text in UTF-8") from None
    except OSError as error:
        raise NotebookError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        raise NotebookError(f"{path} is no notebook: it is not JSON") from None
    if not isinstance(plain, dict) or not isinstance(plain.get("nbformat"), int):
        raise NotebookError(f"{path} is no notebook: it is JSON, but names no nbformat")
    return _upgraded(path, text)


def _upgraded(path: Path, text: str) -> Any:
    """Return the notebook in nbformat 4, which every later function relies on."""
    try:
        with warnings.catch_warnings(action="ignore"):  # that a cell has no id: nobody asks for it here
            notebook = nbformat.reads(text, as_version=4)
            nbformat.validate(notebook)
    except NotebookValidationError as error:
        raise NotebookError(f"{path} is no valid notebook: {str(error).splitlines()[0]}") from None
    except Exception as error:  # what a format of another number makes nbformat raise is written nowhere
        raise NotebookError(f"{path} is no notebook that can be read: {error}") from error
    return notebook
