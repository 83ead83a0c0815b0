"""What all widgets share: a picture without a kernel, errors beside the controls, and nothing taken from ipywidgets."""

import re
from html.parser import HTMLParser

import anywidget
import ipywidgets as widgets
import pytest

from flannelviz import lab
from flannelviz.errors import FlannelvizError
from flannelviz.topologies import article, article_timeline
from flannelviz.views.markup import table_html, what_went_wrong
from flannelviz.views.stage import Stage
from flannelviz.views.stylesheet import SHEET
from flannelviz.views.theme import DARK, LIGHT, contrast
from flannelviz.views.widgets.panel import Panel, guarded

ALLOWED = {"div", "img", "p", "table", "caption", "thead", "tbody", "tr", "th", "td", "code", "b", "pre", "br"}


class Tags(HTMLParser):
    def __init__(self, markup: str) -> None:
        super().__init__()
        self.seen: dict[str, list[dict[str, str | None]]] = {}
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.setdefault(tag, []).append(dict(attrs))


def drawing() -> dict[str, Panel | Stage]:
    read = lab.your_cluster()
    read.example.click()
    return {
        "journey": lab.journey(article(), "a1", "b1"),
        "events": lab.events(article_timeline()),
        "plan": lab.plan(),
        "faults": lab.faults(article(), "a1", "b1"),
        "your cluster": read,
    }


@pytest.fixture(scope="module")
def panels() -> dict[str, Panel | Stage]:
    return drawing()


NAMES = ["journey", "events", "plan", "faults", "your cluster"]


def bundle(panel: Panel | Stage) -> dict[str, str]:
    """Return what a notebook gets; a stage adds what it knows of each kind."""
    found = panel._repr_mimebundle_()
    return found[0] if isinstance(found, tuple) else found


@pytest.mark.parametrize("name", NAMES)
def test_a_page_without_a_kernel_shows_the_picture_and_its_table(panels, name):
    page = bundle(panels[name])["text/html"]
    tags = Tags(page).seen
    assert set(tags) <= ALLOWED
    (image,) = tags["img"]
    assert image["src"].startswith("data:image/svg+xml;base64,")
    assert image["alt"] == panels[name].says
    assert len(tags["table"]) >= 1
    assert all(cell["style"].startswith("text-align:left") for cell in tags["td"])


@pytest.mark.parametrize("name", NAMES)
def test_the_same_state_gives_the_same_bytes(panels, name):
    again = drawing()[name]
    assert again.as_html() == panels[name].as_html()
    assert bundle(again)["text/plain"] == repr(panels[name])


@pytest.mark.parametrize("name", NAMES)
def test_no_address_of_an_object_shows(panels, name):
    text = bundle(panels[name])["text/plain"]
    assert text == f"<{type(panels[name]).__name__}: {panels[name].says}>"
    assert not re.search(r"0x[0-9a-f]{6}|\bat 0x", text)


def test_a_widget_without_a_picture_says_so():
    assert "nothing was read yet" in lab.your_cluster().as_html()


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_ipywidgets_is_taken(panels, name):
    """A method called `_send` once stood in the way of ipywidgets' own, and only a browser noticed."""
    of_ipywidgets = set(dir(widgets.VBox)) | set(dir(anywidget.AnyWidget))
    ours = {name for kind in type(panels[name]).__mro__ if issubclass(kind, (Panel, Stage)) for name in vars(kind)}
    meant = {"__init__", "__repr__", "_repr_mimebundle_"}
    machinery = re.compile("__|_(traits|descriptors|instance_inits|all_trait|trait_default|static_immutable)")
    assert {name for name in ours & of_ipywidgets - meant if not machinery.match(name)} == set()


class Fragile(Panel):
    @guarded
    def fall(self, error: Exception) -> None:
        raise error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FlannelvizError("172.16.8.1/25 has host bits"), "172.16.8.1/25 has host bits"),
        (KeyError("cni0"), "this should not have happened; KeyError: &#x27;cni0&#x27;"),
        (FlannelvizError("<img src=x onerror=alert(1)>"), "&lt;img src=x onerror=alert(1)&gt;"),
    ],
)
def test_what_a_callback_raises_is_shown_as_text(error, words):
    panel = Fragile([])
    panel.fall(error)
    assert panel.message.value == f'<p class="fv-message" role="alert">{words}</p>'
    assert what_went_wrong(error)


def test_a_table_escapes_its_cells_and_marks_the_current_row():
    shown = table_html("<i>", ["<b>"], [["<script>"], ["`ip route` & co"]], current=1)
    assert "<script>" not in shown and "&lt;script&gt;" in shown and "&lt;b&gt;" in shown
    assert '<tr aria-current="true"><td><code>ip route</code> &amp; co</td></tr>' in shown


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("ink", "node"),
        ("ink", "kernel"),
        ("muted", "bg"),
        ("muted", "kernel"),
        ("on-accent", "cloud-line"),
        ("lost", "bg"),
        ("wrote", "bg"),
    ],
)
def test_texts_of_the_sheet_are_readable(palette, text, ground):
    assert contrast(palette[text], palette[ground]) >= 4.5


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_the_focus_is_seen(palette):
    assert contrast(palette["cloud-line"], palette["bg"]) >= 3
    assert ":focus-visible" in SHEET


def test_the_sheet_touches_nothing_outside_the_widgets():
    rules = re.findall(r"([^{}]+)\{[^{}]*\}", SHEET.removeprefix("<style>").removesuffix("</style>"))
    assert all(".fv-" in rule for rule in rules)
