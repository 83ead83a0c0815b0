"""What happens to a cluster that stands: nodes and pods come and go, programs start again, somebody edits the VPC."""

import re
from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flannelviz import (
    AddNode,
    AddPod,
    DeleteNode,
    DeletePod,
    HandMadeEntry,
    HandRemovedEntry,
    NodePlan,
    PeriodicPass,
    RestartCloudControllerManager,
    RestartControllerManager,
    lab,
)
from flannelviz.controlplane import timeline as timelines
from flannelviz.controlplane.difference import rows_at
from flannelviz.controlplane.timeline import build
from flannelviz.errors import AddressPlanError, FaultError, FlannelvizError, UnknownPlaceError
from flannelviz.model import VPC, ClusterPlan, ServicePlan
from flannelviz.tables import UNKNOWN_ORIGIN, Chain, Rule
from flannelviz.topologies import plan as make_plan

THREE = ClusterPlan(nodes=(NodePlan("node-a", ("a1", "a2")), NodePlan("node-b", ("b1",)), NodePlan("node-c")))
TINY = {"cluster_cidr": IPv4Network("172.16.0.0/26"), "node_mask": 28}  # four blocks, 13 pods each
D = AddNode(NodePlan("node-d", ("d1",)))
WRONG = HandMadeEntry("172.16.0.0/25", "node-b")  # the block of node-a


@pytest.fixture(scope="module")
def three():
    return build(THREE)


def later(timeline, *happenings):
    """Return the timeline that goes on, and its events from then on."""
    longer = timeline.then(*happenings)
    return longer, longer.events[len(timeline) :]


def entries(network):
    return {
        str(e.dst): e.next_hop_id for e in network.vpc.routes if e.kind == "Custom" and e.next_hop_type == "Instance"
    }


def rows(network):
    """Return how often each row is there, host-network pods left out: they show their node's."""
    places = (VPC, *network.written, *(p for p, pod in network.pods.items() if not pod.host_network))
    return Counter((place, row) for place in dict.fromkeys(places) for row in rows_at(network, place))


def assert_consistent(timeline, first=1):
    """Each event is what differs between two moments, and the steps lead where the timeline ends."""
    for event in timeline.events[first - 1 :]:
        before, after = rows(timeline.at(event.number - 1)), rows(timeline.at(event.number))
        assert before - Counter(event.removed) + Counter(event.wrote) == after, event
        assert not Counter(event.removed) - before, event
    assert timeline._moments()[-1][0] == timeline.network


# --- the facts of the reference, seen on the timeline ---


@pytest.mark.parametrize(
    ("happenings", "pod_cidr"),
    [
        pytest.param((DeleteNode("node-b"), D), "172.16.1.128/25", id="fact-03: the cursor goes on"),
        pytest.param(
            (DeleteNode("node-b"), RestartControllerManager(), D), "172.16.0.128/25", id="fact-04: a restart before"
        ),
        pytest.param((RestartControllerManager(), D), "172.16.1.128/25", id="fact-04: nothing is free below"),
    ],
)
def test_which_block_the_next_node_gets(three, happenings, pod_cidr):
    longer, events = later(three, *happenings)
    assert str(longer.network.nodes["node-d"].pod_cidr) == pod_cidr
    (gave,) = (event for event in events if event.action.startswith("gives node-d podCIDR"))
    assert (gave.component, gave.stage) == ("kube-controller-manager", "cluster")
    assert longer.at(gave.number - 1).nodes["node-d"].pod_cidr is None


def test_fact_05_the_cursor_comes_round_to_the_freed_block():
    nodes = tuple(NodePlan(f"node-{i}") for i in range(512))
    plan = ClusterPlan(nodes=nodes, vswitches=(replace(THREE.vswitches[0], cidr=IPv4Network("192.168.0.0/20")),))
    full = build(replace(plan, route_quota=600))
    freed = full.network.nodes["node-5"].pod_cidr
    assert str(freed) == "172.16.2.128/25"
    assert full.then(DeleteNode("node-5"), D).network.nodes["node-d"].pod_cidr == freed


