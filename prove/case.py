"""One case: a plan, the faults put into it, and the packets sent through it, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from flannelviz.controlplane.timeline import build
from flannelviz.dataplane.trace import destination_address, trace
from flannelviz.faults import break_network
from flannelviz.kernel import Lab, agrees
from flannelviz.model import ClusterPlan
from flannelviz.network import Network
from flannelviz.packet import PING_SIZE, Learned, Trace
from prove.rules import Extra


@dataclass(frozen=True, slots=True)
class Sent:
    """One packet that a program sends; `warm`: the places still know what the packets before have taught them."""

    source: str
    destination: str
    proto: str = "icmp"
    sport: int = 40000
    dport: int = 0
    ttl: int = 64
    size: int = PING_SIZE
    dont_fragment: bool = True
    served: bool = True
    warm: bool = False

    def options(self) -> dict[str, Any]:
        """Return what differs from a plain ping, as keyword arguments of a trace; `warm` is not among them."""
        plain = {field.name: field.default for field in fields(self)[2:]}
        named = {name: getattr(self, name) for name in plain if name != "warm"}
        return {name: value for name, value in named.items() if value != plain[name]}


@dataclass(frozen=True, slots=True)
class Case:
    """A network as it came to be, and what is sent through it. `faults` are pairs of a name and a target.

    Shape: `extras` are put in at the end, each before those that are there.
    """

    plan: ClusterPlan
    faults: tuple[tuple[str, str], ...]
    packets: tuple[Sent, ...]
    extras: tuple[Extra, ...] = ()

    def network(self) -> Network:
        """Return the network: the plan built, the faults put in one after the other.

        Raises: AddressPlanError, FaultError if this cannot be.
        """
        network = build(self.plan, strict=False).network
        for name, target in self.faults:
            network = break_network(network, name, target)
        for extra in self.extras:
            network = extra.put_into(network)
        return network


@dataclass(frozen=True, slots=True)
class Compared:
    """What model and kernel said of one packet; `differences` is empty where they agree.

    Shape: `lots` has the endpoint that the kernel drew for this packet, and for those before that it still knows of;
    HIDDEN where no device showed it.
    """

    sent: Sent
    model: Trace
    kernel: Trace
    differences: tuple[str, ...]
    lots: tuple[str, ...] = ()

    @property
    def is_repeatable(self) -> bool:
        """Return whether lots were drawn, and each is known, so that another try may have the same."""
        return bool(self.lots) and HIDDEN not in self.lots

    def is_repeated_by(self, other: Compared) -> bool:
        """Return whether another try had the same lots, so that the same must come of it."""
        return self.is_repeatable and self.lots == other.lots


HIDDEN = "hidden"
TRIES = 40  # times that a case is sent where lots are drawn: of two endpoints, one is missed once in 2^40


def throws(network: Network, sent: Sent) -> tuple[float | None, ...]:
    """Return a throw of the dice for each endpoint that a kernel may draw for this packet; one None if it draws none.

    Shape: equal shares, as kube-proxy's probabilities make them.
    """
    services = network.plan.services if network.plan else ()
    address = destination_address(network, sent.destination)
    asked = next((s for s in services if s.cluster_ip == address), None)
    count = len(asked.endpoints) if asked is not None else 0
    return tuple((number + 0.5) / count for number in range(count)) if count > 1 else (None,)


def tries(network: Network, packets: Sequence[Sent]) -> int:
    """Return how often packets are to be sent, one after the other, so that a kernel draws every endpoint."""
    return TRIES if any(len(throws(network, sent)) > 1 for sent in packets) else 1


def compared(network: Network, lab: Lab, packets: Sequence[Sent]) -> Iterator[Compared]:
    """Return what the lab and the model say of each packet.

    Shape: where a kernel draws by lot, the model counts with the throw that comes nearest to what the kernel did.
    """
    learned, lots = Learned(), tuple[str, ...]()
    for sent in packets:
        kernel = lab.trace(sent.source, sent.destination, warm=sent.warm, **sent.options())
        known = learned if sent.warm else Learned()
        dice = throws(network, sent)
        lots = (*(lots if sent.warm else ()), *(() if dice == (None,) else (_drawn(kernel),)))
        best = min((_against(network, sent, kernel, known, one) for one in dice), key=lambda one: len(one.differences))
        learned = best.model.learned
        yield replace(best, lots=lots)


def _drawn(kernel: Trace) -> str:
    """Return the endpoint that a kernel has drawn for a packet to a Service, as far as a device shows it."""
    seen = (packet for hop in kernel.request for packet in (hop.received, hop.sent))
    ends = (packet.inner.dst if packet.inner is not None else packet.dst for packet in seen)
    return next((str(end) for end in ends if str(end) != kernel.destination), HIDDEN)


def _against(network: Network, sent: Sent, kernel: Trace, learned: Learned, dice: float | None) -> Compared:
    model = trace(network, sent.source, sent.destination, dice=dice, learned=learned, **sent.options())
    return Compared(sent, model, kernel, agrees(model, kernel))
