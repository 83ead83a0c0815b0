"""What a real kernel did, written down: pings in the network of the article, healthy and with each fault.

A file of the package, for machines that run no lab. A trace out of it holds what a lab has seen, hop by hop.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from flannelviz.errors import LabError
from flannelviz.packet import Disposition, Hop, IcmpError, Packet, Step, Trace

FILE = Path(__file__).with_name("record.json.gz")
Situation = tuple[str, str]  # the name of a fault, and where it is
Ends = tuple[str, str]  # the full names of who sends and who receives
HEALTHY: Situation = ("", "")
WITHIN = ("inner", "about")  # what of a packet is a packet


@dataclass(frozen=True, repr=False)
class Record:
    """The journeys that a kernel has shown, and which kernel it was."""

    kernel: str  # such as "Linux 6.18.44"
    journeys: Mapping[Situation, Mapping[Ends, Trace]]

    def __repr__(self) -> str:
        return f"<Record of {self.kernel}: {self.size:,} pings in {len(self.journeys)} situations>"

    @property
    def size(self) -> int:
        """Return how many journeys are recorded."""
        return sum(map(len, self.journeys.values()))

    def trace(self, source: str, destination: str, situation: Situation = HEALTHY) -> Trace:
        """Return a recorded journey; both ends by their full names.

        Raises: LabError if it is not recorded.
        """
        found = self.journeys.get(situation, {}).get((source, destination))
        if found is None:
            where = " at ".join(situation) if situation != HEALTHY else "no fault"
            raise LabError(f"the record holds no ping from {source} to {destination} with {where}; only a lab can tell")
        return found


@cache
def recorded() -> Record:
    """Return the record that comes with the package: pings between all places of `article()`, with each fault."""
    import gzip  # a lab's process imports this module too, and needs to be quick

    return loads(gzip.decompress(FILE.read_bytes()).decode())


# --- to text ----------------------------------------------------------------------------------------------------------


def dumps(record: Record) -> str:
    """Return a record as JSON, one packet, hop or situation a line.

    Shape: most journeys share most of their hops, so each hop stands there once and is called by its number.
    """
    hops: dict[Hop, int] = {}
    journeys = [
        [*situation, [_journey(*one, hops) for one in told.items()]] for situation, told in record.journeys.items()
    ]
    packets: dict[Packet, int] = {}
    parts: dict[str, list[Any]] = {
        "kernel": [record.kernel],
        "journeys": journeys,
        "hops": [_hop(hop, packets) for hop in hops],
        "packets": [_fields(packet, packets) for packet in packets],
    }
    return "{" + ",\n".join(f'"{name}": [\n{_lines(values)}\n]' for name, values in parts.items()) + "}\n"


def _lines(values: Iterable[object]) -> str:
    return ",\n".join(json.dumps(value, separators=(",", ":")) for value in values)


def _journey(ends: Ends, trace: Trace, hops: dict[Hop, int]) -> list[object]:
    ways = (trace.request, trace.reply, *trace.errors)
    return [*ends, trace.destination, *([hops.setdefault(hop, len(hops)) for hop in way] for way in ways)]


def _hop(hop: Hop, packets: dict[Packet, int]) -> list[object]:
    icmp = hop.icmp
    carried = (_number(one, packets) for one in (hop.received, hop.sent, icmp.about if icmp else None))
    error = [icmp.what, str(icmp.source), *([icmp.mtu] if icmp.mtu else [])] if icmp else None
    onward = hop.in_dev, hop.out_dev, hop.next_place
    return [
        hop.place,
        hop.disposition.name,
        *onward,
        error,
        *carried,
        *([step.kind, *step.saying] for step in hop.steps),
    ]


def _number(packet: Packet | None, packets: dict[Packet, int]) -> int | None:
    """Return the number of a packet, which comes after those of the packets in it."""
    if packet is None:
        return None
    for name in WITHIN:
        _number(getattr(packet, name), packets)
    return packets.setdefault(packet, len(packets))


def _fields(packet: Packet, packets: Mapping[Packet, int]) -> dict[str, object]:
    """Return the fields that are not as in any packet; one that holds a packet tells its number."""
    values = (
        (one.name, getattr(packet, one.name)) for one in fields(packet) if getattr(packet, one.name) != one.default
    )
    return {name: _plain(value, packets) for name, value in values if value is not None}


def _plain(value: object, packets: Mapping[Packet, int]) -> object:
    if isinstance(value, Packet):
        return packets[value]
    return str(value) if isinstance(value, IPv4Address) else value


# --- and back ---------------------------------------------------------------------------------------------------------


def loads(text: str) -> Record:
    """Return the record in a text that `dumps` wrote."""
    told = json.loads(text)
    packets: list[Packet] = []
    for values in told["packets"]:
        packets.append(_packet(values, packets))
    hops = [_hop_of(packets, *values) for values in told["hops"]]
    (kernel,) = told["kernel"]
    return Record(kernel, {(fault, where): dict(_told(lines, hops)) for fault, where, lines in told["journeys"]})


def _told(lines: Iterable[Any], hops: list[Hop]) -> Iterator[tuple[Ends, Trace]]:
    for source, destination, address, *ways in lines:
        request, reply, *errors = (tuple(hops[number] for number in numbers) for numbers in ways)
        end = reply[-1].disposition if reply else None
        yield (
            (source, destination),
            Trace(source, address, request, request[-1].disposition, reply, end, tuple(errors)),
        )


def _hop_of(
    packets: list[Packet],
    place: str,
    fate: str,
    in_dev: str | None,
    out_dev: str | None,
    onward: str | None,
    icmp: list[Any] | None,
    came: int,
    went: int,
    about: int | None,
    *told: list[object],
) -> Hop:
    received, sent = packets[came], packets[went]
    came_as = (received, *[sent] * (len(told) - 1))
    steps = tuple(Step(place, str(kind), tuple(words), None, None, p, sent) for (kind, *words), p in zip(told, came_as))
    error = None
    if icmp and about is not None:
        error = IcmpError(icmp[0], place, IPv4Address(icmp[1]), packets[about], mtu=icmp[2] if icmp[2:] else None)
    return Hop(place, Disposition[fate], steps, in_dev, out_dev, received, sent, onward, icmp=error)


def _packet(values: dict[str, Any], packets: list[Packet]) -> Packet:
    told: dict[str, Any] = {"src": None} | values
    told |= {name: IPv4Address(values[name]) for name in ("src", "dst") if name in values}
    told |= {name: packets[values[name]] for name in WITHIN if name in values}
    return Packet(**told)
