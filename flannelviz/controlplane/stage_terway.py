"""The node and pod stages of a cluster with Terway instead of flannel, as events. Control plane."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from flannelviz.controlplane import terway
from flannelviz.controlplane.draft import Change, Draft, Group, Job, Phase, job
from flannelviz.controlplane.stage_node import ready
from flannelviz.controlplane.stage_pod import PodsOf, Wanted
from flannelviz.controlplane.terway import TERWAY
from flannelviz.model import RESERVED_HEAD, RESERVED_TAIL, VPC, Ecs, NodePlan, Pod, VSwitch


def _vswitch(draft: Draft, ecs: Ecs) -> VSwitch:
    return next(vswitch for vswitch in draft.plan.vswitches if vswitch.name == ecs.vswitch)


def _install_cni(draft: Draft, name: str) -> Change:
    conf = terway.cni_conf()
    tables = draft.written[name].adding(conf)
    return Change(TERWAY, f"copies {conf.path} to {name}", (name,), conf, written={name: tables})


def _attach_eni(draft: Draft, name: str) -> Change:
    ecs = draft.ecs[name]
    tables = terway.eni_attached(draft.written[name], ecs, _vswitch(draft, ecs))
    return Change(TERWAY, f"attaches {terway.eni_id(ecs)} to {name} as eth1", (name,), written={name: tables})


def _assign_addresses(draft: Draft, name: str) -> Change:
    ecs = draft.ecs[name]
    wanted = len(next(node for node in draft.plan.nodes if node.name == name).pods)
    free = _free(draft, _vswitch(draft, ecs))
    addresses = tuple(address for address, _ in zip(free, range(wanted), strict=False))
    action = f"gives {terway.eni_id(ecs)} {len(addresses)} secondary addresses of {ecs.vswitch}"
    return Change(TERWAY, action, (VPC,), vpc=terway.addresses_assigned(draft.vpc, ecs, addresses))


def _free(draft: Draft, vswitch: VSwitch) -> Iterator[IPv4Address]:
    first, last = RESERVED_HEAD, vswitch.cidr.num_addresses - RESERVED_TAIL
    candidates = (vswitch.cidr[offset] for offset in range(first, last))
    return (address for address in candidates if address not in draft.vpc.enis)


def _wire(draft: Draft, wanted: Wanted) -> Change:
    node, pod = wanted.node, wanted.pod
    taken = {p.ip for p in draft.pods.values()}
    own = terway.eni_id(draft.ecs[node])
    free = (a for a, eni in draft.vpc.enis.items() if eni.instance_id == own and a not in taken)
    address = next(free, None)
    if address is None:
        message = f"no secondary address is left on {own}; the vSwitch is full"
        stuck = Pod(wanted.namespace, wanted.name, node, phase="Pending", message=message)
        return Change(TERWAY, f"cannot wire {pod}: {message}", (node,), pods=(stuck,))
    written = {
        node: terway.pod_wired(draft.written[node], node, pod, address, draft.plan.mtu),
        pod: terway.pod_tables(node, pod, address, draft.plan.mtu),
    }
    ready = Pod(wanted.namespace, wanted.name, node, address)
    return Change(TERWAY, f"wires {pod} as {address}", (node, pod), pods=(ready,), written=written)


def _node_jobs(draft: Draft) -> list[Job]:
    needed = {node.name for node in draft.plan.nodes if node.pods}
    return [
        job(name, _install_cni, ready, *((_attach_eni, _assign_addresses) if name in needed else ()))
        for name in draft.nodes
    ]


def _pod_jobs(draft: Draft) -> list[Job]:
    return [_pods(node) for node in draft.plan.nodes if node.pods]


def _pods(node: NodePlan) -> Job:
    return Job(node.name, (Group(PodsOf(node.name, node.pods), (_wire,)),))


PHASES = (Phase("node", _node_jobs), Phase("pod", _pod_jobs))
