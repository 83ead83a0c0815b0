"""Where each ECS goes: its vSwitch and its address in it.

Control plane, initial stage; it writes nothing.

Source: Alibaba Cloud, "VPCs and vSwitches": the first address of a vSwitch and the last three are reserved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from flannelviz.controlplane.ranges import either
from flannelviz.errors import AddressPlanError
from flannelviz.model import RESERVED_HEAD, RESERVED_TAIL, ClusterPlan, NodePlan, VSwitch

LONGEST_MASK = 29  # of a vSwitch


@dataclass(frozen=True, slots=True)
class Placed:
    """A machine of the plan, its vSwitch and its address."""

    plan: NodePlan
    vswitch: VSwitch
    address: IPv4Address
    is_node: bool


def machines(plan: ClusterPlan) -> tuple[NodePlan, ...]:
    """Return the nodes of the plan, then the ECS that are none."""
    return plan.nodes + plan.other_ecs


def placements(plan: ClusterPlan) -> Iterator[Placed]:
    """Return where each machine goes: fixed addresses first keep theirs, then the others come in order.

    Shape: a machine without a vSwitch goes to the one that holds its address, else to the first with room.
    Raises: AddressPlanError if an address is reserved, taken or outside, or if a vSwitch is full.
    """
    fixed = _fixed_addresses(plan)
    by_name = {vswitch.name: vswitch for vswitch in plan.vswitches}
    free = {vswitch.name: _free_addresses(vswitch, fixed) for vswitch in plan.vswitches}
    for number, machine in enumerate(machines(plan)):
        if machine.address is not None:
            vswitch, address = _vswitch_of(plan, machine, machine.address), machine.address
        else:
            candidates = [by_name[_known(plan, machine)]] if machine.vswitch else list(plan.vswitches)
            vswitch, address = _next_free(plan, machine, candidates, free)
        yield Placed(machine, vswitch, address, number < len(plan.nodes))


def _next_free(
    plan: ClusterPlan, machine: NodePlan, candidates: list[VSwitch], free: dict[str, Iterator[IPv4Address]]
) -> tuple[VSwitch, IPv4Address]:
    for vswitch in candidates:
        address = next(free[vswitch.name], None)
        if address is not None:
            return vswitch, address
    full = ", ".join(f"{vswitch.name} {vswitch.cidr} with {vswitch.usable} addresses" for vswitch in candidates)
    count = len(machines(plan))
    mask = 32 - (count + RESERVED_HEAD + RESERVED_TAIL - 1).bit_length()
    raise AddressPlanError(
        f"no address is left for {machine.name}, one of {count} machines, in {full}; "
        f"take a vSwitch with a mask of /{min(mask, LONGEST_MASK)}, or add another"
    )


def _free_addresses(vswitch: VSwitch, fixed: dict[IPv4Address, str]) -> Iterator[IPv4Address]:
    first = int(vswitch.cidr.network_address) + RESERVED_HEAD
    numbers = range(first, first + vswitch.usable)
    return (address for address in map(IPv4Address, numbers) if address not in fixed)


def _fixed_addresses(plan: ClusterPlan) -> dict[IPv4Address, str]:
    """Return the addresses that the plan fixes, each with its machine.

    Raises: AddressPlanError if two machines want the same, or if no ECS can have it.
    """
    fixed: dict[IPv4Address, str] = {}
    for machine in machines(plan):
        if machine.address is None:
            continue
        _check_address(plan, machine, machine.address)
        if machine.address in fixed:
            raise AddressPlanError(
                f"{machine.address} of {machine.name} is already that of {fixed[machine.address]}; "
                f"take another, or leave it out"
            )
        fixed[machine.address] = machine.name
    return fixed


def _check_address(plan: ClusterPlan, machine: NodePlan, address: IPv4Address) -> None:
    vswitch = _vswitch_of(plan, machine, address)
    first, last = vswitch.cidr[RESERVED_HEAD], vswitch.cidr[-RESERVED_TAIL - 1]
    if not first <= address <= last:
        raise AddressPlanError(
            f"{address} of {machine.name} is reserved in vSwitch {vswitch.name}: "
            f"the first address and the last three; take one from {first} to {last}"
        )


def _vswitch_of(plan: ClusterPlan, machine: NodePlan, address: IPv4Address) -> VSwitch:
    name = _known(plan, machine) if machine.vswitch else None
    candidates = [vswitch for vswitch in plan.vswitches if name in (None, vswitch.name)]
    for vswitch in candidates:
        if address in vswitch.cidr:
            return vswitch
    places = either(f"{vswitch.name} {vswitch.cidr}" for vswitch in candidates)
    example = candidates[0].cidr[RESERVED_HEAD]
    raise AddressPlanError(f"{address} of {machine.name} is outside {places}; take one such as {example}")


def _known(plan: ClusterPlan, machine: NodePlan) -> str:
    names = [vswitch.name for vswitch in plan.vswitches]
    if machine.vswitch not in names:
        raise AddressPlanError(f"{machine.name} wants vSwitch {machine.vswitch!r}; the plan has {', '.join(names)}")
    return str(machine.vswitch)
