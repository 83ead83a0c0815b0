"""Hop after hop, there and back: the journey of one packet through a network. Reads tables, writes none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

from flannelviz.dataplane.fabric import OUTSIDE_HOST, OUTSIDE_MTU, on_internet, through_vpc
from flannelviz.dataplane.forward import forward
from flannelviz.dataplane.lookup import broadcast_of, local_address, route_for
from flannelviz.dataplane.visit import Memory
from flannelviz.errors import PacketError, UnknownPlaceError
from flannelviz.model import INTERNET, VPC, parse_address
from flannelviz.network import Network
from flannelviz.packet import (
    LEAST_PATH_MTU,
    MOST_SIZE,
    PING_SIZE,
    RESET_SIZE,
    Disposition,
    Hop,
    IcmpError,
    Learned,
    Packet,
    Trace,
    check,
)
from flannelviz.tables import LO

MAX_HOPS = 600  # a TTL is at most 255, and a hop of the VPC may not count
LOOP_VISITS = 3
BURST = 6  # ICMP errors to one destination


def trace(
    network: Network,
    source: str,
    destination: str | IPv4Address,
    *,
    proto: str = "icmp",
    sport: int = 40000,
    dport: int = 0,
    ttl: int = 64,
    size: int = PING_SIZE,
    dont_fragment: bool = True,
    served: bool = True,
    dice: float | None = None,
    learned: Learned | None = None,
) -> Trace:
    """Return the journey of a packet from the place `source` to a place or an address, and of the answer to it.

    `served`: whether a program listens at the destination. `dice`, from 0 to 1, decides where rules match at random,
    such as which endpoint of a Service answers.
    Shape: one Hop for each place visited. Units: `size` in bytes, IP header included; `ttl` in routed hops.
    Raises: UnknownPlaceError if a name is not in the network, or has no address yet; PacketError if no unicast IPv4
    packet has these headers.
    """
    dst = destination_address(network, destination)
    packet = Packet(None, dst, proto, sport, dport, ttl, size, dont_fragment, dice=dice)
    return send(network, source, packet, learned, served=served)


def destination_address(network: Network, destination: str | IPv4Address) -> IPv4Address:
    """Return the address that `destination`, a name or an address, stands for.

    Raises: UnknownPlaceError if nothing is called so, or what is has no address; AddressPlanError for a text that can
    only be an address and is none; PacketError for what is neither, or no network.
    """
    if not isinstance(network, Network):
        raise PacketError(f"a {type(network).__name__} is no network; a timeline and a dump have one: its .network")
    if isinstance(destination, IPv4Address):
        return destination
    if not isinstance(destination, str):
        raise PacketError(f"the destination {destination!r} is neither a name nor an IPv4 address")
    if destination.lower() == INTERNET.lower():
        return OUTSIDE_HOST
    named = destination in network.nodes or destination in network.pods or destination in network.ecs
    if _looks_like_an_address(destination) and not named:
        return parse_address(destination)
    found = network.address(destination)
    if found is None:
        yet = "" if network.place(destination) == VPC else " yet"  # the VPC never gets one
        raise UnknownPlaceError(
            f"{destination} has no address{yet}, so nothing can be sent to it; name another, or an address"
        )
    return found


def _looks_like_an_address(text: str) -> bool:
    """Return whether `text` must be an address, unless a dump calls a place so."""
    return ":" in text or not text.strip("0123456789./ ")


def send(network: Network, place: str, packet: Packet, learned: Learned | None = None, *, served: bool = True) -> Trace:
    """Return the journey of `packet`, sent by a program at `place`, of its answer, and of any ICMP error.

    Shape: request hops, then, if the request arrived, reply hops.
    Raises: UnknownPlaceError for a place that is not there, PacketError for a packet that cannot be.
    """
    check(packet)
    memory, place = Memory(learned or Learned()), network.place(place)
    if place == VPC:
        raise PacketError("the VPC sends nothing of its own; send from an ECS, a pod, or the Internet")
    start = network_namespace(network, place)
    request = _journey(network, start, packet, memory)
    if not served:
        request = _refused(network, request)
    last = request[-1]
    reply = _answer(network, start, request, memory)
    errors = (*_errors(network, request, memory), *_errors(network, reply, memory))
    back = reply[-1].disposition if reply and last.disposition is Disposition.ACCEPTED else None
    return Trace(place, str(packet.dst), request, last.disposition, reply, back, errors, memory.learned())


def _answer(network: Network, start: str, request: tuple[Hop, ...], memory: Memory) -> tuple[Hop, ...]:
    """Return the reply's hops: an answer, or TCP's reset where nobody listens; none where nothing arrived."""
    last = request[-1]
    reset = last.disposition is Disposition.REFUSED and last.sent.proto == "tcp"
    if last.disposition is not Disposition.ACCEPTED and not reset:
        return ()
    reply = _journey(network, last.place, _reply(network, last, memory), memory)
    return (*reply[:-1], _asked_for(network, reply[-1], start, request[0]))


def _reply(network: Network, last: Hop, memory: Memory) -> Packet:
    """Return the receiver's answer; to a packet for a broadcast address it comes from an address of its own.

    Source: ip(7), IP_PMTUDISC_WANT: what does not fit the own device is cut, whatever else would carry it;
    include/net/ip.h, ip_dont_fragment: so may be all where the way is told to take very little.
    """
    answer = last.sent.reply()
    if last.disposition is Disposition.REFUSED:
        answer = replace(answer, size=RESET_SIZE, reset=True)
    told = memory.path_mtu.get((last.place, answer.dst), MOST_SIZE)
    if told < LEAST_PATH_MTU or answer.size > min(told, _mtu_towards(network, last.place, answer)):
        answer = replace(answer, dont_fragment=False)
    if last.place in (VPC, INTERNET) or not broadcast_of(network.tables(last.place), last.sent.dst):
        return answer
    return replace(answer, src=None)


def _mtu_towards(network: Network, place: str, answer: Packet) -> int:
    """Return how much the device carries by which an answer leaves. Units: bytes."""
    if place in (VPC, INTERNET):
        return OUTSIDE_MTU
    tables = network.tables(place)
    route, _ = route_for(tables, answer.dst, answer.src)
    dev = LO if local_address(tables, answer.dst) else route.dev if route else ""
    link = tables.link(dev)
    return link.mtu if link else answer.size


def _refused(network: Network, request: tuple[Hop, ...]) -> tuple[Hop, ...]:
    """Return the request as it ends where nobody listens: with a reset for TCP, an ICMP error for UDP."""
    last = request[-1]
    if last.disposition is not Disposition.ACCEPTED or last.sent.proto == "icmp":
        return request
    return (*request[:-1], replace(last, disposition=Disposition.REFUSED, icmp=_port_unreachable(network, last)))


def _port_unreachable(network: Network, last: Hop) -> IcmpError | None:
    """Return how a place answers what came to a UDP port at which nobody listens.

    Shape: nothing for what was sent to a broadcast address, and from the VPC's services.
    """
    if last.sent.proto != "udp" or last.place == VPC:
        return None
    if last.place != INTERNET and broadcast_of(network.tables(last.place), last.sent.dst):
        return None
    return IcmpError("port unreachable", last.place, last.sent.dst, last.sent)


def _answered(last: Hop) -> bool:
    return last.icmp is not None and last.icmp.source is not None and last.icmp.about.src is not None


def _errors(network: Network, hops: tuple[Hop, ...], memory: Memory) -> Iterator[tuple[Hop, ...]]:
    """Return the journey of the ICMP error of which the hops came to an end, and of one about the tunnel it was in.

    Shape: where each error dies in a tunnel again, a machine stops after a burst.
    Source: net/ipv4/inetpeer.c, XRLIM_BURST_FACTOR.
    """
    for _ in range(BURST):
        if not hops or not _answered(hops[-1]):
            return
        hops = _error(network, hops[-1], memory)
        yield hops


def _error(network: Network, last: Hop, memory: Memory) -> tuple[Hop, ...]:
    """Return the journey of the ICMP error that a hop sent; it is never answered itself."""
    assert last.icmp is not None
    hops = _journey(network, last.place, last.icmp.packet(), memory)
    about = hops[-1].sent.about
    if last.icmp.mtu is not None and about is not None and hops[-1].disposition is Disposition.ACCEPTED:
        memory.learn_path_mtu(hops[-1].place, about.dst, last.icmp.mtu)
    return hops


def network_namespace(network: Network, place: str) -> str:
    """Return the place whose tables decide for `place`: a hostNetwork pod uses its node's."""
    pod = network.pods.get(place)
    return pod.node if pod is not None and pod.host_network and pod.node is not None else place


