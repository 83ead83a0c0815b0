"""A drawing that shows itself wherever HTML is shown, trusted or not, and says in words what it shows. READS only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flannelviz.model import visible
from flannelviz.network import Event, Network
from flannelviz.packet import Trace
from flannelviz.views.figure import figure_svg
from flannelviz.views.html import picture_html, text
from flannelviz.views.scene import scene
from flannelviz.views.svg import data_uri, svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, repr=False)
class Picture:
    """An SVG, and the sentence that stands for it where no picture can be seen."""

    drawing: str
    says: str
    width: float | None = None  # px; None: as wide as the page allows

    def __repr__(self) -> str:
        return f"<Picture: {visible(self.says)}>"

    def _repr_html_(self) -> str:
        if self.width is None:
            return picture_html(self.drawing, self.says)
        style = f"width:100%;max-width:{self.width:g}px;min-width:{self.width * 0.6:g}px"
        image = f'<img src="{data_uri(self.drawing)}" alt="{text(self.says)}" style="{style}">'
        return f'<div style="overflow-x:auto">{image}</div>'


def network_picture(network: Network, trace: Trace | None = None, event: Event | None = None) -> Picture:
    """Return the picture of a network, with the way of `trace` or the work of `event` lit."""
    drawn = scene(network, trace=trace, event=event)
    return Picture(svg(drawn), drawn.says)


def figure_picture(figure: Figure, says: str) -> Picture:
    """Return a matplotlib figure as a picture; the same bytes each time."""
    return Picture(figure_svg(figure), says, figure.get_figwidth() * 100)
