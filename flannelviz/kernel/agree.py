"""Whether the model and a kernel say the same about a packet, and in which words they differ.

What is left out of the comparison, and why, stands in `ledger.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from flannelviz.kernel.blueprint import SPENT
from flannelviz.model import INTERNET, VPC
from flannelviz.packet import Disposition, Flow, Hop, Packet, Step, Trace
from flannelviz.tables import LO, VXLAN_DEV, Rule

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
HANDED_OVER = (Disposition.ACCEPTED, Disposition.UNEXPECTED, Disposition.REFUSED)  # to a program, if there is one
RATIONED = "net unreachable"  # five at once for each sender, then one a second: net/ipv4/route.c, ip_error
REQUEST, REPLY, ERROR = "request", "reply", "ICMP error"
SERVERS = {REQUEST: "dport", REPLY: "sport"}  # whose port is which
ASKERS = {REQUEST: "sport", REPLY: "dport"}
MASQUERADES, AT_RANDOM = "MASQUERADE", "--random-fully"
NEVER = 1 << 16  # a hop that no journey has

Hops = Sequence[Hop]


class _Ports(NamedTuple):
    """Which ports of a direction are compared: the server's in all hops, the asker's in those that come before a lot.

    Shape: `received` and `sent` tell of which hops, by number.
    """

    server: str | None = None
    asker: str | None = None
    received: range = range(0)
    sent: range = range(0)

    def of(self, number: int, received: bool) -> tuple[str, ...]:
        """Return the names of the ports that are compared in one hop."""
        asker = self.asker if number in (self.received if received else self.sent) else None
        return tuple(name for name in (self.server, asker) if name is not None)


NO_PORTS = _Ports()


def agrees(model: Trace, kernel: Trace) -> tuple[str, ...]:
    """Return the differences between two traces of one packet, in words; none if the kernel did what the model says.

    Shape: compared are the verdict, the place where the packet or its answer died, the source that the receiver saw,
    hop by hop the devices, addresses, protocol, ports, MACs, TTL, size and DF, of a tunnel's packet and of the one in
    it, and the way of each ICMP error with the packet that it quotes.
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
        self.lot = next((n for n, hop in enumerate(model.request) if _draws_a_port(hop)), NEVER)
        ends = [(ours[-1], theirs[-1]) for ours, theirs in self._ways() if ours and theirs]
        self.rationed = {id(our.icmp.about) for our, their in ends if our.icmp is not None and _rationed(our, their)}

    def _ways(self) -> tuple[tuple[Hops, Hops], ...]:
        """Return the model's hops and the kernel's, there and back."""
        return (self.model.request, self.kernel.request), (self.model.reply, self.kernel.reply)

    def differences(self) -> Iterator[str]:
        """Return all differences, in the order of the journey."""
        yield from self._direction(REQUEST, self.model.request, self.kernel.request)
        yield from _differing("source seen", self.model.source_seen, self.kernel.source_seen)
        if self.model.reply or self.kernel.reply:
            yield from self._direction(REPLY, self.model.reply, self.kernel.reply)
        yield from self._errors()

    def _direction(self, way: str, model: Hops, kernel: Hops) -> Iterator[str]:
        if bool(model) != bool(kernel):
            yield from _differing(f"{way} sent", bool(model), bool(kernel))
            return
        yield from self._end(way, model[-1], kernel[-1])
        ports = self._ports(way)
        for number, (ours, theirs) in enumerate(zip_longest(model, kernel), 1):
            seen = ports.of(number, received=True), ports.of(number, received=False)
            yield from self._hop(f"{way}, hop {number}", ours, theirs, *seen)

    def _ports(self, way: str) -> _Ports:
        """Return which ports are compared: no port that nobody was told, and none that masquerading has drawn."""
        if way == ERROR or (way == REPLY and not self._answers_as_asked()):
            return NO_PORTS
        server = SERVERS[way] if self._asked_for_a_port() else None
        if way == REQUEST:
            return _Ports(server, ASKERS[way], range(self.lot + 2), range(self.lot + 1))
        back = self._undrawn()
        return _Ports(server, ASKERS[way], range(back + 1, NEVER), range(back, NEVER))

    def _undrawn(self) -> int:
        """Return the number of the answer's hop behind which its port is the asker's own again."""
        if self.lot == NEVER:
            return 0
        place = self.model.request[self.lot].place
        return next((n for n, hop in enumerate(self.model.reply, 1) if hop.place == place), NEVER)

    def _asked_for_a_port(self) -> bool:
        """Return whether the model was told a port; where it was not, a lab asks one at which somebody listens."""
        first = self.model.request[0].received
        return first.dport > 0 or first.proto == "icmp"

    def _answers_as_asked(self) -> bool:
        """Return whether the answer comes from the address asked; to a broadcast it is a flow with ports of its own."""
        return bool(self.model.reply) and self.model.reply[0].received.src == self.model.request[-1].sent.dst

    def _end(self, way: str, model: Hop, kernel: Hop) -> Iterator[str]:
        yield from _differing(f"{way} ends at", model.place, kernel.place)
        if kernel.disposition not in self._told(way, model):
            yield from _differing(f"{way} ends as", model.disposition.value, kernel.disposition.value)

    def _told(self, way: str, model: Hop) -> set[Disposition]:
        """Return the ends that a kernel shows where the model ends like this."""
        shown = {model.disposition}
        if way == ERROR and model.disposition in SILENT:  # nobody asks a kernel why; ARP there was for what it is about
            shown |= {Disposition.UNKNOWN, Disposition.NEIGHBOR_UNREACHABLE}
        if (stuck := self._stuck(model)) is not None:
            shown |= {stuck.disposition} - {Disposition.ACCEPTED}
        return shown

    def _stuck(self, model: Hop) -> Hop | None:
        """Return where the ICMP error of a hop died, if it never left the place that sent it."""
        return self.stuck.get(id(model.icmp.about)) if model.icmp is not None else None

    def _hop(
        self, where: str, model: Hop | None, kernel: Hop | None, came: tuple[str, ...] = (), went: tuple[str, ...] = ()
    ) -> Iterator[str]:
        if model is None or kernel is None or model.place != kernel.place:
            yield from _differing(where, model.place if model else "nothing", kernel.place if kernel else "nothing")
            return
        where = f"{where} ({model.place})"
        yield from _differing(f"{where} comes in by", model.in_dev, kernel.in_dev)
        if model.in_dev is not None:
            near = INTERNET not in (model.in_dev, model.place)
            yield from self._headers(f"{where} receives", model.received, kernel.received, near, came)
        arrives = model.disposition in HANDED_OVER
        leaves = model.disposition is Disposition.FORWARDED or kernel.out_dev is not None
        if leaves and not _dies_around(model, kernel):
            yield from _differing(f"{where} goes out by", model.out_dev, kernel.out_dev)
        if arrives or (leaves and not _unpacked(model, kernel)):
            near = not arrives and INTERNET not in (model.out_dev, model.place)
            what = "hands over" if arrives else "sends"
            left = model.sent.inner if _dies_around(model, kernel) and model.sent.inner else model.sent
            yield from self._headers(f"{where} {what}", left, kernel.sent, near, went)
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
        unsent = id(model.icmp.about) in self.rationed or model.icmp.source is None  # or it has no way back
        return unsent or model.place == VPC or model.in_dev is None or self._stuck(model) is not None

    def _errors(self) -> Iterator[str]:
        ours = [e for e in self.model.errors if _left(e) and e[0].place != VPC]
        theirs = [e for e in self.kernel.errors if _left(e)]
        if self.model.reply and self._at_a_drawn_port(self.model.reply[-1]):
            theirs = [e for e in theirs if e[0].place != self.model.reply[-1].place]
        if len(ours) > len(theirs):
            ours = [e for e in ours if id(e[0].received.about) not in self.rationed]
        for model, kernel in zip_longest(ours, theirs, fillvalue=()):
            yield from self._direction(ERROR, *_to_the_gateway(model, kernel))

    def _headers(self, what: str, model: Packet, kernel: Packet, macs: bool, ports: tuple[str, ...]) -> Iterator[str]:
        if model.inner is None:
            yield from _fields(what, model, kernel, (*IN_ANY, *ports, *(MACS if macs else ())))
            yield from _differing(f"{what} in a tunnel", False, kernel.inner is not None)
            yield from self._quote(f"{what}, in its quote,", model.about, kernel.about)
            return
        yield from _fields(what, model, kernel, (*IN_ANY, "dport", *(MACS if macs else ())))
        if kernel.inner is None:
            yield from _differing(f"{what} in a tunnel", True, False)
            return
        yield from self._headers(f"{what}, in the tunnel,", model.inner, kernel.inner, macs, ports)

    def _quote(self, what: str, model: Packet | None, kernel: Packet | None) -> Iterator[str]:
        """Return the differences between the packets that an ICMP error speaks of."""
        if model is None or kernel is None:
            yield from _differing(f"{what} is there", model is not None, kernel is not None)
            return
        told = self._asked_for_a_port() and (not model.answer or self._answers_as_asked())
        own = told and self.lot == NEVER and model.inner is None
        names = (*(("sport", "dport") if own else ()), *(("size",) if model.dont_fragment else ()))
        yield from _fields(what, model, kernel, (*IN_A_QUOTE, *names))

    def _icmp(self, hop: Hop) -> str | None:
        """Return what a hop answers with, and from which address the wire sees it."""
        if hop.icmp is None:
            return None
        sent = self.sent.get(id(hop.icmp.about))
        size = f", MTU {hop.icmp.mtu}," if hop.icmp.mtu else ""
        return f"{hop.icmp.what}{size} from {sent.src if sent is not None else hop.icmp.source}"


