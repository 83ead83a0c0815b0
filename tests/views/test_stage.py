"""The stage without a browser: its script says what svg() draws, stays small, and takes no text for markup."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import playwright
import pytest

from flannelviz import article, article_timeline, break_network, lab, large, read_kubectl, trace
from flannelviz.controlplane.timeline import build
from flannelviz.errors import UnknownPlaceError
from flannelviz.network import Network
from flannelviz.packet import Disposition, Trace
from flannelviz.topologies import plan, three_nodes
from flannelviz.views import stage
from flannelviz.views.scene import scene
from flannelviz.views.shapes import Note
from flannelviz.views.stage import Choice, Question
from flannelviz.views.stage.assets import MODULE
from flannelviz.views.stage.drawing import shapes
from flannelviz.views.stage.page import as_json, page
from flannelviz.views.stage.script import Script
from flannelviz.views.stage.scripts import events_script, fault_script, journey_script
from flannelviz.views.stage.tracks import tracks
from flannelviz.views.stage.widget import JourneyStage
from flannelviz.views.svg import svg

HERE = Path(__file__).parent
QUESTION = Question(3, "Which row?", (Choice("this", "it is longer", right=True), Choice("that", "it is shorter")))


def journey(network: Network | None = None, source: str = "a1", destination: str = "b1") -> Script:
    network = network or article()
    return journey_script(network, trace(network, source, destination))


def size(script: Script) -> int:
    return len(json.dumps(script.plain(), separators=(",", ":")))


def at(versions: list[list[Any]], step: int) -> list[Any] | None:
    return next((version for version in reversed(versions) if version[0] <= step), None)


def shown(script: Script, step: int, picture: int = 0) -> dict[str, tuple[dict[str, str], str]]:
    """Return the looks and marks of a step by key, read from JSON the way the browser reads it."""
    drawn = json.loads(json.dumps(script.plain()))["pictures"][picture]["drawn"]
    found = {element["key"]: at(element["at"], step) for element in drawn["elements"]}
    return {key: (drawn["looks"][v[1]], drawn["marks"][v[2]]) for key, v in found.items() if v and v[1] >= 0}


# --- the module -----------------------------------------------------------------------------------------------------


def node() -> str:
    """Return a node: the one of the machine, else the one that the browser driver brings."""
    return shutil.which("node") or str(Path(playwright.__file__).parent / "driver" / "node")


def test_the_pure_part_of_the_module_keeps_its_promises() -> None:
    ran = subprocess.run([node(), "--test", HERE / "stage.test.mjs"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    assert re.search(r"^. pass [1-9]", ran.stdout, re.MULTILINE), ran.stdout


def test_the_module_is_small_and_asks_nobody() -> None:
    assert len(MODULE.encode()) <= 60_000
    assert "import" not in MODULE, "one module, and nothing beside it"
    assert not re.search(r"fetch\(|XMLHttpRequest|WebSocket|https?://(?!www\.w3\.org/2000/svg)", MODULE)


def test_every_function_of_the_module_is_used() -> None:
    tested = (HERE / "stage.test.mjs").read_text("utf-8")
    names = re.findall(r"^(?:export )?(?:function|const) (\w+)", MODULE, re.MULTILINE)
    assert names
    assert [name for name in names if len(re.findall(rf"\b{name}\b", MODULE)) < 2] == []
    exported = re.findall(r"^export (?:function|const) (\w+)", MODULE, re.MULTILINE)
    assert [name for name in exported if name not in tested] == []


# --- what a script holds --------------------------------------------------------------------------------------------


def test_each_step_of_a_journey_is_what_svg_draws() -> None:
    network = article()
    whole = scene(network, trace=trace(network, "a1", "b1"))
    script = journey()
    assert len(script.steps) == len(whole.path) + 1
    for hop in range(1, len(whole.path) + 1):
        drawn = shapes(svg(whole, hop=hop))
        assert shown(script, hop) == {key: (dict(shape.look), shape.mark) for key, shape in drawn.items()}


def test_each_event_is_what_svg_draws() -> None:
    timeline = article_timeline()
    script = events_script(timeline)
    for k in (1, 6, 12, 29, 38, 45, 60):
        drawn = shapes(svg(scene(timeline.at(k), event=timeline.event(k), layout=timeline.network)))
        assert shown(script, k) == {key: (dict(shape.look), shape.mark) for key, shape in drawn.items()}


def test_a_pod_never_moves_in_the_order_of_drawing() -> None:
    timeline = article_timeline()
    order = [element.key for element in events_script(timeline).pictures[0].drawn.elements]
    drawn = shapes(svg(scene(timeline.network)))
    assert [key for key in order if key in drawn] == list(drawn)


def test_tracks_keep_order_and_absence() -> None:
    found = tracks([{"a": 1}, {"a": 1, "c": 3}, {"a": 2, "b": 2, "c": 3}, {"c": 3}])
    assert [track.key for track in found] == ["a", "b", "c"]
    assert found[0].at == ((0, 1), (2, 2), (3, None))
    assert found[1].at == ((2, 2), (3, None))


def test_scripts_are_small() -> None:
    assert size(journey()) < 100_000
    assert size(events_script(article_timeline())) < 300_000
    huge = large(300, 30)
    pods = list(huge.pods)
    assert size(journey(huge, pods[0], pods[-1])) < 300_000


def test_a_script_is_the_same_each_time() -> None:
    assert journey().plain() == journey().plain()
    text = json.dumps(journey().plain(), sort_keys=True)
    assert json.dumps(json.loads(text), sort_keys=True) == text


def test_a_step_names_the_lines_that_it_used() -> None:
    script = journey()
    inside = script.pictures[0].inside
    used = [inside.lines[i].text for i in script.steps[3].uses[0]]
    assert used[0].startswith("172.16.8.0/25 Instance")
    assert any(line.startswith("ingress Accept") for line in used)
    filters = [inside.lines[i].text for i in script.steps[2].uses[0]]
    assert "-A FORWARD -s 172.16.0.0/16 -j ACCEPT" in filters


def test_every_row_that_decided_is_a_line_of_its_place() -> None:
    network = article()
    for pair in (("a1", "b1"), ("a1", "a2"), ("a1", "Internet"), ("a1", "node-b"), ("db", "b1")):
        found = trace(network, *pair)
        script = journey_script(network, found)
        for number, hop in enumerate(found.hops, 1):
            rows = {step.row for step in hop.steps if step.row is not None}
            drawn = {room.place for room in script.pictures[0].inside.rooms}
            if hop.place in drawn:
                assert len(script.steps[number].uses[0]) >= min(len(rows), 1), (pair, hop)
                assert len(script.steps[number].uses[0]) == len(set(script.steps[number].uses[0]))


def test_what_traffic_taught_comes_with_the_hop_that_learns_it() -> None:
    inside = journey().pictures[0].inside
    learned = next(line for line in inside.lines if line.text.startswith("0a:58:ac:10:08:02 dev veth"))
    assert learned.at == ((4, True),)
    assert learned.author.startswith("kernel: learns a MAC")


def test_an_unknown_end_is_not_marked_as_lost(network: Network, untold: Trace) -> None:
    last = journey_script(network, untold).steps[-1]
    assert last.lost == "" and "nobody can say how the packet goes on from node-a" in last.says


def test_a_fault_opens_where_the_journeys_part() -> None:
    broken = break_network(article(), "vpc-route-missing", "node-b")
    script = fault_script((article(), trace(article(), "a1", "b1")), (broken, trace(broken, "a1", "b1")))
    assert script.start == 3
    assert [step.parts for step in script.steps].index(True) == 3
    assert script.steps[3].lost
    assert script.steps[5].cards[1] == ""
    assert [picture.label for picture in script.pictures] == ["before", "after"]
    captions = [re.findall("<caption>(.*?)</caption>", card) for card in script.steps[3].cards]
    assert captions == [["before: lookups at VPC"], ["after: lookups at VPC"]]


def test_a_question_keeps_the_end_to_itself() -> None:
    broken = break_network(article(), "vpc-route-missing", "node-b")
    made = stage.journey(broken, trace(broken, "a1", "b1"), [QUESTION])
    assert made.says == "a1 to b1"
    assert made.script["steps"][0]["says"] == "before the first hop: a1 to b1"
    assert made.script["pictures"][0]["says"] == "a1 to b1"
    assert made.as_html().index("<details>") < made.as_html().index("<img")


def test_a_script_is_synced_as_one_text() -> None:
    made = stage.journey(article(), trace(article(), "a1", "b1"))
    assert json.loads(made.get_state("script")["script"]) == json.loads(json.dumps(made.script))


def test_answers_can_be_read() -> None:
    made = stage.journey(article(), trace(article(), "a1", "b1"), [QUESTION])
    assert made.answered == ()
    made.answers = [[0, 1]]
    assert made.answered == ((QUESTION, "that", False),)


def test_an_answer_counts_once_and_only_to_what_is_asked() -> None:
    made = stage.journey(article(), trace(article(), "a1", "b1"), [QUESTION], trace=trace)
    made.answers = [[0, 7], [0, -1], [-1, 0], [3, 0], [0, 1], [0, 0]]
    assert [answer.label for answer in made.answered] == ["that"]
    made.travel("a2", "a1")
    made.answers = [[0, 1]]  # it was on its way while other ends were chosen
    assert made.answered == ()


@pytest.mark.parametrize("before", [0, -1])
def test_nothing_is_asked_before_the_start(before: int) -> None:
    with pytest.raises(ValueError, match=f"^{before} is no step to ask before; steps count from 1"):
        lab.ask("Which?", {"this": "it is"}, right="this", before=before)


@pytest.mark.parametrize("before", [0, 11, 99])
def test_nothing_is_asked_before_a_step_that_there_is_not(before: int) -> None:
    with pytest.raises(ValueError, match=f"before hop {before}: the last one is 10; ask before hop 1 to 10"):
        stage.journey(article(), trace(article(), "a1", "b1"), [replace(QUESTION, step=before)])


def test_where_nothing_happens_nothing_is_asked() -> None:
    with pytest.raises(ValueError, match="there is no hop to ask before"):
        stage.journey(article(), None, [QUESTION])


def test_too_many_events_are_refused_with_a_way_out() -> None:
    timeline = build(plan(100, 2))
    with pytest.raises(ValueError, match=r"2,607 events are more than the 400 .* name one of its stages, or"):
        events_script(timeline)
    with pytest.raises(ValueError, match=r"900 events .* holds; build a timeline of fewer nodes .* timeline.at\(k\)"):
        events_script(timeline, "node")


# --- other ends, search, folds --------------------------------------------------------------------------------------


def test_other_ends_give_another_script() -> None:
    made = stage.journey(article(), trace(article(), "a1", "b1"), trace=trace)
    made.step = 7
    made.wish = {"source": "default/a2", "destination": "default/a1", "number": 1}
    assert made.says == "a2 to a1: request and reply arrive"
    assert made.step == 1
    assert made.reply == {"number": 1, "says": "", "focus": ""}


@pytest.mark.parametrize(
    "wish", [{"source": "nobody", "destination": "a1"}, {"find": "no such pod"}, {"source": 7, "destination": None}]
)
def test_a_wish_that_cannot_be_granted_is_answered_and_changes_nothing(wish: dict[str, Any]) -> None:
    made = stage.journey(article(), trace(article(), "a1", "b1"), trace=trace)
    before = made.script
    made.wish = {**wish, "number": 3}
    assert made.reply["number"] == 3
    assert made.reply["says"]
    assert made.script == before


def test_search_finds_what_is_folded_by_name_part_of_it_or_address() -> None:
    huge = large(300, 30)
    made = stage.journey(huge, None, trace=trace)
    last = list(huge.pods)[-1]
    for text in (last, last.removeprefix("default/"), str(huge.pod_ip(last)), last[-9:]):
        made.find(text)
        element = next(e for e in made.script["pictures"][0]["drawn"]["elements"] if e["key"] == made.script["focus"])
        assert element
    with pytest.raises(UnknownPlaceError):
        made.find("203.0.113.99")


def test_search_goes_to_what_is_called_so_before_what_is_called_more() -> None:
    huge = large(300, 30)
    made = stage.journey(huge, None, trace=trace)
    exact = next(name for name in huge.pods if str(huge.pod_ip(name)) == "10.0.74.2")
    for text, place in (
        ("10.0.74.2", exact),
        ("node-30", "node-30"),
        ("POD-300-3", "default/pod-300-3"),
        ("300-30", "default/pod-300-30"),
        ("vpc", "VPC"),
        ("10.0.74.", "default/pod-297-1"),
    ):
        assert made._place(text) == place
    twice = replace(huge, pods={**huge.pods, **{f"{space}/web": replace(huge.pods[exact]) for space in "ab"}})
    assert stage.journey(twice, None, trace=trace)._place("web") == "a/web", "the first of two of one name"


def test_whoever_searches_or_unfolds_stays_where_they_are() -> None:
    huge = large(300, 30)
    made = stage.journey(huge, trace(huge, "a1", "b1"), [QUESTION], trace=trace)
    made.step, made.answers = 5, [[0, 0]]
    made.wish = {"find": "pod-300-30", "number": 1}
    made.wish = {"open": "node-a", "drawn": [place for _, place in made.script["ends"]["places"]], "number": 2}
    key = made.script["focus"]
    assert made.reply == {"number": 2, "says": "", "focus": key}
    assert (made.step, made.answers, len(made.script["questions"])) == (5, [[0, 0]], 1)
    assert "default/a12" in {place for _, place in made.script["ends"]["places"]}


def test_a_note_stays_whatever_a_reader_wishes_for() -> None:
    huge = large(300, 30)
    notes = {"node-200": Note("error", "error: has no podCIDR"), "default/a1": Note("warning", "warning: is pending")}
    made = JourneyStage(huge, None, trace, notes=notes)
    assert alerts(made) == {"node-200", "default_2f.a1"}, "a noted node is drawn"
    made.wish = {"find": "node-200", "number": 1}
    assert alerts(made) == {"node-200", "default_2f.a1"}
    made.wish = {"source": "default/a1", "destination": "default/b1", "number": 2}
    assert alerts(made) == {"node-200", "default_2f.a1"} and len(made.script["steps"]) > 1
    made.wish = {"open": "", "drawn": [place for _, place in made.script["ends"]["places"]], "number": 3}
    assert "default_2f.a1" in alerts(made) and "is pending" in made.drawing()
    made.look_at(huge)
    assert not alerts(made) and "fv-alert" not in made.as_html() + made.drawing()


def alerts(made: stage.Stage) -> set[str]:
    """Return the boxes that have a sign at every step at which they are there."""
    drawn = made.shown.pictures[0].drawn
    signed = {i for i, mark in enumerate(drawn.marks) if 'class="fv-alert"' in mark}
    return {e.key for e in drawn.elements if {version.mark for version in e.at} <= signed}


def test_a_fold_opens_its_next_places() -> None:
    made = stage.journey(large(300, 30), None, trace=trace)
    drawn = [place for _, place in made.script["ends"]["places"]]
    made.wish = {"open": "", "drawn": drawn, "number": 1}
    assert made.reply["says"] == ""
    after = {place for _, place in made.script["ends"]["places"]}
    assert {"node-e", "node-f", "node-g", "node-h"} <= after


# --- kept -----------------------------------------------------------------------------------------------------------


def test_a_saved_page_needs_nothing_else(tmp_path: Path) -> None:
    written = stage.events(article_timeline(), "pod").save(tmp_path / "pod.html").read_text("utf-8")
    assert "default-src 'none'" in written
    assert not re.search(r'(?:src|href)="(?!data:)', written)


def test_json_in_a_page_ends_no_script_and_no_line() -> None:
    value = {"name": "</script><script>alert(1)</script> \u2028 \u2029 <!-- & é"}
    text = as_json(value)
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == value
    assert page({"stage": value}, "</title><b>").count("</script>") == 2


def test_without_a_kernel_or_trust_there_is_a_picture_and_a_table() -> None:
    bundle, _ = stage.journey(article(), trace(article(), "a1", "b1"))._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "<script" not in bundle["text/html"]
    assert 'src="data:image/svg+xml;base64,' in bundle["text/html"]
    assert bundle["text/plain"] == "<Stage: a1 to b1: request and reply arrive>"


# --- bad input ------------------------------------------------------------------------------------------------------


def test_an_empty_network_has_a_stage() -> None:
    made = stage.journey(Network())
    assert made.script["steps"][0]["says"] == "a cluster network with 0 nodes and 0 pods"


def test_a_place_that_the_picture_lacks_is_told_and_nothing_breaks() -> None:
    network = article()
    found = trace(network, "a1", "b1")
    stranger = replace(found.request[2], place="no-such-place")
    script = journey_script(network, replace(found, request=(*found.request[:2], stranger, *found.request[3:])))
    assert "no-such-place" in script.steps[3].says
    assert len(script.steps) == 11


def test_a_journey_that_never_begins_has_a_stage() -> None:
    assert len(journey_script(article(), Trace("default/a1", "", (), Disposition.UNKNOWN)).steps) == 1


@pytest.mark.parametrize("pair", [("a1", "b1"), ("c1", "Internet")])
def test_three_nodes(pair: tuple[str, str]) -> None:
    assert journey(three_nodes(), *pair).steps[-1].says


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onload='alert(1)",
    "</script><svg onload=alert(1)>",
    "javascript:alert(1)",
    "${alert(1)}",
    "\u202egnp.exe\u2028</title>",
    "&lt;b&gt;",
    "x" * 253,
)


def dump(name: str) -> str:
    """Return a dump of kubectl in which every text is hostile."""
    nodes = [
        {
            "kind": "Node",
            "metadata": {"name": f"n{i}{name}", "labels": {name: name}, "annotations": {name: name}},
            "spec": {"podCIDR": cidr, "providerID": name},
            "status": {
                "addresses": [
                    {"type": "InternalIP", "address": f"192.168.0.1{i}"},
                    {"type": "Hostname", "address": name},
                ],
                "conditions": [{"type": name, "status": name, "reason": name, "message": name}],
            },
        }
        for i, cidr in enumerate(("172.16.0.0/24", "172.16.1.0/24"))
    ]
    pods = [
        {
            "kind": "Pod",
            "metadata": {"name": f"p{i}{name}", "namespace": f"s{name}"},
            "spec": {"nodeName": f"n{i}{name}"},
            "status": {"phase": "Running", "podIP": f"172.16.{i}.2", "reason": name, "message": name},
        }
        for i in range(2)
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [*nodes, *pods]})


def hostile_scripts(name: str) -> list[Script]:
    network = read_kubectl(dump(name).encode()).network
    pods = list(network.pods)
    assert len(pods) == 2, "a hostile name is still a name"
    found = trace(network, pods[0], str(network.pod_ip(pods[1])))
    question = Question(1, "where?", (Choice(name, "no", right=True),))
    return [
        journey_script(network, found, asks=True),
        journey_script(network, found, [question]),
        journey_script(network, None, notes={pods[0]: Note("error", name)}),
        fault_script((network, found), (network, found), name),
    ]


def markup(value: Any, field: str = "") -> list[str]:
    """Return what the page takes for markup: marks, cards, questions, reasons."""
    if isinstance(value, str):
        return [value] if field in ("marks", "cards", "asks", "why", "ground") else []
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in markup(item, key)]
    return [text for item in value for text in markup(item, field)] if isinstance(value, list) else []


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_from_outside_becomes_markup(name: str) -> None:
    for script in hostile_scripts(name):
        found = markup(script.plain())
        assert found
        tags = {tag for text in found for tag in re.findall(r"<\s*/?\s*([a-zA-Z!]+)", text)}
        assert tags <= {
            *("rect", "text", "title", "polyline", "path", "circle", "g"),
            *("p", "b", "code", "br", "div", "table", "caption", "thead", "tbody", "tr", "th", "td", "pre"),
            *("details", "summary"),
        }
        opened = [tag for text in found for tag in re.findall(r"<[^<>]*>", text)]
        assert not [tag for tag in opened if re.search(r"\son\w+\s*=|javascript:|\shref", re.sub(r'"[^"]*"', "", tag))]
        looks = [look for picture in script.pictures for look in picture.drawn.looks]
        assert {key for look in looks for key in look} <= {
            *("class", "transform", "data-place", "data-kind", "data-state", "data-hop", "data-lit", "data-direction"),
            *("data-lost", "data-a", "data-b"),
        }
        assert len(re.findall("<script", page({"stage": {"script": script.plain()}}, script.says))) == 2


def test_the_tests_can_find_node() -> None:
    assert os.access(node(), os.X_OK)


def test_a_device_that_is_down_has_no_route_to_look_into() -> None:
    lan = "172.16.0.128/25 dev cni0"

    def rows(network: Network) -> int:
        inside = journey_script(network, trace(network, "a1", "b1")).pictures[0].inside
        return sum(lan in line.text for line in inside.lines)

    assert rows(article()) == 1 and rows(break_network(article(), "cni0-down", "node-a")) == 0
