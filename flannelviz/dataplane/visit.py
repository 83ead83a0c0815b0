"""One packet at one place while it is worked on: the packet as it is now, and the lookups so far. Private."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from typing import NamedTuple

from flannelviz.network import Network
from flannelviz.packet import AnyRow, Disposition, Flow, FlowKey, Hop, IcmpError, Learned, Packet, Step


class Memory:
    """What places learn while a trace runs: a copy of a `Learned` that may be written, and turned back into one."""

    __slots__ = ("fdb", "flows", "neighbors", "path_mtu")

    def __init__(self, learned: Learned) -> None:
        self.neighbors = dict(learned.neighbors)
        self.fdb = dict(learned.fdb)
        self.flows = dict(learned.flows)
        self.path_mtu = dict(learned.path_mtu)

    def learned(self) -> Learned:
        """Return what was learned, as a value."""
        return Learned(self.neighbors, self.fdb, self.flows, self.path_mtu)

    @contextmanager
    def lending(self, place: str, flow: Flow | None) -> Iterator[None]:
        """Let `place` know a flow for a while, in place of what it knew before."""
        before = self.flows
        if flow is not None:
            self.flows = before | {(place, key): flow for key in (flow.original, flow.reply)}
        yield
        if flow is not None:
            lent = [(place, key) for key in (flow.original, flow.reply)]
            learned = {key: found for key, found in self.flows.items() if key not in lent}
            self.flows = before | learned

    def track(self, place: str, original: FlowKey, reply: FlowKey) -> None:
        """Note a new flow at `place` under both of its directions."""
        flow = Flow(original, reply)
        self.flows[place, original] = self.flows[place, reply] = flow


class Connection(NamedTuple):
    """What conntrack found for a packet when it came in: its key, and the flow it belongs to; None for a new one."""

    key: FlowKey
    flow: Flow | None

    @property
    def is_reply(self) -> bool:
        """Return whether the packet goes against the direction in which the flow began."""
        return self.flow is not None and self.key != self.flow.original

    @property
    def _other(self) -> FlowKey:
        """Return the other direction's key: its source is this direction's destination, after all translation."""
        assert self.flow is not None, "a new packet has no flow yet"
        return self.flow.original if self.is_reply else self.flow.reply

    @property
    def destination(self) -> tuple[int, int]:
        """Return the address and port to which this direction goes in the end."""
        return self._other[1], self._other[2]

    @property
    def source(self) -> tuple[int, int]:
        """Return the address and port from which this direction comes in the end."""
        return self._other[3], self._other[4]

    @property
    def destination_changes(self) -> bool:
        """Return whether this direction's destination is rewritten here."""
        return self.destination != (self.key[3], self.key[4])

    @property
    def source_changes(self) -> bool:
        """Return whether this direction's source is rewritten here."""
        return self.source != (self.key[1], self.key[2])


class Visit:
    """A packet at one place; `forward` fills it in, `hop` makes it a value."""

    __slots__ = (
        "connection",
        "icmp",
        "in_dev",
        "memory",
        "network",
        "next",
        "next_dev",
        "out_dev",
        "packet",
        "place",
        "prerouted",
        "received",
        "steps",
    )

    def __init__(self, network: Network, place: str, packet: Packet, in_dev: str | None, memory: Memory) -> None:
        self.network = network
        self.place = place
        self.packet = self.received = packet
        self.in_dev = in_dev
        self.out_dev: str | None = None
        self.next: str | None = None
        self.next_dev: str | None = None
        self.icmp: IcmpError | None = None
        self.connection: Connection | None = None
        self.prerouted = False  # whether PREROUTING has seen it, at the bridge
        self.memory = memory
        self.steps: list[Step] = []

    def note(
        self,
        kind: str,
        saying: tuple[object, ...],
        row: AnyRow | None = None,
        runner_up: AnyRow | None = None,
        *,
        now: Packet | None = None,
        asking: tuple[object, ...] = (),
    ) -> None:
        """Write down one lookup, and the packet as it is after it."""
        before, after = self.packet, now or self.packet
        self.packet = after
        self.steps.append(Step(self.place, kind, saying, row, runner_up, before, after, asking))

    @property
    def state(self) -> str:
        """Return what `-m conntrack --ctstate` matches."""
        known = self.connection is not None and self.connection.flow is not None
        if known:
            return "ESTABLISHED" if self.packet.about is None else "RELATED"
        return "NEW" if self.packet.begins_a_flow else "INVALID"

    def send_error(self, what: str, source: IPv4Address | None, mtu: int | None = None) -> None:
        """Note the ICMP error that this place sends back; it belongs to the flow of the packet, confirmed or not.

        Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_attach.
        """
        began = self.connection if self.connection is not None and self.connection.flow is None else None
        flow = Flow(began.key, reversed_key(flow_key(self.packet))) if began is not None else None
        self.icmp = IcmpError(what, self.place, source, self.packet, flow, mtu)

    def hop(self, disposition: Disposition) -> Hop:
        """Return what happened here."""
        return Hop(
            self.place,
            disposition,
            tuple(self.steps),
            self.in_dev,
            self.out_dev,
            self.received,
            self.packet,
            self.next,
            self.next_dev,
            self.icmp,
        )


def flow_key(packet: Packet) -> FlowKey:
    """Return what conntrack calls this packet; an ICMP error goes with the answers of the packet it speaks of."""
    if packet.about is not None:
        return reversed_key(flow_key(packet.about))
    src = 0 if packet.src is None else int(packet.src)
    return (packet.proto, src, packet.sport, int(packet.dst), packet.dport)


def reversed_key(key: FlowKey) -> FlowKey:
    """Return the key of the packet that goes the other way."""
    proto, src, sport, dst, dport = key
    return (proto, dst, dport, src, sport)
