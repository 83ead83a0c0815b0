"""What moves: a packet, the lookups made on its way, and the journey as a whole. Plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from ipaddress import IPv4Address
from shlex import quote

from flannelviz.errors import PacketError
from flannelviz.model import INTERNET, VPC
from flannelviz.tables import Eni, RouteEntry, Row, SecurityRule, SnatEntry

SYN_ACK_SIZE = 60  # bytes: IP header 20 + TCP header 20 + the options that a program's SYN has as well
RESET_SIZE = 40  # bytes: IP header 20 + TCP header 20
BARE_SYN_ACK_SIZE = 44  # bytes: to a SYN that is too small for options, with a single one, the largest segment
ERROR_SIZE, MOST_ERROR_SIZE = 28, 576  # bytes: IP header 20 + ICMP header 8, and what it quotes. RFC 1812 §4.3.2.3
LEAST_PATH_MTU = 552  # bytes: less is not believed, but then nothing goes with DF. net.ipv4.route.min_pmtu
PING_SIZE = 84  # bytes: what `ping` sends, IP header 20 + ICMP header 8 + data 56
LEAST_SIZE = {"icmp": 28, "tcp": 40, "udp": 28}  # bytes: IP header 20, and the one of the protocol. RFC 791, 9293
MOST_SIZE = 65535  # bytes: all that the length field can say. RFC 791
LIMITS = (("ttl", 1, 255), ("sport", 0, 65535), ("dport", 0, 65535))


class Disposition(Enum):
    """What became of a packet, in Batfish's words where it has one."""

    ACCEPTED = "accepted"
    FORWARDED = "forwarded"
    NO_ROUTE = "no route"
    NEIGHBOR_UNREACHABLE = "neighbor unreachable"
    DENIED = "denied by a rule"
    FORWARDING_DISABLED = "forwarding disabled"
    TTL_EXCEEDED = "TTL exceeded"
    LOOP = "loop, ended by TTL"
    MTU_EXCEEDED = "larger than the MTU"
    LINK_DOWN = "link down"
    SOURCE_REJECTED = "source address rejected"
    UNDELIVERABLE = "no receiver for this frame"
    REFUSED = "nobody listens there"
    UNEXPECTED = "came to a socket that had not asked"
    UNKNOWN = "unknown: the input does not say"

    def __repr__(self) -> str:
        return f"Disposition.{self.name}"


@dataclass(frozen=True, slots=True)
class Packet:
    """An IPv4 packet and the frame that carries it; `src` is None until the sender's routing fills it in.

    Units: `size` in bytes, IP header included; `ttl` in routed hops.
    """

    src: IPv4Address | None
    dst: IPv4Address
    proto: str = "icmp"
    sport: int = 40000
    dport: int = 0
    ttl: int = 64
    size: int = PING_SIZE
    dont_fragment: bool = True
    src_mac: str = ""
    dst_mac: str = ""
    mark: int = 0
    dice: float | None = None  # 0 to 1, for rules that match at random; None: from the flow, so always the same
    inner: Packet | None = None  # what a tunnel carries
    about: Packet | None = None  # the packet that an ICMP error speaks of
    answer: bool = False
    reset: bool = False  # TCP's answer where nobody listens
    belongs_to: Belonging | None = None  # of an ICMP error: what conntrack attached to it where it was made

    @property
    def begins_a_flow(self) -> bool:
        """Return whether conntrack takes this for the first packet of a flow: any UDP, no error, echo reply or SYN-ACK.

        Source: net/netfilter/nf_conntrack_proto_tcp.c, nf_conntrack_proto_icmp.c.
        """
        return self.about is None and (self.proto == "udp" or not self.answer)

    def reply(self) -> Packet:
        """Return the packet that the receiver sends back: addresses and ports swapped, a fresh TTL.

        Source: net/ipv4/icmp.c: an echo reply goes without DF; what programs send has it, ip_no_pmtu_disc being 0. A
        SYN-ACK carries no data.
        """
        assert self.src is not None, "a packet that arrived has a source"
        return replace(
            self,
            src=self.dst,
            dst=self.src,
            sport=self.dport,
            dport=self.sport,
            ttl=64,
            size=_syn_ack_size(self.size) if self.proto == "tcp" else self.size,
            dont_fragment=self.proto != "icmp",
            src_mac="",
            dst_mac="",
            mark=0,
            inner=None,
            about=None,
            answer=not self.answer,
        )


