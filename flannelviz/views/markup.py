"""Words and tables as HTML, whatever is in them: everything escaped, `code` between backticks. READS only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from flannelviz.errors import FlannelvizError
from flannelviz.model import visible

SHORT = 16  # characters
EMPHASIS = re.compile(r"(?<![\w*])\*(\w(?:[^*\n<]*[^\s*<])?)\*(?![\w*])")


def what_went_wrong(error: Exception) -> str:
    """Return the words of an error: those of our own are meant to be read; any other is named as a surprise."""
    if isinstance(error, FlannelvizError):
        return str(error)
    return f"this should not have happened; {type(error).__name__}: {error}"


def marked(text: str) -> str:
    """Return plain text as HTML: everything escaped, `code` between backticks, a paragraph after an empty line."""
    parts = escape(visible_lines(text)).split("`")
    if len(parts) % 2 == 0:  # an odd backtick means itself
        parts[-2:] = ["`".join(parts[-2:])]
    coded = "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))
    return coded.replace("\n\n", "<br><br>").replace("\n", "<br>")


def prose(text: str) -> str:
    """Return `marked` text in which *this* stands out as well; in a row of a table, an asterisk means itself."""
    parts = re.split(r"(<code>.*?</code>)", marked(text), flags=re.DOTALL)
    return "".join(part if part.startswith("<code>") else EMPHASIS.sub(r"<em>\1</em>", part) for part in parts)


def visible_lines(text: str) -> str:
    """Return `text` with its line breaks, and nothing else in it that is invisible."""
    return "\n".join(visible(line) for line in text.splitlines())


def plain(text: str) -> str:
    """Return text for a place that knows no markup, such as the label of a button."""
    return visible(EMPHASIS.sub(r"\1", text).replace("`", ""))


def left_aligned(tables: str) -> str:
    """Return tables that need no sheet: where there is no trust, JupyterLab takes the sheet away and aligns right."""
    tables = tables.replace(' class="fv-short"', ' style="text-align:left;white-space:nowrap"')
    return re.sub(r"<(th|td|caption)(?=[ >])(?! style)", r'<\1 style="text-align:left"', tables)


def picture_html(picture: str) -> str:
    """Return an SVG in the frame that keeps it from widening the page."""
    return f'<div class="fv-picture">{picture}</div>'


def table_html(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]], current: int | None = None) -> str:
    """Return a table, every cell escaped; `current` is the number of the row that is in the picture, from 0."""
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(_table_row(row, number == current) for number, row in enumerate(rows))
    title = f"<caption>{escape(visible(caption))}</caption>" if caption else ""
    return f'<div class="fv-table"><table>{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _table_row(cells: Sequence[object], current: bool) -> str:
    mark = ' aria-current="true"' if current else ""
    return f"<tr{mark}>" + "".join(_cell(str(cell)) for cell in cells) + "</tr>"


def _cell(text: str) -> str:
    """Return a cell; a name or a number is never broken in two, the table scrolls instead."""
    short = ' class="fv-short"' if len(text) <= SHORT and "`" not in text else ""
    return f"<td{short}>{marked(text)}</td>"
