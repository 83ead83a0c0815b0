"""The VPC's API: custom route entries are created and deleted here, and refused with the vendor's codes.

Control plane. The user and the cloud-controller-manager both come through this door. The real one also refuses two
requests at the same time (`TaskConflict`); here, one comes after the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import NamedTuple

from flannelviz.controlplane.ranges import inside
from flannelviz.model import CLOUD_SERVICES
from flannelviz.tables import RouteEntry, RouteTable, VpcTables

QUOTA = "QuotaExceeded"
DUPLICATE = "InvalidCIDRBlock.Duplicate"  # CreateRouteEntries says VPC_ROUTE_ENTRY_CIDR_BLOCK_DUPLICATE
INVALID = "InvalidCidrBlock"

Block = tuple[int, int]  # network address, prefix length: hashed ten times as fast as an IPv4Network


class Refusal(NamedTuple):
    """An entry that the API did not create: the vendor's error code, its message, and the rule behind it."""

    entry: RouteEntry
    table: str
    code: str
    message: str
    why: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message} ({self.why})"


class Listed(NamedTuple):
    """An entry, and the route table in which it is or shall be."""

    table: str
    entry: RouteEntry


class Created(NamedTuple):
    """What a request to create entries came to."""

    vpc: VpcTables
    entries: tuple[RouteEntry, ...]
    refusals: tuple[Refusal, ...]


def create_route_entries(vpc: VpcTables, entries: Iterable[RouteEntry], table: str | None = None) -> Created:
    """Return `vpc` plus those `entries` that the limits of the route table allow.

    Shape: entries are judged one after the other, each in the table that the earlier ones left; the tuple of the
    table is copied once. `table` is the system table unless another is named.
    Raises: KeyError if the VPC has no such table.
    Source: Alibaba Cloud, CreateRouteEntry and CreateRouteEntries.
    """
    where = route_table(vpc, table)
    limits = _Limits.of(where)
    created: list[RouteEntry] = []
    refusals: list[Refusal] = []
    for entry in entries:
        refusal = limits.refusal(entry)
        if refusal is None:
            limits.count(entry)
            created.append(entry)
        else:
            refusals.append(refusal)
    grown = vpc.adding(*created, table=where.id) if created else vpc
    return Created(grown, tuple(created), tuple(refusals))


def route_entry_refusal(vpc: VpcTables, entry: RouteEntry, table: str | None = None) -> str | None:
    """Return why the VPC refuses this custom entry, beginning with the vendor's error code, or None.

    Source: Alibaba Cloud, CreateRouteEntry.
    """
    refusal = _Limits.of(route_table(vpc, table)).refusal(entry)
    return str(refusal) if refusal else None


def delete_route_entries(vpc: VpcTables, entries: Iterable[RouteEntry], table: str | None = None) -> VpcTables:
    """Return `vpc` minus the custom `entries`; an entry that is not there, or of the system, stays as it is."""
    gone = tuple(entry for entry in entries if entry.kind == "Custom")
    return vpc.without(*gone, table=table) if gone else vpc


def route_table(vpc: VpcTables, table: str | None = None) -> RouteTable:
    """Return the route table of this id, or the system table.

    Raises: KeyError if the VPC has no such table.
    """
    if table is None:
        return vpc.system_table
    for found in vpc.route_tables:
        if found.id == table:
            return found
    raise KeyError(f"the VPC has no route table {table}; it has {', '.join(t.id for t in vpc.route_tables)}")


def block(network: IPv4Network) -> Block:
    """Return `network` as two numbers."""
    return int(network.network_address), network.prefixlen


@dataclass(slots=True)
class _Limits:
    """What one table allows while a request runs; it changes, and never leaves this module."""

    table: RouteTable
    vswitches: tuple[IPv4Network, ...]
    taken: set[Block]
    custom: int

    @classmethod
    def of(cls, table: RouteTable) -> _Limits:
        local = tuple(entry.dst for entry in table.entries if entry.next_hop_type == "local")
        return cls(table, local, {block(entry.dst) for entry in table.entries}, table.custom_entries)

    def count(self, entry: RouteEntry) -> None:
        self.taken.add(block(entry.dst))
        self.custom += 1

    def refusal(self, entry: RouteEntry) -> Refusal | None:
        found = self._forbidden(entry.dst) or self._duplicate(entry.dst) or self._quota()
        return Refusal(entry, self.table.id, *found) if found else None

    def _forbidden(self, dst: IPv4Network) -> tuple[str, str, str] | None:
        invalid = (INVALID, "Specified CIDR block is not valid.")
        if inside(dst, CLOUD_SERVICES):
            return (*invalid, f"{dst} is in {CLOUD_SERVICES}, which belongs to Alibaba Cloud's own services")
        around = next((cidr for cidr in self.vswitches if inside(dst, cidr)), None)
        if around is None:
            return None
        return (*invalid, f"{dst} is inside the vSwitch CIDR {around}; an entry may contain one, not lie in it")

    def _duplicate(self, dst: IPv4Network) -> tuple[str, str, str] | None:
        if block(dst) not in self.taken:
            return None
        return (DUPLICATE, "Specified CIDR block is already exists.", f"{self.table.id} has an entry for {dst}")

    def _quota(self) -> tuple[str, str, str] | None:
        if self.custom < self.table.quota:
            return None
        why = f"{self.custom} of {self.table.quota} custom entries used; ask for more vpc_quota_route_entrys_num"
        return (QUOTA, "Route entry quota exceeded in this route table", why)