def _unpacked(model: Hop, kernel: Hop) -> bool:
    """Return whether a tunnel's packet came back over lo: a Hop of the model shows what was in it then."""
    return model.out_dev == LO and model.sent.inner is None and kernel.sent.inner is not None


def _dies_around(model: Hop, kernel: Hop) -> bool:
    """Return whether the packet that a tunnel puts around another dies at once: its device shows the inner one only."""
    died = model.disposition is not Disposition.FORWARDED and model.sent.inner is not None
    return died and kernel.sent.inner is None and kernel.out_dev == VXLAN_DEV


def _rationed(model: Hop, kernel: Hop) -> bool:
    """Return whether the kernel has told the sender for want of a route as often as it does at once."""
    ends_so = model.disposition is Disposition.NO_ROUTE and model.icmp is not None and model.icmp.what == RATIONED
    return ends_so and any(step.says.startswith(SPENT) for step in kernel.steps)


def _to_the_gateway(model: Hops, kernel: Hops) -> tuple[Hops, Hops]:
    """Return both ways of an ICMP error; up to the VPC only, if it tells the Internet of a reset."""
    places = [hop.place for hop in model]
    if INTERNET not in places or VPC not in places or not _speaks_of_a_reset(model):
        return model, kernel
    return model[: places.index(VPC)], kernel[: places.index(VPC)]


