"""What a run has compared so far, in numbers, and the report of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from flannelviz.faults import FAULTS
from prove.case import Case, Compared
from prove.draw import WAYS


@dataclass(slots=True)
class Tally:
    """Counts over many cases."""

    networks: int = 0
    packets: int = 0
    agreed: int = 0
    again: int = 0  # of those agreed: only when the case was asked again, and all lots fell as before
    counts: dict[str, Counter[str]] = field(default_factory=dict)

    def note(self, case: Case, results: list[Compared], again: int = 0) -> None:
        """Count one case and what came of it."""
        self.networks += 1
        self.packets += len(results)
        self.agreed += sum(not one.differences for one in results)
        self.again += again
        for one in results:
            self._packet(case, one)

    def _packet(self, case: Case, one: Compared) -> None:
        self.add("backend", way_of(case))
        self.add("protocol", one.sent.proto)
        self.add("request", one.model.disposition.value)
        if one.model.reply_disposition is not None:
            self.add("reply", one.model.reply_disposition.value)
        for name, _ in case.faults:
            self.add("fault", name)
        self.add("faults at once", str(len(case.faults)))
        for what, true in _marks(case, one):
            if true:
                self.add("special", what)

    def add(self, kind: str, what: str) -> None:
        """Count one packet under a heading."""
        self.counts.setdefault(kind, Counter())[what] += 1

    def of(self, kind: str) -> Mapping[str, int]:
        """Return how many packets there were of each `kind`: backend, protocol, fault, request, reply, special."""
        return self.counts.get(kind, Counter())


def way_of(case: Case) -> str:
    """Return in a word how this cluster's packets travel between nodes."""
    if case.plan.cni == "terway":
        return "terway"
    return f"{case.plan.backend} on a switch" if case.plan.fabric == "switch" else str(case.plan.backend)


ALL_WAYS = tuple(
    "terway"
    if way.get("cni") == "terway"
    else f"{way.get('backend', 'alloc')}{' on a switch' if way.get('fabric') == 'switch' else ''}"
    for way in WAYS
)


def _marks(case: Case, one: Compared) -> Iterator[tuple[str, bool]]:
    services = {str(service.cluster_ip) for service in case.plan.services}
    yield "to a Service", one.sent.destination in services
    yield "warm", one.sent.warm
    yield "rules of nobody's", bool(case.extras)
    yield "nobody listens", not one.sent.served
    yield "translated", one.model.source_seen not in (None, one.model.request[0].sent.src)
    yield "without DF", not one.sent.dont_fragment
    yield "an ICMP error came of it", bool(one.model.errors)
    yield "rule list " + ("(a)" if case.plan.rules == "v0.10" else "(b)"), case.plan.masquerade
    yield "flanneld without --ip-masq", not case.plan.masquerade


def lines(tally: Tally) -> Iterator[str]:
    """Return the report: how many agreed, then what was covered, most frequent first."""
    yield f"{tally.agreed:,} of {tally.packets:,} packets agree, over {tally.networks:,} networks"
    if tally.again:
        yield f"{tally.again:,} of them only when they were asked again, in a fresh lab, with the same lots"
    for kind in ("backend", "protocol", "special", "faults at once", "request", "reply", "fault"):
        found = sorted(tally.of(kind).items(), key=lambda pair: -pair[1])
        yield f"{kind}: " + (", ".join(f"{what} {count:,}" for what, count in found) or "none")
    missed = [fault.name for fault in FAULTS if fault.name not in tally.of("fault")]
    if missed:
        yield f"faults not met: {', '.join(missed)}"
