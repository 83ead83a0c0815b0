"""Which packet on a wire is ours, read from its bytes."""

import struct

import pytest

from flannelviz.kernel.blueprint import Carried, Form, Quote, Sighting
from flannelviz.kernel.frames import (
    FRAGMENT,
    ICMP,
    TCP,
    UDP,
    Headers,
    Wanted,
    checksum,
    echo_request,
    read_ip,
    tcp_syn,
    udp_payload,
)
from flannelviz.kernel.watch import whole

SRC, DST = bytes([172, 16, 0, 130]), bytes([172, 16, 8, 2])


def ip(proto: int, body: bytes, fragment: int = 0) -> bytes:
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, fragment, 63, proto, 0, SRC, DST) + body


def udp(payload: bytes, sport: int = 40000, dport: int = 20000) -> bytes:
    return struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


OURS = ("request", "172.16.0.130", "172.16.8.2", 63)
ECHO = ip(ICMP, echo_request(40000, 7, 56))
SYN = ip(TCP, tcp_syn("172.16.0.130", "172.16.8.2", (40000, 80), 7, 0))
ASKED = ip(UDP, udp(udp_payload(56, 7)))


@pytest.mark.parametrize(
    ("raw", "wanted", "headers"),
    [
        (ECHO, Wanted(ICMP, 7, 0), Headers(*OURS, 40000, 0, form=Form("icmp", 84))),
        (SYN, Wanted(TCP, 7, 80), Headers(*OURS, 40000, 80, form=Form("tcp", 40))),
        (ASKED, Wanted(UDP, 7, 20000), Headers(*OURS, 40000, 20000, form=Form("udp", 84))),
    ],
)
def test_our_packet_is_recognised(raw: bytes, wanted: Wanted, headers: Headers) -> None:
    assert read_ip(raw, wanted) == headers
    assert read_ip(raw, wanted._replace(mark=8)) is None
    assert read_ip(raw[:27], wanted) is None


def test_an_icmp_error_quotes_the_packet_that_it_is_about() -> None:
    error = ip(ICMP, bytes([11, 0]) + bytes(6) + SYN[:28])
    found = read_ip(error, Wanted(TCP, 7, 80))
    assert found is not None
    assert found.kind == "icmp 11/0 request"
    assert found.quote == Quote(*OURS[1:], 40000, 80, Form("tcp", 40), 0)
    assert read_ip(error, Wanted(TCP, 8, 80)) is None


def vxlan(packet: bytes, port: int = 8472) -> bytes:
    """A packet of a tunnel from 192.168.0.10 to .11 that carries `packet`, from VTEP fe::01 to fe::02."""
    frame = bytes.fromhex("fe0000000002fe00000000010800") + packet
    outer = ip(UDP, udp(bytes([8, 0, 0, 0, 0, 0, 1, 0]) + frame, 40184, port))
    return outer[:12] + bytes([192, 168, 0, 10, 192, 168, 0, 11]) + outer[20:]


@pytest.mark.parametrize(("packet", "proto"), [(ECHO, ICMP), (SYN, TCP), (ASKED, UDP)])
def test_a_packet_in_a_tunnel_shows_both_headers(packet: bytes, proto: int) -> None:
    wanted = Wanted(proto, 7, 80 if proto == TCP else 20000)
    found, own = read_ip(vxlan(packet), wanted), read_ip(packet, wanted)
    assert found is not None and found.inner is not None and own is not None
    assert (found.kind, found.src, found.dst, found.dport) == ("request", "192.168.0.10", "192.168.0.11", 8472)
    assert found.inner[:5] == own[1:6] and found.inner.form == own.form
    assert found.inner[5:7] == ("fe:00:00:00:00:01", "fe:00:00:00:00:02")
    assert found.form == Form("udp", own.form.size + 50)
    assert read_ip(vxlan(packet), wanted._replace(mark=8)) is None


def test_an_icmp_error_may_speak_of_a_tunnels_packet_or_be_carried_by_one() -> None:
    outside = read_ip(ip(ICMP, bytes([3, 3]) + bytes(6) + vxlan(ECHO)), Wanted(ICMP, 7, 0))
    inside = read_ip(vxlan(ip(ICMP, bytes([3, 1]) + bytes(6) + ECHO)), Wanted(ICMP, 7, 0))
    assert outside is not None and inside is not None
    assert (outside.kind, outside.inner) == ("icmp 3/3 request", None)
    assert inside.kind == "icmp 3/1 request" and inside.inner is not None


