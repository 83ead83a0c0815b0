"""The ways in which flannel carries packets between nodes: what each writes for the own lease, and for a remote one.

Control plane. `alloc`, the one on ACK, writes nothing at all, and that contrast is the lesson: the VPC entry does it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from zlib import crc32

from flannelviz.model import BackendKind, Node
from flannelviz.tables import (
    ETH0,
    VNI,
    VXLAN_DEV,
    VXLAN_OVERHEAD,
    VXLAN_PORT,
    Address,
    FdbEntry,
    Link,
    Neighbor,
    Origin,
    Route,
    Row,
    Tables,
)

FLANNELD = "flanneld"


@dataclass(frozen=True, slots=True)
class Backend:
    """One backend: what it costs every packet, and the rows that it adds to a node."""

    kind: BackendKind
    overhead: int  # bytes of every packet
    own: Callable[[Tables, Node], tuple[Row, ...]]
    remote: Callable[[Node], tuple[Row, ...]]
    writes_vpc_route: bool = False  # flanneld does it itself, instead of the cloud-controller-manager

    def mtu(self, link_mtu: int) -> int:
        """Return FLANNEL_MTU. Units: bytes."""
        return link_mtu - self.overhead

    @property
    def adds_routes(self) -> bool:
        """Return whether it adds rows for remote leases, so that each flanneld watches all others."""
        return self.remote is not _nothing_remote


def _nothing(_tables: Tables, _node: Node) -> tuple[Row, ...]:
    """Return no row. Source: flannel backend/alloc/alloc.go: the way to other nodes is left to the cloud."""
    return ()


def _nothing_remote(_node: Node) -> tuple[Row, ...]:
    return ()


def _lease(node: Node) -> IPv4Network:
    assert node.pod_cidr is not None, "who has a lease has a podCIDR"
    return node.pod_cidr


def _origin(node: Node, event: str) -> Origin:
    return Origin(FLANNELD, event, f"the lease of {node.name} is {node.pod_cidr}")


def _host_gw_remote(node: Node) -> tuple[Row, ...]:
    """Return the route to a remote podCIDR: its node is the gateway, so it must be a neighbour on layer 2.

    Source: flannel backend/hostgw/hostgw.go.
    """
    return (Route(_lease(node), ETH0, via=node.address, origin=_origin(node, "adds a route to a lease")),)


def vtep_mac(node: Node) -> str:
    """Return the MAC of a node's flannel.1; random there, and published in backend-data; from the name here."""
    return "fe:" + crc32(node.name.encode()).to_bytes(5, "big").hex(":")


def _vxlan_own(tables: Tables, node: Node) -> tuple[Row, ...]:
    """Return flannel.1 and its address: the base of the podCIDR, as a host address.

    Source: flannel backend/vxlan/{vxlan,device}.go.
    """
    origin = _origin(node, f"makes {VXLAN_DEV}: VNI {VNI}, UDP {VXLAN_PORT}, no learning")
    eth0 = tables.link(ETH0)
    mtu = (eth0.mtu if eth0 else 1500) - VXLAN_OVERHEAD
    return (
        Link(VXLAN_DEV, "vxlan", vtep_mac(node), mtu, origin=origin),
        Address(IPv4Interface((int(_lease(node).network_address), 32)), VXLAN_DEV, origin),
    )


def _vxlan_remote(node: Node) -> tuple[Row, ...]:
    """Return the three rows that lead to a remote lease: route, permanent neighbour, permanent FDB entry.

    Source: flannel backend/vxlan/vxlan_network.go; RFC 7348 §4.1.
    """
    origin, vtep = _origin(node, "adds a lease"), _lease(node).network_address
    return (
        Route(_lease(node), VXLAN_DEV, via=vtep, onlink=True, origin=origin),
        Neighbor(vtep, vtep_mac(node), VXLAN_DEV, "PERMANENT", origin),
        FdbEntry(vtep_mac(node), VXLAN_DEV, dst=node.address, state="permanent", origin=origin),
    )


ALLOC = Backend("alloc", 0, _nothing, _nothing_remote)
BACKENDS: dict[BackendKind, Backend] = {
    backend.kind: backend
    for backend in (
        ALLOC,
        Backend("ali-vpc", 0, _nothing, _nothing_remote, writes_vpc_route=True),
        Backend("host-gw", 0, _nothing, _host_gw_remote),
        Backend("vxlan", VXLAN_OVERHEAD, _vxlan_own, _vxlan_remote),
    )
}


def taken_by_kernel(tables: Tables, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Return the rows that the kernel of a node takes: it refuses a route whose gateway is on none of its networks.

    Source: net/ipv4/fib_semantics.c, fib_check_nh: "Nexthop has invalid gateway"; flanneld logs it and goes on.
    """
    networks = [row.interface.network for row in tables.addresses]
    return tuple(row for row in rows if not isinstance(row, Route) or _reachable(row, networks))


def _reachable(route: Route, networks: list[IPv4Network]) -> bool:
    return route.via is None or route.onlink or any(route.via in network for network in networks)
