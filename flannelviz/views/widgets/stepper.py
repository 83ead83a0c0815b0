"""Step through everything that happened to a cluster, event by event, and see the picture grow."""

from __future__ import annotations

from typing import Protocol

import ipywidgets as widgets

from flannelviz.network import Event, Network, Stage
from flannelviz.views.scene import scene
from flannelviz.views.svg import svg
from flannelviz.views.widgets.cards import event_card, event_line, events_table
from flannelviz.views.widgets.panel import Panel, Still, guarded, picture_html
from flannelviz.views.widgets.steps import Steps

MOST_EVENTS = 100  # of the table on a page without a kernel
LOOK_BACK = 8  # events of the table that stand before the current one
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


class EventStepper(Panel):
    """Every event of a timeline, or of one stage of it: who did it, what it wrote, and the network afterwards.

    Everything stands where it will stand at the end of what is stepped through, so that nothing moves.
    """

    def __init__(self, timeline: Moments, stage: Stage | None = None) -> None:
        self.timeline = timeline
        first, last = ends_of(timeline, stage)
        self._layout = timeline.at(last)
        self.steps = Steps("event", self._on_move)
        self.slider = self.steps.slider
        self.line, self.screen, self.card, self.table = (widgets.HTML() for _ in range(4))
        self.steps.span(first, last, first)
        super().__init__([self.steps, self.line, self.screen, self.card, self.table])
        self._draw()

    @property
    def event(self) -> Event:
        """Return the event that is shown."""
        return self.timeline.event(self.steps.value)

    @property
    def says(self) -> str:
        """Return the event in one sentence."""
        return f"event {self.event.number} of {len(self.timeline)}: {self.event.component} {self.event.action}"

    @property
    def picture(self) -> str:
        """Return the network after the event, with what it wrote lit."""
        number = self.steps.value
        return svg(scene(self.timeline.at(number), event=self.event, layout=self._layout))

    @property
    def twin(self) -> str:
        """Return the event as a table, and the ones before it."""
        return event_card(self.event) + self._listed()

    def still(self) -> Still:
        """Return the network after the last of the events, and all of them as a table."""
        first, last, end = self.slider.min, self.slider.max, self._layout
        listed = map(self.timeline.event, range(first, min(last, first + MOST_EVENTS - 1) + 1))
        more = f"; the first {MOST_EVENTS} are listed" if last - first >= MOST_EVENTS else ""
        says = f"events {first} to {last} of {len(self.timeline)}, and the network after them{more}"
        return Still(says, svg(scene(end)), events_table(listed, "What happened, event by event"))

    @guarded
    def _on_move(self, _change: object) -> None:
        self._draw()

    def _draw(self) -> None:
        line, picture = event_line(self.event, len(self.timeline)), picture_html(self.picture)
        card, table = event_card(self.event), self._listed()
        self.message.say("")
        self.line.value, self.screen.value, self.card.value, self.table.value = line, picture, card, table

    def _listed(self) -> str:
        number = self.steps.value
        before = range(max(self.slider.min, number - LOOK_BACK), number + 1)
        return events_table(map(self.timeline.event, before), "Events up to here", number)


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
