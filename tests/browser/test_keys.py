"""The keyboard alone: keys stay with the control that has the focus, and JupyterLab keeps its own elsewhere."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab import LabPage, write_cells

pytestmark = pytest.mark.browser

CELLS = [
    "from flannelviz import article, lab",
    "lab.journey(article(), 'a1', 'b1')",
    "lab.predict('Who?', {'flannel': 'It writes no route.', 'the VPC': 'It does.'}, right='the VPC')",
    "how_many = lab.predict('How many?', {120: 'A block has so many.'}, right=120, accept=int)\nhow_many",
    "import os; print(os.getpid())",
]
JOURNEY, QUESTION, TYPED, PID = 1, 2, 3, 4  # numbers of cells
ACTIVE_CELL = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
HAS_FOCUS = "element => element === document.activeElement"


@pytest.fixture
def keyed(lab: LabPage, work: Path) -> Iterator[LabPage]:
    """A page on a journey and a question, which is still clean when the test is over."""
    write_cells(work / "keys.ipynb", *CELLS)
    lab.open("keys.ipynb")
    assert lab.run_all(), lab.kernel_errors()
    yield lab
    lab.check_clean()


def test_arrow_keys_move_the_slider_and_not_the_notebook(keyed: LabPage) -> None:
    slider = keyed.outputs().nth(JOURNEY).locator("input[type=range]")
    slider.focus()
    before, cell = position(slider), keyed.page.evaluate(ACTIVE_CELL)
    for key, moved in (("ArrowRight", 1), ("ArrowUp", 2), ("ArrowDown", 1), ("ArrowLeft", 0)):
        keyed.page.keyboard.press(key)
        keyed.wait_for_kernel()
        assert position(slider) == before + moved, key
        assert slider.evaluate(HAS_FOCUS), key
        assert keyed.page.evaluate(ACTIVE_CELL) == cell, key


def position(slider: Locator) -> float:
    return float(slider.input_value())


def test_a_question_is_answered_with_keys_alone(keyed: LabPage) -> None:
    question = keyed.outputs().nth(QUESTION)
    choices = question.locator("input[type=radio]")
    choices.first.focus()
    cell = keyed.page.evaluate(ACTIVE_CELL)
    keyed.page.keyboard.press("Space")
    keyed.page.keyboard.press("ArrowDown")
    assert choices.nth(1).is_checked() and choices.nth(1).evaluate(HAS_FOCUS)
    keyed.wait_for_kernel()
    keyed.page.keyboard.press("Tab")
    assert question.get_by_role("button", name="Commit").evaluate(HAS_FOCUS)
    keyed.page.keyboard.press("Enter")
    question.locator(".fv-answer[data-correct=yes]").wait_for()
    again = question.get_by_role("button", name="Try again")
    again.wait_for()
    keyed.page.wait_for_function(HAS_FOCUS, arg=again.element_handle())
    assert keyed.page.evaluate(ACTIVE_CELL) == cell
    keyed.page.keyboard.press("Enter")
    question.locator(".fv-answer").wait_for(state="detached")
    keyed.page.wait_for_function(HAS_FOCUS, arg=question.get_by_role("button", name="Commit").element_handle())


def test_what_is_typed_faster_than_the_kernel_answers_is_the_answer(keyed: LabPage) -> None:
    """A page holds back what is typed on until the kernel has answered, but sends Enter at once."""
    question = keyed.outputs().nth(TYPED)
    kernel = int(keyed.outputs().nth(PID).inner_text())
    field = question.locator("input[type=text]")
    field.press_sequentially("1")
    expect(question.get_by_role("button", name="Commit")).to_be_enabled()
    os.kill(kernel, signal.SIGSTOP)
    try:
        field.press_sequentially("20")
        field.press("Enter")
    finally:
        os.kill(kernel, signal.SIGCONT)
    expect(question.locator(".fv-answer")).to_have_attribute("data-correct", "yes")
    expect(field).to_have_value("120")
    expect(field).to_be_disabled()


def test_each_question_keeps_its_own_choice(lab: LabPage, work: Path) -> None:
    """Radio buttons of one name are one group in the whole page: a choice in one takes away that of the other."""
    question = "lab.predict('Who?', {'a': 'Not a.', 'b': 'Not b.', 'c': 'It is c.'}, right='c')"
    write_cells(work / "questions.ipynb", CELLS[0], *[question] * 3)
    lab.open("questions.ipynb")
    assert lab.run_all(), lab.kernel_errors()
    panels = [lab.outputs().nth(number) for number in (1, 2, 3)]
    for chosen, panel in enumerate(panels):
        panel.locator("input[type=radio]").nth(chosen).check()
        panel.get_by_role("button", name="Commit").click()
        panel.locator(".fv-answer").wait_for()
    for chosen, panel in enumerate(panels):
        expect(panel.locator("input[type=radio]").nth(chosen)).to_be_checked()
        for number in range(3):
            weight = "600" if number == chosen else "400"
            expect(panel.locator("label:has(input)").nth(number)).to_have_css("font-weight", weight)
    lab.check_clean()


def test_outside_of_the_widgets_the_arrow_keys_are_the_notebooks(keyed: LabPage) -> None:
    keyed.command("notebook:enter-command-mode")
    keyed.page.locator(".jp-Notebook .jp-Cell").last.locator(".jp-InputPrompt").click()
    cell = keyed.page.evaluate(ACTIVE_CELL)
    keyed.page.keyboard.press("ArrowUp")
    assert keyed.page.evaluate(ACTIVE_CELL) == cell - 1
