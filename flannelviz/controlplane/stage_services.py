"""Services as events: kube-proxy writes the same rules on every node. Control plane, end of the pod stage."""

from __future__ import annotations

from ipaddress import IPv4Address

from flannelviz.controlplane.draft import Change, Draft, Job, Phase, job
from flannelviz.controlplane.kube_proxy import KUBE_PROXY, kube_proxy_synced, service_chains
from flannelviz.model import ServicePlan


def _endpoints(draft: Draft, service: ServicePlan) -> list[IPv4Address]:
    """Return the addresses of the pods behind a Service; one that has none yet is no endpoint."""
    network = draft.network()
    names = [name if "/" in name else f"default/{name}" for name in service.endpoints]
    found = [network.pod_ip(name) for name in names if name in network.pods]
    return [address for address in found if address is not None]


def _sync(draft: Draft, name: str) -> Change:
    chains = service_chains(draft.plan, [_endpoints(draft, service) for service in draft.plan.services])
    tables = kube_proxy_synced(draft.written[name], chains)
    action = f"writes the rules of {len(draft.plan.services)} Services on {name}"
    return Change(KUBE_PROXY, action, (name,), written={name: tables})


def _service_jobs(draft: Draft) -> list[Job]:
    return [job(name, _sync) for name in draft.nodes] if draft.plan.services else []


PHASES = (Phase("pod", _service_jobs),)
