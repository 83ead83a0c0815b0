"""Cases drawn by lot: a seed and a number make one, the same each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from random import Random
from typing import Any

from flannelviz.errors import AddressPlanError, FaultError
from flannelviz.faults import FAULTS, break_network, targets
from flannelviz.model import INTERNET, ClusterPlan, NodePlan, ServicePlan, VSwitch
from flannelviz.network import Network
from flannelviz.packet import LEAST_SIZE
from prove.case import Case, Sent
from prove.rules import extras

PACKETS = 12  # sent through one network
MOST_FAULTS = 3
MOST_HEARD = 600  # bytes: what a lab can hear 255 times in a loop
LETTERS = "abcd"
CLUSTER_CIDRS = ("172.16.0.0/16", "10.32.0.0/14", "172.20.0.0/20", "172.16.0.0/22")
VSWITCHES = (
    VSwitch("vsw-a", IPv4Network("192.168.0.0/24"), "cn-hangzhou-a"),
    VSwitch("vsw-b", IPv4Network("192.168.1.0/28"), "cn-hangzhou-b"),
)
WAYS: tuple[dict[str, Any], ...] = (
    {},
    {"backend": "ali-vpc"},
    {"backend": "host-gw", "fabric": "switch"},
    {"backend": "host-gw"},
    {"backend": "vxlan"},
    {"cni": "terway"},
)
CLUSTER_IPS = (IPv4Address("172.19.0.10"), IPv4Address("172.19.0.20"))
PORTS = (53, 80, 443, 5353, 8080, 20000)
NOWHERE = ("10.9.9.9", "172.19.0.77", "172.31.255.9", "192.168.77.7", "203.0.113.99", "100.100.2.136", "127.0.0.1")
PROTOCOLS = tuple(LEAST_SIZE)
SIZES = (28, 29, 40, 59, 60, 84, 600, 1400, 1401, 1450, 1451, 1500, 1501, 3000)
FIRST_EIP = IPv4Address("198.51.100.20")  # the NAT gateway has those from .1 on


def case(seed: int, number: int) -> Case:
    """Return case `number` of `seed`: a network, the same on every machine, with faults in it, and packets."""
    dice = Random(f"{seed}/{number}")
    while True:
        plan = _plan(dice)
        try:
            found = Case(plan, (), ())
            network = found.network()
        except AddressPlanError:
            continue
        faults, network = _faults(dice, network)
        added = extras(dice, network) if _often(dice, 0.15) else ()
        return Case(plan, faults, tuple(_packets(dice, network)), added)


# --- the network -----------------------------------------------------------------------------------------------------


def _often(dice: Random, chance: float) -> bool:
    return dice.random() < chance


def _plan(dice: Random) -> ClusterPlan:
    way = dice.choice(WAYS)
    zones = VSWITCHES[: dice.choice((1, 1, 2))]
    nodes = tuple(_node(dice, letter, zones) for letter in LETTERS[: dice.choice((1, 2, 2, 2, 3, 3))])
    pods = [pod for node in nodes for pod in node.pods]
    return ClusterPlan(
        vswitches=zones,
        cluster_cidr=IPv4Network(dice.choice(CLUSTER_CIDRS)),
        node_mask=dice.choice((24, 25, 25, 26, 27, 28)),
        nodes=nodes,
        other_ecs=(NodePlan("db", vswitch=dice.choice(zones).name),) if _often(dice, 0.6) else (),
        nat_gateway=_often(dice, 0.8),
        masquerade=_often(dice, 0.85),
        rules=dice.choice(("v0.10", "head")),
        vpc_decrements_ttl=_often(dice, 0.5),
        hairpin=_often(dice, 0.5),
        mtu=dice.choice((1500, 1500, 1500, 1400)),
        services=tuple(_services(dice, pods)) if pods and _often(dice, 0.6) else (),
        **way,
    )


def _node(dice: Random, letter: str, zones: Sequence[VSwitch]) -> NodePlan:
    pods = tuple(f"{letter}{number + 1}" for number in range(dice.choice((0, 1, 1, 2, 2, 3))))
    return NodePlan(
        f"node-{letter}",
        pods,
        vswitch=dice.choice(zones).name,
        eip=FIRST_EIP + LETTERS.index(letter) if _often(dice, 0.15) else None,
        host_pods=(f"{letter}-host",) if _often(dice, 0.2) else (),
    )


def _services(dice: Random, pods: Sequence[str]) -> Iterator[ServicePlan]:
    for number, address in enumerate(CLUSTER_IPS[: dice.choice((1, 1, 2))]):
        ends = dice.sample(pods, dice.randint(0 if _often(dice, 0.15) else 1, min(3, len(pods))))
        port, target = dice.choice((53, 80, 443)), dice.choice((80, 8080))
        yield ServicePlan(f"svc-{number}", address, port, tuple(ends), target, dice.choice(("tcp", "udp")))


def _faults(dice: Random, network: Network) -> tuple[tuple[tuple[str, str], ...], Network]:
    """Return up to three faults that fit, each into what the ones before have left, and the broken network."""
    chosen: list[tuple[str, str]] = []
    for _ in range(dice.choice((0, 0, 1, 1, 1, 2, 2, MOST_FAULTS))):
        fault = dice.choice(FAULTS)
        places = targets(network, fault)
        if not places:
            continue
        place = dice.choice(places)
        if (fault.name, place) in chosen:
            continue
        try:
            broken = break_network(network, fault, place)
        except FaultError:
            continue
        network = broken
        chosen.append((fault.name, place))
    return tuple(chosen), network


# --- the packets -----------------------------------------------------------------------------------------------------


def _packets(dice: Random, network: Network) -> Iterator[Sent]:
    sources, addresses = _sources(network), _addresses(network)
    before: Sent | None = None
    for _ in range(PACKETS):
        if before is not None and _often(dice, 0.2):
            sent = _again(before)
        else:
            sent = _packet(dice, network, sources, addresses)
            if before is not None and _often(dice, 0.1):
                sent = _another(dice, sent)
        yield sent
        before = sent


def _again(before: Sent) -> Sent:
    """Return what a program sends next to the same place: of TCP a new connection, which has a port of its own."""
    sport = 20000 + before.sport % 9973 if before.proto == "tcp" else before.sport
    return replace(before, sport=sport, warm=True)


def _another(dice: Random, sent: Sent) -> Sent:
    """Return a packet of another flow that finds what those before have taught; its port is one of its own."""
    return replace(sent, sport=dice.randint(10000, 19999), warm=True)


def _sources(network: Network) -> list[str]:
    pods = [name for name in network.pods for _ in range(3)]
    return [*pods, *network.ecs_places(), INTERNET]


def _addresses(network: Network) -> list[str]:
    """Return what packets are sent to: everybody, more than once, and addresses of nobody and of everything else."""
    named = [name for name in (*network.pods, *network.ecs_places()) if network.address(name) is not None]
    return [*named, *named, INTERNET, INTERNET, *_own_and_odd(network), *NOWHERE]


def _tells_nobody(network: Network, proto: str, destination: str) -> bool:
    """Return whether it is drawn that nobody listens."""
    return proto != "icmp" and (destination in network.pods or destination in network.ecs or destination == INTERNET)


def _eips(network: Network) -> list[str]:
    """Return the EIPs of all ECS, to which only the Internet sends."""
    return [str(ecs.eip) for ecs in network.ecs.values() if ecs.eip is not None]


def _own_and_odd(network: Network) -> Iterator[str]:
    for vswitch in network.plan.vswitches if network.plan else ():
        yield from map(str, (vswitch.gateway, vswitch.cidr[9], vswitch.cidr[-1], vswitch.cidr[0]))
    for node in network.nodes.values():
        if node.pod_cidr is not None:
            yield from map(str, (node.pod_cidr[0], node.pod_cidr[1], node.pod_cidr[9], node.pod_cidr[-1]))
    if network.plan is not None:
        yield str(network.plan.cluster_cidr[-9])


def _packet(dice: Random, network: Network, sources: Sequence[str], addresses: Sequence[str]) -> Sent:
    services = network.plan.services if network.plan else ()
    source = dice.choice(sources)
    if services and _often(dice, 0.3):
        service = dice.choice(services)
        matching = _often(dice, 0.8)
        proto, dport = (service.proto, service.port) if matching else (dice.choice(PROTOCOLS), dice.choice(PORTS))
        destination = str(service.cluster_ip)
    else:
        public = 3 * _eips(network) if source == INTERNET else []
        destination, proto, dport = dice.choice([*addresses, *public]), dice.choice(PROTOCOLS), dice.choice(PORTS)
    size = dice.choice(SIZES) if _often(dice, 0.4) else 84
    size = max(size, LEAST_SIZE[proto])
    return Sent(
        source,
        destination,
        proto,
        sport=dice.choice((40000, dice.randint(30000, 60000))),
        dport=0 if proto == "icmp" else dport,
        ttl=dice.choice((64, 64, 64, 64, 255 if size <= MOST_HEARD else 64, dice.randint(1, 6))),
        size=size,
        dont_fragment=_often(dice, 0.7),
        served=_often(dice, 0.9) or not _tells_nobody(network, proto, destination),
    )
