"""A pod's network namespace: what the container runtime and `bridge` have put there. Control plane, pod stage.

A cluster may hold 150,000 of them, so this is worked out from the pod's port when somebody asks, and never kept.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from zlib import crc32

from flannelviz.model import derived_mac, interface
from flannelviz.tables import ETH0, LO, Address, Lan, Link, Origin, Port, Route, Sysctl, Tables, veth_name

RUNTIME, BRIDGE, KERNEL = "container runtime", "bridge", "kernel"
IP_FORWARD = "net.ipv4.ip_forward"
DEFAULT = IPv4Network("0.0.0.0/0")

_SANDBOX_ORIGIN = Origin(KERNEL, "makes a network namespace", "the container runtime starts the sandbox container")
SANDBOX = Tables(
    fixed_links=(Link(LO, "loopback", mtu=65536, origin=_SANDBOX_ORIGIN),),
    addresses=(Address(IPv4Interface("127.0.0.1/8"), LO, _SANDBOX_ORIGIN),),
    sysctls=(Sysctl(IP_FORWARD, 0, _SANDBOX_ORIGIN),),
)


def pod_tables(lan: Lan, port: Port) -> Tables:
    """Return what a pod's network namespace holds: lo, and what `bridge` has made of eth0 so far.

    Shape: without an address, links alone; with one, three routes (two where isDefaultGateway is not set).
    """
    origin = Origin(BRIDGE, f"ADD {port.pod}", f"pod {port.pod} runs on {lan.node}")
    address = None if port.ip is None else IPv4Address(port.ip)
    mac = derived_mac(address) if address else random_mac(f"{port.pod} {ETH0}")
    eth0 = Link(ETH0, "veth", mac, lan.mtu, peer=(lan.node, veth_name(port.pod)), origin=origin)
    links = (*SANDBOX.fixed_links, eth0)
    if address is None:
        return replace(SANDBOX, fixed_links=links)
    addresses = (*SANDBOX.addresses, Address(interface(address, lan.subnet), ETH0, origin))
    return replace(SANDBOX, fixed_links=links, addresses=addresses, routes=_pod_routes(lan, port.pod, address))


def _pod_routes(lan: Lan, pod: str, address: IPv4Address) -> tuple[Route, ...]:
    """Return the pod's routes as `ip route` lists them: default, those of the netconf, the on-link one."""
    because = {DEFAULT: "isDefaultGateway in the delegate netconf"} if lan.netconf.get("isDefaultGateway") else {}
    for asked in lan.netconf["ipam"].get("routes", ()):
        because.setdefault(IPv4Network(asked["dst"]), "routes of the delegate netconf, from FLANNEL_NETWORK")
    asked_for = (
        Route(dst, ETH0, via=lan.gateway, origin=Origin(BRIDGE, f"ADD {pod}", why)) for dst, why in because.items()
    )
    return (*asked_for, kernel_route(lan.subnet, ETH0, address))


def kernel_route(dst: IPv4Network, dev: str, src: IPv4Address) -> Route:
    """Return the on-link route that follows from address `src` on `dev`."""
    origin = Origin(KERNEL, "adds the on-link route", f"{dev} has address {interface(src, dst)}")
    return Route(dst, dev, src=src, proto=KERNEL, scope="link", origin=origin)


def random_mac(name: str) -> str:
    """Return a stand-in for the MAC that the kernel draws, from `name`, so that it is the same each time."""
    return "36:" + crc32(name.encode()).to_bytes(5, "big").hex(":")
