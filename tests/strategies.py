"""Clusters to test with, drawn by hypothesis: small ones, where everything can be tried."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from hypothesis import strategies as st

from flannelviz.model import ClusterPlan, NodePlan, ServicePlan, VSwitch

CLUSTER_CIDRS = ("172.16.0.0/16", "10.32.0.0/14", "172.20.0.0/20")
VSWITCHES = (
    VSwitch("vsw-a", IPv4Network("192.168.0.0/24"), "cn-hangzhou-a"),
    VSwitch("vsw-b", IPv4Network("192.168.1.0/28"), "cn-hangzhou-b"),
)


CLUSTER_IP = IPv4Address("172.19.0.10")
BACKENDS = (
    {"backend": "alloc"},
    {"backend": "ali-vpc"},
    {"backend": "vxlan"},
    {"backend": "host-gw", "fabric": "switch"},
)


@st.composite
def plans(draw: st.DrawFn, min_nodes: int = 2, min_pods: int = 1) -> ClusterPlan:
    """A plan that the console accepts: two to four nodes in two zones, one to three pods on each, one more ECS.

    Any backend, and one Service in front of the first pod of each node; host-gw has its nodes on one switch.
    """
    backend = draw(st.sampled_from(BACKENDS))
    count = draw(st.integers(min_nodes, 4))
    zones = ("vsw-a",) if backend["backend"] == "host-gw" else ("vsw-a", "vsw-b")
    nodes = tuple(_node(draw, "abcd"[i], min_pods, zones) for i in range(count))
    endpoints = tuple(node.pods[0] for node in nodes if node.pods)
    return ClusterPlan(
        vswitches=tuple(one for one in VSWITCHES if one.name in {node.vswitch for node in nodes}),
        cluster_cidr=IPv4Network(draw(st.sampled_from(CLUSTER_CIDRS))),
        node_mask=draw(st.integers(24, 28)),
        nodes=nodes,
        other_ecs=(NodePlan("db", vswitch=nodes[0].vswitch),),
        rules=draw(st.sampled_from(["v0.10", "head"])),
        vpc_decrements_ttl=draw(st.booleans()),
        services=(ServicePlan("web", CLUSTER_IP, 80, endpoints),),
        hairpin=True,  # a pod may be sent to itself
        **backend,
    )


def _node(draw: st.DrawFn, letter: str, min_pods: int, zones: tuple[str, ...]) -> NodePlan:
    pods = draw(st.integers(min_pods, 3))
    zone = draw(st.sampled_from(zones))
    return replace(NodePlan(f"node-{letter}"), pods=tuple(f"{letter}{i + 1}" for i in range(pods)), vswitch=zone)
