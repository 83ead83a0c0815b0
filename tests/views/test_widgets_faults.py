"""Faults: the same journey before and after, and the first hop at which they part."""

import json
from itertools import pairwise

import pytest

from flannelviz import lab
from flannelviz.dataplane.trace import trace
from flannelviz.errors import FaultError, UnknownPlaceError
from flannelviz.faults import FAULTS, break_network
from flannelviz.importers.kubectl import read_kubectl
from flannelviz.network import Network
from flannelviz.topologies import article
from flannelviz.views.stage.scripts import first_difference


@pytest.fixture
def faults():
    return lab.faults(article(), "a1", "b1", fault="vpc-route-missing")


def test_both_journeys_are_shown(faults):
    faults.target.value = "node-b"
    assert faults.before.ok and not faults.after.ok
    before, after = faults.stage.script["pictures"]
    assert (before["label"], before["says"]) == ("before", "a1 to b1: request and reply arrive")
    assert (after["label"], after["says"][:34]) == ("after", "a1 to b1: the request is lost at V")
    assert faults.says.startswith("vpc-route-missing at node-b: a1 to b1: the request is lost at VPC")


def test_the_first_difference_is_marked_in_words(faults):
    faults.target.value = "node-b"
    assert "the first difference is hop 3, at VPC" in faults.card.value
    steps = faults.stage.script["steps"]
    assert [k for k, step in enumerate(steps) if step["parts"]] == [3] == [faults.stage.step]
    assert steps[3]["says"].startswith("here the journeys part; before: hop 3 of 10: ")


def test_the_card_tells_cause_change_symptom_and_command(faults):
    fault = faults.faults["vpc-route-missing"]
    for words in (fault.symptom, f"<code>{fault.command_at(faults.network, 'VPC')}</code>"):
        assert words.replace("'", "&#x27;") in faults.card.value


def test_the_fault_can_be_switched_off(faults):
    faults.target.value = "node-b"
    faults.broken.value = False
    assert faults.after.ok and "the stage shows the network as it was" in faults.card.value
    assert len(faults.stage.script["pictures"]) == 1 and faults.says == "no fault: a1 to b1: request and reply arrive"
    assert faults.broken.description == "fault is off"
    faults.broken.value = True
    assert not faults.after.ok and len(faults.stage.script["pictures"]) == 2


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_can_be_chosen(faults, fault):
    faults.fault.value = fault.name
    assert faults.fault_field.message.value == ""
    assert fault.name in faults.card.value
    assert faults.target.value is not None


def test_an_end_that_lost_its_address_is_asked_at_the_old_one(faults):
    faults.fault.value, faults.target.value = "pod-cidr-missing", "node-b"
    assert faults.destination_field.message.value == faults.target_field.message.value == ""
    assert (str(faults.after.request[0].sent.dst), faults.after.died_at) == ("172.16.8.2", "VPC")
    assert "; b1 has no address now, so the packet is for the old one, 172.16.8.2" in faults.card.value
    faults.target.value = "node-a"
    assert "has no address now" not in faults.card.value


def test_a_fault_that_does_not_touch_the_journey_says_so(faults):
    faults.fault.value = "nat-gateway-missing"
    assert "this fault does not touch this journey: the same at every hop" in faults.card.value
    assert faults.says.endswith("request and reply arrive; this fault does not touch this journey")


def test_faults_are_told_by_name_and_in_plain_words_by_kind_of_place(faults):
    labels = [label for label, _ in faults.fault.options]
    assert "node: ip-forward-off (the node no longer forwards between its devices)" in labels
    kinds = [label.split(":")[0] for label in labels]
    assert [kind for i, kind in enumerate(kinds) if kind not in kinds[:i]] == list(dict.fromkeys(kinds))
    assert sum(one != other for one, other in pairwise(kinds)) == len(set(kinds)) - 1


def test_a_page_without_a_kernel_shows_where_the_packet_is_lost(faults):
    faults.target.value = "node-b"
    faults.stage.step = 1
    assert "base64" in faults.as_html() and "<b>vpc-route-missing at node-b: a1 to b1: the request" in faults.as_html()


def test_a_loop_stays_small():
    widget = lab.faults(article(), "a1", "b1", fault="cni0-missing", target="node-b")
    assert len(widget.as_html()) < 80_000 and len(json.dumps(widget.stage.script)) < 500_000


def imported() -> Network:
    return read_kubectl(lab.example_dump()).network


def test_a_network_that_can_have_no_fault_says_so():
    widget = lab.faults(imported())
    assert "no fault can be put into this network" in widget.fault_field.message.value
    assert "at : " not in widget.card.value
    assert not widget.broken.value and widget.says.startswith("no fault: ")
    widget.broken.value = True
    assert 'role="alert"' in widget.fault_field.message.value


def test_an_unknown_fault_is_refused():
    with pytest.raises(FaultError, match="no fault called 'gremlins'; there are vpc-route-missing"):
        lab.faults(article(), fault="gremlins")


def test_the_targets_follow_the_fault(faults):
    faults.fault.value = "veth-host-down"
    assert [place for _, place in faults.target.options] == ["default/a1", "default/a2", "default/b1", "default/b2"]
    faults.fault.value = "nat-gateway-missing"
    assert faults.target.disabled and faults.target.value == "VPC"


def test_a_fault_that_cannot_be_put_here_is_refused_and_nothing_changes(faults):
    def refuse(*_: object) -> Network:
        raise FaultError("the VPC holds no entry <b>")

    before = faults.stage.script, faults.card.value
    faults._break = refuse
    faults.target.value = "node-b"
    assert "the VPC holds no entry &lt;b&gt;" in faults.target_field.message.value
    assert (faults.stage.script, faults.card.value) == before
    for on, words in ((False, "fault is off"), (True, "fault is on")):
        faults.broken.value = on
        assert faults.broken.description == words, "the button says what it is, whatever the stage still shows"


def test_the_target_may_be_given_from_the_start():
    widget = lab.faults(article(), "b1", "a1", fault="veth-host-down", target="b1")
    assert widget.target.value == "default/b1" and "veth-host-down at b1: b1 to a1" in widget.says


def test_a_target_that_the_fault_cannot_have_is_refused():
    with pytest.raises(FaultError, match="veth-host-down cannot be put at node-a; possible here: a1, a2, b1, b2"):
        lab.faults(article(), fault="veth-host-down", target="node-a")


def test_nothing_travels_in_an_empty_network():
    with pytest.raises(UnknownPlaceError, match="nothing travels"):
        lab.faults(Network())


@pytest.mark.parametrize(
    ("fault", "target", "number"), [("vpc-route-missing", "node-b", 3), ("veth-host-down", "a1", 1), (None, None, None)]
)
def test_first_difference(fault, target, number):
    network = article()
    broken = break_network(network, fault, target) if fault else network
    assert first_difference(trace(network, "a1", "b1"), trace(broken, "a1", "b1")) == number
