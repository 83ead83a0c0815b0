"""A drawing that shows itself wherever HTML is shown, trusted or not, and says in words what it shows. READS only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flannelviz.model import visible
from flannelviz.network import Event, Network
from flannelviz.packet import Trace
from flannelviz.views.figure import figure_svg
from flannelviz.views.frames import frame_html
from flannelviz.views.html import event_html, network_tables, picture_html, sheet_html, text, text_lines, trace_html
from flannelviz.views.scene import scene
from flannelviz.views.sheets import Sheet
from flannelviz.views.svg import data_uri, svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, repr=False)
class Picture:
    """An SVG, and the sentence that stands for it where no picture can be seen."""

    drawing: str
    says: str
    width: float | None = None  # px; None: as wide as the page allows
    twin: str = ""  # the same as HTML tables, folded below the picture

    def __repr__(self) -> str:
        return f"<Picture: {visible(self.says)}>"

    def _repr_html_(self) -> str:
        folded = f"<details><summary>The same as a table</summary>{self.twin}</details>" if self.twin else ""
        return self._image() + folded

    def _image(self) -> str:
        if self.width is None:
            return picture_html(self.drawing, self.says)
        style = f"width:100%;max-width:{self.width:g}px;min-width:{self.width * 0.6:g}px"
        image = f'<img src="{data_uri(self.drawing)}" alt="{text(self.says)}" style="{style}">'
        return f'<div style="overflow-x:auto">{image}</div>'


def network_picture(network: Network, trace: Trace | None = None, event: Event | None = None) -> Picture:
    """Return the picture of a network, with the way of `trace` or the work of `event` lit."""
    drawn = scene(network, trace=trace, event=event)
    shown = trace_html(trace) if trace else event_html(event) if event else network_tables(network)
    return Picture(svg(drawn), drawn.says, twin=shown)


def figure_picture(figure: Figure, says: str, twin: object = None) -> Picture:
    """Return a matplotlib figure as a picture, with `twin` folded below it; the same bytes each time.

    `twin` is the same as a table: a Sheet, a DataFrame or whatever else shows itself as HTML, or text.
    """
    return Picture(figure_svg(figure), says, figure.get_figwidth() * 100, _twin_html(twin))


def _twin_html(twin: Any) -> str:
    if twin is None:
        return ""
    if isinstance(twin, Sheet):
        return sheet_html(twin)
    if type(twin).__name__ == "DataFrame":
        return frame_html(twin)
    draw = getattr(twin, "_repr_html_", None)
    return str(draw()) if draw is not None else f"<pre>{text_lines(str(twin))}</pre>"
