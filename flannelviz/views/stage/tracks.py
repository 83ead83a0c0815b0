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
            for key in {**before, **state}:
                value = state.get(key)
                if value != before.get(key):
                    found[key].append((step, value))
        before = state
    return tuple(Track(key, tuple(found[key])) for key in order)


def _insert(order: list[str], found: dict[str, list[tuple[int, T | None]]], state: Mapping[str, T]) -> None:
    if state.keys() <= found.keys():
        return
    place = 0
    for key in state:
        if key in found:
            place = order.index(key) + 1
            continue
        order.insert(place, key)
        found[key] = []
        place += 1
