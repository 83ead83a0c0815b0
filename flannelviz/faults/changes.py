"""What faults change on a machine and in its pods: small functions that the catalogue puts together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

from flannelviz.controlplane.cni import pod_masqueraded, wired
from flannelviz.controlplane.host_local import reserve_all
from flannelviz.errors import FaultError
from flannelviz.model import interface, usable_pod_ips
from flannelviz.network import Network
from flannelviz.tables import (
    CNI0,
    ETH0,
    Address,
    Chain,
    Link,
    Origin,
    Port,
    Route,
    Sysctl,
    Tables,
)

Break = Callable[[Network, str], Network]


def origin(fault: str) -> Origin:
    """Return the author of a row that a fault wrote."""
    return Origin("fault", fault, f"{fault} is switched on")


def edit(change: Callable[[Tables], Tables]) -> Break:
    """Return a fault that changes the tables of one place."""
    return lambda network, place: network.writing(place, change(network.tables(place)))


def setting(name: str, value: int) -> Break:
    """Return a fault that sets a kernel setting."""
    return edit(lambda tables: tables.adding(Sysctl(name, value, origin(f"{name}={value}"))))


def link_down(name: str) -> Break:
    """Return a fault that takes a device down."""

    def change(tables: Tables) -> Tables:
        link = tables.link(name)
        return tables if link is None else tables.adding(replace(link, up=False))

    return edit(change)


def has_cni0(network: Network, node: str) -> bool:
    """Return whether a node has a bridge; before its first pod, and with Terway, it has none."""
    return network.tables(node).link(CNI0) is not None


def has_port(network: Network, pod: str) -> bool:
    """Return whether a pod hangs on a bridge."""
    return network.port(pod) is not None


def can_share_a_podcidr(network: Network, node: str) -> bool:
    """Return whether a node has a pod LAN, and another node a podCIDR."""
    others = any(n.name != node and n.pod_cidr is not None for n in network.nodes.values())
    return others and network.tables(node).lan is not None


def flushed(table: str) -> Callable[[Tables], Tables]:
    """Return tables with every chain of one iptables table emptied, and chains of one's own gone."""

    def change(tables: Tables) -> Tables:
        kept = tuple(
            replace(c, rules=()) if c.table == table else c
            for c in tables.chains
            if c.table != table or c.policy is not None
        )
        return replace(tables, chains=kept)

    return change


FLANNELD = "flanneld"


def without_flannels_rules(table: str) -> Callable[[Tables], Tables]:
    """Return tables whose iptables `table` has nothing of flanneld's, and all that kube-proxy and others wrote."""

    def change(tables: Tables) -> Tables:
        kept = tuple(
            replace(c, rules=tuple(r for r in c.rules if r.origin.component != FLANNELD)) if c.table == table else c
            for c in tables.chains
            if c.table != table or c.policy is not None or c.origin.component != FLANNELD
        )
        return replace(tables, chains=kept)

    return change


def forward_policy_drop(tables: Tables) -> Tables:
    """Return tables whose filter FORWARD chain drops what no rule accepts."""
    old = tables.chain("filter", "FORWARD") or Chain("filter", "FORWARD", "ACCEPT")
    return tables.adding(replace(old, policy="DROP", origin=origin("forward-drop")))


def without_flanneld(tables: Tables) -> Tables:
    """Return tables of a node on which flanneld never ran: none of its rules, devices, routes and neighbours."""
    emptied = without_flannels_rules("nat")(without_flannels_rules("filter")(tables))
    rows = ("fixed_links", "addresses", "routes", "neighbors", "fdb")
    kept: dict[str, Any] = {
        name: tuple(r for r in getattr(tables, name) if r.origin.component != FLANNELD) for name in rows
    }
    return replace(emptied, files=tuple(f for f in emptied.files if not f.path.startswith("/run/flannel")), **kept)


def without_cni0(tables: Tables) -> Tables:
    """Return tables as after `ip link delete cni0`: the ports lose their master, the pods keep their veths."""
    unplugged = (
        replace(tables.lan, ports=tuple(p._replace(attached=False) for p in tables.lan.ports)) if tables.lan else None
    )
    return replace(
        tables,
        fixed_links=tuple(link for link in tables.fixed_links if link.name != CNI0),
        addresses=tuple(a for a in tables.addresses if a.dev != CNI0),
        routes=tuple(r for r in tables.routes if r.dev != CNI0),
        lan=unplugged,
    )


def without_cni0_address(tables: Tables) -> Tables:
    """Return tables with a cni0 that has no address, hence no route."""
    return replace(
        tables,
        addresses=tuple(a for a in tables.addresses if a.dev != CNI0),
        routes=tuple(r for r in tables.routes if r.dev != CNI0),
    )


