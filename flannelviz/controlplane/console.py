"""The console: it checks the plan, then makes the VPC, its vSwitches and its ECS instances.

Control plane, initial stage. Kubernetes does not exist yet, and no table knows of any pod.

Source: Alibaba Cloud, "Plan CIDR blocks for an ACK cluster", "VPCs and vSwitches", "Route table overview",
CreateCluster.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha1
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from flannelviz.controlplane.vpc_api import create_route_entries, inside
from flannelviz.errors import AddressPlanError
from flannelviz.model import CLOUD_SERVICES, RESERVED_HEAD, RESERVED_TAIL, VPC, ClusterPlan, Ecs, NodePlan, VSwitch
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

SYSTEM_TABLE = "vtb-system"
SECURITY_GROUP = "sg-cluster"
NAT_GATEWAY = "ngw-internet"
EIP = IPv4Address("198.51.100.1")
DEFAULT_ROUTE = IPv4Network("0.0.0.0/0")

PRIVATE = (IPv4Network("10.0.0.0/8"), IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16"))  # RFC 1918
NODE_MASKS = range(24, 29)
VPC_MASKS = range(16, 29)
VSWITCH_MASKS = range(16, 30)
SERVICE_MASKS = range(16, 25)
MAX_ROUTE_TABLES = 10  # of one VPC, the system table included


# --- How much fits -------------------------------------------------------------------------------------------------


def pods_per_node_to_mask(pods: int) -> int:
    """Return the node mask for `pods` addresses on each node: 32 - log2(pods).

    Raises: AddressPlanError unless `pods` is 16, 32, 64, 128 or 256.
    Source: CreateCluster, node_cidr_mask from 24 to 28.
    """
    allowed = [1 << (32 - mask) for mask in reversed(NODE_MASKS)]
    if pods not in allowed:
        raise AddressPlanError(
            f"{pods} addresses on each node is no choice of the console; take {_either(map(str, allowed))}"
        )
    return 33 - pods.bit_length()


def usable_pod_ips(node_mask: int) -> int:
    """Return how many pods get an address from one podCIDR: all but the network, cni0 and the broadcast address.

    Source: CNI host-local, range .1 to broadcast - 1, gateway skipped.
    """
    return max(0, (1 << (32 - node_mask)) - 3)


def free_route_entries(plan: ClusterPlan) -> int:
    """Return how many entries of a route table are left for nodes: the quota, less the NAT gateway's default route."""
    return max(0, plan.route_quota - int(plan.nat_gateway))


def max_nodes(plan: ClusterPlan) -> int:
    """Return how many nodes the plan has room for: the podCIDR blocks or the free route entries, whichever is less."""
    return min(plan.max_nodes, free_route_entries(plan))


# --- The plan is checked -------------------------------------------------------------------------------------------


def check_plan(plan: ClusterPlan, strict: bool = True) -> tuple[str, ...]:
    """Return what to know before building `plan`: warnings, most often none.

    Shape: when not `strict`, a plan that runs out of blocks, route entries or pod addresses is no error but a
    warning, so that one can watch it run out.
    Raises: AddressPlanError for the first broken rule, with the value, the rule, and a value that passes.
    """
    _check_kinds(plan)
    _check_vpc(plan)
    _check_vswitches(plan)
    _check_cluster_cidr(plan)
    _check_service_cidr(plan)
    _check_node_mask(plan)
    _check_route_tables(plan)
    _check_names(plan)
    _check_addresses(plan)
    _check_pod_cidrs(plan)
    shortages = tuple(_shortages(plan))
    if strict and shortages:
        raise AddressPlanError(shortages[0])
    return (*shortages, *_warnings(plan))


