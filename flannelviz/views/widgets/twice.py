"""The same ping twice: what the model says of it, and what a real kernel did with it, the network whole or broken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import ipywidgets as widgets

from flannelviz.errors import FaultError
from flannelviz.model import INTERNET
from flannelviz.network import Network
from flannelviz.packet import Trace
from flannelviz.views.markup import table_html
from flannelviz.views.stage.scripts import journey_drawing
from flannelviz.views.stage.widget import Stage
from flannelviz.views.text import short_place
from flannelviz.views.widgets.ends import first_receiver, first_sender, last_known, places_of
from flannelviz.views.widgets.faults import fault_options
from flannelviz.views.widgets.fields import dropdown
from flannelviz.views.widgets.fleeting import Fleeting
from flannelviz.views.widgets.pair import Pair, instances, pair_html, pair_script, pair_table
from flannelviz.views.widgets.panel import Field, Panel, Still, controls, quietly
from flannelviz.views.widgets.predict import Predict

NO_FAULT = ""
ARRIVES, REPLY_LOST, REQUEST_LOST = (
    "Both say: request and reply arrive",
    "Both say: the request arrives, the reply is lost",
    "Both say: the request is lost",
)
PARTS = "They part: the model says one thing, the kernel does another"
# (what is so, what was chosen) -> the misconception behind it
MISCONCEPTIONS: Mapping[tuple[str, str], str] = {
    (ARRIVES, REPLY_LOST): (
        "A ping needs both ways, and you have found one of them in danger. But a fault harms only who meets it: name "
        "the table of the way back that has changed."
    ),
    (ARRIVES, REQUEST_LOST): (
        "Broken somewhere is not broken here. A fault harms only who meets it: follow the request from place to place, "
        "and name the table that has changed."
    ),
    (REPLY_LOST, ARRIVES): (
        "You have followed the request, and it does arrive. The reply is a packet of its own: other tables are asked, "
        "and other rows answer."
    ),
    (REPLY_LOST, REQUEST_LOST): (
        "Whoever pings sees the same loss, so one takes the request for dead. But on its way nothing asks for what is "
        "broken."
    ),
    (REQUEST_LOST, ARRIVES): (
        "You count on another row to do the same. Look at what is asked on the way there: what is broken, or what "
        "takes its place, does not lead to the receiver."
    ),
    (REQUEST_LOST, REPLY_LOST): (
        "Only who has received something replies. The request meets what is broken before the reply could."
    ),
}
TRUST = (
    "A model that has forgotten a table, or asks them in another order, would part from the kernel just here. "
    "This one reads the tables that the kernel reads, in the kernel's order."
)


class Asked(Protocol):
    """Whoever tells what a kernel did: `flannelviz.kernel.Witness`."""

    @property
    def says(self) -> str:
        """Return which kernel answered."""

    def trace(self, source: str, destination: str, *, fault: str = "", target: str = "") -> Trace:
        """Return what it did with a ping."""


class Acts(NamedTuple):
    """What the widget acts through: the model's trace, where two traces part, and the faults."""

    trace: Callable[..., Trace]
    parting: Callable[[Trace, Trace], Any]
    faults: Sequence[Any]
    targets: Callable[[Network, Any], Sequence[str]]
    break_network: Callable[[Network, Any, str], Network]


class Both(widgets.VBox):
    """A pair of traces, hop beside hop, and a stage with the model's way through the network."""

    def __init__(self) -> None:
        self.source, self.result, self.table = Fleeting(), widgets.HTML(), widgets.HTML()
        self.stage: Stage | None = None
        self.slot = widgets.VBox([])
        super().__init__([self.result, self.source, self.table, self.slot])

    def show(self, network: Network, pair: Pair, about: str) -> None:
        """Show `pair`, and on the stage the model's way through `network`."""
        script = pair_script(network, pair, f"The way as the model says it: {about}")

        def drawing() -> str:
            return journey_drawing(network, pair.model)

        if self.stage is None:
            self.stage = Stage(script, drawing)
            self.slot.children = (self.stage,)
        else:
            self.stage.show(script, drawing)
        self.pair, self.result.value, self.table.value = pair, pair_html(pair), pair_table(pair)

    def drawing(self) -> str:
        """Return the network with the whole of the model's way."""
        return self.stage.drawing() if self.stage else ""