@pytest.mark.parametrize(
    ("dst", "stays"),
    [
        pytest.param("172.16.0.128/26", False, id="fact-21: inside a podCIDR"),
        pytest.param("172.16.0.0/20", True, id="fact-21: around podCIDRs"),
        pytest.param("172.16.77.0/25", True, id="fact-21: of no Node"),
        pytest.param("10.0.0.0/8", True, id="fact-21: outside the cluster CIDR"),
    ],
)
def test_the_periodic_pass_and_an_entry_made_by_hand(three, dst, stays):
    made, by_hand = later(three, HandMadeEntry(dst, "node-c"))
    assert dst in entries(made.network)
    assert [event.component for event in by_hand] == ["console"]
    passed, events = later(made, PeriodicPass())
    assert (dst in entries(passed.network)) == stays
    removed = [(place, str(row.dst)) for event in events for place, row in event.removed]
    assert removed == ([] if stays else [(VPC, dst)])
    assert {event.component for event in events} == {"cloud-controller-manager"}


def test_fact_22_a_wrong_instance_is_replaced_within_one_period(three):
    right = entries(three.network)
    wrong = three.then(HandRemovedEntry("172.16.0.0/25"), WRONG)
    assert entries(wrong.network)["172.16.0.0/25"] == right["172.16.0.128/25"]
    repaired, events = later(wrong, PeriodicPass())
    assert entries(repaired.network) == right
    assert [event.action.split()[0] for event in events] == ["compares", "deletes", "creates"]
    assert "--DestinationCidrBlock 172.16.0.0/25" in events[1].artefact.text


def test_fact_20_the_entry_goes_with_the_node(three):
    longer, events = later(three, DeleteNode("node-b"))
    assert "172.16.0.128/25" not in entries(longer.network)
    (gone,) = (event for event in events if event.component == "cloud-controller-manager")
    assert [str(row.dst) for _, row in gone.removed] == ["172.16.0.128/25"]


@pytest.mark.parametrize(
    ("happenings", "left"),
    [
        pytest.param((RestartCloudControllerManager(),), True, id="before its first pass"),
        pytest.param((RestartCloudControllerManager(), PeriodicPass()), False, id="after it"),
    ],
)
def test_a_restarted_cloud_controller_manager_leaves_a_stale_entry(three, happenings, left):
    longer = three.then(*happenings, DeleteNode("node-b"))
    assert ("172.16.0.128/25" in entries(longer.network)) == left
    assert bool(longer.find(component="cloud-controller-manager", text="does not know it")) == left


@pytest.mark.parametrize(
    ("happenings", "address"),
    [
        pytest.param((AddPod("a3", "node-a"),), "172.16.0.4", id="fact-27: the next one"),
        pytest.param(
            (DeletePod("a1"), AddPod("a3", "node-a")), "172.16.0.4", id="fact-27: and not the one just released"
        ),
        pytest.param((DeletePod("a1"), DeletePod("a2"), AddPod("a3", "node-a")), "172.16.0.4", id="fact-27: nor any"),
    ],
)
def test_host_local_goes_on_behind_its_cursor(three, happenings, address):
    longer = three.then(*happenings)
    assert longer.network.address("a3") == IPv4Address(address)


# --- the order in which programs act ---


def test_a_node_is_deleted_in_this_order(three):
    longer, events = later(three, DeleteNode("node-a"))
    assert [(event.stage, event.component) for event in events] == [
        ("cluster", "kube-apiserver"),
        ("cluster", "kube-controller-manager"),  # the podCIDR
        ("node", "cloud-controller-manager"),  # the VPC entry
        ("initial", "console"),  # the ECS
        ("pod", "kube-controller-manager"),  # a1
        ("pod", "kube-controller-manager"),  # a2
    ]
    network = longer.network
    assert not {"node-a", "default/a1", "default/a2"} & set(network.places())
    assert IPv4Address("192.168.0.1") not in network.vpc.enis
    assert longer.allocator.cursor == three.allocator.cursor == 3
    assert {place for place, _ in events[3].removed} == {VPC, "node-a", "default/a1", "default/a2"}


