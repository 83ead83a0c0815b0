"""An exported notebook in a browser, from disk and with the network off; and the same notebook saved, in JupyterLab."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.sign import NotebookNotary
from playwright.sync_api import Browser, Page, expect

from flannelviz.views.export import export
from tests.browser.lab import LabPage
from tests.browser.shots import SHOTS

pytestmark = pytest.mark.browser

STATE_OF_THE_PAGE = "() => [document.documentElement.scrollWidth <= innerWidth, window.smuggled ?? null]"


@pytest.fixture(scope="module")
def exported(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(kept, tmp_path_factory.mktemp("pages")).path


@pytest.fixture
def opened(chromium: Browser, exported: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Yield the page as a browser without a network shows it; nothing on it may fail or ask for anything."""
    wrong: list[str] = []
    options = {"viewport": {"width": 1280, "height": 900}, **getattr(request, "param", {})}
    context = chromium.new_context(offline=True, reduced_motion="reduce", **options)
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("request", lambda sent: wrong.append(sent.url) if not sent.url.startswith(("file:", "data:")) else None)
    page.goto(exported.as_uri())
    yield page
    context.close()
    assert wrong == []


def test_every_stage_is_live(opened: Page) -> None:
    stages = opened.locator(".fv-stage")
    expect(stages).to_have_count(3)
    journey = stages.first
    journey.get_by_role("slider").focus()
    for hop in (2, 3):
        opened.keyboard.press("ArrowRight")
        expect(journey.locator(".fv-counter")).to_have_text(f"hop {hop} of 10")
    assert "VPC" in journey.locator(".fv-line[role=status]").inner_text()
    journey.locator("svg [role=button]").filter(has_text="node-a").first.click(position={"x": 15, "y": 15})
    expect(journey.locator(".fv-inside")).to_contain_text("ip route")
    journey.get_by_label("speed").select_option("4")
    journey.get_by_role("button", name="play").click()
    expect(journey.locator(".fv-counter")).to_have_text("hop 10 of 10")


def test_a_box_keeps_its_text_and_its_stage(opened: Page) -> None:
    box = opened.locator(".widget-vbox", has=opened.locator(".boxed"))
    expect(box.locator(".boxed")).to_have_text("Choose a pod & look.")
    expect(box.locator(".fv-stage svg.fv")).to_have_count(1)
    expect(opened.get_by_text("Left out here: controls that need Python")).to_have_count(1)
    expect(box.get_by_text("Send")).to_have_count(0)


def test_no_name_is_run_and_it_still_shows(opened: Page) -> None:
    assert opened.evaluate(STATE_OF_THE_PAGE) == [True, None]
    expect(opened.locator(".fv-stage").nth(2).locator("svg.fv")).to_contain_text("</script")
    assert opened.locator("script").count() == 4, "three states and the module"


def test_the_policy_stops_what_an_output_would_like_to_load(chromium: Browser, exported: Path, tmp_path: Path) -> None:
    """No page of ours holds this; if one did, the browser would not run it."""
    smuggled = (
        "<script>window.smuggled = 1</script><img src=x onerror='window.smuggled = 2'>"
        "<img src='https://a.example/b.png'><link rel=stylesheet href='https://a.example/c.css'>"
    )
    page_text = exported.read_text("utf-8").replace('<main id="fv-text">', f'<main id="fv-text">{smuggled}')
    (tmp_path / "smuggled.html").write_text(page_text, "utf-8")
    stopped: list[str | None] = []
    page = chromium.new_page()
    page.on("requestfailed", lambda request: stopped.append(request.failure))
    page.on("response", lambda answer: answer.url.startswith("http") and stopped.append(answer.url))
    page.goto((tmp_path / "smuggled.html").as_uri())
    expect(page.locator(".fv-stage")).to_have_count(3)
    assert page.evaluate("() => window.smuggled ?? null") is None
    assert stopped == ["csp"] * 3, "none was sent"
    page.close()


def test_the_keyboard_gets_past_the_contents(opened: Page) -> None:
    opened.keyboard.press("Tab")
    expect(opened.get_by_role("link", name="Skip to the text")).to_be_focused()
    opened.keyboard.press("Enter")
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.closest('main') !== null")
    opened.get_by_role("navigation").locator("summary").click()
    opened.get_by_role("link", name="In a box").click()
    expect(opened.get_by_role("heading", name="In a box")).to_be_in_viewport()
    assert opened.evaluate("[document.documentElement.lang, document.title]") == ["en", "Which row decides?"]


