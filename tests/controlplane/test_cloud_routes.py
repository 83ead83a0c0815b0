"""The cloud-controller-manager writes one VPC entry for each podCIDR, and repairs some of what others did."""

import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flannelviz.controlplane import cloud_routes, console, vpc_api
from flannelviz.controlplane.cloud_routes import (
    NOT_YET,
    ROUTE_CREATED,
    RouteController,
    initialized,
    node_added,
    node_deleted,
    reconcile,
    sync,
)
from flannelviz.model import ClusterPlan, Condition, Node
from flannelviz.tables import RouteEntry

PLAN = ClusterPlan()
CCM = cloud_routes.start(PLAN)
VPC = console.create_vpc(PLAN)


def net(text):
    return IPv4Network(text)


def registered(name, cidr, instance=None, **fields):
    """Return a Node as the controller finds it: tainted, with a podCIDR and a providerID."""
    return initialized(Node(name, pod_cidr=net(cidr), provider_id=f"cn-hangzhou.{instance or f'i-{name}'}", **fields))


NODE_A = registered("a", "172.16.0.128/25")
NODE_B = registered("b", "172.16.8.0/25")


def entry(cidr, instance="i-x", **fields):
    return RouteEntry(net(cidr), "Instance", instance, **fields)


def pod_entries(vpc, table=0):
    """Return the entries that lead to an instance, as text."""
    entries = vpc.route_tables[table].entries
    return {str(e.dst): e.next_hop_id for e in entries if e.next_hop_type == "Instance"}


def status(node):
    condition = node.condition("NetworkUnavailable")
    return condition and (condition.status, condition.reason, condition.message)


CREATED = ("False", "RouteCreated", "RouteController created a route")
WAITING = ("True", "NoRouteCreated", "Node created without a route")
FAILED = ("True", "NoRouteCreated", "RouteController failed to create a route")
HEALTHY = sync(CCM, VPC, (NODE_A, NODE_B))


# --- Nodes come and go


def test_one_entry_for_each_node():
    """fact-19: podCIDR -> Instance."""
    assert pod_entries(HEALTHY.vpc) == {"172.16.0.128/25": "i-a", "172.16.8.0/25": "i-b"}
    assert [status(node) for node in HEALTHY.nodes] == [CREATED, CREATED]
    assert pod_entries(VPC) == {}
    assert status(NODE_A) == WAITING


def test_entry_says_who_wrote_it_and_why():
    ((_, made),) = node_added(CCM, VPC, NODE_A).created
    assert made.origin.component == "cloud-controller-manager"
    assert made.origin.because == "Node a has podCIDR 172.16.0.128/25"
    assert (made.kind, made.status) == ("Custom", "Available")


@pytest.mark.parametrize(
    ("change", "made"),
    [
        pytest.param({}, True, id="fact-20: ready"),
        pytest.param({"ready": "False"}, True, id="fact-20: NotReady does not matter"),
        pytest.param({"ready": "Unknown"}, False, id="fact-20: Unknown"),
        pytest.param({"deleting": True}, False, id="being deleted"),
        pytest.param({"provider_id": ""}, False, id="no providerID"),
        pytest.param({"provider_id": "i-a"}, False, id="providerID without a region"),
        pytest.param({"provider_id": "alicloud://cn-hangzhou.i-a"}, True, id="providerID with a prefix"),
        pytest.param({"pod_cidr": None}, False, id="no podCIDR yet"),
        pytest.param({"labels": (("service.alibabacloud.com/exclude-node", "true"),)}, False, id="excluded"),
        pytest.param({"labels": (("service.beta.kubernetes.io/exclude-node", ""),)}, False, id="excluded, old label"),
        pytest.param({"labels": (("kubernetes.io/os", "linux"),)}, True, id="another label"),
    ],
)
@pytest.mark.parametrize("run", [lambda node: node_added(CCM, VPC, node), lambda node: reconcile(CCM, VPC, [node])])
def test_which_nodes_get_an_entry(run, change, made):
    outcome = run(replace(NODE_A, **change))
    assert pod_entries(outcome.vpc) == ({"172.16.0.128/25": "i-a"} if made else {})
    assert bool(outcome.nodes) is made