def _check_kinds(plan: ClusterPlan) -> None:
    """Refuse what is no IPv4 network: text that was not parsed, and IPv6."""
    ranges: dict[str, object] = {"vpc_cidr": plan.vpc_cidr, "cluster_cidr": plan.cluster_cidr}
    if plan.service_cidr is not None:
        ranges["service_cidr"] = plan.service_cidr
    ranges |= {f"vSwitch {vswitch.name}": vswitch.cidr for vswitch in plan.vswitches}
    ranges |= {f"pod_cidr of {node.name}": node.pod_cidr for node in plan.nodes if node.pod_cidr is not None}
    for name, value in ranges.items():
        if not isinstance(value, IPv4Network):
            raise AddressPlanError(
                f"{name} {value} is a {type(value).__name__}, and this model covers IPv4; "
                f"write parse_network('172.16.0.0/16'), say"
            )


def _check_vpc(plan: ClusterPlan) -> None:
    cidr = plan.vpc_cidr
    if cidr in PRIVATE or (_private(cidr) and cidr.prefixlen in VPC_MASKS):
        return
    if not _private(cidr):
        rule = f"a VPC takes its addresses from {_either(map(str, PRIVATE))}"
    else:
        rule = f"the mask of a VPC is /{VPC_MASKS[0]} to /{VPC_MASKS[-1]}, or the block is one of RFC 1918 as a whole"
    raise AddressPlanError(f"VPC {cidr}: {rule}; {_take(_free(16, _taken_by_cluster(plan)))}")


def _taken_by_cluster(plan: ClusterPlan) -> list[IPv4Network]:
    return [plan.cluster_cidr, *([plan.service_cidr] if plan.service_cidr else [])]


def _check_vswitches(plan: ClusterPlan) -> None:
    if not plan.vswitches:
        raise AddressPlanError(f"the plan has no vSwitch; add VSwitch('vsw-a', {_first(plan.vpc_cidr, 24)})")
    names = [vswitch.name for vswitch in plan.vswitches]
    for name in _repeated(names):
        raise AddressPlanError(f"two vSwitches are called {name!r}; give each a name of its own")
    for number, vswitch in enumerate(plan.vswitches):
        _check_vswitch(plan.vpc_cidr, vswitch, plan.vswitches[:number])


def _check_vswitch(vpc_cidr: IPv4Network, vswitch: VSwitch, earlier: tuple[VSwitch, ...]) -> None:
    cidr, taken = vswitch.cidr, [other.cidr for other in earlier]
    if cidr.prefixlen not in VSWITCH_MASKS:
        rule = f"its mask is /{VSWITCH_MASKS[0]} to /{VSWITCH_MASKS[-1]}"
    elif not inside(cidr, vpc_cidr):
        rule = f"it must lie in the VPC's {vpc_cidr}"
    elif other := next((other for other in earlier if other.cidr.overlaps(cidr)), None):
        rule = f"it must not overlap vSwitch {other.name}, {other.cidr}"
    else:
        return
    mask = min(max(cidr.prefixlen, vpc_cidr.prefixlen, VSWITCH_MASKS[0]), VSWITCH_MASKS[-1])
    raise AddressPlanError(f"vSwitch {vswitch.name} {cidr}: {rule}; {_take(_free(mask, taken, (vpc_cidr,)))}")


def _check_cluster_cidr(plan: ClusterPlan) -> None:
    cidr = plan.cluster_cidr
    others = [plan.vpc_cidr, *([plan.service_cidr] if plan.service_cidr else [])]
    mask = min(max(cidr.prefixlen, 12), NODE_MASKS[-1])
    if not _private(cidr):
        rule = f"pod addresses come from {_either(map(str, PRIVATE))}"
    elif cidr.overlaps(plan.vpc_cidr):
        rule = f"it must not overlap the VPC's {plan.vpc_cidr}, or nobody could tell a pod from an ECS"
    elif plan.service_cidr and cidr.overlaps(plan.service_cidr):
        rule = f"it must not overlap the service CIDR {plan.service_cidr}"
    else:
        return
    raise AddressPlanError(f"pod CIDR {cidr}: {rule}; {_take(_free(mask, others))}")


