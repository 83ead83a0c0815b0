"""The stage in a browser, from a file on disk and with the network off: no server, no kernel, the same module."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from flannelviz import article, article_timeline, break_network, large, trace
from flannelviz.views import stage
from flannelviz.views.stage import Choice, Question, Stage
from flannelviz.views.stage.assets import MODULE
from flannelviz.views.stage.page import page as written
from tests.browser.shots import SHOTS
from tests.views.test_stage import HOSTILE, hostile_scripts

pytestmark = pytest.mark.browser

QUESTION = Question(
    3,
    "Which row decides at the VPC?",
    (
        Choice("172.16.8.0/25", "It is the <b>longest prefix</b> that holds 172.16.8.2.", right=True),
        Choice("0.0.0.0/0", "A default route only decides where nothing longer matches."),
    ),
)
WHERE = Question(
    1,
    "Where will it die?",
    (
        Choice("at node-a", "node-a still has its default route.", box="node-a"),
        Choice("at the VPC", "Its route table has no entry for 172.16.8.0/25.", right=True, box="VPC"),
    ),
)


@pytest.fixture(scope="module")
def disconnected(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, offline=True, reduced_motion="reduce")
    yield context
    context.close()


@pytest.fixture
def offline(disconnected: BrowserContext) -> Iterator[BrowserContext]:
    """A browser with the network off, in which each test has pages of its own: files on disk share nothing."""
    yield disconnected
    for page in disconnected.pages:
        page.close()


@pytest.fixture
def show(offline: BrowserContext, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Yield what opens a stage as a saved page; nothing on it may fail or ask for anything."""
    wrong: list[str] = []

    def opened(made: Stage, context: BrowserContext = offline) -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("request", lambda sent: wrong.append(sent.url) if not sent.url.startswith(("file:", "data:")) else None)
        page.goto(made.save(tmp_path / "stage.html").as_uri())
        page.locator(".fv-stage").wait_for()
        return page

    yield opened
    assert wrong == []


def journey(**more: object) -> Stage:
    return stage.journey(article(), trace(article(), "a1", "b1"), **more)


def lost() -> Stage:
    network = break_network(article(), "vpc-route-missing", "node-b")
    return stage.journey(network, trace(network, "a1", "b1"), [WHERE])


def says(page: Page) -> str:
    return page.locator(".fv-line[role=status]").inner_text()


def lit(page: Page, picture: int = 0) -> list[str]:
    """Return the names of the boxes that are lit now."""
    script = "svg => [...svg.querySelectorAll('.fv-box[data-lit=now] > title')].map(title => title.textContent)"
    return page.locator("svg.fv").nth(picture).evaluate(script)


def box(page: Page, name: str, picture: int = 0):
    return page.locator("svg.fv").nth(picture).get_by_role("button", name=name)


# --- stepping -------------------------------------------------------------------------------------------------------