@pytest.mark.parametrize("ready", ["False", "Unknown"])
def test_entry_of_an_unready_node_stays(ready):
    """fact-20: the entry stays, through updates and passes."""
    unready = replace(NODE_A, ready=ready)
    updated = cloud_routes.node_updated(HEALTHY.controller, HEALTHY.vpc, NODE_A, unready)
    assert pod_entries(reconcile(updated.controller, updated.vpc, (unready, NODE_B)).vpc) == pod_entries(HEALTHY.vpc)


def test_update_counts_when_the_podcidr_came():
    outcome = cloud_routes.node_updated(CCM, VPC, replace(NODE_A, pod_cidr=None), NODE_A)
    assert pod_entries(outcome.vpc) == {"172.16.0.128/25": "i-a"}
    assert cloud_routes.node_updated(CCM, VPC, NODE_A, NODE_A).vpc is VPC


def test_deleted_node_loses_its_entry():
    """fact-20: node deleted, entry removed."""
    outcome = node_deleted(HEALTHY.controller, HEALTHY.vpc, "b")
    assert pod_entries(outcome.vpc) == {"172.16.0.128/25": "i-a"}
    assert [str(gone.entry.dst) for gone in outcome.deleted] == ["172.16.8.0/25"]
    assert set(outcome.controller.known) == {"a"}


def test_restart_forgets_and_leaves_a_stale_entry():
    forgetful = HEALTHY.controller.restarted()
    outcome = node_deleted(forgetful, HEALTHY.vpc, "b")
    assert pod_entries(outcome.vpc) == pod_entries(HEALTHY.vpc)
    later = reconcile(outcome.controller, outcome.vpc, (NODE_A,))
    assert "172.16.8.0/25" in pod_entries(later.vpc)  # no pass removes it either: it matches no Node


def test_pass_after_a_restart_fills_the_memory():
    remembered = reconcile(HEALTHY.controller.restarted(), HEALTHY.vpc, HEALTHY.nodes)
    assert set(remembered.controller.known) == {"a", "b"}
    assert pod_entries(node_deleted(remembered.controller, remembered.vpc, "b").vpc) == {"172.16.0.128/25": "i-a"}


def test_stale_entry_bites_when_its_block_is_used_again():
    """The duplicate of another instance passes for success, until the next pass."""
    stale = VPC.adding(entry("172.16.8.0/25", "i-dead"))
    trapped = node_added(CCM, stale, NODE_B)
    assert pod_entries(trapped.vpc) == {"172.16.8.0/25": "i-dead"}
    assert status(trapped.nodes[0]) == CREATED and trapped.events == ()
    repaired = reconcile(trapped.controller, trapped.vpc, trapped.nodes)
    assert pod_entries(repaired.vpc) == {"172.16.8.0/25": "i-b"}


def test_node_deleted_and_back_within_a_batch():
    outcome = sync(HEALTHY.controller, HEALTHY.vpc, (NODE_B,), deleted=("b",))
    assert pod_entries(outcome.vpc) == pod_entries(HEALTHY.vpc)


def test_deletions_come_before_creations():
    replaced = sync(HEALTHY.controller, HEALTHY.vpc, (registered("c", "172.16.8.0/25"),), deleted=("b",))
    assert pod_entries(replaced.vpc) == {"172.16.0.128/25": "i-a", "172.16.8.0/25": "i-c"}


def test_known_entry_leaves_the_condition_to_the_pass():
    back = sync(CCM, HEALTHY.vpc, (NODE_A,))
    assert back.nodes == ()
    (cleared,) = reconcile(CCM, HEALTHY.vpc, (NODE_A,)).nodes
    assert status(cleared) == CREATED


# --- The periodic pass