def _check_service_cidr(plan: ClusterPlan) -> None:
    cidr = plan.service_cidr
    if cidr is None:
        return
    if not _private(cidr) or cidr.prefixlen not in SERVICE_MASKS:
        rule = f"it lies in {_either(map(str, PRIVATE))} with a mask /{SERVICE_MASKS[0]} to /{SERVICE_MASKS[-1]}"
    elif cidr.overlaps(plan.vpc_cidr):
        rule = f"it must not overlap the VPC's {plan.vpc_cidr}"
    else:
        return
    mask = min(max(cidr.prefixlen, SERVICE_MASKS[0]), SERVICE_MASKS[-1])
    raise AddressPlanError(f"service CIDR {cidr}: {rule}; {_take(_free(mask, [plan.vpc_cidr, plan.cluster_cidr]))}")


def _check_node_mask(plan: ClusterPlan) -> None:
    mask, cluster = plan.node_mask, plan.cluster_cidr
    passing = [allowed for allowed in NODE_MASKS if allowed >= cluster.prefixlen]
    if mask in passing:
        return
    if not passing:
        wider = cluster.supernet(new_prefix=NODE_MASKS[-1])
        way_out = f"no node mask fits {cluster}; take a pod CIDR such as {wider}"
    else:
        way_out = f"take {_either(f'/{m}' for m in passing)}"
    if mask not in NODE_MASKS:
        rule = f"it is /{NODE_MASKS[0]} to /{NODE_MASKS[-1]}, 256 to 16 addresses on each node"
    else:
        rule = f"it must not be shorter than the mask of the pod CIDR {cluster}"
    raise AddressPlanError(f"node mask /{mask}: {rule}; {way_out}")


def _check_route_tables(plan: ClusterPlan) -> None:
    if not 1 <= plan.route_tables <= MAX_ROUTE_TABLES:
        raise AddressPlanError(
            f"{plan.route_tables} route tables: a VPC has its system table and up to {MAX_ROUTE_TABLES - 1} more; "
            f"take 1 to {MAX_ROUTE_TABLES}"
        )
    if plan.route_quota < 0:
        raise AddressPlanError(f"a quota of {plan.route_quota} route entries: it cannot be negative; take 200")
    tables = route_table_ids(plan)
    for wanted in plan.ccm_route_table_ids:
        if wanted not in tables:
            raise AddressPlanError(f"ccm_route_table_ids names {wanted!r}; the VPC has {', '.join(tables)}")


_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_NAMESPACE = re.compile(_LABEL)


def _check_names(plan: ClusterPlan) -> None:
    machines = [ecs.name for ecs in _machines(plan)]
    for name in machines:
        if not _NAME.fullmatch(name):
            raise AddressPlanError(_no_name("node name", name))
    for name in _repeated(machines):
        raise AddressPlanError(f"two machines are called {name!r}; give each node and ECS a name of its own")
    pods = [pod if "/" in pod else f"default/{pod}" for node in plan.nodes for pod in node.pods]
    for pod in pods:
        namespace, _, name = pod.partition("/")
        if not (_NAMESPACE.fullmatch(namespace) and _NAME.fullmatch(name)):
            raise AddressPlanError(_no_name("pod name", pod))
    for pod in _repeated(pods):
        raise AddressPlanError(f"two pods are called {pod!r}; give each pod of a namespace a name of its own")


def _no_name(kind: str, name: str) -> str:
    better = re.sub(r"[^a-z0-9.-]+", "-", name.rpartition("/")[2].lower()).strip("-.")[:63].strip("-.") or "node-a"
    return (
        f"{kind} {name!r}: RFC 1123 allows lower-case letters, digits, '-' and '.', "
        f"with a letter or digit at both ends; take {better!r}"
    )


