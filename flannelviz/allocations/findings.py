"""What is wrong with the addresses of nodes and with podCIDRs, each with the command that shows it.

Part of the allocations: reads a Network and neither plane.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from shlex import quote
from typing import Literal, NamedTuple

from flannelviz.allocations.levels import WIDEST, Block, Extent, Owners, block_count, bounds
from flannelviz.model import Node, Pod, usable_pod_ips
from flannelviz.network import Network, counted

NEARLY_FULL = 0.9

Severity = Literal["error", "warning", "notice"]

SHOW_POD_CIDRS = "kubectl get nodes -o custom-columns=NAME:.metadata.name,PODCIDR:.spec.podCIDR"
SHOW_CLUSTER_CIDR = "kubectl get configmap/kube-flannel-cfg -n kube-system -o jsonpath='{.data.net-conf\\.json}'"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in the allocation that is wrong, or soon will be, with the command that shows it.

    `code` says what, in words that stay the same: for nodes node-address-unknown, node-address-duplicate and
    pod-cidr-holds-node; for podCIDRs pod-cidr-missing, -unknown, -too-small, -outside-cluster, -duplicate, -overlap,
    -nearly-full and -full, pod-cidrs-scattered and cluster-cidr-full; for pods pod-outside-pod-cidr, pod-ip-duplicate,
    -reserved, -unknown and -leaked, pod-pending, pod-on-unknown-node and host-network-ip.
    """

    severity: Severity
    code: str
    subject: str
    message: str
    command: str


class Findings(tuple[Finding, ...]):
    """What is wrong in one allocation: a tuple, which shows itself as a table."""

    __slots__ = ()


def _show_node(node: str, options: str) -> str:
    return f"kubectl get {quote(f'node/{node}')} {options}"


def _show_pods_on(node: str) -> str:
    return f"kubectl get pods -A -o wide --field-selector {quote(f'spec.nodeName={node}')}"


def named(pod: Pod) -> str:
    """Return the pod as kubectl takes it; the names are text from outside, so they are quoted for the shell."""
    return f"{quote(f'pod/{pod.name}')} -n {quote(pod.namespace)}"


def of_pod(severity: Severity, code: str, pod: Pod, message: str) -> Finding:
    """Return a finding about one pod, with the command that shows its node and its address."""
    return Finding(severity, code, pod.place, message, f"kubectl get {named(pod)} -o wide")


def address_findings(network: Network, owners: Owners) -> Iterator[Finding]:
    """Return what is wrong with the addresses of the nodes themselves."""
    first: dict[IPv4Address, str] = {}
    for node in network.nodes.values():
        address = network.node_ip(node.name)
        if address is None:
            message = "its InternalIP is unknown, so nothing can be said about the way to it"
            yield Finding("notice", "node-address-unknown", node.name, message, _show_node(node.name, "-o wide"))
            continue
        if first.setdefault(address, node.name) != node.name:
            message = f"has {address}, the address of {first[address]} too; an ECS has its address alone"
            yield Finding("error", "node-address-duplicate", node.name, message, "kubectl get nodes -o wide")
        owner = owners.of(int(address))
        if owner is not None:
            cidr = network.nodes[owner].pod_cidr
            message = f"{address} lies in {cidr}, the podCIDR of {owner}: packets for this node go there instead"
            yield Finding("error", "pod-cidr-holds-node", node.name, message, SHOW_POD_CIDRS)


def pod_cidr_findings(network: Network, cluster: Extent) -> Iterator[Finding]:
    """Return what is wrong with the podCIDRs: missing, outside, too small, twice, or one inside another."""
    if cluster.cidr is None and any(node.pod_cidr for node in network.nodes.values()):
        message = f"the podCIDRs lie too far apart for one cluster CIDR (/{WIDEST} at most)"
        yield Finding("warning", "pod-cidrs-scattered", "cluster", message, SHOW_POD_CIDRS)
    elsewhere = _is_addressed_from_elsewhere(network)
    for node in network.nodes.values():
        yield from _own_cidr_findings(node, cluster, elsewhere=elsewhere)
    yield from _overlaps(network.nodes.values())