def test_keys_step_through_a_journey(show: Callable[..., Page]) -> None:
    page = show(journey())
    assert says(page).startswith("hop 1 of 10: a1 routes to")
    page.get_by_role("slider").focus()
    for key, hop in (("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("End", 10), ("Home", 0), ("PageUp", 5)):
        page.keyboard.press(key)
        assert page.get_by_role("slider").input_value() == str(hop)
        expect(page.locator(".fv-counter")).to_have_text(f"hop {hop} of 10" if hop else "start")
    page.keyboard.press("Home")
    assert lit(page) == []
    page.keyboard.press("ArrowRight"), page.keyboard.press("ArrowRight"), page.keyboard.press("ArrowRight")
    assert lit(page) == ["VPC router route table", "vSwitch vsw-a 192.168.0.0/24"]
    assert "0.0.0.0/0 NatGateway" in page.locator(".fv-cards").inner_text(), "the runner-up is told"


def test_the_picture_is_what_svg_draws_for_that_hop(show: Callable[..., Page]) -> None:
    from flannelviz.views.scene import scene
    from flannelviz.views.svg import svg

    network = article()
    whole = scene(network, trace=trace(network, "a1", "b1"))
    page = show(journey())
    page.get_by_role("slider").focus()
    # What is drawn and lit, in the order of drawing, whoever drew it.
    read = """root => [...root.querySelectorAll('g[data-lit], .fv-box, .fv-row, .fv-wire')]
        .filter(g => !('absent' in g.dataset) && (g.dataset.lit || !/fv-(move|badge)/.test(g.className.baseVal)))
        .map(({className, dataset: {lit, direction, lost}, innerHTML}) =>
            [className.baseVal, lit, direction, lost, innerHTML].join('|'))"""
    for hop in (*range(2, 11), *range(9, 0, -1)):
        page.get_by_role("slider").press(
            "ArrowRight" if int(page.get_by_role("slider").input_value()) < hop else "ArrowLeft"
        )
        drawn = page.evaluate(
            f"text => ({read})(new DOMParser().parseFromString(text, 'text/html'))", svg(whole, hop=hop)
        )
        assert page.locator("svg.fv").evaluate(read) == drawn


def test_buttons_play_and_pause(show: Callable[..., Page]) -> None:
    page = show(journey())
    page.get_by_role("button", name="play").click()
    expect(page.locator(".fv-counter")).not_to_have_text("hop 1 of 10")
    page.get_by_role("button", name="pause").click()
    before = says(page)
    page.wait_for_timeout(1800)
    assert says(page) == before
    page.get_by_label("speed").select_option("4")
    page.get_by_role("button", name="play").click()
    expect(page.locator(".fv-counter")).to_have_text("hop 10 of 10")
    expect(page.get_by_role("button", name="play")).to_be_visible()
    assert says(page).startswith("hop 10 of 10, on the way back: a1 accepts")
    assert page.get_by_role("button", name="next hop").get_attribute("aria-disabled") == "true"
    page.get_by_role("button", name="first hop").click()
    page.get_by_role("slider").focus()
    page.keyboard.press("Space")
    expect(page.locator(".fv-counter")).to_have_text("hop 1 of 10")


def test_the_dot_moves_unless_motion_is_not_wanted(chromium: Browser, show: Callable[..., Page]) -> None:
    page = show(journey())
    page.get_by_role("slider").press("ArrowRight")
    expect(page.locator(".fv-dot")).to_have_count(0)
    moving = chromium.new_context(offline=True, reduced_motion="no-preference")
    page = show(journey(), moving)
    page.get_by_role("slider").press("ArrowRight")
    first = page.locator(".fv-dot").get_attribute("cy")
    page.wait_for_timeout(120)
    assert page.locator(".fv-dot").get_attribute("cy") != first
    expect(page.locator(".fv-dot")).to_have_count(0)
    moving.close()


def test_events_grow_the_picture_and_stay_where_they_are(show: Callable[..., Page]) -> None:
    page = show(stage.events(article_timeline()))
    slider = page.get_by_role("slider")
    expect(page.locator("svg.fv .fv-pod:not([data-absent])")).to_have_count(0)
    slider.fill("38")
    expect(page.locator("svg.fv .fv-pod:not([data-absent])")).to_have_count(1)
    corner = "g => ['x', 'y'].map(name => g.querySelector('rect').getAttribute(name))"
    where = page.locator("svg.fv .fv-pod:not([data-absent])").evaluate(corner)
    assert "bridge" in says(page)
    assert "ip addr add 172.16.0.130/25 dev eth0" in page.locator(".fv-cards").inner_text()
    slider.fill("60")
    expect(page.locator("svg.fv .fv-pod:not([data-absent])")).to_have_count(4)
    assert page.locator("svg.fv .fv-pod:not([data-absent])").first.evaluate(corner) == where
    slider.fill("0")
    expect(page.locator("svg.fv .fv-pod:not([data-absent])")).to_have_count(0)


def test_the_twin_marks_the_step(show: Callable[..., Page]) -> None:
    page = show(journey())
    page.get_by_text("The journey, hop by hop, as a table").click()
    page.get_by_role("slider").press("ArrowRight")
    current = page.locator(".fv-twin tr[aria-current=true]")
    expect(current).to_have_count(1)
    assert current.inner_text().split("\t")[:4] == ["2", "there", "node-a", "forwarded"]


# --- looking inside -------------------------------------------------------------------------------------------------


def test_a_node_opens_its_tables_and_a_row_lights_its_path(show: Callable[..., Page]) -> None:
    page = show(journey())
    box(page, "node-a: node").focus()
    page.keyboard.press("Enter")
    inside = page.locator(".fv-inside")
    expect(inside.get_by_role("heading", name="node-a")).to_be_focused()
    row = inside.locator("tr", has_text="default via 192.168.0.253 dev eth0")
    assert row.locator("td").nth(1).inner_text() == "2"
    row.focus()
    assert page.locator("svg.fv .fv-move[data-hint]").count() > 0
    assert set(page.locator("svg.fv .fv-move[data-hint]").evaluate_all("all => all.map(g => g.dataset.hop)")) == {"2"}
    row.blur()
    expect(page.locator("svg.fv [data-hint]")).to_have_count(0)
    page.locator("svg.fv .fv-badge[data-hop='2']").dispatch_event("pointerover")
    hinted = inside.locator("tr[data-hint] code").all_inner_texts()
    assert "default via 192.168.0.253 dev eth0 proto dhcp" in " ".join(hinted) or any(
        "default via" in t for t in hinted
    )
    inside.get_by_role("heading").press("Escape")
    expect(inside).to_be_hidden()
    expect(box(page, "node-a: node")).to_be_focused()


def test_what_traffic_taught_is_there_from_that_hop_on(show: Callable[..., Page]) -> None:
    page = show(journey())
    box(page, "cni0 172.16.8.1/25").click()
    learned = page.locator(".fv-inside tr", has_text="master cni0 self").or_(
        page.locator(".fv-inside tr", has_text="0a:58:ac:10:08:02")
    )
    expect(learned.locator("visible=true")).to_have_count(0)
    page.get_by_role("slider").fill("4")
    expect(learned.locator("visible=true").first).to_be_visible()


def test_the_vpc_opens_its_route_table(show: Callable[..., Page]) -> None:
    page = show(journey())
    box(page, "VPC router").click(position={"x": 20, "y": 10})
    assert "172.16.8.0/25 Instance" in page.locator(".fv-inside").inner_text()


def test_arrow_keys_go_from_place_to_place(show: Callable[..., Page]) -> None:
    page = show(journey())
    expect(page.locator("svg.fv [role=button][tabindex='0']")).to_have_count(1)
    box(page, "default/a1").focus()
    page.keyboard.press("ArrowRight")
    expect(box(page, "default/a2")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(box(page, "cni0 172.16.0.129/25")).to_be_focused()
    expect(page.locator("svg.fv [role=button][tabindex='0']")).to_have_count(1)


# --- faults, questions, ends ----------------------------------------------------------------------------------------


def test_before_and_after_stand_side_by_side(show: Callable[..., Page]) -> None:
    network = break_network(article(), "vpc-route-missing", "node-b")
    made = stage.broken((article(), trace(article(), "a1", "b1")), (network, trace(network, "a1", "b1")))
    page = show(made)
    assert says(page).startswith("here the journeys part; before: hop 3 of 10")
    left, right = (page.locator("figure").nth(i).bounding_box() for i in (0, 1))
    assert left and right and left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]
    assert "VPC router route table" in lit(page, 0) and "VPC router route table" in lit(page, 1)
    expect(page.locator("svg.fv").nth(1).locator(".fv-badge[data-lit] .fv-lost")).to_have_count(1)
    page.get_by_role("slider").press("End")
    assert says(page).startswith("before: hop 10 of 10")


def test_nobody_gets_past_a_question(show: Callable[..., Page]) -> None:
    page = show(journey(questions=[QUESTION]))
    slider = page.get_by_role("slider")
    slider.press("End")
    assert slider.input_value() == "2"
    expect(page.locator(".fv-question")).to_have_text("Which row decides at the VPC?")
    page.get_by_role("button", name="0.0.0.0/0").press("Enter")
    verdict = page.locator(".fv-answer")
    assert slider.input_value() == "3"
    assert verdict.get_attribute("data-correct") == "no"
    assert "nothing longer matches" in verdict.inner_text() and "longest prefix" in verdict.inner_text()
    expect(verdict).to_be_focused()
    slider.press("End")
    assert slider.input_value() == "10"


def test_what_an_answer_brings_is_not_played_over(show: Callable[..., Page]) -> None:
    page = show(journey(questions=[QUESTION]))
    page.get_by_role("button", name="play").click()
    page.get_by_role("button", name="0.0.0.0/0").click()
    page.wait_for_timeout(2000)  # longer than from one step to the next
    expect(page.locator(".fv-answer")).to_be_visible()
    expect(page.locator(".fv-counter")).to_have_text("hop 3 of 10")
    page.get_by_role("button", name="play").click()
    expect(page.locator(".fv-counter")).to_have_text("hop 4 of 10")


def test_a_double_click_is_one_answer(show: Callable[..., Page]) -> None:
    page = show(journey(questions=[QUESTION, replace(QUESTION, step=4)]))
    page.get_by_role("slider").press("End")
    place = page.get_by_role("button", name="0.0.0.0/0").bounding_box()
    assert place
    page.mouse.dblclick(place["x"] + 8, place["y"] + place["height"] / 2)
    expect(page.locator(".fv-counter")).to_have_text("hop 3 of 10")
    expect(page.locator(".fv-choices button")).to_have_count(2)
    page.get_by_role("button", name="0.0.0.0/0").click()
    expect(page.locator(".fv-counter")).to_have_text("hop 4 of 10")


def test_an_answer_may_be_a_place_in_the_picture(show: Callable[..., Page]) -> None:
    page = show(lost())
    page.get_by_role("slider").press("ArrowRight")
    expect(page.locator("svg [aria-description='choose this answer']", has_text="VPC router")).to_have_count(1)
    box(page, "VPC router route table").focus()
    page.keyboard.press("Enter")
    assert page.locator(".fv-answer").get_attribute("data-correct") == "yes"


def test_a_page_without_a_kernel_offers_nothing_that_needs_one(show: Callable[..., Page]) -> None:
    huge = large(300, 30)
    page = show(stage.journey(huge, trace(huge, "a1", "b1"), trace=trace))
    expect(page.get_by_role("button", name="Choose both ends")).to_have_count(0)
    expect(page.locator("svg.fv .fv-fold")).not_to_have_count(0)
    expect(page.locator("svg.fv .fv-fold[role=button]")).to_have_count(0)
    search = page.get_by_role("searchbox")
    for text, told in (("pod-300-30", "Nothing that is drawn here is called pod-300-30."), ("+ 2", "is called + 2")):
        search.fill(text)
        search.press("Enter")
        expect(page.locator(".fv-message[role=status]")).to_contain_text(told)
    assert "running notebook" not in page.locator(".fv-stage").inner_text()


@pytest.mark.parametrize("text", ["172.16.8.3", "default/b2", "B2", "lt/b2"])
def test_search_finds_a_pod_by_its_address_its_name_or_a_part(show: Callable[..., Page], text: str) -> None:
    page = show(journey(trace=trace))
    page.get_by_role("searchbox").fill(text)
    page.get_by_role("searchbox").press("Enter")
    expect(box(page, "default/b2")).to_be_focused()
    expect(page.locator("svg.fv .fv-pod[data-hint]")).to_have_count(1)
    page.get_by_role("slider").press("ArrowRight")
    expect(page.locator("svg.fv [data-hint]")).to_have_count(0)


# --- keys and what is read out --------------------------------------------------------------------------------------


def test_tab_stops_at_controls_and_once_at_each_picture(show: Callable[..., Page]) -> None:
    page = show(journey(trace=trace))
    stops = []
    for _ in range(14):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.getAttribute('class') ?? document.activeElement.localName"))
    assert "fv" not in stops, "the picture itself is no stop"
    assert sum(stop.startswith("fv-box") for stop in stops) == 1


def test_what_is_in_a_card_keeps_its_keys(show: Callable[..., Page]) -> None:
    page = show(stage.events(article_timeline()))
    page.get_by_role("slider").fill("9")
    fold = page.locator(".fv-cards summary").first
    assert fold.get_attribute("data-lm-suppress-shortcuts") == "true"
    fold.press("Space")
    expect(page.locator(".fv-cards details[open]")).to_have_count(1)
    fold.press("ArrowRight")
    expect(page.locator(".fv-counter")).to_have_text("event 9 of 60")
    page = show(journey())
    page.set_viewport_size({"width": 360, "height": 900})
    wide = page.locator(".fv-cards .fv-table[data-more]").first
    assert wide.get_attribute("data-lm-suppress-shortcuts") == "true"
    wide.press("ArrowRight")
    page.wait_for_function("frame => frame.scrollLeft > 0", arg=wide.element_handle())
    expect(page.locator(".fv-counter")).to_have_text("hop 1 of 10")


def test_a_table_that_was_scrolled_to_its_end_fades_no_more(show: Callable[..., Page]) -> None:
    page = show(journey())
    page.set_viewport_size({"width": 360, "height": 900})
    wide = page.locator(".fv-cards .fv-table")
    expect(wide).to_have_attribute("data-more", "")
    wide.evaluate("frame => frame.scrollTo(9999, 0)")
    expect(wide).not_to_have_attribute("data-more", "")
    wide.evaluate("frame => frame.scrollTo(0, 0)")
    expect(wide).to_have_attribute("data-more", "")


SAID = """stage => [...stage.querySelectorAll('output, [role=status], [role=alert], [aria-live]')]
    .filter(region => region.ariaLive !== 'off' && region.checkVisibility()).map(region => region.textContent)"""


def test_each_step_is_said_once(show: Callable[..., Page]) -> None:
    page = show(journey())
    slider, read = page.get_by_role("slider"), page.locator(".fv-stage")
    slider.press("ArrowRight")
    assert (slider.get_attribute("aria-valuetext"), "".join(read.evaluate(SAID))) == (says(page), "")
    page.get_by_role("button", name="next hop").press("Enter")
    assert "".join(read.evaluate(SAID)) == says(page)


def test_a_question_is_said_and_its_choices_are_walked_with_arrows(show: Callable[..., Page]) -> None:
    page = show(journey(questions=[QUESTION]))
    asks = page.locator(".fv-question[role=status]")
    expect(asks).to_have_text("")
    assert asks.evaluate("region => region.checkVisibility()"), "what is hidden is no live region"
    page.get_by_role("slider").press("End")
    expect(asks).to_have_text("Which row decides at the VPC?")
    choices = page.locator(".fv-choices button")
    choices.first.focus()
    for key, at in (("ArrowDown", 1), ("ArrowDown", 0), ("ArrowUp", 1), ("ArrowLeft", 0), ("ArrowRight", 1)):
        page.keyboard.press(key)
        expect(choices.nth(at)).to_be_focused()
        expect(page.locator(".fv-counter")).to_have_text("hop 2 of 10")
    page.keyboard.press("Enter")
    expect(asks).to_have_text("")
    verdict = page.locator(".fv-answer")
    expect(verdict).to_be_focused()
    assert verdict.get_attribute("role") == "group", "its focus reads it out, and nothing else does"
    assert verdict.get_attribute("aria-label").startswith("\u00d7 Not right: 0.0.0.0/0 A default route")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".fv-counter")).to_have_text("hop 4 of 10")


