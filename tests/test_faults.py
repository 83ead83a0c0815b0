"""Each fault breaks what it says, and nothing else: facts 41 to 46, and the table of switches that break the path."""

import re
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from flannelviz.allocations import allocation
from flannelviz.controlplane.cni import bridge_add
from flannelviz.controlplane.failure import Failure
from flannelviz.controlplane.timeline import build
from flannelviz.controlplane.vpc_api import route_entry_refusal
from flannelviz.dataplane.trace import trace
from flannelviz.errors import FaultError
from flannelviz.faults import FAULTS, Fault, break_network, fault_called, targets
from flannelviz.importers.kubectl import read_kubectl
from flannelviz.model import VPC, NodePlan, ServicePlan
from flannelviz.network import Network
from flannelviz.packet import Disposition
from flannelviz.tables import RouteEntry
from flannelviz.topologies import article, article_plan, article_timeline, plan
from flannelviz.views.text import trace_text
from tests.checkout import ROOT

DUMP = ROOT / "tests" / "data" / "real" / "oke-vxlan-25"

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
PLACEHOLDER = re.compile(r"\b[A-Z]+_[A-Z]+\b|INSTANCE")


def test_a_fault_shows_itself_in_one_line() -> None:
    assert repr(fault_called("veth-detached")).startswith("<Fault veth-detached, pod: ")
    assert not [fault.name for fault in FAULTS if "0x" in repr(fault) or "\n" in repr(fault)]


@pytest.fixture(scope="module")
def network() -> Network:
    return article()


def fates(network: Network) -> dict[str, str]:
    """What becomes of each journey: ok, or the place where it dies, after 'back' if the answer dies."""
    return {name: _fate(network, *ends) for name, ends in JOURNEYS.items()}


def _fate(network: Network, source: str, destination: str) -> str:
    found = trace(network, source, known(network, destination))
    if found.ok:
        return OK
    place = str(found.died_at).removeprefix("default/")
    return f"back, {place}" if found.disposition is Disposition.ACCEPTED else place


def known(network: Network, destination: str) -> str:
    """Return the destination, or the address that it had in the running example, which somebody still knows."""
    lost = destination != "Internet" and network.address(destination) is None
    return str(article().address(destination)) if lost else destination


def test_a_healthy_network_has_none_of_this(network: Network) -> None:
    assert set(fates(network).values()) == {OK}


CUT_OFF = {"out": "a1", "in": "node-a", "Internet": "a1", "own pod": "node-a", "own node": "a1", "ECS": "a1"}

