"""What exists: the VPC, its ECS instances, the nodes and the pods. Plain values, in the middle of the star."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, ip_address, ip_interface, ip_network
from typing import Literal
from unicodedata import category

from flannelviz.errors import AddressPlanError

# Places that are no node and no pod. Kubernetes names are lower case (RFC 1123), so nothing can collide.
VPC = "VPC"
INTERNET = "Internet"

CLOUD_SERVICES = IPv4Network("100.64.0.0/10")
UNUSABLE = 3  # addresses of a podCIDR that no pod gets
RESERVED_HEAD, RESERVED_TAIL = 1, 3  # addresses of a vSwitch that no ECS gets: the first and the last three


def usable_pod_ips(mask: int) -> int:
    """Return how many pods get an address from a podCIDR: all but its network, cni0 and its broadcast address.

    Source: CNI host-local, range .1 to broadcast - 1, gateway skipped.
    """
    return max(0, (1 << (32 - mask)) - UNUSABLE)


def parse_network(text: str | IPv4Network) -> IPv4Network:
    """Return the IPv4 network that `text` writes.

    Raises: AddressPlanError if it is IPv6, has host bits set, or is no network.
    """
    if isinstance(text, IPv4Network):
        return text
    try:
        found = ip_network(text, strict=True)
    except ValueError:
        raise AddressPlanError(_why_no_network(str(text))) from None
    if not isinstance(found, IPv4Network):
        raise AddressPlanError(f"{text} is IPv6; this model covers IPv4: write a network such as 172.16.0.0/16")
    return found


def _why_no_network(text: str) -> str:
    try:
        interface = ip_interface(text)
    except ValueError:
        return f"{text!r} is no IPv4 network; write one as address/prefix length, such as 172.16.0.0/16"
    return (
        f"{text} is an address inside {interface.network}, not a network; "
        f"write {interface.network} for a CIDR, or keep {text} for an interface such as cni0"
    )


def parse_address(text: str | IPv4Address) -> IPv4Address:
    """Return the IPv4 address that `text` writes.

    Raises: AddressPlanError if it is IPv6 or no address.
    """
    if isinstance(text, IPv4Address):
        return text
    try:
        found = ip_address(text)
    except ValueError:
        raise AddressPlanError(f"{text!r} is no IPv4 address; write one such as 172.16.0.130") from None
    if not isinstance(found, IPv4Address):
        raise AddressPlanError(f"{text} is IPv6; this model covers IPv4: write an address such as 172.16.0.130")
    return found


@dataclass(frozen=True, slots=True)
class VSwitch:
    """A subnet of the VPC in one zone."""

    name: str
    cidr: IPv4Network
    zone: str = "cn-hangzhou-a"

    @property
    def gateway(self) -> IPv4Address:
        """Return the address that an ECS uses as its default gateway: the third from the end."""
        return self.cidr[-3]

    @property
    def reserved(self) -> tuple[IPv4Address, ...]:
        """Return the four addresses that no ECS gets.

        Source: Alibaba Cloud, "VPCs and vSwitches".
        """
        return (self.cidr[0], self.cidr[-3], self.cidr[-2], self.cidr[-1])

    @property
    def usable(self) -> int:
        """Return how many ECS instances fit."""
        return self.cidr.num_addresses - RESERVED_HEAD - RESERVED_TAIL


@dataclass(frozen=True, slots=True)
class Ecs:
    """An ECS instance with its primary ENI, `eth0`."""

    name: str
    instance_id: str
    address: IPv4Address
    vswitch: str
    mac: str
    mtu: int = 1500
    eip: IPv4Address | None = None
    is_node: bool = True


Status = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One entry of a Node's `status.conditions`."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A Kubernetes Node, reduced to what the network reads and writes of it."""

    name: str
    address: IPv4Address | None = None  # None: the dump does not say
    pod_cidr: IPv4Network | None = None  # None: none was allocated, or the dump does not say
    provider_id: str = ""
    ready: Status = "True"
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    conditions: tuple[Condition, ...] = ()
    deleting: bool = False
    pod_cidr_text: str = ""  # what a dump has there in place of an IPv4 network, such as an IPv6 one

    def condition(self, kind: str) -> Condition | None:
        """Return the condition of this type, or None."""
        return next((c for c in self.conditions if c.type == kind), None)