# --- bad states -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [{"version": 0}, {"steps": []}, {"pictures": [{}]}, {"pictures": []}, {"pictures": None}, {"twin": None}],
)
def test_a_state_of_another_form_is_refused(offline: BrowserContext, tmp_path: Path, change: dict[str, object]) -> None:
    made = journey()
    file = tmp_path / "old.html"
    file.write_text(written({"stage": {**made.state(), "script": {**made.script, **change}}}, ""))
    page = offline.new_page()
    page.goto(file.as_uri())
    expect(page.get_by_role("alert")).to_contain_text("Run this cell again")


# A host's model that tells who still listens, and a stage on it; `damage` changes its script before it is shown.
WATCHED = """async ([code, state, damage]) => {
    const module = await import(URL.createObjectURL(new Blob([code], {type: 'text/javascript'})));
    const listening = new Map(), watching = new Set();
    const Observer = window.ResizeObserver;
    window.ResizeObserver = class extends Observer {
        observe(target) { watching.add(this); super.observe(target); }
        disconnect() { watching.delete(this); super.disconnect(); }
    };
    for (const {keys, value} of damage) {
        const last = keys.pop();
        keys.reduce((found, key) => found[key], state.script)[last] = value;
    }
    const count = by => name => listening.set(name, (listening.get(name) ?? 0) + by);
    document.body.textContent = '';
    const leave = module.default.render({el: document.body, model: {
        get: name => state[name], set: (name, value) => { state[name] = value; }, save_changes() {},
        on: count(1), off: count(-1),
    }});
    window.left = () => [[...listening].filter(([, n]) => n).map(([name]) => name), watching.size];
    window.leave = leave;
}"""
STRANGE = {"a name": "that no attribute has"}


