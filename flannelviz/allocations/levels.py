"""What the three levels divide, and how much of it is gone: ranges known or derived, vSwitches, blocks and gaps.

Part of the allocations: reads a Network and neither plane.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from flannelviz.model import parse_network
from flannelviz.network import Network

MOST_NAMED = 3  # ranges that a level names, rather than their number
WIDEST = 8  # a private range is a /8 at most: whatever needs more than that is no single range

Basis = Literal["plan", "given", "at least", "unknown"]


@dataclass(frozen=True, slots=True)
class Extent:
    """The range that a level divides, and how it is known.

    "plan" and "given" are facts; "at least" is the smallest network around what was seen, so the real one holds it.
    """

    cidr: IPv4Network | None
    basis: Basis

    def __str__(self) -> str:
        if self.cidr is None:
            return "unknown"
        return f"at least {self.cidr} (derived from what is in it)" if self.basis == "at least" else str(self.cidr)


@dataclass(frozen=True, slots=True)
class Fill:
    """How many of how many are given away; None where the input does not say."""

    used: int | None
    usable: int | None

    @property
    def percent(self) -> float | None:
        """Return how full it is, or None where either number is unknown or nothing fits."""
        return 100 * self.used / self.usable if self.used is not None and self.usable else None

    def __str__(self) -> str:
        used, usable = ("?" if number is None else str(number) for number in (self.used, self.usable))
        share = f" ({self.percent:.0f} %)" if self.percent is not None else ""
        return f"{used} of {usable}{share}"


@dataclass(frozen=True, slots=True)
class VSwitchUse:
    """One vSwitch and how many of its addresses ECS instances have."""

    name: str
    cidr: IPv4Network
    fill: Fill


@dataclass(frozen=True, slots=True)
class Block:
    """One node's line: its address, its podCIDR, and what became of the pods on it.

    `fill` counts the addresses of the podCIDR that are held; `host_network`, `waiting` and `finished` pods hold none,
    `outside` ones hold others. All counts are None where the input tells of no pods.
    """

    node: str
    address: IPv4Address | None
    pod_cidr: IPv4Network | None
    fill: Fill
    host_network: int | None
    waiting: int | None
    finished: int | None
    outside: int | None


@dataclass(frozen=True, slots=True)
class Gap:
    """A run of podCIDR blocks between `first` and `last`, both included, that no node has."""

    first: IPv4Network
    last: IPv4Network
    blocks: int

    def __str__(self) -> str:
        return str(self.first) if self.blocks == 1 else f"{self.first} to {self.last} ({self.blocks} blocks)"


@dataclass(frozen=True, slots=True)
class Level:
    """One level in one line: what is divided into what, and how much of it is gone."""

    name: str
    extent: Extent
    fill: Fill
    counted: str = ""  # what of the range the numbers count


def vpc_extent(network: Network) -> Extent:
    """Return the VPC CIDR of the plan, else the smallest network around the addresses of the nodes."""
    if network.plan:
        return Extent(network.plan.vpc_cidr, "plan")
    return _enclosing(int(node.address) for node in network.nodes.values() if node.address is not None)


def _enclosing(numbers: Iterable[int]) -> Extent:
    """Return the smallest network around `numbers`, as a lower bound; unknown if no private range is that wide."""
    found = sorted(numbers)
    if not found:
        return Extent(None, "unknown")
    prefix = 32 - (found[0] ^ found[-1]).bit_length()
    if prefix < WIDEST:
        return Extent(None, "unknown")
    return Extent(_network_at(found[0], prefix), "at least")


def _network_at(number: int, prefix: int) -> IPv4Network:
    return IPv4Network((number >> (32 - prefix) << (32 - prefix), prefix))


def vswitch_uses(network: Network) -> tuple[VSwitchUse, ...]:
    """Return how full each vSwitch of the plan is; none for an imported network, which does not name them."""
    if not network.plan:
        return ()
    held: dict[str, int] = {}
    for ecs in network.ecs.values():
        held[ecs.vswitch] = held.get(ecs.vswitch, 0) + 1
    return tuple(
        VSwitchUse(switch.name, switch.cidr, Fill(held.get(switch.name, 0), switch.usable))
        for switch in network.plan.vswitches
    )


def vpc_fill(network: Network, vswitches: tuple[VSwitchUse, ...]) -> Fill:
    """Return how many addresses ECS instances have; of an imported network, how many its nodes have."""
    if network.plan:
        return sum_of(switch.fill for switch in vswitches)
    if "nodes" in network.unknown:
        return Fill(None, None)
    return Fill(len({node.address for node in network.nodes.values() if node.address is not None}), None)


def counted_of(what: str, ranges: Iterable[IPv4Network]) -> str:
    """Return whose addresses a level counts: a few ranges by name, many by their number."""
    found = list(ranges)
    if len(found) > MOST_NAMED:
        return f"{len(found)} {what}s"
    return f"{what}{'' if len(found) == 1 else 's'} {', '.join(map(str, found))}" if found else ""


def sum_of(fills: Iterable[Fill]) -> Fill:
    """Return all of `fills` as one; a number is unknown if it is unknown in one of them."""
    pairs = [(fill.used, fill.usable) for fill in fills]
    used = [used for used, _ in pairs if used is not None]
    fitting = [usable for _, usable in pairs if usable is not None]
    return Fill(*(sum(known) if len(known) == len(pairs) else None for known in (used, fitting)))


def cluster_extent(network: Network, given: str | IPv4Network | None, cidrs: Iterable[IPv4Network]) -> Extent:
    """Return the cluster CIDR as given, else that of the plan, else the smallest network around the podCIDRs.

    Raises: AddressPlanError if `given` is no network.
    """
    if given is not None:
        return Extent(parse_network(given), "given")
    if network.cluster_cidr is not None:
        return Extent(network.cluster_cidr, "plan")
    return _enclosing(bound for cidr in cidrs for bound in bounds(cidr))


def bounds(cidr: IPv4Network) -> tuple[int, int]:
    """Return the first and the last address, as integers."""
    first = int(cidr.network_address)
    return first, first + cidr.num_addresses - 1


def node_mask_of(network: Network, cidrs: Iterable[IPv4Network]) -> int | None:
    """Return the prefix length that all podCIDRs have, or the planned one where there is none yet, or None."""
    lengths = {cidr.prefixlen for cidr in cidrs}
    if not lengths and network.plan:
        return network.plan.node_mask
    return lengths.pop() if len(lengths) == 1 else None


def taken_blocks(cluster: Extent, mask: int | None, cidrs: Iterable[IPv4Network]) -> list[int]:
    """Return the numbers of the blocks that are taken, counted from the start of the cluster CIDR, in order."""
    if cluster.cidr is None or mask is None or block_count(cluster, mask) is None:
        return []
    low, high = bounds(cluster.cidr)
    firsts = {int(cidr.network_address) for cidr in cidrs}
    return sorted((first - low) >> (32 - mask) for first in firsts if low <= first <= high)


def block_count(cluster: Extent, mask: int | None) -> int | None:
    """Return how many blocks the cluster CIDR has, or None where either size is unknown or a block is the larger."""
    if cluster.cidr is None or mask is None or mask < cluster.cidr.prefixlen:
        return None
    return 1 << (mask - cluster.cidr.prefixlen)


def cluster_fill(network: Network, cluster: Extent, mask: int | None, taken: list[int]) -> Fill:
    """Return how many blocks are taken, of how many where the cluster CIDR is a fact."""
    blocks = block_count(cluster, mask)
    count = None if cluster.basis == "at least" else blocks
    if "nodes" in network.unknown:
        return Fill(None, None)
    if any(node.pod_cidr_text for node in network.nodes.values()):
        return Fill(None, count)
    if blocks is None:
        return Fill(len({node.pod_cidr for node in network.nodes.values()} - {None}), None)
    return Fill(len(taken), count)


def pods_fill(network: Network, blocks: Iterable[Block]) -> Fill:
    """Return how many addresses of all podCIDRs are held; what a podCIDR holds that cannot be read is unknown."""
    if "nodes" in network.unknown:
        return Fill(None, None)
    unread = {name for name, node in network.nodes.items() if node.pod_cidr_text}
    return sum_of(block.fill for block in blocks if block.pod_cidr is not None or block.node in unread)


def gaps_in(cluster: Extent, mask: int | None, taken: list[int]) -> Iterator[Gap]:
    """Return the runs of free blocks in the cluster CIDR, or in what is known of it."""
    count = block_count(cluster, mask)
    if cluster.cidr is None or mask is None or count is None:
        return
    base = int(cluster.cidr.network_address)
    before = -1
    for number in (*taken, count):
        if number - before > 1:
            first, last = (_network_at(base + (n << (32 - mask)), mask) for n in (before + 1, number - 1))
            yield Gap(first, last, number - before - 1)
        before = number


class Owners:
    """Which node's podCIDR holds an address: by prefix length, then by block."""

    def __init__(self, cidrs: dict[str, IPv4Network]) -> None:
        self.lengths: dict[int, dict[int, str]] = {}
        for node, cidr in cidrs.items():
            shift = 32 - cidr.prefixlen
            self.lengths.setdefault(shift, {}).setdefault(int(cidr.network_address) >> shift, node)
        self.shifts = sorted(self.lengths)

    def of(self, number: int) -> str | None:
        """Return the node with the smallest podCIDR around this address, the first of equals, or None."""
        for shift in self.shifts:
            found = self.lengths[shift].get(number >> shift)
            if found is not None:
                return found
        return None
