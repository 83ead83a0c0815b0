"""The browser tests' own eyes: what they must notice is noticed."""

from pathlib import Path

import pytest

from tests.browser.controls import MOVES, Driver
from tests.browser.lab import LabPage, write_cells

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

def reader(careful=True):
    control, picture = widgets.FileUpload(), widgets.HTML()
    def read(_):
        name, length = control.value[0].name, control.value[0].size
        if careful and name.endswith('.txt'):
            message.value = '<p class="fv-message">this is no dump</p>'
        else:
            message.value = ''
            picture.value = f'<div class="fv-picture">{length} bytes</div><div class="fv-table">{name} {length}</div>'
    message = widgets.HTML()
    control.observe(read, 'value')
    return widgets.VBox([control, message, picture])

def refusing(control):
    message = widgets.HTML()
    def refuse(_):
        message.value = f'<p class="fv-message">{control.value} is wrong</p>'
    control.observe(refuse, 'value')
    return widgets.VBox([control, message, widgets.HTML('<p class="fv-picture">')])

def quiz(answers=True, again=None):
    choice = widgets.RadioButtons(options=['yes', 'no'], value=None)
    check, answer = widgets.Button(description='Check', disabled=True), widgets.HTML()
    def enable(_):
        check.disabled = False
    def tell(_):
        answer.value = f'<p class="fv-answer">{choice.value} is right</p>'
        choice.disabled = check.disabled = again is not None
    def ask_again(_):
        if again:
            choice.disabled, answer.value = False, ''
    choice.observe(enable, 'value')
    if answers:
        check.on_click(tell)
    box = widgets.VBox([choice, check, answer])
    if again is not None:
        button = widgets.Button(description='Try again', disabled=True)
        check.on_click(lambda _: setattr(button, 'disabled', False))
        button.on_click(ask_again)
        box.children += (button,)
    box.add_class('fv-quiz')
    return box

def tabs():
    control = widgets.IntSlider(max=1)
    return widgets.VBox([widgets.Tab([widgets.HTML('read this first'), control]), picture_of(control)])
"""
LARGE = 12_000_000  # bytes; without a setting the server takes 10 MiB
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
    "reader()",
    "stepper()",
    "quiz()",
    "quiz(again=True)",
    "tabs()",
]


def open_cells(lab: LabPage, work: Path, *sources: str) -> bool:
    """Open a notebook with one cell for each of `sources`, run it, and return whether every cell ran."""
    write_cells(work / "cells.ipynb", *sources)
    lab.open("cells.ipynb")
    return lab.run_all()


def test_each_kind_of_control_is_moved(lab: LabPage, work: Path) -> None:
    assert open_cells(lab, work, HELPERS, *CELLS)
    driver = Driver(lab)
    assert driver.move_everything() == []
    assert {cell for cell, *_ in driver.moves} == set(range(1, len(CELLS) + 1))
    assert all(times >= MOVES for (_, kind, *_), times in driver.moves.items() if kind != "disclosure")
    lab.check_clean()


STAGE = """
from flannelviz import article, lab
asked = lab.ask("Where does it end?", {"a1": "It leaves.", "b1": "So it is."}, right="b1", boxes={"a1": "a1"})
lab.journey(article(), "a1", "b1", [asked])
"""
DEAF_STAGE = """
deaf = lab.journey(article(), "a1", "b1")
deaf.stage.travel = lambda *_: None
deaf
"""


def test_a_stage_is_moved_by_all_that_it_has_and_a_list_that_moves_none_is_seen(lab: LabPage, work: Path) -> None:
    assert open_cells(lab, work, STAGE, DEAF_STAGE)
    driver = Driver(lab)
    complaints = driver.move_everything()
    assert "the select 'from' of cell 1 was moved, and no picture near it changed" in complaints
    assert not [complaint for complaint in complaints if "cell 0" in complaint]
    moved = {(kind, label): times for (cell, kind, label, _), times in driver.moves.items() if cell == 0}
    assert [moved.pop(key) for key in [*moved] if key[0] == "choices"] == [1], "a stage asks once"
    expected = {("slider", "hop"), ("motion", "play"), ("select", "speed"), ("places", "the places of the picture")}
    expected |= {("button", f"{where} hop") for where in ("first", "back to the previous", "next", "last")}
    assert expected | {("text", "find a place by name or address")} <= set(moved)
    assert all(times >= MOVES for (kind, _), times in moved.items() if kind != "disclosure"), moved
    lab.check_clean()


def test_a_control_without_effect_is_seen(lab: LabPage, work: Path) -> None:
    deaf = "widgets.VBox([widgets.IntSlider(description='hop'), widgets.HTML('<p class=fv-picture>')])"
    far_away = "hop = widgets.IntSlider(description='hop')\npicture = picture_of(hop)\nhop"
    disabled = "panel(widgets.IntSlider(description='hop', disabled=True))"
    no_answer = "quiz(answers=False)"
    careless = "reader(careful=False)"
    refusing = "refusing(widgets.IntSlider(description='hop'))"
    once = "quiz(again=False)"
    cells = (deaf, far_away, "picture", disabled, no_answer, careless, refusing, once)
    assert open_cells(lab, work, HELPERS, *cells)
    assert Driver(lab).move_everything() == [
        "the slider 'hop' of cell 1 was moved, and no picture near it changed",
        "the slider 'hop' of cell 2 was moved, and no picture near it changed",
        "the radios 'yes, no' of cell 5 was moved, and no answer near it changed",
        "the upload 'Upload (0)' of cell 6 was moved, and no message says that the file is bad",
        "the slider 'hop' of cell 7 was moved, and no picture near it changed",
        "the slider 'hop' of cell 4 can never be used twice",
        "the radios 'yes, no' of cell 8 was answered, and cannot be asked again",
    ]
    lab.check_clean()


def test_an_error_in_a_callback_is_seen(lab: LabPage, work: Path) -> None:
    fails_later = "hop = widgets.IntSlider()\nbox = panel(hop)\nhop.observe(lambda change: 1 / 0, 'value')\nbox"
    assert open_cells(lab, work, HELPERS, fails_later)
    assert Driver(lab).move_everything() == []
    with pytest.raises(AssertionError, match="ZeroDivisionError: division by zero"):
        lab.check_clean()


def test_a_file_above_ten_megabytes_arrives(lab: LabPage, work: Path, tmp_path: Path) -> None:
    file = tmp_path / "large.json"
    file.write_bytes(b" " * LARGE)
    assert open_cells(lab, work, HELPERS, "reader()")
    with lab.page.expect_file_chooser() as chooser:
        lab.page.locator(".widget-upload").click()
    chooser.value.set_files(file)
    lab.page.get_by_text(f"{LARGE} bytes").wait_for()
    lab.check_clean()


def test_a_failing_cell_is_seen(lab: LabPage, work: Path) -> None:
    assert not open_cells(lab, work, "1 / 0")
    assert lab.kernel_errors() == ["ZeroDivisionError: division by zero"]


def test_a_request_that_leaves_the_machine_is_seen(lab: LabPage, work: Path) -> None:
    picture = "https://pictures.example/cat.png"
    assert open_cells(lab, work, f"from IPython.display import HTML\nHTML('<img src=\"{picture}\">')")
    lab.page.locator("img[src*=example]").wait_for(state="attached")
    with pytest.raises(AssertionError, match=f"a request leaves the machine: {picture}"):
        lab.check_clean()
