"""Predict: nothing shows before the learner commits, and every wrong answer gets the text of its misconception."""

from ipaddress import IPv4Address, IPv4Network

import ipywidgets as widgets
import pytest

from flannelviz.model import parse_network
from flannelviz.views.markup import marked, prose
from flannelviz.views.widgets.predict import Predict

ARRIVES = {
    "both arrive": "The VPC needs an entry for `172.16.8.0/25`, and there is none.",
    "neither arrives": "The request leaves node-a and dies in the VPC.",
    "only the request arrives": "The reply is never sent, because nothing asked for it.",
}


def ping(**options: object) -> Predict:
    return Predict("Does the ping arrive?", ARRIVES, right="neither arrives", **options)


def block(**options: object) -> Predict:
    foreseen = {"172.16.8.0/25": "Block 16.", "172.16.8.0/24": "That is kubeadm's mask."}
    return Predict("Which block?", foreseen, right="172.16.8.0/25", accept=parse_network, **options)


def answered(quiz: Predict, value: object) -> str:
    quiz.control.value = value
    quiz.commit.click()
    return quiz.screen.value


def test_nothing_shows_before_the_learner_commits():
    quiz = ping(reveal="node-a routes by its default route")
    quiz.control.value = 1
    assert (quiz.screen.value, quiz.committed, quiz.correct, quiz.answer) == ("", False, None, None)
    assert quiz.aside.children == ()


def test_one_must_choose_before_committing():
    quiz = ping()
    assert quiz.commit.disabled
    quiz.control.value = 0
    assert not quiz.commit.disabled


def test_the_right_answer_gets_its_reason():
    quiz = ping()
    shown = answered(quiz, 1)
    assert quiz.correct and quiz.answer == "neither arrives"
    assert "Right." in shown and "dies in the VPC" in shown


@pytest.mark.parametrize(("number", "misconception"), [(0, "needs an entry"), (2, "nothing asked for it")])
def test_a_wrong_answer_gets_its_misconception_and_the_right_one_when_asked_for(number, misconception):
    quiz = ping(reveal="it dies")
    shown = answered(quiz, number)
    assert quiz.correct is False and quiz.telling.layout.display == ""
    assert "Not right." in shown and misconception in shown
    assert "dies in the VPC" not in shown and "neither arrives" not in shown and "it dies" not in shown
    quiz.telling.click()
    shown = quiz.screen.value
    assert shown.index(misconception) < shown.index("It is: neither arrives") < shown.index("dies in the VPC")
    assert "it dies" in shown and quiz.telling.layout.display == "none"


def test_a_right_answer_leaves_nothing_to_ask_for():
    quiz = ping()
    answered(quiz, 1)
    assert quiz.telling.layout.display == "none"


def test_enter_commits_a_typed_answer():
    quiz = block()
    quiz.control.value = "172.16.8.0/25"
    quiz.control._handle_custom_msg({"event": "submit"}, [])
    assert quiz.correct
    nothing = block()
    nothing.control._handle_custom_msg({"event": "submit"}, [])
    assert not nothing.committed


def test_a_value_that_comes_after_its_commit_is_what_was_answered():
    """A page that waits for the kernel holds further values back, and sends the press of a button at once."""
    typed = Predict("How many?", {120: "Less what no pod gets."}, right=120, accept=int)
    typed.control.value = "12"
    typed._on_message(typed.control, {"event": "submit"}, [])
    assert typed.correct is False
    typed.control.value = "120"
    assert typed.correct and typed.answer == 120 and "Right." in typed.screen.value
    assert typed.commit.disabled and typed.control.disabled
    typed.control.value = "120?"
    assert typed.correct is None and typed.screen.value == "", "no verdict stands beside another answer"
    assert "type a whole number" in typed.message.value and not typed.commit.disabled


def test_an_answer_is_announced_and_locked():
    quiz = ping()
    assert 'class="fv-answer" role="alert"' in answered(quiz, 0)
    assert quiz.control.disabled and quiz.commit.disabled


def test_try_again_hides_the_answer():
    quiz = ping()
    answered(quiz, 0)
    quiz.again.click()
    assert (quiz.screen.value, quiz.committed, quiz.correct) == ("", False, None)
    assert not quiz.control.disabled and quiz.again.layout.display == "none"
    assert "Right." in answered(quiz, 1)


@pytest.mark.parametrize("text", ["172.16.8.0/25", " 172.16.8.0/25 "])
def test_a_typed_answer_is_compared_by_value(text):
    quiz = block()
    answered(quiz, text)
    assert quiz.correct and quiz.answer == IPv4Network("172.16.8.0/25")


def test_a_number_is_compared_by_value():
    quiz = Predict("How many pods fit into a /25?", {125: "128 less three."}, right=125, accept=int)
    answered(quiz, "0125")
    assert quiz.correct


def test_an_unreadable_answer_is_no_answer():
    quiz = block()
    assert answered(quiz, "172.16.8.1/25") == ""
    assert not quiz.committed and not quiz.control.disabled
    assert "172.16.8.1/25 is an address inside 172.16.8.0/25" in quiz.message.value
    quiz.control.value = "172.16.8.0/25"
    assert quiz.message.value == ""


