"""Break a copy of the network, and see the same journey before and after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import ipywidgets as widgets

from flannelviz.errors import FaultError
from flannelviz.model import INTERNET
from flannelviz.network import Network
from flannelviz.packet import Disposition, Trace
from flannelviz.views.scene import journey_says, scene
from flannelviz.views.svg import svg
from flannelviz.views.text import short_place
from flannelviz.views.theme import shorten
from flannelviz.views.widgets.cards import because_text, hop_line, hop_numbers, result_html
from flannelviz.views.widgets.ends import first_receiver, first_sender, last_known, places_of, without_address
from flannelviz.views.widgets.fields import dropdown
from flannelviz.views.widgets.panel import (
    Field,
    Panel,
    Still,
    beside,
    controls,
    guarded,
    picture_html,
    plain,
    quietly,
    table_html,
)
from flannelviz.views.widgets.steps import Steps

MARK = "\N{BLACK RIGHT-POINTING TRIANGLE}"  # of the row in which two journeys part
LINE = "\n"
MOST_NAMES = 80  # columns that the possible targets take in a message
MOST_TRIED = 5  # targets of a fault that are tried to find one that applies
NONE_APPLIES = (
    "no fault can be put into this network: what faults change (routes, rules, VPC entries) is not in its input; "
    "`article()` has all of it"
)


class FaultExplorer(Panel):
    """One fault, one target, one journey: what it was, what it is, and at which hop they part.

    `faults`, `targets(network, fault)` and `break_network(network, fault, target)` are those of `flannelviz.faults`,
    `trace` the data plane's; `before` and `after` are the two Traces. The picture walks along `after`, from its end.
    """

    def __init__(
        self,
        network: Network,
        source: str = "",
        destination: str = "",
        *,
        faults: Sequence[Any],
        targets: Callable[[Network, Any], Sequence[str]],
        break_network: Callable[[Network, Any, str], Network],
        trace: Callable[..., Trace],
        fault: str = "",
        target: str = "",
    ) -> None:
        self.network, self._targets, self._break, self._trace = network, targets, break_network, trace
        self.faults = {one.name: one for one in faults}
        self._make_controls(source, destination, fault)
        if target:
            self._aim(target)
        self._observe()
        self.steps = Steps("hop", self._on_hop)
        self.slider = self.steps.slider
        self.result, self.card, self.columns, self.line, self.screen = (widgets.HTML() for _ in range(5))
        fields = controls(self.fault_field, self.target_field, self.source_field, self.destination_field)
        walk = beside([self.result, self.card, self.columns], [self.steps, self.line, self.screen])
        super().__init__([fields, controls(self.broken), walk])
        self._redraw()
        self.fault_field.message.note(self._chosen_says)
        self.destination_field.message.note(self._skipped)

    def _make_controls(self, source: str, destination: str, fault: str) -> None:
        places = places_of(self.network, "nothing travels")
        names = [(short_place(place), place) for place in places]
        start = self.network.place(source) if source else first_sender(self.network, places)
        end = self.network.place(destination or first_receiver(self.network, places, start))
        self._skipped = "" if destination else without_address(self.network, places, end)
        chosen = self._called(fault) if fault else self._first_that_applies()
        self._chosen_says = "" if chosen else NONE_APPLIES
        first = chosen or next(iter(self.faults.values()))
        self.fault = dropdown("fault", fault_options(self.faults.values()), value=first.name, width="32em")
        self.target = dropdown("where", [])
        self.source = dropdown("from", names, value=start)
        self.destination = dropdown("to", [*names, (INTERNET, INTERNET)], value=end)
        self.broken = widgets.ToggleButton(chosen is not None, tooltip="switch the fault on and off")
        self.fault_field, self.target_field = Field(self.fault, wide=True), Field(self.target)
        self.source_field, self.destination_field = Field(self.source), Field(self.destination)
        self._offer_targets()

    def _called(self, name: str) -> Any:
        if name not in self.faults:
            raise FaultError(f"there is no fault called {name!r}; there are {', '.join(self.faults)}")
        return self.faults[name]

    def _first_that_applies(self) -> Any:
        """Return the first fault that this network can have at one of its first targets, or None."""
        return next((fault for fault in self.faults.values() if self._applies(fault)), None)

    def _applies(self, fault: Any) -> bool:
        for target in tuple(self._targets(self.network, fault))[:MOST_TRIED]:
            try:
                self._break(self.network, fault, target)
            except FaultError:
                continue
            return True
        return False

    def _aim(self, target: str) -> None:
        """Put the fault where the caller wants it. Raises: FaultError if it cannot be there."""
        place = self.network.place(target)
        possible = [place for _, place in self.target.options]
        if place not in possible:
            names = shorten(", ".join(map(short_place, possible)) or "nowhere", MOST_NAMES)
            raise FaultError(f"{self.fault.value} cannot be put at {target}; possible here: {names}")
        self.target.value = place

    def _observe(self) -> None:
        self.fault.observe(self._on_fault, names="value")
        self.target.observe(self._on_target, names="value")
        self.source.observe(lambda _: self._renew(self.source_field), names="value")
        self.destination.observe(lambda _: self._renew(self.destination_field), names="value")
        self.broken.observe(lambda _: self._renew(self.fault_field), names="value")

    def _on_fault(self, _change: object) -> None:
        with quietly(self.target, self._on_target):
            self._offer_targets()
        self._renew(self.fault_field)

    def _on_target(self, _change: object) -> None:
        self._renew(self.target_field)

    def _offer_targets(self) -> None:
        possible = self._targets(self.network, self.faults[self.fault.value])
        self.target.options = [(short_place(place), place) for place in possible]
        self.target.value = possible[0] if possible else None
        self.target.disabled = len(possible) < 2

    @property
    def says(self) -> str:
        """Return the fault and what becomes of the journey."""
        if not self.broken.value:
            return f"no fault: {self._outcome(self.after)}"
        untouched = first_difference(self.before, self.after) is None
        rest = "; this fault does not touch this journey" if untouched else ""
        return f"{self.fault.value} at {short_place(self.target.value or '')}: {self._outcome(self.after)}{rest}"

    @property
    def picture(self) -> str:
        """Return the network as it is now, with the way of the packet lit up to the present hop."""
        return svg(scene(self.now, trace=self.after), hop=self.steps.value)

    @property
    def twin(self) -> str:
        """Return both journeys as one table, so that hop stands beside hop."""
        number = first_difference(self.before, self.after)
        lines = _lines(self.before, self.after, number)
        rows = (_pair(self.before, self.after, line, line == number) for line in lines)
        head = ("hop", f"before: {self._outcome(self.before)}", f"after: {self._outcome(self.after)}")
        return table_html("The journey before and after", head, rows, lines.index(number) if number else None)

    def still(self) -> Still:
        """Return the whole way through the network as it is now, and both journeys as tables."""
        return Still(self.says, svg(scene(self.now, trace=self.after)), self.twin)

    def _outcome(self, trace: Trace) -> str:
        """Return what became of a journey, its end called as it was chosen."""
        return journey_says(replace(trace, destination=self.destination.value))

    def _renew(self, field: Field) -> None:
        for one in (self.fault_field, self.target_field, self.source_field, self.destination_field):
            one.message.say("")
        self.attempt(field, self._redraw, "the picture shows the last journey that could be worked out")

    def _redraw(self) -> None:
        ends = self.source.value, self.destination.value
        fault = self.faults[self.fault.value]
        now = self._break(self.network, fault, self.target.value) if self.broken.value else self.network
        before, after = self._trace(self.network, *ends), self._trace(now, ends[0], self._receiver(now))
        self.now, self.before, self.after = now, before, after
        self.broken.description = "fault is on" if self.broken.value else "fault is off"
        self.result.value = result_html(self.after, self.says)
        self.card.value, self.columns.value = self._about(fault), self.twin
        self.steps.span(1, len(after.hops), len(after.hops))
        self._draw_hop()

    @guarded
    def _on_hop(self, _change: object) -> None:
        self._draw_hop()

    def _draw_hop(self) -> None:
        line, picture = hop_line(self.after, self.steps.value), picture_html(self.picture)
        self.line.value, self.screen.value = line, picture

    def _receiver(self, now: Network) -> str:
        """Return the chosen end, or the address that it had before, where the fault has left it without one."""
        return last_known(self.network, now, self.destination.value)

    def _about(self, fault: Any) -> str:
        where = f"at {short_place(self.target.value)}: " if self.target.value else ""
        rows = (
            ("who does it", fault.cause),
            ("what it changes", f"{where}{fault.change}"),
            ("what one sees", fault.symptom),
            ("what shows it", f"`{fault.command}`"),
            ("this journey", self._compared() + self._lost_address()),
        )
        return table_html(f"{fault.name}{'' if self.broken.value else ' (off)'}", ("", ""), rows)

    def _lost_address(self) -> str:
        """Return that the receiver has no address any more, and which one is asked for, or an empty text."""
        asked = self._receiver(self.now)
        if asked == self.destination.value:
            return ""
        return f"; {short_place(self.destination.value)} has no address now, so the packet is for the old one, {asked}"

    def _compared(self) -> str:
        if not self.broken.value:
            return "the fault is off: both columns show the network as it was"
        number = first_difference(self.before, self.after)
        if number is None:
            return "this fault does not touch this journey: the same at every hop; try other ends, or another target"
        hop = self.after.hops[number - 1] if number <= len(self.after.hops) else self.before.hops[number - 1]
        return f"the first difference is hop {number}, at {short_place(hop.place)}: {MARK} below"


def fault_options(faults: Iterable[Any]) -> list[tuple[str, str]]:
    """Return the faults in plain words, those of one kind of place together, each with its name."""
    kinds = list(dict.fromkeys(fault.target for fault in faults))
    ordered = sorted(faults, key=lambda fault: kinds.index(fault.target))
    return [(f"{fault.target}: {plain(fault.change)} ({fault.name})", fault.name) for fault in ordered]


def _lines(before: Trace, after: Trace, number: int | None) -> list[int | str]:
    """Return the numbers of the hops to list: those of the longer journey, and the first that differs."""
    longer = max(before, after, key=lambda trace: len(trace.hops))
    return list(hop_numbers(longer, number))


def _pair(before: Trace, after: Trace, line: int | str, differs: bool) -> Sequence[object]:
    if isinstance(line, str):
        return line, "", ""
    mark = f"{MARK}\N{NO-BREAK SPACE}" if differs else ""
    return f"{mark}{line}", _told(before, line), _told(after, line)


def _told(trace: Trace, number: int) -> str:
    if number > len(trace.hops):
        return ""
    hop = trace.hops[number - 1]
    back = ", on the way back" if number > len(trace.request) else ""
    lost = hop.disposition not in (Disposition.FORWARDED, Disposition.ACCEPTED)
    why = hop.deciding_step.says if lost and hop.deciding_step else because_text(hop)
    return f"{short_place(hop.place)}{back}: {hop.disposition.value}{LINE}{why}"


def first_difference(before: Trace, after: Trace) -> int | None:
    """Return the number of the first hop at which two journeys part, counted from 1, or None if they are the same."""
    for number, (one, other) in enumerate(zip(before.hops, after.hops), 1):
        if (one.place, one.disposition, one.because) != (other.place, other.disposition, other.because):
            return number
    shorter, longer = sorted((len(before.hops), len(after.hops)))
    return None if shorter == longer else shorter + 1
