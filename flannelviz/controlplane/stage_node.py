"""The node stage as events: the cloud-controller-manager and flanneld prepare each node, the VPC learns its podCIDR.

Control plane. Each step is one event; the programs themselves are in flanneld.py and cloud_routes.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Network

from flannelviz.controlplane import cloud_routes, flanneld
from flannelviz.controlplane.cloud_routes import COMPONENT as CCM
from flannelviz.controlplane.draft import Change, Draft, Job, Phase, job
from flannelviz.controlplane.failure import Failure
from flannelviz.controlplane.flanneld import FLANNELD
from flannelviz.controlplane.stage_cluster import KUBELET, kube_event_file, node_file
from flannelviz.model import VPC, Node
from flannelviz.tables import File, Origin

# --- The cloud-controller-manager initialises the Node ----------------------------------------------------------------


def _initialise(draft: Draft, name: str) -> Change:
    node = cloud_routes.initialized(draft.nodes[name])
    action = f"initialises Node {name}: NetworkUnavailable=True, since it has no route yet"
    return Change(CCM, action, (name,), node_file(node, CCM, "initialises the Node"), nodes=(node,))


def _initialise_all(draft: Draft, jobs: Sequence[Job]) -> None:
    for one in jobs:
        draft.nodes[one.subject] = cloud_routes.initialized(draft.nodes[one.subject])


# --- flanneld ---------------------------------------------------------------------------------------------------------


def _install_cni(draft: Draft, name: str) -> Change:
    tables = flanneld.cni_installed(draft.written[name], draft.plan)
    action = f"install-cni copies {flanneld.CNI_CONF} to {name}"
    return Change(FLANNELD, action, (name,), flanneld.cni_conf(draft.plan), written={name: tables})


def _ready(draft: Draft, name: str) -> Change:
    node = replace(draft.nodes[name], ready="True")
    action = f"finds a CNI configuration on {name}: the Node is Ready"
    return Change(KUBELET, action, (name,), node_file(node, KUBELET, "reports Ready"), nodes=(node,))


def _acquire_lease(draft: Draft, name: str) -> Change:
    node = draft.nodes[name]
    leased = flanneld.lease_acquired(node)
    if isinstance(leased, Failure):
        log = Origin(FLANNELD, "exits", leased.message)
        artefact = File("kubectl logs kube-flannel-ds", f"{leased.message}\n", log)
        return Change(FLANNELD, f"exits on {name}: {leased.message}", (name,), artefact)
    action = f"acquires the lease {node.pod_cidr} for {name} and annotates the Node"
    tables = flanneld.ALLOC.lease_acquired(draft.written[name], node)
    artefact = node_file(leased, FLANNELD, "publishes its lease")
    return Change(FLANNELD, action, (name,), artefact, nodes=(leased,), written={name: tables})


def _masquerade(draft: Draft, name: str) -> Change:
    tables = flanneld.masquerading(draft.written[name], _pod_cidr_of(draft, name), draft.plan)
    return Change(FLANNELD, f"sets up masquerade rules on {name} (--ip-masq)", (name,), written={name: tables})


def _pod_cidr_of(draft: Draft, name: str) -> IPv4Network:
    pod_cidr = draft.nodes[name].pod_cidr
    assert pod_cidr is not None, "these steps belong to nodes with a podCIDR"
    return pod_cidr


def _forward(draft: Draft, name: str) -> Change:
    tables = flanneld.forwarding(draft.written[name], draft.plan)
    return Change(FLANNELD, f"sets up forward rules on {name}", (name,), written={name: tables})


def _write_subnet_env(draft: Draft, name: str) -> Change:
    pod_cidr = _pod_cidr_of(draft, name)
    tables = flanneld.subnet_env_written(draft.written[name], pod_cidr, draft.plan)
    artefact = flanneld.subnet_env(draft.plan, pod_cidr)
    return Change(FLANNELD, f"writes {flanneld.SUBNET_ENV} on {name}", (name,), artefact, written={name: tables})


def _flanneld_all(draft: Draft, jobs: Sequence[Job]) -> None:
    for one in jobs:
        node, tables = draft.nodes[one.subject], draft.written[one.subject]
        registered, leased = flanneld.register(tables, node, draft.plan), flanneld.lease_acquired(node)
        if isinstance(registered, Failure) or isinstance(leased, Failure):
            registered, leased = flanneld.cni_installed(tables, draft.plan), node
        draft.written[node.name] = registered
        draft.nodes[node.name] = replace(leased, ready="True")


# --- The cloud-controller-manager writes routes -----------------------------------------------------------------------


def _create_route(draft: Draft, name: str) -> Change:
    node = draft.nodes[name]
    outcome = cloud_routes.sync(draft.routes, draft.vpc, (node,))
    if outcome.events:
        action = f"creates no route for {name}: {outcome.events[0].message}"
        return Change(
            CCM, action, (VPC,), kube_event_file(outcome.events[0]), vpc=outcome.vpc, routes=outcome.controller
        )
    action = f"creates the VPC route entry {node.pod_cidr} -> {cloud_routes.instance_of(node)} ({name})"
    return Change(CCM, action, (VPC,), vpc=outcome.vpc, routes=outcome.controller)


def _route_created(draft: Draft, name: str) -> Change:
    node = cloud_routes.with_condition(draft.nodes[name], cloud_routes.ROUTE_CREATED)
    artefact = node_file(node, CCM, "reports the route")
    return Change(CCM, f"sets NetworkUnavailable=False on Node {name}", (name,), artefact, nodes=(node,))


def _create_all_routes(draft: Draft, jobs: Sequence[Job]) -> None:
    outcome = cloud_routes.sync(draft.routes, draft.vpc, [draft.nodes[job.subject] for job in jobs])
    draft.routes, draft.vpc = outcome.controller, outcome.vpc
    draft.nodes.update((node.name, node) for node in outcome.nodes)


# --- The phases -------------------------------------------------------------------------------------------------------


def _initialise_jobs(draft: Draft) -> list[Job]:
    return [job(name, _initialise) for name in draft.nodes]


def _flanneld_jobs(draft: Draft) -> list[Job]:
    masquerade = (_masquerade,) if draft.plan.masquerade else ()
    registers = (_install_cni, _ready, _acquire_lease, *masquerade, _forward, _write_subnet_env)
    exits = (_install_cni, _ready, _acquire_lease)
    return [job(node.name, *(registers if node.pod_cidr else exits)) for node in draft.nodes.values()]


def _route_jobs(draft: Draft) -> list[Job]:
    """Return a job for each Node with a podCIDR; where the route fails, the condition stays as it is."""
    nodes: list[Node] = [node for node in draft.nodes.values() if node.pod_cidr is not None]
    changed = {node.name for node in cloud_routes.sync(draft.routes, draft.vpc, nodes).nodes}
    return [job(n.name, _create_route, *((_route_created,) if n.name in changed else ())) for n in nodes]


PHASES = (
    Phase("node", _initialise_jobs, _initialise_all),
    Phase("node", _flanneld_jobs, _flanneld_all),
    Phase("node", _route_jobs, _create_all_routes),
)
