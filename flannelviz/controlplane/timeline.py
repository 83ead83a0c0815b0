"""The programs of the control plane as a sequence of events, and the network at any moment. Control plane.

`build(plan)` runs everything once in big steps, one for each node and phase. Single events are worked out only when
somebody asks for them, from the state in which their phase began. `then` goes on from the end in the same way.
"""

from __future__ import annotations

import gc
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate, islice
from typing import Any, NamedTuple, SupportsIndex, overload

from flannelviz.controlplane import console, stage_cluster, stage_node, stage_pod, stage_services, stage_terway
from flannelviz.controlplane.cloud_routes import RouteController
from flannelviz.controlplane.commands import commands
from flannelviz.controlplane.difference import difference, rows_at
from flannelviz.controlplane.draft import Change, Draft, Job, Phase
from flannelviz.controlplane.happenings import Happening
from flannelviz.controlplane.node_ipam import RangeAllocator
from flannelviz.controlplane.one_node import Standing
from flannelviz.controlplane.stage_later import make
from flannelviz.errors import FaultError, UnknownPlaceError
from flannelviz.model import ClusterPlan, NodePlan
from flannelviz.network import Event, Network, Stage
from flannelviz.packet import AnyRow
from flannelviz.tables import Origin

__all__ = ["Events", "Section", "Timeline", "build", "rows_at"]

PHASES: tuple[Phase, ...] = (
    *stage_cluster.PHASES,
    *stage_node.PHASES,
    *stage_pod.PHASES,
    *stage_services.PHASES,
)
TERWAY_PHASES: tuple[Phase, ...] = (
    *stage_cluster.BEFORE_ALLOCATION,
    *stage_terway.PHASES,
    *stage_services.PHASES,
)
STAGES: tuple[Stage, ...] = ("initial", "cluster", "node", "pod")
SMALL = 2000  # events: up to this many, every moment is kept once somebody asks for one


class Section(NamedTuple):
    """A phase that ran: its jobs, the number of the last event of each, and the state before the first.

    `later`: it came after `build`.
    """

    phase: Phase
    jobs: Sequence[Job]
    ends: Sequence[int]
    before: Draft
    later: bool = False


def build(plan: ClusterPlan, *, strict: bool = True) -> Timeline:
    """Return all that happens to `plan`, from the empty VPC to the last pod.

    Shape: initial, cluster, node, pod; within a stage phase by phase, within a phase node by node. Where something
    runs out, the events say so, and what depends on it stays undone.
    Raises: AddressPlanError if the plan breaks a rule of the console; with `strict`, also if it cannot fit.
    """
    warnings = console.check_plan(plan, strict)
    draft, phases = Draft.of(plan), PHASES if plan.cni == "flannel" else TERWAY_PHASES
    with _no_garbage():
        sections = list(_play(draft, phases, 0))
        return _timeline(draft, sections, warnings)


def _timeline(
    draft: Draft, sections: Sequence[Section], warnings: tuple[str, ...], asked: tuple[NodePlan, ...] = ()
) -> Timeline:
    return Timeline(draft.plan, draft.network(), tuple(sections), draft.allocator, draft.routes, warnings, asked)


def _play(draft: Draft, phases: Iterable[Phase], number: int, later: bool = False) -> Iterator[Section]:
    """Return the sections that `phases` come to after event `number`, and change `draft` as they do.

    Shape: a phase is asked for its jobs, and the next phase asked for, when the one before has run.
    """
    for phase in phases:
        jobs = phase.jobs(draft)
        if jobs:
            ends = list(accumulate((job.events for job in jobs), initial=number))[1:]
            before = draft.copy()
            _run(phase, draft, jobs)
            number = ends[-1]
            yield Section(phase, jobs, ends, before, later)


