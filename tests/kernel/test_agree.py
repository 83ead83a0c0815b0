"""What counts as a difference between the model's trace and a kernel's, and how it is put into words."""

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from flannelviz.dataplane.trace import trace
from flannelviz.faults import break_network
from flannelviz.kernel import agrees
from flannelviz.packet import Disposition, Hop, Trace
from tests.kernel.conftest import counted

MODEL = trace(counted(), "a1", "b1")
LOST = trace(break_network(counted(), "ip-forward-off"), "a1", "b1")
UNREACHABLE = trace(counted(), "a1", "172.16.8.99")


def with_hop(journey: Trace, number: int, **changes: Any) -> Trace:
    hops = list(journey.request)
    hops[number] = replace(hops[number], **changes)
    return replace(journey, request=tuple(hops), disposition=hops[-1].disposition)


def packet(hop: Hop, **changes: Any) -> Any:
    return replace(hop.sent, **changes)


def test_a_trace_agrees_with_itself() -> None:
    assert agrees(MODEL, MODEL) == agrees(LOST, LOST) == agrees(UNREACHABLE, UNREACHABLE) == ()


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (
            with_hop(MODEL, 1, out_dev="eth1"),
            "request, hop 2 (node-a) goes out by: the model says eth0, the kernel eth1",
        ),
        (
            with_hop(MODEL, 1, sent=packet(MODEL.request[1], ttl=64)),
            "request, hop 2 (node-a) sends ttl: the model says 63, the kernel 64",
        ),
        (
            with_hop(MODEL, 4, sent=packet(MODEL.request[4], src=IPv4Address("192.168.0.10"))),
            "source seen: the model says 172.16.0.130, the kernel 192.168.0.10",
        ),
        (replace(MODEL, reply=()), "reply sent: the model says True, the kernel False"),
        (
            replace(MODEL, request=MODEL.request[:4], disposition=Disposition.FORWARDED),
            "request ends at: the model says default/b1, the kernel node-b",
        ),
    ],
)
def test_a_difference_is_put_into_words(kernel: Trace, words: str) -> None:
    assert words in agrees(MODEL, kernel)


def test_ports_are_no_difference() -> None:
    assert agrees(MODEL, with_hop(MODEL, 1, sent=packet(MODEL.request[1], sport=61000))) == ()


def test_silence_agrees_with_every_silent_end_and_with_no_other() -> None:
    assert agrees(LOST, with_hop(LOST, -1, disposition=Disposition.UNKNOWN)) == ()
    assert agrees(UNREACHABLE, with_hop(UNREACHABLE, -1, disposition=Disposition.UNKNOWN)) != ()
    assert agrees(MODEL, with_hop(MODEL, -1, disposition=Disposition.UNKNOWN)) != ()


def test_an_icmp_error_is_compared_with_its_sender() -> None:
    found = agrees(UNREACHABLE, with_hop(UNREACHABLE, -1, icmp=None))
    assert found == (
        "request, hop 4 (node-b) answers with: the model says host unreachable from 192.168.0.11, the kernel None",
    )
