"""What stands in for the VPC and for the Internet: two Linux machines that do what a fabric does, as far as seen here.

Choices of a stand-in, none of them a fact about Alibaba Cloud:

- A network namespace with one port for each ENI forwards by the VPC's route table. Where the VPC counts no hop
  (`decrements_ttl` is False), iptables adds to the TTL what forwarding takes away.
- Each port has the MAC ee:ff:ff:ff:ff:ff and answers ARP for what is in a vSwitch (proxy_arp).
- A fabric that is a switch is a bridge of these ports, and knows behind which each ENI is; it routes what is sent to
  its own MAC.
- What has no route, no receiver or no permission is dropped in silence; the router itself sends no ICMP error.
- Addresses of Alibaba Cloud services belong to the router, which answers as if it were all of them.
- Security groups are chains of the filter table, behind conntrack; the source/destination check is one of `raw`.
- The NAT gateway and EIPs are SNAT and DNAT on the port to the Internet, which is one host with every public address.
- A leased line is that port as well, without translation.
- What leaves there is translated; an answer or an ICMP error is if its flow is, and else dropped (RFC 5508).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from flannelviz.kernel.blueprint import Cable, Machine
from flannelviz.model import INTERNET, VPC
from flannelviz.network import Network
from flannelviz.tables import ETH0, Eni, Link, RouteEntry, SecurityGroup, VpcTables

FABRIC_MAC = "ee:ff:ff:ff:ff:ff"
OUTSIDE_MAC = "ee:ff:ff:ff:ff:fe"
FABRIC_MTU = 1500  # bytes; a NIC takes frames of this size from the fabric, whatever it sends
PORT, SWITCH = "ecs", "ecs"  # how the device of a port begins, and the bridge of all ports; ecs+ means them all
WIRE = "wire-"  # how such a NIC begins: a device of the MTU wanted (macvlan) on a wire of the fabric's
UPLINK, OUTSIDE_PORT = "internet", "vpc"
UPLINK_ADDRESS, OUTSIDE_NEXT_HOP = "198.18.0.2", "198.18.0.1"  # RFC 2544: of no use but as names of the two ends
OUTSIDE_ADDRESS = "203.0.113.10"
FULL = "0x1/0x1"  # marks a packet whose TTL is 255: what forwarding will take away can only be added afterwards
BY_EIP = "0x2/0x2"  # marks what an ENI with an EIP sends from its own address: the source alone may be another's
NOWHERE = "fabric"  # a bridge without ports, to which leads what has an entry and no receiver
# Why a rule of the router drops a packet, as its comment says it.
CHECKED, UNTRANSLATED = "source/destination check", "no SNAT entry"
NO_ERRORS = "the VPC sends no ICMP error"
NOT_ADMITTED, NOBODY, NO_OWNER = "not for the leased line", "no ECS is there", "nobody owns the EIP"
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16")


class Port(NamedTuple):
    """One ENI at the router: the device behind which it is, and the one from which it is routed to.

    Shape: `enis` has a row for each of its addresses, the one of the ENI itself first.
    """

    dev: str
    routed: str
    enis: tuple[Eni, ...]

    @property
    def eni(self) -> Eni:
        """Return the row of the ENI's own address."""
        return self.enis[0]


def is_narrow(link: Link) -> bool:
    """Return whether a device sends less at once than it may receive, which one end of a veth pair cannot."""
    return link.mtu < FABRIC_MTU


def wire_mtu(link: Link) -> int:
    """Return the MTU of the wire to a device. Units: bytes."""
    return max(link.mtu, FABRIC_MTU)


def is_wire(dev: str) -> bool:
    """Return whether a device is a wire on which a narrow NIC sits."""
    return dev.startswith(WIRE)


def ports(vpc: VpcTables) -> tuple[Port, ...]:
    """Return the router's ports, in the order of the ENIs."""
    by_instance: dict[str, list[Eni]] = {}
    for eni in vpc.enis.values():
        by_instance.setdefault(eni.instance_id, []).append(eni)
    switched = vpc.fabric == "switch"
    return tuple(
        Port(f"{PORT}{number}", SWITCH if switched else f"{PORT}{number}", tuple(enis))
        for number, enis in enumerate(by_instance.values())
    )


def cables(network: Network) -> Iterator[Cable]:
    """Return the wire of each ENI, and the one to the Internet."""
    for port in ports(network.vpc):
        eni = port.eni
        link = network.tables(eni.place).link(eni.device) or Link(eni.device, "device")
        near = f"link add {port.dev} address {FABRIC_MAC} mtu {wire_mtu(link)} type veth"
        name = f"{WIRE}{eni.device}" if is_narrow(link) else eni.device
        far = f"name {name} address {eni.mac} mtu {wire_mtu(link)}"
        yield Cable(VPC, eni.place, f"{near} peer {far} netns {{far}}")
    near = f"link add {UPLINK} address {FABRIC_MAC} mtu 65535 type veth"
    yield Cable(VPC, INTERNET, f"{near} peer name {OUTSIDE_PORT} address {OUTSIDE_MAC} mtu 65535 netns {{far}}")