@pytest.mark.parametrize("later", [False, True], ids=["at once", "at a later step"])
def test_a_stage_that_fails_is_refused_and_leaves_nothing_behind(offline: BrowserContext, later: bool) -> None:
    made = journey()
    elements, looks = made.script["pictures"][0]["drawn"]["elements"], made.script["pictures"][0]["drawn"]["looks"]
    step = 4 if later else 0
    found = (
        (i, j) for i, element in enumerate(elements) for j, version in enumerate(element["at"]) if version[0] == step
    )
    number, version = next(found)
    damage = [
        {"keys": ["pictures", 0, "drawn", "looks", len(looks)], "value": STRANGE},
        {"keys": ["pictures", 0, "drawn", "elements", number, "at", version, 1], "value": len(looks)},
    ]
    page = offline.new_page()
    page.evaluate(WATCHED, [MODULE, made.state(), damage])
    if later:
        slider = page.get_by_role("slider")
        for _ in range(3):
            slider.press("ArrowRight")
    expect(page.get_by_role("alert")).to_contain_text("cannot be shown")
    expect(page.locator(".fv-stage > *")).to_have_count(1)
    assert page.evaluate("left()") == [["change:script"], 0]
    page.evaluate("leave()")
    assert page.evaluate("left()") == [[], 0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280, 3840])
