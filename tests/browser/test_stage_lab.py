"""The stage in JupyterLab: its keys stay its own, Python hears what a reader does, and a saved notebook goes on."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

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


def test_a_saved_notebook_goes_on_without_its_kernel(lab: LabPage, work: Path) -> None:
    write(work / "kept.ipynb", SHOWN)
    lab.open("kept.ipynb")
    assert lab.run_all(), lab.kernel_errors()
    page = lab.page
    page.locator(".fv-stage input[type=range]").press("ArrowRight")
    expect(page.locator(".fv-counter")).to_have_text("hop 2 of 10")
    lab.command("@jupyter-widgets/jupyterlab-manager:saveWidgetState")
    lab.command("docmanager:save")
    lab.leave()
    lab.open("kept.ipynb")
    slider = page.locator(".fv-stage input[type=range]")
    slider.press("ArrowRight")
    expect(page.locator(".fv-counter")).to_have_text("hop 3 of 10")
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