def router(network: Network) -> Machine:
    """Return the machine that stands in for the VPC."""
    vpc, mine = network.vpc, ports(network.vpc)
    switched = vpc.fabric == "switch"
    names = (*((port.dev, port.eni.instance_id) for port in mine), (UPLINK, INTERNET))
    return Machine(
        VPC,
        first=(*_up(vpc, mine), *_routes(vpc, mine), *_policy(vpc)),
        rules=_rules(vpc, mine),
        settings=(("net/ipv4/ip_forward", "1"), *_arp_answers(mine)),
        fdb=tuple(f"fdb replace {port.eni.mac} dev {port.dev} master static" for port in mine) if switched else (),
        settled=tuple(port.dev for port in mine if switched or not _is_plugged(network, port)),
        names=names,
    )


def _is_plugged(network: Network, port: Port) -> bool:
    """Return whether the ECS behind a port has its device up, without which the port loses its carrier."""
    link = network.tables(port.eni.place).link(port.eni.device)
    return link is not None and link.up


def _up(vpc: VpcTables, mine: tuple[Port, ...]) -> Iterator[str]:
    yield f"link add {NOWHERE} type bridge"
    if vpc.fabric == "switch":
        yield f"link add {SWITCH} address {FABRIC_MAC} type bridge"
        for port in mine:
            yield f"link set {port.dev} master {SWITCH}"
            yield f"link set {port.dev} type bridge_slave learning off flood off"
        yield f"link set {SWITCH} up"
    for dev in ("lo", NOWHERE, UPLINK, *(port.dev for port in mine)):
        yield f"link set {dev} up"
    yield f"link set {NOWHERE} arp off"
    yield f"neigh add {UPLINK_ADDRESS} lladdr {OUTSIDE_MAC} dev {UPLINK} nud permanent"
    for port in mine:
        for eni in port.enis:
            yield f"neigh add {eni.address} lladdr {eni.mac} dev {port.routed} nud permanent"
    if vpc.fabric == "switch":
        yield from (f"neigh add proxy {gateway} dev {SWITCH}" for gateway in _gateways(vpc))


def _gateways(vpc: VpcTables) -> Iterator[IPv4Address]:
    return (entry.dst[-3] for entry in vpc.routes if entry.next_hop_type == "local" and entry.dst.prefixlen <= 30)


def _arp_answers(mine: tuple[Port, ...]) -> Iterator[tuple[str, str]]:
    """Return the settings by which the ports answer ARP for others, at once; a switch does so for the gateways only."""
    for dev in dict.fromkeys(port.routed for port in mine):
        yield f"net/ipv4/neigh/{dev}/proxy_delay", "0"
        if dev != SWITCH:
            yield f"net/ipv4/conf/{dev}/proxy_arp", "1"
            yield f"net/ipv4/conf/{dev}/proxy_arp_pvlan", "1"


def _entries(vpc: VpcTables) -> list[RouteEntry]:
    """Return the entries that count: of those for one destination, the first that is Available."""
    return list({entry.dst: entry for entry in reversed(vpc.routes) if entry.status == "Available"}.values())


def _deliveries(vpc: VpcTables, mine: tuple[Port, ...]) -> list[tuple[IPv4Network, Port, IPv4Address]]:
    """Return what is delivered to which port, and as whose. Shape: the longer prefix first."""
    own = [
        (IPv4Network(eni.address), port, eni.address)
        for port in mine
        for eni in port.enis
        if (entry := vpc.route_to(eni.address)) is not None and entry.next_hop_type == "local"
    ]
    by_instance = {port.eni.instance_id: port for port in mine}
    others = [
        (entry.dst, by_instance[entry.next_hop_id], by_instance[entry.next_hop_id].eni.address)
        for entry in _entries(vpc)
        if entry.next_hop_type == "Instance" and entry.next_hop_id in by_instance
    ]
    return sorted([*own, *others], key=lambda delivery: -delivery[0].prefixlen)


def _routes(vpc: VpcTables, mine: tuple[Port, ...]) -> Iterator[str]:
    for dst, port, owner in _deliveries(vpc, mine):
        via = f"via {owner} dev {port.routed} onlink" if dst != IPv4Network(owner) else f"dev {port.routed}"
        yield f"route add {dst} {via}"
    known = {dst for dst, *_ in _deliveries(vpc, mine)}
    yield from (_route(vpc, entry) for entry in _entries(vpc) if entry.dst not in known)


