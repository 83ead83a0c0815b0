"""Views on what the planes really make: every event, every fault, every journey, an imported dump, a large cluster."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from itertools import pairwise, permutations
from xml.etree import ElementTree

import pytest

from flannelviz.controlplane.terway import host_end
from flannelviz.controlplane.timeline import Timeline, build
from flannelviz.dataplane.trace import trace
from flannelviz.faults import FAULTS, break_network, fault_called, targets
from flannelviz.importers.kubectl import read_kubectl
from flannelviz.model import ServicePlan
from flannelviz.network import Network
from flannelviz.packet import Disposition
from flannelviz.topologies import article, article_plan, article_timeline
from flannelviz.views import frames, text
from flannelviz.views.display import describe
from flannelviz.views.html import event_html, trace_html
from flannelviz.views.rounds import gap_in
from flannelviz.views.scene import Scene, graph, scene
from flannelviz.views.svg import svg

PLACES = ["a1", "a2", "b1", "node-a", "node-b", "db", "Internet"]


def places_of(drawn: Scene) -> dict[str, tuple[float, ...]]:
    boxes = {box.id: (box.x, box.y, box.w, box.h) for box in drawn.boxes}
    return {**boxes, **{row.id: (row.x, row.y) for row in drawn.rows}}


def names() -> list[str]:
    return [name if isinstance(name, str) else name.name for name in FAULTS]


def test_nothing_moves_from_event_to_event():
    timeline = article_timeline()
    last = places_of(scene(timeline.network))
    for event in timeline.events:
        drawn = scene(timeline.at(event.number), event=event, layout=timeline.network)
        for id, where in places_of(drawn).items():
            assert last.get(id, where) == where or id.endswith("__eth0"), (event.number, id)
        assert event.removed or event.number < 3 or drawn.written or not event.wrote, event


def test_picture_grows():
    timeline = article_timeline()
    seen = [{box.id for box in scene(timeline.at(k), layout=timeline.network).boxes} for k in range(len(timeline) + 1)]
    assert all(before <= after for before, after in pairwise(seen))
    assert {"node-a__cni0", "default_2f.a1"} & seen[timeline.stage_end("node")] == set()


@pytest.mark.parametrize(("source", "destination"), list(permutations(PLACES, 2)))
def test_every_journey_can_be_drawn_and_told(source: str, destination: str):
    check_journey(article(), source, destination)


def check_journey(network: Network, source: str, destination: str) -> None:
    found = trace(network, source, destination)
    drawn = scene(network, trace=found)
    assert [stop.place for stop in drawn.path] == [hop.place for hop in found.hops]
    assert all(stop.boxes for stop in drawn.path)
    for stop, hop in zip(drawn.path, found.hops):
        on = hop.disposition in (Disposition.FORWARDED, Disposition.ACCEPTED)
        assert stop.unknown == (hop.disposition is Disposition.UNKNOWN)
        assert bool(stop.lost) == (not on and not stop.unknown)
        if hop.disposition is Disposition.FORWARDED:
            assert stop.moves, f"no wire is lit from {hop.place} to {hop.next_place}"
    for number in (None, *range(1, min(len(found.hops), 12) + 1)):
        ElementTree.fromstring(svg(drawn, hop=number))
    assert len(text.trace_text(found).splitlines()) >= min(len(found.hops), 10)
    assert "object at 0x" not in trace_html(found) + describe(found)


@pytest.mark.parametrize("name", names())
def test_every_fault_can_be_drawn_and_told(name: str):
    network = article()
    for target in targets(network, fault_called(name))[:2] or (None,):
        broken = break_network(network, name, target)
        for source, end in (("a1", "b1"), ("a1", "a2"), ("b1", "a1"), ("a1", "Internet"), ("db", "b1")):
            lost = end != "Internet" and broken.address(end) is None
            check_journey(broken, source, str(network.address(end)) if lost else end)


def test_a_loop_is_told_by_its_two_ends():
    found = trace(break_network(article(), "cni0-missing", "node-b"), "a1", "b1")
    lines = text.trace_text(found).splitlines()
    assert len(found.hops) == 128 and len(lines) == 13
    assert lines[8] == "… 116 more hops, TTL 60 to 3 …" and lines[-1].startswith("node-b  loop, ended by TTL")
    assert trace_html(found).count("<table>") == 12
    assert len(svg(scene(article(), trace=found))) < len(svg(scene(article()))) + 15_000


@pytest.mark.parametrize(
    ("places", "gap"),
    [
        ("abc" * 4, None),
        ("xy" + "ab" * 10, (2 + 6, 22 - 4)),
        ("x" + "abc" * 9, (1 + 9, 28 - 6)),
        ("ab" * 7 + "a", (6, 11)),
        ("abcdefghijklmnop", (7, 14)),
    ],
)
def test_a_long_way_keeps_whole_rounds(places: str, gap: tuple[int, int] | None):
    assert gap_in(places) == gap


def test_a_switched_packet_is_told_as_bridge_fdb_tells_it():
    found = trace(article(), "a1", "a2")
    line = "node-a  forwarded  0a:58:ac:10:00:83 dev veth7267ddb4 master cni0"
    assert text.trace_text(found).splitlines()[1] == line
    assert "source not set → 172.16.0.130" in trace_html(found)


def test_every_event_can_be_told():
    for event in article_timeline().events:
        assert event.component in event_html(event) and event.component in describe(event)


def test_imported_cluster_is_drawn_with_what_is_known():
    nodes = (
        '{"apiVersion":"v1","kind":"List","items":[{"kind":"Node","metadata":{"name":"cn-zhangjiakou.192.168.0.81"},'
    )
    nodes += '"spec":{"podCIDR":"10.155.2.192/26"},"status":{}}]}'
    drawn = scene(read_kubectl(nodes).network)
    unknown = [box.id for box in drawn.boxes if box.state == "unknown"]
    assert any(id.endswith("__cni0") for id in unknown) and any(id.endswith("__eth0") for id in unknown)
    assert any(box.sublabel == "10.155.2.192/26" for box in drawn.boxes)
    ElementTree.fromstring(svg(drawn))


# --- other backends, Services, Terway ------------------------------------------------------------------------------

WEB = "172.19.0.10"
CLUSTERS = {
    "vxlan": {"backend": "vxlan"},
    "host-gw": {"backend": "host-gw", "fabric": "switch"},
    "terway": {"cni": "terway"},
    "head": {"rules": "head"},
}


@pytest.fixture(scope="module", params=CLUSTERS)
def cluster(request: pytest.FixtureRequest) -> Timeline:
    nodes = tuple(replace(node, pod_cidr=None) for node in article_plan().nodes)
    web = ServicePlan("web", IPv4Address(WEB), 80, ("a1", "b1"))
    services = (web, replace(web, name="none", cluster_ip=IPv4Address("172.19.0.11"), endpoints=()))
    return build(replace(article_plan(), nodes=nodes, services=services, **CLUSTERS[request.param]))


@pytest.mark.parametrize(
    ("source", "destination"), [("a1", "b1"), ("a1", "a2"), ("b1", WEB), ("node-a", WEB), ("a1", "db")]
)
def test_journeys_of_other_clusters_can_be_drawn_and_told(cluster: Timeline, source: str, destination: str):
    check_journey(cluster.network, source, destination)


def test_errors_are_no_trouble(cluster: Timeline):
    for options in ({"ttl": 1}, {"proto": "udp", "dport": 9, "served": False}, {"size": 1600}):
        found = trace(cluster.network, "a1", "b1", **options)
        drawn = scene(cluster.network, trace=found)
        assert drawn.path[-1].lost or found.reply
        assert "object at 0x" not in trace_html(found, cluster.network) + describe(found)


def test_every_event_of_other_clusters_can_be_drawn_and_told(cluster: Timeline):
    last = places_of(scene(cluster.network))
    for event in cluster.events:
        drawn = scene(cluster.at(event.number), event=event, layout=cluster.network)
        assert "object at 0x" not in event_html(event) + describe(event)
        for id, where in places_of(drawn).items():
            assert last.get(id, where) == where or id.endswith("__eth0"), (event.number, id)


@pytest.mark.parametrize(
    ("changes", "boxes", "trail"),
    [
        (
            {"backend": "vxlan"},
            {"node-a__flannel.1": "flannel.1"},
            ["default_2f.a1__veth", "node-a__cni0", "node-a__kernel", "node-a__flannel.1", "node-a__eth0"],
        ),
        (
            {"cni": "terway"},
            {"node-a__eth1": "eth1", "node-a__policy": "ip rule", "default_2f.a1__veth": host_end("default/a1")},
            ["default_2f.a1__veth", "node-a__policy", "node-a__kernel", "node-a__eth1"],
        ),
    ],
)
def test_tunnel_and_second_eni_are_on_the_way(changes: dict, boxes: dict[str, str], trail: list[str]):
    network = build(replace(article_plan(), **changes)).network
    drawn = scene(network, trace=trace(network, "a1", "b1"))
    assert {id: drawn.box(id).label for id in boxes} == boxes
    assert list(drawn.path[1].boxes) == trail
    assert len(drawn.path[1].moves) == len(trail)


def test_a_tunnel_that_is_down_says_so():
    network = build(replace(article_plan(), backend="vxlan")).network
    tables = network.tables("node-a")
    down = network.writing("node-a", tables.adding(replace(tables.link("flannel.1"), up=False)))
    box = scene(down).box("node-a__flannel.1")
    assert (box.label, box.state) == ("flannel.1 down", "down")


def test_terway_has_no_bridge_in_the_graph():
    found = graph(build(replace(article_plan(), cni="terway")).network)
    assert found.edges["node-a", "default/a1"]["dev"] == host_end("default/a1")
    assert not [name for name in found if name.startswith("cni0")]


def test_tables_of_terway_are_told_as_the_tools_do():
    network = build(replace(article_plan(), cni="terway")).network
    told = dict(text.table_texts(network, "node-a"))
    assert told["ip rule"].splitlines()[:2] == ["0: from all lookup local", "512: from all to 192.168.0.1 lookup main"]
    assert told["ip route show table 1003"] == "default via 192.168.0.253 dev eth1 onlink"
    assert "eth1" not in told["ip route"]
    policy = frames.policy(network, "node-a")
    assert list(policy["priority"]) == [512, 512, 2048, 2048] and set(policy["lookup"]) == {"main", "1003"}
    routes = frames.routes(network, "node-a").set_index("table")
    assert (routes.loc["1003", "dev"], routes.loc["1003", "flags"]) == ("eth1", "onlink")


def test_tables_of_vxlan_are_told_as_the_tools_do():
    network = build(replace(article_plan(), backend="vxlan")).network
    told = dict(text.table_texts(network, "node-a"))
    assert "172.16.8.0/25 via 172.16.8.0 dev flannel.1 onlink" in told["ip route"]
    assert told["bridge fdb"].splitlines()[0].endswith("dev flannel.1 dst 192.168.0.11 self permanent")
    assert "bridge fdb" not in dict(text.table_texts(network, "a1"))
    assert list(frames.fdb(network, "node-a")["dst"])[:2] == ["192.168.0.11", ""]


@pytest.mark.parametrize(("fault", "dev"), [("cni0-down", "cni0"), ("eth0-down", "eth0")])
def test_the_routes_of_a_device_that_is_down_are_in_no_table_and_no_picture(fault: str, dev: str):
    network = break_network(article(), fault, "node-a")
    tables = network.tables("node-a")
    assert any(route.dev == dev for route in tables.routes)  # written, and dropped by the kernel
    assert f"dev {dev}" not in text.ip_route(tables)
    assert dev not in set(frames.routes(network, "node-a")["dev"])
    drawn = scene(network, layout=article())
    assert not [row for row in drawn.rows if row.place == "node-a" and row.kind == "route" and f"dev {dev}" in row.text]