def _check_addresses(plan: ClusterPlan) -> None:
    """Place every machine; whatever cannot be placed is refused there."""
    for _ in _placements(plan):
        pass


def _check_pod_cidrs(plan: ClusterPlan) -> None:
    for node in plan.nodes:
        cidr = node.pod_cidr
        if cidr is None:
            continue
        if not inside(cidr, plan.cluster_cidr):
            rule = f"it must lie in the cluster CIDR {plan.cluster_cidr}"
        elif cidr.prefixlen != plan.node_mask:
            rule = f"its mask must be the node mask /{plan.node_mask}"
        else:
            continue
        taken = [other.pod_cidr for other in plan.nodes if other.pod_cidr is not None and other is not node]
        free = _take(_free(plan.node_mask, taken, (plan.cluster_cidr,)))
        raise AddressPlanError(f"podCIDR {cidr} of {node.name}: {rule}; {free}")


def _shortages(plan: ClusterPlan) -> Iterator[str]:
    """Return what the plan runs out of."""
    nodes, blocks, entries = len(plan.nodes), plan.max_nodes, free_route_entries(plan)
    if nodes > blocks:
        yield (
            f"{nodes} nodes, but {plan.cluster_cidr} holds {blocks} blocks of /{plan.node_mask}; "
            f"{_more_blocks(plan, nodes)}"
        )
    if nodes > entries:
        nat = ", one of which is the NAT gateway's" if plan.nat_gateway else ""
        yield (
            f"{nodes} nodes, but the route table has {plan.route_quota} custom entries{nat}, and each node needs one; "
            f"plan {entries} nodes, or raise route_quota to {nodes + int(plan.nat_gateway)}"
        )
    yield from _too_many_pods(plan)
    yield from _shared_pod_cidrs(plan)


def _more_blocks(plan: ClusterPlan, nodes: int) -> str:
    """Return a way to have `nodes` blocks: smaller ones, or a larger cluster CIDR."""
    cluster, bits = plan.cluster_cidr, (nodes - 1).bit_length()
    if cluster.prefixlen + bits <= NODE_MASKS[-1]:
        return f"take a node mask of /{cluster.prefixlen + bits}"
    wider = _free(max(8, plan.node_mask - bits), [plan.vpc_cidr, *([plan.service_cidr] if plan.service_cidr else [])])
    return _take(wider) + " for the pods"


def _too_many_pods(plan: ClusterPlan) -> Iterator[str]:
    room = usable_pod_ips(plan.node_mask)
    for node in plan.nodes:
        if len(node.pods) > room:
            fitting = next((mask for mask in reversed(NODE_MASKS) if usable_pod_ips(mask) >= len(node.pods)), None)
            way_out = f"take a node mask of /{fitting}" if fitting else f"spread them over more nodes, {room} on each"
            yield f"{len(node.pods)} pods on {node.name}, but a /{plan.node_mask} has {room} pod addresses; {way_out}"


def _shared_pod_cidrs(plan: ClusterPlan) -> Iterator[str]:
    owners: dict[IPv4Network, str] = {}
    for node in plan.nodes:
        if node.pod_cidr is not None and (first := owners.setdefault(node.pod_cidr, node.name)) != node.name:
            free = _take(_free(plan.node_mask, list(owners), (plan.cluster_cidr,)))
            yield f"podCIDR {node.pod_cidr} belongs to both {first} and {node.name}; {free} for one of them"


def _warnings(plan: ClusterPlan) -> Iterator[str]:
    if plan.route_tables > 1 and not plan.ccm_route_table_ids:
        yield (
            f"the VPC has {plan.route_tables} route tables, and the cloud-controller-manager is not told which to "
            f"write: no pod entry will be made; set ccm_route_table_ids to ({SYSTEM_TABLE!r},)"
        )
    elif plan.ccm_route_table_ids and SYSTEM_TABLE not in plan.ccm_route_table_ids:
        yield f"ccm_route_table_ids leaves out {SYSTEM_TABLE}, the table that decides for pod addresses; add it"


