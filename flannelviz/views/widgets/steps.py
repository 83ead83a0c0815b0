"""Back, a slider and on: how one walks through a sequence. The arrow keys move the slider, the buttons always work."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets

from flannelviz.views.widgets.panel import button, quietly

OFF = "fv-off"  # the class of a button that does nothing now, but keeps the focus: `keys` tells screen readers


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
        self._what = what
        self.back = button("\N{BLACK LEFT-POINTING TRIANGLE} back", lambda _: self._by(-1), f"previous {what}")
        self.on = button("next \N{BLACK RIGHT-POINTING TRIANGLE}", lambda _: self._by(1), f"next {what}", main=True)
        self.slider.observe(self._moved, names="value")
        self._tell = moved
        super().__init__([self.back, self.on, self.slider])
        self.add_class("fv-controls")
        self.add_class("fv-steps")
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
        """Take a step; beyond an end there is none."""
        self.slider.value = min(max(self.value + step, self.slider.min), self.slider.max)

    def _moved(self, change: object) -> None:
        self._enable()
        self._tell(change)

    def _enable(self) -> None:
        """Mark the button that leads nowhere; a disabled one would lose the focus, and Space would press another."""
        _switch(self.back, self.value > self.slider.min, f"previous {self._what}", f"this is the first {self._what}")
        _switch(self.on, self.value < self.slider.max, f"next {self._what}", f"this is the last {self._what}")
        self.slider.disabled = self.slider.min == self.slider.max


def _switch(button: widgets.Button, usable: bool, leads: str, ends: str) -> None:
    button.remove_class(OFF) if usable else button.add_class(OFF)
    button.tooltip = leads if usable else ends


def is_off(button: widgets.Button) -> bool:
    """Return whether a step button leads nowhere."""
    return OFF in button._dom_classes
