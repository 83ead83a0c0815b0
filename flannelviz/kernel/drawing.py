"""Network -> blueprint: the tables of every place, in the words of the tools that make them so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from ipaddress import IPv4Address

from flannelviz.kernel.blueprint import Blueprint, Cable, Machine, Plug
from flannelviz.kernel.router import WIRE, cables, is_narrow, outside, router
from flannelviz.model import VPC
from flannelviz.network import Network
from flannelviz.tables import CNI0, ETH0, MAIN, VNI, VXLAN_PORT, Address, FdbEntry, Lan, Link, Port, Tables
from flannelviz.views.text import iptables_save, route_lines

# How long a kernel asks in vain before it gives a neighbour up: once, for a moment, where it would take three seconds.
ASKED_ONCE = (("mcast_solicit", "1"), ("retrans_time_ms", "40"))


def blueprint(network: Network) -> Blueprint:
    """Return what is to be built for `network`."""
    machines = (_ecs(network, place) for place in network.ecs_places())
    pods = (_pod(network, place) for place in _sandboxes(network))
    wires = (*cables(network), *(cable for place in network.ecs_places() for cable in _veths(network, place)))
    return Blueprint((outside(network.vpc), router(network), *machines, *pods), wires)


def _sandboxes(network: Network) -> Iterator[str]:
    """Return the pods that have a namespace of their own, whether they are wired or not."""
    return (place for place, pod in network.pods.items() if not pod.host_network)


def _veths(network: Network, place: str) -> Iterator[Cable]:
    """Return the veth pairs between a node and its pods that no bridge plugin makes: those of Terway."""
    for near in _own(network.tables(place), "veth"):
        pod, dev = near.peer or ("", "")
        far = network.tables(pod).link(dev) if pod else None
        if far is not None:
            line = f"link add {near.name} address {near.mac} mtu {near.mtu} type veth"
            peer = f"peer name {far.name} address {far.mac} mtu {far.mtu} netns {{far}}"
            yield Cable(place, pod, f"{line} {peer}")


def _own(tables: Tables, kind: str) -> Iterator[Link]:
    """Return the devices of one kind, without the ports of the pod LAN."""
    return (link for link in tables.fixed_links if link.kind == kind)


def _ecs(network: Network, place: str) -> Machine:
    tables = network.tables(place)
    lan, cni0 = tables.lan, tables.link(CNI0)
    plugs = tuple(_plug(network, lan, port) for port in lan.ports) if lan else ()
    return Machine(
        place,
        first=(
            *_up(tables, "loopback"),
            *_nics(tables),
            *_tunnels(tables),
            *_up(tables, "device"),
            *_up(tables, "veth"),
            *(_bare_bridge(cni0) if cni0 and not plugs else ()),
            *_before_cni0(tables),
        ),
        netconf=json.dumps(lan.netconf) if lan else "",
        plugs=plugs,
        then=tuple(_cni0_as_told(cni0)) if plugs else (),
        addresses=_addresses(tables),
        routes=_routes(tables),
        rules=_rules(tables),
        settings=(*_asked_once(tables), *_settings(tables)),
        settled=_without_carrier(network, tables),
        fdb=tuple(map(_fdb, tables.fdb)),
        last=(*_policy(tables), *_neighbors(tables), *_ports(tables), *_downs(tables)),
    )


def _pod(network: Network, place: str) -> Machine:
    tables = network.tables(place)
    eth0 = tables.link(ETH0)
    plugged = eth0 is not None and network.port(place) is not None
    return Machine(
        place,
        first=() if plugged else (*_up(tables, "loopback"), *_up(tables, "veth")),
        then=(f"link set {ETH0} address {eth0.mac} mtu {eth0.mtu}",) if eth0 else (),
        addresses=_addresses(tables),
        routes=_routes(tables),
        rules=_rules(tables),
        settings=(*_asked_once(tables), *_settings(tables)),
        last=(*_policy(tables), *_neighbors(tables), *_downs(tables)),
        settled=_without_carrier(network, tables),
    )


def _without_carrier(network: Network, tables: Tables) -> tuple[str, ...]:
    """Return the devices that are up, and whose other end is not, or not all of whose ports are."""
    wired = ((link, link.peer) for link in tables.links if link.up and link.peer and link.peer[0] != VPC)
    ends = tuple(
        link.name for link, (place, dev) in wired if (far := network.tables(place).link(dev)) is None or not far.up
    )
    ports = tables.lan.ports if tables.lan and tables.link(CNI0) else ()
    return (*ends, CNI0) if ports and (ends or not all(p.up and p.attached for p in ports)) else ends


def _plug(network: Network, lan: Lan, port: Port) -> Plug:
    veth = lan.veth(port)
    container = sha256(port.pod.encode()).hexdigest()
    return Plug(port.pod, container, str(IPv4Address(port.ip)) if port.ip is not None else None, veth.name, veth.mac)


def _up(tables: Tables, kind: str) -> Iterator[str]:
    yield from (f"link set {link.name} mtu {link.mtu} up" for link in _own(tables, kind))


def _nics(tables: Tables) -> Iterator[str]:
    for link in filter(is_narrow, _own(tables, "device")):
        yield f"link set {WIRE}{link.name} up"
        yield f"link add link {WIRE}{link.name} name {link.name} address {link.mac} type macvlan mode passthru"


def _tunnels(tables: Tables) -> Iterator[str]:
    """Return the lines that make the VXLAN devices, while eth0 is still wide enough for whatever MTU they have.

    Source: flannel backend/vxlan/device.go: VNI 1, UDP 8472, no learning, bound to eth0 and its address.
    """
    local = next((a.interface.ip for a in tables.addresses if a.dev == ETH0), None)
    for link in _own(tables, "vxlan"):
        where = f"local {local} dev {ETH0}" if local else f"dev {ETH0}"
        kind = f"type vxlan id {VNI} {where} dstport {VXLAN_PORT} nolearning"
        yield f"link add {link.name} address {link.mac} mtu {link.mtu} {kind}"
        yield f"link set {link.name} up"


def _bare_bridge(cni0: Link) -> tuple[str, ...]:
    return (f"link add {CNI0} address {cni0.mac} mtu {cni0.mtu} type bridge", f"link set {CNI0} up")


def _cni0_as_told(cni0: Link | None) -> Iterator[str]:
    """Return what makes the bridge that the plugin made the one of the tables: no bridge, or this MAC and MTU."""
    yield f"link del {CNI0}" if cni0 is None else f"link set {CNI0} address {cni0.mac} mtu {cni0.mtu}"


def _addresses(tables: Tables) -> frozenset[str]:
    return frozenset(_address(row) for row in tables.addresses if tables.link(row.dev))


def _address(row: Address) -> str:
    return f"{row.interface} dev {row.dev}"


def _routes(tables: Tables) -> frozenset[str]:
    """Return the routes as `ip route` prints them, those of devices that will go down included."""
    return frozenset(route_lines(tables.routes))


def _before_cni0(tables: Tables) -> Iterator[str]:
    """Return the lines for routes that were there before the one of cni0 to the same place, and so are asked first."""
    to_cni0 = {route.dst: number for number, route in enumerate(tables.routes) if route.dev == CNI0}
    before = tuple(r for number, r in enumerate(tables.routes) if r.dev != CNI0 and number < to_cni0.get(r.dst, 0))
    devices = {route.dev for route in before}
    yield from (f"addr add {_address(row)}" for row in tables.addresses if row.dev in devices)
    yield from (f"route append {line}" for line in route_lines(before))


def _rules(tables: Tables) -> str:
    used = dict.fromkeys(chain.table for chain in tables.chains)
    return "".join(f"{iptables_save(tables, table)}\n" for table in used)


def _policy(tables: Tables) -> Iterator[str]:
    """Return the lines for what lies beside the main table: other tables, and the rules that ask them."""
    for table in dict.fromkeys(route.table for route in tables.routes if route.table != MAIN):
        yield from (f"route add {line} table {table}" for line in route_lines(tables.routes, table))
    for rule in tables.policy:
        who = [f"from {rule.src}" if rule.src else "", f"to {rule.dst}" if rule.dst else ""]
        where = [f"iif {rule.in_dev}" if rule.in_dev else "", f"lookup {rule.table}"]
        yield " ".join([f"rule add pref {rule.priority}", *filter(None, (*who, *where))])


def _settings(tables: Tables) -> Iterator[tuple[str, str]]:
    for row in tables.sysctls:
        yield row.name.translate(str.maketrans("./", "/.")), str(row.value)  # as sysctl(8): conf.flannel/1


def _asked_once(tables: Tables) -> Iterator[tuple[str, str]]:
    for link in tables.fixed_links:
        if link.kind != "loopback":
            yield from ((f"net/ipv4/neigh/{link.name}/{name}", value) for name, value in ASKED_ONCE)


def _neighbors(tables: Tables) -> Iterator[str]:
    for row in tables.neighbors:
        state = "permanent" if row.state == "PERMANENT" else "reachable"
        yield f"neigh replace {row.dst} lladdr {row.lladdr} dev {row.dev} nud {state}"


def _fdb(row: FdbEntry) -> str:
    """Return the line that adds an entry: of a VTEP behind a node, or of a MAC behind a port of the bridge."""
    where = f"dst {row.dst} self permanent" if row.dst else "master static"
    return f"fdb replace {row.lladdr} dev {row.dev} {where}"


def _ports(tables: Tables) -> Iterator[str]:
    """Return what faults did to the ports of the bridge."""
    lan = tables.lan
    for port in lan.ports if lan else ():
        link = lan.veth(port) if lan else None
        if link is None:
            continue
        if not port.attached and tables.link(CNI0):
            yield f"link set {link.name} nomaster"
        if lan is not None and port.hairpin != bool(lan.netconf.get("hairpinMode", False)):
            yield f"link set {link.name} type bridge_slave hairpin {'on' if port.hairpin else 'off'}"
        if not port.up:
            yield f"link set {link.name} down"


def _downs(tables: Tables) -> Iterator[str]:
    for link in tables.fixed_links:
        if not link.up:
            yield f"link set {link.name} down"
            if link.kind == "device" and is_narrow(link):
                yield f"link set {WIRE}{link.name} down"
