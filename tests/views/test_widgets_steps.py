"""Walking: the controls, the picture and the words say one thing, and a refused input changes none of them."""

import json
from dataclasses import replace

import pytest

from flannelviz import lab
from flannelviz.errors import UnknownPlaceError
from flannelviz.faults import break_network
from flannelviz.model import Pod
from flannelviz.network import Network
from flannelviz.topologies import article, article_timeline

EVIL = '<img src=x onerror="alert(1)">'


def shown(widget) -> str:
    """Return everything that the stage of a widget shows, as text."""
    return json.dumps(widget.stage.script, ensure_ascii=False)


def wish(widget, **wanted) -> str:
    """Ask for something in the picture; return what is said about it."""
    widget.stage.wish = {**wanted, "number": widget.stage.wish.get("number", 0) + 1}
    assert widget.stage.reply["number"] == widget.stage.wish["number"]
    return widget.stage.reply["says"]


# --- events ---------------------------------------------------------------------------------------------------------


def test_events_are_a_stage():
    assert repr(lab.events(article_timeline(), "pod")) == "<Stage: events 33 to 60 of 60>"


def test_an_unknown_stage_is_refused():
    with pytest.raises(ValueError, match="no stage 'pods'; choose one of initial, cluster, node, pod"):
        lab.events(article_timeline(), "pods")


# --- journeys -------------------------------------------------------------------------------------------------------


@pytest.fixture
def journey():
    return lab.journey(article(), "a1", "b1")


def test_a_journey_starts_at_its_first_hop(journey):
    assert journey.says == "a1 to b1: request and reply arrive"
    steps = journey.stage.script["steps"]
    assert (len(steps) - 1, journey.stage.step) == (10, 1)
    assert steps[1]["says"].startswith("hop 1 of 10: a1 routes to 172.16.0.129")


def test_changing_an_end_starts_again(journey):
    journey.stage.step = 5
    journey.destination.value = "Internet"
    assert journey.stage.step == 1 and len(journey.stage.script["steps"]) == 1 + 8
    assert journey.says == "a1 to Internet: request and reply arrive"
    journey.source.value = "node-b"
    assert journey.says.startswith("node-b to Internet")


def test_an_address_takes_the_place_of_the_list(journey):
    journey.address.value = "8.8.8.8"
    assert journey.destination.value == "" and journey.says.startswith("a1 to 8.8.8.8")
    journey.destination.value = "default/b2"
    assert journey.address.value == "" and journey.says.startswith("a1 to b2")


def test_the_address_may_be_given_from_the_start():
    assert lab.journey(article(), "a1", "8.8.8.8").address.value == "8.8.8.8"


@pytest.mark.parametrize("typed", ["172.16.8", "node-z", "224.0.0.1", EVIL, "fe80::1", "172.16.8.1/25", "172.16.8.300"])
def test_a_bad_address_stands_beside_its_field(journey, typed):
    journey.stage.step = 3
    before = shown(journey), journey.stage.step, journey.journey, journey.says
    journey.address.value = typed
    said = journey.address_field.message.value
    assert 'role="alert"' in said and "the picture still shows a1 to b1" in said and "<img" not in said
    assert (shown(journey), journey.stage.step, journey.journey, journey.says) == before
    assert journey.source_field.message.value == "" and journey.message.value == ""


def test_the_next_good_choice_clears_the_message(journey):
    journey.address.value = "node-z"
    journey.source.value = "default/a2"
    assert journey.address_field.message.value == "" and journey.address.value == ""
    assert journey.says == "a2 to b1: request and reply arrive"


def test_choosing_to_type_asks_for_an_address(journey):
    journey.destination.value = ""
    assert "type an address such as 172.16.8.2" in journey.address_field.message.value
    assert journey.says.startswith("a1 to b1")


def test_the_packet_decides_too(journey):
    journey.size.value = 2000
    assert journey.says == "a1 to b1: the request is lost at a1, larger than the MTU"
    assert journey.stage.script["steps"][1]["lost"]
    journey.size.value = 84
    journey.ttl.value = 1
    assert "lost at node-a, TTL exceeded" in journey.says
    journey.ttl.value = 64
    journey.proto.value = "tcp"
    assert "tcp, source not set → 172.16.8.2 port 80" in shown(journey)