SIZES = [
    {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    for width in (360, 1280, 3840)
    for scheme in ("light", "dark")
]


@pytest.mark.parametrize(
    "opened", SIZES, indirect=True, ids=lambda size: f"{size['color_scheme']}-{size['viewport']['width']}"
)
def test_it_can_be_read_at_any_width(opened: Page, request: pytest.FixtureRequest) -> None:
    expect(opened.locator(".fv-stage svg.fv")).to_have_count(3)
    assert opened.evaluate(STATE_OF_THE_PAGE) == [True, None]
    size = opened.evaluate("[parseFloat(getComputedStyle(document.querySelector('.fv-prose p')).fontSize), innerWidth]")
    assert size[0] >= (24 if size[1] == 3840 else 16)
    dark = opened.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    ground = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(17, 17, 17)" if dark else "rgb(255, 255, 255)")
    SHOTS.mkdir(parents=True, exist_ok=True)
    opened.screenshot(path=SHOTS / f"export-{'dark' if dark else 'light'}-{size[1]}.png", full_page=True)


def test_what_is_wider_than_its_frame_moves_with_keys(opened: Page) -> None:
    opened.set_viewport_size({"width": 360, "height": 900})
    routes = opened.locator("[data-wide] [tabindex='0']")
    expect(routes).to_have_count(1)
    routes.press("ArrowRight")
    opened.wait_for_function("() => document.querySelector('[data-wide] [tabindex=\"0\"]').scrollLeft > 0")


def test_on_paper_it_is_black_on_white_without_controls(opened: Page) -> None:
    opened.emulate_media(media="print", color_scheme="dark")
    assert opened.evaluate("getComputedStyle(document.body).color") == "rgb(28, 39, 51)"
    expect(opened.locator(".fv-stage").first.locator(".fv-bar").first).to_be_hidden()
    expect(opened.locator(".fv-stage svg.fv").first).to_be_visible()
    expect(opened.locator(".fv-code").first).to_be_visible()


@pytest.mark.parametrize("opened", [{"java_script_enabled": False}], indirect=True)
def test_without_script_the_pictures_show(opened: Page) -> None:
    expect(opened.locator("noscript img")).to_have_count(2)  # a box that is none of ours has no picture
    expect(opened.locator("noscript img").first).to_be_visible()


# --- the saved notebook, in JupyterLab ------------------------------------------------------------------------------


def test_a_trusted_notebook_steps_without_a_kernel(lab: LabPage, kept: Path) -> None:
    notary = NotebookNotary(data_dir=str(lab.server.scratch / "data"))
    notebook = nbformat.read(kept, as_version=4)
    notebook.cells[0].source += " Trusted."  # a signature is that of the content, whatever the file is called
    nbformat.write(notebook, kept.with_name("trusted.ipynb"))
    notary.sign(notebook)
    lab.open("trusted.ipynb")
    journey = lab.page.locator(".fv-stage").first
    expect(lab.page.locator(".fv-stage svg.fv")).to_have_count(3, timeout=15_000)
    lab.shut_kernel_down()
    journey.get_by_role("slider").press("ArrowRight")
    expect(journey.locator(".fv-counter")).to_have_text("hop 2 of 10")
    journey.get_by_role("slider").fill("7")
    expect(journey.locator(".fv-counter")).to_have_text("hop 7 of 10")
    expect(lab.page.locator(".fv-stage svg.fv")).to_have_count(3)
    assert lab.page.evaluate("() => window.smuggled ?? null") is None
    assert lab.broken_widgets() == 0


def test_an_untrusted_notebook_shows_the_picture(lab: LabPage, kept: Path) -> None:
    lab.open(kept.name)
    picture = lab.outputs().first.locator("img")
    expect(picture).to_be_visible()
    assert picture.evaluate("img => img.decode().then(() => img.clientWidth)") > 300, "it is drawn"
    assert picture.get_attribute("alt") == "a1 to b1: request and reply arrive"
    expect(lab.page.locator(".fv-stage")).to_have_count(0)
    assert lab.page.evaluate("() => window.smuggled ?? null") is None
    lab.check_clean()
