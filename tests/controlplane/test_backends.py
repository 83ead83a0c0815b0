"""What each backend writes for the own lease and for remote ones, what it costs, and who the author is."""

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from flannelviz.controlplane.backends import BACKENDS, vtep_mac
from flannelviz.controlplane.commands import commands
from flannelviz.controlplane.draft import Draft
from flannelviz.controlplane.flanneld import SUBNET_ENV, node_annotations
from flannelviz.controlplane.happenings import AddNode, HandMadeEntry
from flannelviz.controlplane.stage_node import _route_of_its_own
from flannelviz.controlplane.timeline import Timeline, build
from flannelviz.model import VPC, BackendKind, ClusterPlan, Node, NodePlan, VSwitch
from flannelviz.network import Event
from flannelviz.tables import ETH0, Link, RouteEntry, Tables
from flannelviz.topologies import article_plan
from flannelviz.topologies import plan as make_plan
from flannelviz.views.rowtext import row_text

KINDS: tuple[BackendKind, ...] = ("alloc", "ali-vpc", "host-gw", "vxlan")
NODE_B = Node("node-b", IPv4Address("192.168.0.11"), IPv4Network("172.16.8.0/25"))
ON_ETH0 = Tables(fixed_links=(Link(ETH0, "device"),))


def plan(kind: BackendKind, **changes: object) -> ClusterPlan:
    return replace(article_plan(), backend=kind, **changes)


@pytest.fixture(scope="module", params=KINDS)
def timeline(request: pytest.FixtureRequest) -> Timeline:
    return build(plan(request.param))


# --- the rows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "own", "remote"),
    [
        pytest.param("alloc", [], [], id="fact-24: alloc"),
        ("ali-vpc", [], []),
        ("host-gw", [], ["172.16.8.0/25 via 192.168.0.11 dev eth0"]),
        (
            "vxlan",
            [f"flannel.1: vxlan mtu 1450 UNKNOWN {vtep_mac(NODE_B)}", "inet 172.16.8.0/32 flannel.1"],
            [
                "172.16.8.0/25 via 172.16.8.0 dev flannel.1 onlink",
                f"172.16.8.0 dev flannel.1 lladdr {vtep_mac(NODE_B)} PERMANENT",
                f"{vtep_mac(NODE_B)} dev flannel.1 dst 192.168.0.11 self permanent",
            ],
        ),
    ],
)
def test_rows_of_the_own_and_of_a_remote_lease(kind: BackendKind, own: list[str], remote: list[str]) -> None:
    backend = BACKENDS[kind]
    assert [row_text(row) for row in backend.own(ON_ETH0, NODE_B)] == own
    assert [row_text(row) for row in backend.remote(NODE_B)] == remote
    assert {row.origin.component for row in (*backend.own(ON_ETH0, NODE_B), *backend.remote(NODE_B))} <= {"flanneld"}


def test_a_gateway_in_another_vswitch_is_refused_by_the_kernel() -> None:
    """A vSwitch of its own makes a node no neighbour: host-gw has no route to it, while a tunnel needs no neighbour."""
    first, second = article_plan().nodes
    zones = (*article_plan().vswitches, VSwitch("vsw-b", IPv4Network("192.168.1.0/28")))
    apart = (first, replace(second, address=None, vswitch="vsw-b"))
    remote = IPv4Network("172.16.8.0/25")
    for kind, known in (("host-gw", False), ("vxlan", True)):
        network = build(plan(kind, vswitches=zones, nodes=apart)).network  # type: ignore[arg-type]
        assert (remote in {route.dst for route in network.tables("node-a").routes}) is known


@pytest.mark.parametrize(
    ("kind", "link", "left"),
    [
        pytest.param("alloc", 1500, 1500, id="fact-47: alloc"),
        pytest.param("host-gw", 1500, 1500, id="fact-47: host-gw"),
        pytest.param("vxlan", 1500, 1450, id="fact-47: vxlan"),
        ("ali-vpc", 1500, 1500),
        ("vxlan", 8500, 8450),
    ],
)
def test_what_a_backend_leaves_of_the_mtu_reaches_the_pods(kind: BackendKind, link: int, left: int) -> None:
    assert BACKENDS[kind].mtu(link) == left
    network = build(plan(kind, mtu=link)).network
    assert f"FLANNEL_MTU={left}\n" in network.tables("node-a").file(SUBNET_ENV).text
    on_node = {name: network.tables("node-a").link(name) for name in ("eth0", "cni0")}
    assert {name: found.mtu for name, found in on_node.items()} == {"eth0": link, "cni0": left}
    assert network.tables("default/a1").link("eth0").mtu == left