def _route(vpc: VpcTables, entry: RouteEntry) -> str:
    if entry.next_hop_type == "local":
        return _nowhere(entry)
    if entry.next_hop_type == "service":
        return f"route add local {entry.dst} dev lo"
    if entry.next_hop_type == "NatGateway" or (entry.next_hop_type == "Attachment" and vpc.leased_line):
        return f"route add {entry.dst} via {UPLINK_ADDRESS} dev {UPLINK} onlink"
    return _nowhere(entry)


def _nowhere(entry: RouteEntry) -> str:
    return f"route add {entry.dst} dev {NOWHERE}"


def _drop(why: str) -> str:
    """Return the end of a rule that drops a packet and says why."""
    return f'-m comment --comment "{why}" -j DROP'


def _policy(vpc: VpcTables) -> Iterator[str]:
    """Return the rules by which an ECS with an EIP goes out, whatever the default route says.

    The last one leads back out what came from there and has no route: that, a rule of the filter drops.
    """
    if any(eni.eip is not None for eni in vpc.enis.values()):
        yield f"route add default via {UPLINK_ADDRESS} dev {UPLINK} onlink table 100"
        yield "rule add pref 10 table main suppress_prefixlength 0"
        yield f"rule add pref 20 fwmark {BY_EIP} table 100"
    yield f"route add default via {UPLINK_ADDRESS} dev {UPLINK} onlink table 101"
    yield from (f"route add throw {known} table 101" for known in _known_outside(vpc))
    yield f"rule add pref 40000 iif {UPLINK} table 101"


def _rules(vpc: VpcTables, mine: tuple[Port, ...]) -> str:
    tables = {
        "raw": (":PREROUTING ACCEPT", *_source_checks(mine)),
        "mangle": (":PREROUTING ACCEPT", ":POSTROUTING ACCEPT", *_by_eip(mine), *_uncounted(vpc)),
        "nat": (":PREROUTING ACCEPT", ":POSTROUTING ACCEPT", *_translations(vpc)),
        "filter": (":INPUT ACCEPT", ":FORWARD DROP", ":OUTPUT ACCEPT", *_filter(vpc, mine)),
    }
    return "".join("\n".join([f"*{name}", *lines, "COMMIT", ""]) for name, lines in tables.items())


def _source_checks(mine: tuple[Port, ...]) -> Iterator[str]:
    for port in mine:
        if port.eni.source_dest_check:
            sender = f"-i {port.routed} -m mac --mac-source {port.eni.mac}"
            yield f"-A PREROUTING {sender} ! -s {port.eni.address} {_drop(CHECKED)}"


def _by_eip(mine: tuple[Port, ...]) -> Iterator[str]:
    """Return what marks a packet that may leave by an EIP: the ENI that has it must send it."""
    for port in mine:
        sender = f"-i {port.routed} -m mac --mac-source {port.eni.mac}"
        for eni in port.enis:
            if eni.eip is not None:
                yield f"-A PREROUTING {sender} -s {eni.address} -j MARK --set-xmark {BY_EIP}"


def _uncounted(vpc: VpcTables) -> Iterator[str]:
    """Return what gives back the hop that forwarding takes; a TTL of 255 has no room for it, and is restored behind."""
    if vpc.decrements_ttl:
        yield from (f"-A PREROUTING -i {UPLINK} -d {known} -j ACCEPT" for known in _known_outside(vpc))
    for dev in (UPLINK,) if vpc.decrements_ttl else (UPLINK, f"{PORT}+"):
        yield f"-A PREROUTING -i {dev} -m ttl --ttl-eq 255 -j MARK --set-xmark {FULL}"
        yield f"-A PREROUTING -i {dev} -j TTL --ttl-inc 1"
    yield f"-A POSTROUTING -m mark --mark {FULL} -j TTL --ttl-inc 1"


def _translations(vpc: VpcTables) -> Iterator[str]:
    yield from (f"-A POSTROUTING -o {UPLINK} -d {leased} -j ACCEPT" for leased in _leased(vpc))
    for eni in vpc.enis.values():
        if eni.eip is not None:
            yield f"-A PREROUTING -i {UPLINK} -d {eni.eip} -j DNAT --to-destination {eni.address}"
            yield f"-A POSTROUTING -o {UPLINK} -m mark --mark {BY_EIP} -s {eni.address} -j SNAT --to-source {eni.eip}"
    for entry in vpc.snat:
        yield f"-A POSTROUTING -o {UPLINK} -s {entry.source} -j SNAT --to-source {entry.eip}"


def _leased(vpc: VpcTables) -> list[IPv4Network]:
    """Return what is reached by a leased line."""
    return [e.dst for e in _entries(vpc) if e.next_hop_type == "Attachment"] if vpc.leased_line else []


