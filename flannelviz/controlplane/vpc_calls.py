"""Calls that write VPC route entries, as Alibaba Cloud's command line makes them. Control plane: artefacts."""

from __future__ import annotations

from collections.abc import Iterable

from flannelviz.controlplane.vpc_api import Listed, Refusal
from flannelviz.tables import File, Origin


def create_calls(component: str, listed: Iterable[Listed], because: str) -> File:
    """Return the calls by which `component` creates route entries, one in each table."""
    lines = (
        f"aliyun vpc CreateRouteEntry --RouteTableId {table} --DestinationCidrBlock {entry.dst}"
        f" --NextHopType {entry.next_hop_type} --NextHopId {entry.next_hop_id}\n"
        for table, entry in listed
    )
    return File("CreateRouteEntry", "".join(lines), Origin(component, "CreateRouteEntry", because))


def delete_calls(component: str, listed: Iterable[Listed], because: str) -> File:
    """Return the calls by which `component` deletes route entries, one in each table."""
    lines = (
        f"aliyun vpc DeleteRouteEntry --RouteTableId {table} --DestinationCidrBlock {entry.dst}"
        f" --NextHopId {entry.next_hop_id}\n"
        for table, entry in listed
    )
    return File("DeleteRouteEntry", "".join(lines), Origin(component, "DeleteRouteEntry", because))


def refused_calls(component: str, refusals: Iterable[Refusal], because: str) -> File:
    """Return what the API answers to calls that it refuses."""
    lines = (f"{refusal.table}: {refusal}\n" for refusal in refusals)
    return File("CreateRouteEntry", "".join(lines), Origin(component, "CreateRouteEntry", because))
