"""The network while it is being built, and one change to it. Control plane.

A draft is private to whoever builds: it changes in place, so that 150,000 pods do not copy 150,000 dictionaries. What
leaves is always a `Network`, which nobody changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from flannelviz.controlplane import cloud_routes, node_ipam
from flannelviz.model import ClusterPlan, Ecs, Node, Pod
from flannelviz.network import Network, Stage
from flannelviz.tables import File, Tables, VpcTables


@dataclass(frozen=True, slots=True)
class Change:
    """What one event changes: whole values, each in place of the one of the same name.

    `written` maps a place to its tables; None takes the tables away. `places` are those to compare before and after.
    """

    component: str
    action: str
    places: tuple[str, ...] = ()
    artefact: File | None = None
    ecs: tuple[Ecs, ...] = ()
    nodes: tuple[Node, ...] = ()
    pods: tuple[Pod, ...] = ()
    vpc: VpcTables | None = None
    written: Mapping[str, Tables | None] = field(default_factory=dict)
    allocator: node_ipam.RangeAllocator | None = None
    routes: cloud_routes.RouteController | None = None


@dataclass(slots=True)
class Draft:
    """A network that grows, with what only its controllers remember."""

    plan: ClusterPlan
    allocator: node_ipam.RangeAllocator
    routes: cloud_routes.RouteController
    ecs: dict[str, Ecs] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    vpc: VpcTables = field(default_factory=VpcTables)
    written: dict[str, Tables] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: ClusterPlan) -> Draft:
        """Return the draft of a cluster of which only the plan exists."""
        return cls(plan, node_ipam.start(plan), cloud_routes.start(plan))

    def copy(self) -> Draft:
        """Return a draft of its own with the same contents."""
        return replace(
            self, ecs=dict(self.ecs), nodes=dict(self.nodes), pods=dict(self.pods), written=dict(self.written)
        )

    def network(self) -> Network:
        """Return the network as it stands."""
        return Network(self.plan, dict(self.ecs), dict(self.nodes), dict(self.pods), self.vpc, dict(self.written))

    def apply(self, change: Change) -> None:
        """Make `change`."""
        self.ecs.update((ecs.name, ecs) for ecs in change.ecs)
        self.nodes.update((node.name, node) for node in change.nodes)
        self.pods.update((pod.place, pod) for pod in change.pods)
        for place, tables in change.written.items():
            if tables is None:
                self.written.pop(place, None)
            else:
                self.written[place] = tables
        self.vpc = change.vpc or self.vpc
        self.allocator = change.allocator or self.allocator
        self.routes = change.routes or self.routes


Step = Callable[[Draft, Any], Change]  # one event: it reads the draft, and says what changes


class Group(NamedTuple):
    """Things that are handled one after the other, each by the same steps."""

    things: Sequence[Any]
    steps: tuple[Step, ...]


class Job(NamedTuple):
    """What belongs to one subject (a node, mostly) in one phase, step by step."""

    subject: Any
    groups: tuple[Group, ...]

    @property
    def events(self) -> int:
        """Return how many events this is."""
        return sum(len(group.things) * len(group.steps) for group in self.groups)


def job(subject: Any, *steps: Step) -> Job:
    """Return the job that takes one subject through `steps`."""
    return Job(subject, (Group((subject,), steps),))


class Phase(NamedTuple):
    """Some work of one stage: the jobs, which follow from the state before, and a quick way to do many at once.

    `fold` changes a draft as every step of the jobs would, and makes no events; None: take the steps.
    """

    stage: Stage
    jobs: Callable[[Draft], Sequence[Job]]
    fold: Callable[[Draft, Sequence[Job]], None] | None = None
