"""Values as HTML: the picture as an <img>, which untrusted notebooks show too, then plain tables. READS only.

Everything that came from outside is text here: nothing but this module's own tags survives.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from flannelviz.model import visible
from flannelviz.network import Event, Network
from flannelviz.packet import Hop, Trace
from flannelviz.tables import Tables, VpcTables
from flannelviz.views import sheets
from flannelviz.views.rounds import gap_in, shown_with
from flannelviz.views.rowtext import row_text
from flannelviz.views.scene import journey_says, scene
from flannelviz.views.sheets import Sheet
from flannelviz.views.svg import data_uri, svg
from flannelviz.views.text import place_name

MOST_ROWS = 60
SHORT = 24  # characters
READABLE = 0.75  # of the width that a picture was laid out for: letters of 11 px are 8 then
MONO_COLUMNS = {
    *("dst", "via", "dev", "src", "lladdr", "rule", "interface", "mac", "address", "podCIDR", "ip", "veth", "source"),
    *("from", "to", "iif"),
    *("decided by", "runner-up", "change", "command", "wrote", "removed", "artefact", "next hop", "eip", "row"),
}


def text(words: object) -> str:
    """Return words as HTML text: escaped, nothing in them invisible or turned round."""
    return escape(visible(str(words)))


def sheet_html(sheet: Sheet, caption: str = "", most: int = MOST_ROWS) -> str:
    """Return a sheet as a table; beyond `most` rows, the last line counts the rest."""
    heads = "".join(f'<th scope="col" style="text-align:left">{text(column)}</th>' for column in sheet.columns)
    rows = "".join(_row(sheet.columns, row) for row in sheet.rows[:most])
    rest = len(sheet.rows) - most
    if rest > 0:
        rows += f'<tr><td colspan="{len(sheet.columns)}">+ {rest:,} rows</td></tr>'
    title = f'<caption style="text-align:left"><b>{text(caption or sheet.name)}</b></caption>'
    table = f"<table>{title}<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div style="overflow-x:auto">{table}</div>'


def _row(columns: Iterable[str], row: Iterable[object]) -> str:
    return f"<tr>{''.join(_cell(column, value) for column, value in zip(columns, row))}</tr>"


def _cell(column: str, value: object) -> str:
    """Return a cell; a name or a number is never broken in two, the table scrolls instead."""
    words = "" if value is None else text(value)
    inner = f"<code>{words}</code>" if words and column in MONO_COLUMNS else words
    whole = ";white-space:nowrap" if 0 < len(words) <= SHORT else ""
    return f'<td style="text-align:left{whole}" dir="auto">{inner}</td>'


def picture_html(picture: str, alt: str) -> str:
    """Return SVG text as an image as wide as the page, down to a readable size; from there on it scrolls."""
    found = re.search(r'viewBox="0 0 ([\d.]+)', picture)
    least = float(found[1]) * READABLE if found else 720
    style = f"width:100%;max-width:1300px;min-width:{least:.0f}px"
    image = f'<img src="{data_uri(picture)}" alt="{text(alt)}" style="{style}">'
    return f'<div style="overflow-x:auto">{image}</div>'


def network_html(network: Network) -> str:
    """Return a network as its picture, its nodes, its pods and its VPC route table."""
    drawn = scene(network)
    return picture_html(svg(drawn), drawn.says) + network_tables(network)


def network_tables(network: Network) -> str:
    """Return the nodes of a network, its pods and its VPC route table."""
    parts = [sheets.nodes(network, MOST_ROWS), sheets.pods(network, MOST_ROWS), sheets.vpc_routes(network)]
    return "".join(sheet_html(sheet) for sheet in parts if sheet.rows)


def trace_html(trace: Trace, network: Network | None = None) -> str:
    """Return a journey: its picture where the network is given, its end in words, then every hop as a table."""
    picture = ""
    if network is not None:
        drawn = scene(network, trace=trace)
        picture = picture_html(svg(drawn), drawn.says)
    told = "".join((*_way(trace, trace.request, 1), *_way(trace, trace.reply, len(trace.request) + 1)))
    return f"{picture}<p><b>{text(journey_says(trace))}</b></p>{told}"


def _way(trace: Trace, hops: tuple[Hop, ...], first: int) -> list[str]:
    """Return the hops of one direction, of a loop only its first and last rounds."""
    gap = gap_in([hop.place for hop in hops])
    told = [_numbered(trace, number, hop) for number, hop in enumerate(hops, first)]
    return shown_with(told, gap, f"<p>{gap.says(hops)}</p>" if gap else "")


def _numbered(trace: Trace, number: int, hop: Hop) -> str:
    way = "" if number <= len(trace.request) else ", on the way back"
    return hop_html(hop, f"hop {number} of {len(trace.hops)}{way}: ")


def hop_html(hop: Hop, before: str = "") -> str:
    """Return one hop as a table: which table was read, the row that decided, its runner-up, the change, the command."""
    came = f", in by {hop.in_dev}" if hop.in_dev else ""
    goes = f", on to {place_name(hop.next_place)}" if hop.next_place else ""
    return sheet_html(sheets.hop_steps(hop), f"{before}{place_name(hop.place)}: {hop.disposition.value}{came}{goes}")


def tables_html(tables: Tables) -> str:
    """Return every table of a Linux place, each row with its author."""
    found = "".join(sheet_html(sheet) for sheet in sheets.place_sheets(tables))
    return found or "<p>no table has a row here</p>"


def vpc_html(vpc: VpcTables) -> str:
    """Return every table of the VPC, each row with its author."""
    found = "".join(sheet_html(sheet) for sheet in sheets.vpc_sheets(Network(vpc=vpc)))
    return found or "<p>the VPC has no tables yet</p>"


def event_html(event: Event) -> str:
    """Return an event: what it did, the rows that it wrote and removed, and the artefact an operator would see."""
    title = f"<p><b>{event.number}. {text(event.component)}</b> {text(event.action)} ({text(event.stage)} stage)</p>"
    return title + _changes("wrote", event.wrote) + _changes("removed", event.removed) + _artefact(event)


def _changes(what: str, pairs: tuple[tuple[str, object], ...]) -> str:
    rows = tuple((place, row_text(row)) for place, row in pairs)
    return sheet_html(Sheet(what, ("place", "row"), rows)) if rows else ""


def _artefact(event: Event) -> str:
    if event.artefact is None:
        return ""
    return f"<p><code>{text(event.artefact.path)}</code></p><pre>{text_lines(event.artefact.text)}</pre>"


def text_lines(words: str) -> str:
    """Return several lines as HTML text."""
    return "\n".join(text(line) for line in words.splitlines())
