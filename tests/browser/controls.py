"""Move every control of every widget in a notebook, twice, and see that the pictures near it follow.

Widgets mark what they show with the classes `fv-picture`, `fv-table`, `fv-answer` and `fv-message`; `fv-quiz` holds a
question whose answer is hidden until something is chosen. A control that would do nothing now has to be disabled.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import ElementHandle, JSHandle
from playwright.sync_api import TimeoutError as TookTooLong

from tests.browser.lab import LabPage

SCRIPT = Path(__file__).with_name("controls.js").read_text("utf-8")
MOVES = 2
PATIENCE = 3_000  # milliseconds until a picture must have followed
QUICK = 300  # milliseconds after which a quiz is taken to wait for its button
MOST_MOVES = 400  # in one notebook; more means that controls keep appearing
MOST_WAKES = 6  # how often one control is used for the sake of another
ON_THE_WAY = {"disclosure", "confirm"}  # used to reach or to finish a move, not moved for their own sake
SETTLED = """async element => {
    const controls = window.flannelvizControls;
    let before = controls.shown(element);
    for (let tries = 0; tries < 75; tries++) {
        await new Promise(resolve => setTimeout(resolve, 40));
        const now = controls.shown(element);
        if (now === before) break;
        before = now;
    }
    return before;
}"""
Key = tuple[int, str, str, int]
CHANGED = "([area, before]) => window.flannelvizControls.shown(area) !== before"


@dataclass(frozen=True)
class Control:
    """One control as the page shows it now; `index` is good until the page is asked again."""

    index: int
    cell: int
    kind: str
    label: str
    movable: bool
    quiz: bool

    @property
    def can_wake(self) -> bool:
        """Whether using it may bring another control to life."""
        return self.movable and self.kind != "confirm"

    @property
    def name(self) -> tuple[int, str, str]:
        """What stays the same while the control's numbers change: "hop 2 of 7" is the same as "hop 3 of 7"."""
        return self.cell, self.kind, re.sub(r"\d+", "#", self.label)

    def __str__(self) -> str:
        return f"the {self.kind} {self.label!r} of cell {self.cell}"