@pytest.mark.parametrize(
    ("made", "deleted"),
    [
        pytest.param(entry("172.16.0.128/26"), True, id="fact-21: inside a podCIDR"),
        pytest.param(entry("172.16.0.128/26", "i-a"), True, id="fact-21: inside a podCIDR, even to its own node"),
        pytest.param(entry("172.16.0.0/20"), False, id="fact-21: around podCIDRs"),
        pytest.param(entry("172.16.77.0/25"), False, id="fact-21: matches no node"),
        pytest.param(entry("10.0.0.0/8"), False, id="fact-21: outside the cluster CIDR"),
        pytest.param(entry("172.16.0.0/16"), False, id="the cluster CIDR itself"),
        pytest.param(RouteEntry(net("172.16.0.128/26"), "NatGateway", "ngw-x"), False, id="to no Instance"),
        pytest.param(entry("172.16.0.128/26", kind="System"), False, id="not a Custom entry"),
        pytest.param(entry("0.0.0.0/0"), False, id="the default route"),
    ],
)
def test_conflict_rule(made, deleted):
    nodes = (NODE_A, NODE_B)
    assert cloud_routes.conflicts(made, nodes, PLAN.cluster_cidr) is deleted
    outcome = reconcile(HEALTHY.controller, HEALTHY.vpc.adding(made), nodes)
    assert (made in outcome.vpc.routes) is not deleted
    assert outcome.deleted == ((("vtb-system", made),) if deleted else ())


def test_entry_outside_the_cluster_cidr_stays_even_where_a_podcidr_is():
    stray, made = registered("stray", "10.1.0.0/25"), entry("10.1.0.0/25", "i-other")
    assert not cloud_routes.conflicts(made, (stray,), PLAN.cluster_cidr)
    assert reconcile(CCM, VPC.adding(made), (stray,)).deleted == ()


def test_entry_to_another_instance_is_replaced_within_one_period():
    """fact-22: 172.16.0.128/25 -> other instance; five minutes by default."""
    assert cloud_routes.PERIOD == 300
    outcome = reconcile(CCM, VPC.adding(entry("172.16.0.128/25", "i-other")), (NODE_A,))
    assert pod_entries(outcome.vpc) == {"172.16.0.128/25": "i-a"}
    assert [gone.entry.next_hop_id for gone in outcome.deleted] == ["i-other"]
    (event,) = outcome.events
    assert (event.about, event.type, event.reason) == ("Node a", "Normal", "CreatedRoute")
    assert event.message == "Created route for vtb-system with a -> 172.16.0.128/25 successfully"


def test_pass_over_a_healthy_cluster_changes_nothing():
    outcome = reconcile(HEALTHY.controller, HEALTHY.vpc, HEALTHY.nodes)
    assert outcome == cloud_routes.Outcome(HEALTHY.controller, HEALTHY.vpc)


def test_removed_entry_comes_back_with_the_pass():
    """fact-41: without B's entry the VPC knows no way to B, and still knows the one to A."""
    lost = HEALTHY.vpc.without(entry("172.16.8.0/25", "i-b"))
    assert lost.route_to(IPv4Address("172.16.8.2")) is None
    assert lost.route_to(IPv4Address("172.16.0.130")).next_hop_id == "i-a"
    assert pod_entries(reconcile(HEALTHY.controller, lost, HEALTHY.nodes).vpc) == pod_entries(HEALTHY.vpc)


def test_two_nodes_with_one_podcidr_take_turns():
    """Each pass takes the entry for the other's; the cluster never comes to rest."""
    twins = (NODE_A, registered("twin", "172.16.0.128/25"))
    outcome = sync(CCM, VPC, twins)
    turns = []
    for _ in range(4):
        turns.append(pod_entries(outcome.vpc)["172.16.0.128/25"])
        outcome = reconcile(outcome.controller, outcome.vpc, twins)
    assert turns == ["i-a", "i-twin", "i-a", "i-twin"]


@given(
    st.lists(st.tuples(st.integers(0, 31), st.integers(0, 3)), max_size=8),
    st.tuples(st.integers(0, 127), st.integers(20, 28), st.integers(0, 3)),
)
def test_conflict_rule_agrees_with_its_definition(owners, candidate):
    nodes = [
        Node(f"n{i}", pod_cidr=IPv4Network((0xAC100000 + (block << 7), 25)), provider_id=f"r.i-{instance}")
        for i, (block, instance) in enumerate(owners)
    ]
    number, mask, instance = candidate
    made = RouteEntry(IPv4Network((0xAC100000 + (number << 5), mask), strict=False), "Instance", f"i-{instance}")
    by_definition = made.dst.subnet_of(PLAN.cluster_cidr) and any(
        (made.dst != node.pod_cidr and made.dst.subnet_of(node.pod_cidr))
        or (made.dst == node.pod_cidr and node.provider_id != f"r.{made.next_hop_id}")
        for node in nodes
    )
    assert cloud_routes.conflicts(made, nodes, PLAN.cluster_cidr) is by_definition


