"""All of it at one moment: the value that the control plane hands to the data plane and to the views."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any, Literal

from flannelviz.errors import UnknownPlaceError
from flannelviz.model import INTERNET, VPC, ClusterPlan, Ecs, Node, Pod
from flannelviz.packet import AnyRow
from flannelviz.tables import ETH0, UNTOLD, Address, File, Lan, Link, Port, Tables, VpcTables

EMPTY = Tables()
SEARCHED = 2000  # names compared for a hint: comparing 150,000 would take seconds
UNKNOWN_DEV = "?"


@dataclass(frozen=True, repr=False)
class Network:
    """A cluster network at one moment: what exists, and the tables of every place.

    A place is a pod (`namespace/name`), a node or other ECS, the VPC router, or the Internet. `written` holds the
    tables of every ECS, and of those pods whose tables are not simply what their node's pod LAN gives every pod.
    `plan` is None for an imported network; `unknown` then names the fields ("nodes", "pods") that the input did not
    tell, so that none is not taken for zero. Units: addresses as `ipaddress` objects.
    """

    plan: ClusterPlan | None = None
    ecs: Mapping[str, Ecs] = field(default_factory=dict)
    nodes: Mapping[str, Node] = field(default_factory=dict)
    pods: Mapping[str, Pod] = field(default_factory=dict)
    vpc: VpcTables = field(default_factory=VpcTables)
    written: Mapping[str, Tables] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()
    memo: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __repr__(self) -> str:
        return f"<Network: {self.size}{'' if self.plan else ', imported'}>"

    @property
    def size(self) -> str:
        """Return how many nodes, pods and VPC entries there are; what the input did not tell is unknown, not 0."""
        entries = None if "route_tables" in self.vpc.unknown else len(self.vpc.routes)
        nodes = None if "nodes" in self.unknown else len(self.nodes)
        pods = None if "pods" in self.unknown else len(self.pods)
        return ", ".join((counted(nodes, "node"), counted(pods, "pod"), counted(entries, "VPC entry", "VPC entries")))

    def places(self) -> Iterator[str]:
        """Return every place: pods by node, nodes and other ECS, the VPC, the Internet.

        Shape: one name each, outermost first.
        """
        yield from (INTERNET, VPC)
        yield from self.ecs_places()
        yield from self.pods

    def ecs_places(self) -> tuple[str, ...]:
        """Return the nodes, then the ECS instances that are none."""
        return (*self.nodes, *(name for name in self.ecs if name not in self.nodes))

    def place(self, name: str) -> str:
        """Return the place called `name`: a full name, or a pod's bare name where only one pod has it.

        Raises: UnknownPlaceError, with the nearest names.
        """
        if name in self.written or name in self.pods or name in self.nodes or name in self.ecs:
            return name
        if name in (VPC, INTERNET):
            return name
        if not isinstance(name, str):
            raise UnknownPlaceError(f"{name!r} is no name of a place; see list(network.places())")
        if name.lower() in ("vpc", "internet"):
            return VPC if name.lower() == "vpc" else INTERNET
        found = self._pods_called(name)
        if len(found) == 1:
            return found[0]
        if found:
            raise UnknownPlaceError(f"{name!r} names {len(found)} pods; write one of {', '.join(found[:5])}")
        raise UnknownPlaceError(self._no_such_place(name))

    def _pods_called(self, name: str) -> tuple[str, ...]:
        default = f"default/{name}"
        if default in self.pods:
            return (default,)
        by_name: dict[str, tuple[str, ...]] | None = self.memo.get("pods called")
        if by_name is None:
            by_name = {}
            for place, pod in self.pods.items():
                by_name[pod.name] = (*by_name.get(pod.name, ()), place)
            self.memo["pods called"] = by_name
        return by_name.get(name, ())

    def _no_such_place(self, name: str) -> str:
        return f"no node, ECS or pod is called {name!r}; {self._owner(name) or self._near(name)}"

    def _owner(self, name: str) -> str:
        """Return whose address `name` is, or nothing where it is no address."""
        try:
            found = self.place_at(IPv4Address(name))
        except ValueError:
            return ""
        return f"it is an address of {found}" if found else "nobody known here has this address"

    def _near(self, name: str) -> str:
        places = (*self.ecs_places(), *(pod.name for pod in self.pods.values()))
        names, bare = tuple(dict.fromkeys(places[:SEARCHED])), name.rpartition("/")[2].lower()
        near = get_close_matches(bare, names, 3, cutoff=0.5)
        return f"did you mean {' or '.join(near)}?" if near else _nearest(bare, names)

    def tables(self, place: str) -> Tables:
        """Return the tables of a pod, a node or another ECS; those of the VPC router are `network.vpc`.

        Raises: UnknownPlaceError if there is no such Linux place.
        """
        found = self.written.get(place)
        if found is not None:
            return found
        pod = self.pods.get(place)
        if pod is None:
            if place in (VPC, INTERNET):
                raise UnknownPlaceError(f"{place} is no Linux machine; its tables are network.vpc")
            return self.tables(self.place(place))
        return self._pod_tables(pod)

    def _pod_tables(self, pod: Pod) -> Tables:
        node = self.written.get(pod.node) if pod.node is not None else None
        if pod.host_network and node is not None:
            return node
        cache: dict[str, Tables] = self.memo.setdefault("pod tables", {})
        found = cache.get(pod.place)
        if found is None:
            untold = self.plan is None and (node is None or "lan" in node.unknown)
            found = cache[pod.place] = _untold(pod) if untold else self._lan_tables(pod)
        return found

    def _lan_tables(self, pod: Pod) -> Tables:
        lan = self._lan(pod.node)
        port = self.port(pod.place) if lan else None
        return lan.pod_tables(lan, port) if lan and port else EMPTY

    def _lan(self, node: str | None) -> Lan | None:
        tables = self.written.get(node) if node is not None else None
        return tables.lan if tables else None

    def port(self, pod: str) -> Port | None:
        """Return the port of `pod` on its node's bridge, or None."""
        node = self.pods[pod].node
        lan = self._lan(node)
        if lan is None:
            return None
        cache: dict[str, Port] = self.memo.setdefault(f"ports of {node}", {})
        if not cache:
            cache.update((port.pod, port) for port in lan.ports)
        return cache.get(pod)

    def has_carrier(self, tables: Tables, link: Link) -> bool:
        """Return whether a device, of the place with these tables, has a carrier while it is up.

        Shape: a bridge has one if a port is alive, the end of a wire if the far end is up; what is not told, is up.
        Source: drivers/net/veth.c; net/bridge/br_if.c, br_port_carrier_check: a bridge without one sends nothing, not
        even a question.
        """
        if link.kind == "bridge":
            ports = tables.lan.ports if tables.lan else ()
            others = (port for port in tables.fixed_links if port.master == link.name and port.up)
            return any(map(self._is_alive, ports)) or any(self.has_carrier(tables, port) for port in others)
        if link.peer is None or not self._tells(link.peer[0]):
            return True
        place, dev = link.peer
        far = self.tables(place).link(dev)
        return far is not None and far.up

    def _tells(self, place: str) -> bool:
        return place in self.written or place in self.pods

    def _is_alive(self, port: Port) -> bool:
        """Return whether a port of the pod LAN is up on both ends, and on the bridge."""
        if not (port.up and port.attached):
            return False
        link = self.written[port.pod].link(ETH0) if port.pod in self.written else None
        return port.pod not in self.written or (link is not None and link.up)

    def __getitem__(self, name: str) -> Tables | VpcTables:
        place = self.place(name)
        return self.vpc if place == VPC else self.tables(place)

    def pod_ip(self, place: str) -> IPv4Address | None:
        """Return a pod's address: what IPAM gave it, or what the dump says, or None."""
        pod = self.pods[place]
        if pod.ip is not None:
            return pod.ip
        if pod.host_network and pod.node is not None:
            return self.node_ip(pod.node)
        port = self.port(place)
        return IPv4Address(port.ip) if port and port.ip is not None else None

    def node_ip(self, name: str) -> IPv4Address | None:
        """Return the address of a node or another ECS, or None where it is not known."""
        if name in self.ecs:
            return self.ecs[name].address
        node = self.nodes.get(name)
        return node.address if node else None

    def address(self, name: str) -> IPv4Address | None:
        """Return the address by which `name`, a pod, node or other ECS, is reached, or None."""
        place = self.place(name)
        return self.pod_ip(place) if place in self.pods else self.node_ip(place)

    def place_at(self, address: IPv4Address) -> str | None:
        """Return the place to which `address` was allocated, or None.

        Shape: the first node, then the first pod, in the order of creation where two have the same address.
        """
        eni = self.vpc.enis.get(address)
        if eni is not None and eni.device == ETH0:
            return eni.place
        for node in self._owners(address):
            lan = self.written[node].lan if node in self.written else None
            if lan is None:
                continue
            if address == lan.gateway:
                return node
            port = lan.port_at(address)
            if port is not None:
                return port.pod
        return self._imported_at(address)

    def _owners(self, address: IPv4Address) -> tuple[str, ...]:
        """Return the nodes whose podCIDR holds `address`."""
        lengths: dict[int, dict[int, tuple[str, ...]]] | None = self.memo.get("podCIDRs")
        if lengths is None:
            lengths = self.memo["podCIDRs"] = {}
            for node in self.nodes.values():
                if node.pod_cidr is not None:
                    blocks = lengths.setdefault(32 - node.pod_cidr.prefixlen, {})
                    block = int(node.pod_cidr.network_address) >> (32 - node.pod_cidr.prefixlen)
                    blocks[block] = (*blocks.get(block, ()), node.name)
        number = int(address)
        return tuple(name for shift, blocks in lengths.items() for name in blocks.get(number >> shift, ()))

    def _imported_at(self, address: IPv4Address) -> str | None:
        known: dict[IPv4Address, str] | None = self.memo.get("imported addresses")
        if known is None:
            known = {}
            for node in self.nodes.values():
                if node.address is not None:
                    known.setdefault(node.address, node.name)
            for place, pod in self.pods.items():
                if pod.ip is not None and not pod.host_network and not pod.finished:
                    known.setdefault(pod.ip, place)
            self.memo["imported addresses"] = known
        return known.get(address)

    def pods_on(self, node: str) -> tuple[str, ...]:
        """Return the pods of a node, in the order in which they were made."""
        by_node: dict[str | None, list[str]] | None = self.memo.get("pods on")
        if by_node is None:
            by_node = self.memo["pods on"] = {}
            for place, pod in self.pods.items():
                by_node.setdefault(pod.node, []).append(place)
        return tuple(by_node.get(node, ()))

    @property
    def cluster_cidr(self) -> IPv4Network | None:
        """Return the cluster CIDR, or None where it is not known."""
        return self.plan.cluster_cidr if self.plan else None

    def writing(self, place: str, tables: Tables) -> Network:
        """Return this network with other tables at one place."""
        return replace(self, written={**self.written, place: tables})

    def writing_vpc(self, vpc: VpcTables) -> Network:
        """Return this network with other VPC tables."""
        return replace(self, vpc=vpc)


