"""Send a packet from anywhere to anywhere, and walk with it hop by hop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import ipywidgets as widgets

from flannelviz.errors import UnknownPlaceError
from flannelviz.model import INTERNET
from flannelviz.network import Network
from flannelviz.packet import PING_SIZE, Trace
from flannelviz.views.stage.script import Question
from flannelviz.views.stage.widget import JourneyStage
from flannelviz.views.text import short_place
from flannelviz.views.widgets.ends import first_receiver, first_sender, places_of, without_address
from flannelviz.views.widgets.fields import NumberBox, dropdown, text_box
from flannelviz.views.widgets.panel import Field, controls, guarded, quietly
from flannelviz.views.widgets.staged import StagePanel

PORTS = {"icmp": 0, "tcp": 80, "udp": 53}  # what is asked for: an echo, a web page, a name
TYPED = ""  # the choice that stands for whatever is typed beside the list
MOST_CHOICES = 400  # of one list; whoever is further down is named in the text field


class TraceExplorer(StagePanel):
    """A packet there and back: choose both ends and the packet, in lists or in the picture, and walk with it.

    `trace` is the data plane's function. `questions` are asked on the first way that is shown.
    """

    stage: JourneyStage

    def __init__(
        self,
        network: Network,
        source: str = "",
        destination: str = "",
        *,
        trace: Callable[..., Trace],
        questions: Iterable[Question] = (),
    ) -> None:
        self.network, self._trace = network, trace
        self._make_ends(source, destination)
        self._make_packet()
        first = self._traced(self.source.value, self._to)
        self.stage = JourneyStage(network, first, self._sent, questions)
        super().__init__([controls(self.source_field, self.destination_field, self.address_field, self.packet)])
        self.destination_field.message.note(self._skipped)

    @property
    def journey(self) -> Trace:
        """Return the Trace that is shown."""
        assert self.stage.journey is not None, "a packet is always under way"
        return self.stage.journey

    def _make_ends(self, source: str, destination: str) -> None:
        places = places_of(self.network, "nobody can send")
        start = self.network.place(source) if source else first_sender(self.network, places)
        self._to = _end(self.network, destination or first_receiver(self.network, places, start))
        self._skipped = "" if destination else without_address(self.network, places, self._to)
        end = self._to if self._to in places else TYPED
        self._listed = INTERNET if self._to == INTERNET else end or first_receiver(self.network, places, start)
        self.source = dropdown("from", _options(places, start), value=start)
        further = [*_options(places, end), (INTERNET, INTERNET), ("the address typed", TYPED)]
        self.destination = dropdown("to", further, value=INTERNET if self._to == INTERNET else end)
        self.address = text_box("or address", "" if end else self._to, placeholder="172.16.8.2, 8.8.8.8, a name")
        self.source_field, self.destination_field = Field(self.source), Field(self.destination)
        self.address_field = Field(self.address)
        self.source.observe(self._on_source, names="value")
        self.destination.observe(self._on_destination, names="value")
        self.address.observe(self._on_address, names="value")

    def _make_packet(self) -> None:
        self.proto = dropdown("protocol", [("icmp (ping)", "icmp"), ("tcp, port 80", "tcp"), ("udp, port 53", "udp")])
        self.ttl = NumberBox("ttl", 64, 1, 255, "fits the header's eight bits")
        self.size = NumberBox("size, bytes", PING_SIZE, 28, 65535, "fits one IPv4 packet")
        self.packet_field = Field(controls(self.proto, self.ttl, self.size))
        for control in (self.proto, self.ttl, self.size):
            control.observe(self._on_packet, names="value")
        self.packet = widgets.Accordion([self.packet_field], titles=["the packet: protocol, ttl, size"])

    def _on_source(self, _change: object) -> None:
        self._renew(self.source_field, self._to)

    def _on_destination(self, _change: object) -> None:
        chosen = self.destination.value
        self._renew(self.destination_field if chosen else self.address_field, chosen)

    def _on_address(self, _change: object) -> None:
        self._renew(self.address_field, self.address.value.strip() or self._listed)

    @guarded
    def _on_packet(self, _change: object) -> None:
        settled = " ".join(filter(None, (box.settle(self._on_packet) for box in (self.ttl, self.size))))
        self._renew(self.packet_field, self._to)
        if settled:
            self.packet_field.message.note(settled)

    def _renew(self, field: Field, destination: str) -> None:
        field.message.say("")
        self.attempt(field, lambda: self._travel(destination), f"the picture still shows {self.says}")

    def _travel(self, destination: str) -> None:
        """Show the journey to `destination`; if there is none, nothing changes."""
        if not destination:
            raise UnknownPlaceError("type an address such as 172.16.8.2, or the name of a pod or node")
        self.stage.travel(self.source.value, destination)

    def _sent(self, _network: Network, source: str, destination: str) -> Trace:
        """Return the journey, chosen here or in the picture, and let all controls say what is shown."""
        journey = self._traced(source, destination)
        self._to = destination
        if any(value == destination for _, value in self.destination.options):
            self._listed = destination
        self._agree(journey.source)
        return journey

    def _traced(self, source: str, destination: str) -> Trace:
        """Return the journey of the chosen packet, its end called as it was chosen."""
        proto = self.proto.value
        options = {"proto": proto, "dport": PORTS[proto], "ttl": self.ttl.number, "size": self.size.number}
        return replace(self._trace(self.network, source, destination, **options), destination=destination)

    def _agree(self, source: str) -> None:
        """Let the controls of both ends say what the picture shows, and take back what was wrong."""
        listed = any(value == self._to for _, value in self.destination.options)
        with quietly(self.destination, self._on_destination), quietly(self.address, self._on_address):
            self.destination.value, self.address.value = (self._to, "") if listed else (TYPED, self._to)
        with quietly(self.source, self._on_source):
            if all(value != source for _, value in self.source.options):
                self.source.options = [*self.source.options, (short_place(source), source)]
            self.source.value = source
        for field in (self.source_field, self.destination_field, self.address_field, self.packet_field):
            field.message.say("")


def _options(places: list[str], chosen: str) -> list[tuple[str, str]]:
    listed = dict.fromkeys([*places[:MOST_CHOICES], *([chosen] if chosen else [])])
    return [(short_place(place), place) for place in listed]


def _end(network: Network, destination: str) -> str:
    """Return the full name of a destination; what is no name is an address, or wrong."""
    try:
        return network.place(destination)
    except UnknownPlaceError:
        return destination
