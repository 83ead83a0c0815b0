"""A timeline as a view needs it: the network after k events, event k itself, and where a stage begins and ends."""

from __future__ import annotations

from typing import Protocol

from flannelviz.network import Event, Network, Stage

STAGES: tuple[Stage, ...] = ("initial", "cluster", "node", "pod")


class Moments(Protocol):
    """What a timeline has to answer: the network after k events, and event k itself, counted from 1."""

    @property
    def network(self) -> Network:
        """Return the network at the end."""

    def __len__(self) -> int: ...

    def at(self, k: int) -> Network:
        """Return the network after `k` events."""

    def event(self, k: int) -> Event:
        """Return event number `k`."""

    def stage_end(self, stage: Stage) -> int:
        """Return the number of the last event of `stage`."""


def ends_of(timeline: Moments, stage: Stage | None) -> tuple[int, int]:
    """Return the numbers of the first and the last event of a stage, or of all.

    Raises: ValueError if there is no such stage, or nothing happened in it.
    """
    if stage is None:
        return 1, len(timeline)
    if stage not in STAGES:
        raise ValueError(f"there is no stage {stage!r}; choose one of {', '.join(STAGES)}")
    before = STAGES.index(stage) - 1
    first = timeline.stage_end(STAGES[before]) + 1 if before >= 0 else 1
    last = timeline.stage_end(stage)
    if last < first:
        raise ValueError(f"nothing happens in the {stage} stage of this timeline; leave the stage out to see all")
    return first, last
