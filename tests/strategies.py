"""Clusters to test with, drawn by hypothesis: small ones, where everything can be tried."""

from dataclasses import replace
from ipaddress import IPv4Network

from hypothesis import strategies as st

from flannelviz.model import ClusterPlan, NodePlan, VSwitch

CLUSTER_CIDRS = ("172.16.0.0/16", "10.32.0.0/14", "172.20.0.0/20")
VSWITCHES = (
    VSwitch("vsw-a", IPv4Network("192.168.0.0/24"), "cn-hangzhou-a"),
    VSwitch("vsw-b", IPv4Network("192.168.1.0/28"), "cn-hangzhou-b"),
)


@st.composite
def plans(draw: st.DrawFn, min_nodes: int = 2, min_pods: int = 1) -> ClusterPlan:
    """A plan that the console accepts: two to four nodes in two zones, one to three pods on each, one more ECS."""
    count = draw(st.integers(min_nodes, 4))
    nodes = tuple(_node(draw, "abcd"[i], min_pods) for i in range(count))
    return ClusterPlan(
        vswitches=VSWITCHES,
        cluster_cidr=IPv4Network(draw(st.sampled_from(CLUSTER_CIDRS))),
        node_mask=draw(st.integers(24, 28)),
        nodes=nodes,
        other_ecs=(NodePlan("db", vswitch=nodes[0].vswitch),),
        rules=draw(st.sampled_from(["v0.10", "head"])),
        vpc_decrements_ttl=draw(st.booleans()),
    )


def _node(draw: st.DrawFn, letter: str, min_pods: int) -> NodePlan:
    pods = draw(st.integers(min_pods, 3))
    zone = draw(st.sampled_from(["vsw-a", "vsw-b"]))
    return replace(NodePlan(f"node-{letter}"), pods=tuple(f"{letter}{i + 1}" for i in range(pods)), vswitch=zone)