@pytest.mark.parametrize("raw", [vxlan(ECHO, port=4789), vxlan(ECHO)[:44], vxlan(b"")])
def test_what_is_no_tunnel_of_ours_is_none_of_our_packets(raw: bytes) -> None:
    assert read_ip(raw, Wanted(ICMP, 7, 0)) is None


def test_the_last_fragment_tells_the_size_of_the_whole_and_no_other_is_read() -> None:
    last = read_ip(ip(ICMP, bytes(30), fragment=185), Wanted(ICMP, 7, 0))
    assert last is not None
    assert (last.kind, last.form.size) == (FRAGMENT, 20 + 185 * 8 + 30)
    assert read_ip(ip(ICMP, bytes(30), fragment=0x2000 | 185), Wanted(ICMP, 7, 0)) is None
    assert read_ip(ip(TCP, bytes(30), fragment=185), Wanted(ICMP, 7, 0)) is None


@pytest.mark.parametrize(("flags", "kind"), [(0x12, "reply"), (0x14, "reply"), (0x04, None), (0x10, None)])
def test_a_syn_is_answered_by_a_syn_ack_or_a_reset(flags: int, kind: str | None) -> None:
    segment = struct.pack("!HHIIBBHHH", 80, 40000, 9, 8, 5 << 4, flags, 0, 0, 0)
    found = read_ip(ip(TCP, segment), Wanted(TCP, 7, 80))
    assert (found and found.kind) == kind


def test_an_icmp_error_tells_the_mtu_of_the_next_hop() -> None:
    error = read_ip(ip(ICMP, bytes([3, 4, 0, 0, 0, 0]) + (1400).to_bytes(2, "big") + ECHO[:28]), Wanted(ICMP, 7, 0))
    assert error is not None and error.quote is not None
    assert (error.quote.mtu, error.quote.form.size) == (1400, 84)


def test_the_first_fragment_has_the_size_of_the_whole() -> None:
    first = Sighting(1, "request", "a", "eth0", True, False, "1.1.1.1", "2.2.2.2", 64, 1, 2, "x", "y")
    first = first._replace(form=Form("udp", 1500, ident=9, more=True))
    last = first._replace(kind=FRAGMENT, form=Form("udp", 3000, ident=9))
    assert whole([first, last]) == [first._replace(form=first.form._replace(size=3000))]
    inner = Carried("3.3.3.3", "4.4.4.4", 63, 1, 2, "x", "y", Form("udp", 1450, ident=8, more=True))
    tunnel = first._replace(form=Form("udp", 1500, ident=9), inner=inner)
    rest = tunnel._replace(kind=FRAGMENT, inner=inner._replace(form=Form("udp", 3000, ident=8)))
    (seen,) = whole([tunnel, rest])
    assert seen.inner is not None
    assert (seen.form.size, seen.inner.form.size) == (3050, 3000)


@pytest.mark.parametrize(("length", "words"), [(0, 5), (19, 5), (20, 10), (44, 10)])
def test_a_syn_has_the_options_of_a_program_if_there_is_room(length: int, words: int) -> None:
    segment = tcp_syn("172.16.0.130", "172.16.8.2", (40000, 80), 7, length)
    assert (len(segment), segment[12] >> 4) == (20 + length, words)


@pytest.mark.parametrize("length", [0, 1, 7])
def test_a_short_udp_packet_is_known_by_its_port(length: int) -> None:
    wanted = Wanted(UDP, 7, 20000)
    asked, told = ip(UDP, udp(udp_payload(length, 7))), ip(UDP, udp(bytes(length), 20000, 40000))
    assert [found.kind for raw in (asked, told) if (found := read_ip(raw, wanted))] == ["request", "reply"]


@pytest.mark.parametrize("data", [echo_request(1, 2, 56), echo_request(40000, 65535, 3), echo_request(0, 0, 0)])
def test_a_checksum_over_a_packet_with_its_checksum_is_zero(data: bytes) -> None:
    assert checksum(data) == 0
