"""Named ways to break a network: who does it in real life, what it changes, how one finds out. Network -> Network."""

from __future__ import annotations

from collections.abc import Iterator

from flannelviz.errors import FaultError
from flannelviz.faults.catalogue import FAULTS, Fault
from flannelviz.model import VPC
from flannelviz.network import Network
from flannelviz.tables import UNTOLD, UNTOLD_VPC

__all__ = ["FAULTS", "Fault", "break_network", "fault_called", "targets"]


def break_network(network: Network, fault: str | Fault, target: str | None = None) -> Network:
    """Return `network` with one fault in it; the given network stays as it was.

    Raises: FaultError if there is no such fault, if it does not fit this target, or if the tables that it edits there
    are unknown.
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
    """Return the places that `fault` can hit in this network: known tables, and something to break."""
    return tuple(
        place
        for place in _candidates(network, fault)
        if not _unknown(network, fault, place) and fault.fits(network, place)
    )


def _candidates(network: Network, fault: Fault) -> Iterator[str]:
    """Return the places of the kind that `fault` hits, whether their tables are known or not."""
    if fault.target == "VPC":
        yield VPC
    elif fault.target == "node":
        yield from (name for name in network.nodes if name in network.written)
    else:
        yield from (
            place
            for place in network.pods
            if network.plan is None or network.port(place) is not None or place in network.written
        )


def _unknown(network: Network, fault: Fault, place: str) -> tuple[str, ...]:
    """Return the tables that `fault` edits at `place` and that the input does not tell."""
    untold = network.vpc.unknown if network.vpc.route_tables else network.vpc.unknown | {"route_tables"}
    if place != VPC:
        node = network.pods[place].node if place in network.pods else place
        tables = network.written.get(node) if node is not None else None
        untold |= UNTOLD if tables is None else tables.unknown
    return tuple(name for name in fault.edits if name in untold)


def _checked_target(network: Network, fault: Fault, target: str | None) -> str:
    if target is None:
        target = next(iter(targets(network, fault) or _candidates(network, fault)), None)
    place = network.place(target) if target is not None else ""
    if target is None or place not in _candidates(network, fault):
        named = ", ".join(targets(network, fault)[:6]) or "none in this network"
        raise FaultError(f"{fault.name} hits a {fault.target}, and {target!r} is none; possible: {named}")
    unknown = _unknown(network, fault, place)
    if unknown:
        whose = VPC if unknown[0] in UNTOLD_VPC else place
        raise FaultError(
            f"{fault.name} edits {', '.join(unknown)} of {whose}, which this network does not tell; "
            "they must be known first: take a network that was built"
        )
    return place
