"""Tables as pandas frames, each row with its author: the table twin of every picture. READS only.

pandas is imported when a frame is asked for, not before. The frames are ordinary ones; an attribute, which pandas hands
on to whatever is selected from them, says that they may be shown as the other tables are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flannelviz.network import Event, Network
from flannelviz.packet import Learned, Trace
from flannelviz.views import sheets
from flannelviz.views.html import sheet_html
from flannelviz.views.learned import with_learned
from flannelviz.views.sheets import Sheet

if TYPE_CHECKING:
    from pandas import DataFrame

OURS = "flannelviz"  # the attribute of a frame that was made here; it holds the name of the table


def frame(sheet: Sheet) -> DataFrame:
    """Return a sheet as a frame.

    Shape: one row each, the columns of the sheet even where it is empty.
    """
    from pandas import DataFrame

    found = DataFrame(list(sheet.rows), columns=list(sheet.columns))
    found.attrs[OURS] = sheet.name
    return found


def frame_html(found: DataFrame) -> str:
    """Return a frame made here as the other tables look: to the left, no cell cut; any other as pandas shows it.

    Shape: the index shows where it has a name, the numbers of the rows do not.
    """
    if OURS not in found.attrs or found.columns.nlevels > 1:
        return str(found._repr_html_())
    whole = found.reset_index() if any(found.index.names) else found
    known = whole.astype(object).where(whole.notna(), None)
    rows = tuple(known.itertuples(index=False, name=None))
    return sheet_html(Sheet(found.attrs[OURS], tuple(map(str, whole.columns)), rows))


def routes(network: Network, place: str) -> DataFrame:
    """Return the routes at a place. Raises: UnknownPlaceError if there is none."""
    return frame(sheets.routes(network.tables(place), network))


def policy(network: Network, place: str) -> DataFrame:
    """Return the policy rules at a place. Raises: UnknownPlaceError if there is none."""
    return frame(sheets.policy(network.tables(place)))


def neighbours(network: Network, place: str, learned: Learned | None = None) -> DataFrame:
    """Return the neighbours at a place, with what it has `learned`. Raises: UnknownPlaceError if there is none."""
    return frame(sheets.neighbours(with_learned(network, learned or Learned()).tables(place)))


def fdb(network: Network, place: str, learned: Learned | None = None) -> DataFrame:
    """Return the bridge FDB at a place, with what it has `learned`. Raises: UnknownPlaceError if there is none."""
    return frame(sheets.fdb(with_learned(network, learned or Learned()).tables(place)))


def learned(found: Learned) -> DataFrame:
    """Return what places have learned from traffic."""
    return frame(sheets.learned(found))


def rules(network: Network, place: str) -> DataFrame:
    """Return the iptables rules at a place. Raises: UnknownPlaceError if there is none."""
    return frame(sheets.rules(network.tables(place)))


def addresses(network: Network, place: str) -> DataFrame:
    """Return the addresses at a place. Raises: UnknownPlaceError if there is none."""
    return frame(sheets.addresses(network.tables(place)))


def links(network: Network, place: str) -> DataFrame:
    """Return the devices at a place. Raises: UnknownPlaceError if there is none."""
    return frame(sheets.links(network.tables(place)))


def vpc_routes(network: Network) -> DataFrame:
    """Return the entries of the VPC's route tables."""
    return frame(sheets.vpc_routes(network))


def nodes(network: Network) -> DataFrame:
    """Return the nodes and the other ECS instances."""
    return frame(sheets.nodes(network))


def pods(network: Network) -> DataFrame:
    """Return the pods."""
    return frame(sheets.pods(network))


def levels(allocation: Any) -> DataFrame:
    """Return how full each level of an allocation is; a number that nobody knows is missing."""
    return frame(sheets.levels(allocation)).astype({"used": "Int64", "usable": "Int64"})


def steps(trace: Trace) -> DataFrame:
    """Return every lookup of a journey, there and back."""
    return frame(sheets.steps(trace))


def events(timeline: Any) -> DataFrame:
    """Return what happened; `timeline` is a timeline, or any events."""
    found: Iterable[Event] = getattr(timeline, "events", timeline)
    return frame(sheets.events(found))
