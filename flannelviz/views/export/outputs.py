"""The outputs of a cell as HTML: what JupyterLab would show of them, as far as it needs no Python. READS only."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from typing import Any

from flannelviz.views.export.saved import Kept, Models, kept, shown
from flannelviz.views.export.text import WIDE, Writer, terminal

LEFT_OUT = (
    '<p class="fv-message" data-kind="note">Left out here: controls that need Python. The live notebook has them.</p>'
)
RASTERS = ("image/png", "image/jpeg", "image/gif", "image/webp")


def output(found: Any, models: Models, writer: Writer) -> Kept:
    """Return one output as HTML, with the states of the stages in it."""
    if found.output_type == "stream":
        return Kept(f'<div class="fv-text" data-name="{escape(found.name)}">{terminal(found.text)}</div>')
    if found.output_type == "error":
        return Kept(f'<div class="fv-text" data-name="error">{terminal(chr(10).join(found.traceback))}</div>')
    live = kept(models, shown(found.data))
    if not live.states:
        return Kept(_still(found.data, writer))
    note = LEFT_OUT if live.left_out else ""
    return Kept(live.html + note + _without_script(found.data), live.states)


def _without_script(data: Mapping[str, Any]) -> str:
    """Return the picture of a stage for a browser that runs nothing."""
    html = str(data.get("text/html", ""))
    return f"<noscript>{html}</noscript>" if html and "</noscript" not in html.lower() else ""


def _still(data: Mapping[str, Any], writer: Writer) -> str:
    """Return the richest form of an output that needs neither Python nor script."""
    if "text/html" in data:
        return f"{WIDE}{data['text/html']}</div>"
    if "image/svg+xml" in data:
        return _image("image/svg+xml", b64encode(data["image/svg+xml"].encode()).decode(), data)
    for kind in RASTERS:
        if kind in data:
            return _image(kind, re.sub(r"\s", "", data[kind]), data)
    if "text/markdown" in data:
        return writer.markdown(data["text/markdown"])
    return f'<div class="fv-text">{terminal(data["text/plain"])}</div>' if "text/plain" in data else ""


def _image(kind: str, encoded: str, data: Mapping[str, Any]) -> str:
    says = escape(str(data.get("text/plain", "")))
    return f'{WIDE}<img src="data:{kind};base64,{escape(encoded)}" alt="{says}"></div>'