def test_a_pod_is_deleted_in_this_order(three):
    longer, events = later(three, DeletePod("a1"))
    assert [event.component for event in events] == [
        "kube-apiserver",
        "flannel CNI plugin",
        "host-local",
        "bridge",
        "container runtime",
        "kubelet",
    ]
    before, after = three.network["node-a"], longer.network["node-a"]
    assert (after.routes, after.addresses, after.fixed_links) == (before.routes, before.addresses, before.fixed_links)
    assert [link.name for link in before.links if link not in after.links] == ["vetheb6e8c0e"]
    assert [row.path for _, row in events[2].removed] == ["/var/lib/cni/networks/cb0/172.16.0.2"]
    assert "172.16.0.3\nlast_reserved_ip.0" in events[2].artefact.text


def test_without_ip_masq_the_chain_goes_too():
    timeline = build(replace(THREE, masquerade=False))
    longer, events = later(timeline, DeletePod("a1"))
    (bridge,) = (event for event in events if event.component == "bridge")
    assert {row.name for _, row in bridge.removed if isinstance(row, Chain)} > {"POSTROUTING"}
    assert "iptables -t nat -X CNI-" in bridge.artefact.text
    again = longer.then(AddPod("a1", "node-a")).network["node-a"]
    assert len(again.chains) == len(timeline.network["node-a"].chains)


def test_the_first_pod_of_a_node_brings_cni0_and_a_later_one_does_not(three):
    _, first = later(three, AddPod("c1", "node-c"))
    _, second = later(three, AddPod("b2", "node-b"))
    assert [event.component for event in second] == [e.component for e in (*first[:2], first[3], *first[4:6])]
    assert any("makes cni0" in event.action for event in first)


def test_a_host_network_pod_comes_and_goes_without_cni(three):
    _, events = later(three, AddPod("kube-system/proxy", "node-c", host_network=True), DeletePod("proxy"))
    assert [event.component for event in events] == [
        "container runtime",
        "kube-apiserver",
        "container runtime",
        "kubelet",
    ]
    assert not any(event.wrote or event.removed for event in events)


@pytest.mark.parametrize("backend", ["vxlan", "host-gw"])
def test_with_a_tunnel_the_other_nodes_follow_the_lease(backend):
    timeline = build(replace(THREE, backend=backend))
    grown, came = later(timeline, D)
    watchers = [event.places for event in came if "the lease 172.16.1.128/25 of node-d" in event.action]
    assert watchers == [("node-a",), ("node-b",), ("node-c",)]
    shrunk, went = later(grown, DeleteNode("node-d"))
    assert [event.places for event in went if event.component == "flanneld"] == watchers
    assert {name: shrunk.network[name] for name in timeline.network.nodes} == {
        name: timeline.network[name] for name in timeline.network.nodes
    }
    assert_consistent(shrunk, len(timeline) + 1)


def test_kube_proxy_follows_the_endpoints():
    web = ServicePlan("web", IPv4Address("172.19.0.10"), 80, ("a1", "b1"))
    timeline = build(replace(THREE, services=(web,)))
    longer, events = later(timeline, DeletePod("b1"))
    assert [event.places for event in events if event.component == "kube-proxy"] == [
        ("node-a",),
        ("node-b",),
        ("node-c",),
    ]
    targets = {rule.to for chain in longer.network["node-c"].chains for rule in chain.rules if rule.to}
    assert targets == {(IPv4Address("172.16.0.2"), 8080)}
    assert longer.then(AddPod("b9", "node-b")).network["node-a"].chains == longer.network["node-a"].chains
    jumps = [
        rule for chain in longer.network["node-a"].chains for rule in chain.rules if rule.target == "KUBE-SERVICES"
    ]
    assert len(jumps) == 2
    assert_consistent(longer, len(timeline) + 1)


# --- who waits gets what becomes free ---


def test_a_pod_that_waited_gets_the_address_that_is_released():
    pods = tuple(f"a{i}" for i in range(14))
    timeline = build(ClusterPlan(nodes=(NodePlan("node-a", pods),), **TINY), strict=False)
    assert timeline.network.pods["default/a13"].phase == "Pending"
    longer = timeline.then(DeletePod("a4"))
    assert longer.network.address("a13") == timeline.network.address("a4")
    assert longer.network.pods["default/a13"].phase == "Running"
    full = longer.then(AddPod("a14", "node-a"))
    assert "no IP addresses available in range set" in full.network.pods["default/a14"].message
    assert_consistent(full, len(timeline) + 1)