# --- VPC and ECS are made ------------------------------------------------------------------------------------------


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
    return VpcTables(tables, security_groups=(_security_group(plan),), decrements_ttl=plan.vpc_decrements_ttl)


def route_table_ids(plan: ClusterPlan) -> tuple[str, ...]:
    """Return the ids of the VPC's route tables, the system table first."""
    return (SYSTEM_TABLE, *(f"vtb-custom-{number}" for number in range(1, plan.route_tables)))


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


def create_nat_gateway(vpc: VpcTables, plan: ClusterPlan, eip: IPv4Address = EIP) -> VpcTables:
    """Return `vpc` with an Internet NAT gateway: a default route in the system table, and an SNAT entry for each
    vSwitch that has nodes, or for every vSwitch while there is no node.

    Shape: the default route counts as a custom entry; where the quota has no room for it, there is none.
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
    used = {placed.vswitch.name for placed in _placements(plan) if placed.is_node}
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
            is_node=placed.is_node,
        )
        for placed in _placements(plan)
    )


def instance_id(name: str) -> str:
    """Return an instance id: `i-` and twenty characters; from the name, so that it is the same each time."""
    return f"i-bp1{sha1(name.encode()).hexdigest()[:17]}"


def ecs_mac(address: IPv4Address) -> str:
    """Return the MAC of an ECS: Alibaba Cloud's 00:16:3e; the rest is random there, and from the address here."""
    return "00:16:3e:" + address.packed[1:].hex(":")


@dataclass(frozen=True, slots=True)
class _Placed:
    plan: NodePlan
    vswitch: VSwitch
    address: IPv4Address
    is_node: bool


def _machines(plan: ClusterPlan) -> tuple[NodePlan, ...]:
    return plan.nodes + plan.other_ecs


def _placements(plan: ClusterPlan) -> Iterator[_Placed]:
    """Return where each machine goes: fixed addresses first keep theirs, then the others come in order.

    Shape: a machine without a vSwitch goes to the one that holds its address, else to the first with room.
    """
    fixed = _fixed_addresses(plan)
    by_name = {vswitch.name: vswitch for vswitch in plan.vswitches}
    free = {vswitch.name: _free_addresses(vswitch, fixed) for vswitch in plan.vswitches}
    for number, machine in enumerate(_machines(plan)):
        if machine.address is not None:
            vswitch, address = _vswitch_of(plan, machine, machine.address), machine.address
        else:
            candidates = [by_name[_known(plan, machine)]] if machine.vswitch else list(plan.vswitches)
            vswitch, address = _next_free(plan, machine, candidates, free)
        yield _Placed(machine, vswitch, address, number < len(plan.nodes))


def _next_free(
    plan: ClusterPlan, machine: NodePlan, candidates: list[VSwitch], free: dict[str, Iterator[IPv4Address]]
) -> tuple[VSwitch, IPv4Address]:
    for vswitch in candidates:
        address = next(free[vswitch.name], None)
        if address is not None:
            return vswitch, address
    full = ", ".join(f"{vswitch.name} {vswitch.cidr} with {vswitch.usable} addresses" for vswitch in candidates)
    machines = len(_machines(plan))
    mask = 32 - (machines + RESERVED_HEAD + RESERVED_TAIL - 1).bit_length()
    raise AddressPlanError(
        f"no address is left for {machine.name}, one of {machines} machines, in {full}; "
        f"take a vSwitch with a mask of /{min(mask, VSWITCH_MASKS[-1])}, or add another"
    )


def _free_addresses(vswitch: VSwitch, fixed: dict[IPv4Address, str]) -> Iterator[IPv4Address]:
    first = int(vswitch.cidr.network_address) + RESERVED_HEAD
    numbers = range(first, first + vswitch.usable)
    return (address for address in map(IPv4Address, numbers) if address not in fixed)


