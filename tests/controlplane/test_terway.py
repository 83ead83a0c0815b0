"""Terway with shared ENIs: addresses of the vSwitch, two policy rules a pod, nothing of flannel."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from flannelviz.controlplane.terway import ENI_TABLE, eni_id, host_end
from flannelviz.controlplane.timeline import build
from flannelviz.model import ClusterPlan, NodePlan, VSwitch
from flannelviz.network import Network
from flannelviz.topologies import article_plan
from flannelviz.views.rowtext import row_text

PLAN = replace(article_plan(), cni="terway", nodes=tuple(replace(node, pod_cidr=None) for node in article_plan().nodes))


@pytest.fixture(scope="module")
def network() -> Network:
    return build(PLAN).network


def words(rows: tuple) -> list[str]:
    return [row_text(row) for row in rows if row.origin.component == "terway"]


def test_pods_have_addresses_of_the_vswitch_and_nodes_no_podcidr(network: Network) -> None:
    addresses = [network.pod_ip(place) for place in network.pods]
    assert [str(a) for a in addresses] == ["192.168.0.1", "192.168.0.2", "192.168.0.3", "192.168.0.4"]
    assert {node.pod_cidr for node in network.nodes.values()} == {None}


def test_the_vpc_knows_each_pod_and_has_no_entry_for_a_node(network: Network) -> None:
    assert [str(entry.dst) for entry in network.vpc.routes] == ["192.168.0.0/24", "100.64.0.0/10", "0.0.0.0/0"]
    for place, pod in network.pods.items():
        eni = network.vpc.enis[network.pod_ip(place)]
        assert (eni.place, eni.device, eni.instance_id) == (pod.node, "eth1", eni_id(network.ecs[pod.node]))


def test_the_rows_of_a_node(network: Network) -> None:
    tables, first, second = network.tables("node-a"), host_end("default/a1"), host_end("default/a2")
    assert words(tables.routes) == [
        "default via 192.168.0.253 dev eth1 table 1003 onlink",
        f"192.168.0.1 dev {first} scope link",
        f"192.168.0.2 dev {second} scope link",
    ]
    assert words(tables.policy) == [
        "512: from all to 192.168.0.1 lookup main",
        "512: from all to 192.168.0.2 lookup main",
        f"2048: from 192.168.0.1 iif {first} lookup {ENI_TABLE}",
        f"2048: from 192.168.0.2 iif {second} lookup {ENI_TABLE}",
    ]
    assert tables.link("cni0") is None
    assert tables.link("flannel.1") is None
    assert not tables.chains


def test_the_rows_of_a_pod(network: Network) -> None:
    tables = network.tables("default/a1")
    assert words(tables.routes) == ["169.254.1.1 dev eth0 scope link", "default via 169.254.1.1 dev eth0"]
    mac = network.tables("node-a").link(host_end("default/a1")).mac
    assert words(tables.neighbors) == [f"169.254.1.1 dev eth0 lladdr {mac} PERMANENT"]
    assert words(tables.addresses) == ["inet 192.168.0.1/32 eth0"]


def test_no_program_of_flannel_takes_part() -> None:
    timeline = build(PLAN)
    components = [event.component for event in timeline.events if event.stage in ("node", "pod")]
    assert set(components) == {"terway", "kubelet"}
    assert not any("flannel" in event.action for event in timeline.events)
    assert {node.ready for node in timeline.network.nodes.values()} == {"True"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("attaches", "ip route add default via 192.168.0.253 dev eth1 table 1003 onlink"),
        ("wires default/a1", "ip rule add priority 512 to 192.168.0.1/32 table main"),
        (
            "wires default/a1",
            f"ip rule add priority 2048 from 192.168.0.1/32 iif {host_end('default/a1')} table 1003",
        ),
        ("wires default/a1", f"ip link add {host_end('default/a1')} mtu 1500 type veth peer name eth0 netns a1"),
    ],
)
def test_an_event_shows_the_commands_that_would_do_the_same(text: str, line: str) -> None:
    event = build(PLAN).find(component="terway", text=text)[0]
    assert line in event.artefact.text.splitlines()


def test_a_full_vswitch_leaves_pods_without_an_address() -> None:
    """Of the 16 addresses four are reserved, and each node takes one: ten are left."""
    plan = ClusterPlan(
        vswitches=(VSwitch("vsw-a", IPv4Network("192.168.0.0/28")),),
        nodes=tuple(NodePlan(f"node-{n}", tuple(f"{n}{i}" for i in range(8))) for n in "ab"),
        cni="terway",
    )
    network = build(plan, strict=False).network
    stuck = [pod for pod in network.pods.values() if pod.phase == "Pending"]
    assert len(stuck) == 6
    assert all("the vSwitch is full" in pod.message for pod in stuck)
    given = [network.pod_ip(place) for place in network.pods if network.pods[place].phase != "Pending"]
    assert len(set(given)) == 10
    assert IPv4Address("192.168.0.13") not in given  # the gateway