# Everything that is not named is ok.
BROKEN = [
    pytest.param("vpc-route-missing", "node-b", {"out": "VPC", "in": "back, VPC"}, id="fact-41"),
    pytest.param("vpc-route-missing", "node-a", {"out": "back, VPC", "in": "VPC"}, id="fact-41, seen from a"),
    ("route-quota-reached", "node-b", {"out": "VPC", "in": "back, VPC"}),
    ("vpc-route-stale", "node-b", {"out": "VPC", "in": "back, VPC"}),
    ("vpc-route-wrong-ecs", "node-b", {"out": "node-a", "in": "back, node-a"}),  # a loop that node-a's TTL ends
    ("several-route-tables", VPC, {"out": "VPC", "in": "VPC"}),
    ("cloud-routes-off", VPC, {"out": "VPC", "in": "VPC"}),
    ("vswitch-over-pods", "node-b", {"out": "VPC", "in": "back, VPC"}),
    (
        "pod-cidr-missing",
        "node-a",
        {"same node": "a1", **CUT_OFF, "in": "VPC", "own pod": "Internet"},
    ),  # by the default routes
    ("pod-cidr-missing", "node-b", {"out": "VPC", "in": "b1"}),
    ("security-group-rule-missing", VPC, {"out": "VPC", "in": "VPC"}),
    # An answer belongs to a flow that was let out, so `out` is ok; a1 comes to db as node-a, no member any more.
    ("foreign-security-group", "node-a", {"in": "VPC", "ECS": "VPC"}),
    ("foreign-security-group", "node-b", {"out": "VPC"}),
    ("peer-range-overlaps-pods", VPC, {}),  # pods keep each other; what is lost are the hosts behind the line
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
    ("cni0-down", "node-a", {"same node": "a1", **CUT_OFF}),
    ("cni0-without-address", "node-a", CUT_OFF),  # the bridge itself works
    ("cni0-old-address", "node-a", CUT_OFF),  # nobody answers for the gateway, and no route leads into the pod LAN
    ("pod-addresses-leaked", "node-a", {}),
    ("eth0-down", "node-a", {"out": "node-a", "in": "VPC", "Internet": "node-a", "ECS": "node-a"}),
    ("flanneld-not-running", "node-a", {"Internet": "VPC"}),
    (
        "veth-detached",
        "default/a1",
        {
            "same node": "a1",
            **dict.fromkeys(["out", "Internet", "own node", "ECS"], "back, node-a"),
            **dict.fromkeys(["in", "own pod"], "node-a"),
        },
    ),
    ("veth-host-down", "default/a1", {"same node": "a1", **CUT_OFF}),
    ("pod-without-default-route", "default/a1", {"Internet": "a1", "own node": "a1", "ECS": "a1"}),
    (
        "pod-without-routes",
        "default/a1",
        {"out": "a1", "in": "back, a1", "Internet": "a1", "own node": "a1", "ECS": "a1"},
    ),
    ("rp-filter-strict", "node-a", {}),
    ("bridge-nf-off", "node-a", {}),
    ("eth0-mtu-1400", "node-a", {}),
]


@pytest.mark.parametrize(("fault", "target", "broken"), BROKEN)
def test_what_breaks_and_what_does_not(network: Network, fault: str, target: str, broken: dict[str, str]) -> None:
    assert fates(break_network(network, fault, target)) == {name: broken.get(name, OK) for name in JOURNEYS}


def test_every_fault_has_its_row() -> None:
    rows = {row.values[0] if hasattr(row, "values") else row[0] for row in BROKEN}
    assert rows == {fault.name for fault in FAULTS}


# What the behaviour reference lists, sections 7.5 and 9, and by which faults this model has it; a text says why not.
NO_FAULT_OF_A_NETWORK = "where the packet is sent, and no change of the network: tests/dataplane/test_trace.py"
LISTED = {
    "ip_forward=0": "ip-forward-off",
    "FORWARD policy DROP, no accept rules, bridge-nf=1": "forward-drop-without-flanneld",
    "the same, bridge-nf=0": "forward-drop-without-flanneld bridge-nf-off",
    "FORWARD DROP with flannel's accept rules": "forward-drop",
    "VPC entry missing": "vpc-route-missing",
    "cni0 missing": "cni0-missing",
    "unknown IP in another node's podCIDR": f"none: {NO_FAULT_OF_A_NETWORK}",
    "unknown IP in the own podCIDR": f"none: {NO_FAULT_OF_A_NETWORK}",
    "quota reached": "route-quota-reached",
    "several route tables, CCM not configured": "several-route-tables",
    "pod CIDR overlaps a vSwitch": "vswitch-over-pods",
    "pod CIDR overlaps VPC, peer or on-premises range": "peer-range-overlaps-pods",
    "security group rule removed, or a foreign group": "security-group-rule-missing foreign-security-group",
    "podCIDR exhausted, or addresses leaked": "pod-addresses-leaked",
    "no block left for a node": "pod-cidr-missing",
    "node without podCIDR": "pod-cidr-missing",
    "flanneld not started": "flanneld-not-running",
    "node re-joined, podCIDR changed": "cni0-old-address",
    "masquerade rules flushed": "masquerade-missing",
    "flanneld run without --ip-masq": "ip-masq-off",
    "duplicate podCIDR": "duplicate-pod-cidr",
    "stale VPC entry after a node was replaced": "vpc-route-stale vpc-route-wrong-ecs",
    "--configure-cloud-routes=false": "cloud-routes-off",
    "missing cniVersion on Kubernetes >= 1.16": "none: the kubelet calls the Node NotReady, and no table changes",
    "pod calls its own Service": "none: hairpin is off as built, see tests/dataplane/test_services.py",
}


