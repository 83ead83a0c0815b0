"""Back, a slider and on: how one walks through a sequence. The arrow keys move the slider, the buttons always work."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets as widgets

from flannelviz.views.widgets.panel import button, quietly


class Steps(widgets.HBox):
    """A number from `first` to `last`; `moved` is called whenever it changes."""

    def __init__(self, what: str, moved: Callable[[object], None]) -> None:
        self.slider = widgets.IntSlider(
            min=1,
            max=1,
            description=what,
            style={"description_width": "initial"},
            layout={"width": "26em", "max_width": "100%"},
        )
        self.back = button("\N{BLACK LEFT-POINTING TRIANGLE} back", lambda _: self._by(-1), f"previous {what}")
        self.on = button("next \N{BLACK RIGHT-POINTING TRIANGLE}", lambda _: self._by(1), f"next {what}", main=True)
        self.slider.observe(self._moved, names="value")
        self._tell = moved
        super().__init__([self.back, self.on, self.slider])
        self.add_class("fv-controls")
        self._enable()

    @property
    def value(self) -> int:
        """Return where one is."""
        return int(self.slider.value)

    def span(self, first: int, last: int, value: int) -> None:
        """Give the walk other ends, and stand at `value`, without telling anybody."""
        with quietly(self.slider, self._moved), self.slider.hold_trait_notifications():
            self.slider.min, self.slider.max, self.slider.value = first, last, value
        self._enable()

    def _by(self, step: int) -> None:
        """Take a step; at an end the other button gets the focus, because a disabled one would lose it."""
        self.slider.value += step
        if self.on.disabled or self.back.disabled:
            (self.back if self.on.disabled else self.on).focus()

    def _moved(self, change: object) -> None:
        self._enable()
        self._tell(change)

    def _enable(self) -> None:
        self.back.disabled = self.value <= self.slider.min
        self.on.disabled = self.value >= self.slider.max
        self.slider.disabled = self.slider.min == self.slider.max


def dropdown(what: str, options: Sequence[object], **more: object) -> widgets.Dropdown:
    """Return a list to choose from."""
    return widgets.Dropdown(description=what, options=options, style=_STYLE, layout=_LAYOUT, **more)


def text_box(what: str, value: str = "", **more: object) -> widgets.Text:
    """Return a text field that speaks up on Enter, or when it is left."""
    return widgets.Text(description=what, value=value, continuous_update=False, style=_STYLE, layout=_LAYOUT, **more)


def number_box(what: str, value: int, least: int, most: int) -> widgets.BoundedIntText:
    """Return a field for a whole number from `least` to `most`."""
    return widgets.BoundedIntText(
        description=what, value=value, min=least, max=most, continuous_update=False, style=_STYLE, layout=_LAYOUT
    )


_STYLE = {"description_width": "initial"}
_LAYOUT = {"width": "15em", "max_width": "100%"}
