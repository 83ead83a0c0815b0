"""A small cluster made by hand from the values, so that views are tested without the planes that write and read."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address as A
from ipaddress import IPv4Interface
from ipaddress import IPv4Network as N

import pytest

from flannelviz.model import ClusterPlan, Ecs, Node, Pod, derived_mac
from flannelviz.network import Event, Network
from flannelviz.packet import Disposition, Hop, Packet, Step, Trace
from flannelviz.tables import (
    Address,
    Chain,
    Eni,
    HostLocal,
    Lan,
    Link,
    Match,
    Origin,
    Port,
    Route,
    RouteEntry,
    RouteTable,
    Rule,
    SnatEntry,
    Tables,
    VpcTables,
)

CLUSTER = N("172.16.0.0/16")
CIDRS = {"node-a": N("172.16.0.128/25"), "node-b": N("172.16.8.0/25")}
ADDRESSES = {"node-a": A("192.168.0.10"), "node-b": A("192.168.0.11"), "db": A("192.168.0.12")}
CCM = Origin("cloud-controller-manager", "CreateRouteEntry", "Node node-b has podCIDR 172.16.8.0/25")
FLANNELD = Origin("flanneld", "ip-masq")
KERNEL = Origin("kernel", "address on cni0")
DEFAULT = Route(N("0.0.0.0/0"), "eth0", via=A("192.168.0.253"), origin=Origin("console", "boot"))
ON_LINK = N("192.168.0.0/24")


def ecs(name: str, *, is_node: bool = True) -> Ecs:
    return Ecs(name, f"i-{name}", ADDRESSES[name], "vsw-a", derived_mac(ADDRESSES[name]), is_node=is_node)


def pod_tables(lan: Lan, port: Port) -> Tables:
    address = A(port.ip or 0)
    return Tables(
        fixed_links=(Link("lo", "loopback"), Link("eth0", "veth", derived_mac(address), peer=(lan.node, "veth"))),
        addresses=(Address(IPv4Interface((address, lan.subnet.prefixlen)), "eth0"),),
        routes=(
            Route(N("0.0.0.0/0"), "eth0", via=lan.gateway),
            Route(CLUSTER, "eth0", via=lan.gateway),
            Route(lan.subnet, "eth0", proto="kernel", scope="link", src=address),
        ),
    )


def masquerade(pod_cidr: N) -> Chain:
    inside, outside = Match(CLUSTER), Match(CLUSTER, negated=True)
    rules = (
        Rule("RETURN", inside, inside, origin=FLANNELD),
        Rule("MASQUERADE", inside, Match(N("224.0.0.0/4"), negated=True), origin=FLANNELD),
        Rule("RETURN", outside, Match(pod_cidr), origin=FLANNELD),
        Rule("MASQUERADE", outside, inside, origin=FLANNELD),
    )
    return Chain("nat", "POSTROUTING", "ACCEPT", rules)


def forward_rules() -> Chain:
    rules = (Rule("ACCEPT", Match(CLUSTER), origin=FLANNELD), Rule("ACCEPT", dst=Match(CLUSTER), origin=FLANNELD))
    return Chain("filter", "FORWARD", "DROP", rules)


def node_tables(name: str, pods: tuple[str, ...]) -> Tables:
    cidr, address = CIDRS[name], ADDRESSES[name]
    ports = tuple(Port(f"default/{pod}", int(cidr[2 + i])) for i, pod in enumerate(pods))
    lan = Lan(name, cidr, {"mtu": 1500}, HostLocal(cidr), pod_tables, ports)
    own = Tables(
        fixed_links=(
            Link("lo", "loopback"),
            Link("eth0", "device", derived_mac(address), peer=("VPC", f"i-{name}")),
            Link("cni0", "bridge", derived_mac(cidr[1])),
        ),
        addresses=(Address(IPv4Interface((address, 24)), "eth0"), Address(IPv4Interface((cidr[1], 25)), "cni0")),
        routes=(
            DEFAULT,
            Route(cidr, "cni0", proto="kernel", scope="link", src=cidr[1], origin=KERNEL),
            Route(ON_LINK, "eth0", proto="kernel", scope="link", src=address),
        ),
        chains=(masquerade(cidr), forward_rules()),
        lan=lan,
    )
    return own


ENTRIES = (
    RouteEntry(ON_LINK, "local", kind="System"),
    RouteEntry(N("100.64.0.0/10"), "service", kind="System"),
    RouteEntry(N("0.0.0.0/0"), "NatGateway", "ngw-1"),
    RouteEntry(CIDRS["node-a"], "Instance", "i-node-a", origin=CCM),
    RouteEntry(CIDRS["node-b"], "Instance", "i-node-b", origin=CCM),
)


def vpc_tables() -> VpcTables:
    enis = {a: Eni(a, f"i-{name}", name, derived_mac(a), "vsw-a") for name, a in ADDRESSES.items()}
    snat = (SnatEntry(ON_LINK, A("47.96.0.1")),)
    return VpcTables((RouteTable("vtb-1", "System", ENTRIES, ("vsw-a",)),), enis, snat=snat)


def cluster(pods: dict[str, tuple[str, ...]] | None = None) -> Network:
    wired = pods or {"node-a": ("a1", "a2"), "node-b": ("b1",)}
    return Network(
        plan=ClusterPlan(),
        ecs={"node-a": ecs("node-a"), "node-b": ecs("node-b"), "db": ecs("db", is_node=False)},
        nodes={name: Node(name, ADDRESSES[name], cidr, f"cn-hangzhou.i-{name}") for name, cidr in CIDRS.items()},
        pods={f"default/{pod}": Pod("default", pod, node) for node, names in wired.items() for pod in names},
        vpc=vpc_tables(),
        written={
            **{name: node_tables(name, names) for name, names in wired.items()},
            "db": Tables(fixed_links=(Link("eth0", "device"),), routes=(DEFAULT,)),
        },
    )


def hop(
    place: str, row: object, next_place: str | None, in_dev: str | None, out_dev: str | None, **more: object
) -> Hop:
    packet = Packet(A("172.16.0.130"), A("172.16.8.2"))
    kind = "vpc route" if isinstance(row, RouteEntry) else "route"
    sent = replace(packet, ttl=63)
    end = more.get("end") or (Disposition.FORWARDED if next_place else Disposition.ACCEPTED)
    runner_up = DEFAULT if row is not DEFAULT else None
    steps = (Step(place, kind, ("{} decides", place), row, runner_up, packet, sent, ("ip route get {}", packet.dst)),)  # type: ignore[arg-type]
    return Hop(place, end, steps, in_dev, out_dev, packet, sent, next_place)  # type: ignore[arg-type]


def journey() -> Trace:
    a, b = Route(CLUSTER, "eth0", via=CIDRS["node-a"][1]), Route(CLUSTER, "eth0", via=CIDRS["node-b"][1])
    request = (
        hop("default/a1", a, "node-a", None, "eth0"),
        hop("node-a", DEFAULT, "VPC", "cni0", "eth0"),
        hop("VPC", ENTRIES[4], "node-b", "i-node-a", "i-node-b"),
        hop(
            "node-b",
            Route(CIDRS["node-b"], "cni0", proto="kernel", scope="link", src=CIDRS["node-b"][1]),
            "default/b1",
            "eth0",
            "veth1",
        ),
        hop("default/b1", None, None, "eth0", None),
    )
    reply = (
        hop("default/b1", b, "node-b", None, "eth0"),
        hop("node-b", DEFAULT, "VPC", "cni0", "eth0"),
        hop("VPC", ENTRIES[3], "node-a", "i-node-b", "i-node-a"),
        hop(
            "node-a",
            Route(CIDRS["node-a"], "cni0", proto="kernel", scope="link", src=CIDRS["node-a"][1]),
            "default/a1",
            "eth0",
            "veth1",
        ),
        hop("default/a1", None, None, "eth0", None),
    )
    return Trace("default/a1", "default/b1", request, Disposition.ACCEPTED, reply, Disposition.ACCEPTED)


def lost_journey() -> Trace:
    whole = journey()
    lost = replace(hop("VPC", None, None, "i-node-a", None, end=Disposition.NO_ROUTE))
    return Trace(whole.source, whole.destination, (*whole.request[:2], lost), Disposition.NO_ROUTE)


def untold_journey() -> Trace:
    """Return a journey that ends where the input holds no routes."""
    whole, packet = journey(), Packet(None, A("172.16.8.2"))
    saying = ("the input does not hold the {} of {}", "routes", "node-a")
    step = Step("node-a", "unknown", saying, None, None, packet, packet, ("ip route get {}", packet.dst))
    end = Hop("node-a", Disposition.UNKNOWN, (step,), "veth1", None, packet, packet)
    return Trace(whole.source, whole.destination, (whole.request[0], end), Disposition.UNKNOWN)


def route_event() -> Event:
    return Event(
        9, "node", "cloud-controller-manager", "creates a VPC route entry", ("VPC", "node-b"), (("VPC", ENTRIES[4]),)
    )


@pytest.fixture
def network() -> Network:
    return cluster()


@pytest.fixture
def trace() -> Trace:
    return journey()


@pytest.fixture
def lost() -> Trace:
    return lost_journey()


@pytest.fixture
def untold() -> Trace:
    return untold_journey()


@pytest.fixture
def event() -> Event:
    return route_event()
