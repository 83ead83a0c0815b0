"""What places know: every row that decides where a packet goes, and who wrote it. Plain values.

Two kinds of place have tables. A Linux machine or network namespace (`Tables`), and the VPC, which is a layer-3 fabric
and no Linux machine (`VpcTables`). Everything is immutable: to write is to return a new value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any, Literal, NamedTuple
from zlib import crc32

CNI0 = "cni0"
ETH0 = "eth0"
LO = "lo"
MAIN = 254  # the route table that is asked where no rule says otherwise: ip-route(8)
VXLAN_DEV = "flannel.1"
VNI, VXLAN_PORT = 1, 8472  # Source: flannel backend/vxlan/device.go; the port is Linux's own default
VXLAN_OVERHEAD = 50  # bytes: inner Ethernet 14 + VXLAN 8 + UDP 8 + outer IPv4 20


class Origin(NamedTuple):
    """Who wrote a row, at which event, and because of what."""

    component: str
    event: str
    because: str = ""

    def __str__(self) -> str:
        because = f", because {self.because}" if self.because else ""
        return f"{self.component}: {self.event}{because}"


UNKNOWN_ORIGIN = Origin("unknown", "the input does not say")


# What Nodes and Pods do not say about a Linux place, and about the VPC: field names of Tables and of VpcTables.
UNTOLD = frozenset({"fixed_links", "routes", "neighbors", "fdb", "chains", "sysctls", "files", "lan"})
UNTOLD_VPC = frozenset({"route_tables", "enis", "security_groups", "snat", "decrements_ttl"})


@dataclass(frozen=True, slots=True)
class Link:
    """One device of `ip link`; `peer` is the place and the device at the other end of its wire."""

    name: str
    kind: Literal["loopback", "device", "bridge", "veth", "vxlan"]
    mac: str = "00:00:00:00:00:00"
    mtu: int = 1500
    up: bool = True
    master: str | None = None
    peer: tuple[str, str] | None = None
    hairpin: bool = False
    origin: Origin = field(default=UNKNOWN_ORIGIN, compare=False)


@dataclass(frozen=True, slots=True)
class Address:
    """One line of `ip addr`: an address on a device, with the network that is on-link there."""

    interface: IPv4Interface
    dev: str
    origin: Origin = field(default=UNKNOWN_ORIGIN, compare=False)


@dataclass(frozen=True, slots=True)
class Route:
    """One line of `ip route`."""

    dst: IPv4Network
    dev: str
    via: IPv4Address | None = None  # None: the destination is on-link
    src: IPv4Address | None = None
    proto: str = ""
    scope: str = ""
    onlink: bool = False
    metric: int = 0
    table: int = MAIN
    origin: Origin = field(default=UNKNOWN_ORIGIN, compare=False)


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One line of `ip rule`: for which packets which route table is asked; the lowest priority first."""

    priority: int
    table: int
    src: IPv4Network | None = None
    dst: IPv4Network | None = None
    in_dev: str | None = None
    origin: Origin = field(default=UNKNOWN_ORIGIN, compare=False)


@dataclass(frozen=True, slots=True)
class Neighbor:
    """One line of `ip neigh`."""

    dst: IPv4Address
    lladdr: str
    dev: str
    state: str = "REACHABLE"
    origin: Origin = field(default=UNKNOWN_ORIGIN, compare=False)


@dataclass(frozen=True, slots=True)
class FdbEntry:
    """One line of `bridge fdb`: behind which port a MAC lives, or for a VTEP on which node (`dst`)."""

    lladdr: str
    dev: str
    master: str | None = None
    dst: IPv4Address | None = None
    state: str = ""
    origin: Origin = field(default=UNKNOWN_ORIGIN, compare=False)


