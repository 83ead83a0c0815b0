"""Execute notebooks and write them so that every run gives the same bytes.

python tools/notebooks.py [--check] NOTEBOOK ...

What differs between two executions without meaning anything is taken out: the random ids of cells and widgets become
numbers in the order of first use, timings and versions go, keys are sorted. What differs and does mean something
(an address in a `repr`, an unseeded random number) stays, and `--check` shows it. Equal layouts are saved once.
"""

import argparse
import copy
import difflib
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
STYLING = ("LayoutModel", "StyleModel")  # what a widget's layout and style are saved as
BUDGET = 10.0  # seconds for one notebook, top to bottom
CELL_TIMEOUT = 120  # seconds


def executed(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """Return a copy of `notebook` with the outputs of a fresh kernel that runs in `folder`."""
    result = copy.deepcopy(notebook)
    result.metadata.pop("widgets", None)
    client = NotebookClient(
        result,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        coalesce_streams=True,  # how a text was cut into messages depends on the clock
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    return result


def canonical(notebook: NotebookNode) -> str:
    """Return the text of `notebook` with everything renamed or dropped that depends on the run."""
    result = copy.deepcopy(notebook)
    result.metadata["kernelspec"] = dict(KERNEL)
    result.metadata.get("language_info", {}).pop("version", None)
    for number, cell in enumerate(result.cells):
        cell["id"] = f"cell-{number:02d}"
        cell.metadata.pop("execution", None)
        cell.metadata.pop("trusted", None)
    models = keep_shown_models(result)
    text = renumbered(nbformat.writes(result), models)
    # The keys were sorted under their random names: sort them again under the new ones.
    return json.dumps(json.loads(text), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def keep_shown_models(notebook: NotebookNode) -> list[str]:
    """Drop the widget models that no output leads to; return the ids of the others, in order of first use."""
    saved = notebook.metadata.get("widgets", {}).get(WIDGET_STATE)
    if saved is None:
        return []
    state = saved["state"]
    order: dict[str, None] = {}
    for model_id in shown_models(notebook.cells):
        for reached in reachable(model_id, state, order):
            order[reached] = None
    saved["state"] = {model_id: without_empty_fields(state[model_id]) for model_id in order}
    for sharable in (STYLING, ("HTMLModel", "AnyModel")):  # texts are equal once their styles are
        saved["state"] = sharing_equals(saved["state"], sharable, set(shown_models(notebook.cells)))
    return list(saved["state"])


def without_empty_fields(model: dict[str, Any]) -> dict[str, Any]:
    """Return a layout or a style without its null fields, which mean the same as none; others stay as they are.

    A page has hundreds of them with sixty fields each. JupyterLab leaves them out too when it saves.
    """
    if not model["model_name"].endswith(STYLING):
        return model
    return {**model, "state": {name: value for name, value in model["state"].items() if value is not None}}


def sharing_equals(state: dict[str, Any], sharable: tuple[str, ...], shown: set[str]) -> dict[str, Any]:
    """Return `state` with one of several equal models of the `sharable` kinds, which no saved page changes."""
    kept: dict[str, str] = {}
    twins: dict[str, str] = {}
    for model_id, model in state.items():
        if model["model_name"].endswith(sharable) and model_id not in shown:
            twins[model_id] = kept.setdefault(json.dumps(model, sort_keys=True), model_id)
    left = {model_id: model for model_id, model in state.items() if twins.get(model_id, model_id) == model_id}
    text = re.sub(r"(?<=IPY_MODEL_)\w+", lambda match: twins.get(match[0], match[0]), json.dumps(left))
    result: dict[str, Any] = json.loads(text)
    return result


def shown_models(cells: Iterable[NotebookNode]) -> Iterator[str]:
    """Yield the ids of the widgets that stand in the outputs, top to bottom."""
    for cell in cells:
        for output in cell.get("outputs", []):
            if WIDGET_VIEW in output.get("data", {}):
                yield output["data"][WIDGET_VIEW]["model_id"]


def reachable(model_id: str, state: dict[str, Any], seen: Iterable[str]) -> Iterator[str]:
    """Yield `model_id` and the models it refers to, depth first, each once and none of `seen`."""
    found = set(seen)
    waiting = [model_id]
    while waiting:
        current = waiting.pop()
        if current in found or current not in state:
            continue
        found.add(current)
        yield current
        waiting += reversed(re.findall(r"IPY_MODEL_(\w+)", json.dumps(state[current], sort_keys=True)))


def renumbered(text: str, model_ids: list[str]) -> str:
    """Return `text` with the n-th model id replaced by n, in 32 digits like the original."""
    numbers = {model_id: f"{number:032x}" for number, model_id in enumerate(model_ids)}
    if not numbers:
        return text
    return re.sub("|".join(map(re.escape, numbers)), lambda match: numbers[match[0]], text)


def run(path: Path) -> str:
    """Return the canonical text of the notebook at `path` after executing it."""
    return canonical(executed(nbformat.read(path, as_version=4), path.parent))


def without_rasters(text: str) -> str:
    """Return `text` with PNG and JPEG left out: their bytes depend on the machine that drew them."""
    return re.sub(r'("image/(?:png|jpeg)": )"[^"]*"', r'\1"..."', text)


def difference(path: Path, text: str) -> list[str]:
    """Return the lines in which the file at `path` differs from `text`."""
    old, new = (without_rasters(version).splitlines() for version in (path.read_text("utf-8"), text))
    return list(difflib.unified_diff(old, new, str(path), "executed again", n=1, lineterm=""))


def process(path: Path, check: bool) -> bool:
    """Execute the notebook at `path`, then write it or compare it; return whether all went well."""
    start = time.perf_counter()
    try:
        text = run(path)
    except CellExecutionError as error:
        print(f"{path}: a cell failed, nothing was written\n{error}", file=sys.stderr)
        return False
    seconds = time.perf_counter() - start
    changes = difference(path, text) if check else []
    if not check:
        path.write_text(text, "utf-8")
    verdict = f"  over the budget of {BUDGET:.0f} s" if seconds > BUDGET else ""
    print(f"{seconds:6.1f} s  {path}{verdict}", flush=True)
    for line in changes[:40]:
        print(line[:200], file=sys.stderr)
    return not changes


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as profile:
        os.environ["IPYTHONDIR"] = profile  # the notebooks shall not depend on anybody's IPython profile
        results = [process(path, options.check) for path in options.notebooks]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