def test_nothing_is_wider_than_the_page(chromium: Browser, show: Callable[..., Page], scheme: str, width: int) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    page = show(journey(trace=trace, questions=[QUESTION]), context)
    page.get_by_role("slider").press("End")
    page.locator(".fv-stage").locator("svg [aria-description^=look]").first.press("Enter")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    frame = page.locator(".fv-stage").bounding_box()
    assert frame and frame["width"] >= 0.55 * width, "a wide page is used"
    assert abs(frame["x"] - (width - frame["x"] - frame["width"])) < 16, "and what is left of it lies on both sides"
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"stage-{scheme}-{width}.png", full_page=True)
    context.close()


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize(
    "name", ["x" * 253, "\u05e9\u05b7\u05c1\u05dc\u05d5\u05b9\u05dd\u0627\u0644\u0639\u0642\u062f\u0629" * 4]
)
def test_a_long_name_or_one_from_right_to_left_stays_on_the_page(
    show: Callable[..., Page], name: str, width: int
) -> None:
    page = show(Stage(hostile_scripts(name)[0], str))
    page.set_viewport_size({"width": width, "height": 900})
    page.locator("svg [aria-description^=look]").first.press("Enter")
    page.locator(".fv-twin summary").click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    beyond = """svg => [...svg.querySelectorAll('g[data-i]:not([data-absent]) > text')]
        .filter(text => {
            const own = text.getBBox(), rect = text.parentElement.querySelector('rect');
            const around = rect ? rect.getBBox() : svg.viewBox.baseVal;
            return own.x < around.x - 1 || own.x + own.width > around.x + around.width + 1;
        }).map(text => text.textContent)"""
    assert page.locator("svg.fv").evaluate(beyond) == []


