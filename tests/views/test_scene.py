"""The scene: what exists is drawn, what is lit follows the journey, nothing moves while the network grows."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address as A
from ipaddress import IPv4Network as N
from itertools import combinations, pairwise

import pytest

from flannelviz.errors import UnknownPlaceError
from flannelviz.model import Node, Pod
from flannelviz.network import Event, Network
from flannelviz.packet import Disposition, Trace
from flannelviz.tables import UNTOLD, UNTOLD_VPC, Route, RouteEntry, Tables, VpcTables
from flannelviz.views.fold import entry_numbers
from flannelviz.views.scene import graph, journey_says, scene
from flannelviz.views.shapes import Box, Note, Scene, ident


def labels(drawn: Scene, kind: str) -> list[str]:
    return [box.label for box in drawn.boxes if box.kind == kind]


def many(network: Network, nodes: int, pods: int) -> Network:
    """Return `network` with more nodes and pods that have no tables."""
    names = [f"n{i}" for i in range(nodes)]
    made = {
        name: Node(name, A(f"10.0.{i // 250}.{i % 250 + 1}"), N(f"172.20.{i}.0/24")) for i, name in enumerate(names)
    }
    found = {f"default/p{i}": Pod("default", f"p{i}", names[i % nodes]) for i in range(pods)}
    return replace(network, nodes=made, pods=found, ecs={}, written={})


def test_levels_stand_above_each_other(network: Network):
    drawn = scene(network)
    order = [
        "Internet",
        "VPC",
        "node-a__eth0",
        "node-a__kernel",
        "node-a__cni0",
        "default_2f.a1__veth",
        "default_2f.a1",
    ]
    tops = [box.y for id in order if (box := drawn.box(id))]
    assert len(tops) == len(order) and tops == sorted(tops)
    assert [lane.label for lane in drawn.lanes] == ["outside", "VPC CIDR", "ECS addresses", "cluster CIDR"]


def test_boxes_lie_inside_their_parents_and_beside_each_other(network: Network):
    drawn = scene(network)
    for box in drawn.boxes:
        parent = drawn.box(box.parent)
        if parent and box.kind != "eth0":
            assert parent.x <= box.x and box.right <= parent.right and parent.y <= box.y and box.bottom <= parent.bottom
    for one, other in combinations([b for b in drawn.boxes if b.kind not in ("vpc",)], 2):
        if one.parent == other.parent and "eth0" not in (one.kind, other.kind):
            assert apart(one, other), (one.id, other.id)


def apart(one: Box, other: Box) -> bool:
    return one.right <= other.x or other.right <= one.x or one.bottom <= other.y or other.bottom <= one.y


def test_every_wire_ends_at_its_boxes(network: Network):
    drawn = scene(network)
    for wire in drawn.wires:
        for id, (x, y) in ((wire.a, wire.points[0]), (wire.b, wire.points[-1])):
            box = drawn.box(id)
            assert box is not None, id
            assert box.x - 0.1 <= x <= box.right + 0.1 and box.y - 0.1 <= y <= box.bottom + 0.1, wire.id


def test_nothing_moves_while_the_network_grows(network: Network):
    bare = replace(
        network,
        pods={},
        nodes={"node-a": replace(network.nodes["node-a"], pod_cidr=None)},
        written={
            name: replace(tables, lan=None, routes=tables.routes[:1], chains=())
            for name, tables in network.written.items()
        },
        vpc=replace(network.vpc, snat=()).without(*network.vpc.routes[2:]),
    )
    last, first = scene(network), scene(bare, layout=network)
    assert (first.width, first.height) == (last.width, last.height)
    for box in first.boxes:
        after = last.box(box.id)
        assert after is not None and (after.x, after.y, after.w, after.h) == (box.x, box.y, box.w, box.h)
    assert not {"VPC__nat", "default_2f.a1"} & first.ids
    assert {row.id: (row.x, row.y) for row in first.rows}.items() <= {
        row.id: (row.x, row.y) for row in last.rows
    }.items()


def test_before_the_first_pod_there_is_no_bridge(network: Network):
    tables = network.written["node-a"]
    without = replace(tables, lan=None, fixed_links=tables.fixed_links[:2])
    drawn = scene(network.writing("node-a", without), layout=network)
    assert drawn.box("node-a__cni0") is None and drawn.box("node-b__cni0") is not None
    assert drawn.box("node-a__lan") is not None, "the podCIDR is there before the bridge"


def test_without_podcidr_no_room_is_kept_for_pods(network: Network):
    bare = replace(
        network,
        pods={},
        nodes={},
        written={name: replace(tables, lan=None, fixed_links=()) for name, tables in network.written.items()},
    )
    drawn = scene(bare)
    node, kernel = drawn.box("node-a"), drawn.box("node-a__kernel")
    assert node and kernel and node.bottom - kernel.bottom < 20 and drawn.box("node-a__lan") is None
    assert [lane.label for lane in drawn.lanes] == ["outside", "VPC CIDR", "ECS addresses"]


def test_journey_lights_every_place_in_order(network: Network, trace: Trace):
    stops = scene(network, trace=trace).path
    assert [stop.number for stop in stops] == list(range(1, 11))
    assert [stop.direction for stop in stops] == ["there"] * 5 + ["back"] * 5
    assert stops[1].boxes == ("default_2f.a1__veth", "node-a__cni0", "node-a__kernel", "node-a__eth0")
    assert stops[2].boxes == ("VPC__vswitch_20.vsw-a", "VPC", "VPC__vswitch_20.vsw-a")
    assert stops[3].boxes == ("node-b__eth0", "node-b__kernel", "node-b__cni0", "default_2f.b1__veth")
    assert all(stop.lost == "" for stop in stops)


def test_moves_join_up_from_source_to_destination_and_back(network: Network, trace: Trace):
    drawn = scene(network, trace=trace)
    wires = {wire.id: {wire.a, wire.b} for wire in drawn.wires}
    for way in ("there", "back"):
        taken = [wires[id] for stop in drawn.path if stop.direction == way for id in stop.wires]
        assert len(taken) == 12
        assert all(one & other for one, other in pairwise(taken))


def test_deciding_rows_are_lit(network: Network, trace: Trace):
    drawn = scene(network, trace=trace)
    text = {row.id: row.text for row in drawn.rows}
    assert [[text[id] for id in stop.rows] for stop in drawn.path[1:4]] == [
        ["default via 192.168.0.253 dev eth0"],
        ["172.16.8.0/25"],
        ["172.16.8.0/25 dev cni0"],
    ]


def test_loss_ends_the_path(network: Network, lost: Trace):
    last = scene(network, trace=lost).path[-1]
    assert last.lost == "no route" and last.boxes[-1] == "VPC" and "VPC loses the packet" in last.says


def test_an_unknown_end_is_no_loss(network: Network, trace: Trace, untold: Trace):
    drawn = scene(network, trace=untold)
    assert drawn.says == ("a1 to b1: nobody can say how it goes on from node-a: the input does not hold its routes")
    assert (drawn.path[-1].lost, drawn.path[-1].unknown) == ("", True)
    back = replace(untold, request=trace.request, disposition=Disposition.ACCEPTED)
    back = replace(back, reply=untold.request[1:], reply_disposition=Disposition.UNKNOWN)
    assert journey_says(back) == (
        "a1 to b1: the request arrives, but nobody can say how the reply goes on from node-a:"
        " the input does not hold its routes"
    )


def test_event_lights_what_it_wrote(network: Network, event: Event):
    drawn = scene(network, event=event)
    assert drawn.written == (ident("VPC", "entry 172.16.8.0/25 i-node-b"),)
    assert drawn.removed == ()
    assert drawn.says.startswith("event 9, node stage: cloud-controller-manager")


def test_event_shows_what_it_removed_as_long_as_the_layout_knows_it(network: Network, event: Event):
    gone = replace(event, wrote=(), removed=event.wrote)
    after = network.writing_vpc(network.vpc.without(event.wrote[0][1]))
    drawn = scene(after, event=gone, layout=network)
    assert drawn.removed == (ident("VPC", "entry 172.16.8.0/25 i-node-b"),)


def test_beyond_what_fits_nodes_and_pods_are_counted(network: Network):
    drawn = scene(many(network, 9, 90))
    assert labels(drawn, "node") == ["n0", "n1", "n2", "n3"]
    assert "+ 5 nodes" in labels(drawn, "fold")
    assert labels(drawn, "fold").count("+ 4 pods") == 4


def test_focus_is_never_folded(network: Network):
    drawn = scene(many(network, 9, 90), focus=["n7", "p89"])
    assert {"n7", "n8"} <= set(labels(drawn, "node"))
    assert "p89" in labels(drawn, "pod")


def test_a_noted_place_is_drawn_before_others_up_to_what_fits(network: Network):
    full = many(network, 9, 900)
    bad, worse = Note("warning", "is full"), Note("error", "has no podCIDR")
    drawn = scene(full, notes={"default/p898": worse, "n6": bad, **{f"default/p{i}": bad for i in range(7, 400, 9)}})
    assert labels(drawn, "node") == ["n0", "n1", "n6", "n7"]
    assert "p898" in labels(drawn, "pod"), "on n7"
    assert len(labels(drawn, "pod")) == 24
    assert drawn.box("default_2f.p898").note == worse and drawn.box("n6").note == bad


def test_focus_goes_before_notes(network: Network):
    full = many(network, 9, 90)
    notes = {f"n{i}": Note("error", "is full") for i in range(4)}
    assert labels(scene(full, focus=["n5", "n6", "n7", "n8"], notes=notes), "node") == ["n5", "n6", "n7", "n8"]


def test_focus_on_nothing_is_refused(network: Network):
    with pytest.raises(UnknownPlaceError, match="node-x"):
        scene(network, focus=["node-x"])


def test_unknown_is_drawn_as_unknown():
    nodes = {"n": Node("n", A("10.0.0.1"), N("10.244.0.0/24")), "m": Node("m")}
    pods = {"default/p": Pod("default", "p", "n", A("10.244.0.2")), "default/q": Pod("default", "q", "n")}
    written = {name: Tables(unknown=UNTOLD) for name in nodes}
    drawn = scene(Network(nodes=nodes, pods=pods, written=written, vpc=VpcTables(unknown=UNTOLD_VPC)))
    unknown = {box.id for box in drawn.boxes if box.state == "unknown"}
    assert {"n__cni0", "m__eth0", "m__lan", "n__kernel", "default_2f.q"} <= unknown
    assert all(
        "? unknown" in box.label + box.sublabel
        for box in drawn.boxes
        if box.id in unknown - {"n__kernel", "m__kernel", "VPC"}
    )
    assert {row.text for row in drawn.rows} == {"? unknown", "routes ? unknown", "iptables ? unknown"}
    assert [wire.state for wire in drawn.wires if wire.b == "default_2f.p"] == ["unknown"]


def test_routes_and_entries_beyond_what_fits_are_counted(network: Network):
    routes = tuple(Route(N(f"10.{i}.0.0/16"), "eth0") for i in range(9))
    entries = tuple(RouteEntry(N(f"10.{i}.0.0/16"), "Instance", "i-node-a") for i in range(20))
    full = network.writing("node-a", replace(network.written["node-a"], routes=routes))
    drawn = scene(full.writing_vpc(full.vpc.adding(*entries)))
    assert [row.text for row in drawn.rows if row.kind == "more"] == ["+ 17 entries", "+ 4 routes"]


def test_an_entry_that_stands_twice_is_drawn_once(network: Network):
    twice = network.writing_vpc(network.vpc.adding(network.vpc.routes[4]))
    assert [row.id for row in scene(twice).rows] == [row.id for row in scene(network).rows]


def test_the_index_of_the_entries_follows_the_table(network: Network):
    assert len(entry_numbers(network)) == 5
    fewer = network.writing_vpc(network.vpc.without(network.vpc.routes[4]))
    assert entry_numbers(fewer) == {entry: i for i, entry in enumerate(fewer.vpc.routes)}
    assert "172.16.8.0/25" not in [row.text for row in scene(fewer).rows if row.place == "VPC"]


def test_pods_in_the_nodes_own_network_are_on_no_pod_lan(network: Network):
    own = Pod("kube-system", "proxy", "node-a", host_network=True)
    drawn = scene(replace(network, pods={own.place: own, **network.pods}))
    box, lan = drawn.box(ident(own.place)), drawn.box("node-a__lan")
    assert box and lan and box.parent == "node-a" and box.y >= lan.bottom
    assert box.sublabel == "host network"
    assert not [wire for wire in drawn.wires if box.id in (wire.a, wire.b)]


def test_a_wire_taken_both_ways_shows_two_lines(network: Network, trace: Trace):
    into, out = scene(network, trace=trace).path[1].moves[-1], scene(network, trace=trace).path[2].moves
    assert into.wire.endswith("node-a__eth0")
    assert out[0].wire == out[1].wire and out[0].points[0][0] != out[1].points[0][0]


def test_ids_are_different_for_different_names():
    names = ["a/b", "a_2f.b", "a b", "a__b", "é", "e"]
    assert len({ident(name) for name in names}) == len(names)
    assert ident("a", "b") != ident("a__b")


def test_graph_has_places_and_wires(network: Network):
    found = graph(network)
    assert found.nodes["node-a"] == {"kind": "node", "address": "192.168.0.10"}
    assert found.edges["cni0 of node-a", "default/a1"]["dev"].startswith("veth")
    assert found.has_edge("VPC", "db") and found.degree("default/b1") == 1
