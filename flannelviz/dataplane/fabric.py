"""The VPC and what lies behind it: a layer-3 fabric with a route table, security groups and a NAT gateway, no Linux."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from flannelviz.dataplane.arp import FABRIC_MAC
from flannelviz.dataplane.lookup import vpc_fib
from flannelviz.dataplane.visit import Memory, Visit, flow_key, reversed_key
from flannelviz.model import INTERNET, VPC
from flannelviz.network import Network
from flannelviz.packet import Disposition, Flow, Hop, Packet
from flannelviz.tables import ETH0, Eni, RouteEntry, SecurityGroup, SecurityRule

OUTSIDE_HOST = IPv4Address("203.0.113.10")  # a documentation address (RFC 5737) that stands for any public host
OUTSIDE_MTU = 1500  # bytes
NOT_ROUTED = tuple(
    IPv4Network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16")
)
INTERFACES = "aliyun ecs DescribeNetworkInterfaces --InstanceId {}"
EIPS, SNATS = ("aliyun vpc DescribeEipAddresses",), ("aliyun vpc DescribeSnatTableEntries",)
PATH = "traceroute -n {}"
ROUTES = "aliyun vpc DescribeRouteEntryList --RouteTableId {}"


def through_vpc(network: Network, place: str, packet: Packet, in_dev: str | None, memory: Memory) -> Hop:
    """Return what the VPC does with a packet from an ECS (`in_dev` is its instance), or from the Internet."""
    visit = Visit(network, place, packet, in_dev, memory)
    if "route_tables" in network.vpc.unknown:
        visit.note("unknown", ("the input does not hold the VPC's route table",), asking=(ROUTES, "vtb-..."))
        return visit.hop(Disposition.UNKNOWN)
    if in_dev == INTERNET:
        return visit.hop(_from_internet(visit))
    if network.vpc.fabric == "switch" and packet.dst_mac not in ("", FABRIC_MAC):
        return visit.hop(_switched(visit))
    return visit.hop(_from_ecs(visit, in_dev))


def _switched(visit: Visit) -> Disposition:
    """Return what a plain switch does: it passes the frame to who has this MAC, and looks at no address."""
    mac = visit.packet.dst_mac
    receiver = next((eni for eni in visit.network.vpc.enis.values() if eni.mac == mac), None)
    if receiver is None:
        visit.note("fdb", ("{} is behind no port of the switch", mac), asking=("aliyun ecs DescribeNetworkInterfaces",))
        return Disposition.UNDELIVERABLE
    visit.note("fdb", ("{} is {}", mac, receiver.place), receiver, asking=(INTERFACES, receiver.instance_id))
    visit.out_dev, visit.next, visit.next_dev = receiver.instance_id, receiver.place, receiver.device
    return Disposition.FORWARDED


def _from_ecs(visit: Visit, instance: str | None) -> Disposition:
    packet, vpc = visit.packet, visit.network.vpc
    sender = eni_of(visit.network, instance)
    if sender is not None and sender.source_dest_check and packet.src != sender.address:
        saying = ("source/destination check: {} is not {}'s address", packet.src, sender.instance_id)
        visit.note("source check", saying, sender, asking=(INTERFACES, sender.instance_id))
        return Disposition.SOURCE_REJECTED
    if (
        sender is not None
        and sender.eip is not None
        and packet.src == sender.address
        and not _inside(visit, packet.dst)
    ):
        return _out_by_eip(visit, sender)
    entry, runner_up = vpc_fib(vpc).decide(int(packet.dst))
    asking = (ROUTES, vpc.system_table.id if vpc.route_tables else "")
    if entry is None:
        visit.note("vpc route", ("no entry for {}: dropped", packet.dst), asking=asking)
        return Disposition.NO_ROUTE
    visit.note("vpc route", ("{} matches {}", packet.dst, entry.dst), entry, runner_up, asking=asking)
    own = visit.in_dev is None or entry.next_hop_type == "service"  # what the VPC sends and takes itself has no hop
    aged = None if own else _aged(visit)
    return aged or _to_next_hop(visit, entry, sender)


def eni_of(network: Network, instance: str | None) -> Eni | None:
    """Return the ENI of an instance, or None when it is gone."""
    by_instance: dict[str, Eni] | None = network.vpc.memo.get("by instance")
    if by_instance is None:
        by_instance = network.vpc.memo["by instance"] = {e.instance_id: e for e in network.vpc.enis.values()}
    return by_instance.get(instance or "")


def _inside(visit: Visit, dst: IPv4Address) -> bool:
    """Return whether a more specific entry than the default route leads to `dst`."""
    entry, _ = vpc_fib(visit.network.vpc).decide(int(dst))
    return entry is not None and entry.dst.prefixlen > 0


def _aged(visit: Visit) -> Disposition | None:
    """Return TTL_EXCEEDED where the fabric is modelled as a router that counts; observed captures say it is not."""
    if not visit.network.vpc.decrements_ttl:
        return None
    ttl = visit.packet.ttl
    if ttl <= 1:
        visit.note("ttl", ("TTL is {}: it may not be forwarded again", ttl), asking=(PATH, visit.packet.dst))
        _answer_as_router(visit, "time exceeded")
        return Disposition.TTL_EXCEEDED
    aged = replace(visit.packet, ttl=ttl - 1)
    visit.note("ttl", ("TTL {} -> {}", ttl, ttl - 1), now=aged, asking=(PATH, visit.packet.dst))
    return None


def _answer_as_router(visit: Visit, what: str) -> None:
    """Note the ICMP error of a fabric that is modelled as a router; whether the real one sends any is not confirmed."""
    packet, vpc = visit.packet, visit.network.vpc
    local = next((e.dst for e in vpc.routes if e.next_hop_type == "local"), None)
    if vpc.decrements_ttl and packet.src is not None and packet.about is None and local is not None:
        visit.send_error(what, local[-3])


def _to_next_hop(visit: Visit, entry: RouteEntry, sender: Eni | None) -> Disposition:
    if entry.next_hop_type == "service":
        saying = ("an Alibaba Cloud service answers at {}", visit.packet.dst)
        visit.note("service", saying, entry, asking=(ROUTES, visit.network.vpc.system_table.id))
        _track(visit)
        return Disposition.ACCEPTED
    if entry.next_hop_type == "NatGateway":
        return _out_by_nat_gateway(visit)
    if entry.next_hop_type == "Attachment":
        return _out_by_leased_line(visit, entry)
    if entry.next_hop_type == "local":
        receiver = visit.network.vpc.enis.get(visit.packet.dst)
    else:
        receiver = eni_of(visit.network, entry.next_hop_id)
    if receiver is None:
        behind = entry.next_hop_id or visit.packet.dst
        visit.note("eni", ("no ECS is behind {}", behind), entry, asking=("aliyun ecs DescribeNetworkInterfaces",))
        return Disposition.UNDELIVERABLE
    return _admitted(visit, receiver, sender) or _to_ecs(visit, receiver)


def _track(visit: Visit) -> None:
    key = flow_key(visit.packet)
    if (visit.place, key) not in visit.memory.flows:
        visit.memory.track(visit.place, Flow(key, reversed_key(key)))


def _admitted(visit: Visit, receiver: Eni, sender: Eni | None) -> Disposition | None:
    """Return DENIED if the receiver's security group refuses the packet; answers to an allowed flow always pass.

    Source: KubeSkoop's model of basic security groups: members of one group reach each other by their own addresses;
    a pod's address is no member, so it needs a rule.
    """
    packet = visit.packet
    if packet.about is not None or (visit.place, flow_key(packet)) in visit.memory.flows:
        return None
    member = visit.network.vpc.enis.get(packet.src) if packet.src is not None else None
    rule = _rule_for(_group(visit, receiver.security_group), packet.src)
    asking = ("aliyun ecs DescribeSecurityGroupAttribute --SecurityGroupId {}", receiver.security_group)
    if member is not None and member.security_group == receiver.security_group:
        together = ("{} is a member of {} as well", packet.src, member.security_group)
        visit.note("security group", together, member, rule, asking=asking)
    elif rule is not None and rule.policy == "Accept":
        visit.note("security group", ("{} lets {} in", receiver.security_group, rule.source), rule, asking=asking)
    else:
        refused = ("{} does not let {} in: dropped", receiver.security_group, packet.src)
        visit.note("security group", refused, rule, asking=asking)
        return Disposition.DENIED
    _track(visit)
    return None


def _group(visit: Visit, wanted: str) -> SecurityGroup:
    groups = visit.network.vpc.security_groups
    return next((group for group in groups if group.id == wanted), SecurityGroup(wanted))


def _rule_for(group: SecurityGroup, src: IPv4Address | None) -> SecurityRule | None:
    return next((rule for rule in group.inbound if src is not None and src in rule.source), None)


def _to_ecs(visit: Visit, receiver: Eni) -> Disposition:
    asking = (INTERFACES, receiver.instance_id)
    link = visit.network.tables(receiver.place).link(receiver.device)
    if link is None or not link.up:
        visit.note("eni", ("{} does not answer: its eth0 is down", receiver.place), receiver, asking=asking)
        _answer_as_router(visit, "host unreachable")
        return Disposition.LINK_DOWN
    framed = replace(visit.packet, src_mac=FABRIC_MAC, dst_mac=receiver.mac)
    saying = ("{} is {}, MAC {}", receiver.instance_id, receiver.place, receiver.mac)
    visit.note("eni", saying, receiver, now=framed, asking=asking)
    visit.out_dev, visit.next, visit.next_dev = receiver.instance_id, receiver.place, receiver.device
    return Disposition.FORWARDED


# --- to the Internet and back --------------------------------------------------------------------------------------


def _out_by_eip(visit: Visit, sender: Eni) -> Disposition:
    assert sender.eip is not None
    aged = _aged(visit)
    if aged:
        return aged
    if (ended := _answer_out(visit)) is not None:
        return ended
    now = replace(visit.packet, src=sender.eip)
    saying = ("{}'s own EIP: source {} -> {}", sender.place, visit.packet.src, sender.eip)
    visit.note("eip", saying, sender, now=now, asking=EIPS)
    return _outside(visit)


def _out_by_nat_gateway(visit: Visit) -> Disposition:
    packet = visit.packet
    if (ended := _answer_out(visit)) is not None:
        return ended
    entry = next((s for s in visit.network.vpc.snat if packet.src is not None and packet.src in s.source), None)
    asking = SNATS
    if entry is None:
        visit.note("snat", ("the NAT gateway has no SNAT entry for {}: dropped", packet.src), asking=asking)
        return Disposition.SOURCE_REJECTED
    now = replace(packet, src=entry.eip)
    visit.note(
        "snat", ("SNAT entry {}: source {} -> {}", entry.source, packet.src, entry.eip), entry, now=now, asking=asking
    )
    return _outside(visit)


def _answer_out(visit: Visit) -> Disposition | None:
    """Return what becomes of an answer or an ICMP error on its way out; None for what begins or continues a flow.

    Source: RFC 5508 §4.2: without a mapping for the packet that it answers, a NAT drops it.
    """
    packet, key = visit.packet, flow_key(visit.packet)
    flow = visit.memory.flows.get((visit.place, key))
    if packet.about is None and (packet.begins_a_flow if flow is None else flow.translated):
        return None
    if flow is None or not flow.translated:
        visit.note("snat", ("no flow to {} is translated here: dropped", packet.dst), flow, asking=SNATS)
        return Disposition.SOURCE_REJECTED
    seen = IPv4Address(flow.original[3] if key == flow.reply else flow.reply[3])
    saying = ("error about a known flow: source {} -> {}", packet.src, seen)
    about = replace(packet.about, dst=seen) if packet.about is not None else None
    visit.note("snat", saying, flow, now=replace(packet, src=seen, about=about), asking=SNATS)
    visit.out_dev, visit.next, visit.next_dev = INTERNET, INTERNET, ETH0
    return Disposition.FORWARDED


def _out_by_leased_line(visit: Visit, entry: RouteEntry) -> Disposition:
    packet, line = visit.packet, visit.network.vpc.leased_line
    asking = ("aliyun vpc DescribeRouteEntryList",)
    if line is None or not any(packet.src is not None and packet.src in source for source in line.admitted):
        visit.note("leased line", ("{} may not leave by the line: dropped", packet.src), entry, asking=asking)
        return Disposition.SOURCE_REJECTED
    visit.note("leased line", ("{} leaves untranslated", packet.src), entry, asking=asking)
    visit.out_dev, visit.next, visit.next_dev = INTERNET, INTERNET, ETH0
    return Disposition.FORWARDED


def _outside(visit: Visit) -> Disposition:
    before = visit.steps[-1].before
    visit.memory.track(visit.place, Flow(flow_key(before), reversed_key(flow_key(visit.packet))))
    visit.out_dev, visit.next, visit.next_dev = INTERNET, INTERNET, ETH0
    return Disposition.FORWARDED


def _from_internet(visit: Visit) -> Disposition:
    """Return what becomes of a packet to an EIP: an answer goes back where the flow began, a new one to its ECS."""
    packet = visit.packet
    flow = visit.memory.flows.get((visit.place, flow_key(packet)))
    if flow is not None and flow.translated and flow_key(packet) == flow.reply:
        _, src, sport, _, _ = flow.original
        quoted = packet.about and replace(packet.about, src=IPv4Address(src), sport=sport)
        now = replace(packet, dst=IPv4Address(src), dport=sport, about=quoted)
        answering = ("answer of a known flow: destination {} -> {}", packet.dst, now.dst)
        visit.note("snat", answering, flow, now=now, asking=SNATS)
        receiver = visit.network.vpc.enis.get(now.dst)
        return _to_ecs(visit, receiver) if receiver else Disposition.UNDELIVERABLE
    owner = _eip_owner(visit.network, packet.dst)
    if owner is None and _over_leased_line(visit.network, packet.dst):
        return _from_ecs(visit, None)
    if owner is None:
        visit.note("eip", ("nothing in this VPC owns {}: dropped", packet.dst), asking=EIPS)
        return Disposition.UNDELIVERABLE
    now = replace(packet, dst=owner.address)
    saying = ("EIP of {}: destination {} -> {}", owner.place, packet.dst, owner.address)
    visit.note("eip", saying, owner, now=now, asking=EIPS)
    refused = _admitted(visit, owner, None)
    if refused:
        return refused
    if packet.about is None:
        visit.memory.track(visit.place, Flow(flow_key(packet), reversed_key(flow_key(now))))
    return _to_ecs(visit, owner)


def _eip_owner(network: Network, eip: IPv4Address) -> Eni | None:
    by_eip: dict[IPv4Address | None, Eni] | None = network.vpc.memo.get("by eip")
    if by_eip is None:
        by_eip = network.vpc.memo["by eip"] = {eni.eip: eni for eni in network.vpc.enis.values()}
    return by_eip.get(eip)


def _is_own(network: Network, address: IPv4Address) -> bool:
    """Return whether a public address is an EIP of an ECS here, or of the NAT gateway."""
    return _eip_owner(network, address) is not None or any(entry.eip == address for entry in network.vpc.snat)


def _over_leased_line(network: Network, dst: IPv4Address) -> bool:
    """Return whether the host outside has a route to `dst` over a leased line."""
    line = network.vpc.leased_line
    return line is not None and any(dst in block for block in line.known)


def on_internet(network: Network, place: str, packet: Packet, in_dev: str | None, memory: Memory) -> Hop:
    """Return what the Internet does: it takes and answers what has public addresses, and nothing else."""
    visit = Visit(network, place, packet, in_dev, memory)
    if in_dev is not None:
        return visit.hop(_at_public_host(visit))
    visit.packet = packet if packet.src is not None else replace(packet, src=OUTSIDE_HOST)
    if not _over_leased_line(network, packet.dst) and any(packet.dst in block for block in NOT_ROUTED):
        saying = ("the Internet has no route to the private address {}", packet.dst)
        visit.note("route", saying, asking=(PATH, packet.dst))
        return visit.hop(Disposition.NO_ROUTE)
    if packet.size > OUTSIDE_MTU and packet.dont_fragment:
        visit.note("mtu", ("{} bytes do not fit an MTU of {}", packet.size, OUTSIDE_MTU), asking=(PATH, packet.dst))
        return visit.hop(Disposition.MTU_EXCEEDED)
    visit.note("route", ("{} belongs to the VPC's Internet gateway", packet.dst), asking=(PATH, packet.dst))
    visit.out_dev, visit.next, visit.next_dev = ETH0, VPC, INTERNET
    return visit.hop(Disposition.FORWARDED)


def _at_public_host(visit: Visit) -> Disposition:
    entry, _ = vpc_fib(visit.network.vpc).decide(int(visit.packet.dst))
    leased = entry is not None and entry.next_hop_type == "Attachment"
    if not leased and any(visit.packet.dst in block for block in NOT_ROUTED):
        saying = ("the Internet has no route to the private address {}", visit.packet.dst)
        visit.note("route", saying, asking=(PATH, visit.packet.dst))
        return Disposition.NO_ROUTE
    if _is_own(visit.network, visit.packet.dst):
        saying = ("{} is a public address of this VPC: whether it comes back in is not confirmed", visit.packet.dst)
        visit.note("unknown", saying, asking=EIPS)
        return Disposition.UNKNOWN
    taken = ("a public host takes it; it sees source {}", visit.packet.src)
    visit.note("local", taken, asking=("tcpdump -n host {}", visit.packet.src))
    return Disposition.ACCEPTED
