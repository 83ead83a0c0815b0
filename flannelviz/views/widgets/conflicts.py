"""Which fields of an address plan disagree with one that was changed. The plan itself is judged by the control plane.

Views: a refusal names one rule; this names every other field that the reader has to look at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network

NAMES = {"cluster CIDR": "pod CIDR"}  # how the messages call a field, where it is not its own name
APART = ("VPC CIDR", "cluster CIDR", "service CIDR")  # ranges that share no address
Pair = tuple[str, str, str]


def conflicts(changed: str, ranges: Mapping[str, IPv4Network], node_mask: int) -> dict[str, str]:
    """Return the fields that do not go with the one `changed`, each with the reason.

    Shape: overlaps first, then what does not lie where it should.
    """
    found: dict[str, str] = {}
    for one, other, why in (*_overlaps(ranges), *_outside(ranges), *_too_short(ranges, node_mask)):
        if changed in (one, other):
            found.setdefault(other if changed == one else one, why)
    return found


def _overlaps(ranges: Mapping[str, IPv4Network]) -> Iterator[Pair]:
    for number, one in enumerate(APART):
        for other in APART[number + 1 :]:
            if ranges[one].overlaps(ranges[other]):
                yield one, other, f"{_named(one, ranges)} overlaps the {_named(other, ranges)}"


def _outside(ranges: Mapping[str, IPv4Network]) -> Iterator[Pair]:
    if not ranges["vSwitch"].subnet_of(ranges["VPC CIDR"]):
        yield "VPC CIDR", "vSwitch", f"{_named('VPC CIDR', ranges)} does not hold the {_named('vSwitch', ranges)}"


def _too_short(ranges: Mapping[str, IPv4Network], node_mask: int) -> Iterator[Pair]:
    if node_mask < ranges["cluster CIDR"].prefixlen:
        why = f"{_named('cluster CIDR', ranges)} holds no block of the node mask /{node_mask}"
        yield "cluster CIDR", "node mask", why


def _named(name: str, ranges: Mapping[str, IPv4Network]) -> str:
    return f"{NAMES.get(name, name)} {ranges[name]}"