def test_a_node_that_waited_gets_the_block_that_is_released():
    nodes = tuple(NodePlan(f"node-{letter}", (f"{letter}1",)) for letter in "abcde")
    timeline = build(ClusterPlan(nodes=nodes, **TINY), strict=False)
    assert timeline.network.nodes["node-e"].pod_cidr is None
    longer = timeline.then(DeleteNode("node-b"))
    assert str(longer.network.nodes["node-e"].pod_cidr) == "172.16.0.16/28"
    assert longer.network.address("e1") == IPv4Address("172.16.0.18")
    assert longer.network.nodes["node-e"].condition("NetworkUnavailable").status == "False"
    assert_consistent(longer, len(timeline) + 1)


@pytest.mark.parametrize("happening", [DeleteNode("node-a"), HandRemovedEntry("172.16.0.0/25")], ids=str)
def test_a_node_that_waited_for_room_in_the_route_table_gets_its_entry(happening):
    timeline = build(replace(THREE, route_quota=3), strict=False)
    assert timeline.network.nodes["node-c"].condition("NetworkUnavailable").status == "True"
    longer = timeline.then(happening)
    assert longer.network.nodes["node-c"].condition("NetworkUnavailable").status == "False"
    assert "172.16.1.0/25" in entries(longer.network)


# --- what a longer timeline is ---


def test_a_timeline_goes_on_and_the_old_one_stays(three):
    before, network = len(three), three.network
    longer = three.then(DeletePod("a1"), DeleteNode("node-c"))
    assert (len(three), three.network) == (before, network)
    assert longer.events[:before] == three.events[:]
    assert longer.at(before) == network
    assert three.then().network == network
    assert three.then(DeletePod("a1")).then(DeleteNode("node-c")).events[:] == longer.events[:]
    assert three.then(DeletePod("a2")).network != longer.network


def test_the_stages_end_where_build_ended(three):
    longer = three.then(D, DeletePod("a1"))
    for stage in ("initial", "cluster", "node", "pod"):
        assert longer.stage_end(stage) == three.stage_end(stage)


STORY = (
    DeleteNode("node-b"),
    D,
    RestartControllerManager(),
    DeletePod("a1"),
    AddPod("a3", "node-a"),
    HandMadeEntry("172.16.0.0/26", "node-d"),
    PeriodicPass(),
    AddNode(NodePlan("node-e", ("e1",), host_pods=("kube-system/proxy-e",))),
    DeleteNode("node-e"),
)


def test_every_later_event_shows_something_and_every_row_has_an_author(three):
    longer, events = later(three, *STORY)
    assert all(event.artefact and event.artefact.text for event in events)
    assert all(row.origin != UNKNOWN_ORIGIN for _, row in rows(longer.network) if not isinstance(row, Rule))


def test_the_stage_shows_what_has_gone_by_the_end(three):
    script = lab.events(three.then(*STORY)).shown
    (node,) = [one for one in script.pictures[0].drawn.elements if one.key == "node-b"]
    assert any(version.look >= 0 for version in node.at) and node.at[-1].look < 0
    assert "PodGC" in script.steps[-1].says


def test_a_large_timeline_says_the_same_as_a_small_one(three, monkeypatch):
    small = three.then(*STORY)
    events, moments = small.events[:], [small.at(k) for k in range(len(small) + 1)]
    monkeypatch.setattr(timelines, "SMALL", 0)
    large = build(THREE).then(*STORY)
    assert large.events[:] == events
    assert [large.at(k) for k in range(len(large) + 1)] == moments


# --- what is refused ---


def test_a_duplicate_entry_is_told_as_what_it_is():
    """A duplicate counts as success, wherever it leads: nobody has created anything."""
    alone = build(make_plan(1, 0))
    longer = alone.then(HandMadeEntry("172.16.0.128/25", "node-a"), AddNode(NodePlan("node-b", ("b1",))))
    (event,) = longer.find(component="cloud-controller-manager", text="takes the VPC route entry 172.16.0.128/25")
    assert event.wrote == () and "InvalidCIDRBlock.Duplicate" in event.artefact.text
    assert longer.find(component="cloud-controller-manager", text="creates the VPC route entry 172.16.0.128/25") == ()


