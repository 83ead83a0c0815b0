"""The console: it checks the address plan, then makes the VPC, its vSwitches and its ECS instances.

Control plane, initial stage. Kubernetes does not exist yet, and no table knows of any pod.

Source: Alibaba Cloud, "Route table overview", "VPCs and vSwitches", CreateCluster.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha1
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from flannelviz.controlplane.address_plan import (
    NAT_EIP,
    SYSTEM_TABLE,
    check_plan,
    route_table_ids,
)
from flannelviz.controlplane.placement import placements
from flannelviz.controlplane.plan_room import free_route_entries, max_nodes, pods_per_node_to_mask
from flannelviz.controlplane.vpc_api import create_route_entries, route_entry_refusal
from flannelviz.model import CLOUD_SERVICES, VPC, ClusterPlan, Ecs, VSwitch, usable_pod_ips
from flannelviz.tables import (
    ETH0,
    LO,
    Address,
    Eni,
    Link,
    Origin,
    Route,
    RouteEntry,
    RouteTable,
    SecurityGroup,
    SecurityRule,
    SnatEntry,
    Sysctl,
    Tables,
    VpcTables,
)

__all__ = [
    "NAT_GATEWAY",
    "SECURITY_GROUP",
    "SYSTEM_TABLE",
    "attach_enis",
    "check_plan",
    "create_ecs",
    "create_nat_gateway",
    "create_vpc",
    "ecs_mac",
    "ecs_tables",
    "free_route_entries",
    "instance_id",
    "max_nodes",
    "pods_per_node_to_mask",
    "route_entry_refusal",
    "route_table_ids",
    "usable_pod_ips",
]

SECURITY_GROUP = "sg-cluster"
NAT_GATEWAY = "ngw-internet"
DEFAULT_ROUTE = IPv4Network("0.0.0.0/0")


def create_vpc(plan: ClusterPlan) -> VpcTables:
    """Return the tables of a new VPC: its route tables, and the cluster's security group.

    Shape: the system table first, with one entry for each vSwitch and one for the cloud services; no default route.
    """
    associated = tuple(vswitch.name for vswitch in plan.vswitches)
    entries = _system_entries(plan)
    system, *further = route_table_ids(plan)
    tables = (
        RouteTable(system, "System", entries, associated, plan.route_quota),
        *(RouteTable(table, "Custom", entries, (), plan.route_quota) for table in further),
    )
    return VpcTables(
        tables,
        security_groups=(_security_group(plan),),
        decrements_ttl=plan.vpc_decrements_ttl,
        fabric=plan.fabric,
    )


def _system_entries(plan: ClusterPlan) -> tuple[RouteEntry, ...]:
    local = tuple(
        RouteEntry(
            vswitch.cidr,
            "local",
            kind="System",
            origin=Origin("console", "CreateVSwitch", f"vSwitch {vswitch.name} has {vswitch.cidr}"),
        )
        for vswitch in plan.vswitches
    )
    services = Origin("console", "CreateVpc", "every VPC reaches the services of Alibaba Cloud")
    return (*local, RouteEntry(CLOUD_SERVICES, "service", kind="System", origin=services))


def _security_group(plan: ClusterPlan) -> SecurityGroup:
    because = f"pods have addresses of {plan.cluster_cidr}, which no member of the group owns"
    rule = SecurityRule(plan.cluster_cidr, "Accept", Origin("console", "CreateCluster", because))
    return SecurityGroup(SECURITY_GROUP, (rule,))


def create_nat_gateway(vpc: VpcTables, plan: ClusterPlan, eip: IPv4Address = NAT_EIP) -> VpcTables:
    """Return `vpc` with an Internet NAT gateway: a default route in the system table, and SNAT entries.

    Shape: one SNAT entry for each vSwitch that has nodes, or for every vSwitch while there is no node. The default
    route counts as a custom entry; where the quota has no room for it, there is none.
    Source: Alibaba Cloud, "Enable an existing ACK cluster to access the Internet by using SNAT".
    """
    origin = Origin("console", "CreateNatGateway", "the first Internet NAT gateway of a VPC")
    entry = RouteEntry(DEFAULT_ROUTE, "NatGateway", NAT_GATEWAY, origin=origin)
    snat = tuple(
        SnatEntry(vswitch.cidr, eip, Origin("console", "CreateSnatEntry", f"nodes of {vswitch.name} go out as {eip}"))
        for vswitch in _node_vswitches(plan)
    )
    return replace(create_route_entries(vpc, (entry,)).vpc, snat=vpc.snat + snat)


def _node_vswitches(plan: ClusterPlan) -> tuple[VSwitch, ...]:
    used = {placed.vswitch.name for placed in placements(plan) if placed.is_node}
    return tuple(vswitch for vswitch in plan.vswitches if vswitch.name in used or not used)


def create_ecs(plan: ClusterPlan) -> tuple[Ecs, ...]:
    """Return the ECS instances: those of the nodes, then the others.

    Shape: addresses ascend in each vSwitch from the first usable one and leave out those that the plan fixes.
    Raises: AddressPlanError if an address is reserved, taken or outside, or if a vSwitch is full.
    """
    return tuple(
        Ecs(
            name=placed.plan.name,
            instance_id=instance_id(placed.plan.name),
            address=placed.address,
            vswitch=placed.vswitch.name,
            mac=ecs_mac(placed.address),
            mtu=plan.mtu,
            eip=placed.plan.eip,
            is_node=placed.is_node,
        )
        for placed in placements(plan)
    )


def instance_id(name: str) -> str:
    """Return an instance id: `i-` and twenty characters; from the name, so that it is the same each time."""
    return f"i-bp1{sha1(name.encode()).hexdigest()[:17]}"


def ecs_mac(address: IPv4Address) -> str:
    """Return the MAC of an ECS: Alibaba Cloud's 00:16:3e; the rest is random there, and from the address here."""
    return "00:16:3e:" + address.packed[1:].hex(":")