def _fixed_addresses(plan: ClusterPlan) -> dict[IPv4Address, str]:
    """Return the addresses that the plan fixes, each with its machine.

    Raises: AddressPlanError if two machines want the same, or if no ECS can have it.
    """
    fixed: dict[IPv4Address, str] = {}
    for machine in _machines(plan):
        if machine.address is None:
            continue
        _check_address(plan, machine, machine.address)
        if machine.address in fixed:
            raise AddressPlanError(
                f"{machine.address} of {machine.name} is already that of {fixed[machine.address]}; "
                f"take another, or leave it out"
            )
        fixed[machine.address] = machine.name
    return fixed


def _check_address(plan: ClusterPlan, machine: NodePlan, address: IPv4Address) -> None:
    if not isinstance(address, IPv4Address):
        raise AddressPlanError(f"address {address} of {machine.name} is no IPv4 address; write parse_address('...')")
    vswitch = _vswitch_of(plan, machine, address)
    first, last = vswitch.cidr[RESERVED_HEAD], vswitch.cidr[-RESERVED_TAIL - 1]
    if not first <= address <= last:
        raise AddressPlanError(
            f"{address} of {machine.name} is reserved in vSwitch {vswitch.name}: "
            f"the first address and the last three; take one from {first} to {last}"
        )


def _vswitch_of(plan: ClusterPlan, machine: NodePlan, address: IPv4Address) -> VSwitch:
    name = _known(plan, machine) if machine.vswitch else None
    candidates = [vswitch for vswitch in plan.vswitches if name in (None, vswitch.name)]
    for vswitch in candidates:
        if address in vswitch.cidr:
            return vswitch
    places = _either(f"{vswitch.name} {vswitch.cidr}" for vswitch in candidates)
    example = candidates[0].cidr[RESERVED_HEAD]
    raise AddressPlanError(f"{address} of {machine.name} is outside {places}; take one such as {example}")


def _known(plan: ClusterPlan, machine: NodePlan) -> str:
    names = [vswitch.name for vswitch in plan.vswitches]
    if machine.vswitch not in names:
        raise AddressPlanError(f"{machine.name} wants vSwitch {machine.vswitch!r}; the plan has {', '.join(names)}")
    return str(machine.vswitch)


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


# --- Ranges --------------------------------------------------------------------------------------------------------


def _private(cidr: IPv4Network) -> bool:
    return any(inside(cidr, around) for around in PRIVATE)


def _free(
    mask: int, taken: Iterable[IPv4Network], pools: tuple[IPv4Network, ...] = (PRIVATE[1], *PRIVATE)
) -> IPv4Network | None:
    """Return the first network of this mask in `pools` that overlaps none of `taken`, or None."""
    spans = sorted((int(t.network_address), int(t.broadcast_address)) for t in taken)
    for pool in pools:
        found = _first_gap(pool, mask, spans) if mask >= pool.prefixlen else None
        if found is not None:
            return found
    return None


def _first_gap(pool: IPv4Network, mask: int, spans: list[tuple[int, int]]) -> IPv4Network | None:
    size = 1 << (32 - mask)
    start = int(pool.network_address)
    for low, high in spans:
        if high >= start and low < start + size:
            start = (high // size + 1) * size
    return IPv4Network((start, mask)) if start + size - 1 <= int(pool.broadcast_address) else None


def _first(pool: IPv4Network, mask: int) -> IPv4Network:
    return IPv4Network((pool.network_address, max(mask, pool.prefixlen)))


def _take(network: IPv4Network | None) -> str:
    return f"take {network}" if network else "make room: nothing of this size is free there"


def _repeated(names: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield name
        seen.add(name)


def _either(choices: Iterable[str]) -> str:
    *some, last = choices
    return f"{', '.join(some)} or {last}" if some else last
