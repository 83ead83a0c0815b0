"""How pods and Nodes go again, as events, and what the programs that watch them do. Control plane.

Each step is one event. Which steps a happening takes, and in what order, is in happenings.py; the programs themselves
are in node_ipam.py, cloud_routes.py, cni.py, host_local.py and kube_proxy.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import NamedTuple

from flannelviz.controlplane import cloud_routes, cni, host_local, node_ipam, stage_services
from flannelviz.controlplane.backends import BACKENDS, FLANNELD, taken_by_kernel
from flannelviz.controlplane.cloud_routes import COMPONENT as CCM
from flannelviz.controlplane.cni import FLANNEL_PLUGIN
from flannelviz.controlplane.commands import rule_words
from flannelviz.controlplane.draft import Change, Draft, Job, job
from flannelviz.controlplane.host_local import HOST_LOCAL, container_id
from flannelviz.controlplane.kube_proxy import KUBE_PROXY
from flannelviz.controlplane.netns import BRIDGE, RUNTIME, SANDBOX
from flannelviz.controlplane.stage_cluster import CONSOLE, KUBELET, api_call
from flannelviz.controlplane.vpc_calls import delete_calls
from flannelviz.model import VPC, Node
from flannelviz.tables import CNI0, ETH0, File, Lan, Origin, Tables, veth_name

API_SERVER = "kube-apiserver"


@dataclass(frozen=True, slots=True)
class Departure(Change):
    """A change after which some ECS, Nodes or pods, by name, are no longer there."""

    gone_ecs: tuple[str, ...] = ()
    gone_nodes: tuple[str, ...] = ()
    gone_pods: tuple[str, ...] = ()


def make(draft: Draft, change: Change) -> None:
    """Make `change` in `draft`, departures included."""
    draft.apply(change)
    if isinstance(change, Departure):
        gone = ((draft.ecs, change.gone_ecs), (draft.nodes, change.gone_nodes), (draft.pods, change.gone_pods))
        for things, names in gone:
            for name in names:
                del things[name]


def seen(command: str, text: str, component: str, event: str) -> File:
    """Return what an operator reads when `command` prints `text`."""
    return File(command, f"{text}\n", Origin(component, event))


# --- A pod goes -------------------------------------------------------------------------------------------------------


def unwiring(draft: Draft, pod: str) -> Job:
    """Return the job that deletes `pod`: what was made last goes first, and the Pod object last of all.

    Source: kubernetes pkg/kubelet; containernetworking/plugins bridge.go v0.6.0, cmdDel: IPAM before the link.
    """
    lan = _lan_of(draft, pod)
    if draft.pods[pod].node is None:
        return job(pod, _forget_pod)
    if draft.pods[pod].host_network:
        return job(pod, _terminate, _stop, _forget_pod)
    if lan is None or lan.port(pod) is None:
        return job(pod, _terminate, _forget_pod)
    return job(pod, _terminate, _hand_back, _release_address, _delete_veth, _stop, _forget_pod)


def _lan_of(draft: Draft, pod: str) -> Lan | None:
    node = draft.pods[pod].node
    tables = draft.written.get(node) if node else None
    return tables.lan if tables else None


def _own(draft: Draft, pod: str) -> tuple[str, ...]:
    """Return the place that a pod is, none where it is in the network of its node."""
    return () if draft.pods[pod].host_network else (pod,)


def _at(draft: Draft, pod: str) -> tuple[str, Tables, Lan]:
    """Return the node of a wired pod, with its tables and its pod LAN."""
    node, lan = draft.pods[pod].node, _lan_of(draft, pod)
    assert node is not None and lan is not None, "these steps belong to pods that are wired"
    return node, draft.written[node], lan


def _terminate(draft: Draft, pod: str) -> Change:
    found = draft.pods[pod]
    artefact = seen("kubectl get pods", f"{found.name}   Terminating   {found.node}", API_SERVER, f"DELETE {pod}")
    return Change(
        API_SERVER, f"marks Pod {pod} as Terminating; its kubelet on {found.node} sees it", _own(draft, pod), artefact
    )


def _hand_back(draft: Draft, pod: str) -> Change:
    node, _, lan = _at(draft, pod)
    action = f"hands bridge the delegate netconf that it kept for {pod}, for the DEL"
    return Change(FLANNEL_PLUGIN, action, (node,), cni.netconf_file(pod, lan.netconf))


def _release_address(draft: Draft, pod: str) -> Change:
    node, tables, lan = _at(draft, pod)
    address = host_local.held_address(lan.ipam, pod) or 0
    released = replace(lan, ipam=host_local.release(lan.ipam, pod))
    files = host_local.host_local_files(released)
    names = "\n".join(file.path.rpartition("/")[2] for file in files)
    folder = files[-1].path.rpartition("/")[0]
    cursor = IPv4Address(lan.ipam.last_reserved or 0)
    action = f"releases {IPv4Address(address)} of {pod}; last_reserved_ip.0 stays at {cursor}"
    artefact = seen(f"ls {folder}", names, HOST_LOCAL, f"DEL {pod}")
    return Change(HOST_LOCAL, action, (node,), artefact, written={node: replace(tables, lan=released)})


def _delete_veth(draft: Draft, pod: str) -> Change:
    node, tables, lan = _at(draft, pod)
    lines = [f"ip netns exec {pod.rpartition('/')[2]} ip link del {ETH0}"]
    lines += _unmasquerade(lan, pod) if lan.netconf["ipMasq"] else []
    action = f"deletes {ETH0} of {pod}, and {veth_name(pod)} goes with it; {CNI0}, its address and its route stay"
    written = {node: cni.bridge_del(tables, pod), pod: SANDBOX}
    artefact = seen("commands", "\n".join(lines), BRIDGE, f"DEL {pod}")
    return Change(BRIDGE, action, (node, pod), artefact, written=written)


def _unmasquerade(lan: Lan, pod: str) -> list[str]:
    """Return the command lines that take away the chain of a pod's own; by now nobody holds its address."""
    jump, chain = cni.masquerade_chains(lan, pod)
    found = rule_words(replace(jump.rules[0], src=None))
    return [
        f"iptables -t nat -D {jump.name} {found}",
        *(f"iptables -t nat {flag} {chain.name}" for flag in ["-F", "-X"]),
    ]