@pytest.mark.parametrize(
    ("accept", "right", "kind"),
    [
        (int, 125, "a whole number, such as 120"),
        (int, 120, "a whole number, such as 7"),
        (float, 1.5, "a number, such as 2.5"),
        (IPv4Address, IPv4Address("172.16.8.2"), "an address, such as 10.0.4.7"),
        (lambda text: IPv4Network(text), IPv4Network("172.16.8.0/25"), "a network, such as 10.0.4.0/22"),
        (lambda text: {"yes": True}[text], None, "is no answer to this question"),
    ],
)
def test_an_answer_that_python_refuses_is_said_in_plain_words(accept, right, kind):
    quiz = Predict("How many?", {right: "So it is."}, right=right, accept=accept)
    answered(quiz, "many")
    assert f"\u201cmany\u201d: type {kind}" in quiz.message.value or kind in quiz.message.value
    assert "invalid" not in quiz.message.value and "literal" not in quiz.message.value
    assert not quiz.committed and str(right) not in quiz.message.value


@pytest.mark.parametrize(("text", "says"), [("172.16.8.0/24", "kubeadm"), ("10.0.0.0/8", "a block of the cluster")])
def test_a_foreseen_wrong_answer_has_its_own_text(text, says):
    assert says in answered(block(otherwise="It is a block of the cluster CIDR."), text)


class Drawn:
    def _repr_html_(self) -> str:
        return "<svg><title>drawn</title></svg>"


@pytest.mark.parametrize(
    ("reveal", "shown"),
    [
        ("a <b>", "a &lt;b&gt;"),
        (Drawn(), "<svg><title>drawn</title></svg>"),
        (lambda: "made when asked", "made when asked"),
        (lambda: Drawn(), "<svg><title>drawn</title></svg>"),
    ],
)
def test_the_reveal_is_text_or_draws_itself(reveal, shown):
    assert shown in answered(ping(reveal=reveal), 1)


def test_a_revealed_widget_comes_and_goes():
    picture = widgets.HTML("picture")
    quiz = ping(reveal=lambda: picture)
    answered(quiz, 1)
    assert quiz.aside.children == (picture,)
    quiz.again.click()
    assert quiz.aside.children == ()


def test_a_reveal_that_fails_says_so_and_commits_nothing():
    quiz = ping(reveal=lambda: 1 // 0)
    assert answered(quiz, 1) == ""
    assert not quiz.committed
    assert "ZeroDivisionError: integer division or modulo by zero" in quiz.message.value


def test_everything_is_text():
    evil = '<img src=x onerror="alert(1)">'
    quiz = Predict(evil, {evil: evil, "b": "c"}, right="b", reveal=evil)
    parts = (answered(quiz, 0), quiz.as_html(), quiz.asked.value)
    assert all("<img" not in part and "&lt;img" in part for part in parts)


def test_the_right_answer_must_have_its_reason():
    with pytest.raises(ValueError, match="the right answer d has no text.*a, b"):
        Predict("?", {"a": "A", "b": "B"}, right="d")


def test_a_saved_page_asks_without_telling():
    page = ping()._repr_mimebundle_()
    assert page["text/plain"] == "<Predict: Does the ping arrive? (not answered yet)>"
    assert "<li>both arrive</li>" in page["text/html"]
    before, _, after = page["text/html"].partition("<details>")
    assert "dies in the VPC" not in before and "dies in the VPC" in after


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("`ip route` on <a>", "<code>ip route</code> on &lt;a&gt;"),
        ("one ` alone", "one ` alone"),
        ("`a` and ` alone", "<code>a</code> and ` alone"),
        ("one\n\ntwo", "one<br><br>two"),
    ],
)
def test_the_only_markup_is_code(text, html):
    assert marked(text) == html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("what *one* sees", "what <em>one</em> sees"),
        ("`a *b* c` and *d e*.", "<code>a *b* c</code> and <em>d e</em>."),
        ("2 * 3 * 4", "2 * 3 * 4"),
        ("2*3*4 and *<b>*", "2*3*4 and *&lt;b&gt;*"),
    ],
)
def test_prose_may_emphasise(text, html):
    assert prose(text) == html


def test_a_label_has_no_asterisks():
    assert Predict("?", {"*both* `arrive`": "so"}, right="*both* `arrive`").choices[0].label == "both arrive"


def test_something_else_can_be_asked_in_its_place():
    quiz = Predict("Does it arrive?", ARRIVES, right="neither arrives", reveal="the table")
    quiz.control.value = 0
    quiz.commit.click()
    quiz.ask("Which node?", {"node-a": "It has the route.", "node-b": "It has none."}, right="node-a")
    assert quiz.control.options == (("node-a", 0), ("node-b", 1)) and quiz.control.value is None
    assert "Which node?" in quiz.asked.value and quiz.screen.value == "" and quiz.commit.disabled
    assert quiz.correct is None and not quiz.control.disabled
    quiz.control.value = 0
    quiz.commit.click()
    assert quiz.correct and "It has the route." in quiz.screen.value
