"""A sequence of states as tracks: for each thing that is ever there, what it is from which step on. READS only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Track(NamedTuple, Generic[T]):
    """One thing through all steps: from each of these steps on it is this; None: it is not there."""

    key: str
    at: tuple[tuple[int, T | None], ...]


def tracks(states: Iterable[Mapping[str, T]]) -> tuple[Track[T], ...]:
    """Return one track for each key of these states, one state for each step from 0 on.

    Shape: in the order of the states; a key that comes later stands behind the one that it first followed.
    """
    order: list[str] = []
    found: dict[str, list[tuple[int, T | None]]] = {}
    before: Mapping[str, T] = {}
    for step, state in enumerate(states):
        if state is not before:
            _insert(order, found, state)
            for key, value in state.items():
                if value != before.get(key):
                    found[key].append((step, value))
            for key in before.keys() - state.keys():
                found[key].append((step, None))
        before = state
    return tuple(Track(key, tuple(found[key])) for key in order)


def _insert(order: list[str], found: dict[str, list[tuple[int, T | None]]], state: Mapping[str, T]) -> None:
    if state.keys() <= found.keys():
        return
    place, known = 0, None
    for key in state:
        if key in found:
            known = key
            continue
        if known is not None:
            place, known = order.index(known) + 1, None
        order.insert(place, key)
        found[key] = []
        place += 1