@pytest.mark.parametrize(("listed", "by"), LISTED.items(), ids=LISTED)
def test_every_fault_of_the_reference_is_there_or_says_why_not(listed: str, by: str) -> None:
    assert by.startswith("none: ") or set(by.split()) <= {fault.name for fault in FAULTS}


@pytest.mark.parametrize(
    ("fault", "target", "statuses", "reason"),
    [
        ("vpc-route-missing", "node-b", {"node-a": "False", "node-b": "False"}, "RouteCreated"),
        ("route-quota-reached", "node-b", {"node-a": "False", "node-b": "True"}, "NoRouteCreated"),
        ("several-route-tables", VPC, {"node-a": "True", "node-b": "True"}, "NoRouteCreated"),
        ("cloud-routes-off", VPC, {"node-a": "True", "node-b": "True"}, "NoRouteCreated"),
        ("vswitch-over-pods", "node-b", {"node-a": "False", "node-b": "True"}, "NoRouteCreated"),
        ("pod-cidr-missing", "node-b", {"node-a": "False", "node-b": "True"}, "NoRouteCreated"),
    ],
)
def test_a_node_that_never_got_its_route_says_so(
    network: Network, fault: str, target: str, statuses: dict[str, str], reason: str
) -> None:
    broken = break_network(network, fault, target)
    conditions = {name: node.condition("NetworkUnavailable") for name, node in broken.nodes.items()}
    assert {name: condition and condition.status for name, condition in conditions.items()} == statuses
    assert conditions["node-b"] is not None and conditions["node-b"].reason == reason
    assert IPv4Network("172.16.8.0/25") not in [e.dst for e in broken.vpc.routes if e.kind == "Custom"]


def test_several_route_tables_leave_what_the_control_plane_leaves(network: Network) -> None:
    built = build(replace(article_plan(), route_tables=2)).network
    broken = break_network(network, "several-route-tables")
    assert (broken.nodes, broken.vpc) == (built.nodes, built.vpc)


def test_a_full_route_table_leaves_what_the_control_plane_leaves(network: Network) -> None:
    built = build(replace(article_plan(), route_quota=2), strict=False).network
    broken = break_network(network, "route-quota-reached", "node-b")
    assert (broken.nodes, broken.vpc) == (built.nodes, built.vpc)


def test_a_missing_podcidr_leaves_what_the_control_plane_leaves() -> None:
    room_for_two = plan(3, cluster_cidr="172.16.0.0/24")
    built = build(room_for_two, strict=False).network
    broken = break_network(
        build(replace(room_for_two, cluster_cidr=plan().cluster_cidr)).network, "pod-cidr-missing", "node-c"
    )
    assert (broken.nodes, broken.vpc.routes) == (built.nodes, built.vpc.routes)
    left, never = broken.tables("node-c"), built.tables("node-c")
    assert not any(chain.rules for chain in left.chains)
    assert replace(left, chains=()) == replace(never, chains=())
    assert [broken.pods[place].phase for place in ("default/b1", "default/c1")] == ["Running", "Pending"]


def test_where_a_vswitch_has_the_podcidr_no_entry_is_taken(network: Network) -> None:
    broken = break_network(network, "vswitch-over-pods", "node-b")
    (lost,) = set(network.vpc.routes) - set(broken.vpc.routes)
    assert str(route_entry_refusal(broken.vpc, lost)).startswith("InvalidCidrBlock")
    assert trace(broken, "a1", "b1").hops[-1].deciding_step.says == "no ECS is behind 172.16.8.2"