class Twice(Panel):
    """Choose a ping, and a fault if you like; see what the model says of it beside what the kernel did.

    With `guess`, one first has to say what will become of it. `stale` gives the model the network without the fault,
    as if nobody had told it. `kernel` is whom to ask; `acts` are the functions of both planes.
    """

    def __init__(
        self,
        network: Network,
        source: str = "",
        destination: str = "",
        *,
        kernel: Asked,
        acts: Acts,
        fault: str = NO_FAULT,
        target: str = "",
        guess: bool = False,
        stale: bool = False,
    ) -> None:
        self.network, self.kernel, self.acts, self.guess, self.stale = network, kernel, acts, guess, stale
        self.faults = {one.name: one for one in acts.faults}
        self._make_controls(source, destination, fault, target)
        self.both, self.about, self.slot = Both(), widgets.HTML(), widgets.VBox([])
        self.quiz: Predict | None = None
        fault, ends = controls(self.fault_field, self.target_field), controls(self.source_field, self.destination_field)
        super().__init__([fault, ends, self.about, self.slot])
        self._ask()

    def _make_controls(self, source: str, destination: str, fault: str, target: str) -> None:
        places = places_of(self.network, "nothing travels")
        names = [(short_place(place), place) for place in places]
        start = self.network.place(source) if source else first_sender(self.network, places)
        end = self.network.place(destination or first_receiver(self.network, places, start))
        if fault and fault not in self.faults:
            raise FaultError(f"there is no fault called {fault!r}; there are {', '.join(self.faults)}")
        none = [] if self.guess else [("none: the network as it was built", NO_FAULT)]
        options = [*none, *fault_options(self.faults.values())]
        self.fault = dropdown("fault", options, value=fault or options[0][1], width="32em")
        self.target = dropdown("where", [])
        self.source = dropdown("from", names, value=start)
        self.destination = dropdown("to", [*names, (INTERNET, INTERNET)], value=end)
        self.fault_field, self.target_field = Field(self.fault, wide=True), Field(self.target)
        self.source_field, self.destination_field = Field(self.source), Field(self.destination)
        self._offer_targets(target)
        self.fault.observe(self._on_fault, names="value")
        for control in (self.target, self.source, self.destination):
            control.observe(self._on_choice, names="value")

    def _offer_targets(self, target: str = "") -> None:
        fault = self.faults.get(self.fault.value)
        possible = self.acts.targets(self.network, fault) if fault else ()
        wanted = self.network.place(target) if target else next(iter(possible), None)
        if target and wanted not in possible:
            named = ", ".join(map(short_place, possible)) or "nowhere"
            raise FaultError(f"{self.fault.value or 'no fault'} cannot be put at {target}; possible here: {named}")
        self.target.options = [(short_place(place), place) for place in possible]
        self.target.value = wanted
        self.target.disabled = len(possible) < 2

    @property
    def says(self) -> str:
        """Return what is sent through which network, and unless it has to be guessed, what became of it."""
        return self._sent_says if self.guess else f"{self._sent_says}. {self.both.pair.says}"

    @property
    def _asked(self) -> str:
        with_fault = f"with {self._broken_says}" if self.fault.value else "in the network as it was built"
        return f"{short_place(self.source.value)} pings {short_place(self.destination.value)} {with_fault}"

    @property
    def _broken_says(self) -> str:
        where = f" at {short_place(self.target.value)}" if self.target.value else ""
        return f"{self.fault.value}{where}"

    def still(self) -> Still:
        """Return the whole way and the table of both; of what has to be guessed, only what is asked."""
        if self.guess:
            return Still(self.says, "", self.about.value)
        pair = self.both.pair
        return Still(self.says, self.both.drawing(), pair_table(pair))

    def _on_fault(self, _change: object) -> None:
        with quietly(self.target, self._on_choice):
            self._offer_targets()
        self._renew(self.fault_field)

    def _on_choice(self, change: Any) -> None:
        fields = (self.target_field, self.source_field, self.destination_field)
        self._renew(next(field for field in fields if field.control is change["owner"]))

    def _renew(self, field: Field) -> None:
        for one in (self.fault_field, self.target_field, self.source_field, self.destination_field):
            one.message.say("")
        self.attempt(field, self._ask, "below is the last ping that could be sent")

    def _ask(self) -> None:
        """Send the packet twice, and show that, or ask first what will be seen."""
        now, pair = self._sent()
        self._sent_says = self._asked
        self.about.value = self._about()
        if not self.guess:
            self.slot.children = (self.both,)
        elif self.quiz is None:
            self.quiz = Predict(*self._question(pair), right=outcome(pair), reveal=self.both)
            self.slot.children = (self.quiz,)
        else:
            self.quiz.ask(*self._question(pair), right=outcome(pair))
        unaware = ", of which the model was not told" if self.stale and self.fault.value else ""
        self.both.show(now, pair, f"{self._asked}{unaware}")
        self.both.source.say(self.kernel.says)

    def _sent(self) -> tuple[Network, Pair]:
        fault, target = self.fault.value, self.target.value or ""
        ends = self.source.value, self.destination.value
        broken = self.acts.break_network(self.network, self.faults[fault], target) if fault else self.network
        known = self.network if self.stale else broken
        model = self.acts.trace(known, ends[0], last_known(self.network, known, ends[1]))
        model = replace(model, destination=ends[1])
        kernel = self.kernel.trace(*ends, fault=fault, target=target)
        return known, Pair(model, kernel, self.acts.parting(model, kernel), instances(self.network))

    def _about(self) -> str:
        fault = self.faults.get(self.fault.value)
        if fault is None:
            return ""
        where = f"at {short_place(self.target.value)}: " if self.target.value else ""
        told = [("the model is told", "nothing of it: it has the tables of before")] if self.stale else []
        rows = [
            ("who does it", fault.cause),
            ("what it changes", f"{where}{fault.change}"),
            *told,
            ("the ping", f"{short_place(self.source.value)} to {short_place(self.destination.value)}"),
        ]
        return table_html(fault.name, ("", ""), rows)

    def _question(self, pair: Pair) -> tuple[str, Mapping[object, str]]:
        """Return what is asked about a pair, and each choice with what is to be said about it."""
        right = outcome(pair)
        texts: dict[object, str] = {
            choice: _misconception(right, choice) for choice in (ARRIVES, REPLY_LOST, REQUEST_LOST, PARTS)
        }
        texts[right] = f"What one sees of this fault: {self.faults[self.fault.value].symptom}."
        return f"{self._asked}. What do model and kernel say?", texts


def outcome(pair: Pair) -> str:
    """Return the choice that is right for a pair of traces."""
    if pair.parting is not None:
        return PARTS
    if pair.kernel.ok:
        return ARRIVES
    return REPLY_LOST if pair.kernel.reply else REQUEST_LOST


def _misconception(right: str, chosen: str) -> str:
    return MISCONCEPTIONS.get((right, chosen), TRUST)
