"""Send a packet from anywhere to anywhere, and walk with it hop by hop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import ipywidgets as widgets

from flannelviz.errors import UnknownPlaceError
from flannelviz.model import INTERNET
from flannelviz.network import Network
from flannelviz.packet import PING_SIZE, Trace
from flannelviz.views.scene import journey_says, scene
from flannelviz.views.svg import svg
from flannelviz.views.text import short_place
from flannelviz.views.widgets.cards import hop_card, hop_line, result_html, trace_table
from flannelviz.views.widgets.ends import first_receiver, first_sender, places_of, without_address
from flannelviz.views.widgets.fields import NumberBox, dropdown, text_box
from flannelviz.views.widgets.panel import Field, Panel, Still, beside, controls, guarded, picture_html, quietly
from flannelviz.views.widgets.steps import Steps

PORTS = {"icmp": 0, "tcp": 80, "udp": 53}  # what is asked for: an echo, a web page, a name
TYPED = ""  # the choice that stands for whatever is typed beside the list
MOST_CHOICES = 400  # of one list; whoever is further down is named in the text field


class TraceExplorer(Panel):
    """A packet there and back: choose both ends and the packet, then step from hop to hop.

    `trace` is the data plane's function; `journey` the Trace that is shown.
    """

    def __init__(
        self, network: Network, source: str = "", destination: str = "", *, trace: Callable[..., Trace]
    ) -> None:
        self.network, self._trace = network, trace
        self._make_ends(source, destination)
        self._make_packet()
        self.steps = Steps("hop", self._on_hop)
        self.slider = self.steps.slider
        self.result, self.line, self.screen, self.card, self.table = (widgets.HTML() for _ in range(5))
        ends = controls(self.source_field, self.destination_field, self.address_field, self.packet)
        walk = beside([self.steps, self.line, self.card], [self.screen])
        super().__init__([ends, self.result, walk, self.table])
        self._travel(self._to)
        self.destination_field.message.note(self._skipped)

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

    @property
    def says(self) -> str:
        """Return the outcome of the journey in one sentence."""
        return journey_says(replace(self.journey, destination=self._to))

    @property
    def picture(self) -> str:
        """Return the network with the way up to the present hop lit."""
        return svg(scene(self.network, trace=self.journey), hop=self.steps.value)

    @property
    def twin(self) -> str:
        """Return the journey as a table."""
        return trace_table(self.journey, self.steps.value)

    def still(self) -> Still:
        """Return the whole way, every hop lit, and the whole journey as a table."""
        return Still(self.says, svg(scene(self.network, trace=self.journey)), trace_table(self.journey))

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

    @guarded
    def _on_hop(self, _change: object) -> None:
        self._draw_hop()

    def _renew(self, field: Field, destination: str) -> None:
        field.message.say("")
        self.attempt(field, lambda: self._travel(destination), f"the picture still shows {self.says}")

    def _travel(self, destination: str) -> None:
        """Show the journey to `destination`; if there is none, nothing changes."""
        self.journey = self._traced(destination)
        self._to = destination
        if any(value == destination for _, value in self.destination.options):
            self._listed = destination
        self._agree()
        self.steps.span(1, len(self.journey.hops), 1)
        self.result.value = result_html(self.journey, self.says)
        self._draw_hop()

    def _traced(self, destination: str) -> Trace:
        if not destination:
            raise UnknownPlaceError("type an address such as 172.16.8.2, or the name of a pod or node")
        proto = self.proto.value
        options = {"proto": proto, "dport": PORTS[proto], "ttl": self.ttl.number, "size": self.size.number}
        return self._trace(self.network, self.source.value, destination, **options)

    def _agree(self) -> None:
        """Let the controls of the destination say what the picture shows, and take back what was wrong."""
        listed = any(value == self._to for _, value in self.destination.options)
        with quietly(self.destination, self._on_destination), quietly(self.address, self._on_address):
            self.destination.value, self.address.value = (self._to, "") if listed else (TYPED, self._to)
        for field in (self.source_field, self.destination_field, self.address_field, self.packet_field):
            field.message.say("")

    def _draw_hop(self) -> None:
        number = self.steps.value
        line, card = hop_line(self.journey, number), hop_card(self.journey, number)
        picture, table = picture_html(self.picture), self.twin
        self.line.value, self.screen.value, self.card.value, self.table.value = line, picture, card, table


def _options(places: list[str], chosen: str) -> list[tuple[str, str]]:
    listed = dict.fromkeys([*places[:MOST_CHOICES], *([chosen] if chosen else [])])
    return [(short_place(place), place) for place in listed]


def _end(network: Network, destination: str) -> str:
    """Return the full name of a destination; what is no name is an address, or wrong."""
    try:
        return network.place(destination)
    except UnknownPlaceError:
        return destination
