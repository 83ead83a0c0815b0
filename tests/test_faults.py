"""Each fault breaks what it says, and nothing else: facts 41 to 46, and the table of switches that break the path."""

import pytest

from flannelviz.dataplane.trace import trace
from flannelviz.errors import FaultError
from flannelviz.faults import FAULTS, break_network, fault_called, targets
from flannelviz.model import VPC
from flannelviz.network import Network
from flannelviz.packet import Disposition
from flannelviz.topologies import article

JOURNEYS = {
    "same node": ("a1", "a2"),
    "out": ("a1", "b1"),
    "in": ("b1", "a1"),
    "Internet": ("a1", "Internet"),
    "own pod": ("node-a", "a1"),
    "own node": ("a1", "node-a"),
    "ECS": ("a1", "db"),
}
OK = "ok"


@pytest.fixture(scope="module")
def network() -> Network:
    return article()


def fates(network: Network) -> dict[str, str]:
    """What becomes of each journey: ok, or the place where it dies, after 'back' if the answer dies."""
    return {name: _fate(network, *ends) for name, ends in JOURNEYS.items()}


def _fate(network: Network, source: str, destination: str) -> str:
    found = trace(network, source, destination)
    if found.ok:
        return OK
    place = str(found.died_at).removeprefix("default/")
    return f"back, {place}" if found.disposition is Disposition.ACCEPTED else place


def test_a_healthy_network_has_none_of_this(network: Network) -> None:
    assert set(fates(network).values()) == {OK}


# Everything that is not named is ok.
@pytest.mark.parametrize(
    ("fault", "target", "broken"),
    [
        pytest.param("vpc-route-missing", "node-b", {"out": "VPC", "in": "back, VPC"}, id="fact-41"),
        pytest.param("vpc-route-missing", "node-a", {"out": "back, VPC", "in": "VPC"}, id="fact-41, seen from a"),
        ("vpc-route-stale", "node-b", {"out": "VPC", "in": "back, VPC"}),
        ("several-route-tables", VPC, {"out": "VPC", "in": "VPC"}),
        ("security-group-rule-missing", VPC, {"out": "VPC", "in": "VPC"}),
        ("source-dest-check-on", "node-a", {"out": "VPC", "in": "back, VPC"}),
        ("nat-gateway-missing", VPC, {"Internet": "VPC"}),
        ("snat-entry-missing", VPC, {"Internet": "VPC"}),
        pytest.param(
            "ip-forward-off",
            "node-a",
            {"out": "node-a", "in": "node-a", "Internet": "node-a", "ECS": "node-a"},
            id="fact-42: same node and own pod still work",
        ),
        ("forward-drop", "node-a", {}),
        pytest.param(
            "forward-drop-without-flanneld",
            "node-a",
            {"same node": "node-a", "out": "node-a", "in": "node-a", "Internet": "node-a", "ECS": "node-a"},
            id="fact-43: with bridge-nf",
        ),
        ("duplicate-pod-cidr", "node-a", {}),  # a1 and b1 have one address: each reaches itself under it
        ("ip-masq-off", "node-a", {}),
        pytest.param("masquerade-missing", "node-a", {"Internet": "VPC"}, id="fact-44: the Internet fails"),
        pytest.param(
            "cni0-missing",
            "node-a",
            {
                "same node": "a1",
                "out": "a1",
                "in": "node-a",  # it loops between the VPC and node-a, which alone counts the TTL
                "Internet": "a1",
                "own pod": "node-a",  # out to the VPC and back, with a source that is node-a's own: a martian
                "own node": "a1",
                "ECS": "a1",
            },
            id="cni0 missing",
        ),
        ("rp-filter-strict", "node-a", {}),
        ("bridge-nf-off", "node-a", {}),
        ("eth0-mtu-1400", "node-a", {}),
    ],
)
def test_what_breaks_and_what_does_not(network: Network, fault: str, target: str, broken: dict[str, str]) -> None:
    assert fates(break_network(network, fault, target)) == {name: broken.get(name, OK) for name in JOURNEYS}


def test_without_bridge_nf_the_same_node_survives_a_forward_drop(network: Network) -> None:  # fact-43
    broken = break_network(break_network(network, "bridge-nf-off", "node-a"), "forward-drop-without-flanneld", "node-a")
    assert fates(broken)["same node"] == OK
    assert fates(broken)["out"] == "node-a"


def test_without_masquerade_an_ecs_sees_the_pod(network: Network) -> None:  # fact-44
    found = trace(break_network(network, "masquerade-missing", "node-a"), "a1", "db")
    assert found.ok
    assert str(found.source_seen) == "172.16.0.130"


def test_without_ip_masq_another_node_sees_the_nodes_address(network: Network) -> None:  # fact-44
    broken = break_network(network, "ip-masq-off", "node-a")
    assert str(trace(broken, "a1", "b1").source_seen) == "192.168.0.10"
    assert str(trace(broken, "a1", "a2").source_seen) == "172.16.0.130"
    assert trace(broken, "a1", "Internet").ok


def test_without_cni0_on_the_destination_the_packet_loops(network: Network) -> None:  # fact-46
    found = trace(break_network(network, "cni0-missing", "node-b"), "a1", "b1")
    assert found.disposition is Disposition.LOOP
    assert {hop.place for hop in found.request[3:]} == {"VPC", "node-b"}


def test_a_wrong_next_hop_loops_as_well(network: Network) -> None:
    assert trace(break_network(network, "vpc-route-wrong-ecs", "node-b"), "a1", "b1").disposition is Disposition.LOOP


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_changes_a_copy_and_says_who_causes_it(network: Network, fault: object) -> None:
    found = fault_called(fault.name)  # type: ignore[attr-defined]
    broken = break_network(network, found)
    assert broken != network
    assert network == article()
    assert all((found.cause, found.change, found.symptom, found.command))
    assert targets(network, found)


@pytest.mark.parametrize(
    ("fault", "target", "words"),
    [
        ("vpc-rout-missing", None, ["'vpc-rout-missing'", "vpc-route-missing"]),
        ("vpc-route-missing", "a1", ["hits a node", "'a1'", "node-a, node-b"]),
        ("veth-detached", "node-a", ["hits a pod", "default/a1"]),
    ],
)
def test_a_fault_that_does_not_fit_is_refused(
    network: Network, fault: str, target: str | None, words: list[str]
) -> None:
    with pytest.raises(FaultError) as caught:
        break_network(network, fault, target)
    assert all(word in str(caught.value) for word in words)


def test_the_same_entry_cannot_be_lost_twice(network: Network) -> None:
    once = break_network(network, "vpc-route-missing", "node-b")
    with pytest.raises(FaultError, match=r"no entry for node-b's podCIDR 172\.16\.8\.0/25"):
        break_network(once, "vpc-route-missing", "node-b")
