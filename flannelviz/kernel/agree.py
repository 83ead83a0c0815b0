"""Whether the model and a kernel say the same about a packet, and in which words they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from flannelviz.model import INTERNET, VPC
from flannelviz.packet import Disposition, Hop, Packet, Trace

# Ways to end that nobody outside can tell apart: no error is sent, and nothing more is seen.
SILENT = frozenset(
    {
        Disposition.UNKNOWN,
        Disposition.DENIED,
        Disposition.FORWARDING_DISABLED,
        Disposition.SOURCE_REJECTED,
        Disposition.UNDELIVERABLE,
        Disposition.LINK_DOWN,
        Disposition.MTU_EXCEEDED,  # at a veth
        Disposition.NO_ROUTE,
        Disposition.TTL_EXCEEDED,
    }
)
RATIONED = "net unreachable"  # five at once for each sender, then one a second: net/ipv4/route.c, ip_error


def agrees(model: Trace, kernel: Trace) -> tuple[str, ...]:
    """Return the differences between two traces of one packet, in words; none if the kernel did what the model says.

    Shape: compared are the verdict, the place where the packet or its answer died, the source that the receiver saw,
    and hop by hop the devices, addresses, MACs, TTL and ICMP error. Ports are not: a kernel may draw them by lot.
    """
    return (
        *_direction("request", model.request, kernel.request),
        *_differing("source seen", model.source_seen, kernel.source_seen),
        *(_direction("reply", model.reply, kernel.reply) if model.reply or kernel.reply else ()),
    )


def _differing(what: str, model: object, kernel: object) -> Iterator[str]:
    if model != kernel:
        yield f"{what}: the model says {model}, the kernel {kernel}"


def _direction(way: str, model: Sequence[Hop], kernel: Sequence[Hop]) -> Iterator[str]:
    if bool(model) != bool(kernel):
        yield from _differing(f"{way} sent", bool(model), bool(kernel))
        return
    yield from _end(way, model[-1], kernel[-1])
    for number, (ours, theirs) in enumerate(zip_longest(model, kernel), 1):
        yield from _hop(f"{way}, hop {number}", ours, theirs)


def _end(way: str, model: Hop, kernel: Hop) -> Iterator[str]:
    yield from _differing(f"{way} ends at", model.place, kernel.place)
    same = model.disposition is kernel.disposition or (
        kernel.disposition is Disposition.UNKNOWN and model.disposition in SILENT
    )
    if not same:
        yield from _differing(f"{way} ends as", model.disposition.value, kernel.disposition.value)


def _hop(where: str, model: Hop | None, kernel: Hop | None) -> Iterator[str]:
    if model is None or kernel is None or model.place != kernel.place:
        yield from _differing(where, model.place if model else "nothing", kernel.place if kernel else "nothing")
        return
    where = f"{where} ({model.place})"
    yield from _differing(f"{where} comes in by", model.in_dev, kernel.in_dev)
    if model.in_dev is not None:
        yield from _headers(
            f"{where} receives", model.received, kernel.received, INTERNET not in (model.in_dev, model.place)
        )
    if model.disposition is Disposition.FORWARDED:
        yield from _differing(f"{where} goes out by", model.out_dev, kernel.out_dev)
        yield from _headers(f"{where} sends", model.sent, kernel.sent, INTERNET not in (model.out_dev, model.place))
    if not _excused(model, kernel):
        yield from _differing(f"{where} answers with", _icmp(model), _icmp(kernel))


def _excused(model: Hop, kernel: Hop) -> bool:
    """Return whether the lab may miss an ICMP error: a rationed one, the VPC's own, or one that a place sends itself.

    The stand-in for the VPC sends none, and what a place tells itself never leaves it.
    """
    if kernel.icmp is not None or model.icmp is None:
        return False
    return model.icmp.what == RATIONED or model.place == VPC or model.in_dev is None


def _icmp(hop: Hop) -> str | None:
    return f"{hop.icmp.what} from {hop.icmp.source}" if hop.icmp else None


def _headers(what: str, model: Packet, kernel: Packet, macs: bool) -> Iterator[str]:
    for name in ("src", "dst", "ttl"):
        yield from _differing(f"{what} {name}", getattr(model, name), getattr(kernel, name))
    for name in ("src_mac", "dst_mac") if macs else ():
        if getattr(model, name):
            yield from _differing(f"{what} {name}", getattr(model, name), getattr(kernel, name))