@pytest.mark.parametrize("kind", KINDS)
def test_only_vxlan_has_backend_data(kind: BackendKind) -> None:
    found = dict(node_annotations(NODE_B, kind))
    data = json.loads(found["flannel.alpha.coreos.com/backend-data"])
    assert data == ({"VNI": 1, "VtepMAC": vtep_mac(NODE_B)} if kind == "vxlan" else None)
    assert found["flannel.alpha.coreos.com/backend-type"] == kind


def test_every_node_has_a_vtep_mac_of_its_own() -> None:
    macs = {vtep_mac(Node(f"node-{n}")) for n in range(5000)}
    assert len(macs) == 5000
    assert all(int(mac[:2], 16) & 3 == 2 for mac in macs), "locally administered, and no group address"


def test_no_node_has_rows_for_itself(timeline: Timeline) -> None:
    for name, node in timeline.network.nodes.items():
        tables = timeline.network.tables(name)
        theirs = [row for row in (*tables.routes, *tables.neighbors, *tables.fdb) if row.origin.component == "flanneld"]
        assert not [row for row in theirs if name in row.origin.because]
        assert len(theirs) == len(BACKENDS[timeline.plan.backend].remote(node))


# --- the events ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "author", "entries"),
    [
        ("alloc", "cloud-controller-manager", ["172.16.0.128/25", "172.16.8.0/25"]),
        ("ali-vpc", "flanneld", ["172.16.0.128/25", "172.16.8.0/25"]),
        ("host-gw", None, []),
        ("vxlan", None, []),
    ],
)
def test_who_writes_the_vpc_entries(kind: BackendKind, author: str | None, entries: list[str]) -> None:
    timeline = build(plan(kind))
    custom = [e for e in timeline.network.vpc.routes if e.kind == "Custom" and e.next_hop_type == "Instance"]
    assert [str(entry.dst) for entry in custom] == entries
    assert {entry.origin.component for entry in custom} == ({author} if author else set())
    for entry in custom:
        event = timeline.author(VPC, entry)
        assert event is not None
        assert event.component == author


@pytest.mark.parametrize(
    ("kind", "reason", "author"),
    [
        ("alloc", "RouteCreated", "cloud-controller-manager"),
        ("ali-vpc", "FlannelIsUp", "flanneld"),
        ("host-gw", "FlannelIsUp", "flanneld"),
        ("vxlan", "FlannelIsUp", "flanneld"),
    ],
)
def test_who_says_that_the_network_is_available(kind: BackendKind, reason: str, author: str) -> None:
    timeline = build(plan(kind))
    for node in timeline.network.nodes.values():
        condition = node.condition("NetworkUnavailable")
        assert (condition.status, condition.reason) == ("False", reason)
    events = timeline.find(text="sets NetworkUnavailable=False")
    assert {event.component for event in events} == {author}


def test_rows_for_remote_leases_come_after_every_lease(timeline: Timeline) -> None:
    leases = timeline.find(component="flanneld", text="acquires the lease")
    watches = timeline.find(component="flanneld", text="adds the leases")
    assert len(watches) == (2 if timeline.plan.backend in ("vxlan", "host-gw") else 0)
    assert all(lease.number < watch.number for lease in leases for watch in watches)
    assert all(event.stage == "node" for event in (*leases, *watches))


