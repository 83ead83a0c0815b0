"""Which packet on a wire is ours, read from its bytes."""

import struct

import pytest

from flannelviz.kernel.frames import (
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

SRC, DST = bytes([172, 16, 0, 130]), bytes([172, 16, 8, 2])


def ip(proto: int, body: bytes, fragment: int = 0) -> bytes:
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, fragment, 63, proto, 0, SRC, DST) + body


def udp(payload: bytes, sport: int = 40000, dport: int = 20000) -> bytes:
    return struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


ECHO = ip(ICMP, echo_request(40000, 7, 56))
SYN = ip(TCP, tcp_syn("172.16.0.130", "172.16.8.2", (40000, 80), 7, 0))
ASKED = ip(UDP, udp(udp_payload(56, 7)))


@pytest.mark.parametrize(
    ("raw", "wanted", "headers"),
    [
        (ECHO, Wanted(ICMP, 7, 0), Headers("request", "172.16.0.130", "172.16.8.2", 63, 40000, 0)),
        (SYN, Wanted(TCP, 7, 80), Headers("request", "172.16.0.130", "172.16.8.2", 63, 40000, 80)),
        (ASKED, Wanted(UDP, 7, 20000), Headers("request", "172.16.0.130", "172.16.8.2", 63, 40000, 20000)),
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
    assert read_ip(error, Wanted(TCP, 8, 80)) is None


def test_only_the_first_fragment_has_headers_to_read() -> None:
    assert read_ip(ip(ICMP, echo_request(40000, 7, 56), fragment=185), Wanted(ICMP, 7, 0)) is None


@pytest.mark.parametrize("length", [0, 1, 7])
def test_a_short_udp_packet_is_known_by_its_port(length: int) -> None:
    wanted = Wanted(UDP, 7, 20000)
    asked, told = ip(UDP, udp(udp_payload(length, 7))), ip(UDP, udp(bytes(length), 20000, 40000))
    assert [found.kind for raw in (asked, told) if (found := read_ip(raw, wanted))] == ["request", "reply"]


@pytest.mark.parametrize("data", [echo_request(1, 2, 56), echo_request(40000, 65535, 3), echo_request(0, 0, 0)])
def test_a_checksum_over_a_packet_with_its_checksum_is_zero(data: bytes) -> None:
    assert checksum(data) == 0
