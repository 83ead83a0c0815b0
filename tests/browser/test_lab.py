"""The browser tests' own eyes: what they must notice is noticed."""

import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import BrowserContext

from tests.browser.controls import MOVES, Driver
from tests.browser.lab import LabPage, Server, lab_page, serving
from tools.notebooks import KERNEL

pytestmark = pytest.mark.browser

HELPERS = """
import ipywidgets as widgets

def picture_of(control):
    picture = widgets.HTML()
    def draw(_=None):
        picture.value = f'<div class="fv-picture">{control.value}</div>'
    control.observe(draw, 'value')
    draw()
    return picture

def panel(control, *around):
    return widgets.VBox([control, *around, picture_of(control)])

def stepper():
    back, on, hop = widgets.Button(description='back'), widgets.Button(description='to hop 1'), widgets.IntText()
    def step(button):
        hop.value += 1 if button is on else -1
        show()
    def show():
        back.disabled, on.disabled = hop.value == 0, hop.value == 1
        on.description = f'to hop {hop.value + 1}'
    back.on_click(step), on.on_click(step), show()
    return widgets.VBox([back, on, picture_of(hop)])

def quiz(answers=True):
    choice = widgets.RadioButtons(options=['yes', 'no'], value=None)
    check, answer = widgets.Button(description='Check', disabled=True), widgets.HTML()
    def enable(_):
        check.disabled = False
    def tell(_):
        answer.value = f'<p class="fv-answer">{choice.value} is right</p>'
    choice.observe(enable, 'value')
    if answers:
        check.on_click(tell)
    box = widgets.VBox([choice, check, answer])
    box.add_class('fv-quiz')
    return box

def tabs():
    control = widgets.IntSlider(max=1)
    return widgets.VBox([widgets.Tab([widgets.HTML('read this first'), control]), picture_of(control)])
"""
CELLS = [
    "panel(widgets.IntSlider(max=1, description='hop'))",
    "panel(widgets.IntRangeSlider(max=3))",
    "panel(widgets.SelectionSlider(options=['vpc', 'node', 'pod']))",
    "panel(widgets.Dropdown(options=['vpc', 'node', 'pod']))",
    "panel(widgets.Select(options=['vpc', 'node', 'pod']))",
    "panel(widgets.RadioButtons(options=['vpc', 'node', 'pod']))",
    "panel(widgets.ToggleButtons(options=['vpc', 'node', 'pod']))",
    "panel(widgets.ToggleButton(description='broken'))",
    "panel(widgets.Checkbox(description='broken'))",
    "panel(widgets.Text('172.16.8.9'))",
    "panel(widgets.Textarea('172.16.8.9 dev cni0'))",
    "panel(widgets.BoundedIntText(25, min=0, max=25))",
    "panel(widgets.FileUpload())",
    "stepper()",
    "quiz()",
    "tabs()",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(Path(sys.executable), folder, tmp_path_factory.mktemp("jupyter")) as server:
        yield server


@pytest.fixture
def lab(server: Server, context: BrowserContext) -> Iterator[LabPage]:
    with lab_page(context, server) as page:
        yield page


def open_cells(lab: LabPage, folder: Path, *sources: str) -> bool:
    """Open a notebook with one cell for each of `sources`, run it, and return whether every cell ran."""
    cells = [new_code_cell(source) for source in sources]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), folder / "cells.ipynb")
    lab.open("cells.ipynb")
    return lab.run_all()


def test_each_kind_of_control_is_moved(lab: LabPage, folder: Path) -> None:
    assert open_cells(lab, folder, HELPERS, *CELLS)
    driver = Driver(lab)
    assert driver.move_everything() == []
    assert {cell for cell, *_ in driver.moves} == set(range(1, len(CELLS) + 1))
    assert all(times >= MOVES for (_, kind, *_), times in driver.moves.items() if kind != "disclosure")
    lab.check_clean()


def test_a_control_without_effect_is_seen(lab: LabPage, folder: Path) -> None:
    deaf = "widgets.VBox([widgets.IntSlider(description='hop'), widgets.HTML('<p class=fv-picture>')])"
    far_away = "hop = widgets.IntSlider(description='hop')\npicture = picture_of(hop)\nhop"
    disabled = "panel(widgets.IntSlider(description='hop', disabled=True))"
    no_answer = "quiz(answers=False)"
    assert open_cells(lab, folder, HELPERS, deaf, far_away, "picture", disabled, no_answer)
    assert Driver(lab).move_everything() == [
        "the slider 'hop' of cell 1 was moved, and nothing near it changed",
        "the slider 'hop' of cell 2 was moved, and nothing near it changed",
        "the radios 'yes, no' of cell 5 was moved, and nothing near it changed",
        "the slider 'hop' of cell 4 can never be used twice",
    ]
    lab.check_clean()


def test_an_error_in_a_callback_is_seen(lab: LabPage, folder: Path) -> None:
    fails_later = "hop = widgets.IntSlider()\nbox = panel(hop)\nhop.observe(lambda change: 1 / 0, 'value')\nbox"
    assert open_cells(lab, folder, HELPERS, fails_later)
    assert Driver(lab).move_everything() == []
    with pytest.raises(AssertionError, match="ZeroDivisionError: division by zero"):
        lab.check_clean()


def test_a_failing_cell_is_seen(lab: LabPage, folder: Path) -> None:
    assert not open_cells(lab, folder, "1 / 0")
    assert lab.kernel_errors() == ["ZeroDivisionError: division by zero"]


def test_a_request_that_leaves_the_machine_is_seen(lab: LabPage, folder: Path) -> None:
    picture = "https://pictures.example/cat.png"
    assert open_cells(lab, folder, f"from IPython.display import HTML\nHTML('<img src=\"{picture}\">')")
    lab.page.locator("img[src*=example]").wait_for(state="attached")
    with pytest.raises(AssertionError, match=f"a request leaves the machine: {picture}"):
        lab.check_clean()
