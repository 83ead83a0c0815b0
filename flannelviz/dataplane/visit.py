"""One packet at one place while it is worked on: the packet as it is now, and the lookups so far. Private."""

from __future__ import annotations

from ipaddress import IPv4Address

from flannelviz.network import Network
from flannelviz.packet import AnyRow, Disposition, Flow, FlowKey, Hop, IcmpError, Learned, Packet, Step


class Memory:
    """What places learn while a trace runs: a copy of a `Learned` that may be written, and turned back into one."""

    __slots__ = ("flows", "neighbors")

    def __init__(self, learned: Learned) -> None:
        self.neighbors = dict(learned.neighbors)
        self.flows = dict(learned.flows)

    def learned(self) -> Learned:
        """Return what was learned, as a value."""
        return Learned(self.neighbors, self.flows)

    def track(self, place: str, original: FlowKey, reply: FlowKey) -> None:
        """Note a new flow at `place` under both of its directions."""
        flow = Flow(original, reply)
        self.flows[place, original] = self.flows[place, reply] = flow


class Visit:
    """A packet at one place; `forward` fills it in, `hop` makes it a value."""

    __slots__ = ("icmp", "in_dev", "memory", "network", "next", "out_dev", "packet", "place", "received", "steps")

    def __init__(self, network: Network, place: str, packet: Packet, in_dev: str | None, memory: Memory) -> None:
        self.network = network
        self.place = place
        self.packet = self.received = packet
        self.in_dev = in_dev
        self.out_dev: str | None = None
        self.next: str | None = None
        self.icmp: IcmpError | None = None
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

    def send_error(self, what: str, source: IPv4Address | None) -> None:
        """Note the ICMP error that this place sends back."""
        self.icmp = IcmpError(what, self.place, source)

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
            self.icmp,
        )


def flow_key(packet: Packet) -> FlowKey:
    """Return what conntrack calls this packet; an ICMP echo's identifier stands in both port places."""
    src = 0 if packet.src is None else int(packet.src)
    return (packet.proto, src, packet.sport, int(packet.dst), packet.dport)


def reversed_key(key: FlowKey) -> FlowKey:
    """Return the key of the packet that goes the other way."""
    proto, src, sport, dst, dport = key
    return (proto, dst, dport, src, sport)