def test_every_route_table_has_a_call_of_its_own():
    tables = ("vtb-system", "vtb-custom-1")
    timeline = build(make_plan(1, 0, route_tables=2, ccm_route_table_ids=tables))
    (event,) = timeline.find(component="cloud-controller-manager", text="creates the VPC route entry")
    assert [call.split()[4] for call in event.artefact.text.splitlines()] == list(tables) and len(event.wrote) == 2
    (gone,) = timeline.then(DeleteNode("node-a")).find(text="deletes the VPC route entry")
    assert [call.split()[4] for call in gone.artefact.text.splitlines()] == list(tables)


@pytest.mark.parametrize(
    ("happening", "error", "says"),
    [
        (DeleteNode("node-x"), UnknownPlaceError, "no Node is called 'node-x' .* take one of node-a, node-b, node-c"),
        (AddPod("x", "node-x"), UnknownPlaceError, "no Node is called 'node-x'"),
        (DeletePod("a9"), UnknownPlaceError, "'a9'; did you mean a"),
        (DeletePod("node-a"), UnknownPlaceError, "is a Node, not a pod; write DeleteNode"),
        (AddPod("a1", "node-b"), AddressPlanError, "a pod 'default/a1' already; take another name, or DeletePod"),
        (AddPod("A 1", "node-b"), AddressPlanError, "pod name .* take 'a-1'"),
        (AddNode(NodePlan("node-a")), AddressPlanError, "an ECS 'node-a' already; give the new node another name"),
        (AddNode(NodePlan("d", address=IPv4Address("192.168.0.1"))), AddressPlanError, "already that of node-a"),
        (AddNode(NodePlan("d", ("a1",))), AddressPlanError, "a pod 'default/a1' already"),
        (AddNode("node-d"), AddressPlanError, "AddNode holds 'node-d', which is no NodePlan; write NodePlan"),
        (HandMadeEntry("172.16.0.0/26", "x"), UnknownPlaceError, "no ECS is called 'x'; take one of node-a"),
        (HandMadeEntry("172.16.0.1/26", "node-a"), AddressPlanError, "write 172.16.0.0/26"),
        (
            HandMadeEntry("10.0.0.0/8", "node-a", "vtb-x"),
            UnknownPlaceError,
            "no route table 'vtb-x'; take one of vtb-system",
        ),
        (HandRemovedEntry("10.0.0.0/8"), UnknownPlaceError, "no custom entry for 10.0.0.0/8; take one of 0.0.0.0/0"),
        ("node-b", TypeError, "'node-b' does not happen to a cluster; write DeleteNode"),
    ],
)
def test_what_cannot_happen_is_refused_with_the_way_out(three, happening, error, says):
    with pytest.raises(error, match=says):
        three.then(happening)


SMALL = make_plan(2, 1, cluster_cidr="172.16.0.0/27", node_mask=28)
FULL = tuple(AddPod(f"p{number}", "node-a") for number in range(12))


@pytest.mark.parametrize(
    ("plan", "happenings", "warnings"),
    [
        (
            THREE,
            (AddNode(NodePlan("n", pod_cidr=IPv4Network("172.16.0.128/25"))),),
            ["podCIDR 172.16.0.128/25 of n is that of node-b, .*; take 172.16.1.128/25"],
        ),
        (SMALL, (D,), ["3 nodes, but 172.16.0.0/27 holds 2 blocks of /28; take 172.16.0.0/26 for the pods"]),
        (replace(SMALL, route_quota=3), (DeleteNode("node-b"), D), []),
        (
            replace(SMALL, cluster_cidr=IPv4Network("172.16.0.0/16"), route_quota=3),
            (D,),
            ["3 nodes, but a route table has 3 custom entries, .*; plan 2 nodes, or raise route_quota to 4"],
        ),
        (SMALL, FULL, []),
        (SMALL, (*FULL, AddPod("p12", "node-a")), ["14 pods on node-a, but a /28 has 13 .*; take a node mask of /27"]),
        (SMALL, (AddNode(NodePlan("node-c", host_pods=("proxy-c",))), DeleteNode("node-c"), D), ["3 nodes"]),
    ],
)
def test_what_runs_out_later_is_a_warning_as_in_build(plan, happenings, warnings):
    timeline = build(plan, strict=False)
    told = timeline.then(*happenings).warnings
    assert told[: len(timeline.warnings)] == timeline.warnings
    later = told[len(timeline.warnings) :]
    assert len(later) == len(warnings) and all(map(re.match, warnings, later)), later


