"""The module of the stage, and its style sheets: those of the drawings, of the widgets, and its own. READS only."""

from __future__ import annotations

from pathlib import Path

from flannelviz.views.style import STYLE
from flannelviz.views.stylesheet import SHEET
from flannelviz.views.theme import DARK

_HERE = Path(__file__).parent
MODULE = (_HERE / "stage.js").read_text("utf-8")

# A page that is no Jupyter page follows the reader's colour scheme.
_SCHEME = (
    "@media (prefers-color-scheme:dark){body:not([data-jp-theme-light]) :is(.fv,.fv-widget){"
    + "".join(f"--fv-{role}:{colour};" for role, colour in DARK.items())
    + "}}"
)
SHEETS = "\n".join(
    (STYLE, SHEET.removeprefix("<style>").removesuffix("</style>"), _SCHEME, (_HERE / "stage.css").read_text("utf-8"))
)