def test_leaked_addresses_leave_none_for_a_new_pod(network: Network) -> None:  # fact-28
    broken = break_network(network, "pod-addresses-leaked", "node-a")
    lan = broken.tables("node-a").lan
    assert lan is not None and len(lan.ipam.held) == 125
    said = "failed to allocate for range 0: no IP addresses available in range set: 172.16.0.129-172.16.0.254"
    assert bridge_add(broken.tables("node-a"), "node-a", "default/a3", lan.netconf) == Failure("host-local", said)
    assert [found.code for found in allocation(broken).findings if found.subject == "node-a"][-1] == "pod-ip-leaked"


@pytest.mark.parametrize(
    ("host", "died_at", "said"),
    [
        ("172.16.8.77", "node-b", "nobody answers for 172.16.8.77 on cni0"),  # node-b's podCIDR wins
        ("172.16.77.5", "VPC", "172.16.0.130 may not leave by the line"),  # in no podCIDR: the pod's source is kept
    ],
)
def test_a_peer_with_addresses_of_pods_is_unreachable(network: Network, host: str, died_at: str, said: str) -> None:
    found = trace(break_network(network, "peer-range-overlaps-pods"), "a1", host)
    assert found.died_at == died_at
    assert said in trace_text(found).splitlines()[-1]
    (decided,) = [step for hop in found.hops for step in hop.steps if step.kind == "vpc route"]
    others = [str(row.dst) for row in (decided.row, decided.runner_up) if isinstance(row, RouteEntry)]
    assert "172.16.0.0/16" in others


def test_beside_an_old_cni0_no_new_pod_starts(network: Network) -> None:  # fact-48
    tables = break_network(network, "cni0-old-address", "node-a").tables("node-a")
    assert [str(a.interface) for a in tables.addresses if a.dev == "cni0"] == ["172.16.0.1/25"]
    assert tables.lan is not None
    said = 'failed to set bridge addr: "cni0" already has an IP address different from 172.16.0.129/25'
    assert bridge_add(tables, "node-a", "default/a3", tables.lan.netconf) == Failure("bridge", said)


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


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_command_of_a_fault_is_complete(network: Network, fault: Fault) -> None:
    target = targets(network, fault)[0]
    command = fault.command_at(break_network(network, fault, target), target)
    assert not PLACEHOLDER.search(command), command
    assert "aliyun" not in command or " --" in command


@pytest.mark.parametrize(
    ("name", "target", "command"),
    [
        ("vpc-route-missing", "node-b", "aliyun vpc DescribeRouteEntryList --RouteTableId {table}"),
        ("security-group-rule-missing", VPC, "aliyun ecs DescribeSecurityGroupAttribute --SecurityGroupId sg-cluster"),
        ("foreign-security-group", "node-b", "aliyun ecs DescribeInstanceAttribute --InstanceId {instance}"),
        ("source-dest-check-on", "node-b", "aliyun ecs DescribeNetworkInterfaces --InstanceId {instance}"),
        ("snat-entry-missing", VPC, "aliyun vpc DescribeSnatTableEntries --NatGatewayId {gateway}"),
        ("ip-forward-off", "node-b", "sysctl net.ipv4.ip_forward"),
    ],
)
def test_a_command_has_the_ids_of_the_network(network: Network, name: str, target: str, command: str) -> None:
    gateway = next(entry.next_hop_id for entry in network.vpc.routes if entry.next_hop_type == "NatGateway")
    ids = {"table": network.vpc.system_table.id, "instance": network.ecs["node-b"].instance_id, "gateway": gateway}
    assert fault_called(name).command_at(network, target) == command.format(**ids)


def test_an_id_that_nobody_told_keeps_its_name() -> None:
    imported = read_kubectl(DUMP).network
    assert fault_called("vpc-route-missing").command_at(imported, "x").endswith("--RouteTableId ROUTE_TABLE")


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


