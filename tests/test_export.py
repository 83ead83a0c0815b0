"""A notebook as one file: what is in it, what is left out, and what cannot be exported."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from flannelviz import article, article_timeline, lab, read_kubectl, trace
from flannelviz.errors import NotebookError
from flannelviz.export import main
from flannelviz.views import stage
from flannelviz.views.export import export
from flannelviz.views.export.saved import STATE, VIEW
from flannelviz.views.export.sheet import ANSI, CODE, PAGE_ONLY
from flannelviz.views.stage.assets import MODULE
from flannelviz.views.theme import DARK, LIGHT, contrast
from tests.checkout import NOTEBOOKS
from tools.notebooks import KERNEL

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<!--",
    "<script",
    "a\u2028b",
    "]]>",
    "</noscript><img src=x onerror=alert(2)>",
)


def result(data: dict[str, Any]) -> Any:
    return new_output("execute_result", data=data, execution_count=1)


def cell(source: str, *outputs: Any, **metadata: Any) -> Any:
    return new_code_cell(source, outputs=list(outputs), execution_count=1, metadata=metadata)


def shown(widget: widgets.Widget, source: str = "widget") -> Any:
    """Return a cell that shows a widget, as a kernel answers it."""
    bundle = widget._repr_mimebundle_()
    return cell(source, result(dict(bundle[0] if isinstance(bundle, tuple) else bundle)))


def saved(path: Path, *cells: Any, state: bool = True, **metadata: Any) -> Path:
    """Write a notebook that was run, with the state of every widget, as JupyterLab saves it."""
    manager = widgets.Widget.get_manager_state() if state else {"state": {}}
    metadata = {"kernelspec": KERNEL, "widgets": {STATE: manager}, **metadata}
    nbformat.write(new_notebook(cells=list(cells), metadata=metadata), path)
    return path


def journey() -> stage.Stage:
    return stage.journey(article(), trace(article(), "a1", "b1"))


@pytest.fixture
def exported(tmp_path: Path) -> Callable[..., str]:
    """Return what saves cells as a notebook, exports it and reads the page."""

    def page(*cells: Any, **how: Any) -> str:
        return export(saved(tmp_path / "some.ipynb", *cells, **how)).path.read_text("utf-8")

    return page


def states(page: str) -> dict[str, Any]:
    """Return the states in a page by the names of their stages."""
    found = re.findall(r'<script type="application/json" id="([^"]*)">(.*?)</script>', page, re.DOTALL)
    return {name: json.loads(text) for name, text in found}


# --- what is in it --------------------------------------------------------------------------------------------------


def test_markdown_code_and_outputs_are_there(exported: Callable[..., str]) -> None:
    page = exported(
        new_markdown_cell("# Which *row* decides?\n\n| a | b |\n|---|---|\n| 1 | 2 |"),
        cell("import os", new_output("stream", name="stdout", text="\x1b[31mred\x1b[0m & <b>")),
        cell("table", result({"text/html": "<table><tr><td>1</td></tr></table>", "text/plain": "only text"})),
        cell("plain", result({"text/plain": "<Network: 3 nodes>"})),
        cell("picture", new_output("display_data", data={"image/png": "iVBORw0KGgo=\n", "text/plain": "<Figure>"})),
        cell("drawing", new_output("display_data", data={"image/svg+xml": "<svg onload='alert(1)'/>"})),
        cell("broken", new_output("error", ename="E", evalue="no", traceback=["\x1b[31mE\x1b[0m: <no>"])),
    )
    assert "<title>Which row decides?</title>" in page
    assert re.search(r"<h1 [^>]*>Which <em>row</em> decides\?</h1>", page)
    assert '<span class="kn">import</span>' in page
    assert '<span class="ansi-red-fg">red</span> &amp; &lt;b&gt;' in page
    assert "<td>1</td></tr></table>" in page and "only text" not in page
    assert "&lt;Network: 3 nodes&gt;" in page
    assert '<img src="data:image/png;base64,iVBORw0KGgo=" alt="&lt;Figure&gt;">' in page
    assert "onload" not in page, "a drawing is shown as an image, which runs nothing"
    assert "E</span>: &lt;no&gt;" in page


def test_the_module_is_there_once_and_each_state_is_its_own(exported: Callable[..., str]) -> None:
    one, other = journey(), stage.events(article_timeline(), "pod")
    one.step = 4
    page = exported(shown(one), shown(other), shown(one))
    assert page.count("function canvas(") == 1 == MODULE.count("function canvas(")
    found = states(page)
    assert [state["step"] for state in found.values()] == [4, 0]
    assert [set(state) for state in found.values()] == [{"script", "step", "answers"}] * 2
    assert found[f"fv-stage-{one.model_id}"]["script"] == json.loads(json.dumps(one.script))
    assert page.count(f'data-stage="fv-stage-{one.model_id}"') == 2, "shown twice, held once"


def test_a_box_keeps_its_stages_and_its_texts(exported: Callable[..., str]) -> None:
    inner = widgets.HBox([widgets.Dropdown(options=["one", "two"], description="ends"), journey()])
    hidden = widgets.HTML("not to be seen", layout={"display": "none"})
    box = widgets.VBox([widgets.HTML("<p>a &lt;name&gt;</p>"), widgets.Label("<i>"), hidden, inner])
    page = exported(shown(box.add_class("fv-widget")))
    assert "<p>a &lt;name&gt;</p>" in page and "&lt;i&gt;" in page
    assert 'class="widget-vbox fv-widget"' in page and 'class="widget-hbox"' in page
    assert page.count("data-stage=") == 1
    assert "not to be seen" not in page
    assert page.count("controls that need Python") == 1


def test_folded_boxes_fold(exported: Callable[..., str]) -> None:
    page = exported(shown(widgets.Accordion([journey()], titles=("a <b>",))))
    assert "<summary>a &lt;b&gt;</summary>" in page and "controls that need Python" not in page


def test_widgets_without_a_stage_show_what_stands_for_them(exported: Callable[..., str]) -> None:
    question = lab.predict("Which <row>?", {"this": "no", "that": "yes"}, right="that")
    page = exported(shown(question), shown(widgets.IntSlider(description="hop")))
    assert question.as_html() in page
    assert "IntSlider(value=0" in page
    assert "data-stage=" not in page


def test_where_no_script_runs_the_picture_shows(exported: Callable[..., str]) -> None:
    made = journey()
    assert f"<noscript>{made.as_html()}</noscript>" in exported(shown(made))


def test_what_the_notebook_folds_is_folded(exported: Callable[..., str]) -> None:
    page = exported(
        cell("secret = 1", result({"text/plain": "1"}), jupyter={"source_hidden": True, "outputs_hidden": True})
    )
    assert page.count("<details><summary>Folded") == 2


def test_sections_are_listed_and_links_lead_on(exported: Callable[..., str]) -> None:
    text = "# T\n\n## One `a`\n\n## Two & three\n\n## One `a`\n\n[next](02_next.ipynb#Part) [web](https://a.example/x.ipynb)"
    page = exported(new_markdown_cell(text))
    ids = re.findall(r'<h2 id="([^"]*)"', page)
    assert ids == ["One-a", "Two-&amp;-three", "One-a-2"]
    assert re.findall(r'<li><a href="#([^"]*)">', page) == ids
    assert 'href="02_next.html#Part"' in page, "a page leads to the page of the next notebook"
    assert 'href="https://a.example/x.ipynb"' in page


def test_a_page_has_language_title_and_a_way_past_the_contents(exported: Callable[..., str]) -> None:
    page = exported(new_markdown_cell("no heading at all"))
    assert '<html lang="en">' in page and "<title>some</title>" in page and "<h1>some</h1>" in page
    assert re.search(r'<body><a class="fv-skip" href="#fv-text">.*<main id="fv-text">', page)


def test_pictures_of_the_notebook_come_along(exported: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "wire.png").write_bytes(b"\x89PNG")
    attached = new_markdown_cell("![b](attachment:b.png)", attachments={"b.png": {"image/png": "AAAA"}})
    page = exported(new_markdown_cell("![a](wire.png) ![c](../../etc/hostname)"), attached)
    assert 'src="data:image/png;base64,iVBORw=="' in page and 'src="data:image/png;base64,AAAA"' in page


def test_a_page_asks_for_nothing(exported: Callable[..., str]) -> None:
    page = exported(new_markdown_cell("# T"), shown(journey()))
    assert "default-src 'none'" in page and "script-src 'sha256-" in page and "unsafe-eval" not in page
    assert re.findall(r"""(?:src|href)=["'](?!#|data:)[^"']*""", page.partition("<body>")[2]) == []
    assert not re.search(r"@import|url\(", page)


def test_every_colour_can_be_read() -> None:
    for palette, own in ((LIGHT, PAGE_ONLY[0]), (DARK, PAGE_ONLY[1])):
        colours = {**palette, **own}
        pairs = [(role, ground) for role in {*CODE.values(), *ANSI.values()} for ground in ("bg", "kernel")]
        assert [pair for pair in pairs if contrast(*(colours[role] for role in pair)) < 4.5] == []


# --- what came from outside -----------------------------------------------------------------------------------------


def dump(name: str) -> str:
    """Return a dump with a pod and a namespace of this name, as `kubectl get nodes,pods -A -o json` prints it."""
    node = {
        "kind": "Node",
        "metadata": {"name": "node-a"},
        "spec": {"podCIDR": "10.244.0.0/24"},
        "status": {"addresses": [{"type": "InternalIP", "address": "10.0.4.2"}]},
    }
    pod = {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": name},
        "spec": {"nodeName": "node-a"},
        "status": {"podIP": "10.244.0.2", "phase": "Running"},
    }
    return json.dumps({"kind": "List", "items": [node, pod]})


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_of_a_dump_ends_a_script(exported: Callable[..., str], name: str) -> None:
    network = read_kubectl(dump(name)).network
    made = stage.journey(network)
    assert " ".join(name.split()) in unescape(json.dumps(made.script, ensure_ascii=False)), "it is drawn"
    page = exported(shown(made))
    assert states(page)[f"fv-stage-{made.model_id}"]["script"] == json.loads(json.dumps(made.script))
    opened = re.findall(r"<script[^>]*>", page)
    assert opened == [f'<script type="application/json" id="fv-stage-{made.model_id}">', '<script type="module">']
    assert page.count("</script") == 2 and "<img src=x" not in page and "\u2028" not in page


def test_a_state_that_is_none_breaks_no_page(exported: Callable[..., str]) -> None:
    view = {VIEW: {"model_id": "box"}, "text/html": "<p>fallback</p>"}
    stage_model = {"_anywidget_id": "flannelviz.views.stage.widget.Stage", "script": "no", "layout": "IPY_MODEL_gone"}
    models = {
        "box": {"state": {"children": ["IPY_MODEL_box", "IPY_MODEL_gone", "IPY_MODEL_s"], "_dom_classes": ['"><x']}},
        "s": {"state": stage_model},
        "odd": [],
        "bare": {"state": None},
    }
    odd = [result({VIEW: {"model_id": name}, "text/plain": name}) for name in ("odd", "bare", "gone")]
    page = exported(cell("x", result(view)), cell("y", *odd, result({VIEW: 3})), widgets={STATE: {"state": models}})
    assert states(page) == {"fv-stage-s": {"script": "no", "step": None, "answers": None}}
    assert 'class="widget-vbox &quot;&gt;&lt;x"' in page
    assert ">odd</pre>" in page and ">gone</pre>" in page


def test_half_a_character_is_written_as_an_unknown_one(tmp_path: Path) -> None:
    path = saved(tmp_path / "half.ipynb", new_markdown_cell("# Half"))
    path.write_text(path.read_text().replace("# Half", "# Half \\ud800"))
    assert "<h1" in export(path).path.read_text("utf-8")


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path / "some.ipynb", shown(journey()))
    assert main([str(path)]) == 0
    assert re.fullmatch(rf"{tmp_path}/some\.html: 1 live stage, \d+ kB\n", capsys.readouterr().out)
    folder = tmp_path / "pages"
    folder.mkdir()
    assert main([str(path), "-o", str(folder)]) == 0
    assert main([str(path), "-o", str(folder / "other.html")]) == 0
    assert sorted(found.name for found in folder.iterdir()) == ["other.html", "some.html"]
    assert (folder / "other.html").read_bytes() == (tmp_path / "some.html").read_bytes(), "the same each time"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_of_the_project_can_be_exported(notebook: Path, tmp_path: Path) -> None:
    made = export(notebook, tmp_path)
    assert made.stateless == 0 and made.path.stat().st_size < 5_000_000