def _run(phase: Phase, draft: Draft, jobs: Sequence[Job]) -> None:
    """Change `draft` as all of `jobs` do."""
    if phase.fold is not None:
        phase.fold(draft, jobs)
        return
    for job in jobs:
        for change in _changes(draft, job):
            make(draft, change)


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Hold Python's cycle collector: half a million new values that all stay would be searched again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _changes(draft: Draft, job: Job) -> Iterator[Change]:
    """Return the changes of one job; the next one is worked out from `draft` after the caller has made the last."""
    for group in job.groups:
        for thing in group.things:
            for step in group.steps:
                yield step(draft, thing)


@dataclass(frozen=True, repr=False, eq=False)
class Timeline:
    """What happened to a cluster, event by event. `at(k)` is the network after k events, `network` the last one.

    Shape: events count from 1 to len(timeline); at(0) has nothing but the plan. `warnings` are those of `build`,
    then what ran out later; `allocator` and `routes` are what the two controllers remember after the last event,
    `asked` the nodes and pods that were added after `build`.
    """

    plan: ClusterPlan
    network: Network
    sections: tuple[Section, ...]
    allocator: RangeAllocator
    routes: RouteController
    warnings: tuple[str, ...] = ()
    asked: tuple[NodePlan, ...] = ()
    memo: dict[str, Any] = field(default_factory=dict, init=False)

    def __repr__(self) -> str:
        return f"<Timeline: {len(self)} events, {len(self.network.nodes)} nodes, {len(self.network.pods)} pods>"

    def __len__(self) -> int:
        return self.sections[-1].ends[-1]

    def then(self, *happenings: Happening) -> Timeline:
        """Return a timeline that goes on where this one ends: AddNode, DeletePod and so on, one after the other.

        Shape: what runs out by it is a warning, as in `build` without `strict`.
        Raises: UnknownPlaceError for a name that is not there at that moment, AddressPlanError for a new one that
        does not fit, FaultError where this cluster has no such program, TypeError for what is no happening.
        """
        if self.plan.cni != "flannel":
            raise FaultError(f"what happens later is told for flannel, not {self.plan.cni}; build with cni='flannel'")
        draft = Standing.after(self.network, self.allocator, self.routes)
        draft.asked.extend(self.asked)
        draft.warnings.extend(self.warnings)
        sections = list(self.sections)
        for happening in happenings:
            if not isinstance(happening, Happening):
                raise TypeError(f"{happening!r} does not happen to a cluster; write DeleteNode('node-b'), for instance")
            sections.extend(_play(draft, happening.phases(draft), sections[-1].ends[-1], later=True))
        return _timeline(draft, sections, tuple(draft.warnings), tuple(draft.asked))

    @property
    def events(self) -> Events:
        """Return the events as a sequence; events[0] is event number 1."""
        return Events(self)

    def at(self, k: int) -> Network:
        """Return the network after `k` events.

        Raises: IndexError unless 0 <= k <= len(timeline).
        """
        self._check(k, 0)
        if k == len(self):
            return self.network
        if k == 0:
            return Network(self.plan)
        return self._moments()[k][0] if len(self) <= SMALL else self._before(k + 1)[0].network()

    def event(self, k: int) -> Event:
        """Return event number `k`.

        Shape: `wrote` and `removed` are what differs between at(k - 1) and at(k) in the places that it touched.
        Raises: IndexError unless 1 <= k <= len(timeline).
        """
        self._check(k, 1)
        known: dict[int, Event] = self.memo.setdefault("events", {})
        if k not in known:
            event = self._event(k)
            if len(self) > SMALL:
                return event
            known[k] = event
        return known[k]

    def stage_end(self, stage: Stage) -> int:
        """Return the number of the last event of `stage` in `build`; where it has none, that of the stage before.

        Raises: ValueError for what is no stage.
        """
        _check_stage(stage)
        upto = STAGES[: STAGES.index(stage) + 1]
        return max((s.ends[-1] for s in self.sections if s.phase.stage in upto and not s.later), default=0)

    def find(
        self, *, component: str | None = None, place: str | None = None, stage: Stage | None = None, text: str = ""
    ) -> tuple[Event, ...]:
        """Return the events of a component, of a stage, at a place, whose action contains `text`, in order.

        Shape: every condition that is given must hold. All events are worked out for it: a matter of milliseconds for
        a few nodes, of days for thousands.
        Raises: ValueError for what is no stage.
        """
        where = None if place is None else self._place(place)
        if stage is not None:
            _check_stage(stage)

        def wanted(event: Event) -> bool:
            here = where is None or where in event.places
            return (
                here and component in (None, event.component) and stage in (None, event.stage) and text in event.action
            )

        return tuple(event for event in self.events if wanted(event))

    def author(self, place: str, row: AnyRow) -> Event | None:
        """Return the last event that wrote `row` at `place`, or None."""
        where = self._place(place)
        return next((e for e in reversed(self.events) if (where, row) in e.wrote), None)

    def _place(self, name: str) -> str:
        """Return the full name of a place; one that is there no more has to be called by it."""
        try:
            return self.network.place(name)
        except UnknownPlaceError:
            return name

    def _check(self, k: int, first: int) -> None:
        if not isinstance(k, SupportsIndex) or not first <= k <= len(self):
            raise IndexError(f"{k!r} is no event of this timeline; take a number from {first} to {len(self)}")

    def _section(self, k: int) -> tuple[Section, int]:
        """Return the section with event `k`, and the number of the last event before the section."""
        index = bisect_left([section.ends[-1] for section in self.sections], k)
        return self.sections[index], self.sections[index - 1].ends[-1] if index else 0

    def _before(self, k: int) -> tuple[Draft, Iterator[Change]]:
        """Return a draft of its own of the moment before event `k`, and the changes from there to the job's end."""
        section, start = self._section(k)
        number = bisect_left(section.ends, k)
        draft = section.before.copy()
        with _no_garbage():
            _run(section.phase, draft, section.jobs[:number])
        changes = _changes(draft, section.jobs[number])
        done = k - 1 - (section.ends[number - 1] if number else start)
        for change in islice(changes, done):
            make(draft, change)
        return draft, changes

    def _moments(self) -> list[tuple[Network, Stage, Change]]:
        """Return the network after each event, with the change that led there. Shape: index 0 is not used."""
        found: list[Any] | None = self.memo.get("moments")
        if found is None:
            found = self.memo["moments"] = [None, *_walk(self.sections)]
        return found

    def _event(self, k: int) -> Event:
        if len(self) <= SMALL:
            after, stage, change = self._moments()[k]
            return _event(k, stage, change, self.at(k - 1), after)
        draft, changes = self._before(k)
        before = draft.network() if k > 1 else Network(self.plan)
        change = next(changes)
        make(draft, change)
        return _event(k, self._section(k)[0].phase.stage, change, before, draft.network())


def _check_stage(stage: str) -> None:
    if stage not in STAGES:
        raise ValueError(f"{stage!r} is no stage; take {', '.join(map(repr, STAGES))}")


def _walk(sections: Sequence[Section]) -> Iterator[tuple[Network, Stage, Change]]:
    draft = sections[0].before.copy()
    for section in sections:
        for job in section.jobs:
            for change in _changes(draft, job):
                make(draft, change)
                yield draft.network(), section.phase.stage, change


def _event(number: int, stage: Stage, change: Change, before: Network, after: Network) -> Event:
    wrote, removed = difference(before, after, change.places)
    origin = Origin(change.component, change.action)
    artefact = change.artefact or commands(wrote, removed, origin)
    return Event(number, stage, change.component, change.action, change.places, wrote, removed, artefact)


@dataclass(frozen=True, eq=False)
class Events(Sequence[Event]):
    """The events of a timeline, each worked out when it is asked for."""

    timeline: Timeline

    def __len__(self) -> int:
        return len(self.timeline)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | Sequence[Event]:
        numbers = range(1, len(self) + 1)[index]
        return self.timeline.event(numbers) if isinstance(numbers, int) else tuple(map(self.timeline.event, numbers))
