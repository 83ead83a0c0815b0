"""kube-proxy in iptables mode: what it writes on every node for a ClusterIP. Control plane, pod stage."""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network

from flannelviz.controlplane.flanneld import appending, built_in
from flannelviz.model import ClusterPlan, ServicePlan
from flannelviz.tables import Chain, Match, Origin, Rule, Tables

KUBE_PROXY = "kube-proxy"
MARK = (0x4000, 0x4000)
SERVICES, POSTROUTING, MARK_MASQ = "KUBE-SERVICES", "KUBE-POSTROUTING", "KUBE-MARK-MASQ"

Endpoint = tuple[IPv4Address, int]


def service_chains(plan: ClusterPlan, endpoints: Sequence[Sequence[IPv4Address]]) -> tuple[Chain, ...]:
    """Return kube-proxy's chains for the plan's Services; `endpoints` has the pod addresses of each.

    Shape: KUBE-SERVICES, KUBE-MARK-MASQ and KUBE-POSTROUTING, then for each Service KUBE-SVC and a KUBE-SEP for each
    endpoint. The built-in chains get their jumps in `kube_proxy_synced`.
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
    )


def _origin(event: str, because: str) -> Origin:
    return Origin(KUBE_PROXY, event, because)


def _postrouting(plan: ClusterPlan, origin: Origin) -> tuple[Rule, ...]:
    comment = "kubernetes service traffic requiring SNAT"
    masquerade = Rule("MASQUERADE", comment=comment, origin=origin)
    if plan.rules == "v0.10":
        return (replace(masquerade, mark=MARK),)
    unmark = Rule("MARK", set_mark=(MARK[0], 0), origin=origin)
    return (Rule("RETURN", mark=MARK, mark_negated=True, origin=origin), unmark, masquerade)


def _one_service(
    plan: ClusterPlan, service: ServicePlan, endpoints: Sequence[Endpoint]
) -> tuple[tuple[Rule, ...], tuple[Chain, ...]]:
    """Return the rules of KUBE-SERVICES for one Service, and the chains that they lead to."""
    name = f"default/{service.name}"
    origin = _origin(f"Service {name}", f"it has {len(endpoints)} endpoints")
    port = {"dst": Match(IPv4Network(service.cluster_ip)), "proto": service.proto, "dport": service.port}
    comment = f"{name} cluster IP"
    if not endpoints:
        return (), ()
    svc = "KUBE-SVC-" + _hash(name + service.proto)
    doors = (
        Rule(MARK_MASQ, src=Match(plan.cluster_cidr, negated=True), comment=comment, origin=origin, **port),  # type: ignore[arg-type]
        Rule(svc, comment=comment, origin=origin, **port),  # type: ignore[arg-type]
    )
    seps = ["KUBE-SEP-" + _hash(f"{name}{service.proto}{address}:{target}") for address, target in endpoints]
    chosen = tuple(
        Rule(sep, probability=_probability(len(seps) - i), origin=origin, comment=name) for i, sep in enumerate(seps)
    )
    ends = tuple(_endpoint(sep, service, name, end, origin) for sep, end in zip(seps, endpoints, strict=True))
    return doors, (Chain("nat", svc, rules=chosen, origin=origin), *ends)


def _probability(left: int) -> float | None:
    """Return the chance of a rule with `left` endpoints still to choose from; the last one takes what is left.

    Source: kube-proxy 1.12 prints five decimals.
    """
    return None if left == 1 else round(1 / left, 5)


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
    started = appending(tables, built_in("nat"))
    headed = tuple(
        replace(chain, rules=(jumps[chain.name], *chain.rules))
        if chain.table == "nat" and chain.name in jumps
        else chain
        for chain in started.chains
    )
    return replace(started, chains=(*headed, *chains))