@dataclass(frozen=True, slots=True)
class Match:
    """A match on an address: inside `net`, or outside of it when negated (`! -d 224.0.0.0/4`)."""

    net: IPv4Network
    negated: bool = False

    def covers(self, address: IPv4Address) -> bool:
        """Return whether `address` satisfies this match."""
        return (address in self.net) != self.negated


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of an iptables chain; None matches everything."""

    target: str  # ACCEPT, DROP, RETURN, MASQUERADE, or the name of another chain
    src: Match | None = None
    dst: Match | None = None
    in_dev: str | None = None
    out_dev: str | None = None
    proto: str | None = None
    dport: int | None = None
    mark: tuple[int, int] | None = None  # value, mask
    mark_negated: bool = False
    ctstate: str | None = None  # asks conntrack, so that it runs: NEW, ESTABLISHED, RELATED, INVALID, with commas
    probability: float | None = None  # -m statistic --mode random
    set_mark: tuple[int, int] | None = None  # what MARK writes: value, mask
    to: tuple[IPv4Address, int | None] | None = None  # what DNAT and SNAT write: address, port
    options: tuple[str, ...] = ()  # such as --random-fully or --to-destination 172.16.8.2:80, as iptables-save prints
    comment: str = ""
    origin: Origin = field(default=UNKNOWN_ORIGIN, compare=False)


@dataclass(frozen=True, slots=True)
class Chain:
    """The rules of one chain, in order; `policy` is None for a chain of one's own."""

    table: Literal["filter", "nat"]
    name: str
    policy: Literal["ACCEPT", "DROP"] | None = None
    rules: tuple[Rule, ...] = ()
    origin: Origin = field(default=UNKNOWN_ORIGIN, compare=False)


@dataclass(frozen=True, slots=True)
class Sysctl:
    """One kernel setting, such as net.ipv4.ip_forward = 1."""

    name: str
    value: int
    origin: Origin = field(default=UNKNOWN_ORIGIN, compare=False)


@cache
def device_setting(dev: str, name: str) -> str:
    """Return what sysctl(8) calls the IPv4 setting `name` of a device: a dot in the device's name is a slash there."""
    return f"net.ipv4.conf.{dev.replace('.', '/')}.{name}"


@dataclass(frozen=True, slots=True)
class File:
    """A file through which one component tells another: /run/flannel/subnet.env, the CNI config."""

    path: str
    text: str
    origin: Origin = field(default=UNKNOWN_ORIGIN, compare=False)


@dataclass(frozen=True, slots=True)
class HostLocal:
    """What host-local remembers on one node: who holds which address, and the cursor that survives a release.

    `held` maps an address, as an integer, to the pod that holds it; `last_reserved` is the file
    last_reserved_ip.0, or None before the first reservation.
    """

    subnet: IPv4Network
    held: Mapping[int, str] = field(default_factory=dict)
    last_reserved: int | None = None


class Port(NamedTuple):
    """A pod's place on the bridge: its veth pair, and its address once IPAM has answered.

    A cluster may hold 150,000 of these, so the rest (names, MACs, the pod's own tables) is derived when asked for.
    """

    pod: str
    ip: int | None = None
    up: bool = True
    attached: bool = True  # the host end has cni0 as its master
    hairpin: bool = False


@dataclass(frozen=True, slots=True)
class Lan:
    """A node's pod LAN: what `bridge` was told, and one port for each pod it has wired.

    `netconf` is the delegate netconf, `pod_tables` computes what `bridge` wrote into the pod at a port; both come
    from the control plane.
    """

    node: str
    subnet: IPv4Network
    netconf: Mapping[str, Any]
    ipam: HostLocal
    pod_tables: Callable[[Lan, Port], Tables]
    ports: tuple[Port, ...] = ()
    origin: Origin = field(default=UNKNOWN_ORIGIN, compare=False)

    @property
    def gateway(self) -> IPv4Address:
        """Return the address of cni0: the first of the podCIDR."""
        return self.subnet[1]

    @property
    def mtu(self) -> int:
        """Return the MTU that `bridge` gives cni0 and every veth."""
        return int(self.netconf.get("mtu", 1500))

    def port(self, pod: str) -> Port | None:
        """Return the port of `pod`, or None."""
        return next((port for port in self.ports if port.pod == pod), None)

    def port_at(self, address: IPv4Address) -> Port | None:
        """Return the port whose pod was given `address`, or None."""
        wanted = int(address)
        return next((port for port in self.ports if port.ip == wanted), None)

    def veth(self, port: Port) -> Link:
        """Return the host end of the veth pair at `port`.

        Source: bridge plugin: `veth` and eight hex digits, random there; from the pod's name here, so that a
        network is the same each time it is built.
        """
        return Link(
            name=veth_name(port.pod),
            kind="veth",
            mac=_stand_in_mac(port.pod),
            mtu=self.mtu,
            up=port.up,
            master=CNI0 if port.attached else None,
            peer=(port.pod, ETH0),
            hairpin=port.hairpin,
            origin=Origin("bridge", f"ADD {port.pod}", f"pod {port.pod} runs on {self.node}"),
        )