def _stop(draft: Draft, pod: str) -> Change:
    artefact = seen("crictl rmp", f"Removed sandbox {container_id(pod)}", RUNTIME, f"RemovePodSandbox {pod}")
    own = _own(draft, pod)
    namespace = ", and its network namespace with it" if own else ""
    return Change(RUNTIME, f"removes the sandbox of {pod}{namespace}", own, artefact, written=dict.fromkeys(own))


def _forget_pod(draft: Draft, pod: str) -> Departure:
    bound = draft.pods[pod].node is not None
    component, action = (KUBELET, "has the API server delete") if bound else (API_SERVER, "deletes")
    artefact = seen("kubectl delete pod", f'pod "{draft.pods[pod].name}" deleted', component, f"DELETE {pod}")
    return Departure(component, f"{action} the Pod {pod}", _own(draft, pod), artefact, gone_pods=(pod,))


# --- A Node goes ------------------------------------------------------------------------------------------------------


def delete_node(draft: Draft, name: str) -> Departure:
    """Return the end of the Node object; whoever watches Nodes acts on it."""
    artefact = seen("kubectl delete node", f'node "{name}" deleted', API_SERVER, f"DELETE {name}")
    return Departure(API_SERVER, f"deletes Node {name}", (name,), artefact, gone_nodes=(name,))


def release_pod_cidr(draft: Draft, node: Node) -> Change:
    """Return the block of a deleted Node as free again, the cursor where it was."""
    allocator = node_ipam.node_deleted(draft.allocator, node)
    cursor = allocator.block(allocator.cursor)
    action = f"releases podCIDR {node.pod_cidr} of {node.name}; the cursor stays, the next search starts at {cursor}"
    artefact = seen(
        "kube-controller-manager log", f"release CIDR {node.pod_cidr}", node_ipam.COMPONENT, f"DELETE {node.name}"
    )
    return Change(node_ipam.COMPONENT, action, (node.name,), artefact, allocator=allocator)


