"""One packet at one place while it is worked on: the packet as it is now, and the lookups so far. Private."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import NamedTuple

from flannelviz.network import Network
from flannelviz.packet import AnyRow, Belonging, Disposition, Flow, FlowKey, Hop, IcmpError, Learned, Packet, Step


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

    def learn_path_mtu(self, place: str, dst: IPv4Address, fits: int) -> None:
        """Note how much fits on the way from `place` to `dst`; more than is known is not believed.

        Source: net/ipv4/route.c, __ip_rt_update_pmtu.
        """
        self.path_mtu[place, dst] = min(fits, self.path_mtu.get((place, dst), fits))

    def track(self, place: str, flow: Flow) -> None:
        """Note a flow at `place` under both of its directions."""
        self.flows[place, flow.original] = self.flows[place, flow.reply] = flow

    def forget(self, place: str, flow: Flow) -> None:
        """Forget a flow at `place`."""
        for key in (flow.original, flow.reply):
            self.flows.pop((place, key), None)


class Connection(NamedTuple):
    """What conntrack found for a packet when it came in: its key, and the flow it belongs to; None for a new one."""

    key: FlowKey
    flow: Flow | None

    @property
    def is_reply(self) -> bool:
        """Return whether the packet goes against the direction in which the flow began."""
        return self.flow is not None and self.key != self.flow.original

    @property
    def other(self) -> FlowKey:
        """Return the other direction's key: its source is this direction's destination, after all translation."""
        assert self.flow is not None, "a new packet has no flow yet"
        return self.flow.original if self.is_reply else self.flow.reply

    @property
    def destination(self) -> tuple[int, int]:
        """Return the address and port to which this direction goes in the end."""
        return self.other[1], self.other[2]

    @property
    def source(self) -> tuple[int, int]:
        """Return the address and port from which this direction comes in the end."""
        return self.other[3], self.other[4]

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
        """Return what `-m conntrack --ctstate` matches.

        Source: net/netfilter/nf_conntrack_core.c, resolve_normal_ct: a flow is NEW until an answer was seen.
        """
        flow = self.connection.flow if self.connection is not None else None
        if self.connection is None or flow is None:
            return "NEW" if self.packet.begins_a_flow else "INVALID"
        if self.packet.about is not None:
            return "RELATED"
        return "ESTABLISHED" if flow.answered or self.connection.is_reply else "NEW"

    def send_error(self, what: str, source: IPv4Address | None, mtu: int | None = None) -> None:
        """Note the ICMP error that this place sends back; it belongs to the flow of the packet, confirmed or not.

        Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_attach.
        """
        self.icmp = IcmpError(what, self.place, source, self.packet, self._belonging(), mtu)

    def _belonging(self) -> Belonging | None:
        """Return the flow of the packet, be it unconfirmed or forgotten, and the key of the other direction."""
        if self.connection is None:
            return None
        if self.connection.flow is not None:
            return self.connection.other, self.connection.flow
        if not self.packet.begins_a_flow:
            return None
        flow = Flow(self.connection.key, reversed_key(flow_key(self.packet)))
        return flow.reply, flow

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