@cache
def veth_name(pod: str) -> str:
    """Return the name of the host end of a pod's veth pair."""
    return f"veth{crc32(pod.encode()):08x}"


def _stand_in_mac(name: str) -> str:
    return "3a:" + ":".join(f"{byte:02x}" for byte in crc32(name.encode()).to_bytes(5, "big"))


Row = Link | Address | Route | PolicyRule | Neighbor | FdbEntry | Rule | Chain | Sysctl | File
_FIELD_OF: dict[type, str] = {
    Link: "links",
    Address: "addresses",
    Route: "routes",
    PolicyRule: "policy",
    Neighbor: "neighbors",
    FdbEntry: "fdb",
    Chain: "chains",
    Sysctl: "sysctls",
    File: "files",
}


@dataclass(frozen=True, repr=False)
class Tables:
    """Everything one Linux place knows about where packets go.

    `fixed_links` leaves out the veths of `lan`; `links` has them all. `unknown` names the fields that the input did
    not tell. `memo` is where readers keep an index that they computed from this value; it is no part of it.
    """

    fixed_links: tuple[Link, ...] = ()
    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    neighbors: tuple[Neighbor, ...] = ()
    fdb: tuple[FdbEntry, ...] = ()
    chains: tuple[Chain, ...] = ()
    sysctls: tuple[Sysctl, ...] = ()
    files: tuple[File, ...] = ()
    policy: tuple[PolicyRule, ...] = ()
    lan: Lan | None = None
    unknown: frozenset[str] = frozenset()
    memo: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __repr__(self) -> str:
        unknown = f"; unknown: {', '.join(sorted(self.unknown))}" if self.unknown else ""
        rules = sum(len(chain.rules) for chain in self.chains)
        return f"<Tables: {len(self.links)} links, {len(self.routes)} routes, {rules} iptables rules{unknown}>"

    @property
    def links(self) -> tuple[Link, ...]:
        """Return every device, the veths of the pod LAN included."""
        found: tuple[Link, ...] | None = self.memo.get("links")
        if found is None:
            ports = self.lan.ports if self.lan else ()
            found = self.memo["links"] = self.fixed_links + tuple(self.lan.veth(port) for port in ports if self.lan)
        return found

    def link(self, name: str) -> Link | None:
        """Return the device of this name, or None; a veth is made only when it is asked for."""
        by_name: dict[str, Link] | None = self.memo.get("link")
        if by_name is None:
            by_name = self.memo["link"] = {link.name: link for link in self.fixed_links}
        found = by_name.get(name)
        if found is None and self.lan is not None:
            port = self._port_by_veth(self.lan).get(name)
            if port is not None:
                found = by_name[name] = self.lan.veth(port)
        return found

    def _port_by_veth(self, lan: Lan) -> dict[str, Port]:
        found: dict[str, Port] | None = self.memo.get("port by veth")
        if found is None:
            found = self.memo["port by veth"] = {veth_name(port.pod): port for port in lan.ports}
        return found

    def sysctl(self, name: str, default: int = 0) -> int:
        """Return the value of a kernel setting, or `default` where nothing has set it."""
        return next((s.value for s in self.sysctls if s.name == name), default)

    def file(self, path: str) -> File | None:
        """Return the file at `path`, or None."""
        return next((f for f in self.files if f.path == path), None)

    def chain(self, table: str, name: str) -> Chain | None:
        """Return a chain of the filter or nat table, or None."""
        return next((c for c in self.chains if c.table == table and c.name == name), None)

    def owns(self, address: IPv4Address) -> bool:
        """Return whether `address` is one of this place's own."""
        return any(a.interface.ip == address for a in self.addresses)

    def route_to(self, dst: IPv4Address) -> Route | None:
        """Return the longest-prefix match for `dst` whose device is up, or None.

        Shape: m routes in, at most one out; between equals the lower metric, then the first, wins.
        Source: RFC 1812 §5.2.4.3.
        """
        matches = (route for route in self.usable_routes if dst in route.dst)
        return max(matches, key=lambda route: (route.dst.prefixlen, -route.metric), default=None)

    @property
    def usable_routes(self) -> tuple[Route, ...]:
        """Return the routes that the kernel has: those whose device exists and is up.

        Source: net/ipv4/fib_frontend.c, fib_disable_ip: a device that goes down takes its routes along, in every table.
        """
        found: tuple[Route, ...] | None = self.memo.get("usable routes")
        if found is None:
            found = self.memo["usable routes"] = tuple(route for route in self.routes if self._is_up(route.dev))
        return found

    def _is_up(self, dev: str) -> bool:
        link = self.link(dev)
        return link is not None and link.up

    def adding(self, *rows: Row) -> Tables:
        """Return these tables plus `rows`; a device, setting, file or chain of the same name is replaced in place."""
        changed: dict[str, Any] = {}
        for row in rows:
            name = "fixed_links" if isinstance(row, Link) else _FIELD_OF[type(row)]
            kept = changed.get(name, getattr(self, name))
            changed[name] = _with(kept, row)
        return replace(self, **changed)

    def without(self, *rows: Row) -> Tables:
        """Return these tables minus `rows`; rows that are not there change nothing."""
        changed: dict[str, Any] = {}
        for row in rows:
            name = "fixed_links" if isinstance(row, Link) else _FIELD_OF[type(row)]
            kept = changed.get(name, getattr(self, name))
            changed[name] = tuple(old for old in kept if old != row)
        return replace(self, **changed)

    def rows(self) -> Iterator[Row]:
        """Return every row, table by table; the rules of a chain come inside their Chain."""
        yield from self.links
        for name in ("addresses", "policy", "routes", "neighbors", "fdb", "chains", "sysctls", "files"):
            yield from getattr(self, name)


