"""The stage as a widget: it holds a script, and hands on what a reader does. READS only."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import anywidget
import traitlets

from flannelviz.errors import FlannelvizError, UnknownPlaceError
from flannelviz.model import parse_address, visible
from flannelviz.network import Network
from flannelviz.packet import Trace
from flannelviz.views.fold import MOST_NODES, MOST_PODS
from flannelviz.views.markup import left_aligned, table_html, what_went_wrong
from flannelviz.views.shapes import Note
from flannelviz.views.stage.assets import MODULE, SHEETS
from flannelviz.views.stage.page import page, write_whole
from flannelviz.views.stage.script import Question, Script
from flannelviz.views.stage.scripts import journey_drawing, journey_script
from flannelviz.views.svg import data_uri

MOST_ROWS, FIRST_ROWS, LAST_ROWS = 100, 20, 10  # of the table on a page where nothing runs
PART_OF_ADDRESS = re.compile(r"[\d.]+")
NOT_CALLED = 3  # see _apart


class Answer(NamedTuple):
    """What a reader answered to a question, and whether it is right."""

    question: Question
    label: str
    right: bool


class Stage(anywidget.AnyWidget):
    """A picture to step through, click on and keep. `drawing` makes the SVG that stands for it where nothing runs."""

    _esm = MODULE
    _css = SHEETS
    # As one text: of nested values, both ends would look for buffers, and a saved notebook has a line for each.
    script = traitlets.Dict().tag(sync=True, to_json=lambda value, _: json.dumps(value, separators=(",", ":")))
    # A slow kernel would echo a step that the reader has left behind, and throw them back to it.
    step = traitlets.Int().tag(sync=True, echo_update=False)
    answers = traitlets.List().tag(sync=True)
    wish = traitlets.Dict().tag(sync=True)
    reply = traitlets.Dict().tag(sync=True)

    def __init__(self, shown: Script, drawing: Callable[[], str]) -> None:
        self.shown, self.drawing = shown, drawing
        super().__init__(script=shown.plain(), step=shown.start)

    @property
    def says(self) -> str:
        """Return in one sentence what is shown."""
        return self.shown.says

    @property
    def answered(self) -> tuple[Answer, ...]:
        """Return the answers given so far, in their order: the first one to each question that this stage asks."""
        given: dict[int, int] = {}
        for question, choice in self.answers:
            asked = dict(enumerate(self.shown.questions)).get(question)
            if asked and choice in range(len(asked.choices)):
                given.setdefault(question, choice)
        pairs = ((self.shown.questions[q], self.shown.questions[q].choices[c]) for q, c in given.items())
        return tuple(Answer(question, choice.label, choice.right) for question, choice in pairs)

    def show(self, shown: Script, drawing: Callable[[], str]) -> None:
        """Show another script, from its start and with no answer given."""
        self.shown, self.drawing = shown, drawing
        with self.hold_sync():
            self.step, self.answers, self.script = shown.start, [], shown.plain()

    def state(self) -> dict[str, Any]:
        """Return what a page needs to show the stage as it is now."""
        return {"script": self.script, "step": self.step, "answers": self.answers}

    def save(self, path: str | Path) -> Path:
        """Write the stage as one HTML file that does everything from disk; return where it is."""
        written = Path(path)
        write_whole(written, page({"stage": self.state()}, self.says))
        return written

    def as_html(self) -> str:
        """Return what stands for the stage as HTML that needs neither a kernel nor trust."""
        says, twin = escape(visible(self.says)), self.shown.twin
        image = f'<img src="{data_uri(self.drawing())}" alt="{says}">'
        table = left_aligned(table_html(twin.caption, twin.head, _ends(twin.rows))) if twin.rows else ""
        if not self.shown.questions:
            return f"<div><p><b>{says}</b></p>{image}{table}</div>"
        asked = "".join(f"<p>{question.asks}</p>" for question in self.shown.questions)
        return f"<div><p><b>{says}</b></p>{asked}<details><summary>Decide first</summary>{image}{table}</details></div>"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {visible(self.says)}>"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        found = super()._repr_mimebundle_(**options)
        shown, metadata = found if isinstance(found, tuple) else (found, {})
        return {**(shown or {}), "text/plain": repr(self), "text/html": self.as_html()}, metadata


def _apart(text: str, place: str) -> int:
    """Return how far a name is from `text`, whatever the case: it is it, begins with it, holds it, or is another."""
    wanted, name = text.lower(), place.lower()
    own = name.rpartition("/")[2]
    tests = (own == wanted, own.startswith(wanted), wanted in name)
    return next((i for i, holds in enumerate(tests) if holds), NOT_CALLED)


def _ends(rows: Sequence[tuple[str, ...]]) -> Sequence[tuple[str, ...]]:
    """Return the rows of a table that can be read through; of a longer one, as of a loop, the first and the last."""
    if len(rows) <= MOST_ROWS:
        return rows
    return (*rows[:FIRST_ROWS], (f"… {len(rows) - FIRST_ROWS - LAST_ROWS} more",), *rows[-LAST_ROWS:])


class JourneyStage(Stage):
    """A journey whose ends a reader chooses on the picture; `trace` is the data plane's function.

    `notes` tells what is wrong with places of `network`: their boxes show it, whatever a reader wishes for.
    """

    def __init__(
        self,
        network: Network,
        journey: Trace | None,
        trace: Callable[..., Trace],
        questions: Iterable[Question] = (),
        notes: Mapping[str, Note] | None = None,
    ) -> None:
        self.network, self.journey, self._trace, self._notes = network, journey, trace, notes
        self._focus: tuple[str, ...] = ()
        self._questions = tuple(questions)
        super().__init__(self._written(), self._drawn)
        self.observe(self._on_wish, names="wish")

    def _written(self) -> Script:
        network, journey, questions = self.network, self.journey, self._questions
        return journey_script(network, journey, questions, focus=self._focus, notes=self._notes, asks=True)

    def _on_wish(self, change: Any) -> None:
        wish: Mapping[str, Any] = change["new"]
        says, focus = "", ""
        try:
            self._grant(wish)
            focus = self.shown.focus
        except Exception as error:
            says = what_went_wrong(error)
        self.reply = {"number": wish.get("number", 0), "says": says, "focus": focus}

    def _grant(self, wish: Mapping[str, Any]) -> None:
        """Show what is wished for. Raises: what the trace raises, and UnknownPlaceError."""
        if "source" in wish:
            self.travel(str(wish["source"]), str(wish["destination"]))
        elif "find" in wish:
            self.find(str(wish["find"]))
        elif "open" in wish:
            self._look_for(self._next(str(wish["open"]), set(wish.get("drawn", ()))))

    def travel(self, source: str, destination: str) -> None:
        """Show the journey from `source` to `destination`. Raises: UnknownPlaceError, PacketError."""
        self.journey = self._trace(self.network, source, destination)
        self._questions = ()
        self._focus_on(())

    def look_at(self, network: Network, notes: Mapping[str, Note] | None = None) -> None:
        """Show another network, through which no packet has been sent yet, and what is wrong with its places."""
        self.network, self.journey, self._questions, self._notes = network, None, (), notes
        self._focus_on(())

    def find(self, text: str) -> None:
        """Show the place of this name or address, else one with a part of it; the step and the answers stay.

        Raises: UnknownPlaceError if there is none.
        """
        self._look_for((self._place(text),))

    def _place(self, text: str) -> str:
        try:
            return self.network.place(text)
        except UnknownPlaceError as unknown:
            found = self._at(text) or self._called(text)
            if found is None:
                raise unknown
            return found

    def _called(self, text: str) -> str | None:
        """Return the place whose name comes nearest to `text`, else one whose address holds it, or None."""
        found = min(self.network.places(), key=lambda name: _apart(text, name))
        return found if _apart(text, found) < NOT_CALLED else self._in_part(text)

    def _in_part(self, text: str) -> str | None:
        """Return the first place whose address holds `text`, or None."""
        if not PART_OF_ADDRESS.fullmatch(text):
            return None
        names = (*self.network.ecs_places(), *self.network.pods)
        return next((name for name in names if text in str(self.network.address(name) or "")), None)

    def _at(self, text: str) -> str | None:
        try:
            return self.network.place_at(parse_address(text))
        except FlannelvizError:
            return None

    def _next(self, node: str, drawn: set[str]) -> tuple[str, ...]:
        """Return the first places behind the last drawn one: pods of `node`, or nodes; after the end from the front."""
        names = self.network.pods_on(node) if node else self.network.ecs_places()
        most = MOST_PODS if node else MOST_NODES
        last = max((i for i, name in enumerate(names) if name in drawn), default=-1)
        return tuple(name for name in (*names[last + 1 :], *names) if name not in drawn)[:most]

    def _look_for(self, focus: tuple[str, ...]) -> None:
        """Draw the same walk with these places unfolded: the step and the answers stay."""
        self._focus = focus
        self.shown = self._written()
        self.script = self.shown.plain()

    def _focus_on(self, focus: tuple[str, ...]) -> None:
        self._focus = focus
        self.show(self._written(), self._drawn)

    def _drawn(self) -> str:
        return journey_drawing(self.network, self.journey, self._focus, self._notes)
