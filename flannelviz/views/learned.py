"""What traffic taught the places, as rows beside those that programs wrote: ARP answers, ports, flows. READS only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

from flannelviz.network import Network
from flannelviz.packet import Flow, Learned
from flannelviz.tables import FdbEntry, Neighbor, Origin, Tables

ARP_ANSWER = Origin("kernel", "ARP reply")
ARP_QUESTION = Origin("kernel", "ARP request", "who asks says who he is")
FRAME = Origin("kernel", "learns a MAC", "a frame from it came in by this port")


def with_learned(network: Network, learned: Learned) -> Network:
    """Return a network whose places show what they have learned, beside what programs wrote: for views, not to trace.

    Shape: neighbours and FDB entries as they stand right after the traffic; a minute later they are STALE or gone.
    """
    told = {place: _taught(network, learned, place) for place in places_of(learned) if _has_tables(network, place)}
    return replace(network, written={**network.written, **told})


def _has_tables(network: Network, place: str) -> bool:
    return place in network.pods or place in network.written


def _taught(network: Network, learned: Learned, place: str) -> Tables:
    tables = network.tables(place)
    met = tuple(
        replace(row, state="DELAY", origin=ARP_QUESTION) if _asked_first(network, learned, place, row.dst) else row
        for row in neighbors_at(learned, place, "REACHABLE")
    )
    return replace(tables, neighbors=(*tables.neighbors, *met), fdb=(*tables.fdb, *ports_at(learned, place)))


def _asked_first(network: Network, learned: Learned, place: str, address: IPv4Address) -> bool:
    """Return whether who has `address` asked this place before it was asked itself: his question told his MAC.

    Source: net/ipv4/arp.c, arp_process; net/core/neighbour.c: such an entry is STALE, and DELAY once it is used.
    """
    own = network.tables(place)
    for at, _, target in learned.neighbors:
        if (at, target) == (place, address):
            return False
        if own.owns(target) and _has_tables(network, at) and network.tables(at).owns(address):
            return True
    return False


def neighbors_at(learned: Learned, place: str, state: str = "") -> Iterator[Neighbor]:
    """Return the neighbours that a place has learned."""
    for (at, dev, address), mac in learned.neighbors.items():
        if at == place:
            yield Neighbor(address, mac, dev, state, ARP_ANSWER)


def ports_at(learned: Learned, place: str) -> Iterator[FdbEntry]:
    """Return the MACs that the bridges of a place have learned."""
    for (at, bridge, mac), port in learned.fdb.items():
        if at == place:
            yield FdbEntry(mac, port, bridge, origin=FRAME)


def flows_at(learned: Learned, place: str) -> tuple[Flow, ...]:
    """Return the conntrack entries of a place, each once, in the order in which they were made."""
    return tuple(dict.fromkeys(flow for (at, _), flow in learned.flows.items() if at == place))


def places_of(learned: Learned) -> tuple[str, ...]:
    """Return the places that learned anything, each once."""
    kinds = (learned.neighbors, learned.fdb, learned.flows, learned.path_mtu)
    return tuple(dict.fromkeys(str(key[0]) for kind in kinds for key in kind))
