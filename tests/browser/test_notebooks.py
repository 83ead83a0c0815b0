"""Every notebook in a real JupyterLab, in a real browser: it runs clean, and each of its controls does something."""

from pathlib import Path

import pytest

from tests.browser.controls import Driver
from tests.browser.lab import LabPage
from tests.checkout import NOTEBOOKS

pytestmark = pytest.mark.browser


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS, "notebooks/ is empty, so no notebook was opened"


@pytest.mark.parametrize("name", [path.name for path in NOTEBOOKS])
def test_runs_clean_and_every_control_moves_its_picture(lab: LabPage, name: str) -> None:
    lab.open(name)
    assert lab.run_all(), lab.kernel_errors()
    lab.check_clean()
    lab.shoot(Path(name).stem)
    assert lab.page.locator(".fv-quiz .fv-answer:visible").all_inner_texts() == [], "an answer shows before the guess"
    complaints = Driver(lab).move_everything()
    lab.shoot(f"{Path(name).stem}-moved", themes=["Light"])
    assert complaints == []
    lab.check_clean()
