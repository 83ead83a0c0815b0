"""Move every control of every widget in a notebook, twice, and see that the pictures near it follow.

Widgets mark what they show with the classes `fv-picture`, `fv-table`, `fv-answer` and `fv-message`; `fv-quiz` holds a
question whose answer is hidden until something is chosen. A control that would do nothing now has to be disabled.
That an error message appears is no success: what may change something else than a picture stands in FRUIT.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from playwright.sync_api import ElementHandle, Page

from tests.browser.lab import LabPage
from tests.checkout import ROOT

SCRIPT = Path(__file__).with_name("controls.js").read_text("utf-8")
DUMP = ROOT / "notebooks" / "data" / "oke-vxlan-25.json"
NO_DUMP = "default via 192.168.0.253\n"
MOVES = 2
PATIENCE = 3_000  # milliseconds until a picture must have followed
TRIES = 20  # times that a control is looked for in a page that is being drawn
MOST_MOVES = 600  # in one notebook; more means that controls keep appearing
MOST_WAKES = 6  # how often one control is used for the sake of another
ON_THE_WAY = {"disclosure", "confirm"}  # used to reach or to finish a move, not moved for their own sake

PICTURE, TABLE, ANSWER = ".fv-picture", ".fv-table", ".fv-answer"
INSIDE = ".fv-inside"
NOTE, ALARM = ".fv-message[data-kind=note]", ".fv-message:not([data-kind=note])"
WORDS = {PICTURE: "picture", INSIDE: "panel", TABLE: "table", ANSWER: "answer", NOTE: "note"}
# What these controls change by design instead of the picture, and why.
FRUIT = {
    "dump": (NOTE, "a pasted text is read when Read is pressed, and Read moves the picture; a note says so"),
    **dict.fromkeys(
        ("protocol", "ttl", "size, bytes"),
        (TABLE, "the picture draws the way, and another packet may go the same way; the hop's table names the packet"),
    ),
    **dict.fromkeys(
        ("fault is on", "fault is off"),
        (TABLE, "a fault that the journey does not meet changes no picture; its table says whether it is on"),
    ),
    "the places of the picture": (INSIDE, "what a place holds opens beside the picture"),
    "service CIDR": (TABLE, "addresses of Services are in no route, so no picture has them; a table counts them"),
}
CORNER = {"x": 12, "y": 8}  # of a box, where no other box lies on it
SEARCH, SPEED = "find a place by name or address", "speed"
# What to type where neither an example beside the field nor the next number will always do.
VALID = {
    "cluster CIDR, if you know it": ("10.0.0.0/8", "10.0.0.0/7"),  # holds every dump's addresses, as the rule is
}
# Choices that mean nothing alone: this one stands for the text field beside its list.
SKIPPED = ["the address typed"]
# Looks and acts at once: a short journey may come to its end between the two, and a press would begin it again.
SWITCH_OFF = "part => { if (window.flannelvizControls.isOn(part)) part.click(); }"
Key = tuple[int, str, str, int]


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


class Area:
    """The output of a cell: everything that may follow when one of its controls is moved.

    The page knows it by the part that was moved, even if a widget has drawn another one in its place.
    """

    def __init__(self, page: Page, element: ElementHandle) -> None:
        self.page = page
        self.element = element

    def shown(self, selector: str) -> int:
        """Return a number for what all parts of one kind show: 0 for nothing, another one for each other sight."""
        return int(self.page.evaluate("of => window.flannelvizControls.shown(...of)", [self.element, selector]))

    def follows(self, selector: str, before: int) -> bool:
        """Return whether the parts of one kind are soon no longer what they were `before`."""
        return self.soon("follows", selector, before)

    def soon(self, condition: str, *arguments: object) -> bool:
        """Return whether one of the conditions of the script comes true before one loses patience."""
        script = f"of => window.flannelvizControls.{condition}(...of)"
        return bool(self.page.evaluate(script, [self.element, PATIENCE, *arguments]))


class Driver:
    """Moves the controls of one page, in rounds, so that "back" gets its turn after "next"."""

    def __init__(self, lab: LabPage) -> None:
        self.lab = lab
        self.page = lab.page
        self.moves: Counter[Key] = Counter()
        self.complaints: dict[Key, str] = {}
        self.final: set[Key] = set()  # questions that take the first answer as the last
        self.dumps = dumps()
        self.page.evaluate(SCRIPT)

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
        listed = json.loads(self.page.evaluate("() => JSON.stringify(window.flannelvizControls.list())"))
        return numbered(Control(index, **fields) for index, fields in enumerate(listed))

    def _is_done(self, key: Key, control: Control) -> bool:
        if control.kind in ON_THE_WAY or key in self.complaints or key in self.final:
            return True
        return self.moves[key] >= MOVES

    def _least_moved(self, keys: Iterable[Key]) -> Key:
        """Return the control to move next; the answers of a stage come first, since it goes no farther without."""
        return min(keys, key=lambda key: (key[1] != "choices", self.moves[key]))

    def _wake(self, asleep: Key, controls: dict[Key, Control]) -> None:
        """Bring a control that is disabled or hidden back to life: ask again, or use something else in its cell."""
        if controls[asleep].quiz and self.moves[asleep]:
            self._ask_again(asleep, controls)
            return
        cell = controls[asleep].cell
        neighbours = [key for key, other in controls.items() if other.cell == cell and other.can_wake]
        awake = [key for key in neighbours if key not in self.complaints and self.moves[key] < MOST_WAKES]
        if awake:
            self._move(self._least_moved(awake), controls)
        else:
            self.complaints[asleep] = f"{controls[asleep]} can never be used twice"

    def _ask_again(self, key: Key, controls: dict[Key, Control]) -> None:
        """Press the button that takes the answer away, if the question has one."""
        element, area = self._within("anyPart", key, controls)
        before = area.shown(ANSWER)
        buttons = self._confirmers(element)
        if not buttons:
            self.final.add(key)
        elif not any(self._pressed(button, area, ANSWER, before) for button in buttons):
            self.complaints[key] = f"{controls[key]} was answered, and cannot be asked again"

    def _move(self, key: Key, controls: dict[Key, Control]) -> None:
        control = controls[key]
        self.moves[key] += 1
        element, area = self._within("nextPart", key, controls)
        if missing := self._missing(control, element, area, self.moves[key]):
            self.complaints[key] = f"{control} was moved, and {missing}"
        else:
            self.lab.wait_for_kernel()
        if control.kind == "motion":
            element.evaluate(SWITCH_OFF)

    def _missing(self, control: Control, element: ElementHandle, area: Area, turn: int) -> str:
        """Use a control; return what should have followed and did not, or an empty text."""
        if control.kind == "disclosure":
            click(element)
            return ""
        if control.quiz:
            return "" if self._is_answered(control, element, area, turn) else "no answer near it changed"
        if control.kind == "upload":
            return self._missing_of_upload(element, area)
        if control.label == SPEED:
            return self._missing_of_speed(control, element, area, turn)
        fruit, before = fruit_of(control, area)
        self._act(control, element, turn)
        return "" if area.follows(fruit, before) else f"no {WORDS[fruit]} near it changed"

    def _is_answered(self, control: Control, element: ElementHandle, area: Area, turn: int) -> bool:
        """Answer a question, with its button if need be; a typed answer is a number or, if that is refused, an IP."""
        before = area.shown(ANSWER)
        for guess in (str(turn), f"172.16.8.{turn}") if control.kind == "text" else ("",):
            if guess:
                element.fill(guess)
            else:
                self._act(control, element, turn)
            area.soon("taken", ANSWER, before)
            self.lab.wait_for_kernel()  # until then the button that confirms may be asleep, and another one awake
            if area.shown(ANSWER) == before:
                alarm = area.shown(ALARM)
                any(self._is_heard(button, area, before, alarm) for button in self._confirmers(element))
            if area.shown(ANSWER) != before:
                return True
        return False

    def _is_heard(self, button: ElementHandle, area: Area, answer: int, alarm: int) -> bool:
        """Press a button; return whether an answer comes, or another message than before: none is only its end."""
        click(button)
        return area.soon("heard", ANSWER, answer, ALARM, alarm)

    def _pressed(self, button: ElementHandle, area: Area, selector: str, before: int) -> bool:
        click(button)
        return area.follows(selector, before)

    def _confirmers(self, element: ElementHandle) -> list[ElementHandle]:
        found = self.page.evaluate_handle("part => window.flannelvizControls.confirmers(part)", element)
        buttons = (one.as_element() for one in found.get_properties().values())
        return [button for button in buttons if button is not None]

    def _missing_of_upload(self, element: ElementHandle, area: Area) -> str:
        """Upload a file that cannot be read, which leaves the picture as it is, and then one that can."""
        picture, alarm = area.shown(PICTURE), area.shown(ALARM)
        self._choose_file(element, "routes.txt", NO_DUMP)
        if not area.follows(ALARM, alarm):
            return "no message says that the file is bad"
        self.lab.wait_for_kernel()
        if area.shown(PICTURE) != picture:
            return "a bad file changed the picture"
        table = area.shown(TABLE)
        self._choose_file(element, "dump.json", next(self.dumps))
        followed = area.follows(PICTURE, picture) and area.follows(TABLE, table)
        return "" if followed else "no picture or no table near it changed"

    def _missing_of_speed(self, control: Control, element: ElementHandle, area: Area, turn: int) -> str:
        """Choose another speed, and see that the stage plays."""
        act(control, element, turn)
        before = area.shown(PICTURE)
        play = element.evaluate_handle("part => part.parentElement.querySelector('.fv-play')").as_element()
        assert play is not None
        click(play)
        if not area.follows(PICTURE, before):
            return "no picture near it plays"
        play.evaluate(SWITCH_OFF)
        return ""

    def _choose_file(self, element: ElementHandle, name: str, text: str) -> None:
        with self.page.expect_file_chooser() as chooser:
            click(element)
        chooser.value.set_files({"name": name, "mimeType": "text/plain", "buffer": text.encode()})

    def _act(self, control: Control, element: ElementHandle, turn: int) -> None:
        if control.label == "dump":
            element.fill(next(self.dumps))
            element.press("Tab")
        elif control.label == SEARCH:
            element.fill(element.evaluate("(part, turn) => window.flannelvizControls.nameOfPlace(part, turn)", turn))
            element.press("Enter")
        else:
            act(control, element, turn)

    def _within(self, pick: str, key: Key, controls: dict[Key, Control]) -> tuple[ElementHandle, Area]:
        """Return a part of a control, in view, and the output around it; the page may draw it anew meanwhile."""
        script = f"index => window.flannelvizControls.within(window.flannelvizControls.{pick}, index)"
        for _ in range(TRIES):
            element = self.page.evaluate_handle(script, controls[key].index).as_element() if key in controls else None
            if element is not None:
                return element, Area(self.page, element)
            self.page.wait_for_timeout(100)
            controls = self.controls()
        raise AssertionError(f"{key} stays in no cell of the page")


def numbered(controls: Iterable[Control]) -> dict[Key, Control]:
    """Return `controls` by name; those of one name are told apart by their order."""
    seen: Counter[tuple[int, str, str]] = Counter()
    result: dict[Key, Control] = {}
    for control in controls:
        result[*control.name, seen[control.name]] = control
        seen[control.name] += 1
    return result


def fruit_of(control: Control, area: Area) -> tuple[str, int]:
    """Return what has to follow: the picture, or the table of a widget that has no picture, or what FRUIT says; and
    the number of what it shows now.
    """
    if control.label in FRUIT:
        fruit = FRUIT[control.label][0]
        return fruit, area.shown(fruit)
    picture = area.shown(PICTURE)
    table = 0 if picture else area.shown(TABLE)
    return (TABLE, table) if table else (PICTURE, picture)


def dumps() -> Iterator[str]:
    """Yield dumps of one real cluster, each with other addresses, so that each gives another picture."""
    text = json.dumps(json.loads(DUMP.read_text("utf-8")))  # Chromium takes half a minute to fill in a thousand lines
    for number in count():
        yield text.replace("10.244.", f"10.{100 + number}.") + " " * number


def act(control: Control, element: ElementHandle, turn: int) -> None:
    """Do what a person does with a control of this kind, for the `turn`-th time."""
    kind = control.kind
    if kind == "slider":
        element.press(away_from_the_end(element, "ArrowRight", "ArrowLeft"))
    elif kind == "number":
        element.press(away_from_the_end(element, "ArrowUp", "ArrowDown"))
        element.press("Enter")
    elif kind == "select":
        script = "(select, skipped) => window.flannelvizControls.nextOption(select, skipped)"
        element.select_option(index=element.evaluate(script, SKIPPED))
    elif kind in {"text", "textarea"}:
        valid = VALID.get(control.label)
        element.fill(valid[turn % len(valid)] if valid else another(element, turn))
        element.press("Enter" if kind == "text" else "Tab")
    elif kind == "places":
        element.click(position=CORNER) if turn % 2 else element.press("Enter")
    elif kind in {"button", "motion", "choices", "radios", "checkbox"}:
        click(element)
    else:
        raise AssertionError(f"no idea how to move an {kind}; teach tests/browser/controls.py")


def click(element: ElementHandle) -> None:
    """Press the mouse on an element; Playwright waits for one that cannot be reached yet, and takes longer for each."""
    place = element.evaluate("part => window.flannelvizControls.middle(part)")
    frame = element.owner_frame()
    if place and frame:
        frame.page.mouse.click(*place)
    else:
        element.click()


def away_from_the_end(element: ElementHandle, up: str, down: str) -> str:
    """Return the key that moves a slider or a number field at all: up, unless it is at its end."""
    now = element.evaluate("element => window.flannelvizControls.range(element)")
    return down if now["max"] is not None and now["now"] >= now["max"] else up


def another(element: ElementHandle, turn: int) -> str:
    """Return a text other than the present one: an example that the field itself gives, or the next number."""
    placeholder = element.get_attribute("placeholder") or ""
    examples = [example for example in placeholder.split(", ") if " " not in example]
    return examples[turn % len(examples)] if len(examples) > 1 else edited(element.input_value())


def edited(text: str) -> str:
    """Return `text` with its last digit counted on: another address, another port, another name."""
    match = re.search(r"\d(?=\D*$)", text)
    if match is None:
        return f"{text}1"
    return f"{text[: match.start()]}{(int(match[0]) + 1) % 10}{text[match.end() :]}"