@dataclass(frozen=True, slots=True)
class Pod:
    """A Kubernetes Pod, reduced to its name, its node and its address."""

    namespace: str
    name: str
    node: str | None = None  # None: not scheduled yet
    ip: IPv4Address | None = None  # None: not wired yet, or the dump does not say
    host_network: bool = False
    phase: str = "Running"
    message: str = ""  # why it is stuck, in the words of the event
    other_ips: tuple[str, ...] = ()  # what else status.podIPs lists, such as an IPv6 address

    @property
    def place(self) -> str:
        """Return the name under which a network finds this pod: namespace/name."""
        return f"{self.namespace}/{self.name}"

    @property
    def finished(self) -> bool:
        """Return whether the pod has ended for good: it holds no address, even where its status still shows one."""
        return self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class NodePlan:
    """A node that the learner asks for: its name and the pods that will run on it.

    `address` fixes the ECS address, `pod_cidr` a podCIDR that the Node object already carries when it
    registers, so that the allocator only marks it as used. `host_pods` run in the network of the node itself. A pod
    is in the namespace "default" unless its name says another, as in kube-system/coredns.
    """

    name: str
    pods: tuple[str, ...] = ()
    address: IPv4Address | None = None
    pod_cidr: IPv4Network | None = None
    vswitch: str | None = None
    eip: IPv4Address | None = None  # a public address of its own
    host_pods: tuple[str, ...] = ()


BackendKind = Literal["alloc", "ali-vpc", "host-gw", "vxlan"]
Fabric = Literal["routed", "switch"]


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """A Service that the learner asks for: its ClusterIP and port, and the pods behind it."""

    name: str
    cluster_ip: IPv4Address
    port: int
    endpoints: tuple[str, ...]
    target_port: int = 8080
    proto: Literal["tcp", "udp"] = "tcp"


MasqueradeRules = Literal["v0.10", "head"]  # flannel's lists (a) and (b)


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """What the console is told: three address ranges, a node mask, and the nodes with their pods."""

    vpc_cidr: IPv4Network = IPv4Network("192.168.0.0/16")
    vswitches: tuple[VSwitch, ...] = (VSwitch("vsw-a", IPv4Network("192.168.0.0/24")),)
    cluster_cidr: IPv4Network = IPv4Network("172.16.0.0/16")
    node_mask: int = 25
    service_cidr: IPv4Network | None = IPv4Network("172.19.0.0/20")
    nodes: tuple[NodePlan, ...] = ()
    other_ecs: tuple[NodePlan, ...] = ()  # ECS of the VPC that are no cluster nodes: a database, say
    region: str = "cn-hangzhou"
    route_quota: int = 200  # custom entries of a route table; 48 until about 2021
    route_tables: int = 1  # more than one: the cloud-controller-manager must be told which
    ccm_route_table_ids: tuple[str, ...] = ()
    nat_gateway: bool = True
    masquerade: bool = True  # flanneld --ip-masq
    rules: MasqueradeRules = "v0.10"
    vpc_decrements_ttl: bool = False  # unconfirmed across vSwitches, so a parameter
    hairpin: bool = False
    mtu: int = 1500
    cni: Literal["flannel", "terway"] = "flannel"  # terway: pods take addresses of the vSwitch, as the contrast
    backend: BackendKind = "alloc"
    fabric: Fabric = "routed"  # "switch": one layer 2 between the nodes, as no Alibaba VPC has it
    services: tuple[ServicePlan, ...] = ()

    @property
    def max_nodes(self) -> int:
        """Return how many podCIDR blocks the cluster CIDR holds."""
        return int(2 ** (self.node_mask - self.cluster_cidr.prefixlen))


Era = Literal["1.12", "current"]  # whose code is followed: that of Kubernetes 1.12's time, or today's


@dataclass(frozen=True, slots=True)
class KubeEvent:
    """A Kubernetes event, as `kubectl get events` lists it; `about` is the object's kind and name."""

    about: str
    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    source: str


@lru_cache(maxsize=4096)
def derived_mac(address: IPv4Address) -> str:
    """Return the MAC that CNI plugins up to v0.6 give the owner of `address`: 0a:58 and its four bytes.

    Source: containernetworking/plugins pkg/utils/hwaddr v0.6.0.
    """
    return "0a:58:" + address.packed.hex(":")


def interface(address: IPv4Address, network: IPv4Network) -> IPv4Interface:
    """Return `address` with the prefix length of `network`, as a device carries it."""
    return IPv4Interface((int(address), network.prefixlen))


def visible(text: str) -> str:
    """Return `text` with every character that shows nothing, or reorders others, replaced by U+FFFD.

    Source: XML 1.0 forbids most control characters; U+202E and its kin would turn the rest of a label round.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join("\N{REPLACEMENT CHARACTER}" if category(c) in _INVISIBLE or c in "￾￿" else c for c in text)


_INVISIBLE = {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"}
