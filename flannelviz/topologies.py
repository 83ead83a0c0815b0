"""Ready-made clusters: the article's, and others of any size. They see the control plane, and nothing else does.

A name ending in `_plan`, and `plan` itself, give a `ClusterPlan` to change and to build; the other names give the
`Network` at its end.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network
from string import ascii_lowercase

from flannelviz.controlplane.timeline import Timeline, build
from flannelviz.errors import AddressPlanError
from flannelviz.model import ClusterPlan, NodePlan, VSwitch, parse_network
from flannelviz.network import Network

DATABASE = NodePlan("db", address=IPv4Address("192.168.0.12"))  # an ECS of the VPC that is no node

ARTICLE = ClusterPlan(
    nodes=(
        NodePlan("node-a", ("a1", "a2"), IPv4Address("192.168.0.10"), IPv4Network("172.16.0.128/25")),
        NodePlan("node-b", ("b1", "b2"), IPv4Address("192.168.0.11"), IPv4Network("172.16.8.0/25")),
    ),
    other_ecs=(DATABASE,),
)

CIDRS = ("vpc_cidr", "cluster_cidr", "service_cidr")


def article_plan() -> ClusterPlan:
    """Return the plan of the running example: two nodes, blocks 1 and 16 of the cluster CIDR, and a database.

    Shape: node-a 192.168.0.10 has 172.16.0.128/25 and pods a1, a2; node-b 192.168.0.11 has 172.16.8.0/25 and b1, b2.
    """
    return ARTICLE


def article() -> Network:
    """Return the network of the running example. The same object each time."""
    return article_timeline().network


@lru_cache(maxsize=1)
def article_timeline() -> Timeline:
    """Return all that happened until the running example was there. The same object each time."""
    return build(ARTICLE)


def letters(number: int) -> str:
    """Return what names node `number`, counted from 0, and its pods: a to z, then 27, 28 and so on."""
    return ascii_lowercase[number] if number < len(ascii_lowercase) else str(number + 1)


def nodes_named(nodes: int, pods_per_node: int) -> tuple[NodePlan, ...]:
    """Return that many nodes: node-a with a1, a2, ..., then node-b; after node-z comes node-27 with pod-27-1.

    Raises: AddressPlanError unless both are whole numbers from 0 on.
    """
    for name, number in (("nodes", nodes), ("pods_per_node", pods_per_node)):
        if not isinstance(number, int) or number < 0:
            raise AddressPlanError(f"{name}={number!r}: a cluster has a whole number of them, 0 or more; take 2")
    return tuple(NodePlan(f"node-{letters(n)}", _pods_of(n, pods_per_node)) for n in range(nodes))


def _pods_of(node: int, pods: int) -> tuple[str, ...]:
    name = letters(node)
    prefix = name if name.isalpha() else f"pod-{name}-"
    return tuple(f"{prefix}{number}" for number in range(1, pods + 1))


def plan(nodes: int = 3, pods_per_node: int = 2, **changes: object) -> ClusterPlan:
    """Return a plan with that many nodes and pods and the defaults of the console; `changes` are its fields.

    Shape: nodes and pods are named by letters, podCIDRs come from the allocator: 172.16.0.0/25 for node-a. A CIDR may
    be written as text.
    Raises: AddressPlanError if a text is no IPv4 network, or a number is less than 0.
    """
    parsed = {
        name: parse_network(value) if name in CIDRS and isinstance(value, str) else value
        for name, value in changes.items()
    }
    return replace(ClusterPlan(nodes=nodes_named(nodes, pods_per_node)), **parsed)  # type: ignore[arg-type]


def two_nodes() -> Network:
    """Return node-a with a1, a2 and node-b with b1, b2; the allocator chose 172.16.0.0/25 and 172.16.0.128/25."""
    return build(plan(2)).network


def three_nodes() -> Network:
    """Return nodes node-a to node-c with two pods each, and the ECS `db` that is no node."""
    return build(plan(3, other_ecs=(NodePlan("db"),))).network


def large_plan(nodes: int = 5000, pods_per_node: int = 30) -> ClusterPlan:
    """Return a plan at the far end of what ACK allows: 10.0.0.0/13 in blocks of 64, one vSwitch, a raised quota.

    Shape: room for 8192 nodes in the cluster CIDR and 8188 ECS in the vSwitch; 61 pods fit on each node.
    """
    return ClusterPlan(
        vswitches=(VSwitch("vsw-a", IPv4Network("192.168.0.0/19")),),
        cluster_cidr=IPv4Network("10.0.0.0/13"),
        node_mask=26,
        nodes=nodes_named(nodes, pods_per_node),
        route_quota=max(200, nodes + 1),  # one entry for each node, and the default route
    )


def large(nodes: int = 5000, pods_per_node: int = 30) -> Network:
    """Return the network of `large_plan`: 5,000 nodes and 150,000 pods unless told otherwise."""
    return build(large_plan(nodes, pods_per_node)).network