def test_the_warnings_of_build_are_told_once():
    web = ServicePlan("web", IPv4Address("172.19.0.10"), 80, ("a1", "x1"))
    timeline = build(make_plan(2, 1, services=(web,), route_tables=2))
    assert len(timeline.warnings) == 2
    assert timeline.then(AddPod("a2", "node-a"), D).warnings == timeline.warnings


def test_names_are_those_of_the_moment(three):
    with pytest.raises(UnknownPlaceError, match="'node-b' at this moment"):
        three.then(DeleteNode("node-b"), DeleteNode("node-b"))


@pytest.mark.parametrize(
    ("plan", "happening", "says"),
    [
        (replace(THREE, cni="terway"), DeletePod("a1"), "for flannel, not terway; build with cni='flannel'"),
        (replace(THREE, backend="vxlan"), PeriodicPass(), "writes no routes; build the plan with backend='alloc'"),
    ],
    ids=["terway", "vxlan"],
)
def test_programs_that_do_not_run_are_named(plan, happening, says):
    with pytest.raises(FaultError, match=says):
        build(plan).then(happening)


def test_the_vpc_refuses_a_second_entry_for_a_network(three):
    longer, (event,) = later(three, WRONG)
    assert "InvalidCIDRBlock.Duplicate" in event.action
    assert longer.network == three.network


# --- what must always hold ---

NAMES = [f"node-{letter}" for letter in "abcdef"]
PODS = [f"p{number}" for number in range(6)]
HAPPENINGS = st.one_of(
    st.builds(DeleteNode, st.sampled_from(NAMES)),
    st.builds(
        lambda name, pods: AddNode(NodePlan(name, tuple(pods))), st.sampled_from(NAMES), st.sets(st.sampled_from(PODS))
    ),
    st.builds(DeletePod, st.sampled_from([*PODS, *(f"full-{number}" for number in range(3))])),
    st.builds(AddPod, st.sampled_from(PODS), st.sampled_from(NAMES), st.booleans()),
    st.just(RestartControllerManager()),
    st.just(RestartCloudControllerManager()),
    st.just(PeriodicPass()),
    st.builds(
        HandMadeEntry,
        st.sampled_from(["172.16.0.0/28", "172.16.0.16/29", "172.16.0.0/24", "10.0.0.0/8"]),
        st.sampled_from(NAMES),
    ),
    st.builds(HandRemovedEntry, st.sampled_from(["172.16.0.0/28", "172.16.0.16/28", "10.0.0.0/8"])),
)
START = {
    masquerade: build(
        ClusterPlan(
            nodes=(NodePlan("node-a", ("p0", "p1")), NodePlan("node-b", tuple(f"full-{i}" for i in range(14)))),
            masquerade=masquerade,
            route_quota=4,
            **TINY,
        ),
        strict=False,
    )
    for masquerade in (True, False)
}


def possible(timeline, happenings):
    """Return `timeline` after all of `happenings` that can happen when their turn comes."""
    for happening in happenings:
        try:
            timeline = timeline.then(happening)
        except FlannelvizError:
            continue
    return timeline


@given(st.sampled_from(list(START.values())), st.lists(HAPPENINGS, max_size=10))
@settings(max_examples=60, deadline=None)
def test_whatever_happens_the_addresses_stay_in_order(start, happenings):
    timeline = possible(start, happenings)
    network = timeline.network
    blocks = [node.pod_cidr for node in network.nodes.values() if node.pod_cidr]
    assert len(set(blocks)) == len(blocks)
    used = {timeline.allocator.block(i) for i in range(4) if timeline.allocator.used >> i & 1}
    assert used == set(blocks)
    addresses = [address for address in map(network.pod_ip, own_network(network)) if address is not None]
    assert len(set(addresses)) == len(addresses)
    for place in own_network(network):
        address = network.pod_ip(place)
        assert address is None or address in network.nodes[network.pods[place].node].pod_cidr
        assert (address is None) == (network.pods[place].phase == "Pending")
    assert_consistent(timeline, len(start) + 1)


def own_network(network):
    return [place for place, pod in network.pods.items() if not pod.host_network]