@given(st.permutations(range(6)), st.integers(0, 6))
def test_order_and_batches_make_no_difference(order, cut):
    nodes = [registered(f"n{i}", f"172.16.{i}.0/25") for i in order]
    first = sync(CCM, VPC, nodes[:cut])
    both = sync(first.controller, first.vpc, nodes[cut:])
    one_by_one = sync(CCM, VPC, nodes)
    assert pod_entries(both.vpc) == pod_entries(one_by_one.vpc)
    assert both.controller == one_by_one.controller
    assert pod_entries(reconcile(CCM, VPC, nodes).vpc) == pod_entries(both.vpc)


# --- What can go wrong


def full(quota=1):
    return console.create_vpc(ClusterPlan(route_quota=quota))


def test_quota_leaves_the_last_node_tainted():
    outcome = sync(CCM, full(), (NODE_A, NODE_B))
    assert pod_entries(outcome.vpc) == {"172.16.0.128/25": "i-a"}
    assert [(node.name, status(node)) for node in outcome.nodes] == [
        ("a", CREATED)
    ]  # b keeps "created without a route"
    assert outcome.retry == ("b",)
    (event,) = outcome.events
    assert (event.about, event.type, event.reason) == ("Node b", "Warning", "CreateRouteFailed")
    assert event.message == "Error creating route entry in vtb-system: Route entry quota exceeded in this route table"
    (refusal,) = outcome.refusals
    assert (refusal.code, refusal.table, refusal.entry.dst) == (vpc_api.QUOTA, "vtb-system", NODE_B.pod_cidr)


def test_node_without_a_condition_learns_of_the_failure():
    outcome = sync(CCM, full(0), (replace(NODE_A, conditions=()),))
    assert status(outcome.nodes[0]) == FAILED


def test_pass_tries_again_and_words_it_differently():
    outcome = reconcile(CCM, full(0), (NODE_A,))
    assert outcome.nodes == ()
    assert outcome.events[0].message.endswith("vtb-system: Message: Route entry quota exceeded in this route table")
    assert pod_entries(reconcile(CCM, full(1), (NODE_A,)).vpc) == {"172.16.0.128/25": "i-a"}


def test_podcidr_inside_a_vswitch_is_refused():
    outcome = node_added(CCM, VPC, registered("x", "192.168.0.0/25"))
    assert outcome.refusals[0].code == vpc_api.INVALID
    assert outcome.created == () and outcome.retry == ("x",)


TWO = console.create_vpc(ClusterPlan(route_tables=2))


@pytest.mark.parametrize(
    ("era", "says"),
    [
        pytest.param(
            "current", r"multiple route tables found by vpc id\[.*\], length\(tables\)=2", id="fact-23: today"
        ),
        pytest.param("1.12", "multiple route table or no route table found in vpc", id="fact-23: 1.12"),
    ],
)
def test_several_tables_and_no_routetableids(era, says):
    controller = cloud_routes.start(ClusterPlan(route_tables=2), era)
    outcome = reconcile(controller, TWO, (NODE_A,))
    assert outcome.vpc is TWO and outcome.nodes == ()
    (event,) = outcome.events
    assert (event.type, event.reason) == ("Warning", "SyncRouteFailed")
    assert re.search(says, event.message)


def test_batch_waits_when_it_knows_no_table():
    """fact-23: the Node event creates no entry either, and is tried again."""
    outcome = node_added(CCM, TWO, NODE_A)
    assert outcome.vpc is TWO and outcome.retry == ("a",)
    assert [event.reason for event in outcome.events] == ["SyncRouteFailed"]
    assert sync(HEALTHY.controller, TWO, (NODE_A,), deleted=("b",)).retry == ("b", "a")


