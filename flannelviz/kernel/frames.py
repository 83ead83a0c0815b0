"""Bytes on a wire -> which of our packets it is, and its headers. Knows Ethernet, IPv4, ICMP, UDP, TCP, ARP."""

from __future__ import annotations

import struct
from functools import lru_cache
from socket import inet_aton
from typing import NamedTuple

from flannelviz.kernel.blueprint import Carried, Form, Quote
from flannelviz.tables import VXLAN_PORT

ETHERNET, IPV4, ARP = 14, 0x0800, 0x0806
ICMP, TCP, UDP = 1, 6, 17
ECHO_REPLY, ECHO_REQUEST = 0, 8
NAMES = {ICMP: "icmp", TCP: "tcp", UDP: "udp"}
DONT_FRAGMENT, MORE_FRAGMENTS, OFFSET = 0x4000, 0x2000, 0x1FFF  # RFC 791
FRAGMENT = "fragment"  # the kind of the last one of a packet, whose form tells the size of the whole
TOO_LARGE = (3, 4)  # fragmentation needed: it tells the MTU of the next hop, RFC 1191
ERRORS = (3, 11, 12)  # destination unreachable, time exceeded, parameter problem
VXLAN_HEADER, VNI_FOLLOWS = 16, 0x08  # bytes, UDP header included; RFC 7348
SYN, SYN_ACK, RESET, FLAGS = 0x02, 0x12, 0x14, 0x16  # of SYN, RST and ACK; a reset of a SYN has an ACK
MOST_DATA = 1 << 16  # bytes that a reset may acknowledge
# What a program's SYN has: the largest segment, SACK, timestamps, a window scale. The answer has as many.
OPTIONS = bytes.fromhex("020405b4 0402 080a00000001 00000000 01 030307")
ASK, ANSWER = b"?", b"!"  # how a UDP request and its answer begin


class Wanted(NamedTuple):
    """What tells our packet from all others, whatever NAT does to its addresses and ports.

    Shape: `mark` is an ICMP sequence number, the number in a UDP payload, or a TCP sequence number.
    """

    proto: int
    mark: int
    dport: int
    behind: tuple[int, ...] = ()  # ports to which NAT may lead

    def is_served(self, port: int) -> bool:
        """Return whether a port is the one asked for, or one to which NAT may lead."""
        return port == self.dport or port in self.behind


class Headers(NamedTuple):
    """The headers of one packet of ours. `kind` is request, reply, or, as in `icmp 3/1 request`, an error about one.

    Shape: of a packet in a tunnel, the tunnel's headers, and the packet's own in `inner`.
    """

    kind: str
    src: str
    dst: str
    ttl: int
    sport: int
    dport: int
    inner: Carried | None = None
    form: Form = Form()
    quote: Quote | None = None


def dotted(raw: bytes) -> str:
    """Return four bytes as an address."""
    return f"{raw[0]}.{raw[1]}.{raw[2]}.{raw[3]}"


def mac(raw: bytes) -> str:
    """Return six bytes as a MAC."""
    return raw.hex(":")


def read_ip(raw: bytes, wanted: Wanted) -> Headers | None:
    """Return the headers of an IPv4 packet if it is ours, or an ICMP error about ours, else None."""
    if len(raw) < 20 or raw[0] >> 4 != 4:
        return None
    size, ident, flags = struct.unpack_from("!HHH", raw, 2)
    proto, offset = raw[9], flags & OFFSET
    more = bool(flags & MORE_FRAGMENTS)
    form = _form(proto, size + 8 * offset, bool(flags & DONT_FRAGMENT), ident, more)
    if offset:
        ours = not more and wanted.proto and proto in (wanted.proto, UDP)
        return Headers(FRAGMENT, *_addresses(raw), 0, 0, form=form) if ours else None
    if len(raw) < 28:
        return None
    body = raw[(raw[0] & 15) * 4 :]
    if proto == ICMP and body[0] in ERRORS:
        return _error(raw, body, form, wanted)
    if proto == UDP and _is_vxlan(body):
        return _carried(raw, body, form, wanted)
    kind = _kind(proto, body, wanted) if proto == wanted.proto else None
    if kind is None:
        return None
    sport, dport = _ports(proto, body, kind)
    return Headers(kind, *_addresses(raw), sport, dport, form=form)


@lru_cache(maxsize=64)
def _form(proto: int, size: int, dont_fragment: bool, ident: int, more: bool) -> Form:
    """Return one value for all sightings of a packet, so that it goes through a pipe once."""
    return Form(NAMES.get(proto, ""), size, dont_fragment, ident, more)


def _addresses(raw: bytes) -> tuple[str, str, int]:
    """Return who sends, who receives, and the TTL."""
    return dotted(raw[12:16]), dotted(raw[16:20]), raw[8]


