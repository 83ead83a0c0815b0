"""Where model and kernel once parted ways, found by `make prove` and shrunk: by now they agree. One row a find."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest

from flannelviz.model import NodePlan, ServicePlan
from flannelviz.tables import Address, FdbEntry, Match, Neighbor, PolicyRule, Route, Row, Rule, Sysctl, veth_name
from flannelviz.topologies import plan
from prove.case import Case, Sent, compared
from prove.rules import Extra
from tests.kernel.conftest import MakeLab

WEB = "172.19.0.10"
DATABASE = NodePlan("db")
CLOUD = "100.100.2.136"
EIP = IPv4Address("198.51.100.22")


def served(*endpoints: str, proto: Any = "tcp") -> dict[str, Any]:
    return {"services": (ServicePlan("web", IPv4Address(WEB), 80, endpoints, proto=proto),)}


def found(
    why: str,
    packets: Sequence[Sent],
    *faults: tuple[str, str],
    nodes: int = 2,
    eip: str = "",
    bare: str = "",
    extra: Extra | None = None,
    held: Sequence[Extra] = (),
    **options: Any,
) -> Any:
    """A row: a network, its faults and the packets; `eip` is the node that has one, `bare` the one without pods.

    `extra` is a rule, and `held` are other rows, that no control plane writes.
    """
    whole = plan(nodes, 2, **options)
    public = [replace(node, eip=EIP) if node.name == eip else node for node in whole.nodes]
    ours = tuple(replace(node, pods=()) if node.name == bare else node for node in public)
    extras = (*((extra,) if extra else ()), *held)
    return pytest.param(Case(replace(whole, nodes=ours), faults, tuple(packets), extras), id=why)


def rule(place: str, table: Any, chain: str, target: str, **matches: Any) -> Extra:
    return Extra(place, Rule(target, **matches), table, chain)


def on(place: str, *rows: Row) -> tuple[Extra, ...]:
    return tuple(Extra(place, row) for row in rows)


def rejecting(words: str) -> tuple[str, ...]:
    return (f"--reject-with icmp-{words}",)


PING = Sent("a1", "b1")
TO_WEB = Sent("a1", WEB, "tcp", dport=80)
LARGE = Sent("a1", "b1", "udp", dport=53, size=1450)
FROM_NODE = Sent("node-a", "b1", "udp", dport=53)
UDP_TO_WEB = replace(TO_WEB, proto="udp")
UNHEARD = Sent("a1", "b1", "udp", dport=20000, served=False)
MARK = (0x10, 0x10)
OWN_ETH0 = Match(IPv4Network("192.168.0.1/32"))
LOOPBACK = (IPv4Address("127.0.0.1"), 80)
EVERYWHERE = IPv4Network("0.0.0.0/0")
A2_MAC = "0a:58:ac:10:00:03"
ASTRAY = FdbEntry(A2_MAC, veth_name("default/a1"), master="cni0", state="static")
LOOPING = ("vpc-route-wrong-ecs", "node-b")
CASES = [
    found("a looping flow meets the port of its own answer", [UDP_TO_WEB], LOOPING, **served("b1", proto="udp")),
    found("an error is about the flow at hand", [replace(UDP_TO_WEB, ttl=2)], LOOPING, **served("b1", proto="udp")),
    found(
        "a port is drawn though the address stays",
        [replace(UDP_TO_WEB, source="node-a"), replace(UDP_TO_WEB, source="node-a", warm=True)],
        rules="head",
        **served("b1", proto="udp"),
    ),
    found("an answer to oneself fits lo", [Sent("node-a", "node-a", "udp", dport=53, size=1600)]),
    found(
        "an error quotes an answer to a broadcast",
        [Sent("b1", "192.168.0.255", "udp", dport=443)],
        ("duplicate-pod-cidr", "node-b"),
        backend="host-gw",
        fabric="switch",
        rules="head",
    ),
    found(
        "a tunnel's packet finds no neighbour on a switch",
        [Sent("a1", "b1"), Sent("node-a", "b1")],
        ("eth0-down", "node-b"),
        backend="vxlan",
        fabric="switch",
    ),
    found(
        "what comes out of a tunnel needs the permission of its device",
        [PING],
        held=on("node-b", Sysctl("net.ipv4.conf.flannel/1.forwarding", 0)),
        backend="vxlan",
    ),
    found(
        "an error tells the Internet of a reset",
        [Sent("a2", "Internet", "tcp", dport=443, served=False)],
        ("veth-detached", "default/a2"),
    ),
    found("an error from outside quotes what was sent", [Sent("a1", "Internet", "udp", dport=53, served=False)]),
    found("a device that is down has no broadcast address", [Sent("node-a", "192.168.0.255")], ("eth0-down", "node-a")),
    found("somebody listens at the port behind a Service", [TO_WEB], **served("b1")),
    found("a node sees the answer of a Service from its ClusterIP", [replace(TO_WEB, source="node-a")], **served("a2")),
    found("too little UDP to carry a number", [replace(TO_WEB, proto="udp", size=28)], **served("b1", proto="udp")),
    found("path MTU", [LARGE, replace(LARGE, warm=True)], ("eth0-mtu-1400", "node-a")),
    found("path MTU of an answer", [replace(LARGE, source="b1", destination="a1")] * 2, ("eth0-mtu-1400", "node-a")),
    found("an error about an unconfirmed flow belongs to it", [replace(TO_WEB, ttl=1)], **served("b1")),
    found("an error after DNAT on the bridge", [TO_WEB], ("veth-detached", "default/a2"), **served("a2")),
    found("no route after DNAT on the bridge", [TO_WEB], ("eth0-down", "node-a"), **served("b1")),
    found("no forwarding after DNAT on the bridge", [TO_WEB], ("ip-forward-off", "node-a"), **served("a2")),
    found("a bridge without carrier sends no ARP", [Sent("node-a", "a1")], ("veth-host-down", "default/a1"), nodes=1),
    found("a hairpin returns the ARP request", [Sent("a1", "172.16.0.99")], hairpin=True, nodes=1),
    found("a TTL of 255 has no room", [replace(PING, ttl=255)]),
    found("a cloud service is no hop away", [Sent("a1", CLOUD, ttl=2)], vpc_decrements_ttl=True),
    found("NAT passes no error about another's flow", [replace(PING, ttl=2)], ("vpc-route-missing", "node-a")),
    found(
        "NAT passes no answer to another's flow",
        [Sent("b1", "node-a")],
        ("masquerade-missing", "node-b"),
        ("vpc-route-missing", "node-b"),
    ),
    found("a leased line leads out only", [Sent("Internet", "a1")], ("peer-range-overlaps-pods", "VPC")),
    found(
        "a policy rule asks for the device of the way there",
        [Sent("a1", "b1")],
        ("rp-filter-strict", "node-a"),
        cni="terway",
    ),
    found(
        "of two routes to one place the older one counts",
        [PING, Sent("a1", "b2", "udp", dport=53)],
        ("duplicate-pod-cidr", "node-a"),
        backend="vxlan",
    ),
    found(
        "nobody waits for an answer that goes astray",
        [Sent("a1", "b1", "udp", dport=53)],
        ("duplicate-pod-cidr", "node-a"),
        nodes=3,
    ),
    found("a SYN-ACK carries no data", [replace(TO_WEB, destination=CLOUD, size=1450)], ("eth0-mtu-1400", "node-a")),
    found(
        "what goes out by lo is masqueraded as eth0",
        [Sent("node-b", "172.16.0.1")],
        ("duplicate-pod-cidr", "node-b"),
        rules="head",
    ),
    found(
        "a broadcast from a detached pod",
        [Sent("a1", "192.168.0.255")],
        ("veth-detached", "default/a1"),
        nodes=1,
    ),
    found(
        "an answer that conntrack has not seen asked for begins no flow",
        [Sent("b2", "db", "tcp", dport=80)],
        ("duplicate-pod-cidr", "node-b"),
        backend="vxlan",
        other_ecs=(DATABASE,),
    ),
    found(
        "who does not forward asks no source",
        [Sent("node-a", "172.16.0.0")],
        ("ip-forward-off", "node-a"),
        ("cni0-down", "node-a"),
    ),
    found(
        "path MTU outside",
        [Sent("a1", "Internet", "udp", dport=53, size=1451, dont_fragment=False, warm=warm) for warm in (False, True)],
        mtu=1400,
    ),
    found("what is too large is told so before any rule", [replace(TO_WEB, source="node-a", size=3000)], **served()),
    found(
        "nobody answers ARP to his own address",
        [Sent("b1", "172.16.0.1")],
        ("duplicate-pod-cidr", "node-b"),
        backend="host-gw",
        fabric="switch",
    ),
    found("a known flow keeps the port that was drawn", [FROM_NODE, replace(FROM_NODE, warm=True)], rules="head"),
    found(
        "a packet is cut, and its tunnel's packet once more",
        [Sent("node-a", "b1", "udp", dport=53, size=1451, dont_fragment=False)],
        ("eth0-mtu-1400", "node-a"),
        backend="vxlan",
    ),
    found(
        "the bridge itself carries the first frame to a neighbour after DNAT on it",
        [UDP_TO_WEB, Sent("node-a", "a2", "udp", dport=53), replace(UDP_TO_WEB, warm=True)],
        extra=rule("node-a", "filter", "FORWARD", "DROP", in_dev="cni0"),
        **served("a2", proto="udp"),
    ),
    found(
        "the bridge carries each frame that would go back to its port",
        [UDP_TO_WEB, replace(UDP_TO_WEB, warm=True)],
        **served("a1", proto="udp"),
    ),
    found("a SYN without options has an answer with one", [Sent("a1", "b1", "tcp", dport=80, size=40)]),
    found("an ICMP error quotes what 576 bytes hold", [Sent("a1", "b1", "udp", dport=53, size=1400, ttl=2)]),
    found(
        "an EIP is of the ENI that sends, not of the source that is written",
        [Sent("node-a", "172.16.0.129")],
        eip="node-a",
        bare="node-b",
        nat_gateway=False,
        backend="host-gw",
        fabric="switch",
    ),
    found(
        "an answer through another ENI has no EIP",
        [Sent("a1", "node-b", "udp", dport=443)],
        ("duplicate-pod-cidr", "node-a"),
        eip="node-b",
        backend="host-gw",
    ),
    found(
        "what another node passes on has no EIP",
        [Sent("b1", "172.16.0.15")],
        eip="node-b",
        bare="node-a",
        masquerade=False,
        backend="host-gw",
        fabric="switch",
    ),
    *(
        found(
            f"a cloud service cannot answer a pod of {backend} over {proto}",
            [Sent("b1", CLOUD, proto, dport=0 if proto == "icmp" else 53)],
            ("masquerade-missing", "node-b"),
            backend=backend,
            fabric=fabric,
        )
        for backend, fabric in (("host-gw", "switch"), ("vxlan", "routed"))
        for proto in ("icmp", "tcp", "udp")
    ),
    *(
        found(
            f"a tunnel teaches its node what fits, by a packet of {first.source} of {first.size} bytes",
            [first, *(Sent("node-a", "b1", "udp", dport=53, size=size, warm=True) for size in (1351, 1350))],
            ("eth0-mtu-1400", "node-a"),
            backend="vxlan",
        )
        for first in (replace(FROM_NODE, size=1350), replace(FROM_NODE, size=1351), replace(LARGE, size=1400))
    ),
    found(
        "what a tunnel taught the node counts behind a Service",
        [replace(UDP_TO_WEB, source="node-a", size=1400, warm=warm) for warm in (False, True)],
        ("eth0-mtu-1400", "node-a"),
        backend="vxlan",
        **served("b1", proto="udp"),
    ),
    found(
        "a mark goes into a tunnel",
        [PING],
        backend="vxlan",
        held=(
            rule("node-a", "nat", "PREROUTING", "MARK", set_mark=MARK),
            rule("node-a", "filter", "OUTPUT", "DROP", mark=MARK),
        ),
    ),
    found(
        "a mark comes out of a tunnel",
        [PING],
        backend="vxlan",
        held=(
            rule("node-b", "nat", "PREROUTING", "MARK", set_mark=MARK, proto="udp", dport=8472),
            rule("node-b", "filter", "FORWARD", "DROP", mark=MARK),
        ),
    ),
    *(
        found(
            f"the mark of kube-proxy goes into a tunnel, unless it was cleared: {rules}",
            [replace(TO_WEB, source="node-a")],
            backend="vxlan",
            rules=rules,
            extra=rule("node-a", "filter", "OUTPUT", "DROP", proto="udp", dport=8472, mark=(0x4000, 0x4000)),
            **served("b1"),
        )
        for rules in ("v0.10", "head")
    ),
    found(
        "what is bridged is masqueraded as another device where the bridge has no address",
        [Sent("a1", "a2")],
        ("cni0-without-address", "node-a"),
        extra=rule("node-a", "nat", "POSTROUTING", "MASQUERADE"),
    ),
    found(
        "what ends here gets its source at INPUT",
        [Sent("a1", "node-a"), Sent("b1", "node-a", "udp", dport=53), Sent("node-a", "172.16.0.1")],
        extra=rule("node-a", "nat", "INPUT", "SNAT", to=(IPv4Address("10.9.9.9"), None)),
    ),
    found(
        "what DNAT leads home leaves by lo",
        [Sent("node-a", WEB, "tcp", dport=80)],
        held=(
            rule("node-a", "nat", "OUTPUT", "DNAT", to=(IPv4Address("192.168.0.1"), None)),
            rule("node-a", "nat", "POSTROUTING", "SNAT", out_dev="lo", to=(IPv4Address("172.16.0.1"), None)),
        ),
    ),
    found(
        "a flow is new until it was answered",
        [UNHEARD, replace(UNHEARD, warm=True)],
        extra=rule("node-a", "filter", "FORWARD", "DROP", ctstate="ESTABLISHED"),
    ),
    found(
        "an error about a flow's answer belongs to it, half translated as it is",
        [replace(TO_WEB, source="node-a")],
        extra=rule("node-a", "filter", "INPUT", "REJECT", dst=OWN_ETH0, options=rejecting("host-prohibited")),
        **served("a1"),
    ),
    found(
        "conntrack forgets a flow that a reset answers, and knows the error about the reset all the same",
        [replace(TO_WEB, source="node-a", served=False)],
        extra=rule("node-a", "filter", "INPUT", "REJECT", dst=OWN_ETH0, options=rejecting("host-prohibited")),
        **served("a1"),
    ),
    found(
        "a tunnel takes nothing that it has sent itself",
        [PING],
        backend="vxlan",
        extra=rule("node-a", "nat", "OUTPUT", "DNAT", to=(IPv4Address("192.168.0.1"), None)),
    ),
    found(
        "an error dies in a tunnel to which nobody listens, and is answered by another one",
        [Sent("b1", "node-a", "udp", dport=20000, served=False)],
        ("flanneld-not-running", "node-b"),
        backend="vxlan",
    ),
    *(
        found(
            f"REJECT says {words} to a tunnel",
            [LARGE, PING],
            backend="vxlan",
            extra=rule("node-b", "filter", "INPUT", "REJECT", options=rejecting(words)),
        )
        for words in ("host-prohibited", "host-unreachable", "net-unreachable", "port-unreachable")
    ),
    found(
        "a program speaks to an own address from the first one of its network",
        [Sent("node-a", "127.0.0.5"), Sent("node-a", "192.168.0.50"), Sent("a1", "127.9.9.9")],
        held=on("node-a", Address(IPv4Interface("192.168.0.50/24"), "eth0")),
    ),
    *(
        found(
            f"nobody from outside reaches a loopback address: {destination}",
            [Sent("a1", destination, "tcp", dport=80)],
            extra=rule("node-a", "nat", "PREROUTING", "DNAT", proto="tcp", dport=80, to=LOOPBACK),
        )
        for destination in ("node-a", "a2", "b1")
    ),
    *(
        found(
            f"what DNAT on the bridge gives to the node goes up to it: {to}",
            [Sent("a1", "a2", "tcp", dport=80)],
            extra=rule("node-a", "nat", "PREROUTING", "DNAT", to=(IPv4Address(to), None)),
        )
        for to in ("192.168.0.1", "172.16.0.1")
    ),
    *(
        found(
            f"a loopback address never leaves its machine: {to}",
            [Sent("node-a", "127.0.0.1", "udp", dport=80)],
            extra=rule("node-a", "nat", "OUTPUT", "DNAT", dst=Match(IPv4Network("127.0.0.1")), to=(to, None)),
        )
        for to in (IPv4Address("172.16.0.2"), IPv4Address("192.168.0.2"))
    ),
    found(
        "a policy rule added later is asked first by its priority",
        [Sent("a1", "a2"), Sent("a1", "b1")],
        cni="terway",
        held=on(
            "node-a",
            PolicyRule(100, 77, dst=IPv4Network("192.168.0.0/16")),
            Route(EVERYWHERE, "eth0", via=IPv4Address("192.168.0.253"), table=77),
        ),
    ),
    found(
        "an address on lo is answered for as well",
        [Sent("a1", "172.16.0.99"), Sent("node-a", "172.16.0.99")],
        held=on("default/a2", Address(IPv4Interface("172.16.0.99/32"), "lo")),
    ),
    found(
        "forwarding is allowed by the device that a packet comes in by",
        [PING, Sent("b1", "b2"), Sent("b1", "a1")],
        held=on("node-b", Sysctl("net.ipv4.conf.eth0.forwarding", 0)),
    ),
    found(
        "a device that may forward does so though others may not",
        [PING, Sent("b1", "a1")],
        ("ip-forward-off", "node-b"),
        held=on("node-b", Sysctl("net.ipv4.conf.eth0.forwarding", 1)),
    ),
    found(
        "what the bridge may not forward DNAT does not bridge",
        [TO_WEB],
        held=on("node-a", Sysctl("net.ipv4.conf.cni0.forwarding", 0)),
        **served("a2"),
    ),
    found(
        "rp_filter asks for the source of a broadcast too",
        [Sent("a1", "172.16.0.255", "udp", dport=53), Sent("a1", "172.16.0.129", "udp", dport=53)],
        ("rp-filter-strict", "node-b"),
        held=on("node-b", Route(IPv4Network("172.16.0.0/25"), "cni0", scope="link")),
    ),
    found(
        "a bridge sends where its table says, wrong as it is",
        [Sent("a1", "a2")],
        held=(
            *on("node-a", ASTRAY),
            *on("default/a1", Neighbor(IPv4Address("172.16.0.3"), A2_MAC, "eth0", "PERMANENT")),
        ),
    ),
    found("an ARP answer moves what somebody has written", [Sent("a1", "a2"), PING], held=on("node-a", ASTRAY)),
]


@pytest.mark.parametrize("case", CASES)
def test_model_and_kernel_agree_by_now(case: Case, make_lab: MakeLab) -> None:
    network = case.network()
    results = list(compared(network, make_lab(network), case.packets))
    assert {str(one.sent): one.differences for one in results if one.differences} == {}
