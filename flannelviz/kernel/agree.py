"""Whether the model and a kernel say the same about a packet, and in which words they differ.

What is left out of the comparison, and why, stands in `ledger.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from flannelviz.model import INTERNET, VPC
from flannelviz.packet import Disposition, Hop, Packet, Trace

# Ways to end that nobody outside can tell apart, where no error is sent: nothing more is seen.
SILENT = frozenset(
    {
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

UNREACHABLE = "host unreachable"  # for want of a carrier, or of an ARP answer
PORTS = {"request": "dport", "reply": "sport"}  # the server's; the asker's may be drawn by lot

Hops = Sequence[Hop]


def agrees(model: Trace, kernel: Trace) -> tuple[str, ...]:
    """Return the differences between two traces of one packet, in words; none if the kernel did what the model says.

    Shape: compared are the verdict, the place where the packet or its answer died, the source that the receiver saw,
    hop by hop the devices, addresses, ports, MACs and TTL, and the way of each ICMP error.
    """
    return tuple(_Comparison(model, kernel).differences())


def _differing(what: str, model: object, kernel: object) -> Iterator[str]:
    if model != kernel:
        yield f"{what}: the model says {model}, the kernel {kernel}"


class _Comparison:
    """Two traces of one packet, and what of the model's a kernel cannot show."""

    def __init__(self, model: Trace, kernel: Trace) -> None:
        self.model, self.kernel = model, kernel
        self.sent = {id(e[0].received.about): e[0].sent.inner or e[0].sent for e in model.errors}
        self.stuck = {id(e[0].received.about): e[-1] for e in model.errors if not _left(e)}
        self.rationed = {id(h.icmp.about) for h in model.hops if h.icmp is not None and h.icmp.what == RATIONED}

    def differences(self) -> Iterator[str]:
        """Return all differences, in the order of the journey."""
        yield from self._direction("request", self.model.request, self.kernel.request)
        yield from _differing("source seen", self.model.source_seen, self.kernel.source_seen)
        if self.model.reply or self.kernel.reply:
            yield from self._direction("reply", self.model.reply, self.kernel.reply)
        yield from self._errors()

    def _direction(self, way: str, model: Hops, kernel: Hops) -> Iterator[str]:
        if bool(model) != bool(kernel):
            yield from _differing(f"{way} sent", bool(model), bool(kernel))
            return
        yield from self._end(way, model[-1], kernel[-1])
        port = PORTS.get(way) if self._asked_for_a_port() and (way == "request" or self._answers_as_asked()) else None
        for number, (ours, theirs) in enumerate(zip_longest(model, kernel), 1):
            yield from self._hop(f"{way}, hop {number}", ours, theirs, port)

    def _asked_for_a_port(self) -> bool:
        """Return whether the model was told a port; where it was not, a lab asks one at which somebody listens."""
        return self.model.request[0].received.dport > 0

    def _answers_as_asked(self) -> bool:
        """Return whether the answer comes from the address asked; to a broadcast it is a flow with ports of its own."""
        return bool(self.model.reply) and self.model.reply[0].received.src == self.model.request[-1].sent.dst

    def _end(self, way: str, model: Hop, kernel: Hop) -> Iterator[str]:
        yield from _differing(f"{way} ends at", model.place, kernel.place)
        if kernel.disposition not in self._told(model):
            yield from _differing(f"{way} ends as", model.disposition.value, kernel.disposition.value)

    def _told(self, model: Hop) -> set[Disposition]:
        """Return the ends that a kernel shows where the model ends like this."""
        shown = {model.disposition}
        if model.disposition in SILENT and (model.icmp is None or self._unseen(model)):
            shown |= {Disposition.UNKNOWN, Disposition.DENIED} if model.place == VPC else {Disposition.UNKNOWN}
        if model.icmp is not None and model.icmp.what == UNREACHABLE:
            shown |= {Disposition.NEIGHBOR_UNREACHABLE, Disposition.LINK_DOWN}
        if (stuck := self._stuck(model)) is not None:
            shown.add(stuck.disposition)
        return shown

    def _stuck(self, model: Hop) -> Hop | None:
        """Return where the ICMP error of a hop died, if it never left the place that sent it."""
        return self.stuck.get(id(model.icmp.about)) if model.icmp is not None else None

    def _hop(self, where: str, model: Hop | None, kernel: Hop | None, port: str | None) -> Iterator[str]:
        if model is None or kernel is None or model.place != kernel.place:
            yield from _differing(where, model.place if model else "nothing", kernel.place if kernel else "nothing")
            return
        where = f"{where} ({model.place})"
        yield from _differing(f"{where} comes in by", model.in_dev, kernel.in_dev)
        if model.in_dev is not None:
            near = INTERNET not in (model.in_dev, model.place)
            yield from _headers(f"{where} receives", model.received, kernel.received, near, port)
        if model.disposition is Disposition.FORWARDED:
            near = INTERNET not in (model.out_dev, model.place)
            yield from _differing(f"{where} goes out by", model.out_dev, kernel.out_dev)
            yield from _headers(f"{where} sends", model.sent, kernel.sent, near, port)
        elif model.disposition in (Disposition.ACCEPTED, Disposition.UNEXPECTED):
            yield from _headers(f"{where} hands over", model.sent, kernel.sent, False, port)
        if (kernel.icmp is not None or not self._unseen(model)) and not self._at_a_drawn_port(model):
            yield from _differing(f"{where} answers with", self._icmp(model), self._icmp(kernel))

    def _at_a_drawn_port(self, model: Hop) -> bool:
        """Return whether an answer from another address came to the asker, or to the port that masquerading drew."""
        return model.disposition is Disposition.UNEXPECTED and model.icmp is None

    def _unseen(self, model: Hop) -> bool:
        """Return whether a kernel may not show an ICMP error that the model sends: a rationed one, or one on no wire.

        The stand-in for the VPC sends none, and what a place tells itself never leaves it.
        """
        if model.icmp is None:
            return False
        rationed = model.icmp.what == RATIONED
        return rationed or model.place == VPC or model.in_dev is None or self._stuck(model) is not None

    def _errors(self) -> Iterator[str]:
        ours = [e for e in self.model.errors if _left(e) and e[0].place != VPC]
        theirs = [e for e in self.kernel.errors if _left(e)]
        if self.model.reply and self._at_a_drawn_port(self.model.reply[-1]):
            theirs = [e for e in theirs if e[0].place != self.model.reply[-1].place]
        if len(ours) > len(theirs):
            ours = [e for e in ours if id(e[0].received.about) not in self.rationed]
        for model, kernel in zip_longest(ours, theirs, fillvalue=()):
            yield from self._direction("ICMP error", model, kernel)

    def _icmp(self, hop: Hop) -> str | None:
        """Return what a hop answers with, and from which address the wire sees it."""
        if hop.icmp is None:
            return None
        sent = self.sent.get(id(hop.icmp.about))
        return f"{hop.icmp.what} from {sent.src if sent is not None else hop.icmp.source}"


def _left(error: Hops) -> bool:
    """Return whether an ICMP error left the place that sent it."""
    return any(hop.place != error[0].place for hop in error)


def _headers(what: str, model: Packet, kernel: Packet, macs: bool, port: str | None) -> Iterator[str]:
    names = ["src", "dst", "ttl"] + ([port] if port is not None and model.inner is None else [])
    names += [name for name in ("src_mac", "dst_mac") if macs and getattr(model, name)]
    for name in names:
        yield from _differing(f"{what} {name}", getattr(model, name), getattr(kernel, name))
    if model.inner is not None and kernel.inner is not None:
        yield from _headers(f"{what}, in the tunnel,", model.inner, kernel.inner, macs, port)
    else:
        yield from _differing(f"{what} in a tunnel", model.inner is not None, kernel.inner is not None)
