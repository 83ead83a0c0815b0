"""kube-proxy in iptables mode: what it writes on every node for a ClusterIP. Control plane, pod stage."""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from flannelviz.controlplane.flanneld import RANDOM_FULLY, appending, built_in
from flannelviz.model import ClusterPlan, ServicePlan
from flannelviz.tables import Chain, Match, Origin, Rule, Tables

KUBE_PROXY = "kube-proxy"
MARK = (0x4000, 0x4000)
SERVICES, POSTROUTING, MARK_MASQ = "KUBE-SERVICES", "KUBE-POSTROUTING", "KUBE-MARK-MASQ"

REJECT_WITH = ("--reject-with icmp-port-unreachable",)

Endpoint = tuple[IPv4Address, int]


def service_chains(plan: ClusterPlan, endpoints: Sequence[Sequence[IPv4Address]]) -> tuple[Chain, ...]:
    """Return kube-proxy's chains for the plan's Services; `endpoints` has the pod addresses of each.

    Shape: KUBE-SERVICES, KUBE-MARK-MASQ and KUBE-POSTROUTING, then for each Service KUBE-SVC and a KUBE-SEP for each
    endpoint; where a Service has none, a KUBE-SERVICES of the filter table that refuses it. The built-in chains get
    their jumps in `kube_proxy_synced`.
    Source: kubernetes pkg/proxy/iptables/proxier.go.
    """
    per_service = [
        _one_service(plan, service, [(address, service.target_port) for address in addresses])
        for service, addresses in zip(plan.services, endpoints, strict=True)
    ]
    doors = tuple(rule for rules, _ in per_service for rule in rules)
    origin = _origin("syncs its rules", f"{len(plan.services)} Services")
    return (
        Chain("nat", SERVICES, rules=doors, origin=origin),
        Chain("nat", MARK_MASQ, rules=(Rule("MARK", set_mark=MARK, origin=origin),), origin=origin),
        Chain("nat", POSTROUTING, rules=_postrouting(plan, origin), origin=origin),
        *(chain for _, chains in per_service for chain in chains),
        *_refusing(plan, endpoints),
    )


def _refusing(plan: ClusterPlan, endpoints: Sequence[Sequence[IPv4Address]]) -> tuple[Chain, ...]:
    """Return the filter chain that refuses Services without an endpoint, or none where there is nothing to refuse."""
    empty = [service for service, addresses in zip(plan.services, endpoints, strict=True) if not addresses]
    origin = _origin("syncs its rules", f"{len(empty)} Services without endpoints")
    rules = tuple(
        replace(_asked(s, "REJECT", f"{_port_name(plan, s)} has no endpoints", origin), options=REJECT_WITH)
        for s in empty
    )
    return (Chain("filter", SERVICES, rules=rules, origin=origin),) if rules else ()


def _asked(service: ServicePlan, target: str, comment: str, origin: Origin) -> Rule:
    """Return the rule that sends what asks for a Service to `target`."""
    asked = Match(IPv4Network(service.cluster_ip))
    return Rule(target, dst=asked, proto=service.proto, dport=service.port, comment=comment, origin=origin)


def _origin(event: str, because: str) -> Origin:
    return Origin(KUBE_PROXY, event, because)


def _postrouting(plan: ClusterPlan, origin: Origin) -> tuple[Rule, ...]:
    comment = "kubernetes service traffic requiring SNAT"
    masquerade = Rule("MASQUERADE", comment=comment, origin=origin)
    if plan.rules == "v0.10":
        return (replace(masquerade, mark=MARK),)
    unmark = Rule("MARK", set_mark=(MARK[0], 0), origin=origin)
    unmarked = Rule("RETURN", mark=MARK, mark_negated=True, origin=origin)
    return (unmarked, unmark, replace(masquerade, options=RANDOM_FULLY))


