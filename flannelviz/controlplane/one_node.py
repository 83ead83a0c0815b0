"""The phases of `build` for one node or pod that comes later, and for whoever has waited. Control plane.

A node that is added takes the steps that every node took. Nothing here is a step of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from flannelviz.controlplane import cloud_routes, stage_cluster, stage_later, stage_node, stage_pod
from flannelviz.controlplane.backends import BACKENDS
from flannelviz.controlplane.cloud_routes import RouteController
from flannelviz.controlplane.draft import Draft, Group, Job, Phase, Step, job
from flannelviz.controlplane.node_ipam import RangeAllocator
from flannelviz.controlplane.stage_later import Lease
from flannelviz.controlplane.stage_pod import PodsOf
from flannelviz.model import ClusterPlan, Ecs, Node, NodePlan, usable_pod_ips
from flannelviz.network import Network, Stage
from flannelviz.tables import Lan

_ALLOCATE = stage_cluster.PHASES[-1]
_FLANNELD, _LEASES, _ROUTES = stage_node.PHASES[1:]
(_PODS,) = stage_pod.PHASES
_FIRST = stage_pod.FIRST


@dataclass(slots=True)
class Standing(Draft):
    """The draft of a cluster that stands, with the nodes and pods that were asked for after the plan.

    `warnings`: what has run out so far, and what else there was to know.
    """

    asked: list[NodePlan] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def after(cls, network: Network, allocator: RangeAllocator, routes: RouteController) -> Standing:
        """Return a draft of its own of `network`, and of what the two controllers remember."""
        ecs, nodes, pods = dict(network.ecs), dict(network.nodes), dict(network.pods)
        plan = network.plan or ClusterPlan()
        return cls(plan, allocator, routes, ecs, nodes, pods, network.vpc, dict(network.written))


def places(pods: Iterable[str]) -> tuple[str, ...]:
    """Return the full names of pods that a plan names."""
    return tuple(pod if "/" in pod else f"default/{pod}" for pod in pods)


def phase(stage: Stage, *jobs: Job) -> Phase:
    """Return a phase whose jobs are known beforehand."""
    return Phase(stage, lambda _draft: jobs)


def narrowed(draft: Draft, planned: NodePlan) -> Draft:
    """Return a draft in which `planned` is the only node; every other ECS keeps its address."""
    others = (ecs for ecs in draft.ecs.values() if ecs.name != planned.name)
    kept = tuple(NodePlan(ecs.name, address=ecs.address, vswitch=ecs.vswitch) for ecs in others)
    nodes = {name: node for name, node in draft.nodes.items() if name == planned.name}
    return replace(draft, plan=replace(draft.plan, nodes=(planned,), other_ecs=kept), nodes=nodes)


def grown(draft: Draft, planned: NodePlan) -> ClusterPlan:
    """Return the plan of the moment with `planned` in it, as far as something can run out.

    Shape: the other nodes have their podCIDRs only where `planned` brings one, which might be one of theirs.
    """
    pods: dict[str | None, list[str]] = {name: [] for name in draft.nodes}
    for place, pod in draft.pods.items():
        if not pod.host_network:
            pods.setdefault(pod.node, []).append(place)
    theirs = planned.pod_cidr is not None
    others = (node for node in draft.nodes.values() if node.name != planned.name)
    nodes = [NodePlan(o.name, tuple(pods[o.name]), pod_cidr=o.pod_cidr if theirs else None) for o in others]
    there = tuple(pods.get(planned.name, ()))
    return replace(draft.plan, nodes=(*nodes, replace(planned, pods=there + planned.pods)))


def planned_again(draft: Draft, name: str, pods: tuple[str, ...]) -> NodePlan:
    """Return a node that is there as a plan says it."""
    return NodePlan(name, pods, draft.ecs[name].address, vswitch=draft.ecs[name].vswitch)


def phases_of(planned: NodePlan, phases: Iterable[Phase]) -> Iterator[Phase]:
    """Return what of `phases` belongs to this node, without the quick way to do many at once."""
    return (Phase(found.stage, partial(_jobs_of, found, planned)) for found in phases)


def _jobs_of(whole: Phase, planned: NodePlan, draft: Draft) -> list[Job]:
    return [found for found in whole.jobs(narrowed(draft, planned)) if _about(found.subject) == planned.name]


def _about(subject: Any) -> str | None:
    """Return the name of the node that a job is about, or None."""
    if isinstance(subject, Ecs | NodePlan):
        return subject.name
    return subject if isinstance(subject, str) else None


def pod_jobs(draft: Draft, planned: NodePlan) -> list[Job]:
    """Return the jobs that start the pods of `planned`; what the first pod of a node brings is left out where it is."""
    jobs = _jobs_of(_PODS, planned, draft)
    lan = draft.written[planned.name].lan
    first = [group.steps for one in jobs for group in one.groups if group.steps[: len(_FIRST)] == _FIRST]
    if lan is None or not first:
        return jobs
    own = first[0][len(_FIRST) :]
    room = _room(lan)
    wired = Group(PodsOf(planned.name, planned.pods[:room]), stage_pod.LATER + own)
    waiting = Group(PodsOf(planned.name, planned.pods[room:]), stage_pod.WITHOUT_ADDRESS)
    return [Job(planned, tuple(group for group in (wired, waiting) if group.things))]


def _room(lan: Lan) -> int:
    """Return how many more pods get an address."""
    return max(usable_pod_ips(lan.subnet.prefixlen) - len(lan.ipam.held), 0)


# --- Who watches, and who waits ---------------------------------------------------------------------------------------


def watchers(draft: Draft, node: Node, step: Step) -> Iterator[Phase]:
    """Return what flanneld on every other node does about the lease of `node`, where the backend needs rows."""
    if BACKENDS[draft.plan.backend].adds_routes and node.pod_cidr is not None:
        others = (other.name for other in draft.nodes.values() if other.name != node.name and other.pod_cidr)
        yield phase("node", *(job(Lease(name, node), step) for name in others))


def endpoints_changed(draft: Draft, pods: Iterable[str], but: str = "") -> Iterator[Phase]:
    """Return what kube-proxy does on every node if one of `pods` is behind a Service; it comes last here."""
    behind = {place for service in draft.plan.services for place in places(service.endpoints)}
    if not behind.isdisjoint(pods):
        yield phase("pod", *(job(name, stage_later.sync_again) for name in draft.nodes if name != but))


def waiting_pods(draft: Standing, *nodes: str) -> Iterator[Phase]:
    """Return what starts after all, on `nodes` or on all: pods that waited for an address, or for a way to the node."""
    for name, pods in _waiting(draft).items():
        node, lan = draft.nodes[name], draft.written[name].lan
        startable = tuple(pods[: _room(lan)] if lan else pods)
        way = node.pod_cidr is not None and not _unavailable(node)
        if startable and way and (not nodes or name in nodes):
            yield phase("pod", *pod_jobs(draft, planned_again(draft, name, startable)))
            yield from endpoints_changed(draft, startable)


def _waiting(draft: Standing) -> dict[str, list[str]]:
    """Return the pods that wait on each node, and those that are not bound yet but asked for there."""
    found: dict[str, list[str]] = {}
    waiting = [pod for pod in draft.pods.values() if pod.phase == "Pending"]
    asked = (*draft.plan.nodes, *draft.asked) if any(pod.node is None for pod in waiting) else ()
    homes = {place: node.name for node in asked for place in places(node.pods)}
    for pod in waiting:
        home = pod.node or homes.get(pod.place)
        if home in draft.nodes:
            found.setdefault(home, []).append(pod.place)
    return found


def waiting_for_entries(draft: Draft) -> Iterator[Phase]:
    """Return what the cloud-controller-manager tries again: Nodes whose entry it failed to create, if it can now."""
    refused = [node for node in draft.nodes.values() if node.pod_cidr and _unavailable(node)]
    for node in refused if draft.plan.backend == "alloc" else ():
        if cloud_routes.sync(draft.routes, draft.vpc, (node,)).events:
            return
        yield from phases_of(planned_again(draft, node.name, ()), (_ROUTES,))


def _unavailable(node: Node) -> bool:
    condition = node.condition(cloud_routes.UNAVAILABLE)
    return condition is not None and condition.status == "True"


def waiting_for_blocks(draft: Draft) -> Iterator[Phase]:
    """Return what follows where a Node without a podCIDR can have one now: its flanneld comes up after all."""
    for name in [node.name for node in draft.nodes.values() if node.pod_cidr is None]:
        if not draft.allocator.free:
            return
        planned = planned_again(draft, name, ())
        yield from phases_of(planned, (_ALLOCATE,))
        yield Phase("node", partial(_flanneld_again, planned))
        yield from phases_of(planned, (_LEASES, _ROUTES))
        yield from watchers(draft, draft.nodes[name], stage_later.lease_added)


def _flanneld_again(planned: NodePlan, draft: Draft) -> list[Job]:
    """Return the jobs of a flanneld that exited and starts again: without install-cni, and the Node stays Ready."""
    jobs = _jobs_of(_FLANNELD, planned, draft)
    return [job(one.subject, *one.groups[0].steps[2:]) for one in jobs]
