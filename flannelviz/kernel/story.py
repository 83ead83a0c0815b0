"""What was seen -> Trace: the sightings of one packet, put in order and told in the words of the model."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from itertools import groupby
from typing import NamedTuple

from flannelviz.kernel.blueprint import SPENT, Blueprint, Carried, Delivery, Observation, Order, Quote, Sighting
from flannelviz.kernel.router import is_wire
from flannelviz.kernel.silence import cause, overheard, own_questions
from flannelviz.model import VPC
from flannelviz.packet import Disposition, Hop, IcmpError, Packet, Step, Trace
from flannelviz.tables import LO

LOOP_VISITS = 3
VETH = "veth"  # how the ports of a bridge begin
ENDS_BY_ERROR: Mapping[int, Disposition] = {
    errno.ENETUNREACH: Disposition.NO_ROUTE,
    errno.EHOSTUNREACH: Disposition.NEIGHBOR_UNREACHABLE,
    errno.EMSGSIZE: Disposition.MTU_EXCEEDED,
    errno.EPERM: Disposition.DENIED,
    errno.EACCES: Disposition.UNDELIVERABLE,  # a broadcast address
    errno.ENETDOWN: Disposition.LINK_DOWN,
    errno.EINVAL: Disposition.SOURCE_REJECTED,  # a loopback address, which may not leave
}
PORT_UNREACHABLE = "icmp 3/3"
ICMP_ERRORS: Mapping[str, tuple[str, Disposition]] = {
    "icmp 3/0": ("net unreachable", Disposition.NO_ROUTE),
    "icmp 3/1": ("host unreachable", Disposition.NEIGHBOR_UNREACHABLE),
    "icmp 3/2": ("protocol unreachable", Disposition.DENIED),
    PORT_UNREACHABLE: ("port unreachable", Disposition.DENIED),
    "icmp 3/4": ("fragmentation needed", Disposition.MTU_EXCEEDED),
    "icmp 3/9": ("net prohibited", Disposition.DENIED),
    "icmp 3/10": ("host prohibited", Disposition.DENIED),
    "icmp 3/13": ("administratively prohibited", Disposition.DENIED),
    "icmp 11/0": ("time exceeded", Disposition.TTL_EXCEEDED),
}


class Names(NamedTuple):
    """The places of a lab, and what a Hop calls a device where the lab had to call it otherwise."""

    places: frozenset[str]
    devices: Mapping[tuple[str, str], str]

    @classmethod
    def of(cls, drawn: Blueprint) -> Names:
        """Return the names of a blueprint."""
        devices = {(machine.place, dev): name for machine in drawn.machines for dev, name in machine.names}
        return cls(frozenset(machine.place for machine in drawn.machines), devices)

    def device(self, sighting: Sighting) -> str:
        """Return what a Hop calls the device of a sighting."""
        return self.devices.get((sighting.place, sighting.dev), sighting.dev)


class Teller:
    """One packet and what was seen of it, while it is made a Trace."""

    def __init__(self, order: Order, observed: Observation, names: Names) -> None:
        self.order, self.observed, self.names = order, observed, names

    def direction(self, kind: str, start: str) -> tuple[Hop, ...]:
        """Return the hops of the request or of the reply."""
        visits = self._visits(kind)
        arrived = next((one for one in self.observed.delivered if one.kind == kind), None)
        if not visits:
            return (self._unseen(kind, start, arrived is not None),)
        hops = [self._hop(number, visits) for number in range(len(visits))]
        if arrived is not None and visits[-1][0].place == arrived.place:
            hops[-1] = self._ended(_handed_over(hops[-1], arrived), Disposition.ACCEPTED, kind)
        else:
            hops[-1] = self._explained(self._ended(hops[-1], self._death(kind, visits), kind), visits[-1][-1])
        return tuple(hops)

    def refused(self, last: Hop) -> Hop:
        """Return the last hop of a request for which nobody listens."""
        return replace(self._ended(last, Disposition.REFUSED, "request"), next_place=None)

    def errors(self) -> tuple[tuple[Hop, ...], ...]:
        """Return the journey of each ICMP error that was seen."""
        kinds = dict.fromkeys(s.kind for s in self.observed.sightings if s.kind.startswith("icmp "))
        return tuple(self.direction(kind, "") for kind in kinds if self._visits(kind))

    def _visits(self, kind: str) -> list[list[Sighting]]:
        """Return the sightings of one direction, place after place."""
        seen = [s for s in self.observed.sightings if s.kind == kind and not is_wire(s.dev) and not overheard(s)]
        return [list(visit) for _, visit in groupby(seen, key=lambda s: s.place)]

    def _hop(self, number: int, visits: Sequence[list[Sighting]]) -> Hop:
        visit = visits[number]
        outs = [s for s in visit if s.out]
        came, went = visit[0], (outs or visit)[-1]
        received, sent = _packet(came), _packet(went)
        in_dev = None if came.out else self.names.device(came)
        out_dev = self.names.device(went) if outs else None
        onward = visits[number + 1][0].place if number + 1 < len(visits) else None
        seen = ", ".join(dict.fromkeys(f"{'out of' if s.out else 'in by'} {self.names.device(s)}" for s in visit))
        step = Step(came.place, "observed", ("seen {}", seen), None, None, received, sent)
        return Hop(came.place, Disposition.FORWARDED, (step,), in_dev, out_dev, received, sent, onward)

    def _unseen(self, kind: str, start: str, arrived: bool) -> Hop:
        """Return the hop of a packet that no device ever carried."""
        order = self.order
        packet = Packet(None, IPv4Address(order.dst), order.proto, order.sport, order.dport, order.ttl, order.size)
        packet = replace(packet, dont_fragment=order.dont_fragment)
        if kind == "reply":
            packet = Packet(IPv4Address(order.dst), packet.dst, order.proto)
        number = self.observed.error if kind == "request" else self.observed.reply_error
        end = _told_by(number, start) or self._asked_in_vain(start)
        step = Step(start, "observed", ("seen on no device",), None, None, packet, packet)
        hop = Hop(start, end or Disposition.UNKNOWN, (step,), None, None, packet, packet)
        if arrived:
            return replace(hop, disposition=Disposition.ACCEPTED)
        known = self._explained(hop, None)
        told = self._told_itself(start, kind) if known.disposition is Disposition.UNKNOWN else None
        return replace(known, disposition=told) if told is not None else known

    def _told_itself(self, start: str, kind: str) -> Disposition | None:
        """Return the end of which a place told itself, by an ICMP error over lo; it has asked nobody before."""
        told = self._icmp_error(start, kind)
        return self._meant(told[1], start) if told is not None else None

    def _explained(self, hop: Hop, last: Sighting | None) -> Hop:
        """Return a hop at which a packet ended in silence, with the end and the reason that its kernel knows."""
        found = cause(self.observed.known, last) if hop.disposition is Disposition.UNKNOWN else None
        if found is None or self.observed.place != hop.place:
            return hop
        known = (found[0], *(said for said in self.observed.known if said.startswith(SPENT)))
        steps = (Step(hop.place, "known", ("{}", said), None, None, hop.sent, hop.sent) for said in known)
        return replace(hop, disposition=found[1], steps=(*hop.steps, *steps))

    def _death(self, kind: str, visits: Sequence[list[Sighting]]) -> Disposition:
        last = visits[-1]
        place = last[0].place
        often = max(Counter(visit[0].place for visit in visits).values())
        error = self._icmp_error(place, kind)
        if often >= LOOP_VISITS and last[-1].ttl <= 1:
            return Disposition.LOOP
        if error is not None:
            closed = error[0].kind == f"{PORT_UNREACHABLE} {kind}" and place not in self.observed.rejected
            return Disposition.REFUSED if closed and last[-1].inner is not None else self._meant(error[1], place)
        flooded = len({s.dev for s in last if s.out and s.dev.startswith(VETH)}) > 1
        return self._asked_in_vain(place) or (Disposition.UNDELIVERABLE if flooded else Disposition.UNKNOWN)

    def _meant(self, end: Disposition, place: str) -> Disposition:
        """Return the end that an ICMP error stands for: a rule where one has counted, else by what a place has asked.

        Where no neighbour was asked for, it was a device.
        """
        if place in self.observed.rejected:
            return Disposition.DENIED
        if end is Disposition.NEIGHBOR_UNREACHABLE and self._asked_in_vain(place) is None:
            return Disposition.LINK_DOWN
        return end

    def _at(self, place: str) -> list[Sighting]:
        """Return what was seen on the devices of a place, the ports of its bridge aside."""
        return [s for s in self.observed.sightings if s.place == place and not s.dev.startswith(VETH)]

    def _icmp_error(self, place: str, kind: str) -> tuple[Sighting, Disposition] | None:
        """Return the first ICMP error that a place sent about the request or the reply."""
        for seen in self.observed.sightings:
            what = seen.kind.removesuffix(f" {kind}")
            if seen.out and seen.place == place and what in ICMP_ERRORS and what != seen.kind:
                return seen, ICMP_ERRORS[what][1]
        return None

    def _asked_in_vain(self, place: str) -> Disposition | None:
        """Return NEIGHBOR_UNREACHABLE if a place sent an ARP request that nobody answered."""
        here = self._at(place)
        asked = set(own_questions(here))
        told = {s.src for s in here if s.kind == "arp 2" and not s.out}
        return Disposition.NEIGHBOR_UNREACHABLE if asked - told else None

    def _ended(self, hop: Hop, end: Disposition, kind: str) -> Hop:
        found = self._icmp_error(hop.place, kind)
        icmp = None
        if found is not None and hop.in_dev is not None:
            what = found[0].kind.removesuffix(f" {kind}")
            about, mtu = _about(found[0].quote) or hop.received, found[0].quote.mtu if found[0].quote else 0
            icmp = IcmpError(ICMP_ERRORS[what][0], hop.place, IPv4Address(found[0].src), about, mtu=mtu or None)
        return Hop(hop.place, end, hop.steps, hop.in_dev, hop.out_dev, hop.received, hop.sent, icmp=icmp)


def _told_by(number: int, place: str) -> Disposition | None:
    """Return the end for which a program got an error; what the VPC forbids a program is an answer that has no NAT."""
    return Disposition.SOURCE_REJECTED if (number, place) == (errno.EPERM, VPC) else ENDS_BY_ERROR.get(number)


def _packet(seen: Sighting) -> Packet:
    """Return the packet that a sighting shows, with the one inside its tunnel, and the one that an error quotes."""
    found = _headers(seen)
    if seen.inner is not None:
        return replace(found, inner=replace(_headers(seen.inner), about=_about(seen.quote)))
    found = replace(found, about=_about(seen.quote))
    return replace(found, src_mac="", dst_mac="") if seen.dev == LO else found


def _about(quote: Quote | None) -> Packet | None:
    return _headers(quote) if quote is not None else None


def _headers(seen: Sighting | Carried | Quote) -> Packet:
    src, dst = IPv4Address(seen.src), IPv4Address(seen.dst)
    form, macs = seen.form, () if isinstance(seen, Quote) else (seen.src_mac, seen.dst_mac)
    return Packet(src, dst, form.proto, seen.sport, seen.dport, seen.ttl, form.size, form.dont_fragment, *macs)


def _handed_over(hop: Hop, arrived: Delivery) -> Hop:
    """Return the last hop of a packet that arrived, which programs see under its final addresses and ports."""
    src, dst = IPv4Address(arrived.src), IPv4Address(arrived.dst)
    form, about = arrived.form, _about(arrived.quote)
    got = Packet(src, dst, form.proto, arrived.sport, arrived.dport, hop.sent.ttl, form.size, form.dont_fragment)
    return replace(hop, sent=replace(got, src_mac=hop.sent.src_mac, dst_mac=hop.sent.dst_mac, about=about))


def story(source: str, order: Order, observed: Observation, names: Names) -> Trace:
    """Return the journey of a packet as it was seen.

    Shape: request hops, then, if it arrived, reply hops; and the journey of each ICMP error.
    """
    teller = Teller(order, observed, names)
    request = teller.direction("request", order.place)
    last = request[-1]
    if last.disposition is Disposition.ACCEPTED and not order.served and order.proto != "icmp":
        return _refused(source, teller, request)
    if last.disposition is not Disposition.ACCEPTED:
        return Trace(source, order.dst, request, last.disposition, errors=teller.errors())
    reply = teller.direction("reply", last.place)
    reply = (*reply[:-1], _asked_for(reply[-1], order))
    return Trace(source, order.dst, request, last.disposition, reply, reply[-1].disposition, teller.errors())


def _refused(source: str, teller: Teller, request: tuple[Hop, ...]) -> Trace:
    """Return the journey of a packet for which nobody listens: an ICMP error comes of UDP, a reset of TCP."""
    order, last = teller.order, request[-1]
    request = (*request[:-1], teller.refused(last))
    reply = teller.direction("reply", last.place) if order.proto == "tcp" else ()
    reply = (*reply[:-1], _asked_for(reply[-1], order)) if reply else ()
    return Trace(source, order.dst, request, Disposition.REFUSED, reply, errors=teller.errors())


def _asked_for(last: Hop, order: Order) -> Hop:
    """Return the reply's last hop, as UNEXPECTED if it came to another place or from another address than asked."""
    asked = last.place == order.place and last.sent.src == IPv4Address(order.dst)
    if last.disposition is not Disposition.ACCEPTED or asked:
        return last
    return replace(last, disposition=Disposition.UNEXPECTED)
