"""What of a long journey is shown: a loop's first and last rounds, and how much lies between. READS only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from flannelviz.packet import Hop
from flannelviz.views.shapes import Stop

FIRST_ROUNDS, LAST_ROUNDS = 3, 2
MOST_HOPS, FIRST_HOPS, LAST_HOPS = 14, 7, 2  # of a long journey that is no loop
T = TypeVar("T")


class Gap(NamedTuple):
    """Hops that are left out: the indices from `start` up to `stop`, which is shown again."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def says(self, hops: Sequence[Hop]) -> str:
        """Return how many hops are left out of `hops`, and what the packet's TTL was meanwhile."""
        first, last = hops[self.start].received.ttl, hops[self.stop - 1].received.ttl
        return f"… {self.stop - self.start} more hops, TTL {first} to {last} …"


def gap_in(places: Sequence[str]) -> Gap | None:
    """Return what to leave out of a way through these places; None of a short one."""
    if len(places) <= MOST_HOPS:
        return None
    length, start = _loop(places)
    if not length:
        return Gap(FIRST_HOPS, len(places) - LAST_HOPS)
    found = Gap(start + FIRST_ROUNDS * length, len(places) - LAST_ROUNDS * length)
    return found if found.stop - found.start > 1 else None


def _loop(places: Sequence[str]) -> tuple[int, int]:
    """Return how many hops a round takes in which the way ends, and where the first begins; (0, 0) if it is no loop."""
    for length in range(1, len(places) // (FIRST_ROUNDS + LAST_ROUNDS) + 1):
        start = len(places) - length
        while start and places[start - 1] == places[start - 1 + length]:
            start -= 1
        if len(places) - start >= (FIRST_ROUNDS + LAST_ROUNDS) * length:
            return length, start
    return 0, 0


def shown_with(items: Sequence[T], gap: Gap | None, more: T) -> list[T]:
    """Return the items with `more` in place of what the gap leaves out."""
    return list(items) if gap is None else [*items[: gap.start], more, *items[gap.stop :]]


def hidden(request: Iterable[str], reply: Iterable[str]) -> frozenset[int]:
    """Return the numbers of the hops that are left out, counted from 1 over both ways, given their places."""
    there, back = tuple(request), tuple(reply)
    return frozenset((*_numbers(gap_in(there), 1), *_numbers(gap_in(back), len(there) + 1)))


def drawn_stops(path: Iterable[Stop], hop: int | None = None) -> list[Stop]:
    """Return the stops whose way and number are drawn: all but what is left out, and `hop`, where one stands."""
    stops = list(path)
    there, back = ([stop.place for stop in stops if stop.direction == way] for way in ("there", "back"))
    left_out = hidden(there, back)
    return [stop for stop in stops if stop.number not in left_out or stop.number == hop]


def _numbers(gap: Gap | None, first: int) -> Iterator[int]:
    return iter(range(gap.start + first, gap.stop + first) if gap else ())