def _error(raw: bytes, body: bytes, form: Form, wanted: Wanted) -> Headers | None:
    """Return the headers of an ICMP error if it speaks of a packet of ours."""
    about = read_ip(body[8:], wanted)
    if about is None or about.kind == FRAGMENT:
        return None
    mtu = int(struct.unpack_from("!H", body, 6)[0]) if (body[0], body[1]) == TOO_LARGE else 0
    quote = Quote(about.src, about.dst, about.ttl, about.sport, about.dport, about.form, mtu)
    return Headers(f"icmp {body[0]}/{body[1]} {about.kind}", *_addresses(raw), 0, 0, form=form, quote=quote)


def _is_vxlan(body: bytes) -> bool:
    """Return whether a UDP datagram carries a frame with an IPv4 packet in it."""
    if len(body) < VXLAN_HEADER + ETHERNET or body[8] != VNI_FOLLOWS:
        return False
    (port,) = struct.unpack_from("!H", body, 2)
    (kind,) = struct.unpack_from("!H", body, VXLAN_HEADER + 12)
    return bool(port == VXLAN_PORT and kind == IPV4)


def _carried(raw: bytes, body: bytes, form: Form, wanted: Wanted) -> Headers | None:
    """Return the tunnel's headers if the packet that it carries is ours, or an ICMP error about ours."""
    frame = body[VXLAN_HEADER:]
    own = read_ip(frame[ETHERNET:], wanted)
    if own is None:
        return None
    inner = Carried(own.src, own.dst, own.ttl, own.sport, own.dport, mac(frame[6:12]), mac(frame[:6]), own.form)
    sport, dport = struct.unpack_from("!HH", body)
    return Headers(own.kind, *_addresses(raw), sport, dport, inner, form, own.quote)


def _ports(proto: int, body: bytes, kind: str) -> tuple[int, int]:
    """Return the two ports; an echo's identifier stands where conntrack puts it, at the side that asked."""
    if proto != ICMP:
        sport, dport = struct.unpack_from("!HH", body)
        return int(sport), int(dport)
    ident = int(struct.unpack_from("!H", body, 4)[0])
    return (ident, 0) if kind == "request" else (0, ident)


def _kind(proto: int, body: bytes, wanted: Wanted) -> str | None:
    if proto == ICMP:
        known = {ECHO_REQUEST: "request", ECHO_REPLY: "reply"}.get(body[0])
        return known if struct.unpack_from("!H", body, 6)[0] == wanted.mark else None
    return _udp_kind(body, wanted) if proto == UDP else _tcp_kind(body, wanted)


def _udp_kind(body: bytes, wanted: Wanted) -> str | None:
    if len(body) >= 16 and body[8:9] in (ASK, ANSWER):
        if struct.unpack_from("!I", body, 12)[0] != wanted.mark:
            return None
        return "request" if body[8:9] == ASK else "reply"
    sport, dport = struct.unpack_from("!HH", body)
    return "request" if wanted.is_served(dport) else "reply" if wanted.is_served(sport) else None


def _tcp_kind(body: bytes, wanted: Wanted) -> str | None:
    """Return request for our SYN, reply for what answers it, a SYN-ACK or a reset.

    Shape: an ICMP error may quote no more than 8 bytes.
    """
    sequence = struct.unpack_from("!I", body, 4)[0]
    if len(body) < 14:
        return "request" if sequence == wanted.mark else None
    flags = body[13] & FLAGS
    if flags == SYN and sequence == wanted.mark:
        return "request"
    acknowledged = (struct.unpack_from("!I", body, 8)[0] - wanted.mark) & 0xFFFFFFFF
    answers = acknowledged == 1 if flags == SYN_ACK else flags == RESET and 0 < acknowledged <= MOST_DATA
    return "reply" if answers else None


def udp_payload(length: int, mark: int) -> bytes:
    """Return a payload of that many bytes that carries `mark`, as far as there is room for it."""
    return (ASK + bytes(3) + mark.to_bytes(4, "big")).ljust(length, b"\0")[:length]


def echo_request(ident: int, sequence: int, length: int) -> bytes:
    """Return an ICMP echo request with `length` bytes behind its header."""
    body = bytes(length)
    head = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, ident, sequence)
    return struct.pack("!BBHHH", ECHO_REQUEST, 0, checksum(head + body), ident, sequence) + body


def tcp_syn(src: str, dst: str, ports: tuple[int, int], sequence: int, length: int) -> bytes:
    """Return a TCP segment that opens a connection, with `length` bytes behind its header: options, if there is room.

    Shape: what is left behind the options is data, which the receiver leaves out of its answer.
    """
    rest = (OPTIONS if length >= len(OPTIONS) else b"").ljust(length, b"\0")
    words = 10 if length >= len(OPTIONS) else 5
    head = struct.pack("!HHIIBBHHH", *ports, sequence, 0, words << 4, SYN, 65535, 0, 0)
    pseudo = struct.pack("!4s4sBBH", inet_aton(src), inet_aton(dst), 0, TCP, len(head) + length)
    check = checksum(pseudo + head + rest)
    return head[:16] + struct.pack("!H", check) + head[18:] + rest


def checksum(data: bytes) -> int:
    """Return the Internet checksum. Source: RFC 1071."""
    padded = data + b"\0" if len(data) % 2 else data
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