# Every letter twice as large, as a reader can set it where the page itself stays as it is.
TWICE = """stage => {
    const all = [...stage.querySelectorAll('*')].filter(one => !one.closest('svg'));
    const sizes = all.map(one => parseFloat(getComputedStyle(one).fontSize));
    all.forEach((one, i) => { one.style.fontSize = `${2 * sizes[i]}px`; });
}"""
# Controls whose text does not fit into them, and pairs of controls that lie on one another.
CRAMPED = """stage => {
    const all = [...stage.querySelectorAll('button, select, input, summary')].filter(one => one.checkVisibility());
    const clipped = all.filter(one => one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1);
    const boxes = all.map(one => one.getBoundingClientRect());
    const on = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
    const under = i => all.slice(0, i).filter((_, j) => on(boxes[i], boxes[j]));
    const pairs = all.flatMap((one, i) => under(i).map(other => [one, other]));
    const outside = all.filter((_, i) => boxes[i].right > innerWidth + 1 && !all[i].closest('.fv-table'));
    const size = one => parseFloat(getComputedStyle(one).fontSize);
    const low = all.filter((one, i) => one.matches('select, [type=search]') && boxes[i].height < 1.2 * size(one));
    const name = one => one.ariaLabel || one.textContent || one.localName;
    return [clipped.map(name), pairs.map(pair => pair.map(name)), outside.map(name), low.map(name)];
}"""


