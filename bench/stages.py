"""How long a reader waits on the stage: from a key to the picture, from a wish to another one, and for the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import flannelviz
from bench.line import CHANGE, FIRST, KEY, Line, Scale, both, medians, number, p95, seconds
from flannelviz import Network, article, article_timeline, break_network, large
from flannelviz.topologies import three_nodes

LEAST_MOVES = 40
# Press a key on the slider; return when the page had changed, when the frame that shows it began, and when it had been
# painted. Keys fall at any moment between two frames, as a reader's do, so half a frame of each time is waiting.
PRESS = """async ([key, wait]) => {
    await new Promise(done => setTimeout(done, wait));
    const slider = document.querySelector('.fv-stage input[type=range]'), before = slider.value;
    const start = performance.now();
    slider.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
    const done = performance.now();
    if (slider.value === before) throw new Error('the key led nowhere');
    let frame;
    await new Promise(painted => requestAnimationFrame(() => {
        frame = performance.now();
        const channel = new MessageChannel();
        channel.port1.onmessage = painted;
        channel.port2.postMessage(0);
    }));
    return [done - start, frame - start, performance.now() - start];
}"""


def stage(scale: Scale) -> Iterator[Line]:
    """Yield what stepping costs in the browser, what a first picture costs, and the same picture in matplotlib."""
    from flannelviz.views import stage as stages

    network = article()
    broken = break_network(network, "vpc-route-missing", "node-b")
    before, after = (flannelviz.trace(net, "a1", "b1") for net in (network, broken))
    made = {
        "hop": stages.journey(network, before),
        "event": stages.events(article_timeline()),
        "fault": stages.broken((network, before), (broken, after)),
    }
    yield from stepped(made, max(scale.moves, LEAST_MOVES))
    yield from compared(network, before, scale)
    yield from first(three_nodes(), "3 nodes", scale)
    yield from first(large(scale.nodes, scale.pods_per_node), scale.name, scale)


def stepped(made: dict[str, Any], moves: int) -> Iterator[Line]:
    """Yield the time from a key press to the picture for each kind of step."""
    try:
        from tests.browser.lab import find_chromium

        find_chromium()
    except (ImportError, RuntimeError) as error:
        yield Line("key press to picture on the stage", f"not measured: {error}", KEY)
        return
    with TemporaryDirectory() as scratch, browser() as open_page:
        for what, one in made.items():
            page = open_page(one.save(Path(scratch) / f"{what}.html"))
            taken = pressed(page, moves)
            worked, shown, painted = zip(*taken)
            yield Line(f"key press to the frame that shows it, {what}", both(shown, "ms", "moves"), KEY, p95(shown))
            yield Line(f"of it the page's own work, {what}", both(worked, "ms", "moves"))
            yield Line(f"key press to the end of painting, {what}", both(painted, "ms", "moves"))


@contextmanager
def browser() -> Iterator[Callable[[Path], Any]]:
    """Yield what opens a file in a browser with the network off."""
    from playwright.sync_api import sync_playwright

    from tests.browser.lab import CHROMIUM_ARGS, find_chromium

    def opened(file: Path) -> Any:
        page = context.new_page()
        page.goto(file.as_uri())
        page.locator(".fv-stage input[type=range]").wait_for()
        return page

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGS)
        context = chromium.new_context(viewport={"width": 1280, "height": 900}, offline=True)
        yield opened
        chromium.close()


def pressed(page: Any, moves: int) -> list[tuple[float, ...]]:
    """Return the time of each key press, on to the last step and back, after two that warm the page up. Units: ms."""
    last = int(page.locator(".fv-stage input[type=range]").get_attribute("max"))
    page.locator(".fv-stage input[type=range]").fill("0")
    keys = (("ArrowRight" if i // last % 2 == 0 else "ArrowLeft") for i in range(moves + 2))
    taken = [tuple(page.evaluate(PRESS, [key, 20 + 7.3 * i % 17])) for i, key in enumerate(keys)]
    return taken[2:]


def compared(network: Network, journey: flannelviz.Trace, scale: Scale) -> Iterator[Line]:
    """Yield the time in which matplotlib draws one hop of the same scene."""
    from flannelviz.views.figure import figure, figure_svg
    from flannelviz.views.scene import scene

    whole = scene(network, trace=journey)

    def drawn(hop: int) -> None:
        figure_svg(figure(whole, hop=hop))

    taken = [seconds(drawn, 1 + i % len(whole.path)) * 1000 for i in range(min(scale.moves, 20))]
    yield Line("the same hop in matplotlib, as SVG", both(taken, "ms", "pictures"))


def first(network: Network, where: str, scale: Scale) -> Iterator[Line]:
    """Yield the time to a first picture, in the kernel and in the browser, and to one with other ends."""
    from flannelviz.views import stage as stages

    pods = list(network.pods)
    journey = flannelviz.trace(network, pods[0], pods[-1])
    start = seconds(lambda: stages.journey(network, journey))
    made = stages.journey(network, journey, trace=flannelviz.trace)
    with TemporaryDirectory() as scratch, browser() as open_page:
        file = made.save(Path(scratch) / "first.html")
        open_page(file)
        opened = [seconds(open_page, file) for _ in range(5)]
    yield Line(
        f"first picture on the stage, {where}",
        f"{number(start * 1000)} ms in the kernel; then {medians([t * 1000 for t in opened], 'ms', 'pages')}",
        FIRST,
        start + max(opened),
    )
    ends = [(pods[i % len(pods)], pods[-1 - i % (len(pods) - 1)]) for i in range(scale.moves)]
    taken = [seconds(made.travel, *pair) * 1000 for pair in ends if pair[0] != pair[1]]
    yield Line(f"other ends on the stage, in the kernel, {where}", both(taken, "ms", "changes"), CHANGE, p95(taken))
