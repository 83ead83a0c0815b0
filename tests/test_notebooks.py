"""The notebooks as they are saved: executed, clean, readable without a kernel, and the same bytes from run to run."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tests.checkout import NOTEBOOKS, ROOT
from tools import notebooks as tool

ADDRESS_IN_MEMORY = re.compile(r"\bat 0x[0-9a-f]{6,}")
PICTURES = {"text/html", "image/png"}  # what JupyterLab shows of an output that it does not trust
SHUFFLED = """
import ipywidgets as widgets, time, uuid
sliders = [widgets.IntSlider(description=name) for name in ("vpc", "node", "pod")]
unused = widgets.Button()
print("first"); time.sleep(0.1); print("second")
widgets.VBox(sliders[::-1])
"""

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def outputs(path: Path) -> list[NotebookNode]:
    return [output for cell in code_cells(path) for output in cell.outputs]


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS, "notebooks/ holds no notebook"
    assert NOTEBOOKS[0].name == "00_start_here.ipynb"


@each_notebook
def test_cells_count_from_one(path: Path) -> None:
    assert [cell.execution_count for cell in code_cells(path)] == list(range(1, len(code_cells(path)) + 1))


@each_notebook
def test_outputs_are_clean(path: Path) -> None:
    assert [output.evalue for output in outputs(path) if output.output_type == "error"] == []
    assert [output.text for output in outputs(path) if output.get("name") == "stderr"] == []
    shown = json.dumps(outputs(path))
    assert ADDRESS_IN_MEMORY.findall(shown) == [], "give the object a repr of its own"


@each_notebook
def test_widgets_are_saved_with_their_state_and_a_picture(path: Path) -> None:
    saved = read(path).metadata.get("widgets", {}).get(tool.WIDGET_STATE, {"state": {}})["state"]
    views = [output.data for output in outputs(path) if tool.WIDGET_VIEW in output.get("data", {})]
    assert [view for view in views if view[tool.WIDGET_VIEW]["model_id"] not in saved] == []
    assert [view["text/plain"] for view in views if not PICTURES & set(view)] == [], "nothing shows without a kernel"


def before_the_answer(path: Path) -> list[NotebookNode]:
    """Return the code cells met with an open question: up to its evidence, its why, or a new section."""
    found, asked = [], False
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            asked = asked and not cell.source.startswith(("**Why.**", "## "))
        elif cell.source.startswith("# predict"):
            asked = True
        elif asked:
            found.append(cell)
            asked = not cell.metadata.get("jupyter", {}).get("outputs_hidden")
    return found


@each_notebook
def test_no_answer_is_told_before_it_was_given(path: Path) -> None:
    for cell in before_the_answer(path):
        if "assert " in cell.source or 'print("evidence:")' in cell.source:
            assert cell.metadata.get("jupyter", {}).get("outputs_hidden"), cell.source
            assert 'print("evidence:")' in cell.source, cell.source


@each_notebook
def test_is_written_the_canonical_way(path: Path) -> None:
    assert path.read_text("utf-8") == tool.canonical(read(path)), f"run `make notebooks` for {path.name}"


def test_every_notebook_is_linked_from_the_first() -> None:
    first = (ROOT / "notebooks" / "00_start_here.ipynb").read_text("utf-8")
    assert [path.name for path in NOTEBOOKS[1:] if path.name not in first] == []


@pytest.fixture
def shuffled(tmp_path: Path) -> Path:
    """A notebook whose raw outputs differ on every run: random ids, a text that comes in pieces."""
    path = tmp_path / "shuffled.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("What?"), new_code_cell(SHUFFLED)]), path)
    return path


def test_two_runs_give_the_same_bytes(shuffled: Path) -> None:
    assert tool.main([str(shuffled)]) == 0
    first = shuffled.read_bytes()
    assert tool.main([str(shuffled)]) == 0
    assert shuffled.read_bytes() == first
    assert tool.main(["--check", str(shuffled)]) == 0


def test_shown_widgets_are_saved_in_the_order_of_their_use(shuffled: Path) -> None:
    tool.main([str(shuffled)])
    state = read(shuffled).metadata.widgets[tool.WIDGET_STATE].state
    assert [model["state"].get("description") for model in state.values() if "description" in model["state"]] == [
        "pod",
        "node",
        "vpc",
    ]
    assert list(state) == [f"{number:032x}" for number in range(len(state))]


def test_equal_layouts_are_saved_once_and_without_their_null_fields(tmp_path: Path) -> None:
    path = tmp_path / "boxes.ipynb"
    cells = "import ipywidgets as widgets; widgets.VBox([*map(widgets.HTML, ['same', 'same', 'other'])])"
    nbformat.write(new_notebook(cells=[new_code_cell(cells)]), path)
    assert tool.main([str(path)]) == 0
    state = read(path).metadata.widgets[tool.WIDGET_STATE].state
    assert [model.model_name for model in state.values()].count("LayoutModel") == 1
    assert [model["state"].value for model in state.values() if model.model_name == "HTMLModel"] == ["same", "other"]
    assert not [m for m in state.values() if m.model_name == "LayoutModel" and None in m["state"].values()]
    (box,) = [model["state"] for model in state.values() if model.model_name == "VBoxModel"]
    assert len(box.children) == 3 and {name.removeprefix("IPY_MODEL_") for name in box.children} < set(state)


def test_a_failing_notebook_is_reported_and_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "failing.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0")]), path)
    before = path.read_bytes()
    assert tool.main([str(path)]) == 1
    assert path.read_bytes() == before
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_changed_output_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "clock.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("import time; print(time.time())")]), path)
    assert tool.main([str(path)]) == 0
    assert tool.main(["--check", str(path)]) == 1
    assert "executed again" in capsys.readouterr().err