def _syn_ack_size(syn: int) -> int:
    """Return the size of the answer to a SYN of `syn` bytes, which carries no data."""
    return SYN_ACK_SIZE if syn >= SYN_ACK_SIZE else BARE_SYN_ACK_SIZE


def check(packet: Packet) -> None:
    """Refuse what is no unicast IPv4 packet, with the value and what would pass.

    Raises: PacketError.
    """
    dst = packet.dst
    if not isinstance(dst, IPv4Address):
        raise PacketError(f"the destination {dst!r} is no IPv4 address; name a pod or a host, or write one")
    if dst.is_multicast or dst.is_unspecified or int(dst) == 0xFFFFFFFF:
        raise PacketError(
            f"{dst} is no unicast address; a trace follows one packet to one receiver: name a pod or a host"
        )
    if packet.proto not in LEAST_SIZE:
        raise PacketError(f"the protocol {packet.proto!r} is not modelled; choose one of {', '.join(LEAST_SIZE)}")
    for name, lowest, highest in (*LIMITS, ("size", LEAST_SIZE[packet.proto], MOST_SIZE)):
        value = getattr(packet, name)
        if not isinstance(value, int) or not lowest <= value <= highest:
            kind = f"{packet.proto.upper()} packet" if name == "size" else "IPv4 packet"
            raise PacketError(f"no {kind} has {name} {value!r}; choose a whole number from {lowest} to {highest}")
    if packet.dice is not None and not (isinstance(packet.dice, int | float) and 0 <= packet.dice <= 1):
        raise PacketError(f"no dice show {packet.dice!r}; choose a number from 0 to 1, or None to throw by the flow")


FlowKey = tuple[str, int, int, int, int]  # protocol, source, its port, destination, its port


@dataclass(frozen=True, slots=True)
class Flow:
    """A conntrack entry: the packet as it came, the reply that belongs to it, and whether one was seen."""

    original: FlowKey
    reply: FlowKey
    answered: bool = False

    @property
    def translated(self) -> bool:
        """Return whether NAT changed the flow."""
        proto, src, sport, dst, dport = self.original
        return self.reply != (proto, dst, dport, src, sport)


Belonging = tuple[FlowKey, Flow]  # a flow, and the key of the direction in which a packet of it goes
AnyRow = Row | RouteEntry | Eni | SecurityRule | SnatEntry | Flow


@dataclass(frozen=True, slots=True, repr=False)
class Step:
    """One lookup: which table, the row that decided, the row that would decide without it, and what came of it.

    `row` is None where nothing matched. `before` and `after` are the packet's headers around this step. `saying` and
    `asking` are a template and its arguments, formatted only when somebody reads them: a trace has fifty of each.
    """

    place: str
    kind: str  # "route", "neighbor", "fdb", "nat POSTROUTING", ...: the table that was read
    saying: tuple[object, ...]
    row: AnyRow | None
    runner_up: AnyRow | None
    before: Packet
    after: Packet
    asking: tuple[object, ...] = ()

    @property
    def says(self) -> str:
        """Return the outcome in one line."""
        return _formatted(self.saying)

    @property
    def command(self) -> str:
        """Return the command that shows the row on a real machine, with how to get there, or an empty text."""
        if not self.asking:
            return ""
        template, *words = self.asking
        return shell_at(self.place) + str(template).format(*(quote(str(word)) for word in words))

    def __repr__(self) -> str:
        return f"<Step {self.place} {self.kind}: {self.says}>"

    @property
    def changes(self) -> tuple[tuple[str, str, str], ...]:
        """Return each header field that this step changed, as (field, before, after)."""
        if self.before is self.after:
            return ()
        names = ("src", "dst", "sport", "dport", "ttl", "src_mac", "dst_mac", "mark")
        pairs = ((name, getattr(self.before, name), getattr(self.after, name)) for name in names)
        return tuple((name, str(old), str(new)) for name, old, new in pairs if old != new)


@dataclass(frozen=True, slots=True)
class IcmpError:
    """The ICMP error that a place sends back about a packet it cannot forward."""

    what: str  # such as "time exceeded" or "host unreachable"
    sender: str
    source: IPv4Address | None
    about: Packet
    belongs_to: Belonging | None = None  # the flow of the packet that it speaks of, confirmed or not
    mtu: int | None = None  # what would have fitted. Units: bytes

    def packet(self) -> Packet:
        """Return the error as a packet, on its way to who sent the packet that it speaks of.

        Source: net/ipv4/icmp.c, icmp_send: it quotes as much as 576 bytes hold, and goes without DF.
        """
        assert self.about.src is not None, "a packet that can be answered has a source"
        size = min(ERROR_SIZE + self.about.size, MOST_ERROR_SIZE)
        return Packet(
            self.source, self.about.src, size=size, dont_fragment=False, about=self.about, belongs_to=self.belongs_to
        )


