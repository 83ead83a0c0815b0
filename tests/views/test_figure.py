"""matplotlib figures: the same scene, the same colours, the same bytes each time, and no global state."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Polygon

from flannelviz.network import Event, Network
from flannelviz.packet import Trace
from flannelviz.views.display import register
from flannelviz.views.figure import TOLD_APART, capacity_figure, figure, figure_says, figure_svg
from flannelviz.views.scene import scene
from flannelviz.views.shapes import Note
from flannelviz.views.theme import LIGHT


def words(found) -> set[str]:
    return {text.get_text() for axes in found.axes for text in axes.texts}


def test_figure_shows_what_the_scene_holds(network: Network, trace: Trace):
    drawn = scene(network, trace=trace)
    found = figure(drawn)
    labels = {word for box in drawn.boxes if box.kind != "vpc" for word in (box.label, box.sublabel)}
    assert labels | {row.text for row in drawn.rows} <= words(found)
    assert {"1", "5", "6 back", "10 back"} <= words(found)


def test_figure_of_one_hop_shows_the_way_so_far(network: Network, trace: Trace):
    shown = words(figure(scene(network, trace=trace), hop=3))
    assert "3" in shown and "4" not in shown
    with pytest.raises(IndexError, match="hop 11"):
        figure(scene(network, trace=trace), hop=11)


def test_loss_and_event_are_marked(network: Network, lost: Trace, event: Event):
    assert "× no route" in words(figure(scene(network, trace=lost), theme="dark"))
    assert figure(scene(network, event=event)).axes


def test_an_unknown_end_has_a_question_mark(network: Network, untold: Trace):
    shown = words(figure(scene(network, trace=untold)))
    assert "?" in shown and not any(word.startswith("×") for word in shown)


def test_a_noted_place_has_its_sign_filled_where_there_is_an_error(network: Network):
    notes = {"node-a": Note("error", "has no podCIDR"), "default/b1": Note("warning", "is pending")}
    found = figure(scene(network, notes=notes))
    patches = [patch for patch in found.axes[0].patches if isinstance(patch, Polygon)]
    assert [text.get_text() for text in found.axes[0].texts].count("!") == len(patches) == 2
    assert {to_hex(patch.get_facecolor()) for patch in patches} == {LIGHT["lost"], LIGHT["bg"]}
    assert "!" not in words(figure(scene(network)))


def test_same_bytes_each_time(network: Network, trace: Trace):
    drawn = scene(network, trace=trace)
    assert figure_svg(figure(drawn)) == figure_svg(figure(drawn))


def test_a_dollar_sign_is_no_mathematics(network: Network):
    drawn = scene(network)
    named = replace(drawn, boxes=tuple(replace(box, label="$x^$") for box in drawn.boxes))
    assert "$x^$" in figure_svg(figure(named))


def test_capacity_tells_in_words_how_full_each_level_is():
    class Fill(SimpleNamespace):
        def __str__(self) -> str:
            return self.words

    full, unknown = Fill(percent=100.0, words="512 of 512 (100 %)"), Fill(percent=None, words="? of ?")
    levels = [
        SimpleNamespace(name="podCIDRs", extent="172.16.0.0/16", fill=full),
        SimpleNamespace(name="ECS", extent="?", fill=unknown),
    ]
    assert words(capacity_figure(SimpleNamespace(levels=levels))) == {
        "podCIDRs: 172.16.0.0/16",
        "512 of 512 (100 %)",
        "ECS: ?",
        "? of ?",
    }


@pytest.mark.parametrize("module", ["svg", "scene", "text", "html", "frames", "figure", "display"])
def test_importing_a_view_needs_the_standard_library_only(module: str):
    heavy = ("matplotlib", "networkx", "pandas", "IPython", "numpy")
    code = f"import sys, flannelviz.views.{module}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pyplot_is_never_loaded(network: Network):
    code = (
        "import sys; from flannelviz.network import Network; from flannelviz.views.scene import scene;"
        "from flannelviz.views.figure import figure, figure_svg; figure_svg(figure(scene(Network())));"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_figure_of_ours_follows_the_colour_scheme(network: Network):
    drawing = figure_svg(figure(scene(network)))
    dark = drawing.partition("@media (prefers-color-scheme:dark)")[2].partition("</style>")[0]
    assert '[style*="fill: #ffffff"]{fill:#111111!important}' in dark
    assert '[style*="fill: #fffffe"]{fill:#1d2127!important}' in dark
    assert len(set(TOLD_APART.values())) == len(TOLD_APART)


def test_a_figure_of_somebody_else_stays_as_it_is():
    from matplotlib.figure import Figure

    assert "prefers-color-scheme" not in figure_svg(Figure())
    assert figure_says(Figure()) == ""


def test_a_name_that_the_font_lacks_is_no_warning(network: Network):
    drawn = scene(network)
    named = replace(drawn, boxes=tuple(replace(box, label="数据库") for box in drawn.boxes))
    assert "数据库" in figure_svg(figure(named))


def test_a_bare_figure_shows_itself(network: Network):
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    register(shell)
    shown, _ = shell.display_formatter.format(figure(scene(network)))
    assert 'alt="a cluster network with 2 nodes' in shown["text/html"]
    InteractiveShell.clear_instance()
