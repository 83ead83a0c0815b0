"""The stage in Notebook 7 and in Voila: the same server, the same notebook, the main things a reader does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.lab import KERNEL_IDLE, Server
from tests.browser.shots import SHOTS

pytestmark = pytest.mark.browser

RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
SHUT_DOWN = "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.shutdown?.()"
# The hosts have trouble of their own (fonts from a CDN, plugins that miss one another); the stage runs from a blob.
OURS = re.compile("blob:|anywidget")


@pytest.fixture(scope="module", params=["notebooks", "voila/render"], ids=["notebook7", "voila"])
def host(request: pytest.FixtureRequest, server: Server, context: BrowserContext, kept: Path) -> Iterator[Page]:
    """Yield the page of a host that has run the notebook; nothing leaves the machine, and the stage does not fail."""
    page, wrong = context.new_page(), list[str]()
    page.on("pageerror", lambda error: wrong.append(f"{error}\n{error.stack}"))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.route(lambda url: not url.startswith((server.url, "data:", "blob:")), lambda route: Route.abort(route))
    page.goto(f"{server.url}/{request.param}/{kept.name}?token={server.token}")
    if request.param == "notebooks":
        page.wait_for_function(KERNEL_IDLE, timeout=60_000)
        assert page.evaluate(RUN_ALL), "a cell failed"
    expect(page.locator(".fv-stage svg.fv")).to_have_count(3, timeout=30_000)
    yield page
    page.evaluate(SHUT_DOWN)
    page.close()
    assert [said for said in wrong if OURS.search(said)] == []


@pytest.fixture
def journey(host: Page) -> Page:
    """Return the page with the first stage at its start, and nothing opened."""
    first = host.locator(".fv-stage").first
    first.get_by_role("slider").press("Home")
    expect(first.locator(".fv-counter")).to_have_text("start")
    return host


def test_keys_step(journey: Page) -> None:
    first = journey.locator(".fv-stage").first
    slider = first.get_by_role("slider")
    slider.focus()
    for key, hop in (("ArrowRight", 1), ("ArrowDown", 0), ("ArrowUp", 1), ("ArrowRight", 2), ("End", 10)):
        journey.keyboard.press(key)
        expect(first.locator(".fv-counter")).to_have_text(f"hop {hop} of 10" if hop else "start")
    expect(slider).to_be_focused()
    assert journey.evaluate("() => window.smuggled ?? null") is None, "no name of the dump below was run"


def test_a_row_that_is_clicked_lights_its_path(journey: Page) -> None:
    first = journey.locator(".fv-stage").first
    first.get_by_role("slider").fill("3")
    first.locator("svg [role=button]").filter(has_text="VPC router").press("Enter")
    row = first.locator(".fv-inside tr", has_text="172.16.8.0/25 Instance")
    row.click()
    expect(row).to_be_focused()
    expect(first.locator("svg .fv-move[data-hint]").first).to_be_visible()
    SHOTS.mkdir(parents=True, exist_ok=True)
    name = "notebook7" if "/notebooks/" in journey.url else "voila"
    first.screenshot(path=SHOTS / f"stage-{name}.png")
    row.press("Escape")
    expect(first.locator(".fv-inside")).to_be_hidden()


def test_it_plays(journey: Page) -> None:
    first = journey.locator(".fv-stage").first
    first.get_by_label("speed").select_option("4")
    first.get_by_role("button", name="play").click()
    expect(first.locator(".fv-counter")).to_have_text("hop 10 of 10", timeout=15_000)
    assert "a1 accepts" in first.locator(".fv-line[role=status]").inner_text()
