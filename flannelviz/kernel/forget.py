"""Making places forget what traffic taught them: neighbours, conntrack entries, learned path MTUs and redirects."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from flannelviz.errors import LabError
from flannelviz.kernel.blueprint import Sighting
from flannelviz.kernel.frames import ECHO_REPLY, ECHO_REQUEST, ICMP, UDP
from flannelviz.kernel.namespaces import inside

SIOCDARP, SIOCGARP = 0x8953, 0x8954  # include/uapi/linux/sockios.h
PERMANENT = 0x04  # ATF_PERM, include/uapi/linux/if_arp.h
FLUSH_ROUTES = Path("/proc/sys/net/ipv4/route/flush")

# Source: include/uapi/linux/netfilter/nfnetlink_conntrack.h
NETLINK_NETFILTER, CT_DELETE, REQUEST_ACK = 12, (1 << 8) | 2, 0x05
NETLINK_HEADER = 16  # bytes
NESTED, TUPLE_ORIG, TUPLE_IP, TUPLE_PROTO = 0x8000, 1, 1, 2
IP_SRC, IP_DST = 1, 2
PROTO_NUM, SRC_PORT, DST_PORT, ICMP_ID, ICMP_TYPE, ICMP_CODE = range(1, 7)


class Tuple(NamedTuple):
    """What names a conntrack entry: one direction of a flow, as it was seen somewhere."""

    proto: int
    src: str
    dst: str
    sport: int
    dport: int

    def turned(self) -> Tuple:
        """Return the other direction: the one that names the entry of a packet which was translated before seen."""
        return Tuple(self.proto, self.dst, self.src, self.dport, self.sport)


@dataclass(slots=True)
class Lesson:
    """What traffic has taught one place: neighbours as (device, address), flows, and whether ICMP changed a route."""

    neighbors: set[tuple[str, str]] = field(default_factory=set)
    flows: set[Tuple] = field(default_factory=set)
    routes: bool = False


def learn(learned: dict[str, Lesson], seen: Iterable[Sighting], proto: int) -> None:
    """Add to `learned` what each place has learned from what was seen there.

    Source: net/ipv4/arp.c, arp_process: who is asked learns who asks, who asks learns who answers.
    """
    for sighting in seen:
        arp = sighting.kind.startswith("arp")
        if arp and (not sighting.out or sighting.dev.startswith("veth")):
            continue  # a broadcast that passed by
        lesson = learned.setdefault(sighting.place, Lesson())
        if arp:
            lesson.neighbors.add((sighting.dev, sighting.dst))
        elif sighting.kind.startswith("icmp"):
            lesson.routes = True
        else:
            number = proto if sighting.inner is None else UDP
            one = Tuple(number, sighting.src, sighting.dst, sighting.sport, sighting.dport)
            lesson.flows |= {one, one.turned()}


def forget(space: int, lesson: Lesson) -> None:
    """Make the kernel forget what a namespace has learned; what the tables say stays."""
    with inside(space):
        _neighbors(lesson.neighbors)
        _flows(lesson.flows)
        if lesson.routes and FLUSH_ROUTES.exists():
            FLUSH_ROUTES.write_text("1")


def _neighbors(learned: Iterable[tuple[str, str]]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for dev, address in learned:
            who = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
            request = struct.pack("16s16si16s16s", who, b"", 0, b"", dev.encode())
            with _gone_suppressed():
                found = fcntl.ioctl(sock, SIOCGARP, request)
                if not struct.unpack_from("i", found, 32)[0] & PERMANENT:
                    fcntl.ioctl(sock, SIOCDARP, request)


@contextmanager
def _gone_suppressed() -> Iterator[None]:
    """Let it pass that an entry is not there, or no longer."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENXIO):
            raise


def _flows(flows: Iterable[Tuple]) -> None:
    """Delete the conntrack entries that these tuples name, if there are any; that of a reply names one as well."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as sock:
        for flow in flows:
            body = struct.pack("BBH", socket.AF_INET, 0, 0) + _tuple(flow)
            sock.send(struct.pack("IHHII", 16 + len(body), CT_DELETE, REQUEST_ACK, 1, 0) + body)
            check_deleted(sock.recv(4096))


def check_deleted(answer: bytes) -> None:
    """Refuse an answer of ctnetlink that is neither "done" nor "not there": what was not deleted stays known.

    Raises: LabError.
    """
    number = -struct.unpack_from("i", answer, NETLINK_HEADER)[0]
    if number not in (0, errno.ENOENT):
        raise LabError(
            f"conntrack entries cannot be deleted ({os.strerror(number)}): run modprobe nf_conntrack_netlink"
        )


def _tuple(flow: Tuple) -> bytes:
    addresses = _attribute(IP_SRC, socket.inet_aton(flow.src)) + _attribute(IP_DST, socket.inet_aton(flow.dst))
    proto = _attribute(PROTO_NUM, bytes([flow.proto])) + (_echo(flow) if flow.proto == ICMP else _ports(flow))
    return _attribute(
        TUPLE_ORIG | NESTED, _attribute(TUPLE_IP | NESTED, addresses) + _attribute(TUPLE_PROTO | NESTED, proto)
    )


def _ports(flow: Tuple) -> bytes:
    ports = ((SRC_PORT, flow.sport), (DST_PORT, flow.dport))
    return b"".join(_attribute(kind, struct.pack("!H", port)) for kind, port in ports)


def _echo(flow: Tuple) -> bytes:
    """Return what stands for ports in an echo: its identifier is at the side that asked."""
    kind, ident = (ECHO_REQUEST, flow.sport) if flow.sport else (ECHO_REPLY, flow.dport)
    values = ((ICMP_TYPE, bytes([kind])), (ICMP_CODE, b"\0"), (ICMP_ID, struct.pack("!H", ident)))
    return b"".join(_attribute(name, value) for name, value in values)


def _attribute(kind: int, value: bytes) -> bytes:
    padding = bytes(-len(value) % 4)
    return struct.pack("HH", 4 + len(value), kind) + value + padding
