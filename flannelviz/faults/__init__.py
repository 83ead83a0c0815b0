"""Named ways to break a network: who does it in real life, what it changes, how one finds out. Network -> Network."""

from __future__ import annotations

from flannelviz.errors import FaultError
from flannelviz.faults.catalogue import FAULTS, Fault
from flannelviz.model import VPC
from flannelviz.network import Network

__all__ = ["FAULTS", "Fault", "break_network", "fault_called", "targets"]


def break_network(network: Network, fault: str | Fault, target: str | None = None) -> Network:
    """Return `network` with one fault in it; the given network stays as it was.

    Raises: FaultError if there is no such fault, or it does not fit this target.
    """
    found = fault if isinstance(fault, Fault) else fault_called(fault)
    return found.apply(network, _checked_target(network, found, target))


def fault_called(name: str) -> Fault:
    """Return the fault of this name.

    Raises: FaultError, with the names there are.
    """
    found = next((fault for fault in FAULTS if fault.name == name), None)
    if found is None:
        raise FaultError(f"there is no fault called {name!r}; there are {', '.join(f.name for f in FAULTS)}")
    return found


def targets(network: Network, fault: Fault) -> tuple[str, ...]:
    """Return the places that `fault` can hit in this network."""
    if fault.target == "VPC":
        return (VPC,)
    if fault.target == "node":
        return tuple(name for name in network.nodes if name in network.written)
    return tuple(place for place in network.pods if network.port(place) is not None)


def _checked_target(network: Network, fault: Fault, target: str | None) -> str:
    possible = targets(network, fault)
    if target is None and possible:
        return possible[0]
    place = network.place(target) if target is not None else ""
    if place not in possible:
        named = ", ".join(possible[:6]) or "none in this network"
        raise FaultError(f"{fault.name} hits a {fault.target}, and {target!r} is none; possible: {named}")
    return place