_BOOT = Origin("kernel", "boot")
_LOOPBACK = Link(LO, "loopback", mtu=65536, origin=_BOOT)
_LOOPBACK_ADDRESS = Address(IPv4Interface("127.0.0.1/8"), LO, Origin("kernel", "lo goes up"))
_SYSCTLS = (
    Sysctl("net.ipv4.ip_forward", 0, _BOOT),
    Sysctl("net.ipv4.conf.all.rp_filter", 0, _BOOT),
    Sysctl(f"net.ipv4.conf.{ETH0}.rp_filter", 0, _BOOT),
)


def ecs_tables(ecs: Ecs, vswitch: VSwitch) -> Tables:
    """Return what a fresh ECS knows: lo, eth0 with its address, the vSwitch on-link, the rest by the gateway.

    Shape: two routes, in the order of `ip route`; nothing about pods.
    """
    dhcp = Origin("DHCP", f"lease for {ETH0}", f"{ecs.instance_id} has {ecs.address} in vSwitch {vswitch.name}")
    connected = Origin("kernel", f"address added to {ETH0}", f"{ETH0} has {ecs.address}/{vswitch.cidr.prefixlen}")
    peer = (VPC, ecs.instance_id)
    interface = IPv4Interface((int(ecs.address), vswitch.cidr.prefixlen))
    return Tables(
        fixed_links=(_LOOPBACK, Link(ETH0, "device", mac=ecs.mac, mtu=ecs.mtu, peer=peer, origin=_BOOT)),
        addresses=(_LOOPBACK_ADDRESS, Address(interface, ETH0, dhcp)),
        routes=(
            Route(DEFAULT_ROUTE, ETH0, via=vswitch.gateway, origin=dhcp),
            Route(vswitch.cidr, ETH0, src=ecs.address, proto="kernel", scope="link", origin=connected),
        ),
        sysctls=_SYSCTLS,
    )


def attach_enis(vpc: VpcTables, instances: Iterable[Ecs]) -> VpcTables:
    """Return `vpc` with the primary ENI of each of `instances`."""
    enis = dict(vpc.enis)
    for ecs in instances:
        enis[ecs.address] = Eni(
            address=ecs.address,
            instance_id=ecs.instance_id,
            place=ecs.name,
            mac=ecs.mac,
            vswitch=ecs.vswitch,
            security_group=SECURITY_GROUP,
            eip=ecs.eip,
            origin=Origin("console", "RunInstances", f"ECS {ecs.name} is {ecs.instance_id}"),
        )
    return replace(vpc, enis=enis)
