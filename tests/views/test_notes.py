"""Findings as notes on the boxes of a picture: the gravest first, all of a place in one, what is folded counted."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from flannelviz.network import Network
from flannelviz.views.notes import noted, notes_of
from flannelviz.views.scene import scene
from flannelviz.views.shapes import Box, Note

FOUND = [
    SimpleNamespace(severity="notice", subject="node-b", message="its InternalIP is unknown"),
    SimpleNamespace(severity="warning", subject="default/a1", message="is not scheduled"),
    SimpleNamespace(severity="error", subject="node-b", message="has no podCIDR"),
    SimpleNamespace(severity="error", subject="cluster", message="has no place in the picture"),
]


def with_notes(network: Network, notes: dict[str, Note]) -> dict[str, Box]:
    return {box.id: box for box in noted(network, scene(network).boxes, notes) if box.note}


def test_the_findings_of_a_place_are_one_note_and_the_gravest_place_comes_first():
    assert list(notes_of(FOUND).items()) == [
        ("node-b", Note("error", "error: has no podCIDR; notice: its InternalIP is unknown")),
        ("cluster", Note("error", "error: has no place in the picture")),
        ("default/a1", Note("warning", "warning: is not scheduled")),
    ]


def test_a_note_stands_on_the_box_of_its_place_alone(network: Network):
    found = with_notes(network, notes_of(FOUND))
    assert set(found) == {"node-b", "default_2f.a1"}
    told = "; error: has no podCIDR; notice: its InternalIP is unknown"
    assert found["node-b"].name == f"{found['node-b'].title}{told}"


def test_an_ecs_that_is_no_node_has_its_note(network: Network):
    assert {box.kind for box in with_notes(network, {"db": Note("error", "")}).values()} == {"ecs"}


def test_without_notes_nothing_is_changed(network: Network):
    boxes = scene(network).boxes
    assert noted(network, boxes, {}) is boxes
    assert noted(network, boxes, {"node-x": Note("error", "is nowhere")}) == boxes


def test_a_count_says_how_many_noted_places_it_hides(network: Network):
    pods = {f"default/p{i}": replace(network.pods["default/a1"], name=f"p{i}") for i in range(20)}
    nodes = {f"n{i}": replace(network.nodes["node-b"], name=f"n{i}") for i in range(9)}
    there = replace(network, pods=network.pods | pods, nodes=network.nodes | nodes)
    hidden = {"default/p18": Note("notice", ""), "default/p19": Note("error", ""), "n8": Note("warning", "")}
    found = with_notes(there, hidden)
    assert {id: box.note for id, box in found.items()} == {
        "node-a__more_20.pods": Note("error", "2 places in it have findings"),
        "fold__node": Note("warning", "one place in it has findings"),
    }
    assert found["fold__node"].name == "+ 7 nodes, folded; one place in it has findings"


def test_a_pod_of_a_folded_node_counts_with_the_nodes(network: Network):
    nodes = {f"n{i}": replace(network.nodes["node-b"], name=f"n{i}") for i in range(9)}
    pod = replace(network.pods["default/a1"], name="far", node="n8")
    there = replace(network, pods={**network.pods, pod.place: pod}, nodes=network.nodes | nodes)
    found = with_notes(there, {pod.place: Note("error", "")})
    assert [box.id for box in found.values()] == ["fold__node"]


def test_a_pod_of_no_node_is_in_no_count(network: Network):
    pods = {f"default/p{i}": replace(network.pods["default/a1"], name=f"p{i}", node=None) for i in range(20)}
    nodes = {f"n{i}": replace(network.nodes["node-b"], name=f"n{i}") for i in range(9)}
    for there in (network, replace(network, nodes=network.nodes | nodes)):
        assert not with_notes(replace(there, pods=there.pods | pods), {"default/p9": Note("warning", "")})