def _with(rows: tuple[Row, ...], row: Row) -> tuple[Row, ...]:
    """Return `rows` with `row` where the one of the same name was, or at the end."""
    key = _key(row)
    at = len(rows) if key is None else next((i for i, old in enumerate(rows) if _key(old) == key), len(rows))
    return (*rows[:at], row, *rows[at + 1 :])


def _key(row: Row) -> object:
    """Return what identifies a row that exists once: None for rows that may stand beside each other."""
    match row:
        case Link(name=name) | Sysctl(name=name):
            return name
        case File(path=path):
            return path
        case Chain(table=table, name=name):
            return (table, name)
    return None


NextHopType = Literal["local", "service", "Instance", "NatGateway", "Attachment"]


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """One entry of a VPC route table. System entries belong to Alibaba Cloud, Custom ones to the user."""

    dst: IPv4Network
    next_hop_type: NextHopType
    next_hop_id: str = ""
    kind: Literal["System", "Custom"] = "Custom"
    status: str = "Available"
    origin: Origin = field(default=UNKNOWN_ORIGIN, compare=False)


@dataclass(frozen=True, slots=True)
class RouteTable:
    """A VPC route table and the vSwitches associated with it."""

    id: str
    kind: Literal["System", "Custom"] = "System"
    entries: tuple[RouteEntry, ...] = ()
    vswitches: tuple[str, ...] = ()
    quota: int = 200

    @property
    def custom_entries(self) -> int:
        """Return how many entries count against the quota."""
        return sum(entry.kind == "Custom" for entry in self.entries)


@dataclass(frozen=True, slots=True)
class Eni:
    """An ENI that the VPC knows: its address, the ECS behind it, its MAC and security group."""

    address: IPv4Address
    instance_id: str
    place: str
    mac: str
    vswitch: str
    security_group: str = "sg-cluster"
    eip: IPv4Address | None = None
    source_dest_check: bool = False
    device: str = ETH0
    origin: Origin = field(default=UNKNOWN_ORIGIN, compare=False)


