"""What axe-core says of the stage in every state that it has, on a saved page in both colour schemes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from flannelviz import article, article_timeline, break_network, large, trace
from flannelviz.views import stage
from flannelviz.views.stage import Stage
from flannelviz.views.stage.page import page as written
from tests.browser.test_stage import QUESTION, WHERE

pytestmark = pytest.mark.browser

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
# Whatever is wrong, however little, and whatever axe cannot decide; but not the colours of a drawing or of one sign,
# which it cannot see: each of those pairs is measured in test_colours_contrast_as_wcag_aa_asks.
RUN = """async only => {
    const {violations, incomplete} = await axe.run(document, only ? {runOnly: only} : {});
    const drawn = node => document.querySelector(node.target[0])?.closest('svg');
    const sign = ({any}) => any.some(({data}) => ['shortTextContent', 'nonBmp'].includes(data?.messageKey));
    const open = incomplete.map(({id, impact, nodes}) =>
        ({id, impact, nodes: nodes.filter(node => id !== 'color-contrast' || !(drawn(node) || sign(node)))}));
    return [...violations, ...open.filter(({nodes}) => nodes.length)]
        .map(({id, impact, nodes}) => [id, impact, ...nodes.map(({html}) => html.slice(0, 160))]);
}"""
NO_PAGE = [["page-has-heading-one", "moderate", '<html lang="en">']]  # a refusal has no heading, nor has an output


def journey() -> Stage:
    return stage.journey(article(), trace(article(), "a1", "b1"), trace=trace)


def events() -> Stage:
    return stage.events(article_timeline())


def fault() -> Stage:
    broken = break_network(article(), "vpc-route-missing", "node-b")
    return stage.broken((article(), trace(article(), "a1", "b1")), (broken, trace(broken, "a1", "b1")))


def asking() -> Stage:
    return stage.journey(article(), trace(article(), "a1", "b1"), [WHERE, QUESTION])


def folded() -> Stage:
    return stage.journey(large(300, 30), None, trace=trace)


def unreadable() -> Stage:
    made = journey()
    made.script = {**made.script, "version": 0}
    return made


def at_the_end(page: Page) -> None:
    page.get_by_role("slider").press("End")
    page.locator(".fv-twin summary").click()


def at_an_event(page: Page) -> None:
    page.get_by_role("slider").fill("38")


def opened(page: Page) -> None:
    page.get_by_role("slider").press("ArrowRight")
    page.locator("svg [aria-description^=look]", has_text="node-a").first.press("Enter")
    page.locator(".fv-inside tr[tabindex]").first.focus()


def asked(page: Page) -> None:
    page.get_by_role("slider").press("End")


def answered(page: Page) -> None:
    asked(page)
    page.locator(".fv-choices button").last.click()


def picking(page: Page) -> None:
    page.get_by_role("button", name="Choose both ends").click()
    page.keyboard.press("Enter")


def nothing(page: Page) -> None:
    """Leave the stage as it opens."""


STATES: list[tuple[Callable[[], Stage], Callable[[Page], None]]] = [
    *((journey, act) for act in (nothing, at_the_end, opened, picking)),
    (events, at_an_event),
    *((fault, act) for act in (nothing, at_the_end)),
    *((asking, act) for act in (asked, answered)),
    (folded, nothing),
    (unreadable, nothing),
]


@pytest.fixture(scope="module")
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, offline=True, reduced_motion="reduce")
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(("made", "act"), STATES, ids=lambda one: one.__name__)
def test_axe_finds_nothing(page: Page, tmp_path: Path, made: Callable[[], Stage], act: Callable[[Page], None]) -> None:
    shown = made()
    text = written({"stage": shown.state()}, shown.says)
    if act is picking:  # as in a notebook, where somebody would answer
        text = re.sub("<meta http-equiv[^>]*>", "", text).replace("alone: true", "alone: false")
    (tmp_path / "stage.html").write_text(text, "utf-8")
    page.emulate_media(color_scheme="light")
    page.goto((tmp_path / "stage.html").as_uri())
    page.locator(".fv-stage > *").first.wait_for()
    act(page)
    page.evaluate(AXE)
    assert page.evaluate(RUN, None) == (NO_PAGE if made is unreadable or act is picking else [])
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(RUN, ["color-contrast"]) == []