def with_old_cni0_address(network: Network, node: str) -> Network:
    """Return `network` with a podCIDR of nobody's on this node's cni0, and with the kernel's route to it."""
    tables, old = network.tables(node), _free_block(network, node)
    if tables.link(CNI0) is None:
        raise FaultError(f"{node} has no cni0; run a pod there first")
    address = Address(interface(old[1], old), CNI0, origin("cni0-old-address"))
    route = Route(old, CNI0, src=old[1], proto="kernel", scope="link", origin=origin("cni0-old-address"))
    return network.writing(node, without_cni0_address(tables).adding(address, route))


def _free_block(network: Network, node: str) -> IPv4Network:
    """Return the first block of the cluster CIDR, of the size of this node's podCIDR, that no node has.

    Raises: FaultError if there is none.
    """
    cluster, own = network.cluster_cidr, network.nodes[node].pod_cidr
    taken = {other.pod_cidr for other in network.nodes.values()}
    blocks = cluster.subnets(new_prefix=own.prefixlen) if cluster and own else ()
    found = next((block for block in blocks if block not in taken), None)
    if found is None:
        raise FaultError(f"no podCIDR is free for the former life of {node}; take a larger cluster CIDR")
    return found


def masquerading_by_bridge(tables: Tables) -> Tables:
    """Return tables as FLANNEL_IPMASQ=false makes them: a chain for each pod, which spares only the own podCIDR."""
    if tables.lan is None:
        return without_flannels_rules("nat")(tables)
    lan = replace(tables.lan, netconf={**tables.lan.netconf, "ipMasq": True})
    translated = replace(without_flannels_rules("nat")(tables), lan=lan)
    for port in lan.ports:
        translated = pod_masqueraded(translated, port.pod)
    return translated


def with_leaked_addresses(tables: Tables) -> Tables:
    """Return tables whose host-local holds every address that was left, for containers that are gone."""
    if tables.lan is None:
        return tables
    ipam, left = tables.lan.ipam, usable_pod_ips(tables.lan.subnet.prefixlen) - len(tables.lan.ipam.held)
    full, _ = reserve_all(ipam, [f"gone-{number}" for number in range(1, left + 1)])
    return replace(tables, lan=replace(tables.lan, ipam=full))


def with_the_podcidr_of_another(network: Network, node: str) -> Network:
    """Return a network in which `node` was given the podCIDR of another node, and its pods were wired anew."""
    other = next((n for n in network.nodes.values() if n.name != node and n.pod_cidr is not None), None)
    tables = network.tables(node)
    if other is None or tables.lan is None:
        raise FaultError(f"{node} needs pods, and another node with a podCIDR to share; add one of each")
    netconf = {**tables.lan.netconf, "ipam": {**tables.lan.netconf["ipam"], "subnet": str(other.pod_cidr)}}
    pods = [port.pod for port in tables.lan.ports]
    bare = replace(without_cni0(tables), lan=None)
    rewired = wired(bare, node, pods, netconf)
    assert isinstance(rewired, Tables), "a node without cni0 takes any podCIDR"
    nodes = {**network.nodes, node: replace(network.nodes[node], pod_cidr=other.pod_cidr)}
    return replace(unwired(network, node), nodes=nodes).writing(node, rewired)


def unwired(network: Network, node: str) -> Network:
    """Return `network` without what was written into the pods of `node`: it was in namespaces that are gone."""
    gone = network.pods_on(node)
    return replace(network, written={place: told for place, told in network.written.items() if place not in gone})


def port_changed(change: Callable[[Port], Port]) -> Break:
    """Return a fault at a pod's port, which lives in its node's tables."""

    def apply(network: Network, pod: str) -> Network:
        node = network.pods[pod].node or ""
        tables = network.tables(node)
        if tables.lan is None or tables.lan.port(pod) is None:
            raise FaultError(f"{pod} has no port on a bridge of {node or 'any node'}; name a pod that the bridge wired")
        ports = tuple(change(port) if port.pod == pod else port for port in tables.lan.ports)
        return network.writing(node, replace(tables, lan=replace(tables.lan, ports=ports)))

    return apply


def routes_kept(keep: Callable[[Route], bool]) -> Break:
    """Return a fault that leaves a place only the routes for which `keep` says so."""
    return edit(lambda tables: replace(tables, routes=tuple(route for route in tables.routes if keep(route))))


def smaller_mtu(tables: Tables) -> Tables:
    """Return tables whose eth0 passes 1400 bytes."""
    link = tables.link(ETH0) or Link(ETH0, "device")
    return tables.adding(replace(link, mtu=1400, origin=origin("eth0-mtu-1400")))