def test_batch_with_nothing_to_do_asks_for_no_table():
    assert sync(CCM, TWO, (replace(NODE_A, pod_cidr=None),), deleted=("unknown",)).events == ()


@pytest.mark.parametrize("ids", [("vtb-system",), ("vtb-custom-1",), ("vtb-system", "vtb-custom-1")])
def test_routetableids_say_where_to_write(ids):
    controller = cloud_routes.start(ClusterPlan(route_tables=2, ccm_route_table_ids=ids))
    outcome = node_added(controller, TWO, NODE_A)
    written = {table.id for number, table in enumerate(TWO.route_tables) if pod_entries(outcome.vpc, number)}
    assert written == set(ids)
    gone = node_deleted(outcome.controller, outcome.vpc, "a")
    assert not any(pod_entries(gone.vpc, number) for number in (0, 1))


def test_vpc_without_tables():
    assert "no route tables found" in reconcile(CCM, replace(VPC, route_tables=()), (NODE_A,)).events[0].message


def test_without_cloud_routes_the_taint_stays():
    off = RouteController(PLAN.cluster_cidr, configure_cloud_routes=False)
    for outcome in (node_added(off, VPC, NODE_A), reconcile(off, VPC, (NODE_A,))):
        assert outcome.vpc is VPC and outcome.nodes == ()


# --- Kubernetes 1.12


OLD = cloud_routes.start(PLAN, "1.12")


def test_old_controller_waits_for_its_pass():
    assert node_added(OLD, VPC, NODE_A).vpc is VPC
    outcome = reconcile(OLD, VPC, (NODE_A, replace(NODE_B, ready="Unknown")))
    assert pod_entries(outcome.vpc) == {"172.16.0.128/25": "i-a", "172.16.8.0/25": "i-b"}
    assert outcome.events == ()


def test_old_controller_never_removes_the_entry_of_a_deleted_node():
    outcome = reconcile(OLD, VPC, (NODE_A, NODE_B))
    later = node_deleted(outcome.controller, outcome.vpc, "b")
    assert pod_entries(reconcile(later.controller, later.vpc, (NODE_A,)).vpc) == pod_entries(outcome.vpc)


def test_old_controller_says_that_it_failed():
    outcome = reconcile(OLD, full(0), (NODE_A,))
    assert outcome.events[0].reason == "FailedToCreateRoute"
    assert "Code: QuotaExceeded Message: Route entry quota exceeded" in outcome.events[0].message
    assert status(outcome.nodes[0]) == FAILED


# --- Small things


@pytest.mark.parametrize(
    ("provider_id", "instance"),
    [
        ("cn-hangzhou.i-a", "i-a"),
        ("alicloud://cn-hangzhou.i-a", "i-a"),
        ("cn-hangzhou.", None),
        ("cn-hangzhou", None),
        ("", None),
    ],
)
def test_instance_of_a_node(provider_id, instance):
    assert cloud_routes.instance_of(Node("a", provider_id=provider_id)) == instance
    if instance:
        assert cloud_routes.provider_id("cn-hangzhou", instance) in provider_id


def test_condition_replaces_the_one_of_its_type():
    twice = cloud_routes.with_condition(NODE_A, NOT_YET)
    assert twice.conditions == NODE_A.conditions == (NOT_YET,)
    ready = Condition("Ready", "True", "KubeletReady", "kubelet is posting ready status")
    both = cloud_routes.with_condition(replace(NODE_A, conditions=(ready, NOT_YET)), ROUTE_CREATED)
    assert both.conditions == (ready, ROUTE_CREATED)


def test_five_thousand_nodes_in_one_batch():
    nodes = [registered(f"n{i}", str(IPv4Network((0x0A000000 + (i << 7), 25)))) for i in range(5000)]
    vpc = console.create_vpc(ClusterPlan(route_quota=5000))
    outcome = sync(RouteController(net("10.0.0.0/8")), vpc, nodes)
    assert len(outcome.created) == len(outcome.nodes) == 5000 and outcome.events == ()
    assert reconcile(outcome.controller, outcome.vpc, outcome.nodes).deleted == ()