@dataclass(frozen=True, slots=True, repr=False)
class Hop:
    """One place on the way: where the packet came in and went out, and every lookup made there."""

    place: str
    disposition: Disposition
    steps: tuple[Step, ...]
    in_dev: str | None
    out_dev: str | None
    received: Packet
    sent: Packet
    next_place: str | None = None
    next_dev: str | None = None
    icmp: IcmpError | None = None

    def __repr__(self) -> str:
        return f"<Hop {self.place}: {self.disposition.value}, {len(self.steps)} steps>"

    @property
    def because(self) -> AnyRow | None:
        """Return the row that decided where the packet went next, or that ended it."""
        deciding = self.deciding_step
        return deciding.row if deciding else None

    @property
    def deciding_step(self) -> Step | None:
        """Return the routing decision of a hop that forwarded, else the step at which the journey ended."""
        if self.disposition is Disposition.FORWARDED:
            routing = [step for step in self.steps if step.kind in ("route", "vpc route")]
            if routing:
                return routing[-1]
            switching = [step for step in self.steps if step.kind == "fdb"]
            return switching[-1] if switching else (self.steps[-1] if self.steps else None)
        return self.steps[-1] if self.steps else None


@dataclass(frozen=True)
class Learned:
    """What places have learned from traffic; a fresh one means "cold".

    `neighbors`: (place, device, address) -> MAC. `fdb`: (place, bridge, MAC) -> port. `flows`: (place, key of either
    direction) -> Flow. `path_mtu`: (place, destination) -> what fits on the way there as it was told, in bytes.
    """

    neighbors: Mapping[tuple[str, str, IPv4Address], str] = field(default_factory=dict)
    fdb: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    flows: Mapping[tuple[str, FlowKey], Flow] = field(default_factory=dict)
    path_mtu: Mapping[tuple[str, IPv4Address], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class Trace:
    """A journey there and back. `reply` is empty, and its disposition None, when the request never arrived.

    `errors` holds the journey of each ICMP error that was sent back. `learned` is what the places know afterwards.
    """

    source: str
    destination: str
    request: tuple[Hop, ...]
    disposition: Disposition
    reply: tuple[Hop, ...] = ()
    reply_disposition: Disposition | None = None
    errors: tuple[tuple[Hop, ...], ...] = ()
    learned: Learned = field(default_factory=Learned, compare=False, repr=False)

    def __repr__(self) -> str:
        reply = f", reply {self.reply_disposition.value}" if self.reply_disposition else ""
        path = " > ".join(hop.place for hop in self.request[:8])
        return f"<Trace {self.source} -> {self.destination}: {self.disposition.value}{reply}; {path}>"

    @property
    def ok(self) -> bool:
        """Return whether the request and the reply both arrived."""
        return self.disposition is Disposition.ACCEPTED and self.reply_disposition is Disposition.ACCEPTED

    @property
    def hops(self) -> tuple[Hop, ...]:
        """Return the hops there, then the hops back."""
        return self.request + self.reply

    @property
    def source_seen(self) -> IPv4Address | None:
        """Return the source address that the receiver saw, or None if nothing arrived."""
        return self.request[-1].sent.src if self.disposition is Disposition.ACCEPTED else None

    @property
    def died_at(self) -> str | None:
        """Return the place where the journey ended early, there or back, or None."""
        if self.disposition is not Disposition.ACCEPTED:
            return self.request[-1].place
        return None if self.ok or not self.reply else self.reply[-1].place


def _formatted(words: tuple[object, ...]) -> str:
    return str(words[0]).format(*words[1:]) if words else ""


def shell_at(place: str) -> str:
    """Return what one types before a command so that it runs at `place`; names from outside are quoted for the shell.

    Source: kubectl exec for a pod; `ssh` for an ECS. The VPC has no shell.
    """
    if place in (VPC, INTERNET):
        return ""
    if "/" in place:
        namespace, pod = place.split("/", 1)
        return f"kubectl exec -n {quote(namespace)} {quote(pod)} -- "
    return f"ssh {quote(place)} "
