"""Break a copy of the network, and see the same journey before and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import ipywidgets as widgets

from flannelviz.errors import FaultError, UnknownPlaceError
from flannelviz.model import INTERNET
from flannelviz.network import Network
from flannelviz.packet import Hop, Trace
from flannelviz.views.rowtext import row_text
from flannelviz.views.scene import journey_says, scene
from flannelviz.views.svg import svg
from flannelviz.views.text import short_place
from flannelviz.views.theme import shorten
from flannelviz.views.widgets.cards import hop_line, result_html
from flannelviz.views.widgets.panel import Field, Panel, Still, controls, guarded, picture_html, quietly, table_html
from flannelviz.views.widgets.steps import Steps, dropdown

MARK = "\N{BLACK RIGHT-POINTING TRIANGLE}"  # of the row in which two journeys part
MOST_NAMES = 80  # columns that the possible targets take in a message


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
        told = (self.result, self.card, self.columns)
        super().__init__([fields, controls(self.broken), *told, self.steps, self.line, self.screen])
        self._redraw()

    def _make_controls(self, source: str, destination: str, fault: str) -> None:
        places = [*self.network.pods, *self.network.ecs_places()]
        if not places:
            raise UnknownPlaceError("this network has no pod and no node, so nothing travels; build it further first")
        names = [(short_place(place), place) for place in places]
        start, end = self.network.place(source or places[0]), self.network.place(destination or places[-1])
        self.fault = dropdown("fault", list(self.faults), value=fault or next(iter(self.faults)))
        self.target = dropdown("where", [])
        self.source = dropdown("from", names, value=start)
        self.destination = dropdown("to", [*names, (INTERNET, INTERNET)], value=end)
        self.broken = widgets.ToggleButton(True, description="fault is on", tooltip="switch the fault on and off")
        self.fault_field, self.target_field = Field(self.fault), Field(self.target)
        self.source_field, self.destination_field = Field(self.source), Field(self.destination)
        self._offer_targets()

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
        return f"{self.fault.value} at {short_place(self.target.value or '')}: {self._outcome(self.after)}"

    @property
    def picture(self) -> str:
        """Return the network as it is now, with the way of the packet lit up to the present hop."""
        return svg(scene(self.now, trace=self.after), hop=self.steps.value)

    @property
    def twin(self) -> str:
        """Return both journeys as tables."""
        return f'<div class="fv-columns">{self._column("before", self.before)}{self._column("after", self.after)}</div>'

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
        before, after = self._trace(self.network, *ends), self._trace(now, *ends)
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

    def _about(self, fault: Any) -> str:
        rows = (
            ("who does it", fault.cause),
            ("what it changes", f"at {short_place(self.target.value or '')}: {fault.change}"),
            ("what one sees", fault.symptom),
            ("what shows it", f"`{fault.command}`"),
            ("this journey", self._compared()),
        )
        return table_html(f"{fault.name}{'' if self.broken.value else ' (off)'}", ("", ""), rows)

    def _compared(self) -> str:
        if not self.broken.value:
            return "the fault is off: both columns show the healthy network"
        number = first_difference(self.before, self.after)
        if number is None:
            return "the same at every hop: this fault does not touch it; try another journey, or another target"
        hop = self.after.hops[number - 1] if number <= len(self.after.hops) else self.before.hops[number - 1]
        return f"the first difference is hop {number}, at {short_place(hop.place)}: {MARK} below"

    def _column(self, name: str, trace: Trace) -> str:
        number = first_difference(self.before, self.after)
        rows = (_cells(hop, i, i == number) for i, hop in enumerate(trace.hops, 1))
        current = None if number is None else number - 1
        listed = table_html(f"{name}: {self._outcome(trace)}", ("hop", "place", "fate", "because"), rows, current)
        return f"<div>{listed}</div>"


def _cells(hop: Hop, number: int, differs: bool) -> Sequence[object]:
    step = hop.deciding_step
    lost = step.says if step and "forwarded" not in hop.disposition.value else ""
    mark = f"{MARK}\N{NO-BREAK SPACE}" if differs else ""
    return f"{mark}{number}", short_place(hop.place), hop.disposition.value, lost or f"`{row_text(hop.because)}`"


def first_difference(before: Trace, after: Trace) -> int | None:
    """Return the number of the first hop at which two journeys part, counted from 1, or None if they are the same."""
    for number, (one, other) in enumerate(zip(before.hops, after.hops), 1):
        if (one.place, one.disposition, one.because) != (other.place, other.disposition, other.because):
            return number
    shorter, longer = sorted((len(before.hops), len(after.hops)))
    return None if shorter == longer else shorter + 1
