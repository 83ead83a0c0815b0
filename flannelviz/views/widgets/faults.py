"""Break a copy of the network, and see the same journey before and after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import ipywidgets as widgets

from flannelviz.errors import FaultError
from flannelviz.model import INTERNET
from flannelviz.network import Network
from flannelviz.packet import Trace
from flannelviz.views.markup import plain, table_html
from flannelviz.views.scene import journey_says
from flannelviz.views.stage.script import Script
from flannelviz.views.stage.scripts import fault_script, first_difference, journey_drawing, journey_script
from flannelviz.views.stage.widget import Stage
from flannelviz.views.text import short_place
from flannelviz.views.theme import shorten
from flannelviz.views.widgets.ends import first_receiver, first_sender, last_known, places_of, without_address
from flannelviz.views.widgets.fields import dropdown
from flannelviz.views.widgets.panel import Field, controls, quietly
from flannelviz.views.widgets.staged import StagePanel

MOST_NAMES = 80  # columns that the possible targets take in a message
MOST_TRIED = 5  # targets of a fault that are tried to find one that applies
NONE_APPLIES = (
    "no fault can be put into this network: what faults change (routes, rules, VPC entries) is not in its input; "
    "`article()` has all of it"
)


class FaultExplorer(StagePanel):
    """One fault, one target, one journey: what it was, what it is, and at which hop they part.

    `faults`, `targets(network, fault)` and `break_network(network, fault, target)` are those of `flannelviz.faults`,
    `trace` the data plane's; `before` and `after` are the two Traces. The stage opens where they part.
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
        self.card = widgets.HTML()
        self._work_out()
        self.stage = Stage(self._script(), self._drawing)
        self._tell()
        fields = controls(self.fault_field, self.target_field, self.source_field, self.destination_field)
        super().__init__([fields, controls(self.broken), self.card])
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
        self._label()
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

    def _outcome(self) -> str:
        """Return the fault and what becomes of the journey."""
        said = journey_says(self.after)
        if not self.broken.value:
            return f"no fault: {said}"
        untouched = first_difference(self.before, self.after) is None
        rest = "; this fault does not touch this journey" if untouched else ""
        return f"{self.fault.value} at {short_place(self.target.value or '')}: {said}{rest}"

    def _label(self) -> None:
        self.broken.description = "fault is on" if self.broken.value else "fault is off"

    def _renew(self, field: Field) -> None:
        self._label()
        for one in (self.fault_field, self.target_field, self.source_field, self.destination_field):
            one.message.say("")
        self.attempt(field, self._redraw, "the stage shows the last journey that could be worked out")

    def _redraw(self) -> None:
        self._work_out()
        self.stage.show(self._script(), self._drawing)
        self._tell()

    def _work_out(self) -> None:
        """Send the packet through both networks; if one of them cannot be, nothing changes."""
        ends = self.source.value, self.destination.value
        fault = self.faults[self.fault.value]
        now = self._break(self.network, fault, self.target.value) if self.broken.value else self.network
        before, after = self._trace(self.network, *ends), self._trace(now, ends[0], self._receiver(now))
        self.now, self.before, self.after = now, before, replace(after, destination=ends[1])

    def _script(self) -> Script:
        """Return both journeys side by side; without a fault, the one that there is."""
        if not self.broken.value:
            return replace(journey_script(self.network, self.before), says=self._outcome())
        return fault_script((self.network, self.before), (self.now, self.after), self._outcome())

    def _drawing(self) -> str:
        return journey_drawing(self.now, self.after)

    def _tell(self) -> None:
        self.card.value = self._about(self.faults[self.fault.value])

    def _receiver(self, now: Network) -> str:
        """Return the chosen end, or the address that it had before, where the fault has left it without one."""
        return last_known(self.network, now, self.destination.value)

    def _about(self, fault: Any) -> str:
        where = f"at {short_place(self.target.value)}: " if self.target.value else ""
        rows = (
            ("who does it", fault.cause),
            ("what it changes", f"{where}{fault.change}"),
            ("what one sees", fault.symptom),
            ("what shows it", f"`{fault.command_at(self.now, self.target.value)}`"),
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
            return "the fault is off: the stage shows the network as it was"
        number = first_difference(self.before, self.after)
        if number is None:
            return "this fault does not touch this journey: the same at every hop; try other ends, or another target"
        hop = self.after.hops[number - 1] if number <= len(self.after.hops) else self.before.hops[number - 1]
        return f"the first difference is hop {number}, at {short_place(hop.place)}"


def fault_options(faults: Iterable[Any]) -> list[tuple[str, str]]:
    """Return the faults by name and in plain words, those of one kind of place together.

    The name comes first: it is what texts call a fault, and a closed list shows no more than the beginning.
    """
    kinds = list(dict.fromkeys(fault.target for fault in faults))
    ordered = sorted(faults, key=lambda fault: kinds.index(fault.target))
    return [(f"{fault.target}: {fault.name} ({plain(fault.change)})", fault.name) for fault in ordered]
