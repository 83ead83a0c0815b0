"""Lists and fields to fill in, each with its label above it. A number that does not fit is set, and that is said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite

import ipywidgets as widgets

from flannelviz.views.widgets.panel import quietly


def dropdown(what: str, options: Sequence[object], *, width: str = "15em", **more: object) -> widgets.Dropdown:
    """Return a list to choose from."""
    return widgets.Dropdown(description=what, options=options, style=_STYLE, layout=_layout(width), **more)


def text_box(what: str, value: str = "", **more: object) -> widgets.Text:
    """Return a text field that speaks up on Enter, or when it is left."""
    return widgets.Text(description=what, value=value, continuous_update=False, style=_STYLE, layout=_layout(), **more)


class NumberBox(widgets.FloatText):
    """A field for a whole number from `least` to `most`, with the reason for the limit.

    The bounded fields of ipywidgets cut a number in silence, and read 1e3 as 1: this one takes what is typed.
    """

    value: float  # a trait

    def __init__(self, what: str, value: int, least: int, most: int, why: str = "") -> None:
        self.least, self.most, self.why = least, most, why
        super().__init__(description=what, value=value, step=1, continuous_update=False, style=_STYLE, layout=_layout())
        self._last = value

    @property
    def number(self) -> int:
        """Return the number that counts: the value, made to fit."""
        if not isfinite(self.value):
            return self._last
        return min(max(round(self.value), self.least), self.most)

    def settle(self, observer: Callable[..., None]) -> str:
        """Make the number fit without calling `observer`; return what was done to it, or an empty text."""
        typed = self.value
        fitting = self._last = self.number
        if fitting == typed:
            return ""
        with quietly(self, observer):
            self.value = fitting
        return f"{self.description} {typed:,.10g}: {self._rule(typed)}; set to {fitting:,}"

    def _rule(self, typed: float) -> str:
        if typed > self.most:
            return f"at most {self.most:,}" + (f" {self.why}" if self.why else "")
        return f"at least {self.least:,}" if typed < self.least else "only whole numbers"


_STYLE = {"description_width": "initial"}


def _layout(width: str = "15em") -> dict[str, str]:
    return {"width": width, "max_width": "100%"}