def _nearest(name: str, names: tuple[str, ...]) -> str:
    found = get_close_matches(name, names, 3, cutoff=0.0)
    return f"the nearest names are {', '.join(found)}" if found else "this network has no places of its own yet"


def _untold(pod: Pod) -> Tables:
    """Return what a dump tells about a pod's own namespace: its address, and that the rest is unknown."""
    if pod.ip is None or pod.finished:
        return Tables(unknown=UNTOLD | {"addresses"})
    return Tables(addresses=(told_address(pod.ip),), unknown=UNTOLD)


def told_address(address: IPv4Address) -> Address:
    """Return `address` as a row that claims no more than a dump says: no network around it, and no device."""
    return Address(IPv4Interface(address), UNKNOWN_DEV)


Stage = Literal["initial", "cluster", "node", "pod"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that one component did: what it wrote and removed, where, and the artefact an operator would see.

    `number` counts from 1; `places` are the places it touched; `wrote` and `removed` pair a place with a row.
    """

    number: int
    stage: Stage
    component: str
    action: str
    places: tuple[str, ...] = ()
    wrote: tuple[tuple[str, AnyRow], ...] = ()
    removed: tuple[tuple[str, AnyRow], ...] = ()
    artefact: File | None = None


def counted(number: int | None, one: str, many: str = "") -> str:
    """Return a number with what it counts: 1 node, 5,000 nodes; an unknown one is said to be so."""
    many = many or f"{one}s"
    return f"{many} unknown" if number is None else f"{number:,} {one if number == 1 else many}"
