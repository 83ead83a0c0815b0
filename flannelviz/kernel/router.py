"""What stands in for the VPC and for the Internet: two Linux machines that do what a fabric does, as far as seen here.

Choices of a stand-in, none of them a fact about Alibaba Cloud:

- A network namespace with one port for each ECS forwards by the VPC's route table. Where the VPC counts no hop
  (`decrements_ttl` is False), iptables adds to the TTL what forwarding takes away.
- Each port has the MAC ee:ff:ff:ff:ff:ff and answers ARP for what is in a vSwitch (proxy_arp).
- What has no route, no receiver or no permission is dropped in silence; the router itself sends no ICMP error.
- Addresses of Alibaba Cloud services belong to the router, which answers as if it were all of them.
- Security groups are chains of the filter table, behind conntrack; the source/destination check is one of `raw`.
- The NAT gateway and EIPs are SNAT and DNAT on the port to the Internet, which is one host with every public address.
"""

from __future__ import annotations

from collections.abc import Iterator

from flannelviz.kernel.blueprint import Cable, Machine
from flannelviz.model import INTERNET, VPC
from flannelviz.network import Network
from flannelviz.tables import ETH0, Eni, Link, RouteEntry, SecurityGroup, VpcTables

FABRIC_MAC = "ee:ff:ff:ff:ff:ff"
OUTSIDE_MAC = "ee:ff:ff:ff:ff:fe"
FABRIC_MTU = 1500  # bytes; a NIC takes frames of this size from the fabric, whatever it sends
WIRE = "wire"  # such a NIC: a device of the MTU wanted (macvlan) on a wire of the fabric's
UPLINK, OUTSIDE_PORT = "internet", "vpc"
UPLINK_ADDRESS, OUTSIDE_NEXT_HOP = "198.18.0.2", "198.18.0.1"  # RFC 2544: of no use but as names of the two ends
OUTSIDE_ADDRESS = "203.0.113.10"
NOWHERE = "fabric"  # a bridge without ports swallows what is sent to it
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16")


def port_of(number: int) -> str:
    """Return the device of the router behind which ECS number `number` is."""
    return f"ecs{number}"


def is_narrow(link: Link) -> bool:
    """Return whether a device sends less at once than it may receive, which one end of a veth pair cannot."""
    return link.mtu < FABRIC_MTU


def wire_mtu(link: Link) -> int:
    """Return the MTU of the wire to a device. Units: bytes."""
    return max(link.mtu, FABRIC_MTU)


def cables(network: Network) -> Iterator[Cable]:
    """Return the wire of each ENI, and the one to the Internet."""
    for number, eni in enumerate(network.vpc.enis.values()):
        link = network.tables(eni.place).link(ETH0) or Link(ETH0, "device")
        near = f"link add {port_of(number)} address {FABRIC_MAC} mtu {wire_mtu(link)} type veth"
        far = f"name {WIRE if is_narrow(link) else ETH0} address {eni.mac} mtu {wire_mtu(link)}"
        yield Cable(VPC, eni.place, f"{near} peer {far} netns {{far}}")
    near = f"link add {UPLINK} address {FABRIC_MAC} mtu 65535 type veth"
    yield Cable(VPC, INTERNET, f"{near} peer name {OUTSIDE_PORT} address {OUTSIDE_MAC} mtu 65535 netns {{far}}")


def router(network: Network) -> Machine:
    """Return the machine that stands in for the VPC."""
    vpc = network.vpc
    ports = {eni.instance_id: port_of(number) for number, eni in enumerate(vpc.enis.values())}
    names = (*((port, instance) for instance, port in ports.items()), (UPLINK, INTERNET))
    return Machine(
        VPC,
        first=(*_ports_up(vpc), *_routes(vpc, ports), *_policy(vpc)),
        rules=_rules(vpc, ports),
        settings=(("net/ipv4/ip_forward", "1"), ("net/ipv4/conf/all/proxy_arp", "1"), *_patience(ports)),
        names=names,
    )


def _ports_up(vpc: VpcTables) -> Iterator[str]:
    yield f"link add {NOWHERE} type bridge"
    for dev in ("lo", NOWHERE, UPLINK):
        yield f"link set {dev} up"
    yield f"link set {NOWHERE} arp off"
    yield f"neigh add {UPLINK_ADDRESS} lladdr {OUTSIDE_MAC} dev {UPLINK} nud permanent"
    for number, eni in enumerate(vpc.enis.values()):
        yield f"link set {port_of(number)} up"
        yield f"neigh add {eni.address} lladdr {eni.mac} dev {port_of(number)} nud permanent"


def _patience(ports: dict[str, str]) -> Iterator[tuple[str, str]]:
    for port in ports.values():
        yield f"net/ipv4/neigh/{port}/proxy_delay", "0"


def _routes(vpc: VpcTables, ports: dict[str, str]) -> Iterator[str]:
    for number, eni in enumerate(vpc.enis.values()):
        entry = vpc.route_to(eni.address)
        if entry is not None and entry.next_hop_type == "local":
            yield f"route add {eni.address} dev {port_of(number)}"
    usable = {entry.dst: entry for entry in reversed(vpc.routes) if entry.status == "Available"}
    yield from (_route(vpc, entry, ports) for entry in usable.values())


