"""The address plan: which rules the console checks.

Control plane, initial stage; it writes nothing. Whatever is refused is refused here, before anything exists, so that
nothing half-built is left behind.

Source: Alibaba Cloud, "Plan CIDR blocks for an ACK cluster", "VPCs and vSwitches", CreateCluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from flannelviz.controlplane.placement import machines, placements
from flannelviz.controlplane.plan_kinds import check_kinds
from flannelviz.controlplane.plan_names import POD, SERVICE, check_names, full_name, no_name, repeated
from flannelviz.controlplane.plan_room import NODE_MASKS, free_for_pods, masks_from, shortages
from flannelviz.controlplane.ranges import CUSTOMARY, PRIVATE, either, free_network, inside, is_private, offer
from flannelviz.errors import AddressPlanError
from flannelviz.model import CLOUD_SERVICES, ClusterPlan, ServicePlan, VSwitch
from flannelviz.tables import VXLAN_OVERHEAD

SYSTEM_TABLE = "vtb-system"

VPC_MASKS = range(16, 29)
VSWITCH_MASKS = range(16, 30)
SERVICE_MASKS = range(16, 25)
MAX_ROUTE_TABLES = 10  # of one VPC, the system table included
MIN_MTU, MAX_MTU = 68, 8500  # bytes
PORTS = range(1, 65536)
API_SERVER = "default/kubernetes"  # the Service by which pods reach it
NAT_EIP = IPv4Address("198.51.100.1")  # of the NAT gateway
# What no EIP lies in. Source: RFC 6890; the ranges for documentation may stand for public ones.
NOT_PUBLIC = (
    *PRIVATE,
    *map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")),
    CLOUD_SERVICES,
)


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
    check_names(plan)
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
    for name in repeated(vswitch.name for vswitch in plan.vswitches):
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
    masks = masks_from(max(cidr.prefixlen, vpc_cidr.prefixlen), VSWITCH_MASKS)
    free = free_network(masks, [other.cidr for other in earlier], (vpc_cidr,))
    raise AddressPlanError(f"vSwitch {vswitch.name} {cidr}: {rule}; {offer(free)}")


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
    raise AddressPlanError(f"pod CIDR {cidr}: {rule}; {offer(free_for_pods(plan, cidr.prefixlen))}")


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
    free = free_network(masks_from(cidr.prefixlen, SERVICE_MASKS), [plan.vpc_cidr, plan.cluster_cidr])
    raise AddressPlanError(f"service CIDR {cidr}: {rule}; {offer(free)}")


def _check_node_mask(plan: ClusterPlan) -> None:
    mask, cluster = plan.node_mask, plan.cluster_cidr
    passing = [allowed for allowed in NODE_MASKS if allowed >= cluster.prefixlen]
    if mask in passing:
        return
    if not passing:
        wider = free_for_pods(plan, min(cluster.prefixlen, NODE_MASKS[0]))
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
    for eip in repeated(map(str, bound)):
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
    for name in repeated(service.name for service in plan.services):
        raise AddressPlanError(f"two Services are called {name!r}; tell the ports of one apart: {name + ':http'!r}")
    owners: dict[IPv4Address, str] = {}
    for service in plan.services:
        _check_service(plan, service)
        name = service.name.partition(":")[0]
        owner = owners.setdefault(service.cluster_ip, name)
        if owner != name:
            raise AddressPlanError(f"Service {name}: {service.cluster_ip} is already that of {owner}; take another")
    for port in repeated(f"{one.cluster_ip} port {one.port}/{one.proto}" for one in plan.services):
        raise AddressPlanError(f"two Services have {port}; give each a port of its own")


def _check_service(plan: ClusterPlan, service: ServicePlan) -> None:
    if not SERVICE.fullmatch(service.name):
        raise AddressPlanError(no_name("Service name", service.name))
    cidr = plan.service_cidr
    if cidr is None:
        raise AddressPlanError(f"Service {service.name}: the plan has no service CIDR; set service_cidr")
    _check_cluster_ip(service, cidr)
    for port in (service.port, service.target_port):
        if port not in PORTS:
            raise AddressPlanError(f"Service {service.name}: port {port} is not from {PORTS[0]} to {PORTS[-1]}")
    for pod in service.endpoints:
        if not POD.fullmatch(pod):
            raise AddressPlanError(no_name(f"endpoint of Service {service.name}", pod))


def _check_cluster_ip(service: ServicePlan, cidr: IPv4Network) -> None:
    """Check one ClusterIP. Source: kubernetes pkg/controlplane/services.go, ServiceIPRange: the first is taken."""
    if not cidr[0] < service.cluster_ip < cidr[-1]:
        rule = f"its ClusterIP {service.cluster_ip} is no address of the service CIDR {cidr}"
    elif service.cluster_ip == cidr[1] and full_name(service.name.partition(":")[0]) != API_SERVER:
        rule = f"{service.cluster_ip} is that of {API_SERVER}, the API server"
    else:
        return
    raise AddressPlanError(f"Service {service.name}: {rule}; take one from {cidr[2]} to {cidr[-2]}")


def _missing_endpoints(plan: ClusterPlan) -> Iterator[str]:
    if not plan.services:
        return
    planned = {full_name(pod) for node in plan.nodes for pod in node.pods + node.host_pods}
    for service in plan.services:
        missing = [pod for pod in service.endpoints if full_name(pod) not in planned]
        if missing:
            names = ", ".join(missing)
            yield f"Service {service.name} names {names}, and no such pod is planned: no endpoint until there is one"


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