@pytest.mark.parametrize(
    ("kind", "text", "line"),
    [
        ("vxlan", "acquires the lease", "ip addr add 172.16.0.128/32 dev flannel.1"),
        ("vxlan", "adds the leases", "ip route add 172.16.8.0/25 via 172.16.8.0 dev flannel.1 onlink"),
        ("vxlan", "adds the leases", f"ip neigh add 172.16.8.0 lladdr {vtep_mac(NODE_B)} dev flannel.1 nud permanent"),
        (
            "vxlan",
            "adds the leases",
            f"bridge fdb add {vtep_mac(NODE_B)} dev flannel.1 dst 192.168.0.11 self permanent",
        ),
        ("host-gw", "adds the leases", "ip route add 172.16.8.0/25 via 192.168.0.11 dev eth0"),
        (
            "ali-vpc",
            "creates the VPC route entry 172.16.8.0/25",
            "aliyun vpc CreateRouteEntry --RouteTableId vtb-system --DestinationCidrBlock 172.16.8.0/25 --NextHopType",
        ),
    ],
)
def test_an_event_shows_the_commands_that_would_do_the_same(kind: BackendKind, text: str, line: str) -> None:
    event = build(plan(kind)).find(component="flanneld", text=text)[0]
    shown = event.artefact.text if event.artefact.path in ("commands", "CreateRouteEntry") else _commands_of(event)
    assert line in shown


def _commands_of(event: Event) -> str:
    """The commands behind an event whose artefact is another file: here the Node with its annotations."""
    assert event.artefact.path != "commands"
    return commands(event.wrote, event.removed, event.wrote[0][1].origin).text


def test_a_vxlan_device_comes_into_being_by_ip_link_add() -> None:
    event = build(plan("vxlan")).find(component="flanneld", text="acquires the lease")[0]
    mac = vtep_mac(Node("node-a"))
    made = f"ip link add flannel.1 address {mac} mtu 1450 type vxlan id 1 dstport 8472 nolearning dev eth0\n"
    assert made in _commands_of(event)


def test_a_node_without_podcidr_has_no_rows_anywhere() -> None:
    full = replace(plan("vxlan"), cluster_cidr=IPv4Network("172.16.0.0/25"), node_mask=25)
    nodes = tuple(replace(node, pod_cidr=None) for node in full.nodes)
    network = build(replace(full, nodes=nodes), strict=False).network
    assert [node.pod_cidr is None for node in network.nodes.values()] == [False, True]
    assert network.tables("node-a").neighbors == ()
    assert network.tables("node-b").link("flannel.1") is None


def test_the_same_entry_is_the_same_whoever_writes_it() -> None:
    def entries(kind: BackendKind) -> list[RouteEntry]:
        return sorted(build(plan(kind)).network.vpc.routes, key=str)

    assert entries("alloc") == entries("ali-vpc")


def test_a_full_table_keeps_a_node_of_ali_vpc_from_the_network() -> None:
    timeline = build(make_plan(4, 0, backend="ali-vpc", route_quota=2), strict=False)
    assert len([row for row in timeline.network.vpc.routes if row.kind == "Custom"]) == 2
    refused = timeline.find(component="flanneld", text="is refused")
    assert [event.action for event in refused] == [f"is refused the VPC route entry of node-{n}" for n in "bcd"]
    assert "QuotaExceeded" in refused[0].artefact.text
    assert [event.places for event in timeline.find(text="exits on")] == [("node-b",), ("node-c",), ("node-d",)]
    conditions = [node.condition("NetworkUnavailable").status for node in timeline.network.nodes.values()]
    assert conditions == ["False", "True", "True", "True"]


def test_ali_vpc_deletes_what_else_leads_to_its_node() -> None:
    node = NodePlan("node-b", pod_cidr=IPv4Network("172.16.0.128/25"))
    standing = build(make_plan(1, 0, backend="ali-vpc", other_ecs=(NodePlan("db"),)))
    longer = standing.then(AddNode(node), HandMadeEntry("172.16.9.0/24", "node-b"))
    draft = Draft.of(longer.plan)
    draft.nodes, draft.ecs, draft.vpc = dict(longer.network.nodes), dict(longer.network.ecs), longer.network.vpc
    change = _route_of_its_own(draft, "node-b")
    assert change.action == "keeps the VPC route entry 172.16.0.128/25 -> node-b, and deletes 1 that lead there too"
    assert [str(row.dst) for row in change.vpc.routes if row.next_hop_type == "Instance"] == [
        "172.16.0.0/25",
        "172.16.0.128/25",
    ]
