"""What a plan may call its machines, pods and Services. Control plane, initial stage; it writes nothing.

Source: RFC 1123; Kubernetes, "Object Names and IDs".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from flannelviz.controlplane.placement import machines
from flannelviz.errors import AddressPlanError
from flannelviz.model import ClusterPlan

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
POD = re.compile(rf"(?:{_LABEL}/)?{_NAME.pattern}")
SERVICE = re.compile(rf"(?:{_LABEL}/)?{_LABEL}(?::{_LABEL})?")  # namespace/name:port


def check_names(plan: ClusterPlan) -> None:
    """Check the name of every machine and pod: RFC 1123, and none twice. Raises: AddressPlanError."""
    names = [machine.name for machine in machines(plan)]
    for name in names:
        if not _NAME.fullmatch(name):
            raise AddressPlanError(no_name("node name", name))
    for name in repeated(names):
        raise AddressPlanError(f"two machines are called {name!r}; give each node and ECS a name of its own")
    for machine in plan.other_ecs:
        if machine.pods or machine.host_pods:
            raise AddressPlanError(f"{machine.name} is no node, and no pod runs there; plan it among the nodes")
    pods = [full_name(pod) for node in plan.nodes for pod in node.pods + node.host_pods]
    for pod in pods:
        if not POD.fullmatch(pod):
            raise AddressPlanError(no_name("pod name", pod))
    for pod in repeated(pods):
        raise AddressPlanError(f"two pods are called {pod!r}; give each pod of a namespace a name of its own")


def full_name(pod: str) -> str:
    """Return the name of a pod with its namespace."""
    return pod if "/" in pod else f"default/{pod}"


def no_name(kind: str, name: str) -> str:
    """Return why `name` is no name, with the nearest that is one."""
    better = re.sub(r"[^a-z0-9.-]+", "-", name.rpartition("/")[2].lower()).strip("-.")[:63].strip("-.") or "node-a"
    return (
        f"{kind} {name!r}: RFC 1123 allows lower-case letters, digits, '-' and '.', "
        f"with a letter or digit at both ends; take {better!r}"
    )


def repeated(names: Iterable[str]) -> Iterator[str]:
    """Return which of `names` come more than once."""
    listed = list(names)
    if len(set(listed)) < len(listed):
        yield from (name for name, times in Counter(listed).items() if times > 1)