def _own_cidr_findings(node: Node, cluster: Extent, *, elsewhere: bool) -> Iterator[Finding]:
    command = _show_node(node.name, "-o jsonpath='{.spec.podCIDR}{\"\\n\"}'")
    if node.pod_cidr is None and node.pod_cidr_text:
        message = f"has podCIDR {node.pod_cidr_text}, which is no IPv4 network: which addresses its pods get is unknown"
        yield Finding("notice", "pod-cidr-unknown", node.name, message, command)
        return
    if node.pod_cidr is None and elsewhere:
        message = "has no podCIDR, nor has any node, and yet pods have addresses: from elsewhere, as with Terway"
        yield Finding("notice", "pod-cidr-missing", node.name, message, command)
        return
    if node.pod_cidr is None:
        message = "has no podCIDR: flanneld cannot start there, and no pod gets an address; is a block left?"
        yield Finding("error", "pod-cidr-missing", node.name, message, command)
        return
    if not usable_pod_ips(node.pod_cidr.prefixlen):
        message = f"{node.pod_cidr} is too small to allocate from: network, cni0 and broadcast address use it up"
        yield Finding("error", "pod-cidr-too-small", node.name, message, command)
    if cluster.cidr is not None and not node.pod_cidr.subnet_of(cluster.cidr):
        message = f"{node.pod_cidr} lies outside the cluster CIDR {cluster.cidr}: its packets are masqueraded"
        yield Finding("error", "pod-cidr-outside-cluster", node.name, message, SHOW_CLUSTER_CIDR)


def _is_addressed_from_elsewhere(network: Network) -> bool:
    """Return whether pods have addresses of their own though no node has a podCIDR: such a cluster is no flannel."""
    if any(node.pod_cidr or node.pod_cidr_text for node in network.nodes.values()):
        return False
    return any((pod.ip or pod.other_ips) and not pod.host_network for pod in network.pods.values())


class _Held(NamedTuple):
    first: int
    last: int
    node: str
    cidr: IPv4Network


def _overlaps(nodes: Iterable[Node]) -> Iterator[Finding]:
    """Return one finding for each podCIDR that equals an earlier one or lies inside a larger one.

    Two CIDR blocks are disjoint or nested, so in the order of their addresses a stack holds all that are open.
    """
    held = (_Held(*bounds(node.pod_cidr), node.name, node.pod_cidr) for node in nodes if node.pod_cidr is not None)
    opened: list[_Held] = []
    for one in sorted(held, key=lambda h: (h.first, -h.last)):
        while opened and opened[-1].last < one.first:
            opened.pop()
        outer = opened[-1] if opened else None
        if outer is not None and outer.cidr == one.cidr:
            message = f"has {one.cidr}, the podCIDR of {outer.node} too: only one of them can be reached"
            yield Finding("error", "pod-cidr-duplicate", one.node, message, SHOW_POD_CIDRS)
            continue
        if outer is not None:
            message = f"{one.cidr} lies inside {outer.cidr}, the podCIDR of {outer.node}: both give out its addresses"
            yield Finding("error", "pod-cidr-overlap", one.node, message, SHOW_POD_CIDRS)
        opened.append(one)


def fullness_findings(
    cluster: Extent, mask: int | None, taken: list[int], blocks: tuple[Block, ...]
) -> Iterator[Finding]:
    """Return which ranges have nothing left, or hardly anything."""
    count = block_count(cluster, mask)
    if cluster.basis in ("plan", "given") and count is not None and len(taken) >= count:
        message = f"{cluster.cidr} holds {counted(count, 'block')}, and none is left: the next node gets no podCIDR"
        yield Finding("warning", "cluster-cidr-full", "cluster", message, SHOW_POD_CIDRS)
    for block in blocks:
        used, usable = block.fill.used, block.fill.usable
        if used is None or not usable or used < NEARLY_FULL * usable:
            continue
        full = used >= usable
        message = f"{block.fill} addresses of {block.pod_cidr} are held: " + (
            "the next pod gets none" if full else f"{usable - used} left"
        )
        code = "pod-cidr-full" if full else "pod-cidr-nearly-full"
        yield Finding("error" if full else "warning", code, block.node, message, _show_pods_on(block.node))


def leak_findings(network: Network) -> Iterator[Finding]:
    """Return the addresses that host-local still holds for pods that are gone; only a built network tells."""
    for node in network.nodes:
        tables = network.written.get(node)
        if tables is None or tables.lan is None:
            continue
        held = tables.lan.ipam.held
        leaked = [ip for ip, pod in held.items() if pod not in network.pods]
        if leaked:
            count = f"{len(leaked)} addresses" if len(leaked) > 1 else "an address"
            message = f"host-local holds {count} for pods that are gone, such as {IPv4Address(leaked[0])}"
            yield Finding("warning", "pod-ip-leaked", node, message, f"ssh {quote(node)} ls /var/lib/cni/networks/cb0")
