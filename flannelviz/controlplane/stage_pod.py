"""The pod stage as events: sandbox, delegate netconf, veth pair, address, routes, for one pod after the other.

Control plane. Each step is one event; the programs themselves are in cni.py and host_local.py. A pod that cannot be
wired goes through the same steps up to the one that fails, and stays in ContainerCreating. Where the node is tainted,
since it has no route, no step is taken at all: the scheduler keeps the pod, unless it is in the host's network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import NamedTuple, overload

from flannelviz.controlplane import cni, flanneld, host_local, kubeadm
from flannelviz.controlplane.cni import FLANNEL_PLUGIN, Netconf
from flannelviz.controlplane.commands import route_words
from flannelviz.controlplane.draft import Change, Draft, Group, Job, Phase, Step
from flannelviz.controlplane.failure import Failure
from flannelviz.controlplane.host_local import HOST_LOCAL, container_id
from flannelviz.controlplane.netns import BRIDGE, IP_FORWARD, KERNEL, RUNTIME, SANDBOX
from flannelviz.controlplane.stage_cluster import KUBELET, kube_event_file
from flannelviz.model import KubeEvent, NodePlan, Pod, usable_pod_ips
from flannelviz.tables import CNI0, ETH0, File, Lan, Origin, Tables, veth_name

SCHEDULER = "kube-scheduler"


class Wanted(NamedTuple):
    """A pod that a node is to run: the node, and the pod's namespace and name."""

    node: str
    namespace: str
    name: str

    @property
    def pod(self) -> str:
        """Return the pod's full name."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class PodsOf(Sequence[Wanted]):
    """Some pods of a node, by the names in its plan: as many small objects as somebody reads."""

    node: str
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Wanted]:
        return map(self._wanted, self.names)

    @overload
    def __getitem__(self, index: int) -> Wanted: ...
    @overload
    def __getitem__(self, index: slice) -> PodsOf: ...
    def __getitem__(self, index: int | slice) -> Wanted | PodsOf:
        if isinstance(index, slice):
            return PodsOf(self.node, self.names[index])
        return self._wanted(self.names[index])

    def _wanted(self, name: str) -> Wanted:
        return Wanted(self.node, *name.split("/", 1)) if "/" in name else Wanted(self.node, "default", name)


def _pod(wanted: Wanted, phase: str = "Running", message: str = "", host_network: bool = False) -> Pod:
    return Pod(wanted.namespace, wanted.name, wanted.node, None, host_network, phase, message)


def _netconf(tables: Tables) -> Netconf:
    """Return what the flannel CNI plugin makes of the two files on this node."""
    env, conf = tables.file(flanneld.SUBNET_ENV), tables.file(flanneld.CNI_CONF)
    assert env is not None and conf is not None, "flanneld and install-cni have run on a node without the taint"
    netconf = cni.delegate_netconf(env.text, conf.text)
    assert not isinstance(netconf, Failure), "flanneld wrote all keys"
    return netconf


def _lan(draft: Draft, node: str) -> Lan:
    lan = draft.written[node].lan
    assert lan is not None, "bridge has ensured cni0"
    return lan


# --- The steps --------------------------------------------------------------------------------------------------------


def _sandbox(draft: Draft, wanted: Wanted) -> Change:
    action = f"starts the sandbox container of {wanted.pod} on {wanted.node} in a network namespace of its own"
    pod = _pod(wanted, "Pending")
    artefact = _crictl_pods(wanted)
    return Change(RUNTIME, action, (wanted.pod,), artefact, pods=(pod,), written={wanted.pod: SANDBOX})


def _crictl_pods(wanted: Wanted) -> File:
    row = (container_id(wanted.pod)[:13], "Ready", wanted.name, wanted.namespace)
    widths = [max(map(len, cells)) for cells in zip(_CRICTL_HEAD, row, strict=True)]
    lines = ("   ".join(map(str.ljust, cells, widths)).rstrip() for cells in (_CRICTL_HEAD, row))
    text = "".join(f"{line}\n" for line in lines)
    return File("crictl pods", text, Origin(RUNTIME, "RunPodSandbox", f"pod {wanted.pod} is bound to {wanted.node}"))


_CRICTL_HEAD = ("POD ID", "STATE", "NAME", "NAMESPACE")


def _delegate(draft: Draft, wanted: Wanted) -> Change:
    netconf = _netconf(draft.written[wanted.node])
    action = f"turns {flanneld.SUBNET_ENV} into the delegate netconf of {wanted.pod}"
    return Change(FLANNEL_PLUGIN, action, (wanted.node,), cni.netconf_file(wanted.pod, netconf))


def _ensure_bridge(draft: Draft, wanted: Wanted) -> Change:
    tables = draft.written[wanted.node]
    ensured = cni.bridge_ensured(tables, wanted.node, _netconf(tables))
    action = f"makes {CNI0} on {wanted.node}, up but without an address: this is the first pod here"
    return Change(BRIDGE, action, (wanted.node,), written={wanted.node: ensured})


def _attach_veth(draft: Draft, wanted: Wanted) -> Change:
    tables = cni.veth_attached(draft.written[wanted.node], wanted.pod)
    action = f"makes a veth pair: {ETH0} in {wanted.pod}, {veth_name(wanted.pod)} on {CNI0} of {wanted.node}"
    return Change(BRIDGE, action, (wanted.node, wanted.pod), written={wanted.node: tables, wanted.pod: None})


def _reserve(draft: Draft, wanted: Wanted) -> Change:
    tables = cni.address_reserved(draft.written[wanted.node], wanted.pod)
    assert isinstance(tables, Tables) and tables.lan is not None, "pods beyond the last address take other steps"
    address = host_local.held_address(tables.lan.ipam, wanted.pod) or 0
    artefact = host_local.address_file(tables.lan, address, wanted.pod)
    action = f"reserves {IPv4Address(address)} for {wanted.pod}"
    return Change(HOST_LOCAL, action, (wanted.node,), artefact, written={wanted.node: tables})


def _configure_eth0(draft: Draft, wanted: Wanted) -> Change:
    tables = cni.eth0_configured(draft.written[wanted.node], wanted.pod)
    action = f"gives {ETH0} of {wanted.pod} its MAC, its address and its routes"
    places = (wanted.node, wanted.pod)
    return Change(BRIDGE, action, places, pods=(_pod(wanted),), written={wanted.node: tables})


def _address_gateway(draft: Draft, wanted: Wanted) -> Change:
    tables = cni.gateway_addressed(draft.written[wanted.node])
    assert isinstance(tables, Tables), "a new cni0 has no other address"
    action = f"gives {CNI0} of {wanted.node} the gateway address {_lan(draft, wanted.node).gateway}"
    return Change(BRIDGE, action, (wanted.node,), written={wanted.node: tables})


def _add_on_link_route(draft: Draft, wanted: Wanted) -> Change:
    tables = cni.on_link_route(draft.written[wanted.node])
    route = tables.routes[-1]
    artefact = File("ip route", f"{route_words(route)}\n", route.origin)
    action = f"adds the on-link route {route.dst} dev {CNI0} on {wanted.node}"
    return Change(KERNEL, action, (wanted.node,), artefact, written={wanted.node: tables})


def _enable_forwarding(draft: Draft, wanted: Wanted) -> Change:
    tables = cni.forwarding_enabled(draft.written[wanted.node])
    artefact = File(
        f"/proc/sys/{IP_FORWARD.replace('.', '/')}", "1\n", Origin(BRIDGE, "enables forwarding", "isGateway")
    )
    return Change(
        BRIDGE,
        f"finds {IP_FORWARD} = 1 already on {wanted.node} and writes it again",
        (wanted.node,),
        artefact,
        written={wanted.node: tables},
    )


def _masquerade(draft: Draft, wanted: Wanted) -> Change:
    tables = cni.pod_masqueraded(draft.written[wanted.node], wanted.pod)
    action = f"adds a masquerade chain for {wanted.pod}, since flanneld runs without --ip-masq"
    return Change(BRIDGE, action, (wanted.node,), written={wanted.node: tables})


def _host_network(draft: Draft, wanted: Wanted) -> Change:
    action = f"starts {wanted.pod} in the network namespace of {wanted.node}: no CNI, no address of its own"
    return Change(RUNTIME, action, (wanted.node,), _crictl_pods(wanted), pods=(_pod(wanted, host_network=True),))


# --- The step of a pod that no node takes -----------------------------------------------------------------------------


def _keep_waiting(draft: Draft, wanted: Wanted) -> Change:
    message = _no_node_for(draft)
    event = KubeEvent(f"Pod {wanted.name}", "Warning", "FailedScheduling", message, "default-scheduler")
    action = f"finds no node for {wanted.pod}, since {wanted.node} is tainted: it has no route"
    pods = (_unscheduled(wanted, message),)
    return Change(SCHEDULER, action, (wanted.pod,), kube_event_file(event), pods=pods)


def _unscheduled(wanted: Wanted, message: str) -> Pod:
    return Pod(wanted.namespace, wanted.name, None, phase="Pending", message=message)


def _no_node_for(draft: Draft) -> str:
    """Return why a pod that is planned for a tainted node gets none.

    Shape: the reasons in the order of their text; that of a node without taint is that the plan wants another one.
    Source: kubernetes 1.12 pkg/scheduler, core FitError and algorithm/predicates/error.go.
    """
    tainted = sum(kubeadm.unavailable(node) for node in draft.nodes.values())
    reasons = [f"{tainted} node(s) had taints that the pod didn't tolerate"]
    if others := len(draft.nodes) - tainted:
        reasons.append(f"{others} node(s) didn't match node selector")
    return f"0/{len(draft.nodes)} nodes are available: {', '.join(sorted(reasons))}."


# --- The steps of a pod that cannot be wired --------------------------------------------------------------------------


def _why_not(tables: Tables) -> Failure:
    assert tables.lan is not None, "bridge has ensured cni0 before it asks for an address"
    return host_local.exhausted(tables.lan.subnet)


def _stuck(tables: Tables, wanted: Wanted) -> Pod:
    """Return the pod that waits in ContainerCreating, with the words of its event FailedCreatePodSandBox.

    Source: kubernetes 1.12, dockershim and pkg/kubelet/network/cni.
    """
    name = wanted.name
    sandbox = f'failed to set up sandbox container "{container_id(wanted.pod)}" network for pod "{name}"'
    plugin = f'NetworkPlugin cni failed to set up pod "{name}_{wanted.namespace}" network: {_why_not(tables).message}'
    message = f"Failed create pod sandbox: rpc error: code = Unknown desc = {sandbox}: {plugin}"
    return _pod(wanted, "Pending", message)


def _fail(draft: Draft, wanted: Wanted) -> Change:
    component, message = _why_not(draft.written[wanted.node])
    log = File("kubelet log", f"{message}\n", Origin(component, f"ADD {wanted.pod}", message))
    return Change(component, f"fails for {wanted.pod}: {message}", (wanted.node,), log)


def _give_up(draft: Draft, wanted: Wanted) -> Change:
    """Return the end of the attempt: the sandbox goes, its veth pair with it, and the kubelet will try again."""
    tables = draft.written[wanted.node]
    pod = _stuck(tables, wanted)
    event = KubeEvent(f"Pod {pod.name}", "Warning", "FailedCreatePodSandBox", pod.message, KUBELET)
    action = f"removes the sandbox of {wanted.pod}, which stays in ContainerCreating"
    written: dict[str, Tables | None] = {wanted.node: cni.bridge_del(tables, wanted.pod), wanted.pod: None}
    return Change(KUBELET, action, (wanted.node, wanted.pod), kube_event_file(event), pods=(pod,), written=written)


# --- Which pod takes which steps --------------------------------------------------------------------------------------

FIRST: tuple[Step, ...] = (
    _sandbox,
    _delegate,
    _ensure_bridge,
    _attach_veth,
    _reserve,
    _configure_eth0,
    _address_gateway,
    _add_on_link_route,
    _enable_forwarding,
)
LATER: tuple[Step, ...] = (_sandbox, _delegate, _attach_veth, _reserve, _configure_eth0)
FIRST_WITHOUT_ADDRESS: tuple[Step, ...] = (_sandbox, _delegate, _ensure_bridge, _attach_veth, _fail, _give_up)
WITHOUT_ADDRESS: tuple[Step, ...] = (_sandbox, _delegate, _attach_veth, _fail, _give_up)
UNSCHEDULED: tuple[Step, ...] = (_keep_waiting,)
HOST_NETWORK: tuple[Step, ...] = (_host_network,)


def _pod_jobs(draft: Draft) -> list[Job]:
    return [Job(node, _groups(draft, node)) for node in draft.plan.nodes if node.pods or node.host_pods]


def _groups(draft: Draft, node: NodePlan) -> tuple[Group, ...]:
    """Return the pods of a node with their steps: as many as have room are wired, the first with more steps.

    Shape: a node without a podCIDR has no route either, so it is among the tainted ones.
    """
    host, pods = PodsOf(node.name, node.host_pods), PodsOf(node.name, node.pods)
    pod_cidr = draft.nodes[node.name].pod_cidr
    if pod_cidr is None or kubeadm.unavailable(draft.nodes[node.name]):
        return _filled(Group(host, HOST_NETWORK), Group(pods, UNSCHEDULED))
    own = () if draft.plan.masquerade else (_masquerade,)
    room = usable_pod_ips(pod_cidr.prefixlen)
    return _filled(
        Group(host, HOST_NETWORK),
        Group(pods[:1], FIRST + own if room else FIRST_WITHOUT_ADDRESS),
        Group(pods[1:room], LATER + own),
        Group(pods[max(room, 1) :], WITHOUT_ADDRESS),
    )


def _filled(*groups: Group) -> tuple[Group, ...]:
    return tuple(group for group in groups if group.things)


def _wire_all(draft: Draft, jobs: Sequence[Job]) -> None:
    no_node = _no_node_for(draft)
    for one in jobs:
        node, groups = one.subject.name, [(steps, list(things)) for things, steps in one.groups]
        asking = [wanted.pod for steps, pods in groups if _delegate in steps for wanted in pods]
        if asking:
            draft.written[node] = _wired(draft.written[node], node, asking)
        for steps, pods in groups:
            draft.pods.update((pod.place, pod) for pod in _settled(draft.written[node], steps, pods, no_node))


def _wired(tables: Tables, node: str, pods: Sequence[str]) -> Tables:
    wired = cni.wired(tables, node, pods, _netconf(tables))
    assert isinstance(wired, Tables), "a new cni0 has no other address"
    return wired


def _settled(tables: Tables, steps: tuple[Step, ...], pods: list[Wanted], no_node: str) -> list[Pod]:
    """Return `pods` as `steps` leave them; `no_node` is what the scheduler says."""
    if steps is UNSCHEDULED:
        return [_unscheduled(wanted, no_node) for wanted in pods]
    if _give_up in steps:
        return [_stuck(tables, wanted) for wanted in pods]
    host_network = steps is HOST_NETWORK
    return [Pod(namespace, name, node, None, host_network) for node, namespace, name in pods]


PHASES = (Phase("pod", _pod_jobs, _wire_all),)
