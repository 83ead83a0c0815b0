"""Whether every field of a plan holds a value of its kind. Control plane, initial stage; it writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Literal, get_args, get_origin, get_type_hints

from flannelviz.controlplane.ranges import either
from flannelviz.errors import AddressPlanError
from flannelviz.model import ClusterPlan, NodePlan, ServicePlan, VSwitch

DEFAULTS = {"node_mask": 25, "route_quota": 200, "route_tables": 1, "mtu": 1500}
EXAMPLES = {NodePlan: "NodePlan('node-a')", VSwitch: "VSwitch('vsw-a', parse_network('192.168.0.0/24'))"}
EXAMPLES[ServicePlan] = "ServicePlan('web', parse_address('172.19.0.10'), 80, ('a1',))"


def check_kinds(plan: ClusterPlan) -> None:
    """Check that it is a plan, and nothing in it text that nobody parsed, a word that nobody knows, or IPv6.

    Raises: AddressPlanError for the first value of another kind, with one that passes.
    """
    if not isinstance(plan, ClusterPlan):
        raise AddressPlanError(f"{plan!r} is no ClusterPlan; write plan(3), for instance")
    for name, kind in (("vswitches", VSwitch), ("nodes", NodePlan), ("other_ecs", NodePlan), ("services", ServicePlan)):
        check_all(name, getattr(plan, name), kind)
    check_machines((*plan.nodes, *plan.other_ecs))
    _check_ranges(_ranges(plan))
    _check_words("", plan)
    _check_names("ccm_route_table_ids", plan.ccm_route_table_ids, ("vtb-system",))
    for name in DEFAULTS:
        _check_number(name, getattr(plan, name), DEFAULTS[name])
    for service in plan.services:
        _check_service(service)


def check_machines(planned: Iterable[NodePlan]) -> None:
    """Check the names, the pods and the addresses of nodes and other ECS. Raises: AddressPlanError."""
    for machine in planned:
        if not isinstance(machine.name, str):
            raise AddressPlanError(f"node name {machine.name!r} is no text; write one such as 'node-a'")
        for field in ("pods", "host_pods"):
            _check_names(f"{field} of {machine.name}", getattr(machine, field))
        for field in ("address", "eip"):
            _check_address(f"{field} of {machine.name}", getattr(machine, field), "192.168.0.10")


def check_all(name: str, planned: object, kind: type) -> None:
    """Check that `planned` is a tuple of values of one kind. Raises: AddressPlanError."""
    if not isinstance(planned, tuple):
        raise AddressPlanError(f"{name} {planned!r} is no tuple; write ({EXAMPLES[kind]},)")
    for one in planned:
        if not isinstance(one, kind):
            raise AddressPlanError(f"{name} holds {one!r}, which is no {kind.__name__}; write {EXAMPLES[kind]}")


def _check_service(service: ServicePlan) -> None:
    if not isinstance(service.name, str):
        raise AddressPlanError(f"Service name {service.name!r} is no text; write one such as 'web'")
    if service.cluster_ip is None:
        raise AddressPlanError(f"Service {service.name} has no ClusterIP; write parse_address('172.19.0.10')")
    _check_address(f"ClusterIP of {service.name}", service.cluster_ip, "172.19.0.10")
    for field, example in (("port", 80), ("target_port", 8080)):
        _check_number(f"{field} of {service.name}", getattr(service, field), example)
    _check_names(f"endpoints of {service.name}", service.endpoints)
    _check_words(f" of {service.name}", service)


def _check_words(whose: str, planned: ClusterPlan | ServicePlan) -> None:
    """Check that each field with a list of words holds one of them, and each switch True or False."""
    for name, words in WORDS[type(planned)].items():
        value = getattr(planned, name)
        if value not in words:
            raise AddressPlanError(f"{name}{whose} {value!r} is unknown; take {either(map(repr, words))}")


def _words_of(kind: type) -> dict[str, tuple[Any, ...]]:
    hints = get_type_hints(kind)
    listed = {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}
    return listed | {name: (True, False) for name, hint in hints.items() if hint is bool}


WORDS = {kind: _words_of(kind) for kind in (ClusterPlan, ServicePlan)}


def _check_number(name: str, number: object, example: int) -> None:
    if not isinstance(number, int) or isinstance(number, bool):
        raise AddressPlanError(f"{name} {number!r} is no whole number; write one such as {example}")


def _check_names(name: str, names: object, example: tuple[str, ...] = ("a1", "a2")) -> None:
    if isinstance(names, str):
        raise AddressPlanError(f"{name}: {names!r} is one text, not a tuple of names; write ({names!r},)")
    if not isinstance(names, tuple) or not all(isinstance(one, str) for one in names):
        raise AddressPlanError(f"{name}: {names!r} is no tuple of names; write one such as {example}")


def _check_address(name: str, address: object, example: str) -> None:
    if isinstance(address, str):
        raise AddressPlanError(f"{name}: {address!r} is text; write parse_address({address!r})")
    if address is not None and not isinstance(address, IPv4Address):
        raise AddressPlanError(f"{name}: {address!r} is no IPv4 address; write parse_address({example!r})")


def _check_ranges(ranges: Iterable[tuple[str, object]]) -> None:
    for name, value in ranges:
        if isinstance(value, str):
            raise AddressPlanError(f"{name} {value!r} is text; write parse_network({value!r})")
        if not isinstance(value, IPv4Network):
            raise AddressPlanError(
                f"{name} {value} is no IPv4 network, and this model covers no other; write one such as 172.16.0.0/16"
            )


def _ranges(plan: ClusterPlan) -> Iterator[tuple[str, object]]:
    yield "VPC CIDR", plan.vpc_cidr
    yield "pod CIDR", plan.cluster_cidr
    if plan.service_cidr is not None:
        yield "service CIDR", plan.service_cidr
    yield from ((f"vSwitch {vswitch.name}", vswitch.cidr) for vswitch in plan.vswitches)
    yield from ((f"podCIDR of {node.name}", node.pod_cidr) for node in plan.nodes if node.pod_cidr is not None)
