"""A question that has to be answered before anything is shown, with the misconception behind each wrong answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import escape
from ipaddress import IPv4Address, IPv4Network

import ipywidgets as widgets

from flannelviz.errors import FlannelvizError
from flannelviz.views.markup import plain, prose
from flannelviz.views.widgets.panel import Panel, button, controls, guarded

Choices = Mapping[object, str] | Iterable[tuple[object, str]]


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer that somebody may give, and what is to be said about it."""

    value: object
    why: str

    @property
    def label(self) -> str:
        """Return the answer as it stands beside its button."""
        return plain(str(self.value))


class Predict(Panel):
    """A question: the learner commits to an answer, and only then learns whether it is right, and why.

    `choices` pairs each answer with its text: for the `right` one the reason, for any other the misconception behind
    it. With `accept`, the answer is typed instead, `accept` parses it, and values are compared, not texts; `choices`
    then holds the foreseen answers, `otherwise` says something about all others. A wrong answer first gets its own
    text; the right one shows when it is given, or asked for. `reveal` is shown with it: text, anything with
    `_repr_html_`, a widget, or a function that returns one of these.
    """

    def __init__(
        self,
        question: str,
        choices: Choices,
        *,
        right: object,
        reveal: object = None,
        accept: Callable[[str], object] | None = None,
        otherwise: str = "",
    ) -> None:
        self.reveal, self.accept, self.otherwise = reveal, accept, otherwise
        self._pose(question, choices, right)
        self.control = self._radio() if accept is None else self._text()
        self.commit = button("Commit", self._on_commit, "commit to this answer", main=True)
        self.again = button("Try again", self._on_again, "hide the verdict and choose again")
        self.telling = button("Show answer", self._on_tell, "show the right answer and its reason")
        self.screen = widgets.HTML()
        self.aside = widgets.VBox([])
        self.control.observe(self._on_change, names="value")
        super().__init__([self._quiz(), self.aside])
        self._show()

    def ask(self, question: str, choices: Choices, *, right: object) -> None:
        """Ask something else in the place of what was asked, as a question to which nobody has committed yet."""
        self._pose(question, choices, right)
        self.asked.value = _question_html(question)
        if self.accept is None and self.control.options != (options := self._options()):
            self.control.options = options
        self.control.value = None if self.accept is None else ""
        self._show()

    def _pose(self, question: str, choices: Choices, right: object) -> None:
        self.question = question
        self.choices = tuple(_choice(value, why, self.accept) for value, why in _pairs(choices))
        self.right = _among(self.choices, _parsed(right, self.accept))
        self.committed = self.told = False
        self.answer: object = None

    @property
    def correct(self) -> bool | None:
        """Return whether the answer is right, or None while none is committed."""
        return self.answer == self.right.value if self.committed else None

    @property
    def says(self) -> str:
        """Return the question and where the learner stands."""
        state = {None: "not answered yet", True: "right", False: "not right"}[self.correct]
        return f"{self.question} ({state})"

    def as_html(self) -> str:
        """Return the question for a page without a kernel, with the answer folded away."""
        listed = "".join(f"<li>{escape(c.label)}</li>" for c in self.choices) if self.accept is None else ""
        reason = f"<p><b>{escape(self.right.label)}</b>. {prose(self.right.why)}</p>"
        answer = f"<details><summary>Answer (decide first)</summary>{reason}</details>"
        return f"<div><p><b>{prose(self.question)}</b></p>{f'<ul>{listed}</ul>' if listed else ''}{answer}</div>"

    def _radio(self) -> widgets.RadioButtons:
        return widgets.RadioButtons(options=self._options(), value=None, layout={"width": "100%"})

    def _options(self) -> tuple[tuple[str, int], ...]:
        return tuple((choice.label, number) for number, choice in enumerate(self.choices))

    def _text(self) -> widgets.Text:
        field = widgets.Text(description="your answer", layout={"width": "24em", "max_width": "98%"})
        field.on_msg(self._on_message)
        return field

    def _quiz(self) -> widgets.VBox:
        self.asked = widgets.HTML(_question_html(self.question))
        box = widgets.VBox([self.asked, self.control, controls(self.commit, self.again, self.telling), self.screen])
        box.add_class("fv-quiz")
        return box

    def _on_change(self, _change: object) -> None:
        self.message.say("")
        self.commit.disabled = not self._chosen()
        # A page sends a press at once, and holds further values back: they were chosen before it, and are the answer.
        if self.committed:
            self._on_again(self.again)
            self._on_commit(self.commit)

    def _chosen(self) -> bool:
        return self.control.value is not None and self.control.value != ""

    def _on_message(self, _field: object, content: dict[str, object], _buffers: object) -> None:
        """Take Enter for a press of the button; the browser sends it as a message of its own."""
        if content.get("event") == "submit" and not self.commit.disabled:
            self._on_commit(self.commit)

    @guarded
    def _on_commit(self, _button: object) -> None:
        answer = self._given()
        right = answer == self.right.value
        revealed = self._revealed() if right else None
        self.answer, self.committed, self.told = answer, True, right
        self._show(revealed)
        self.again.focus()

    @guarded
    def _on_tell(self, _button: object) -> None:
        revealed = self._revealed()
        self.told = True
        self._show(revealed)
        self.again.focus()

    def _revealed(self) -> object:
        return self.reveal() if callable(self.reveal) else self.reveal

    def _given(self) -> object:
        """Return the answer as a value.

        Raises: what `accept` raises if it cannot read the text.
        """
        if self.accept is None:
            return self.choices[self.control.value].value
        try:
            return self.accept(self.control.value.strip())
        except FlannelvizError:
            raise
        except (ValueError, TypeError, LookupError, ArithmeticError):
            raise UnreadableError(_unreadable(self.control.value, self.right.value)) from None

    @guarded
    def _on_again(self, _button: object) -> None:
        self.answer, self.committed, self.told = None, False, False
        self._show()
        self.commit.focus()

    def _show(self, revealed: object = None) -> None:
        widget = revealed if isinstance(revealed, widgets.Widget) else None
        self.message.say("")
        self.aside.children = (widget,) if widget else ()
        self.control.disabled = self.committed
        self.commit.disabled = self.committed or not self._chosen()
        self.again.layout.display = "" if self.committed else "none"
        self.telling.layout.display = "" if self.committed and not self.told else "none"
        # The verdict comes last, so that whoever sees it finds the controls as they are with it.
        self.screen.value = self._verdict(None if widget else revealed) if self.committed else ""

    def _verdict(self, revealed: object) -> str:
        reason = f"<p>{prose(self.right.why)}</p>"
        if self.correct:
            lines: tuple[str, ...] = ('<p class="fv-verdict">\N{CHECK MARK} Right.</p>', reason)
        else:
            known = next((choice.why for choice in self.choices if choice.value == self.answer), self.otherwise)
            misconception = f"<p>{prose(known)}</p>" if known else ""
            answer = f"<p><b>It is: {prose(str(self.right.value))}</b></p>{reason}" if self.told else ""
            lines = ('<p class="fv-verdict">\N{MULTIPLICATION X} Not right.</p>', misconception, answer)
        state = "yes" if self.correct else "no"
        return f'<div class="fv-answer" role="alert" data-correct="{state}">{"".join(lines)}{_as_html(revealed)}</div>'