def _speaks_of_a_reset(error: Hops) -> bool:
    about = error[0].received.about
    return about is not None and about.reset


def _left(error: Hops) -> bool:
    """Return whether an ICMP error left the place that sent it."""
    return any(hop.place != error[0].place for hop in error)


IN_A_QUOTE = ("src", "dst", "proto", "ttl", "dont_fragment")
IN_ANY = (*IN_A_QUOTE, "size")  # what is compared of any packet
MACS = ("src_mac", "dst_mac")


def _fields(what: str, model: Packet, kernel: Packet, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        yield from _differing(f"{what} {name}", getattr(model, name), getattr(kernel, name))


def _draws_a_port(hop: Hop) -> bool:
    """Return whether a place gave the packet another source port by lot: by rule, or for want of a free one."""
    return any(_at_random(step) or _as_before(step) or _on_another_port(step) for step in hop.steps)


def _on_another_port(step: Step) -> bool:
    """Return whether one packet has another source port now; what a tunnel puts around it is another packet."""
    return step.before.inner is None is step.after.inner and step.before.sport != step.after.sport


def _as_before(step: Step) -> bool:
    """Return whether the source is rewritten as for a packet before, which may have had its port drawn."""
    return isinstance(step.row, Flow) and step.before.src != step.after.src


def _at_random(step: Step) -> bool:
    row = step.row
    return isinstance(row, Rule) and row.target == MASQUERADES and AT_RANDOM in row.options
