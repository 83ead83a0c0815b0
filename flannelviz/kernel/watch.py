"""Seeing packets: one socket in each namespace hears every device there, another what programs there are given."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from flannelviz.kernel.blueprint import Delivery, Form, Sighting
from flannelviz.kernel.frames import ARP, ETHERNET, FRAGMENT, ICMP, IPV4, TCP, UDP, Wanted, dotted, mac, read_ip
from flannelviz.kernel.namespaces import inside

ETH_P_ALL = 3
SO_TIMESTAMPNS = 35  # include/uapi/asm-generic/socket.h
IP_PKTINFO = 8  # include/uapi/linux/in.h
PACKET_OTHERHOST, PACKET_OUTGOING = 3, 4
SNAPPED = 192  # bytes of each frame: enough for an ICMP error and what it quotes
BUFFER = 1 << 20
NO_PACKET = Wanted(0, 0, 0)
MOST = 4096  # descriptors told at once
PROTOCOLS = {"icmp": ICMP, "tcp": TCP, "udp": UDP}


@dataclass(slots=True)
class Post:
    """The sockets of one place: `wire` hears its devices, `ears` what the IP stack delivers, by protocol."""

    place: str
    wire: socket.socket
    ears: dict[str, socket.socket]


def stamped_from_now_on() -> socket.socket:
    """Return a socket; as long as it is open, the kernel notes when it saw each frame.

    It begins a moment later (net/core/dev.c, net_enable_timestamp), so this comes before anything is built.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    return sock


class Watch:
    """All posts, and one epoll to ask them."""

    def __init__(self, spaces: Mapping[str, int]) -> None:
        self.posts = {place: _post(place, space) for place, space in spaces.items()}
        self.poll = select.epoll()
        self.by_fd: dict[int, tuple[Post, str]] = {}
        for post in self.posts.values():
            for name, sock in (("wire", post.wire), *post.ears.items()):
                self.by_fd[sock.fileno()] = (post, name)
                self.poll.register(sock.fileno(), select.EPOLLIN)

    def ready(self, timeout: float) -> list[int]:
        """Return the descriptors with something to read. Units: seconds."""
        return [descriptor for descriptor, _ in self.poll.poll(timeout, MOST)]

    def drain(self) -> list[Sighting]:
        """Throw away what is waiting, and return the ARP messages among it."""
        seen: list[Sighting] = []
        while found := [self.by_fd[fd] for fd in self.ready(0) if fd in self.by_fd]:
            for post, name in found:
                seen.extend(sightings(post, NO_PACKET) if name == "wire" else ())
                for _ in _all(post.ears[name]) if name != "wire" else ():
                    pass
        return seen


def _post(place: str, space: int) -> Post:
    with inside(space):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        wire.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        wire.setblocking(False)
        return Post(place, wire, {name: _ear(number) for name, number in PROTOCOLS.items()})


def _ear(proto: int) -> socket.socket:
    ear = socket.socket(socket.AF_INET, socket.SOCK_RAW, proto)
    ear.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    ear.setblocking(False)
    return ear


Message = tuple[bytes, list[tuple[int, int, bytes]], int, tuple[str, int, int, int, bytes]]


def _all(sock: socket.socket) -> Iterator[Message]:
    """Return every message that is waiting."""
    while True:
        try:
            yield sock.recvmsg(SNAPPED, 64)
        except BlockingIOError:
            return


def sightings(post: Post, wanted: Wanted) -> Iterator[Sighting]:
    """Return what was seen of our packet, and every ARP message, on the devices of one place since the last call."""
    for data, extra, _, address in _all(post.wire):
        dev, proto, kind = address[0], address[1], address[2]
        if proto not in (IPV4, ARP):
            continue
        seen = read_ip(data[ETHERNET:], wanted) if proto == IPV4 else None
        if seen is not None:
            headers = (seen.src, seen.dst, seen.ttl, seen.sport, seen.dport)
        elif proto == ARP:
            headers = (dotted(data[28:32]), dotted(data[38:42]), 0, 0, 0)
        else:
            continue
        what = seen.kind if seen else f"arp {data[21]}"
        out, other = kind == PACKET_OUTGOING, kind == PACKET_OTHERHOST
        macs = (mac(data[6:12]), mac(data[:6]))
        rest = (seen.inner, seen.form, seen.quote) if seen else ()
        yield Sighting(_stamp(extra), what, post.place, dev, out, other, *headers, *macs, *rest)


def _stamp(extra: list[tuple[int, int, bytes]]) -> int:
    """Return when the kernel saw the frame. Units: nanoseconds."""
    for _, kind, value in extra:
        if kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("qq", value[:16])
            return int(seconds * 1_000_000_000 + nanoseconds)
    return 0


def whole(seen: Sequence[Sighting]) -> list[Sighting]:
    """Return the sightings without later fragments; the first one of a packet tells the size of the whole.

    A packet may be cut before it goes into a tunnel, and the tunnel's packet once more.
    """
    ends = ((s, s.form if s.inner is None else s.inner.form) for s in seen if s.kind == FRAGMENT)
    sizes = {_fragment(s, form): form.size for s, form in ends}
    return [_grown(s, sizes) for s in seen if s.kind != FRAGMENT]


def _fragment(seen: Sighting, form: Form) -> tuple[object, ...]:
    """Return what all fragments of a packet have in common where they are seen.

    Not their addresses: later ones share their bytes with what NAT further on has written (net/ipv4/ip_output.c,
    ip_do_fragment).
    """
    return seen.place, seen.dev, seen.out, form.ident


def _grown(seen: Sighting, sizes: Mapping[tuple[object, ...], int]) -> Sighting:
    """Return the sighting with the size of the whole packet, and of a tunnel's packet that carries the whole."""
    inner = seen.inner
    carried = _missing(seen, inner.form, sizes) if inner is not None else 0
    more = carried + _missing(seen, seen.form, sizes)
    if not more:
        return seen
    if inner is not None:
        inner = inner._replace(form=inner.form._replace(size=inner.form.size + carried))
    return seen._replace(form=seen.form._replace(size=seen.form.size + more), inner=inner)


def _missing(seen: Sighting, form: Form, sizes: Mapping[tuple[object, ...], int]) -> int:
    """Return how many bytes are in the fragments behind the first. Units: bytes."""
    return sizes.get(_fragment(seen, form), form.size) - form.size if form.more else 0


def heard(post: Post, proto: str, wanted: Wanted) -> Iterator[Delivery]:
    """Return each packet of ours, and each ICMP error about one, that the IP stack of a place has delivered."""
    for data, extra, *_ in _all(post.ears[proto]):
        headers = read_ip(data, wanted)
        if headers is None or headers.kind == FRAGMENT or headers.inner is not None:
            continue
        if proto == "udp" or not _broadcast(extra):
            ports, rest = (headers.sport, headers.dport), (headers.form, headers.quote)
            yield Delivery(post.place, headers.kind, headers.src, headers.dst, *ports, *rest)


def _broadcast(extra: list[tuple[int, int, bytes]]) -> bool:
    """Return whether a packet came to a broadcast address: what the kernel would answer from is another one.

    Source: ip(7), IP_PKTINFO; a kernel hears such a packet, and answers neither an echo request nor a SYN.
    """
    return any(value[4:8] != value[8:12] for _, kind, value in extra if kind == IP_PKTINFO)
