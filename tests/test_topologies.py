"""Ready-made clusters have the addresses that the prose names."""

from ipaddress import IPv4Network

import pytest

from flannelviz import topologies
from flannelviz.controlplane.address_plan import check_plan
from flannelviz.errors import AddressPlanError
from flannelviz.topologies import plan


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("node-a", "192.168.0.10"),
        ("node-b", "192.168.0.11"),
        ("db", "192.168.0.12"),
        ("a1", "172.16.0.130"),
        ("a2", "172.16.0.131"),
        ("b1", "172.16.8.2"),
        ("b2", "172.16.8.3"),
    ],
)
def test_the_article_has_its_addresses(place, address):
    assert str(topologies.article().address(place)) == address


def test_the_article_has_its_podcidrs():
    nodes = topologies.article().nodes
    assert {n.name: str(n.pod_cidr) for n in nodes.values()} == {"node-a": "172.16.0.128/25", "node-b": "172.16.8.0/25"}
    assert "db" not in nodes
    assert topologies.article() is topologies.article_timeline().network


@pytest.mark.parametrize(
    ("number", "node", "pod"), [(0, "node-a", "a1"), (25, "node-z", "z1"), (26, "node-27", "pod-27-1")]
)
def test_nodes_are_named_by_letters_then_numbers(number, node, pod):
    named = topologies.nodes_named(number + 1, 1)[number]
    assert (named.name, named.pods) == (node, (pod,))


def test_a_plan_takes_the_fields_of_a_plan():
    plan = topologies.plan(2, 3, rules="head", node_mask=26)
    assert ([len(node.pods) for node in plan.nodes], plan.rules, plan.node_mask) == ([3, 3], "head", 26)


def test_small_networks_are_complete():
    two, three = topologies.two_nodes(), topologies.three_nodes()
    assert (len(two.nodes), len(two.pods)) == (2, 4)
    assert (len(three.nodes), len(three.pods), "db" in three.ecs) == (3, 6, True)
    assert str(two.nodes["node-b"].pod_cidr) == "172.16.0.128/25"


def test_a_large_plan_keeps_the_rules_of_the_console():
    plan = topologies.large_plan()
    assert check_plan(plan) == ()
    assert plan.max_nodes >= len(plan.nodes) == 5000
    assert plan.vswitches[0].usable >= 5000


def test_a_large_network_is_a_small_one_with_more_nodes():
    network = topologies.large(40, 61)
    assert len(network.pods) == 40 * 61
    assert all(pod.phase == "Running" for pod in network.pods.values())
    assert network.nodes["node-40"].pod_cidr == IPv4Network("10.0.9.192/26")
    assert str(network.address("pod-40-61")) == "10.0.9.254"


def test_a_cidr_may_be_written_as_text() -> None:
    assert plan(2, 1, cluster_cidr="10.0.0.0/16").cluster_cidr == IPv4Network("10.0.0.0/16")


@pytest.mark.parametrize(
    ("numbers", "says"),
    [((-1,), "nodes=-1"), ((2, -1), "pods_per_node=-1"), (("3",), "nodes='3'"), ((2, None), "pods_per_node=None")],
)
def test_a_number_of_nodes_or_pods_is_none_or_more(numbers: tuple, says: str) -> None:
    with pytest.raises(AddressPlanError, match=rf"^{says}: a cluster has a whole number of them, 0 or more; take 2$"):
        plan(*numbers)


def test_a_cluster_may_be_empty() -> None:
    assert (plan(0).nodes, plan(1, 0).nodes[0].pods) == ((), ())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("172.16.8.1/25", ["172.16.8.1/25", "write 172.16.8.0/25"]),
        ("fd00::/64", ["fd00::/64", "IPv6"]),
        ("ten", ["'ten'", "172.16.0.0/16"]),
    ],
)
def test_a_text_that_is_no_network_is_refused(text: str, words: list[str]) -> None:
    with pytest.raises(AddressPlanError) as caught:
        plan(2, 1, cluster_cidr=text)
    assert all(word in str(caught.value) for word in words)
