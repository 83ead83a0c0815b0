"""What the widgets share: a box that knows its picture, says what is wrong beside a control, and survives without it.

Views: they read values and write nothing. A widget owns its controls; what they show is made by functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from html import escape
from typing import Any, NamedTuple

import ipywidgets as widgets

from flannelviz.model import visible
from flannelviz.views.markup import left_aligned, marked, what_went_wrong
from flannelviz.views.stylesheet import SHEET
from flannelviz.views.svg import data_uri
from flannelviz.views.widgets.keys import Keys

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class Still(NamedTuple):
    """What stands for a panel on a page that cannot run it: a sentence, an SVG or nothing, and the same as tables."""

    says: str
    picture: str
    twin: str


class Panel(widgets.VBox):
    """A box of controls with what they show. Whoever cannot run it sees its picture and its table instead.

    `says` is the state in one sentence; `picture` the present SVG, or empty; `twin` the same as HTML tables.
    """

    def __init__(self, children: Iterable[widgets.Widget]) -> None:
        self.message = Message()
        super().__init__([widgets.HTML(SHEET), Keys(), *children, self.message])
        self.add_class("fv-widget")

    @property
    def says(self) -> str:
        """Return in one sentence what is shown."""
        return ""

    @property
    def picture(self) -> str:
        """Return the present picture as SVG text, or an empty text."""
        return ""

    @property
    def twin(self) -> str:
        """Return what the picture shows as HTML tables."""
        return ""

    def still(self) -> Still:
        """Return what a page without a kernel shows: the present state, or all of it where one would step through."""
        return Still(self.says, self.picture, self.twin)

    def complain(self, text: str) -> None:
        """Show what went wrong. A panel with several controls says it beside the one that caused it."""
        self.message.say(text)

    def as_html(self) -> str:
        """Return what stands for the panel as HTML that needs neither a kernel nor trust."""
        still = self.still()
        says = escape(visible(still.says))
        image = f'<img src="{data_uri(still.picture)}" alt="{says}">' if still.picture else ""
        return f"<div><p><b>{says}</b></p>{image}{left_aligned(still.twin)}</div>"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {visible(self.says)}>"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        shown: dict[str, Any] = super()._repr_mimebundle_(**options)
        return {**shown, "text/plain": repr(self), "text/html": self.as_html()}

    def attempt(self, field: Field, act: Callable[[], None], still: str = "") -> None:
        """Do `act`; if it fails, say why beside `field`, and what is `still` shown instead."""
        try:
            act()
        except Exception as error:
            field.message.say(what_went_wrong(error) + (f" \N{EM DASH} {still}" if still else ""))


class Message(widgets.HTML):
    """What is wrong, beside the control that it is about; empty when nothing is."""

    def say(self, text: str) -> None:
        """Show `text`, and have a screen reader read it."""
        self.value = f'<p class="fv-message" role="alert">{marked(text)}</p>' if text else ""

    def note(self, text: str) -> None:
        """Show `text` as something to know, which nobody has to be interrupted for."""
        self.value = f'<p class="fv-message" data-kind="note" role="status">{marked(text)}</p>' if text else ""


class Field(widgets.VBox):
    """A control, and below it what is wrong with its value."""

    def __init__(self, control: widgets.Widget, *, wide: bool = False) -> None:
        self.control = control
        self.message = Message()
        super().__init__([control, self.message])
        self.add_class("fv-field")
        if wide:
            self.add_class("fv-wide")


def guarded(callback: Callable[..., None]) -> Callable[..., None]:
    """Return a callback of a Panel that shows whatever goes wrong, since nobody sees an exception raised there."""

    @wraps(callback)
    def safe(panel: Panel, *arguments: object) -> None:
        try:
            callback(panel, *arguments)
        except Exception as error:
            panel.complain(what_went_wrong(error))

    return safe


@contextmanager
def quietly(control: widgets.Widget, observer: Callable[[Any], None]) -> Iterator[None]:
    """Let a program change `control` without the consequences that a person's change has."""
    control.unobserve(observer, names="value")
    try:
        yield
    finally:
        control.observe(observer, names="value")


def controls(*children: widgets.Widget) -> widgets.HBox:
    """Return controls in one row, or in several where the page is narrow."""
    row = widgets.HBox(list(children))
    row.add_class("fv-controls")
    return row


def button(words: str, act: Callable[[widgets.Button], None], tooltip: str = "", main: bool = False) -> widgets.Button:
    """Return a button that does `act`."""
    made = widgets.Button(description=words, tooltip=tooltip or words)
    made.on_click(act)
    if main:
        made.add_class("fv-main")
    return made
