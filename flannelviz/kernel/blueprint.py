"""What is to be built, as plain text for the real tools: the value that goes from a `Network` to the lab's process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Plug:
    """One CNI ADD: the pod, what names its container, and what the plugins draw by lot and the tables know.

    Shape: `address` is None where the tables stop before IPAM has answered.
    """

    pod: str
    container: str
    address: str | None
    veth: str
    veth_mac: str


@dataclass(frozen=True, slots=True)
class Machine:
    """One namespace: lines for `ip -batch`, settings, rules, and what must be there in the end.

    Shape: `first` runs when the machine is made, then the plugs, `then` after them, `last` at the very end; `addresses`
    and `routes` are None where `first` says it all.
    """

    place: str
    first: tuple[str, ...] = ()
    netconf: str = ""
    plugs: tuple[Plug, ...] = ()
    then: tuple[str, ...] = ()
    addresses: frozenset[str] | None = None  # such as "172.16.0.1/25 dev cni0"
    routes: frozenset[str] | None = None  # as `ip route` prints them
    rules: str = ""  # for iptables-restore
    settings: tuple[tuple[str, str], ...] = ()  # file below /proc/sys, what to write
    last: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()  # when all machines are done: devices whose carrier has changed since
    fdb: tuple[str, ...] = ()  # for `bridge -batch`, before `last`
    names: tuple[tuple[str, str], ...] = ()  # device, what a Hop calls it


@dataclass(frozen=True, slots=True)
class Cable:
    """A veth pair between two machines that no plugin makes."""

    place: str
    far_place: str
    line: str  # for `ip -batch` at `place`; {far} stands for the far namespace


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A whole lab. Shape: the machines in the order in which a wiring needs them: outside, VPC, ECS, pods."""

    machines: tuple[Machine, ...]
    cables: tuple[Cable, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """One packet to send: whence, whither, and its headers."""

    place: str
    dst: str
    proto: str
    sport: int
    dport: int
    ttl: int
    size: int
    dont_fragment: bool
    warm: bool
    behind: tuple[int, ...] = ()  # ports to which DNAT may lead
    served: bool = True  # whether somebody listens, everywhere


class Form(NamedTuple):
    """What an IPv4 header says beside addresses and TTL. Units: `size` in bytes, the header included.

    Shape: fragments of one packet have the same `ident`; with `more`, this is the first of them.
    """

    proto: str = ""
    size: int = 0
    dont_fragment: bool = False
    ident: int = 0
    more: bool = False


SPENT = "five times net unreachable to "  # and an address; what a kernel that has said so says no more


class Quote(NamedTuple):
    """The packet that an ICMP error speaks of, as it quotes it. Units: `mtu` in bytes, 0 where none is told."""

    src: str
    dst: str
    ttl: int
    sport: int
    dport: int
    form: Form
    mtu: int


class Carried(NamedTuple):
    """The headers of a packet that a tunnel carries, and of the frame around it."""

    src: str
    dst: str
    ttl: int
    sport: int
    dport: int
    src_mac: str
    dst_mac: str
    form: Form = Form()


class Sighting(NamedTuple):
    """A packet seen on a device: which of ours it is, where and in which direction, and its headers as they were.

    Shape: `kind` is request, reply or an ICMP error; `out` is false for what came in. Where ours was seen in a tunnel,
    the headers are those of the tunnel, and `inner` has its own.
    """

    time: int
    kind: str  # "request", "reply", "icmp 3/1 request", "arp 1" (who has), "arp 2" (is at)
    place: str
    dev: str
    out: bool
    other_host: bool
    src: str
    dst: str
    ttl: int
    sport: int
    dport: int
    src_mac: str
    dst_mac: str
    inner: Carried | None = None
    form: Form = Form()
    quote: Quote | None = None


class Delivery(NamedTuple):
    """A packet as programs at a place got it, after all translation."""

    place: str
    kind: str
    src: str
    dst: str
    sport: int
    dport: int
    form: Form = Form()
    quote: Quote | None = None


class Observation(NamedTuple):
    """All that was seen of one packet; `error` is the number of the error that sending it gave, or 0.

    Shape: `delivered` holds each request, reply or ICMP error that the IP stack of a place handed to its programs;
    `known` is what a kernel knows of the packet at the `place` where it died in silence; `rejected` has the places
    where a REJECT has counted.
    """

    sightings: tuple[Sighting, ...]
    delivered: tuple[Delivery, ...]
    error: int = 0
    reply_error: int = 0
    known: tuple[str, ...] = ()
    place: str = ""
    rejected: tuple[str, ...] = ()
