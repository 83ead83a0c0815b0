"""Markdown and code as HTML, by nbconvert's own filters; the headings get the names that links in JupyterLab use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape, unescape
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from nbconvert.filters.ansi import ansi2html
from nbconvert.filters.highlight import Highlight2HTML
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

WIDE = '<div class="fv-wide" data-wide>'  # scrolls where the page is narrower
OTHER_PAGE = re.compile(r"^(?!\w+:|//)([^#?]*)\.ipynb(?=$|[#?])")


class Heading(NamedTuple):
    """A heading of the notebook: how deep it is, what leads to it, and what it says, as HTML."""

    level: int
    id: str
    html: str


class Writer(IPythonRenderer):
    """Turns the Markdown cells of one notebook into HTML, and remembers their headings."""

    def __init__(self, folder: Path) -> None:
        super().__init__(escape=False, embed_images=True, path=str(folder))
        self.headings: list[Heading] = []
        self._markdown = MarkdownWithMath(renderer=self)

    def markdown(self, source: str, attachments: Mapping[str, Any] | None = None) -> str:
        """Return Markdown as HTML. Raises: InvalidNotebook if it shows an attachment that is not there."""
        self.attachments = dict(attachments or {})
        html = str(self._markdown.render(source))
        return html.replace("<table>", WIDE + "<table>").replace("</table>", "</table></div>")

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        """Return a heading with an id; the second of a name gets a number."""
        wanted = unescape(re.sub("<[^>]*>", "", text)).strip().replace(" ", "-")
        taken = {heading.id for heading in self.headings}
        name = next(name for name in _numbered(wanted) if name not in taken)
        self.headings.append(Heading(level, name, text))
        return f'<h{level} id="{escape(name)}">{text}</h{level}>\n'

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """Return a link; what leads to another notebook beside this one leads to its page."""
        return str(super().link(text, OTHER_PAGE.sub(r"\1.html", url), title))


def _numbered(name: str) -> Iterator[str]:
    """Yield a name, then the same with a number behind it."""
    yield name
    yield from (f"{name}-{number}" for number in count(2))


def code(source: str, lexer: str) -> str:
    """Return code as highlighted HTML."""
    return str(Highlight2HTML(pygments_lexer=lexer)(source.rstrip("\n")))


def terminal(text: str) -> str:
    """Return what a terminal shows as HTML, colours included."""
    return f"<pre>{ansi2html(text)}</pre>"