def _without_line(vpc: VpcTables) -> list[IPv4Network]:
    """Return what an entry sends to a leased line that is not there."""
    return [] if vpc.leased_line else [e.dst for e in _entries(vpc) if e.next_hop_type == "Attachment"]


def _known_outside(vpc: VpcTables) -> tuple[IPv4Network, ...]:
    """Return what the other end of a leased line has a route to."""
    return vpc.leased_line.known if vpc.leased_line else ()


def _filter(vpc: VpcTables, mine: tuple[Port, ...]) -> Iterator[str]:
    groups = {eni.security_group for eni in vpc.enis.values()}
    chains = {name: f"group-{number}" for number, name in enumerate(sorted(groups))}
    yield from (f":{chain} -" for chain in chains.values())
    yield f"-A OUTPUT -p icmp -m icmp ! --icmp-type echo-reply {_drop(NO_ERRORS)}"
    yield f"-A OUTPUT -o {UPLINK} {_drop(UNTRANSLATED)}"
    yield f"-A FORWARD -i {UPLINK} -o {UPLINK} {_drop(NO_OWNER)}"
    yield from (f"-A FORWARD -d {dst} -o {NOWHERE} {_drop(NOT_ADMITTED)}" for dst in _without_line(vpc))
    yield f"-A FORWARD -o {NOWHERE} {_drop(NOBODY)}"
    yield from (f"-A FORWARD -o {UPLINK} {outward}" for outward in _outward(vpc))
    yield "-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
    for dst, port, _ in _deliveries(vpc, mine):
        yield f"-A FORWARD -d {dst} -o {port.routed} -g {chains[port.eni.security_group]}"
    for name, chain in chains.items():
        yield from _group(vpc, next((g for g in vpc.security_groups if g.id == name), SecurityGroup(name)), chain)


def _outward(vpc: VpcTables) -> Iterator[str]:
    """Return what may leave: by a leased line, from an ECS with its own EIP, and what the NAT gateway translates."""
    for dst in _leased(vpc):
        assert vpc.leased_line is not None
        yield from (f"-s {source} -d {dst} -j ACCEPT" for source in vpc.leased_line.admitted)
        yield f"-d {dst} {_drop(NOT_ADMITTED)}"
    yield f"-m conntrack ! --ctstate NEW -m conntrack ! --ctstate SNAT,DNAT {_drop(UNTRANSLATED)}"
    yield f"-m mark --mark {BY_EIP} -j ACCEPT"
    yield from (f"-s {entry.source} -j ACCEPT" for entry in vpc.snat)
    yield _drop(UNTRANSLATED)


def _group(vpc: VpcTables, group: SecurityGroup, chain: str) -> Iterator[str]:
    for member in _members(vpc, group.id):
        yield f"-A {chain} -s {member.address} -j ACCEPT"
    for rule in group.inbound:
        yield f"-A {chain} -s {rule.source} -j {'ACCEPT' if rule.policy == 'Accept' else 'DROP'}"


def _members(vpc: VpcTables, group: str) -> Iterator[Eni]:
    return (eni for eni in vpc.enis.values() if eni.security_group == group)


def outside(vpc: VpcTables) -> Machine:
    """Return the machine that stands in for the Internet: it takes what has a public address, and knows one way back.

    It is also the far end of a leased line: what that leads to it takes as well, and what it knows it sends back.
    What it sends goes to the VPC, what comes is for itself: two routing tables, told apart by where a packet is from.
    """
    back = f"via {OUTSIDE_NEXT_HOP} dev {OUTSIDE_PORT} onlink mtu {FABRIC_MTU}"
    return Machine(
        INTERNET,
        first=(
            "link set lo up",
            "addr del 127.0.0.1/8 dev lo",
            f"link set {OUTSIDE_PORT} up",
            f"addr add {OUTSIDE_ADDRESS}/32 dev {OUTSIDE_PORT}",
            f"neigh add {OUTSIDE_NEXT_HOP} lladdr {FABRIC_MAC} dev {OUTSIDE_PORT} nud permanent",
            f"route add default {back} src {OUTSIDE_ADDRESS} table 100",
            "route add local default dev lo table local",
            *(f"route add throw {block} table local" for block in PRIVATE),
            *(f"route add throw {block} table 100" for block in PRIVATE),
            *(f"route replace local {leased} dev lo table local" for leased in _leased(vpc)),
            *(f"route replace {known} {back} src {OUTSIDE_ADDRESS} table 100" for known in _known_outside(vpc)),
            "rule add pref 5 iif lo table 100",
            "rule add pref 10 not iif lo table local",
            "rule del pref 0",
        ),
        names=((OUTSIDE_PORT, ETH0),),
    )
