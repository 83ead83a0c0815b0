"""Fixtures of the browser tests: one JupyterLab in one page of one Chromium for all tests of a worker."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

pytest.register_assert_rewrite("tests.browser.lab", "tests.browser.controls")

from tests.browser.kept import write_kept  # noqa: E402
from tests.browser.lab import CHROMIUM_ARGS, ROOT, LabPage, Server, find_chromium, new_context, serving  # noqa: E402
from tests.browser.shots import SHOTS  # noqa: E402

Pages = Iterator[LabPage]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def context(chromium: Browser) -> BrowserContext:
    return new_context(chromium)


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the notebooks: the committed ones are never run in place."""
    folder = tmp_path_factory.mktemp("work") / "notebooks"
    shutil.copytree(ROOT / "notebooks", folder, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    return folder


@pytest.fixture(scope="session")
def kept(work: Path) -> Path:
    """A small notebook with stages, executed and saved as the committed ones are."""
    return write_kept(work / "kept_stages.ipynb")


@pytest.fixture(scope="session")
def server(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(Path(sys.executable), work, tmp_path_factory.mktemp("jupyter")) as server:
        yield server


@pytest.fixture(scope="session")
def pages() -> list[LabPage]:
    """The page that JupyterLab is in, if there is one."""
    return []


@pytest.fixture
def lab(server: Server, context: BrowserContext, pages: list[LabPage], request: pytest.FixtureRequest) -> Pages:
    """A page without a notebook. Tests share it, as JupyterLab takes longer to load than a notebook does; after a test
    that has failed, which leaves a picture, the next one gets a new page.
    """
    page = pages.pop() if pages else LabPage(context.new_page(), server)
    failed = request.session.testsfailed
    yield page
    if request.session.testsfailed > failed:
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.page.screenshot(path=SHOTS / f"failed-{request.node.name}.png")
        page.close()
    else:
        page.leave()
        pages.append(page)