def test_a_number_that_does_not_fit_is_set_and_said(journey):
    journey.ttl.value = 1e3
    assert "ttl 1,000: at most 255 fits the header&#x27;s eight bits; set to 255" in journey.packet_field.message.value
    assert journey.ttl.value == 255 and journey.ttl.number == 255
    journey.size.value = 84.5
    assert "size, bytes 84.5: only whole numbers; set to 84" in journey.packet_field.message.value
    journey.size.value = 85
    assert journey.packet_field.message.value == ""


def test_a_loop_is_walked_to_its_end():
    looping = lab.journey(break_network(article(), "vpc-route-wrong-ecs", "node-b"), "a1", "b1")
    assert len(looping.stage.script["steps"]) == 1 + 128
    assert len(looping.as_html()) < 70_000 and "… 98 more" in looping.as_html()
    assert len(shown(looping)) < 400_000


def test_the_ends_can_be_chosen_in_the_picture_too(journey):
    journey.size.value = 100
    assert wish(journey, source="node-b", destination="Internet") == ""
    assert (journey.source.value, journey.destination.value) == ("node-b", "Internet")
    assert journey.says == "node-b to Internet: request and reply arrive" and "100 bytes" in shown(journey)
    assert "is called 'node-z'" in wish(journey, source="node-z", destination="Internet")
    assert (journey.source.value, journey.says[:6]) == ("node-b", "node-b")


def test_what_was_found_in_the_picture_may_send_though_no_list_has_it():
    pods = {f"default/p{n:03}": Pod("default", f"p{n:03}", "node-a") for n in range(500)}
    network = replace(article(), pods={**pods, **article().pods})
    widget = lab.journey(network, "a1", "b1")
    assert "default/a2" not in dict(widget.source.options).values()
    assert wish(widget, source="default/a2", destination="default/b2") == ""
    assert widget.source.value == "default/a2" and widget.says.startswith("a2 to b2")
    assert widget.address.value == "default/b2"


def test_a_journey_may_ask_first():
    choices = {"at a1": "It has a *route*.", "at b1": "Nobody loses it before."}
    asked = lab.ask("Where does it end?", choices, right="at b1", before=5, boxes={"at b1": "default/b1"})
    widget = lab.journey(article(), "a1", "b1", [asked])
    assert widget.says == "a1 to b1" and widget.stage.step == 0
    assert widget.stage.script["questions"][0]["choices"][0]["why"] == "It has a <em>route</em>."
    assert "Decide first" in widget.as_html()
    widget.stage.answers = [[0, 1]]
    assert widget.stage.answered[0].right
    widget.destination.value = "default/b2"
    assert widget.says == "a1 to b2: request and reply arrive", "a way of one's own is no question"
    with pytest.raises(ValueError, match="the right answer at b2 has no text"):
        lab.ask("Where does it end?", choices, right="at b2")


def test_emptying_the_address_goes_back_to_the_list(journey):
    journey.address.value = "8.8.8.8"
    journey.address.value = ""
    assert journey.destination.value == "default/b1" and journey.says.startswith("a1 to b1")
    assert journey.address_field.message.value == ""


def test_a_journey_starts_and_ends_where_there_are_addresses():
    pending = {f"default/{name}": Pod("default", name, "node-a") for name in ("p1", "p2")}
    network = replace(article(), pods={**article().pods, **pending})
    widget = lab.journey(network)
    assert widget.says == "a1 to b1: request and reply arrive"
    assert "p1, p2 have no address yet, so this starts with b1" in widget.destination_field.message.value
    assert lab.journey(article()).destination_field.message.value == ""


def test_without_any_address_one_can_still_try_the_internet():
    network = Network(pods={"default/p1": Pod("default", "p1")})
    assert lab.journey(network).destination.value == "Internet"


def test_an_unknown_end_is_refused_at_once():
    with pytest.raises(UnknownPlaceError, match="a9"):
        lab.journey(article(), "a9", "b1")


def test_nobody_can_send_in_an_empty_network():
    with pytest.raises(UnknownPlaceError, match="no pod and no node"):
        lab.journey(Network())


def test_a_name_from_outside_stays_text():
    network = article()
    pod = Pod("default", EVIL, "node-a")
    hostile = replace(network, pods={**network.pods, pod.place: pod})
    widget = lab.journey(hostile, "a1", "b1")
    widget.destination.value = pod.place
    said = widget.destination_field.message.value
    assert "has no address yet" in said and "<img" not in said
    script = widget.stage.script
    assert all("<img" not in card for step in script["steps"] for card in step["cards"])
    assert "<img src=x" not in widget.as_html()
