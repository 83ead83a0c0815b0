"""The initial stage and the cluster stage as events: VPC and ECS, then the plan on its way to a podCIDR per node.

Control plane. Each step is one event; the programs themselves are in console.py, kubeadm.py and node_ipam.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flannelviz.controlplane import cloud_routes, console, kubeadm, node_ipam
from flannelviz.controlplane.draft import Change, Draft, Job, Phase, job
from flannelviz.model import VPC, ClusterPlan, Ecs, KubeEvent, Node, NodePlan, VSwitch
from flannelviz.tables import File, Origin, Sysctl, Tables, VpcTables

CONSOLE, SCRIPT, KUBEADM, KUBELET = "console", "provisioning script", "kubeadm", "kubelet"
_PREPARES = Origin(SCRIPT, "prepares the node", "kubeadm's preflight checks demand it")
_DEMANDED = (
    Sysctl("net.bridge.bridge-nf-call-iptables", 1, _PREPARES),
    Sysctl("net.ipv4.ip_forward", 1, _PREPARES),
)


def kube_event_file(event: KubeEvent) -> File:
    """Return a Kubernetes event as an artefact: the line of `kubectl get events`."""
    text = (
        f"{event.type}   {event.reason}   {event.about.lower().replace(' ', '/')}   {event.source}   {event.message}\n"
    )
    return File("kubectl get events", text, Origin(event.source, event.reason, event.message))


def node_file(node: Node, component: str, event: str) -> File:
    """Return the Node object as `component` has just left it."""
    return kubeadm.node_object(node, Origin(component, event, f"Node {node.name}"))


def api_call(product: str, action: str, because: str, **parameters: object) -> File:
    """Return a call of Alibaba Cloud's API as its command line writes it, the way the console makes it."""
    lines = "".join(f" \\\n  --{name} {value}" for name, value in parameters.items())
    return File(action, f"aliyun {product} {action}{lines}\n", Origin(CONSOLE, action, because))


# --- Initial: VPC, vSwitches, ECS, NAT gateway -----------------------------------------------------------------------


def _vpc_with(plan: ClusterPlan, vswitches: int) -> VpcTables:
    return console.create_vpc(replace(plan, vswitches=plan.vswitches[:vswitches]))


def _create_vpc(draft: Draft, plan: ClusterPlan) -> Change:
    vpc = _vpc_with(plan, 0)
    unruled = tuple(replace(group, inbound=()) for group in vpc.security_groups)
    action = f"creates the VPC {plan.vpc_cidr} with its vRouter and its system route table"
    artefact = api_call("vpc", "CreateVpc", "the plan", RegionId=plan.region, CidrBlock=plan.vpc_cidr)
    return Change(CONSOLE, action, (VPC,), artefact, vpc=replace(vpc, security_groups=unruled))


def _create_vswitch(draft: Draft, vswitch: VSwitch) -> Change:
    vpc = _vpc_with(draft.plan, draft.plan.vswitches.index(vswitch) + 1)
    action = f"creates vSwitch {vswitch.name} {vswitch.cidr} in {vswitch.zone}"
    artefact = api_call("vpc", "CreateVSwitch", "the plan", ZoneId=vswitch.zone, CidrBlock=vswitch.cidr)
    return Change(CONSOLE, action, (VPC,), artefact, vpc=replace(draft.vpc, route_tables=vpc.route_tables))


def _create_ecs(draft: Draft, ecs: Ecs) -> Change:
    vswitch = next(vswitch for vswitch in draft.plan.vswitches if vswitch.name == ecs.vswitch)
    return Change(
        CONSOLE,
        f"creates ECS {ecs.name} ({ecs.instance_id}) with {ecs.address} on its ENI",
        (VPC, ecs.name),
        api_call("ecs", "RunInstances", "the plan", VSwitchId=ecs.vswitch, PrivateIpAddress=ecs.address),
        ecs=(ecs,),
        vpc=console.attach_enis(draft.vpc, (ecs,)),
        written={ecs.name: console.ecs_tables(ecs, vswitch)},
    )


def _create_all_ecs(draft: Draft, jobs: Sequence[Job]) -> None:
    vswitches = {vswitch.name: vswitch for vswitch in draft.plan.vswitches}
    instances: list[Ecs] = [job.subject for job in jobs]
    draft.ecs.update((ecs.name, ecs) for ecs in instances)
    draft.written.update((ecs.name, console.ecs_tables(ecs, vswitches[ecs.vswitch])) for ecs in instances)
    draft.vpc = console.attach_enis(draft.vpc, instances)


def _create_nat_gateway(draft: Draft, plan: ClusterPlan) -> Change:
    action = "creates an Internet NAT gateway: a default route, and an SNAT entry per vSwitch"
    artefact = api_call("vpc", "CreateNatGateway", "the plan", NetworkType="internet")
    return Change(CONSOLE, action, (VPC,), artefact, vpc=console.create_nat_gateway(draft.vpc, plan))


# --- Cluster: from the console to a podCIDR on each Node --------------------------------------------------------------


def _plan_cluster(draft: Draft, plan: ClusterPlan) -> Change:
    """Return the answers at the console; with them ACK lets pods into the security group."""
    return Change(
        CONSOLE,
        f"CreateCluster: pod CIDR {plan.cluster_cidr}, {1 << (32 - plan.node_mask)} addresses per node, {plan.cni}",
        (VPC,),
        create_cluster(plan),
        vpc=replace(draft.vpc, security_groups=console.create_vpc(plan).security_groups),
    )