@dataclass(frozen=True, slots=True)
class SecurityRule:
    """An inbound rule of a security group: all protocols from `source`."""

    source: IPv4Network
    policy: Literal["Accept", "Drop"] = "Accept"
    origin: Origin = field(default=UNKNOWN_ORIGIN, compare=False)


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """A basic security group: members reach each other by their own addresses; all else needs a rule."""

    id: str
    inbound: tuple[SecurityRule, ...] = ()


@dataclass(frozen=True, slots=True)
class SnatEntry:
    """An entry of the NAT gateway's SNAT table: which vSwitch goes out, under which EIP."""

    source: IPv4Network
    eip: IPv4Address
    origin: Origin = field(default=UNKNOWN_ORIGIN, compare=False)


@dataclass(frozen=True, slots=True)
class LeasedLine:
    """A line to a host outside that is reached without translation: what it knows of the VPC, what is let through.

    `known` are the networks to which the outside host has a route, `admitted` the sources that may leave by it.
    """

    known: tuple[IPv4Network, ...]
    admitted: tuple[IPv4Network, ...]


@dataclass(frozen=True, repr=False)
class VpcTables:
    """Everything the VPC knows. `memo` is as in `Tables`.

    `decrements_ttl`: the fabric is a plain router, as a laboratory has it: it counts the TTL and sends ICMP errors.
    `answers_all_arp`: it answers for every address of a vSwitch, as the VPC was seen to, and not only for those that
    exist. `fabric` "switch": one layer 2, as no VPC has it.
    """

    route_tables: tuple[RouteTable, ...] = ()
    enis: Mapping[IPv4Address, Eni] = field(default_factory=dict)
    security_groups: tuple[SecurityGroup, ...] = ()
    snat: tuple[SnatEntry, ...] = ()
    decrements_ttl: bool = False
    answers_all_arp: bool = True
    fabric: Literal["routed", "switch"] = "routed"
    leased_line: LeasedLine | None = None
    unknown: frozenset[str] = frozenset()
    memo: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __repr__(self) -> str:
        unknown = f"; unknown: {', '.join(sorted(self.unknown))}" if self.unknown else ""
        return f"<VpcTables: {len(self.routes)} route entries, {len(self.enis)} ENIs{unknown}>"

    @property
    def system_table(self) -> RouteTable:
        """Return the route table that came with the VPC."""
        return self.route_tables[0]

    @property
    def routes(self) -> tuple[RouteEntry, ...]:
        """Return the entries of the system table, the one that decides for pod addresses.

        Source: KubeSkoop pkg/skoop/network/aliyun.
        """
        return self.route_tables[0].entries if self.route_tables else ()

    def route_to(self, dst: IPv4Address) -> RouteEntry | None:
        """Return the longest-prefix match for `dst` among the Available entries, or None."""
        matches = (entry for entry in self.routes if entry.status == "Available" and dst in entry.dst)
        return max(matches, key=lambda entry: entry.dst.prefixlen, default=None)

    def adding(self, *entries: RouteEntry, table: str | None = None) -> VpcTables:
        """Return these tables plus `entries`, in the system table unless another is named."""
        return self._editing(lambda old: (*old, *entries), table)

    def without(self, *entries: RouteEntry, table: str | None = None) -> VpcTables:
        """Return these tables minus `entries`."""
        gone = set(entries)
        return self._editing(lambda old: tuple(e for e in old if e not in gone), table)

    def _editing(
        self, edit: Callable[[tuple[RouteEntry, ...]], tuple[RouteEntry, ...]], table: str | None
    ) -> VpcTables:
        wanted = table or self.system_table.id
        edited = tuple(replace(t, entries=edit(t.entries)) if t.id == wanted else t for t in self.route_tables)
        return replace(self, route_tables=edited)

    def rows(self) -> Iterator[RouteEntry | Eni | SecurityRule | SnatEntry]:
        """Return every row: entries, ENIs, security group rules, SNAT entries."""
        for table in self.route_tables:
            yield from table.entries
        yield from self.enis.values()
        for group in self.security_groups:
            yield from group.inbound
        yield from self.snat
