"""One ping twice: the model's column and the kernel's, the hop at which they part, and the guess that comes first."""

import re
from dataclasses import replace

import pytest

from flannelviz import lab, trace
from flannelviz.errors import FaultError
from flannelviz.faults import FAULTS, break_network
from flannelviz.kernel import Witness, parting, recorded
from flannelviz.packet import Disposition
from flannelviz.topologies import article
from flannelviz.views.widgets import Predict, Twice
from flannelviz.views.widgets.pair import pair_table
from flannelviz.views.widgets.twice import ARRIVES, MISCONCEPTIONS, PARTS, REPLY_LOST, REQUEST_LOST

FAULT = {"fault": "vpc-route-missing", "target": "node-b"}


@pytest.fixture(autouse=True)
def from_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every answer come from the record, on any machine."""
    monkeypatch.setenv("CNI_PATH", "/nowhere")
    monkeypatch.setitem(article().memo, "kernel", Witness(article(), break_network, recorded()))


@pytest.fixture
def twice() -> Twice:
    return lab.twice(article(), "a1", "b1")


def column(widget: Twice, who: str) -> list[str]:
    """Return the cells of one column, as text."""
    cells = re.findall(rf'data-who="{who}">(.*?)</td>', widget.both.table.value)
    return [re.sub(r"<br>", "\n", re.sub(r"</?(code|b)>", "", cell)) for cell in cells]


def quiz(widget: Twice) -> Predict:
    (shown,) = widget.slot.children
    assert isinstance(shown, Predict)
    return shown


def answered(widget: Twice, choice: str) -> str:
    asked = quiz(widget)
    asked.control.value = next(i for i, one in enumerate(asked.choices) if one.value == choice)
    asked.commit.click()
    return asked.screen.value


def test_both_columns_show_the_same_packet(twice):
    model, kernel = column(twice, "the model says"), column(twice, "the kernel did")
    assert len(model) == len(kernel) == 10
    assert [cell.split("\n")[:2] for cell in model] == [cell.split("\n")[:2] for cell in kernel]
    assert model[1].endswith("default via 192.168.0.253 dev eth0")
    assert kernel[1].endswith("seen in by vetheb6e8c0e, in by cni0, out of eth0")


def test_they_agree_and_it_says_so(twice):
    assert "✓ Model and kernel agree, hop by hop: a1 to b1: request and reply arrive" in twice.both.result.value
    assert 'data-ok="yes"' in twice.both.result.value and "▶" not in twice.both.table.value


def test_the_stage_walks_with_the_model_and_tells_what_the_kernel_did(twice):
    steps = twice.both.stage.script["steps"]
    assert len(steps) == 1 + 10 and twice.both.stage.step == 10
    assert "model: hop 2 of 10: node-a routes to 192.168.0.253 by default route" in steps[2]["says"]
    assert "kernel: forwarded" in steps[2]["says"]
    assert steps[2]["says"].endswith("TTL 63, seen in by vetheb6e8c0e, in by cni0, out of eth0")
    (card,) = steps[2]["cards"]
    assert "ssh node-a ip route get 172.16.8.2" in card and "ssh node-a tcpdump -c 2 -eni any icmp" in card
    assert "In a real VPC nobody can capture" in steps[3]["cards"][0]


def test_the_stage_goes_on_where_only_the_kernel_does(twice):
    network = break_network(article(), "vpc-route-missing", "node-b")
    lost = trace(network, "a1", "b1")
    pair = twice.both.pair._replace(model=lost, parting=parting(lost, twice.both.pair.kernel))
    twice.both.show(network, pair, "a1 pings b1")
    steps = twice.both.stage.script["steps"]
    assert len(steps) == 1 + 10 and [k for k, step in enumerate(steps) if step["parts"]] == [3]
    assert steps[3]["says"].startswith("model: hop 3 of 3: the VPC loses the packet")
    assert steps[4]["says"].startswith("model: nothing more; kernel: forwarded") and steps[4]["title"] == "node-b"


def test_a_fault_breaks_both(twice):
    twice.fault.value = "ip-forward-off"
    twice.target.value = "node-b"
    assert "the request is lost at node-b" in twice.both.result.value
    assert "TTL 63\nseen in by eth0" in column(twice, "the kernel did")[-1]
    assert column(twice, "the model says")[-1].startswith("forwarding disabled, eth0\n")
    assert "the model is told" not in twice.about.value
    twice.fault.value = ""
    assert twice.target.disabled and twice.both.pair.model.ok and twice.about.value == ""


def test_the_first_hop_at_which_they_part_is_marked_and_told():
    widget = lab.twice(article(), "b1", "a1", **FAULT, stale=True)
    assert "≠ Model and kernel part at hop 8, VPC" in widget.says
    assert "in the kernel the reply comes no farther than VPC" in widget.both.result.value
    assert ">VPC goes out by: the model says node-b’s ENI, the kernel nothing.<" in widget.both.result.value
    assert widget.both.table.value.count("▶\u00a08 VPC, back<") == 1 and widget.both.stage.step == 8
    assert column(widget, "the kernel did")[-1] == "nothing"
    assert "nothing of it: it has the tables of before" in widget.about.value
    assert "vpc-route-missing at node-b, of which the model was not told" in widget.both.stage.says


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_can_be_chosen(twice, fault):
    twice.fault.value = fault.name
    assert twice.fault_field.message.value == "" and fault.name in twice.about.value
    assert 'data-ok="yes"' in twice.both.result.value, "model and kernel agree"


def test_what_the_record_does_not_hold_is_said_beside_the_control(twice, monkeypatch):
    monkeypatch.setattr(twice.kernel, "_record", None)
    shown = twice.both.table.value
    twice.destination.value = "Internet"
    assert "a lab needs the CNI plugins" in twice.destination_field.message.value
    assert "below is the last ping that could be sent" in twice.destination_field.message.value
    assert twice.both.table.value == shown
    assert twice.says.startswith("a1 pings b1 in the network as it was built. "), "in words too"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"fault": "gremlins"}, "no fault called 'gremlins'; there are vpc-route-missing"),
        ({"fault": "veth-host-down", "target": "node-a"}, "cannot be put at node-a; possible here: a1, a2, b1, b2"),
        ({"target": "node-a"}, "no fault cannot be put at node-a; possible here: nowhere"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(wrong, says):
    with pytest.raises(FaultError, match=says):
        lab.twice(article(), **wrong)


def test_a_pod_without_an_address_is_sought_where_it_was():
    widget = lab.twice(article(), "b1", "a1", fault="pod-cidr-missing", target="node-a")
    assert widget.destination_field.message.value == "" and not widget.both.pair.kernel.ok
    assert "✓ Model and kernel agree" in widget.both.result.value


def test_a_loop_is_listed_by_its_rounds():
    widget = lab.twice(article(), "a1", "b1", fault="cni0-down", target="node-b")
    assert "more hops, TTL" in widget.both.table.value and widget.both.table.value.count("<tr") < 20


@pytest.mark.parametrize(
    ("end", "known", "says"),
    [
        (Disposition.UNKNOWN, (), "last seen here, eth0\n{}\nseen in by eth0"),
        (
            Disposition.DENIED,
            ("-A FORWARD -j DROP",),
            "denied by a rule, eth0\n{}\nseen in by eth0\nand the kernel knows: {}",
        ),
    ],
)
def test_what_a_kernel_knows_of_the_end_is_told(twice, end, known, says):
    whole = twice.both.pair.kernel
    last = whole.request[-1]
    steps = (*last.steps, *(replace(last.steps[0], kind="known", saying=("{}", word)) for word in known))
    lost = replace(last, disposition=end, steps=steps)
    kernel = replace(whole, request=(*whole.request[:-1], lost), disposition=end, reply=(), reply_disposition=None)
    twice.both.show(article(), twice.both.pair._replace(kernel=kernel), "b1 pings a1")
    headers = "172.16.0.130 → 172.16.8.2, TTL 62"
    assert column(twice, "the kernel did")[4] == says.format(headers, *known)


def test_names_from_outside_are_text(twice):
    pair = twice.both.pair
    assert "<i>" not in pair_table(pair, caption="<i>x</i>")


# --- which kernel answered ------------------------------------------------------------------------------------------


def test_which_kernel_answered_is_told_to_the_page_and_not_saved(twice):
    source = twice.both.source
    assert source.words.startswith(f"From the record of {recorded().kernel}, because ")
    assert not [value for value in source.get_state().values() if "record" in str(value)]
    assert "From the record" not in twice.as_html() + repr(twice)


def test_the_page_gets_it_whenever_it_asks(twice, monkeypatch):
    sent = []
    monkeypatch.setattr(twice.both.source, "send", sent.append)
    twice.both.source._handle_msg({"content": {"data": {"method": "custom", "content": {"asks": True}}}, "buffers": []})
    assert sent == [{"says": twice.both.source.words}]


# --- the guess ------------------------------------------------------------------------------------------------------


@pytest.fixture
def guess() -> Twice:
    return lab.twice(article(), "b1", "a1", **FAULT, guess=True)


def test_nothing_shows_before_the_guess(guess):
    assert quiz(guess).screen.value == "" and quiz(guess).aside.children == ()
    assert "lost" not in guess.says and guess.still().picture == ""
    assert "lost" not in guess.as_html() and "the model says" not in guess.as_html()
    assert ("none: the network as it was built", "") not in guess.fault.options


def test_the_right_guess_opens_both_columns(guess):
    assert "Right." in answered(guess, REPLY_LOST)
    assert quiz(guess).aside.children == (guess.both,)


@pytest.mark.parametrize("choice", [ARRIVES, REQUEST_LOST])
def test_a_wrong_guess_gets_its_misconception_first(guess, choice):
    said = answered(guess, choice)
    assert MISCONCEPTIONS[REPLY_LOST, choice] in said and "symptom" not in said
    assert quiz(guess).aside.children == ()
    quiz(guess).telling.click()
    assert quiz(guess).aside.children == (guess.both,)


def test_who_thinks_that_they_part_learns_why_they_do_not(guess):
    assert "reads the tables that the kernel reads" in answered(guess, PARTS)


@pytest.mark.parametrize(
    ("fault", "target", "ends", "right"),
    [
        ("masquerade-missing", "node-a", ("a1", "db"), ARRIVES),
        ("source-dest-check-on", "node-a", ("b1", "a1"), REPLY_LOST),
        ("ip-forward-off", "node-b", ("a1", "b1"), REQUEST_LOST),
    ],
)
def test_what_is_right_is_what_the_kernel_did(fault, target, ends, right):
    widget = lab.twice(article(), *ends, fault=fault, target=target, guess=True)
    assert quiz(widget).right.value == right


def test_another_choice_asks_anew_in_the_same_quiz(guess):
    asked = quiz(guess)
    answered(guess, REPLY_LOST)
    guess.fault.value = "cni0-down"
    assert quiz(guess) is asked and not asked.committed and asked.aside.children == ()
    assert "cni0-down at node-a" in asked.question and "cni0-down at node-a" in asked.asked.value
    guess.source.value, guess.destination.value = "default/a1", "default/b1"
    assert "a1 pings b1" in asked.asked.value and asked.right.value == REQUEST_LOST


def test_nothing_of_another_choice_shows_before_its_guess(guess, monkeypatch):
    """The page draws each message of the kernel: what was opened is shut before it shows what has to be guessed."""
    answered(guess, REPLY_LOST)
    show = guess.both.show
    opened = []

    def watched(*told: object) -> None:
        opened.append(quiz(guess).aside.children)
        show(*told)

    monkeypatch.setattr(guess.both, "show", watched)
    guess.fault.value = "cni0-down"
    assert opened == [()]