def _route(vpc: VpcTables, entry: RouteEntry, ports: dict[str, str]) -> str:
    if entry.next_hop_type == "local":
        return f"route add {entry.dst} dev {NOWHERE}"
    if entry.next_hop_type == "service":
        return f"route add local {entry.dst} dev lo"
    if entry.next_hop_type == "NatGateway":
        return f"route add {entry.dst} via {UPLINK_ADDRESS} dev {UPLINK} onlink"
    owner = next((eni for eni in vpc.enis.values() if eni.instance_id == entry.next_hop_id), None)
    if owner is None:
        return f"route add blackhole {entry.dst}"
    return f"route add {entry.dst} via {owner.address} dev {ports[owner.instance_id]} onlink"


def _policy(vpc: VpcTables) -> Iterator[str]:
    """Return the rules by which an ECS with an EIP goes out, whatever the default route says."""
    owners = [(number, eni) for number, eni in enumerate(vpc.enis.values()) if eni.eip is not None]
    if owners:
        yield f"route add default via {UPLINK_ADDRESS} dev {UPLINK} onlink table 100"
        yield "rule add pref 10 table main suppress_prefixlength 0"
    for number, eni in owners:
        yield f"rule add pref 20 from {eni.address} iif {port_of(number)} table 100"


def _rules(vpc: VpcTables, ports: dict[str, str]) -> str:
    tables = {
        "raw": (":PREROUTING ACCEPT", *_source_checks(vpc, ports)),
        "mangle": (":PREROUTING ACCEPT", *_uncounted(vpc)),
        "nat": (":PREROUTING ACCEPT", ":POSTROUTING ACCEPT", *_translations(vpc)),
        "filter": (":INPUT ACCEPT", ":FORWARD DROP", ":OUTPUT ACCEPT", *_filter(vpc, ports)),
    }
    return "".join("\n".join([f"*{name}", *lines, "COMMIT", ""]) for name, lines in tables.items())


def _source_checks(vpc: VpcTables, ports: dict[str, str]) -> Iterator[str]:
    for eni in vpc.enis.values():
        if eni.source_dest_check:
            yield f"-A PREROUTING -i {ports[eni.instance_id]} ! -s {eni.address} -j DROP"


def _uncounted(vpc: VpcTables) -> Iterator[str]:
    yield f"-A PREROUTING -i {UPLINK} -j TTL --ttl-inc 1"
    if not vpc.decrements_ttl:
        yield "-A PREROUTING -i ecs+ -j TTL --ttl-inc 1"


def _translations(vpc: VpcTables) -> Iterator[str]:
    for eni in vpc.enis.values():
        if eni.eip is not None:
            yield f"-A PREROUTING -i {UPLINK} -d {eni.eip} -j DNAT --to-destination {eni.address}"
            yield f"-A POSTROUTING -o {UPLINK} -s {eni.address} -j SNAT --to-source {eni.eip}"
    for entry in vpc.snat:
        yield f"-A POSTROUTING -o {UPLINK} -s {entry.source} -j SNAT --to-source {entry.eip}"


def _filter(vpc: VpcTables, ports: dict[str, str]) -> Iterator[str]:
    groups = {eni.security_group for eni in vpc.enis.values()}
    chains = {name: f"group-{number}" for number, name in enumerate(sorted(groups))}
    yield from (f":{chain} -" for chain in chains.values())
    yield "-A OUTPUT -p icmp -m icmp ! --icmp-type echo-reply -j DROP"
    yield f"-A FORWARD -i {UPLINK} -o {UPLINK} -j DROP"
    yield from (f"-A FORWARD -o {UPLINK} {allowed} -j ACCEPT" for allowed in _allowed_out(vpc, ports))
    yield f"-A FORWARD -o {UPLINK} -j DROP"
    yield "-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
    for eni in vpc.enis.values():
        yield f"-A FORWARD -o {ports[eni.instance_id]} -j {chains[eni.security_group]}"
    for name, chain in chains.items():
        yield from _group(vpc, next((g for g in vpc.security_groups if g.id == name), SecurityGroup(name)), chain)


def _allowed_out(vpc: VpcTables, ports: dict[str, str]) -> Iterator[str]:
    """Return what may go to the Internet: an ECS with its own EIP, and what the NAT gateway translates."""
    for eni in vpc.enis.values():
        if eni.eip is not None:
            yield f"-i {ports[eni.instance_id]} -s {eni.address}"
    yield from (f"-s {entry.source}" for entry in vpc.snat)


def _group(vpc: VpcTables, group: SecurityGroup, chain: str) -> Iterator[str]:
    for member in _members(vpc, group.id):
        yield f"-A {chain} -s {member.address} -j ACCEPT"
    for rule in group.inbound:
        yield f"-A {chain} -s {rule.source} -j {'ACCEPT' if rule.policy == 'Accept' else 'DROP'}"


def _members(vpc: VpcTables, group: str) -> Iterator[Eni]:
    return (eni for eni in vpc.enis.values() if eni.security_group == group)


def outside() -> Machine:
    """Return the machine that stands in for the Internet: it takes what has a public address, and knows one way back.

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
            "rule add pref 5 iif lo table 100",
            "rule add pref 10 table local",
            "rule del pref 0",
        ),
        names=((OUTSIDE_PORT, ETH0),),
    )