@pytest.mark.parametrize("width", [640, 1280])
def test_text_of_twice_the_size_is_not_clipped(show: Callable[..., Page], width: int) -> None:
    page = show(journey(trace=trace, questions=[QUESTION]))
    page.set_viewport_size({"width": width, "height": 900})
    page.get_by_role("slider").press("End")
    page.locator("svg [aria-description^=look]").first.press("Enter")
    page.locator(".fv-stage").evaluate(TWICE)
    assert page.locator(".fv-stage").evaluate(CRAMPED) == [[], [], [], []]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"stage-text-200-{width}.png", full_page=True)


# --- text from outside ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_of_a_dump_runs(offline: BrowserContext, tmp_path: Path, name: str) -> None:
    """Names that try to be script go through every view of the stage, without a policy that would stop them."""
    scripts = hostile_scripts(name)
    states = {f"stage-{i}": {"script": one.plain(), "step": 0, "answers": []} for i, one in enumerate(scripts)}
    file = tmp_path / "hostile.html"
    file.write_text(re.sub(r"<meta http-equiv[^>]*>", "", written(states, scripts[0].says)), "utf-8")
    page, ran = offline.new_page(), list[str]()
    page.on("dialog", lambda dialog: (ran.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: ran.append(str(error)))
    page.goto(file.as_uri())
    expect(page.locator(".fv-stage")).to_have_count(len(scripts))
    for shown, script in zip(page.locator(".fv-stage").all(), scripts):
        visit(shown, asks=bool(script.questions), walks=len(script.steps) > 1)
    assert ran == []


def visit(shown: Locator, *, asks: bool, walks: bool) -> None:
    """Open whatever a stage has to open, and find nothing that leads away."""
    if asks:
        shown.locator(".fv-choices button").first.click()
    if walks:
        shown.locator(".fv-twin summary").click()
        for _ in range(3):
            shown.get_by_role("slider").press("ArrowRight")
    for opened in shown.locator("svg [aria-description^=look]").all():
        opened.press("Enter")
        shown.page.keyboard.press("Escape")
    read = (
        "stage => [...stage.querySelectorAll('*')].flatMap(tag => [`<${tag.localName}>`, ...tag.getAttributeNames()])"
    )
    found = set(shown.evaluate(read))
    assert not {f"<{tag}>" for tag in ("script", "img", "iframe", "a", "object", "embed")} & found
    assert not {name for name in found if name.startswith("on") or name in ("href", "src", "xlink:href")}