IMPORTED = '{"kind": "NodeList", "items": [{"metadata": {"name": "node-a"}, "spec": {"podCIDR": "10.0.0.0/25"}}]}'
ODD = {
    "imported": lambda: read_kubectl(DUMP).network,
    "imported, no pods": lambda: read_kubectl(IMPORTED).network,
    "nothing": Network,
    "no nodes": lambda: build(plan(0)).network,
    "one node": lambda: build(plan(1, 1)).network,
    "no pods": lambda: build(plan(2, 0)).network,
    "two tables": lambda: build(plan(2, route_tables=2)).network,
    "no block left": lambda: build(plan(3, cluster_cidr="172.16.0.0/24"), strict=False).network,
    "host-gw": lambda: build(plan(2, backend="host-gw")).network,
    "terway": lambda: build(plan(2, cni="terway")).network,
    "half built": lambda: article_timeline().at(20),
    "only a plan": lambda: article_timeline().at(0),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("odd", ODD)
def test_a_fault_either_fits_or_says_why_not(odd: str, fault: Fault) -> None:
    network = ODD[odd]()
    for target in (None, *targets(network, fault)):
        with suppress(FaultError):
            assert isinstance(break_network(network, fault, target), Network)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_what_is_unknown_cannot_be_broken(fault: Fault) -> None:
    network = read_kubectl(DUMP).network
    assert targets(network, fault) == ()
    where = {"VPC": VPC, "node": "10.0.4.2", "pod": next(iter(network.pods))}[fault.target]
    for target in (None, where):
        with pytest.raises(
            FaultError, match=rf"^{fault.name} edits .*, which this network does not tell; they must be"
        ):
            break_network(network, fault, target)


def test_the_refusal_says_which_table_of_whom() -> None:
    network = read_kubectl(DUMP).network
    with pytest.raises(FaultError, match=r"edits enis of VPC, which"):
        break_network(network, "source-dest-check-on", "10.0.4.2")
    with pytest.raises(FaultError, match=r"edits chains, lan of 10\.0\.4\.2, which"):
        break_network(network, "ip-masq-off", "10.0.4.2")


def test_the_same_entry_cannot_be_lost_twice(network: Network) -> None:
    once = break_network(network, "vpc-route-missing", "node-b")
    with pytest.raises(FaultError, match=r"no entry for node-b's podCIDR 172\.16\.8\.0/25"):
        break_network(once, "vpc-route-missing", "node-b")


# --- every backend ---------------------------------------------------------------------------------------------------

CLUSTERS = {
    "alloc": {"rules": "head"},
    "ali-vpc": {"backend": "ali-vpc"},
    "host-gw": {"backend": "host-gw", "fabric": "switch"},
    "vxlan": {"backend": "vxlan"},
    "terway": {"cni": "terway"},
}
NEEDS_AN_ENTRY = {
    "route-quota-reached",
    "vpc-route-missing",
    "vpc-route-wrong-ecs",
    "vpc-route-stale",
    "several-route-tables",
    "cloud-routes-off",
    "vswitch-over-pods",
    "pod-cidr-missing",
}
NEEDS_A_BRIDGE = {
    "duplicate-pod-cidr",
    "cni0-missing",
    "cni0-down",
    "cni0-without-address",
    "cni0-old-address",
    "pod-addresses-leaked",
    "veth-detached",
}
NOT_HERE = {
    "host-gw": NEEDS_AN_ENTRY,
    "vxlan": NEEDS_AN_ENTRY,
    "terway": NEEDS_AN_ENTRY | NEEDS_A_BRIDGE | {"veth-host-down"},
}
WEB = IPv4Address("172.19.0.10")
# Without masquerade the answer of an ECS has no way back, and without flannel.1 nobody unpacks what others send.
FLANNELD_GONE = {"out": "VPC", "in": "node-a", "Internet": "VPC", "ECS": "back, VPC"}


@pytest.fixture(scope="module", params=CLUSTERS)
def cluster(request: pytest.FixtureRequest) -> tuple[str, Network]:
    nodes = article_plan().nodes
    if request.param == "terway":
        nodes = tuple(replace(node, pod_cidr=None) for node in nodes)
    services = (ServicePlan("web", WEB, 80, ("a1", "b1")),)
    return request.param, build(
        replace(article_plan(), nodes=nodes, services=services, **CLUSTERS[request.param])
    ).network


def test_a_fault_is_offered_where_it_has_something_to_break(cluster: tuple[str, Network]) -> None:
    name, network = cluster
    offered = {fault.name for fault in FAULTS if targets(network, fault)}
    assert {fault.name for fault in FAULTS} - offered == NOT_HERE.get(name, set())


def test_a_podcidr_is_shared_only_by_a_node_with_pods_and_with_another_node() -> None:
    duplicate = fault_called("duplicate-pod-cidr")
    assert targets(build(plan(1, 1)).network, duplicate) == ()
    nodes = (NodePlan("node-a", ("a1",)), NodePlan("node-b"))
    assert targets(build(replace(article_plan(), nodes=nodes)).network, duplicate) == ("node-a",)


@pytest.mark.parametrize("second", ["pod-cidr-missing", "duplicate-pod-cidr"])
def test_what_was_written_into_a_pod_ends_with_it(network: Network, second: str) -> None:
    """Without its podCIDR no pod of a node is wired, and with another one each is wired anew."""
    both = break_network(break_network(network, "pod-without-default-route", "a1"), second, "node-a")
    assert both["a1"] == break_network(network, second, "node-a")["a1"]


def test_an_old_address_needs_a_cni0_to_be_on() -> None:
    with pytest.raises(FaultError, match="^node-a has no cni0; run a pod there first$"):
        break_network(build(plan(2, 0)).network, "cni0-old-address", "node-a")


def test_where_flanneld_never_ran_no_table_has_a_row_of_its() -> None:
    vxlan = build(replace(article_plan(), backend="vxlan")).network
    kinds = ("fixed_links", "addresses", "routes", "neighbors", "fdb")
    written, left = (
        {kind for kind in kinds for row in getattr(one["node-a"], kind) if row.origin.component == "flanneld"}
        for one in (vxlan, break_network(vxlan, "flanneld-not-running", "node-a"))
    )
    assert written >= {"fixed_links", "routes", "neighbors", "fdb"}
    assert left == set()


def test_a_row_that_a_fault_wrote_names_the_fault(network: Network) -> None:
    dropping = break_network(network, "forward-drop", "node-a")["node-a"].chain("filter", "FORWARD")
    assert dropping is not None
    assert (dropping.origin.component, dropping.origin.event) == ("fault", "forward-drop")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_gives_an_answer_for_every_journey(cluster: tuple[str, Network], fault: Fault) -> None:
    _, network = cluster
    ends = (*network.pods, *network.ecs_places())
    for target in targets(network, fault):
        broken = break_network(network, fault, target)
        for source in (*ends, "Internet"):
            for destination in (*filter(broken.address, ends), "Internet", WEB):
                found = trace(broken, source, destination, proto="tcp", dport=80)
                assert found.request
                assert found.ok or found.died_at


@pytest.mark.parametrize(
    ("backend", "fault", "target", "broken"),
    [
        ("vxlan", "flanneld-not-running", "node-a", FLANNELD_GONE),
        ("vxlan", "security-group-rule-missing", VPC, {}),  # the fabric sees node addresses only
        ("vxlan", "eth0-down", "node-b", {"out": "VPC", "in": "node-b"}),
        ("host-gw", "eth0-down", "node-b", {"out": "node-a", "in": "node-b"}),
        ("host-gw", "security-group-rule-missing", VPC, {}),
    ],
)
def test_a_fault_on_another_backend(backend: str, fault: str, target: str, broken: dict[str, str]) -> None:
    network = build(replace(article_plan(), **CLUSTERS[backend])).network
    assert fates(break_network(network, fault, target)) == {name: broken.get(name, OK) for name in JOURNEYS}
