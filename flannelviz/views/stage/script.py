"""What a stage shows, computed once: pictures, steps, tables to look into, questions. Plain values, ready for JSON.

Everything in order is a list: saving a notebook sorts the keys of an object. Text from outside is escaped wherever a
field holds markup (`marks`, `cards`, `asks`, `why`); every other field is plain text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

from flannelviz.views.markup import plain, prose
from flannelviz.views.stage.drawing import Drawn
from flannelviz.views.stage.inside import Inside

VERSION = 1  # of the form of a script: a stage refuses any other
Kind = Literal["journey", "events", "fault"]


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture through all steps, with what can be looked into."""

    label: str  # what tells it from the one beside it
    says: str
    drawn: Drawn
    inside: Inside


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what happens, in a word and in a sentence; one card, and the lines in use, for each picture."""

    title: str
    says: str
    cards: tuple[str, ...]  # HTML
    uses: tuple[tuple[int, ...], ...] = ()
    lost: str = ""
    parts: bool = False  # here two journeys part


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer to a question; `box` is the key of the element that stands for it, if any."""

    label: str
    why: str  # HTML
    right: bool = False
    box: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked before `step` is shown."""

    step: int
    asks: str  # HTML
    choices: tuple[Choice, ...]


def asked(question: str, choices: Mapping[str, str], *, right: str, before: int, boxes: Mapping[str, str]) -> Question:
    """Return a question in plain words; `choices` has the reason of the right one, the misconception of any other.

    Raises: ValueError if the right answer is none of the choices, or `before` is no step that can be asked about.
    """
    if right not in choices:
        raise ValueError(f"the right answer {right} has no text; give its reason beside the other choices")
    if before < 1:
        raise ValueError(f"{before} is no step to ask before; steps count from 1, and step 0 is the start")
    told = (Choice(plain(label), prose(why), label == right, boxes.get(label, "")) for label, why in choices.items())
    return Question(before, prose(question), tuple(told))


@dataclass(frozen=True, slots=True)
class Twin:
    """All steps as a table; row n is step n + 1."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Ends:
    """What a reader may choose as an end of a journey: (key of the element, place)."""

    places: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Script:
    """All of a stage. `start` is the step that it opens on; `noun` what a step is called: hop, event."""

    kind: Kind
    noun: str
    says: str
    pictures: tuple[Picture, ...]
    steps: tuple[Step, ...]
    twin: Twin
    start: int = 0
    questions: tuple[Question, ...] = ()
    ends: Ends | None = None  # None: nobody answers a wish
    focus: str = ""  # the element to show first
    version: int = VERSION

    def __post_init__(self) -> None:
        """Refuse a question that is asked before a step that there is not. Raises: ValueError."""
        last = len(self.steps) - 1
        for step in (question.step for question in self.questions):
            if not 1 <= step <= last:
                there = f"ask before {self.noun} 1 to {last}" if last else f"there is no {self.noun} to ask before"
                raise ValueError(f"nothing can be asked before {self.noun} {step}: the last one is {last}; {there}")

    def plain(self) -> dict[str, Any]:
        """Return the script as what JSON knows."""
        made: dict[str, Any] = _plain(self)
        return made


def _plain(value: Any) -> Any:
    """Return a value as lists, objects, texts and numbers. Shape: versions stay lists, they are the many."""
    if isinstance(value, tuple):
        names = getattr(value, "_fields", None)
        if names is not None and names[0] != "step":
            return {name: _plain(item) for name, item in zip(names, value)}
        return [_plain(item) for item in value]
    if isinstance(value, str | int | float) or not is_dataclass(value):
        return value
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
