"""From a case in which model and kernel disagree to the smallest one that still does: greedy, one step at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields, replace
from typing import Any

from flannelviz.model import ClusterPlan, NodePlan, ServicePlan
from prove.case import Case, Sent

Disagrees = Callable[[Case], bool]


def smallest(case: Case, disagrees: Disagrees) -> Case:
    """Return a case that `disagrees` accepts, and none of whose simpler neighbours it accepts.

    Shape: fewer packets, faults, nodes, pods and Services, then plainer ones. `disagrees` is not asked about `case`.
    """
    while True:
        found = next((simpler for simpler in _simpler(case) if disagrees(simpler)), None)
        if found is None:
            return case
        case = found


def _simpler(case: Case) -> Iterator[Case]:
    """Return the neighbours of a case that are a step simpler, the greatest step first."""
    yield from (replace(case, packets=packets) for packets in _fewer_packets(case.packets))
    yield from (replace(case, faults=faults) for faults in _without_each(case.faults))
    yield from (replace(case, extras=extras) for extras in _without_each(case.extras))
    yield from (replace(case, plan=plan) for plan in _smaller_plans(case.plan))
    yield from (replace(case, plan=plan) for plan in _plainer(case.plan))
    for number, sent in enumerate(case.packets):
        for plain in _plainer_packets(sent):
            yield replace(case, packets=(*case.packets[:number], plain, *case.packets[number + 1 :]))


def _without_each(things: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    return (things[:number] + things[number + 1 :] for number in range(len(things)))


def _fewer_packets(packets: tuple[Sent, ...]) -> Iterator[tuple[Sent, ...]]:
    if len(packets) > 1:
        yield packets[-1:]
        yield (*packets[:-2], packets[-1])
        yield from (fewer for fewer in _without_each(packets) if fewer[-1:] == packets[-1:])


def _smaller_plans(plan: ClusterPlan) -> Iterator[ClusterPlan]:
    yield from (replace(plan, services=services) for services in _without_each(plan.services))
    yield from (replace(plan, other_ecs=others) for others in _without_each(plan.other_ecs))
    for nodes in _without_each(plan.nodes):
        yield _with_nodes(plan, nodes)
    for number, node in enumerate(plan.nodes):
        for smaller in _smaller_nodes(node):
            yield _with_nodes(plan, (*plan.nodes[:number], smaller, *plan.nodes[number + 1 :]))
    for number, service in enumerate(plan.services):
        for ends in _without_each(service.endpoints):
            fewer = replace(service, endpoints=ends)
            yield replace(plan, services=(*plan.services[:number], fewer, *plan.services[number + 1 :]))


def _smaller_nodes(node: NodePlan) -> Iterator[NodePlan]:
    yield from (replace(node, pods=pods) for pods in _without_each(node.pods))
    yield from (replace(node, host_pods=pods) for pods in _without_each(node.host_pods))
    if node.eip is not None:
        yield replace(node, eip=None)


def _with_nodes(plan: ClusterPlan, nodes: tuple[NodePlan, ...]) -> ClusterPlan:
    """Return the plan with other nodes, and no Service in front of a pod that is gone."""
    pods = {pod for node in nodes for pod in node.pods}
    return replace(plan, nodes=nodes, services=tuple(_in_front_of(pods, service) for service in plan.services))


def _in_front_of(pods: set[str], service: ServicePlan) -> ServicePlan:
    return replace(service, endpoints=tuple(pod for pod in service.endpoints if pod in pods))


def _plainer(plan: ClusterPlan) -> Iterator[ClusterPlan]:
    """Return the plan with one choice as the console offers it."""
    placed = [*plan.nodes, *plan.other_ecs]
    if any(machine.vswitch for machine in placed):
        nodes, others = (tuple(replace(m, vswitch=None) for m in some) for some in (plan.nodes, plan.other_ecs))
        yield replace(plan, nodes=nodes, other_ecs=others)
    kept = ("nodes", "other_ecs", "services")
    for field in fields(ClusterPlan):
        if field.name not in kept and getattr(plan, field.name) != _default(field):
            yield replace(plan, **{field.name: _default(field)})


def _plainer_packets(sent: Sent) -> Iterator[Sent]:
    if sent.proto != "icmp":
        yield replace(sent, proto="icmp", dport=0)
    for field in fields(Sent):
        plain = _default(field)
        if plain is not MISSING and field.name not in ("proto", "dport") and getattr(sent, field.name) != plain:
            yield replace(sent, **{field.name: plain})


def _default(field: Field[Any]) -> Any:
    return field.default
