"""A panel whose controls say what a stage shows. Views: they read values and write nothing."""

from __future__ import annotations

from collections.abc import Iterable

import ipywidgets as widgets

from flannelviz.views.stage.widget import Stage
from flannelviz.views.widgets.panel import Panel


class StagePanel(Panel):
    """Controls above a `stage`, which has the picture, the steps, the words and the tables."""

    stage: Stage

    def __init__(self, above: Iterable[widgets.Widget]) -> None:
        super().__init__([*above, self.stage])

    @property
    def says(self) -> str:
        """Return in one sentence what the stage shows."""
        return self.stage.says

    def as_html(self) -> str:
        """Return what stands for the stage as HTML that needs neither a kernel nor trust."""
        return self.stage.as_html()
