"""A notebook as one page: its cells in order, a table of contents, and each stage where its cell has it. READS only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape, unescape
from pathlib import Path
from typing import Any, NamedTuple

from nbconvert.filters.markdown_mistune import InvalidNotebook

from flannelviz.errors import NotebookError
from flannelviz.model import visible
from flannelviz.views.export.outputs import output
from flannelviz.views.export.saved import VIEW, Models, models_of, shown
from flannelviz.views.export.sheet import SHEET
from flannelviz.views.export.text import Heading, Writer, code
from flannelviz.views.stage.page import page

SKIP = '<a class="fv-skip" href="#fv-text">Skip to the text</a>'


class Document(NamedTuple):
    """A page as HTML, how many stages live in it, and how many widgets the notebook holds no state of."""

    html: str
    stages: int
    stateless: int


def document(notebook: Any, source: Path) -> Document:
    """Return a notebook that was read from `source` as a page. Raises: NotebookError if a picture of it is missing."""
    models, writer = models_of(notebook), Writer(source.parent)
    lexer = str(notebook.metadata.get("language_info", {}).get("pygments_lexer", "ipython3"))
    states: dict[str, Mapping[str, Any]] = {}
    try:
        cells = [_cell(cell, lexer, models, writer, states) for cell in notebook.cells]
    except InvalidNotebook as error:
        raise NotebookError(f"{source} shows a picture that it does not hold: {error}") from error
    title = next((heading.html for heading in writer.headings if heading.level == 1), "")
    heading = "" if title else f"<h1>{escape(visible(source.stem))}</h1>"
    body = "".join((SKIP, _contents(writer.headings), '<main id="fv-text">', heading, *cells, "</main>", _foot(source)))
    name = unescape(re.sub("<[^>]*>", "", title)) or source.stem
    return Document(page(states, name, body, SHEET), len(states), _stateless(notebook, models))


def _cell(cell: Any, lexer: str, models: Models, writer: Writer, states: dict[str, Mapping[str, Any]]) -> str:
    """Return a cell as HTML; the states of its stages are added to `states`."""
    if cell.cell_type == "markdown":
        return f'<div class="fv-prose">{writer.markdown(cell.source, cell.get("attachments"))}</div>'
    if cell.cell_type == "raw":
        return f'<div class="fv-text"><pre>{escape(cell.source)}</pre></div>'
    outputs = [output(found, models, writer) for found in cell.outputs]
    for one in outputs:
        states.update(one.states)
    hidden = cell.metadata.get("jupyter", {})
    source = _group("code", cell, code(cell.source, lexer), hidden.get("source_hidden")) if cell.source.strip() else ""
    html = "".join(one.html for one in outputs)
    return f"{source}{_group('output', cell, html, hidden.get('outputs_hidden')) if html else ''}"


def _group(what: str, cell: Any, html: str, folded: object) -> str:
    """Return the code or the output of a cell, folded where the notebook folds it."""
    number = f" {cell.execution_count}" if cell.execution_count else ""
    inside = f"<details><summary>Folded {what}</summary>{html}</details>" if folded else html
    return f'<div class="fv-{what}" role="group" aria-label="{what}{number}">{inside}</div>'


def _contents(headings: Iterable[Heading]) -> str:
    """Return links to the sections, folded, or nothing where there are fewer than two."""
    sections = [heading for heading in headings if heading.level == 2]
    if len(sections) < 2:
        return ""
    links = "".join(f'<li><a href="#{escape(one.id)}">{_without_links(one.html)}</a></li>' for one in sections)
    return f'<nav aria-label="Contents"><details><summary>Contents</summary><ul>{links}</ul></details></nav>'


def _without_links(html: str) -> str:
    return re.sub(r"</?a\b[^>]*>", "", html)


def _foot(source: Path) -> str:
    return (
        f"<footer><p>Exported from <code>{escape(visible(source.name))}</code>. "
        "Pictures with a slider are live: step through them, click on them.</p></footer>"
    )


def _stateless(notebook: Any, models: Models) -> int:
    """Return how many widgets are shown whose state was not saved."""
    outputs = [found for cell in notebook.cells if cell.cell_type == "code" for found in cell.outputs]
    return sum(VIEW in found.get("data", {}) and shown(found.data) not in models for found in outputs)