def create_cluster(plan: ClusterPlan) -> File:
    """Return the call that the console makes when the cluster is ordered.

    Source: Alibaba Cloud, API reference CreateCluster.
    """
    service = {"service_cidr": plan.service_cidr} if plan.service_cidr else {}
    return api_call(
        "cs",
        "CreateCluster",
        f"the plan has pod CIDR {plan.cluster_cidr}",
        region_id=plan.region,
        container_cidr=plan.cluster_cidr,
        node_cidr_mask=plan.node_mask,
        **service,
        snat_entry=str(plan.nat_gateway).lower(),
    )


def _provision(draft: Draft, plan: ClusterPlan) -> Change:
    return Change(SCRIPT, "carries the plan to the first master", artefact=kubeadm.provisioning_script(plan))


def _configure_cluster(draft: Draft, plan: ClusterPlan) -> Change:
    artefact = kubeadm.cluster_configuration(plan)
    return Change(KUBEADM, f"reads podSubnet {plan.cluster_cidr} from its ClusterConfiguration", artefact=artefact)


def _write_manifest(draft: Draft, plan: ClusterPlan) -> Change:
    action = f"writes the flags --cluster-cidr={plan.cluster_cidr} --node-cidr-mask-size={plan.node_mask}"
    return Change(KUBEADM, action, artefact=kubeadm.controller_manager_manifest(plan))


def _register(draft: Draft, planned: NodePlan) -> Change:
    node = _registered(draft, planned)
    carries = f", which already carries podCIDR {node.pod_cidr}" if node.pod_cidr else ""
    artefact = node_file(node, KUBELET, "registers the Node")
    action = f"registers Node {node.name}{carries}"
    return Change(
        KUBELET, action, (node.name,), artefact, nodes=(node,), written={node.name: _prepared(draft, node.name)}
    )


def _prepared(draft: Draft, name: str) -> Tables:
    """Return the tables of an ECS once it is a node: it forwards, and iptables sees bridged frames.

    Source: kubeadm's preflight checks write nothing, but refuse a machine on which one of the two settings is not 1.
    """
    return draft.written[name].adding(*_DEMANDED)


def _registered(draft: Draft, planned: NodePlan) -> Node:
    """Return the Node as its kubelet reports it: not ready, since there is no CNI configuration yet."""
    ecs = draft.ecs[planned.name]
    provider_id = cloud_routes.provider_id(draft.plan.region, ecs.instance_id)
    return Node(planned.name, ecs.address, planned.pod_cidr, provider_id, ready="False")


def _register_all(draft: Draft, jobs: Sequence[Job]) -> None:
    for one in jobs:
        draft.nodes[one.subject.name] = _registered(draft, one.subject)
        draft.written[one.subject.name] = _prepared(draft, one.subject.name)


def _allocate(draft: Draft, name: str) -> Change:
    before = draft.nodes[name]
    allocator, node, event = node_ipam.node_added(draft.allocator, before)
    if event is not None:
        action = f"has no podCIDR for {name}: {node_ipam.NO_CIDR_LEFT}"
        return Change(node_ipam.COMPONENT, action, (name,), kube_event_file(event), allocator=allocator)
    known = before.pod_cidr is not None
    action = f"marks podCIDR {node.pod_cidr} of {name} as used" if known else f"gives {name} podCIDR {node.pod_cidr}"
    artefact = node_file(node, node_ipam.COMPONENT, action)
    return Change(node_ipam.COMPONENT, action, (name,), artefact, nodes=(node,), allocator=allocator)


def _allocate_all(draft: Draft, jobs: Sequence[Job]) -> None:
    nodes = [draft.nodes[job.subject] for job in jobs]
    draft.allocator, handled, _ = node_ipam.nodes_added(draft.allocator, nodes)
    draft.nodes.update((node.name, node) for node in handled)


# --- The phases ------------------------------------------------------------------------------------------------------


def _initial_jobs(draft: Draft) -> list[Job]:
    vswitches = [job(vswitch, _create_vswitch) for vswitch in draft.plan.vswitches]
    return [job(draft.plan, _create_vpc), *vswitches]


def _ecs_jobs(draft: Draft) -> list[Job]:
    return [job(ecs, _create_ecs) for ecs in console.create_ecs(draft.plan)]


def _nat_gateway_jobs(draft: Draft) -> list[Job]:
    return [job(draft.plan, _create_nat_gateway)] if draft.plan.nat_gateway else []


def _plan_jobs(draft: Draft) -> list[Job]:
    return [job(draft.plan, _plan_cluster, _provision, _configure_cluster, _write_manifest)]


def _register_jobs(draft: Draft) -> list[Job]:
    return [job(node, _register) for node in draft.plan.nodes]


def _allocate_jobs(draft: Draft) -> list[Job]:
    return [job(node.name, _allocate) for node in draft.plan.nodes]


BEFORE_ALLOCATION = (
    Phase("initial", _initial_jobs),
    Phase("initial", _ecs_jobs, _create_all_ecs),
    Phase("initial", _nat_gateway_jobs),
    Phase("cluster", _plan_jobs),
    Phase("cluster", _register_jobs, _register_all),
)
PHASES = (*BEFORE_ALLOCATION, Phase("cluster", _allocate_jobs, _allocate_all))
