"""Stepping: the picture, the words and the table move together, and a refused input changes none of them."""

import re
from dataclasses import replace

import pytest

from flannelviz import lab
from flannelviz.controlplane.timeline import build
from flannelviz.errors import UnknownPlaceError
from flannelviz.faults import break_network
from flannelviz.model import Pod
from flannelviz.network import Network
from flannelviz.topologies import article, article_timeline, plan
from flannelviz.views.widgets.steps import is_off

BOX = re.compile(r'id="([^"]+)"[^>]*>.*?<rect (x="[^"]+" y="[^"]+" width="[^"]+")')
EVIL = '<img src=x onerror="alert(1)">'


def screens(widget) -> tuple[str, ...]:
    return tuple(getattr(widget, name).value for name in ("line", "screen", "card", "table"))


# --- events ---------------------------------------------------------------------------------------------------------


def test_each_event_changes_words_and_table():
    stepper = lab.events(article_timeline())
    seen = set()
    for number in range(1, len(article_timeline()) + 1):
        stepper.slider.value = number
        seen.add((stepper.line.value, stepper.table.value))
        assert f"event {number} of 60" in stepper.line.value
    assert len(seen) == 60


def test_an_event_names_its_author_and_its_rows():
    stepper = lab.events(article_timeline())
    stepper.slider.value = 29
    assert "<b>cloud-controller-manager</b> creates the VPC route entry 172.16.0.128/25" in stepper.line.value
    assert '<td class="fv-short">+</td>' in stepper.card.value and "aliyun vpc CreateRouteEntry" in stepper.card.value
    assert 'data-lit="wrote"' in stepper.screen.value


@pytest.mark.parametrize(
    ("stage", "first", "last"), [("initial", 1, 6), ("cluster", 7, 14), ("node", 15, 32), ("pod", 33, 60)]
)
def test_a_stage_has_its_own_events(stage, first, last):
    stepper = lab.events(article_timeline(), stage)
    assert (stepper.slider.min, stepper.slider.max, stepper.slider.value) == (first, last, first)
    assert f"{stage} stage" in stepper.line.value


def size(widget) -> tuple[float, float]:
    width, height = re.search(r'viewBox="0 0 (\S+) (\S+)"', widget.picture).groups()
    return float(width), float(height)


@pytest.mark.parametrize("stage", ["initial", "cluster", "node", "pod"])
def test_nothing_moves_within_a_stage(stage):
    stepper = lab.events(article_timeline(), stage)
    stood: dict[str, str] = {}
    for number in range(stepper.slider.min, stepper.slider.max + 1):
        stepper.slider.value = number
        for box, place in BOX.findall(stepper.picture):
            assert stood.setdefault(box, place) == place, (number, box)
    assert len(stood) >= 10


def test_a_stage_takes_no_room_for_what_comes_later():
    heights = [size(lab.events(article_timeline(), stage))[1] for stage in ("initial", "cluster", "pod")]
    assert heights == sorted(set(heights))
    assert size(lab.events(article_timeline())) == size(lab.events(article_timeline(), "pod"))


def test_a_long_artefact_opens_on_demand():
    stepper = lab.events(article_timeline())
    stepper.slider.value = 13
    assert "<details><summary>" in stepper.card.value and " lines)</summary><pre>" in stepper.card.value
    assert "fv-columns" not in stepper.card.value, "nothing stands beside a single sentence"
    stepper.slider.value = 29
    assert "<details>" not in stepper.card.value and "fv-columns" in stepper.card.value


@pytest.mark.parametrize("moved_to", [7, 10])
def test_a_page_without_a_kernel_shows_the_whole_stage(moved_to):
    stepper = lab.events(article_timeline(), "cluster")
    stepper.slider.value = moved_to
    still = stepper.still()
    assert still.says == "events 7 to 14 of 60, and the network after them"
    assert "data-lit" not in still.picture.partition("</style>")[2] and "172.16.8.0/25" in still.picture
    assert still.twin.count("<tr>") == 1 + 8 and "aria-current" not in still.twin
    assert all(event.component in still.twin for event in stepper.timeline.events[6:14])


def test_an_unknown_stage_is_refused():
    with pytest.raises(ValueError, match="no stage 'pods'; choose one of initial, cluster, node, pod"):
        lab.events(article_timeline(), "pods")


def test_the_buttons_end_where_the_events_end():
    stepper = lab.events(article_timeline(), "initial")
    steps = stepper.steps
    assert is_off(steps.back) and not is_off(steps.on)
    for _ in range(7):
        steps.on.click()
    assert stepper.slider.value == 6 and is_off(steps.on) and not is_off(steps.back)
    assert steps.on.tooltip == "this is the last event" and not steps.on.disabled, "the focus stays where it is"
    steps.back.click()
    assert stepper.slider.value == 5


