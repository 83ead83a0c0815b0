"""The stage in JupyterLab: its keys stay its own, Python hears what a reader does, and a saved notebook goes on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Page, expect

from tests.browser.lab import ROOT, LabPage
from tools.notebooks import KERNEL

pytestmark = pytest.mark.browser
HEAD = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
SHOWN = """
from flannelviz import article, trace
from flannelviz.views import stage
shown = stage.journey(article(), trace(article(), "a1", "b1"), trace=trace)
shown
"""


LARGE = """
from flannelviz import lab, large, trace
from flannelviz.views import stage
network = large(300, 30)
question = lab.ask("Which?", {"this": "It is longer.", "that": "It is shorter."}, right="this", before=3)
shown = stage.journey(network, trace(network, "a1", "b1"), [question], trace=trace)
shown
"""
SORTED = """
send = stage.Stage.send_state
stage.Stage.send_state = lambda self, key=None: send(
    self, sorted(key, reverse={backward}) if isinstance(key, set) else key
)
shown
"""
HEARING = 5  # seconds until a kernel has heard of a step
ACTIVE_CELL = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
BROKEN_CHAIN = "stage => getComputedStyle(stage.parentElement, '::before').content"
PRESS = "key => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}))"
PYTHON = """async code => {
    const {kernel} = window.jupyterapp.shell.currentWidget.sessionContext.session;
    const {content} = await kernel.requestExecute({code: '', user_expressions: {value: code}}).done;
    return content.user_expressions.value.data?.['text/plain'] ?? content.user_expressions.value.evalue;
}"""


def hears(page: Page, code: str, value: str) -> None:
    """Wait until an expression has this value in the kernel; a step is told once a reader rests at it."""
    late = time.monotonic() + HEARING
    while (found := page.evaluate(PYTHON, code)) != value and time.monotonic() < late:
        page.wait_for_timeout(50)
    assert found == value


def write(path: Path, *cells: str) -> None:
    made = [new_code_cell(HEAD + cells[0]), *map(new_code_cell, cells[1:])]
    nbformat.write(new_notebook(cells=made, metadata={"kernelspec": KERNEL}), path)


def test_keys_step_and_python_hears_of_it(lab: LabPage, work: Path) -> None:
    write(work / "stage.ipynb", SHOWN, "print('another cell')")
    lab.open("stage.ipynb")
    assert lab.run_all(), lab.kernel_errors()
    page = lab.page
    slider = page.locator(".fv-stage input[type=range]")
    slider.focus()
    for hop in range(2, 6):
        page.keyboard.press("ArrowRight" if hop % 2 else "ArrowUp")
        expect(page.locator(".fv-counter")).to_have_text(f"hop {hop} of 10")
    expect(slider).to_be_focused()
    # Other ends, chosen in the picture by keyboard: the kernel answers with another journey.
    page.get_by_role("button", name="Choose both ends").press("Enter")
    box = page.locator(".fv-stage svg [role=button]")
    box.filter(has_text="172.16.0.131").press("Enter")
    box.filter(has_text="172.16.0.130").press("Enter")
    expect(page.locator(".fv-says")).to_have_text("a2 to a1: request and reply arrive")
    expect(page.locator(".fv-counter")).to_have_text("hop 1 of 6")
    assert lab.kernel_errors() == []


def test_a_double_click_or_a_held_key_chooses_one_end(lab: LabPage, work: Path) -> None:
    write(work / "twice.ipynb", SHOWN)
    lab.open("twice.ipynb")
    assert lab.run_all(), lab.kernel_errors()
    page = lab.page
    page.get_by_role("button", name="Choose both ends").click()
    box = page.locator(".fv-stage svg [role=button]")
    box.filter(has_text="172.16.0.131").dblclick()
    expect(page.locator(".fv-stage .fv-message")).to_have_text("From default/a2. And to where?")
    box.filter(has_text="172.16.0.130").click()
    expect(page.locator(".fv-says")).to_have_text("a2 to a1: request and reply arrive")
    page.get_by_role("button", name="Choose both ends").press("Enter")
    box.filter(has_text="172.16.0.130").focus()
    for key in ("Enter", "Enter"):  # held: the second one is a repetition
        page.keyboard.down(key)
    page.keyboard.up("Enter")
    expect(page.locator(".fv-stage .fv-message")).to_have_text("From default/a1. And to where?")
    lab.check_clean()


def test_arrows_are_the_stages_after_an_answer_and_in_an_opened_place(lab: LabPage, work: Path) -> None:
    """And two views of one stage are one stage: what is answered in one, or taken back by Python, is so in both."""
    write(work / "answers.ipynb", LARGE, "shown")
    lab.open("answers.ipynb")
    assert lab.run_all(), lab.kernel_errors()
    page = lab.page
    one, other = (page.locator(".fv-stage").nth(i) for i in (0, 1))
    one.get_by_role("slider").press("End")
    for view in (one, other):
        expect(view.locator(".fv-question")).to_have_text("Which?")
    other.get_by_role("button", name="that").click()
    expect(other.locator(".fv-answer")).to_be_focused()
    page.keyboard.press("ArrowUp")
    assert page.evaluate(ACTIVE_CELL) == 1, "the notebook took no arrow"
    for view in (one, other):
        expect(view.locator(".fv-counter")).to_have_text("hop 4 of 10")
        expect(view.locator(".fv-question")).to_have_text("")
    assert page.evaluate(PYTHON, "[(a.label, a.right) for a in shown.answered]") == "[('that', False)]"
    one.locator("svg [role=button]", has_text="node-a").first.press("Enter")
    expect(one.locator(".fv-inside").get_by_role("heading")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(one.locator(".fv-counter")).to_have_text("hop 5 of 10")
    page.keyboard.press("ArrowDown")
    expect(one.locator(".fv-counter")).to_have_text("hop 4 of 10")
    assert page.evaluate(ACTIVE_CELL) == 0, "the notebook took no arrow"
    assert page.evaluate(PYTHON, "setattr(shown, 'answers', [])") == "None"
    for view in (one, other):
        expect(view.locator(".fv-question")).to_have_text("Which?")
        expect(view.locator(".fv-counter")).to_have_text("hop 2 of 10")
    one.get_by_role("button", name="this").click()
    hears(page, "shown.answers, shown.step", "([[0, 0]], 3)")
    lab.check_clean()


def test_what_is_folded_is_found_opened_and_chosen(lab: LabPage, work: Path) -> None:
    write(work / "folded.ipynb", LARGE, "shown")
    lab.open("folded.ipynb")
    assert lab.run_all(), lab.kernel_errors()
    page = lab.page
    one = page.locator(".fv-stage").first
    counter, box = one.locator(".fv-counter"), one.locator("svg [role=button]")
    one.get_by_role("slider").press("End")
    one.get_by_role("button", name="this").click()
    one.get_by_role("slider").press("End")
    for text, found in (("node-300", "node-300: "), ("10.0.74.2", "10.0.74.2"), ("pod-299", "default/pod-299-1 ")):
        one.get_by_role("searchbox").fill(text)
        one.get_by_role("searchbox").press("Enter")
        expect(box.and_(page.locator(":focus"))).to_contain_text(found)
        expect(counter).to_have_text("hop 10 of 10")
    one.get_by_role("slider").press("ArrowLeft")
    expect(one.locator("svg [data-hint]")).to_have_count(0)
    expect(one.get_by_role("searchbox")).to_have_value("pod-299")
    one.get_by_role("searchbox").press("Enter")  # the same again, and nothing new to draw
    expect(box.and_(page.locator(":focus[data-hint]"))).to_contain_text("default/pod-299-1 ")
    one.get_by_role("slider").press("ArrowRight")
    fold = one.locator("svg .fv-fold[role=button]")
    for kind, told in (("pods", "a12"), ("nodes", "node-f")):
        expect(box.filter(has_text=told)).to_have_count(0)
        fold.filter(has_text=kind).first.press("Enter")
        expect(box.filter(has_text=told).first).to_be_visible()
        expect(counter).to_have_text("hop 10 of 10")
    hears(page, "shown.answers, shown.step", "([[0, 0]], 10)")
    # One end that is drawn, and one that has to be found first.
    one.get_by_role("button", name="Choose both ends").press("Enter")
    box.filter(has_text="default/a1 ").press("Enter")
    one.get_by_role("searchbox").fill("pod-300-30")
    one.get_by_role("searchbox").press("Enter")
    expect(box.and_(page.locator(":focus"))).to_contain_text("default/pod-300-30 ")
    expect(one.locator(".fv-message")).to_have_text("From default/a1. And to where?")
    page.keyboard.press("Enter")
    expect(one.locator(".fv-says")).to_have_text("a1 to pod-300-30: request and reply arrive")
    expect(counter).to_have_text("hop 1 of 10")
    expect(page.locator(".fv-stage").nth(1).locator(".fv-says")).to_contain_text("a1 to pod-300-30")
    # An output is cleared and comes back; then the kernel is gone.
    lab.command("notebook:move-cursor-down")
    page.locator(".jp-Notebook .jp-Cell").nth(1).locator(".jp-InputPrompt").click()
    lab.command("notebook:clear-cell-output")
    expect(page.locator(".fv-stage")).to_have_count(1)
    one.get_by_role("slider").press("ArrowRight")
    page.locator(".jp-Notebook .jp-Cell").nth(1).locator(".jp-InputPrompt").click()
    lab.command("notebook:run-cell")
    expect(page.locator(".fv-stage").nth(1).locator(".fv-counter")).to_have_text("hop 2 of 10")
    lab.check_clean()
    kernel = int(page.evaluate(PYTHON, "__import__('os').getpid()"))
    os.kill(kernel, signal.SIGSTOP)  # it answers widgets even while a cell runs, and nobody while it is stopped
    try:
        one.get_by_role("searchbox").fill("node-299")
        one.get_by_role("searchbox").press("Enter")
        expect(one.locator(".fv-message")).to_contain_text("kernel that is busy answers", timeout=8000)
    finally:
        os.kill(kernel, signal.SIGCONT)
    expect(box.and_(page.locator(":focus"))).to_contain_text("node-299: ", timeout=20000)
    lab.shut_kernel_down()
    one.get_by_role("slider").press("ArrowRight")
    expect(counter).to_have_text("hop 3 of 10")
    one.get_by_role("searchbox").fill("node-298")
    one.get_by_role("searchbox").press("Enter")
    expect(one.locator(".fv-message")).to_contain_text("was shut down has to run this cell again", timeout=8000)


def test_a_reply_is_told_where_it_was_asked_for(lab: LabPage, work: Path) -> None:
    """Of two views of one stage, that is the one which wished; and a later wish of the other takes no reply away."""
    write(work / "wishes.ipynb", SHOWN, "shown")
    lab.open("wishes.ipynb")
    assert lab.run_all(), lab.kernel_errors()
    page = lab.page
    views = one, other = [page.locator(".fv-stage").nth(i) for i in (0, 1)]
    one.get_by_role("searchbox").fill("nobody")
    one.get_by_role("searchbox").press("Enter")
    expect(one.locator(".fv-message")).to_contain_text("is called 'nobody'")
    expect(other.locator(".fv-message")).to_have_text("")
    kernel = int(page.evaluate(PYTHON, "__import__('os').getpid()"))
    os.kill(kernel, signal.SIGSTOP)
    try:
        for view, name in zip(views, ("no-first", "no-second")):
            view.get_by_role("searchbox").fill(name)
            view.get_by_role("searchbox").press("Enter")
            expect(view.locator(".fv-message")).to_have_text("working it out …")
    finally:
        os.kill(kernel, signal.SIGCONT)
    for view, name in zip(views, ("no-first", "no-second")):
        expect(view.locator(".fv-message")).to_contain_text(f"is called '{name}'")
    lab.check_clean()


@pytest.mark.parametrize("backward", [False, True])
def test_another_journey_begins_at_its_start(lab: LabPage, work: Path, backward: bool) -> None:
    """In whatever order the kernel tells of script, step and answers: they are a set there, another one each time."""
    write(work / "travel.ipynb", LARGE + SORTED.format(backward=backward), "shown")
    lab.open("travel.ipynb")
    assert lab.run_all(), lab.kernel_errors()
    page = lab.page
    one = page.locator(".fv-stage").first
    one.get_by_role("slider").press("End")
    one.get_by_role("button", name="this").click()
    one.get_by_role("slider").press("End")
    one.get_by_label("speed").select_option("4")
    hears(page, "shown.step", "10")
    assert page.evaluate(PYTHON, "shown.travel('a1', 'pod-300-30')") == "None"
    expect(one.locator(".fv-says")).to_have_text("a1 to pod-300-30: request and reply arrive")
    page.wait_for_timeout(300)
    for view in page.locator(".fv-stage").all():
        expect(view.locator(".fv-counter")).to_have_text("hop 1 of 10")
    expect(one.get_by_label("speed")).to_have_value("4")
    hears(page, "shown.step", "1")


def test_a_busy_kernel_does_not_throw_the_reader_back(lab: LabPage, work: Path) -> None:
    write(work / "busy.ipynb", SHOWN)
    lab.open("busy.ipynb")
    assert lab.run_all(), lab.kernel_errors()
    page = lab.page
    busy = "session.kernel.requestExecute({code: 'import time; time.sleep(1.5)'})"
    page.evaluate(f"() => {{ window.jupyterapp.shell.currentWidget.sessionContext.{busy} }}")
    page.locator(".fv-stage input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)  # the kernel is told, and confirms it when it wakes up
    for turn in range(24):  # on and back, so that there is always something that was not told yet
        page.keyboard.press("ArrowLeft" if turn and turn % 2 == 0 else "ArrowRight")
        expect(page.locator(".fv-counter")).to_have_text(f"hop {3 + turn % 2} of 10")
        page.wait_for_timeout(80)
    lab.wait_for_kernel()
    expect(page.locator(".fv-counter")).to_have_text("hop 4 of 10")


def test_a_step_back_to_what_the_kernel_confirms_stays(lab: LabPage, work: Path) -> None:
    """The kernel confirms step 2 just when the reader has gone on to 3, which it was not told yet, and comes back."""
    write(work / "back.ipynb", SHOWN)
    lab.open("back.ipynb")
    assert lab.run_all(), lab.kernel_errors()
    page = lab.page
    page.locator(".fv-stage input[type=range]").focus()
    kernel = int(page.evaluate(PYTHON, "__import__('os').getpid()"))
    os.kill(kernel, signal.SIGSTOP)
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)  # the kernel is told of step 2
    page.evaluate(PRESS, "ArrowRight")
    os.kill(kernel, signal.SIGCONT)
    page.wait_for_timeout(100)
    page.evaluate(PRESS, "ArrowLeft")
    expect(page.locator(".fv-counter")).to_have_text("hop 2 of 10")
    page.wait_for_timeout(300)
    expect(page.locator(".fv-counter")).to_have_text("hop 2 of 10")
    hears(page, "shown.step", "2")


def test_a_saved_notebook_goes_on_without_its_kernel(lab: LabPage, work: Path) -> None:
    write(work / "kept.ipynb", SHOWN)
    lab.open("kept.ipynb")
    assert lab.run_all(), lab.kernel_errors()
    page = lab.page
    page.locator(".fv-stage input[type=range]").press("ArrowRight")
    expect(page.locator(".fv-counter")).to_have_text("hop 2 of 10")
    lab.keep_widgets()
    lab.command("docmanager:save")
    assert "widgets" in nbformat.read(work / "kept.ipynb", 4).metadata
    lab.leave()
    lab.open("kept.ipynb")
    slider = page.locator(".fv-stage input[type=range]")
    slider.press("ArrowRight")
    expect(page.locator(".fv-counter")).to_have_text("hop 3 of 10")
    expect(page.locator(".jupyter-widgets-disconnected > .fv-stage")).to_have_count(1)
    assert page.locator(".fv-stage").evaluate(BROKEN_CHAIN) == "none"
    page.locator(".fv-stage svg [role=button]").filter(has_text="node-a").first.press("Enter")
    expect(page.locator(".fv-inside")).to_contain_text("ip route")
    page.get_by_role("button", name="Choose both ends").press("Enter")
    for address in ("172.16.0.131", "172.16.0.130"):
        page.locator(".fv-stage svg [role=button]").filter(has_text=address).press("Enter")
    expect(page.locator(".fv-message[role=status]")).to_contain_text("This needs a running notebook", timeout=10_000)


def test_both_themes_can_be_looked_at(lab: LabPage, work: Path) -> None:
    write(work / "themes.ipynb", SHOWN)
    lab.open("themes.ipynb")
    assert lab.run_all(), lab.kernel_errors()
    lab.page.locator(".fv-stage input[type=range]").press("End")
    lab.shoot("stage-lab")
    lab.check_clean()