def _one_service(
    plan: ClusterPlan, service: ServicePlan, endpoints: Sequence[Endpoint]
) -> tuple[tuple[Rule, ...], tuple[Chain, ...]]:
    """Return the rules of KUBE-SERVICES for one Service, and the chains that they lead to."""
    name = _port_name(plan, service)
    origin = _origin(f"Service {name}", f"it has {len(endpoints)} endpoints")
    if not endpoints:
        return (), ()
    svc = "KUBE-SVC-" + _hash(name + service.proto)
    door = _asked(service, svc, f"{name} cluster IP", origin)
    marks = _marking(plan, door)
    seps = ["KUBE-SEP-" + _hash(f"{name}{service.proto}{address}:{target}") for address, target in endpoints]
    chosen = tuple(
        Rule(sep, probability=_probability(plan, len(seps) - i), origin=origin, comment=_choice(plan, name, end))
        for i, (sep, end) in enumerate(zip(seps, endpoints, strict=True))
    )
    ends = tuple(_endpoint(sep, service, name, end, origin) for sep, end in zip(seps, endpoints, strict=True))
    if plan.rules == "head":
        return (door,), (Chain("nat", svc, rules=(*marks, *chosen), origin=origin), *ends)
    return (*marks, door), (Chain("nat", svc, rules=chosen, origin=origin), *ends)


def _marking(plan: ClusterPlan, door: Rule) -> tuple[Rule, ...]:
    """Return the rule that has what comes from outside masqueraded: before the door in 1.12, behind it today.

    Without --cluster-cidr kube-proxy cannot tell pods from the rest; Terway's pods have no such range.
    """
    outside = Match(plan.cluster_cidr, negated=True)
    return (replace(door, target=MARK_MASQ, src=outside),) if plan.cni == "flannel" else ()


def _port_name(plan: ClusterPlan, service: ServicePlan) -> str:
    """Return namespace/name:port; where the port has no name, 1.12 leaves the colon."""
    name = service.name if "/" in service.name else f"default/{service.name}"
    return f"{name}:" if plan.rules == "v0.10" and ":" not in name else name


def _choice(plan: ClusterPlan, name: str, endpoint: Endpoint) -> str:
    return name if plan.rules == "v0.10" else f"{name} -> {endpoint[0]}:{endpoint[1]}"


def _probability(plan: ClusterPlan, left: int) -> float | None:
    """Return the chance of a rule with `left` endpoints still to choose from; the last one takes what is left.

    Source: proxier.go, computeProbability: 1.12 prints five decimals, today's kube-proxy ten.
    """
    return None if left == 1 else round(1 / left, 5 if plan.rules == "v0.10" else 10)


def _endpoint(chain: str, service: ServicePlan, name: str, endpoint: Endpoint, origin: Origin) -> Chain:
    hairpin = Rule(MARK_MASQ, src=Match(IPv4Network(endpoint[0])), comment=name, origin=origin)
    return Chain(
        "nat",
        chain,
        rules=(hairpin, Rule("DNAT", proto=service.proto, to=endpoint, comment=name, origin=origin)),
        origin=origin,
    )


def _hash(text: str) -> str:
    """Return the sixteen characters by which kube-proxy tells its chains apart."""
    return b32encode(sha256(text.encode()).digest()).decode()[:16]


def kube_proxy_synced(tables: Tables, chains: Sequence[Chain]) -> Tables:
    """Return a node's tables with kube-proxy's chains, and the jumps at the head of the built-in ones."""
    origin = _origin("syncs its rules", "the Services of the cluster")
    jumps = {
        "PREROUTING": Rule(SERVICES, comment="kubernetes service portals", origin=origin),
        "OUTPUT": Rule(SERVICES, comment="kubernetes service portals", origin=origin),
        "POSTROUTING": Rule(POSTROUTING, comment="kubernetes postrouting rules", origin=origin),
    }
    used: set[Literal["filter", "nat"]] = {chain.table for chain in chains}
    started = appending(tables, tuple(chain for table in sorted(used) for chain in built_in(table)))
    portals = Rule(SERVICES, ctstate="NEW", comment="kubernetes service portals", origin=origin)
    heads = {("nat", name): jump for name, jump in jumps.items()}
    heads |= {("filter", name): portals for name in ("FORWARD", "OUTPUT") if "filter" in used}
    headed = tuple(
        replace(chain, rules=(heads[chain.table, chain.name], *chain.rules))
        if (chain.table, chain.name) in heads
        else chain
        for chain in started.chains
    )
    return replace(started, chains=(*headed, *chains))
