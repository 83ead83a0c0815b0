"""Each pod against the podCIDR of its node: who holds which address, and what is wrong with it.

Part of the allocations: reads a Network and neither plane. One pass over the pods, addresses as integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from flannelviz.allocations.findings import Finding, named, of_pod
from flannelviz.allocations.levels import Block, Fill, Owners, bounds
from flannelviz.model import Node, Pod, usable_pod_ips
from flannelviz.network import Network


@dataclass(slots=True)
class _OnNode:
    """What is counted for one node while its pods pass by; the addresses of the podCIDR as integers."""

    first: int
    last: int
    address: int | None
    held: set[int] = field(default_factory=set)
    host_network: int = 0
    waiting: int = 0
    untold: int = 0  # whose address the dump does not say
    finished: int = 0
    outside: int = 0


class Tally:
    """The network and its nodes, prepared so that each pod is looked at once."""

    def __init__(self, network: Network, owners: Owners) -> None:
        self.network = network
        self.owners = owners
        self.nodes = {name: _on_node(network, node) for name, node in network.nodes.items()}


def _on_node(network: Network, node: Node) -> _OnNode:
    address = network.node_ip(node.name)
    first, last = bounds(node.pod_cidr) if node.pod_cidr is not None else (0, -1)
    return _OnNode(first, last, None if address is None else int(address))


def pod_findings(tally: Tally) -> Iterator[Finding]:
    """Return what is wrong with single pods, and count them while passing by."""
    first: dict[int, str] = {}
    for place, pod in tally.network.pods.items():
        on = tally.nodes.get(pod.node) if pod.node is not None else None
        if pod.node is not None and on is None and "nodes" not in tally.network.unknown:
            yield of_pod("warning", "pod-on-unknown-node", pod, f"is on {pod.node}, which is no node of this cluster")
        if pod.finished:
            if on is not None:
                on.finished += 1
        elif pod.host_network:
            yield from _host_network_findings(tally.network, pod, on)
        else:
            ip = _ip_of(tally.network, place, pod)
            if ip is None:
                yield from _waiting_findings(tally.network, pod, on)
            else:
                yield from _address_of_pod_findings(tally, pod, on, ip)
                yield from _duplicate_findings(pod, ip, first)


def _ip_of(network: Network, place: str, pod: Pod) -> int | None:
    if pod.ip is not None:
        return int(pod.ip)
    port = network.port(place)
    return port.ip if port is not None else None


def _host_network_findings(network: Network, pod: Pod, on: _OnNode | None) -> Iterator[Finding]:
    if pod.node is None and pod.ip is None:
        yield from _waiting_findings(network, pod, on)
    if on is None:
        return
    on.host_network += 1
    if pod.ip is not None and on.address is not None and int(pod.ip) != on.address:
        message = f"is hostNetwork and shows {pod.ip}, but {pod.node} has {IPv4Address(on.address)}"
        yield of_pod("warning", "host-network-ip", pod, message)


def _waiting_findings(network: Network, pod: Pod, on: _OnNode | None) -> Iterator[Finding]:
    """Return that a pod has no address: a fact of a built network, but of a dump only where the pod is Pending."""
    if network.plan is None and pod.phase != "Pending":
        yield _untold(pod, on)
        return
    if on is not None:
        on.waiting += 1
    state = f"is on {pod.node} without an address" if pod.node is not None else "is not scheduled to a node"
    command = f"kubectl describe {named(pod)}"
    message = f"{state}: {pod.message}" if pod.message else state
    yield Finding("warning", "pod-pending", pod.place, message, command)


def _untold(pod: Pod, on: _OnNode | None) -> Finding:
    """Return that the dump does not say which address a pod has: one of another family is none of its podCIDR."""
    if pod.other_ips:
        message = f"is {pod.phase} and has only {', '.join(pod.other_ips)}; this model knows IPv4 alone"
        return of_pod("notice", "pod-ip-unknown", pod, message)
    if on is not None:
        on.untold += 1
    return of_pod("notice", "pod-ip-unknown", pod, f"is {pod.phase}, but its address is not known")


def _address_of_pod_findings(tally: Tally, pod: Pod, on: _OnNode | None, ip: int) -> Iterator[Finding]:
    """Return what is wrong between a pod's address and the podCIDR of its node; nothing where that is unknown."""
    if on is None or on.last < 0:
        return
    if not on.first <= ip <= on.last:
        on.outside += 1
        yield _outside(tally, pod, ip)
        return
    what = {on.first: "network", on.first + 1: "cni0", on.last: "broadcast"}.get(ip)
    if what is None:
        on.held.add(ip)
    else:
        message = f"has {IPv4Address(ip)}, the {what} address of {pod.node}'s podCIDR, which no pod gets"
        yield of_pod("error", "pod-ip-reserved", pod, message)


def _outside(tally: Tally, pod: Pod, ip: int) -> Finding:
    node = tally.network.nodes[pod.node or ""]
    owner = tally.owners.of(ip)
    whose = f"in that of {owner}: packets for it go there" if owner else "in no podCIDR: no route leads to it"
    message = f"has {IPv4Address(ip)}, which is not in {node.pod_cidr} of its node {node.name} but {whose}"
    return of_pod("error", "pod-outside-pod-cidr", pod, message)


def _duplicate_findings(pod: Pod, ip: int, first: dict[int, str]) -> Iterator[Finding]:
    place = pod.place
    other = first.setdefault(ip, place)
    if other != place:
        address = IPv4Address(ip)
        command = f"kubectl get pods -A -o wide --field-selector status.podIP={address}"
        yield Finding("error", "pod-ip-duplicate", place, f"has {address}, and so has {other}", command)


def block_of(node: Node, tally: Tally) -> Block:
    """Return the line of one node, once all pods have been counted."""
    on, network = tally.nodes[node.name], tally.network
    told = "pods" not in network.unknown
    room = None if node.pod_cidr is None else usable_pod_ips(node.pod_cidr.prefixlen)
    return Block(
        node=node.name,
        address=network.node_ip(node.name),
        pod_cidr=node.pod_cidr,
        fill=Fill(_used(node, on, network), room),
        host_network=on.host_network if told else None,
        waiting=on.waiting if told else None,
        finished=on.finished if told else None,
        outside=on.outside if told else None,
    )


def _used(node: Node, on: _OnNode, network: Network) -> int | None:
    """Return how many addresses are held: what host-local says where it is known, else what pods show, if all do."""
    tables = network.written.get(node.name)
    if tables is not None and tables.lan is not None:
        return len(tables.lan.ipam.held)
    known = "pods" not in network.unknown and node.pod_cidr is not None and not on.untold
    return len(on.held) if known else None


def by_pod_cidr(block: Block) -> tuple[bool, int, int]:
    """Return what orders blocks by address, those without a podCIDR last."""
    if block.pod_cidr is None:
        return (True, 0, 0)
    return (False, int(block.pod_cidr.network_address), block.pod_cidr.prefixlen)