def _asked_for(network: Network, last: Hop, start: str, first: Hop) -> Hop:
    """Return the reply's last hop, as UNEXPECTED if it came to another place or from another address than asked."""
    if last.disposition is not Disposition.ACCEPTED:
        return last
    if last.place == start and last.sent.src == first.received.dst:
        return last
    error = _port_unreachable(network, last) if last.place != start else None
    return replace(last, disposition=Disposition.UNEXPECTED, icmp=error)


def _journey(network: Network, place: str, packet: Packet, memory: Memory) -> tuple[Hop, ...]:
    """Return the hops of one direction, until the packet arrives or dies."""
    hops: list[Hop] = []
    in_dev: str | None = None
    while len(hops) < MAX_HOPS:
        hop = _visit(network, place, packet, in_dev, memory)
        hops.append(hop)
        if hop.disposition is not Disposition.FORWARDED or hop.next_place is None:
            break
        place, packet, in_dev = hop.next_place, hop.sent, hop.next_dev
    return _named_as_loop(hops)


def _visit(network: Network, place: str, packet: Packet, in_dev: str | None, memory: Memory) -> Hop:
    here = {VPC: through_vpc, INTERNET: on_internet}.get(place, forward)
    return here(network, place, packet, in_dev, memory)


def _named_as_loop(hops: list[Hop]) -> tuple[Hop, ...]:
    """Return the hops, the last one as LOOP if the TTL ran out going round the same places."""
    visits = Counter(hop.place for hop in hops)
    if hops[-1].disposition is Disposition.TTL_EXCEEDED and max(visits.values()) >= LOOP_VISITS:
        hops[-1] = replace(hops[-1], disposition=Disposition.LOOP)
    return tuple(hops)
