"""What differs between two moments: the rows that an event wrote, and those that it removed. Control plane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from flannelviz.controlplane.host_local import host_local_files
from flannelviz.model import VPC
from flannelviz.network import EMPTY, Network
from flannelviz.packet import AnyRow

Placed = tuple[str, AnyRow]


def difference(before: Network, after: Network, places: Sequence[str]) -> tuple[tuple[Placed, ...], tuple[Placed, ...]]:
    """Return what `after` has and `before` has not at `places`, and the other way round.

    Shape: pairs of place and row, in the order of the tables; host-local's files count as rows of their node.
    """
    wrote: list[Placed] = []
    removed: list[Placed] = []
    for place in places:
        old, new = list(rows_at(before, place)), list(rows_at(after, place))
        wrote.extend((place, row) for row in _minus(new, old))
        removed.extend((place, row) for row in _minus(old, new))
    return tuple(wrote), tuple(removed)


def _minus(rows: Sequence[AnyRow], others: Sequence[AnyRow]) -> Iterator[AnyRow]:
    left = Counter(others)
    for row in rows:
        if left[row]:
            left[row] -= 1
        else:
            yield row


def rows_at(network: Network, place: str) -> Iterator[AnyRow]:
    """Return every row at `place`, none where the place does not exist yet."""
    if place == VPC:
        yield from network.vpc.rows()
        return
    exists = place in network.written or place in network.pods
    tables = network.tables(place) if exists else EMPTY
    yield from tables.rows()
    if tables.lan is not None:
        yield from host_local_files(tables.lan)
