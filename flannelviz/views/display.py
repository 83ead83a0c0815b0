"""How values show themselves in a notebook and in a terminal: formatters for IPython. The values know nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from flannelviz.model import visible
from flannelviz.network import Event, Network
from flannelviz.packet import Hop, Learned, Trace
from flannelviz.tables import Chain, File, RouteTable, Tables, VpcTables
from flannelviz.views import html, sheets
from flannelviz.views.figure import figure_says
from flannelviz.views.frames import frame_html
from flannelviz.views.picture import figure_picture
from flannelviz.views.rowtext import ROWS, row_text
from flannelviz.views.ruletext import iptables_s
from flannelviz.views.scene import journey_says
from flannelviz.views.sheets import Sheet
from flannelviz.views.text import hop_says, trace_text
from flannelviz.views.tooltext import columns, kubectl_nodes

MOST_LINES = 40
NO_FINDING = "no findings: nothing contradicts itself"
NOTHING_LEARNED = "no place has learned anything"
PANDAS = ("pandas", "pandas.core.frame")  # where DataFrame says it is from: pandas 3, pandas 2


def register(shell: Any = None) -> bool:
    """Teach IPython how to show the values; return whether there was an IPython to teach.

    `shell` is an InteractiveShell; without it, the one that runs this, if any.
    """
    shell = shell or _running()
    if shell is None:
        return False
    formatters = shell.display_formatter.formatters
    for kind, to_html in HTML.items():
        formatters["text/html"].for_type(kind, to_html)
    for kind in TEXT:
        formatters["text/plain"].for_type(kind, _plainly)
    for name, to_sheets in ALLOCATED.items():
        formatters["text/html"].for_type_by_name(*name, partial(_sheets_html, to_sheets))
        formatters["text/plain"].for_type_by_name(*name, _plainly)
    formatters["text/html"].for_type_by_name(*IMPORTED, imported_html)
    formatters["text/plain"].for_type_by_name(*IMPORTED, _plainly)
    formatters["text/html"].for_type_by_name("matplotlib.figure", "Figure", _figure_html)
    for module in PANDAS:
        formatters["text/html"].for_type_by_name(module, "DataFrame", frame_html)
    return True


def _figure_html(figure: Any) -> str | None:
    """Return a figure of ours as a picture; any other shows itself the way its owner wants."""
    says = figure_says(figure)
    return figure_picture(figure, says)._repr_html_() if says else None


def _running() -> Any:
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return get_ipython()


def _plainly(value: object, printer: Any, cycle: bool) -> None:
    printer.text("..." if cycle else describe(value))


def describe(value: object) -> str:
    """Return a value as plain text, for a terminal; what has no words of its own shows its repr."""
    kind = type(value)
    name = (kind.__module__, kind.__qualname__)
    if name == IMPORTED:
        return imported_text(value)
    to_sheets = ALLOCATED.get(name)
    if to_sheets is not None:
        return "\n\n".join(map(_sheet_text, to_sheets(value))) or NO_FINDING
    words = next((TEXT[base] for base in kind.__mro__ if base in TEXT), None)
    return words(value) if words else repr(value)


def _sheets_html(to_sheets: Callable[[Any], list[Sheet]], value: object) -> str:
    return "".join(map(html.sheet_html, to_sheets(value))) or f"<p>{NO_FINDING}</p>"


def _levels(found: Any) -> Sheet:
    sheet = sheets.levels(found)
    rounded = ((*row, None if percent is None else f"{percent:.1f}") for *row, percent in sheet.rows)
    return sheet._replace(rows=tuple(tuple("?" if cell is None else cell for cell in row) for row in rounded))


def _findings(found: Any) -> list[Sheet]:
    sheet = sheets.findings(found)
    return [sheet] if sheet.rows else []


def network_text(network: Network) -> str:
    """Return a network as its size, and its nodes as kubectl shows them."""
    lines = kubectl_nodes(network).split("\n") if network.nodes else []
    return "\n".join([network.size, *_first(lines, "nodes")])


def _first(lines: Sequence[str], what: str) -> list[str]:
    """Return the first lines, and how many more of what there are."""
    return [*lines[:MOST_LINES], *_more(len(lines), what)]


def _more(count: int, what: str) -> list[str]:
    return [f"+ {count - MOST_LINES:,} {what}"] if count > MOST_LINES else []


def tables_text(tables: Tables) -> str:
    """Return every table of a Linux place as text, each row with its author."""
    return "\n\n".join(map(_sheet_text, sheets.place_sheets(tables))) or "no table has a row here"


def vpc_text(vpc: VpcTables) -> str:
    """Return every table of the VPC as text, each row with its author."""
    return "\n\n".join(map(_sheet_text, sheets.vpc_sheets(Network(vpc=vpc)))) or "the VPC has no tables yet"


def _sheet_text(sheet: Sheet) -> str:
    rows = [sheet.columns, *sheet.rows[:MOST_LINES]]
    return "\n".join([f"{sheet.name}:", columns(rows), *_more(len(sheet.rows), "rows")])


def hop_text(hop: Hop) -> str:
    """Return one hop: the sentence, then its lookups."""
    alone = Trace(hop.place, "", (hop,), hop.disposition)
    return f"{hop_says(alone, 1).split(': ', 1)[1]}\n{_sheet_text(sheets.hop_steps(hop))}"


def learned_text(found: Learned) -> str:
    """Return what places have learned from traffic, each row after the command that shows it there."""
    sheet = sheets.learned(found)
    return _sheet_text(sheet) if sheet.rows else NOTHING_LEARNED


def learned_html(found: Learned) -> str:
    """Return what places have learned from traffic as a table."""
    sheet = sheets.learned(found)
    return html.sheet_html(sheet) if sheet.rows else f"<p>{NOTHING_LEARNED}</p>"


def event_text(event: Event) -> str:
    """Return an event: who did what, and the rows that it wrote and removed."""
    rows = [f"  + {place}: {row_text(row)}" for place, row in event.wrote]
    rows += [f"  - {place}: {row_text(row)}" for place, row in event.removed]
    lines = [f"{event.number}. {event.component} ({event.stage} stage): {event.action}", *_first(rows, "rows")]
    told = "\n".join(visible(line) for line in lines)
    return f"{told}\n\n{file_text(event.artefact)}" if event.artefact else told


def file_text(file: File) -> str:
    """Return a file as its path and its text."""
    return "\n".join(visible(line) for line in (f"{file.path}:", *file.text.splitlines()))


def route_table_text(table: RouteTable) -> str:
    """Return a VPC route table: its name, its kind, and its entries."""
    entries = [f"  {visible(row_text(entry))}" for entry in table.entries]
    return "\n".join([visible(f"{table.id} ({table.kind}):"), *_first(entries, "entries")])


def chain_text(chain: Chain) -> str:
    """Return a chain as `iptables -S` prints it."""
    return "\n".join(_first(iptables_s(Tables(chains=(chain,)), chain.table, chain.name).split("\n"), "rules"))


def imported_text(found: Any) -> str:
    """Return what was read of a dump: the network as text, and what was not used."""
    return "\n\n".join([network_text(found.network), *map(_sheet_text, _warnings(found))])


def imported_html(found: Any) -> str:
    """Return what was read of a dump: the network as its picture and tables, and what was not used."""
    return html.network_html(found.network) + "".join(map(html.sheet_html, _warnings(found)))


def _warnings(found: Any) -> list[Sheet]:
    sheet = sheets.warnings(found.warnings)
    return [sheet] if sheet.rows else []


def journey_text(trace: Trace) -> str:
    """Return a journey: its end in one sentence, then one line a hop."""
    return f"{journey_says(trace)}\n{trace_text(trace)}"


IMPORTED = ("flannelviz.importers.kubectl", "Imported")  # by name, as below
ALLOCATED: dict[tuple[str, str], Callable[[Any], list[Sheet]]] = {  # by name: a view imports no allocation
    ("flannelviz.allocations", "Allocation"): lambda found: [_levels(found), *_findings(found.findings)],
    ("flannelviz.allocations.findings", "Findings"): _findings,
    ("flannelviz.allocations.findings", "Finding"): lambda found: _findings([found]),
}
HTML: dict[type, Callable[[Any], str]] = {
    Network: html.network_html,
    Trace: html.trace_html,
    Hop: html.hop_html,
    Learned: learned_html,
    Tables: html.tables_html,
    VpcTables: html.vpc_html,
    Event: html.event_html,
}
TEXT: dict[type, Callable[[Any], str]] = {
    **dict.fromkeys(ROWS, row_text),
    Network: network_text,
    Trace: journey_text,
    Hop: hop_text,
    Learned: learned_text,
    Tables: tables_text,
    VpcTables: vpc_text,
    Event: event_text,
    File: file_text,
    RouteTable: route_table_text,
    Chain: chain_text,
}