class UnreadableError(FlannelvizError, ValueError):
    """What was typed is no answer of the kind that was asked for."""


# What kind of answer is asked for, and two examples of it, so that one of them is not the answer.
KINDS: tuple[tuple[type, str, tuple[str, str]], ...] = (
    (int, "a whole number", ("120", "7")),
    (float, "a number", ("2.5", "40")),
    (IPv4Network, "a network", ("10.0.4.0/22", "10.1.0.0/16")),
    (IPv4Address, "an address", ("10.0.4.7", "10.1.0.9")),
)


def _unreadable(typed: str, right: object) -> str:
    """Return what to type in place of `typed`, by the kind of the `right` answer and without telling it."""
    for kind, name, examples in KINDS:
        if isinstance(right, kind):
            example = next(one for one in examples if one != str(right))
            return f"“{typed}”: type {name}, such as {example}"
    return f"“{typed}” is no answer to this question; type another"


def _question_html(question: str) -> str:
    return f'<div class="fv-question">{prose(question)}</div>'


def _pairs(choices: Choices) -> Iterable[tuple[object, str]]:
    return choices.items() if isinstance(choices, Mapping) else choices


def _parsed(value: object, accept: Callable[[str], object] | None) -> object:
    return accept(value) if accept is not None and isinstance(value, str) else value


def _choice(value: object, why: str, accept: Callable[[str], object] | None) -> Choice:
    return Choice(_parsed(value, accept), why)


def _among(choices: tuple[Choice, ...], right: object) -> Choice:
    found = next((choice for choice in choices if choice.value == right), None)
    if found is None:
        names = ", ".join(choice.label for choice in choices) or "none"
        raise ValueError(f"the right answer {right!s} has no text; give its reason beside the other choices ({names})")
    return found


def _as_html(shown: object) -> str:
    """Return what a question reveals: text is escaped, what can draw itself does."""
    if shown is None:
        return ""
    draw = getattr(shown, "_repr_html_", None)
    return str(draw()) if draw is not None else f"<p>{prose(str(shown))}</p>"