def test_a_timeline_that_fails_says_so():
    stepper = lab.events(article_timeline())
    before = screens(stepper)
    stepper.timeline = None
    stepper.slider.value = 2
    assert "AttributeError" in stepper.message.value
    assert screens(stepper) == before


def test_a_long_timeline_is_listed_as_far_as_one_reads():
    still = lab.events(build(plan(nodes=20))).still()
    assert still.twin.count("<tr>") == 1 + 100 and still.says.endswith("; the first 100 are listed")


# --- journeys -------------------------------------------------------------------------------------------------------


@pytest.fixture
def journey():
    return lab.journey(article(), "a1", "b1")


def test_a_journey_starts_at_its_first_hop(journey):
    assert journey.says == "a1 to b1: request and reply arrive"
    assert (journey.slider.min, journey.slider.max, journey.slider.value) == (1, 10, 1)
    assert "hop 1 of 10: a1 routes to 172.16.0.129" in journey.line.value


def test_each_hop_lights_its_place_and_shows_its_evidence(journey):
    journey.slider.value = 2
    assert 'data-hop="2"' in journey.screen.value
    assert "default via 192.168.0.253 dev eth0" in journey.card.value
    assert "ssh node-a ip route get 172.16.8.2" in journey.card.value
    assert "ttl 64 → 63" in journey.card.value
    assert journey.table.value.count("aria-current") == 1


def test_a_page_without_a_kernel_shows_the_whole_way(journey):
    still = journey.still()
    assert still.says == journey.says and still.twin.count("<tr>") == 1 + 10
    lit = re.findall(r'class="fv-badge" data-hop="(\d+)" data-direction="\w+" data-lit=', still.picture)
    assert lit == [str(number) for number in range(1, 11)]


def test_the_runner_up_is_shown(journey):
    assert "without it" in journey.card.value
    assert "<code>default via 172.16.0.129 dev eth0</code>" in journey.card.value


def test_changing_an_end_starts_again(journey):
    journey.slider.value = 5
    journey.destination.value = "Internet"
    assert journey.slider.value == 1 and journey.slider.max == 8
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
    journey.slider.value = 3
    before = screens(journey), journey.journey, journey.says
    journey.address.value = typed
    said = journey.address_field.message.value
    assert 'role="alert"' in said and "the picture still shows a1 to b1" in said and "<img" not in said
    assert (screens(journey), journey.journey, journey.says) == before
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
    assert 'data-ok="no"' in journey.result.value
    journey.size.value = 84
    journey.ttl.value = 1
    assert "lost at node-a, TTL exceeded" in journey.says
    journey.ttl.value = 64
    journey.proto.value = "tcp"
    assert "tcp, source not set → 172.16.8.2 port 80" in journey.line.value


def test_a_number_that_does_not_fit_is_set_and_said(journey):
    journey.ttl.value = 1e3
    assert "ttl 1,000: at most 255 fits the header&#x27;s eight bits; set to 255" in journey.packet_field.message.value
    assert journey.ttl.value == 255 and journey.ttl.number == 255
    journey.size.value = 84.5
    assert "size, bytes 84.5: only whole numbers; set to 84" in journey.packet_field.message.value
    journey.size.value = 85
    assert journey.packet_field.message.value == ""


def test_the_lookups_of_a_hop_stand_below_the_buttons(journey):
    walk = next(child for child in journey.children if "fv-beside" in child._dom_classes)
    assert walk.children[0].children == (journey.steps, journey.line, journey.card)
    assert walk.children[1].children == (journey.screen,)


def test_a_hop_without_a_row_says_what_it_did(journey):
    journey.destination.value = "Internet"
    assert "belongs to the VPC" in journey.table.value and "<code></code>" not in journey.table.value


def test_a_loop_is_shown_by_its_first_and_last_rounds():
    looping = lab.journey(break_network(article(), "vpc-route-wrong-ecs", "node-b"), "a1", "b1")
    assert looping.slider.max == 128 and "117 more hops, TTL 61 to 3" in looping.table.value
    assert len(looping.as_html()) < 70_000 and len(looping.screen.value) < 40_000
    looping.slider.value = 60
    assert 'aria-current="true"><td class="fv-short">60</td>' in looping.table.value
    assert looping.table.value.count(" more hops, TTL ") == 2
    assert 'class="fv-badge" data-hop="60"' in looping.screen.value


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
    assert all("<img" not in part for part in screens(widget))
    assert "<img src=x" not in widget.as_html()
