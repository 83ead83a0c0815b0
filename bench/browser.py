"""How long a learner waits for a picture, from the change of a control in JupyterLab to the new picture on screen."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.line import CHANGE, Line, Scale, both, p95

NAME = "bench.ipynb"
EXPLORER = """
from flannelviz import lab, large
from flannelviz.topologies import three_nodes
lab.journey({network})
"""
# Choose the next of the first options in one of the two lists, and wait until the picture says something else and
# has been painted: the callback after the next frame. The page is asked only when something in the widget has changed.
MOVE = """async move => {
    const picture = () => document.querySelector('.fv-widget .fv-picture svg')?.outerHTML;
    const painted = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    const changed = before => new Promise((done, failed) => {
        const late = setTimeout(() => failed(new Error('no new picture')), 5000);
        const watch = new MutationObserver(() => {
            if (picture() === before) return;
            watch.disconnect(), clearTimeout(late), done();
        });
        watch.observe(document.querySelector('.fv-widget'), {subtree: true, childList: true, attributes: true});
    });
    const select = document.querySelectorAll('.fv-widget .widget-dropdown select')[move % 2];
    const other = document.querySelectorAll('.fv-widget .widget-dropdown select')[(move + 1) % 2];
    let next = select.selectedIndex;
    do next = (next + 1) % Math.min(select.length, 6);
    while (select.options[next].text === other.options[other.selectedIndex].text);
    const drawn = changed(picture()), start = performance.now();
    select.selectedIndex = next;
    select.dispatchEvent(new Event('change', {bubbles: true}));
    await drawn;
    await painted();
    return performance.now() - start;
}"""


def browser(scale: Scale) -> Iterator[Line]:
    """Yield the whole way in a real browser, for both networks."""
    large = f"large({scale.nodes}, {scale.pods_per_node})"
    networks = (("three_nodes()", "3 nodes"), (large, scale.name))
    try:
        from tests.browser.lab import find_chromium

        find_chromium()
    except (ImportError, RuntimeError) as error:
        yield Line("new source or destination, in JupyterLab", f"not measured: {error}", CHANGE)
        return
    with TemporaryDirectory() as scratch, jupyter(Path(scratch)) as open_page:
        for network, where in networks:
            taken = moved(open_page, network, scale.moves)
            yield Line(
                f"new source or destination, JupyterLab, {where}", both(taken, "ms", "moves"), CHANGE, p95(taken)
            )


@contextmanager
def jupyter(scratch: Path) -> Iterator[Any]:
    """Run JupyterLab and Chromium; yield a function that gives a page on a notebook with one cell."""
    from playwright.sync_api import sync_playwright

    from tests.browser.lab import CHROMIUM_ARGS, find_chromium, lab_page, serving

    folder, own = scratch / "notebooks", scratch / "jupyter"
    folder.mkdir(), own.mkdir()
    with serving(Path(sys.executable), folder, own) as server, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGS)
        context = chromium.new_context()  # one profile, so that JupyterLab's own code is loaded only once

        @contextmanager
        def open_page(source: str) -> Iterator[Any]:
            write(folder / NAME, source)
            with lab_page(context, server) as lab:
                lab.open(NAME)
                assert lab.run_all(), lab.kernel_errors()
                yield lab

        yield open_page
        chromium.close()


def write(path: Path, source: str) -> None:
    """Write a notebook that can import what is measured."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    from tools.notebooks import KERNEL

    root = f"import sys; sys.path.insert(0, {str(Path(__file__).resolve().parents[1])!r})"
    nbformat.write(new_notebook(cells=[new_code_cell(root + source)], metadata={"kernelspec": KERNEL}), path)


def moved(open_page: Any, network: str, moves: int) -> list[float]:
    """Return the time of each move after two that warm the page up. Units: milliseconds."""
    with open_page(EXPLORER.format(network=network)) as lab:
        lab.page.locator(".fv-widget .fv-picture svg").first.wait_for()
        taken = [lab.page.evaluate(MOVE, move) for move in range(moves + 2)]
        assert lab.kernel_errors() == []
        return taken[2:]