def test_widgets_without_their_state_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path / "some.ipynb", shown(journey()), state=False)
    assert main([str(path)]) == 0
    assert "without the state of 1 widget" in capsys.readouterr().err


NO_SOURCE = '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "markdown", "metadata": {}}]}'


def never_run(path: Path) -> None:
    nbformat.write(new_notebook(cells=[new_markdown_cell("# T"), new_code_cell("1 + 1")]), path)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "there is no file"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "is not text in UTF-8"),
        (lambda path: path.write_text(""), "is not JSON"),
        (lambda path: path.write_text("[" * 100_000), "is not JSON"),
        (lambda path: path.write_text('{"items": []}'), "names no nbformat"),
        (
            lambda path: path.write_text('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}'),
            "is missing an expected key",
        ),
        (lambda path: path.write_text(NO_SOURCE), "is no valid notebook"),
        (lambda path: path.write_text('{"nbformat": 99, "cells": []}'), "no notebook"),
        (never_run, "was never run"),
        (lambda path: saved(path, new_markdown_cell("![x](attachment:gone.png)")), "does not hold"),
    ],
)
def test_what_cannot_be_exported_is_told_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], object], says: str
) -> None:
    path = tmp_path / "some.ipynb"
    make(path)
    before = sorted(tmp_path.iterdir())
    assert main([str(path)]) == 1
    error = capsys.readouterr().err
    assert says in error and str(path) in error and "Traceback" not in error
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("to", "says"),
    [("gone/out.html", "does not exist"), ("gone/", "does not exist"), ("some.ipynb", "is the name of a notebook")],
)
def test_where_nothing_can_be_written_is_told(tmp_path: Path, to: str, says: str) -> None:
    path = saved(tmp_path / "some.ipynb", new_markdown_cell("# T"))
    with pytest.raises(NotebookError, match=says):
        export(path, f"{tmp_path}/{to}")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["some.ipynb"]


def test_a_page_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = saved(tmp_path / "some.ipynb", new_markdown_cell("# T"))
    (tmp_path / "some.html").mkdir()
    (tmp_path / "some.html" / "some.html").mkdir()
    with pytest.raises(NotebookError, match="cannot be written"):
        export(path, tmp_path / "some.html")
    assert sorted(found.name for found in tmp_path.rglob("*")) == ["some.html", "some.html", "some.ipynb"]


def test_several_notebooks_need_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(saved(tmp_path / f"{name}.ipynb", new_markdown_cell("# T"))) for name in "ab"]
    with pytest.raises(SystemExit):
        main([*paths, "-o", str(tmp_path / "out.html")])
    assert "need a folder" in capsys.readouterr().err
    assert main(paths) == 0
    assert {found.name for found in tmp_path.glob("*.html")} == {"a.html", "b.html"}