class Driver:
    """Moves the controls of one page, in rounds, so that "back" gets its turn after "next"."""

    def __init__(self, lab: LabPage) -> None:
        self.lab = lab
        self.page = lab.page
        self.moves: Counter[Key] = Counter()
        self.complaints: dict[Key, str] = {}
        self.page.evaluate(SCRIPT)
        self.page.on("filechooser", lambda chooser: chooser.set_files(self._file()))
        self._files = 0

    def move_everything(self) -> list[str]:
        """Move every control twice; return a sentence about each one that did nothing."""
        for _ in range(MOST_MOVES):
            controls = self.controls()
            waiting = [key for key, control in controls.items() if not self._is_done(key, control)]
            if not waiting:
                return list(self.complaints.values())
            ready = [key for key in waiting if controls[key].movable]
            if ready:
                self._move(self._least_moved(ready), controls)
            else:
                self._wake(waiting[0], controls)
        raise AssertionError(f"{MOST_MOVES} moves and still not through: {dict(self.moves)}")

    def controls(self) -> dict[Key, Control]:
        """Return the controls on the page, each under a name that survives its being drawn anew."""
        listed = self.page.evaluate("() => window.flannelvizControls.list()")
        return numbered(Control(index, **fields) for index, fields in enumerate(listed))

    def _is_done(self, key: Key, control: Control) -> bool:
        if control.kind in ON_THE_WAY or key in self.complaints:
            return True
        # A quiz may take the first answer as the last.
        locked = control.quiz and not control.movable
        return self.moves[key] >= (1 if locked else MOVES)

    def _least_moved(self, keys: Iterable[Key]) -> Key:
        return min(keys, key=self.moves.__getitem__)

    def _wake(self, asleep: Key, controls: dict[Key, Control]) -> None:
        """Use something else in the cell of a control that is disabled or hidden, so that it gets its turn."""
        cell = controls[asleep].cell
        neighbours = [key for key, other in controls.items() if other.cell == cell and other.can_wake]
        awake = [key for key in neighbours if key not in self.complaints and self.moves[key] < MOST_WAKES]
        if awake:
            self._move(self._least_moved(awake), controls)
        else:
            self.complaints[asleep] = f"{controls[asleep]} can never be used twice"

    def _move(self, key: Key, controls: dict[Key, Control]) -> None:
        control = controls[key]
        self.moves[key] += 1
        element = self._element("nextPart", control.index)
        element.scroll_into_view_if_needed()
        before = self.page.evaluate(SETTLED, element)
        area = self.page.evaluate_handle("element => window.flannelvizControls.areaOf(element)", element)
        act(control.kind, element)
        if control.kind != "disclosure" and not self._bears_fruit(control, element, area, before):
            self.complaints[key] = f"{control} was moved, and nothing near it changed"
        if control.kind == "motion":
            element.click()

    def _bears_fruit(self, control: Control, element: ElementHandle, area: JSHandle, before: str) -> bool:
        """Return whether the pictures follow, in a quiz after its button is pressed if need be."""
        if control.quiz:
            return self._follows(area, before, QUICK) or self._confirm(element, area, before)
        return self._follows(area, before, PATIENCE)

    def _confirm(self, element: ElementHandle, area: JSHandle, before: str) -> bool:
        """Press the buttons of the quiz until one of them brings the answer."""
        buttons = self.page.evaluate_handle("element => window.flannelvizControls.quizButtons(element)", element)
        for button in buttons.get_properties().values():
            if (pressed := button.as_element()) is None:
                continue
            pressed.click()
            if self._follows(area, before, PATIENCE):
                return True
        return False

    def _follows(self, area: JSHandle, before: str, patience: int) -> bool:
        try:
            self.page.wait_for_function(CHANGED, arg=[area, before], timeout=patience)
        except TookTooLong:
            return False
        self.lab.wait_for_kernel()
        return True

    def _element(self, function: str, *arguments: object) -> ElementHandle:
        script = f"args => window.flannelvizControls.{function}(...args)"
        element = self.page.evaluate_handle(script, list(arguments)).as_element()
        assert element is not None
        return element

    def _file(self) -> dict[str, object]:
        self._files += 1
        return {"name": f"dump-{self._files}.txt", "mimeType": "text/plain", "buffer": b"default via 192.168.0.253\n"}


def numbered(controls: Iterable[Control]) -> dict[Key, Control]:
    """Return `controls` by name; those of one name are told apart by their order."""
    seen: Counter[tuple[int, str, str]] = Counter()
    result: dict[Key, Control] = {}
    for control in controls:
        result[*control.name, seen[control.name]] = control
        seen[control.name] += 1
    return result


def act(kind: str, element: ElementHandle) -> None:
    """Do what a person does with a control of this kind, once."""
    if kind == "slider":
        element.press(away_from_the_end(element, "ArrowRight", "ArrowLeft"))
    elif kind == "number":
        element.press(away_from_the_end(element, "ArrowUp", "ArrowDown"))
        element.press("Enter")
    elif kind == "select":
        element.select_option(index=element.evaluate("select => window.flannelvizControls.nextOption(select)"))
    elif kind in {"text", "textarea"}:
        element.fill(edited(element.input_value()))
        element.press("Enter" if kind == "text" else "Tab")
    elif kind in {"button", "motion", "choices", "radios", "checkbox", "disclosure"}:
        element.click()
    else:
        raise AssertionError(f"no idea how to move an {kind}; teach tests/browser/controls.py")


def away_from_the_end(element: ElementHandle, up: str, down: str) -> str:
    """Return the key that moves a slider or a number field at all: up, unless it is at its end."""
    now = element.evaluate("element => window.flannelvizControls.range(element)")
    return down if now["max"] is not None and now["now"] >= now["max"] else up


def edited(text: str) -> str:
    """Return `text` with its last digit counted on: another address, another port, another name."""
    match = re.search(r"\d(?=\D*$)", text)
    if match is None:
        return f"{text}1"
    return f"{text[: match.start()]}{(int(match[0]) + 1) % 10}{text[match.end() :]}"