def remove_route(draft: Draft, name: str) -> Change:
    """Return what the cloud-controller-manager does about the entry of a deleted Node: nothing if it knows it not."""
    outcome = cloud_routes.node_deleted(draft.routes, draft.vpc, name)
    changed = {"vpc": outcome.vpc, "routes": outcome.controller}
    if outcome.deleted:
        ((_, entry), *_) = outcome.deleted
        action = f"deletes the VPC route entry {entry.dst} -> {entry.next_hop_id} ({name})"
        artefact = delete_calls(CCM, outcome.deleted, f"Node {name} is gone")
        return Change(CCM, action, (VPC,), artefact, **changed)  # type: ignore[arg-type]
    why = "finds no entry of it" if name in draft.routes.known else "does not know it, since it started after"
    artefact = seen("cloud-controller-manager log", f"node {name} deleted: no route", CCM, f"DELETE {name}")
    return Change(CCM, f"deletes no VPC route entry for {name}: it {why}", (VPC,), artefact, **changed)  # type: ignore[arg-type]


def release_ecs(draft: Draft, name: str) -> Departure:
    """Return the end of the ECS of a Node: its ENI goes, its tables, and the namespace of every pod on it."""
    ecs = draft.ecs[name]
    own = tuple(place for place, pod in draft.pods.items() if pod.node == name and not pod.host_network)
    enis = {address: eni for address, eni in draft.vpc.enis.items() if eni.place != name}
    return Departure(
        CONSOLE,
        f"releases ECS {name} ({ecs.instance_id}), with its ENI {ecs.address} and all that ran on it",
        (VPC, name, *own),
        api_call("ecs", "DeleteInstance", f"Node {name} is gone", InstanceId=ecs.instance_id, Force="true"),
        vpc=replace(draft.vpc, enis=enis),
        written=dict.fromkeys((name, *own)),
        gone_ecs=(name,),
    )


def collect_pod(draft: Draft, pod: str) -> Departure:
    """Return the end of a pod whose Node is gone. Source: kubernetes pkg/controller/podgc."""
    node = draft.pods[pod].node
    message = f"PodGC is force deleting Pod: {pod}"
    artefact = seen("kube-controller-manager log", message, node_ipam.COMPONENT, f"PodGC {pod}")
    action = f"deletes the Pod {pod}, whose Node {node} is gone (PodGC)"
    return Departure(node_ipam.COMPONENT, action, _own(draft, pod), artefact, gone_pods=(pod,))


class Lease(NamedTuple):
    """The lease of a Node that came or went, as flanneld on `watcher` hears of it."""

    watcher: str
    node: Node


def lease_added(draft: Draft, lease: Lease) -> Change:
    """Return the rows for a new remote lease, of a backend that needs any."""
    own = draft.written[lease.watcher]
    written = {lease.watcher: own.adding(*taken_by_kernel(own, BACKENDS[draft.plan.backend].remote(lease.node)))}
    action = f"adds the lease {lease.node.pod_cidr} of {lease.node.name} on {lease.watcher}"
    return Change(FLANNELD, action, (lease.watcher,), written=written)


def lease_removed(draft: Draft, lease: Lease) -> Change:
    """Return the end of the rows for a remote lease."""
    rows = BACKENDS[draft.plan.backend].remote(lease.node)
    action = f"removes the lease {lease.node.pod_cidr} of {lease.node.name} on {lease.watcher}"
    log = seen("kubectl logs kube-flannel-ds", f"subnet removed: {lease.node.pod_cidr}", FLANNELD, "removes a lease")
    written = {lease.watcher: draft.written[lease.watcher].without(*rows)}
    return Change(FLANNELD, action, (lease.watcher,), log, written=written)


# --- kube-proxy hears of other endpoints ------------------------------------------------------------------------------


def sync_again(draft: Draft, name: str) -> Change:
    """Return the rules of kube-proxy on a node, written anew for the endpoints of now."""
    (first,) = stage_services.PHASES
    step = first.jobs(draft)[0].groups[0].steps[0]
    cleared = {name: _without_services(draft.written[name])}
    change = step(replace(draft, written={**draft.written, **cleared}), name)
    artefact = seen("kube-proxy log", "Syncing iptables rules", KUBE_PROXY, "its endpoints changed")
    return replace(change, artefact=artefact)


def _without_services(tables: Tables) -> Tables:
    others = (chain for chain in tables.chains if not chain.name.startswith("KUBE-"))
    cleared = (
        replace(chain, rules=tuple(rule for rule in chain.rules if rule.origin.component != KUBE_PROXY))
        for chain in others
    )
    return replace(tables, chains=tuple(cleared))
