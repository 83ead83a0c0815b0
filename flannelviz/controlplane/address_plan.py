"""The address plan: how much fits, and which rules the console checks.

Control plane, initial stage; it writes nothing. Whatever is refused is refused here, before anything exists, so that
nothing half-built is left behind.

Source: Alibaba Cloud, "Plan CIDR blocks for an ACK cluster", "VPCs and vSwitches", CreateCluster.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network

from flannelviz.controlplane import node_ipam
from flannelviz.controlplane.placement import machines, placements
from flannelviz.controlplane.plan_kinds import check_kinds
from flannelviz.controlplane.ranges import CUSTOMARY, PRIVATE, either, free_network, inside, is_private, offer
from flannelviz.errors import AddressPlanError
from flannelviz.model import CLOUD_SERVICES, ClusterPlan, Node, ServicePlan, VSwitch, usable_pod_ips
from flannelviz.tables import VXLAN_OVERHEAD

SYSTEM_TABLE = "vtb-system"

NODE_MASKS = range(24, 29)
VPC_MASKS = range(16, 29)
VSWITCH_MASKS = range(16, 30)
POD_MASKS = range(8, 29)  # of the pod CIDR as a whole
SERVICE_MASKS = range(16, 25)
MAX_ROUTE_TABLES = 10  # of one VPC, the system table included
MIN_MTU, MAX_MTU = 68, 8500  # bytes
PORTS = range(1, 65536)
NAT_EIP = IPv4Address("198.51.100.1")  # of the NAT gateway
# What no EIP lies in. Source: RFC 6890; the ranges for documentation may stand for public ones.
NOT_PUBLIC = (
    *PRIVATE,
    *map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")),
    CLOUD_SERVICES,
)


# --- How much fits -------------------------------------------------------------------------------------------------


def pods_per_node_to_mask(pods: int) -> int:
    """Return the node mask for `pods` addresses on each node: 32 - log2(pods).

    Raises: AddressPlanError unless `pods` is 16, 32, 64, 128 or 256.
    Source: CreateCluster, node_cidr_mask from 24 to 28.
    """
    allowed = [1 << (32 - mask) for mask in reversed(NODE_MASKS)]
    if pods not in allowed:
        raise AddressPlanError(f"{pods} addresses on each node is no choice of the console; take {either(allowed)}")
    return 33 - pods.bit_length()


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
    check_kinds(plan)
    _check_vpc(plan)
    _check_vswitches(plan)
    _check_cluster_cidr(plan)
    _check_service_cidr(plan)
    _check_node_mask(plan)
    _check_limits(plan)
    _check_fabric(plan)
    _check_names(plan)
    _check_addresses(plan)
    _check_eips(plan)
    _check_pod_cidrs(plan)
    _check_services(plan)
    short = shortages(plan)
    if strict and short:
        raise AddressPlanError(short[0])
    return (*short, *_warnings(plan))


def _check_vpc(plan: ClusterPlan) -> None:
    cidr = plan.vpc_cidr
    if _is_vpc(cidr):
        return
    if not is_private(cidr):
        rule = f"a VPC takes its addresses from {either(PRIVATE)}"
    else:
        rule = f"its mask is /{VPC_MASKS[0]} to /{VPC_MASKS[-1]}, or the block is {either(PRIVATE)} as a whole"
    raise AddressPlanError(f"VPC {cidr}: {rule}; {offer(_vpc_around(plan))}")


def _is_vpc(cidr: IPv4Network) -> bool:
    return cidr in PRIVATE or (is_private(cidr) and cidr.prefixlen in VPC_MASKS)


def _vpc_around(plan: ClusterPlan) -> IPv4Network | None:
    """Return a VPC CIDR that holds the vSwitches of the plan, or at least one that is free."""
    taken = [network for network in (plan.cluster_cidr, plan.service_cidr) if network is not None]
    for vswitch in plan.vswitches[:1]:
        around = vswitch.cidr.supernet(new_prefix=min(VPC_MASKS[0], vswitch.cidr.prefixlen))
        if _is_vpc(around) and not any(around.overlaps(other) for other in taken):
            return around
    return free_network(VPC_MASKS, taken, (PRIVATE[2], *CUSTOMARY))


def _check_vswitches(plan: ClusterPlan) -> None:
    if not plan.vswitches:
        free = free_network((max(24, plan.vpc_cidr.prefixlen),), (), (plan.vpc_cidr,))
        raise AddressPlanError(f"the plan has no vSwitch, and every ECS lives in one; {offer(free)} for the first")
    for name in _repeated(vswitch.name for vswitch in plan.vswitches):
        raise AddressPlanError(f"two vSwitches are called {name!r}; give each a name of its own")
    for number, vswitch in enumerate(plan.vswitches):
        _check_vswitch(plan.vpc_cidr, vswitch, plan.vswitches[:number])


def _check_vswitch(vpc_cidr: IPv4Network, vswitch: VSwitch, earlier: tuple[VSwitch, ...]) -> None:
    cidr = vswitch.cidr
    if cidr.prefixlen not in VSWITCH_MASKS:
        rule = f"its mask is /{VSWITCH_MASKS[0]} to /{VSWITCH_MASKS[-1]}"
    elif not inside(cidr, vpc_cidr):
        rule = f"it must lie in the VPC's {vpc_cidr}"
    elif other := next((other for other in earlier if other.cidr.overlaps(cidr)), None):
        rule = f"it must not overlap vSwitch {other.name}, {other.cidr}"
    else:
        return
    masks = _masks_from(max(cidr.prefixlen, vpc_cidr.prefixlen), VSWITCH_MASKS)
    free = free_network(masks, [other.cidr for other in earlier], (vpc_cidr,))
    raise AddressPlanError(f"vSwitch {vswitch.name} {cidr}: {rule}; {offer(free)}")


def _masks_from(wanted: int, allowed: range) -> range:
    """Return the masks to try: `wanted` or the nearest that is allowed, then the longer ones."""
    return range(min(max(wanted, allowed[0]), allowed[-1]), allowed.stop)


def _check_cluster_cidr(plan: ClusterPlan) -> None:
    cidr, service = plan.cluster_cidr, plan.service_cidr
    if not is_private(cidr):
        rule = f"pod addresses come from {either(PRIVATE)}"
    elif cidr.overlaps(plan.vpc_cidr):
        rule = f"it must not overlap the VPC's {plan.vpc_cidr}, or an ECS and a pod could have one address"
    elif service and cidr.overlaps(service):
        rule = f"it must not overlap the service CIDR {service}"
    else:
        return
    raise AddressPlanError(f"pod CIDR {cidr}: {rule}; {offer(_free_for_pods(plan, cidr.prefixlen))}")


def _free_for_pods(plan: ClusterPlan, mask: int) -> IPv4Network | None:
    taken = [network for network in (plan.vpc_cidr, plan.service_cidr) if network is not None]
    return free_network(_masks_from(mask, POD_MASKS), taken)


def _check_service_cidr(plan: ClusterPlan) -> None:
    cidr = plan.service_cidr
    if cidr is None:
        return
    if not is_private(cidr) or cidr.prefixlen not in SERVICE_MASKS:
        rule = f"it lies in {either(PRIVATE)}, with a mask /{SERVICE_MASKS[0]} to /{SERVICE_MASKS[-1]}"
    elif cidr.overlaps(plan.vpc_cidr):
        rule = f"it must not overlap the VPC's {plan.vpc_cidr}"
    else:
        return
    free = free_network(_masks_from(cidr.prefixlen, SERVICE_MASKS), [plan.vpc_cidr, plan.cluster_cidr])
    raise AddressPlanError(f"service CIDR {cidr}: {rule}; {offer(free)}")


def _check_node_mask(plan: ClusterPlan) -> None:
    mask, cluster = plan.node_mask, plan.cluster_cidr
    passing = [allowed for allowed in NODE_MASKS if allowed >= cluster.prefixlen]
    if mask in passing:
        return
    if not passing:
        wider = _free_for_pods(plan, min(cluster.prefixlen, NODE_MASKS[0]))
        way_out = f"no node mask fits {cluster}; {offer(wider)} for the pods"
    else:
        way_out = f"take {either(f'/{m}' for m in passing)}"
    if mask not in NODE_MASKS:
        rule = f"it is /{NODE_MASKS[0]} to /{NODE_MASKS[-1]}, 256 to 16 addresses on each node"
    else:
        rule = f"it must not be shorter than the mask of the pod CIDR {cluster}"
    raise AddressPlanError(f"node mask /{mask}: {rule}; {way_out}")


def _check_limits(plan: ClusterPlan) -> None:
    if not 1 <= plan.route_tables <= MAX_ROUTE_TABLES:
        raise AddressPlanError(
            f"{plan.route_tables} route tables: a VPC has its system table and up to {MAX_ROUTE_TABLES - 1} more; "
            f"take 1 to {MAX_ROUTE_TABLES}"
        )
    if plan.route_quota < 0:
        raise AddressPlanError(f"a quota of {plan.route_quota} route entries cannot be negative; take 200")
    tables = route_table_ids(plan)
    for wanted in plan.ccm_route_table_ids:
        if wanted not in tables:
            raise AddressPlanError(f"ccm_route_table_ids names {wanted!r}; the VPC has {', '.join(tables)}")
    _check_mtu(plan)


def _check_mtu(plan: ClusterPlan) -> None:
    """Check the MTU of eth0. Source: RFC 791; Alibaba Cloud, "MTU" of ECS: jumbo frames hold 8,500 bytes."""
    overhead = VXLAN_OVERHEAD if plan.backend == "vxlan" else 0
    least = MIN_MTU + overhead
    if not least <= plan.mtu <= MAX_MTU:
        tunnel = f", the tunnel {overhead} more" if overhead else ""
        raise AddressPlanError(
            f"an MTU of {plan.mtu} bytes: IPv4 needs {MIN_MTU} (RFC 791){tunnel}, "
            f"and no ECS sends more than {MAX_MTU}; take {least} to {MAX_MTU}"
        )


def _check_fabric(plan: ClusterPlan) -> None:
    if plan.cni == "terway" and plan.fabric == "switch":
        raise AddressPlanError(
            "fabric 'switch' with cni 'terway': the VPC delivers to a pod by its ENI, and a switch asks who answers "
            "ARP there, where no address is; take fabric 'routed'"
        )


_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_POD = re.compile(rf"(?:{_LABEL}/)?{_NAME.pattern}")
_SERVICE = re.compile(rf"(?:{_LABEL}/)?{_LABEL}(?::{_LABEL})?")  # namespace/name:port


def _check_names(plan: ClusterPlan) -> None:
    names = [machine.name for machine in machines(plan)]
    for name in names:
        if not _NAME.fullmatch(name):
            raise AddressPlanError(_no_name("node name", name))
    for name in _repeated(names):
        raise AddressPlanError(f"two machines are called {name!r}; give each node and ECS a name of its own")
    for machine in plan.other_ecs:
        if machine.pods or machine.host_pods:
            raise AddressPlanError(f"{machine.name} is no node, and no pod runs there; plan it among the nodes")
    pods = [_full_name(pod) for node in plan.nodes for pod in node.pods + node.host_pods]
    for pod in pods:
        if not _POD.fullmatch(pod):
            raise AddressPlanError(_no_name("pod name", pod))
    for pod in _repeated(pods):
        raise AddressPlanError(f"two pods are called {pod!r}; give each pod of a namespace a name of its own")


def _full_name(pod: str) -> str:
    return pod if "/" in pod else f"default/{pod}"


def _no_name(kind: str, name: str) -> str:
    better = re.sub(r"[^a-z0-9.-]+", "-", name.rpartition("/")[2].lower()).strip("-.")[:63].strip("-.") or "node-a"
    return (
        f"{kind} {name!r}: RFC 1123 allows lower-case letters, digits, '-' and '.', "
        f"with a letter or digit at both ends; take {better!r}"
    )


def _check_addresses(plan: ClusterPlan) -> None:
    """Place every machine; whatever cannot be placed is refused there."""
    for _ in placements(plan):
        pass


def _check_eips(plan: ClusterPlan) -> None:
    bound = [NAT_EIP] if plan.nat_gateway else []
    for machine in machines(plan):
        if machine.eip is not None:
            _check_eip(machine.name, machine.eip)
            bound.append(machine.eip)
    for eip in _repeated(map(str, bound)):
        raise AddressPlanError(f"two have the EIP {eip}, and an EIP is bound to one ECS or NAT gateway; take another")


def _check_eip(name: str, eip: IPv4Address) -> None:
    around = next((network for network in NOT_PUBLIC if eip in network), None)
    if around is not None:
        rule = f"it lies in {around}, where no address is public"
        raise AddressPlanError(f"EIP {eip} of {name}: {rule}; take a public one, such as 198.51.100.7")


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
        free = free_network((plan.node_mask,), taken, (plan.cluster_cidr,))
        raise AddressPlanError(f"podCIDR {cidr} of {node.name}: {rule}; {offer(free)}")


def _check_services(plan: ClusterPlan) -> None:
    for name in _repeated(service.name for service in plan.services):
        raise AddressPlanError(f"two Services are called {name!r}; tell the ports of one apart: {name + ':http'!r}")
    owners: dict[IPv4Address, str] = {}
    for service in plan.services:
        _check_service(plan, service)
        name = service.name.partition(":")[0]
        owner = owners.setdefault(service.cluster_ip, name)
        if owner != name:
            raise AddressPlanError(f"Service {name}: {service.cluster_ip} is already that of {owner}; take another")
    for port in _repeated(f"{one.cluster_ip} port {one.port}/{one.proto}" for one in plan.services):
        raise AddressPlanError(f"two Services have {port}; give each a port of its own")


def _check_service(plan: ClusterPlan, service: ServicePlan) -> None:
    if not _SERVICE.fullmatch(service.name):
        raise AddressPlanError(_no_name("Service name", service.name))
    cidr = plan.service_cidr
    if cidr is None:
        raise AddressPlanError(f"Service {service.name}: the plan has no service CIDR; set service_cidr")
    if not cidr[0] < service.cluster_ip < cidr[-1]:
        raise AddressPlanError(
            f"Service {service.name}: its ClusterIP {service.cluster_ip} is no address of the service CIDR {cidr}; "
            f"take one from {cidr[1]} to {cidr[-2]}"
        )
    for port in (service.port, service.target_port):
        if port not in PORTS:
            raise AddressPlanError(f"Service {service.name}: port {port} is not from {PORTS[0]} to {PORTS[-1]}")
    for pod in service.endpoints:
        if not _POD.fullmatch(pod):
            raise AddressPlanError(_no_name(f"endpoint of Service {service.name}", pod))


def _missing_endpoints(plan: ClusterPlan) -> Iterator[str]:
    if not plan.services:
        return
    planned = {_full_name(pod) for node in plan.nodes for pod in node.pods + node.host_pods}
    for service in plan.services:
        missing = [pod for pod in service.endpoints if _full_name(pod) not in planned]
        if missing:
            names = ", ".join(missing)
            yield f"Service {service.name} names {names}, and no such pod is planned: no endpoint until there is one"


def shortages(plan: ClusterPlan) -> tuple[str, ...]:
    """Return what the plan runs out of, each with a way out."""
    return (*_too_many_nodes(plan), *_too_many_pods(plan), *_shared_pod_cidrs(plan))


def _too_many_nodes(plan: ClusterPlan) -> Iterator[str]:
    count, blocks, entries = len(plan.nodes), plan.max_nodes, free_route_entries(plan)
    if count > blocks:
        holds = f"{plan.cluster_cidr} holds {_count(blocks, 'block')} of /{plan.node_mask}"
        yield f"{_count(count, 'node')}, but {holds}; {_more_blocks(plan, count)}"
    if count > entries:
        nat = ", one of which is the NAT gateway's" if plan.nat_gateway else ""
        yield (
            f"{_count(count, 'node')}, but a route table has {plan.route_quota} custom entries{nat}, and each node "
            f"needs one; plan {_count(entries, 'node')}, or raise route_quota to {count + int(plan.nat_gateway)}"
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _more_blocks(plan: ClusterPlan, nodes: int) -> str:
    """Return a way to have `nodes` blocks: smaller ones that still hold the pods, or a larger cluster CIDR."""
    cluster, bits = plan.cluster_cidr, (nodes - 1).bit_length()
    longer = cluster.prefixlen + bits
    if longer <= NODE_MASKS[-1] and usable_pod_ips(longer) >= max(len(node.pods) for node in plan.nodes):
        return f"take a node mask of /{longer}"
    return f"{offer(_free_for_pods(plan, plan.node_mask - bits))} for the pods"


def _too_many_pods(plan: ClusterPlan) -> Iterator[str]:
    room = usable_pod_ips(plan.node_mask)
    for node in plan.nodes:
        if len(node.pods) > room:
            fitting = next((mask for mask in reversed(NODE_MASKS) if usable_pod_ips(mask) >= len(node.pods)), None)
            way_out = f"take a node mask of /{fitting}" if fitting else f"spread them over more nodes, {room} on each"
            yield f"{len(node.pods)} pods on {node.name}, but a /{plan.node_mask} has {room} pod addresses; {way_out}"


def _shared_pod_cidrs(plan: ClusterPlan) -> Iterator[str]:
    """Return which nodes share a podCIDR, as kube-controller-manager, which does not notice it, would hand them out."""
    if all(node.pod_cidr is None for node in plan.nodes):
        return
    allocator, owners, shared = node_ipam.start(plan), dict[IPv4Network, str](), dict[str, IPv4Network]()
    for node in plan.nodes:
        allocator, handled, _ = node_ipam.node_added(allocator, Node(node.name, pod_cidr=node.pod_cidr))
        cidr = handled.pod_cidr
        if cidr is not None and owners.setdefault(cidr, node.name) != node.name:
            shared[node.name] = cidr
    free = free_network((plan.node_mask,), owners, (plan.cluster_cidr,))
    for name, cidr in shared.items():
        yield f"podCIDR {cidr} of {name} is that of {owners[cidr]}, which registers before it; {offer(free)}"


def _warnings(plan: ClusterPlan) -> Iterator[str]:
    if plan.route_tables > 1 and not plan.ccm_route_table_ids:
        yield (
            f"the VPC has {plan.route_tables} route tables, and the cloud-controller-manager is not told which to "
            f"write: no pod entry will be made; set ccm_route_table_ids to ({SYSTEM_TABLE!r},)"
        )
    elif plan.ccm_route_table_ids and SYSTEM_TABLE not in plan.ccm_route_table_ids:
        yield f"ccm_route_table_ids leaves out {SYSTEM_TABLE}, the table that decides for pod addresses; add it"
    yield from _missing_endpoints(plan)


def route_table_ids(plan: ClusterPlan) -> tuple[str, ...]:
    """Return the ids of the VPC's route tables, the system table first."""
    return (SYSTEM_TABLE, *(f"vtb-custom-{number}" for number in range(1, plan.route_tables)))


def _repeated(names: Iterable[str]) -> Iterator[str]:
    listed = list(names)
    if len(set(listed)) < len(listed):
        yield from (name for name, times in Counter(listed).items() if times > 1)
