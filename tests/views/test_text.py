"""Text views against what real tools printed; the versions stand in tests/data/real-text/README.md."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from ipaddress import IPv4Address as A
from ipaddress import IPv4Interface as I
from ipaddress import IPv4Network as N
from pathlib import Path

import pytest

from flannelviz.controlplane.timeline import build
from flannelviz.errors import UnknownPlaceError
from flannelviz.model import ClusterPlan, Condition, Node, Pod
from flannelviz.network import Event, Network
from flannelviz.packet import Trace
from flannelviz.tables import (
    Address,
    Chain,
    Eni,
    FdbEntry,
    File,
    HostLocal,
    Lan,
    Link,
    Match,
    Neighbor,
    PolicyRule,
    Port,
    Route,
    RouteEntry,
    RouteTable,
    Rule,
    SecurityRule,
    SnatEntry,
    Sysctl,
    Tables,
    VpcTables,
)
from flannelviz.topologies import article_plan
from flannelviz.views import text

REAL = Path(__file__).parent.parent / "data" / "real-text"
POD_NET, NODE_NET = N("10.244.0.0/16"), N("10.244.0.0/24")
MASQ = "flanneld masq"


def recorded(name: str) -> list[str]:
    return [line.rstrip() for line in (REAL / name).read_text().splitlines()]


def flannel_lines(name: str) -> list[str]:
    return [line for line in recorded(name) if "FLANNEL" in line and not line.startswith(":")]


def kubeadm_rules() -> Tables:
    inside, own, outside = Match(POD_NET), Match(NODE_NET), Match(POD_NET, negated=True)
    random = ("--random-fully",)
    post = (
        Rule("RETURN", mark=(0x4000, 0x4000), comment=MASQ),
        Rule("RETURN", own, inside, comment=MASQ),
        Rule("RETURN", inside, own, comment=MASQ),
        Rule("RETURN", outside, own, comment=MASQ),
        Rule("MASQUERADE", inside, Match(N("224.0.0.0/4"), negated=True), options=random, comment=MASQ),
        Rule("MASQUERADE", outside, inside, options=random, comment=MASQ),
    )
    forward = (
        Rule("ACCEPT", inside, comment="flanneld forward"),
        Rule("ACCEPT", dst=inside, comment="flanneld forward"),
    )
    jump = Rule("KUBE-POSTROUTING", comment="kubernetes postrouting rules")
    chains = (
        Chain("nat", "POSTROUTING", "ACCEPT", (jump, Rule("FLANNEL-POSTRTG", comment=MASQ))),
        Chain("nat", "FLANNEL-POSTRTG", None, post),
        Chain("filter", "FORWARD", "ACCEPT", (Rule("FLANNEL-FWD", comment="flanneld forward"),)),
        Chain("filter", "FLANNEL-FWD", None, forward),
    )
    return Tables(chains=chains)


def test_iptables_save_of_flannel_is_what_a_node_printed():
    ours = text.iptables_save(kubeadm_rules()).splitlines()
    wanted = flannel_lines("kubeadm-iptables-save.txt")
    assert [line for line in ours if "FLANNEL" in line and not line.startswith(":")] == wanted
    assert len(wanted) == 10


def test_iptables_save_frames_each_table_like_the_tool():
    ours = text.iptables_save(kubeadm_rules())
    real = re.sub(r"\[\d+:\d+\]", "[0:0]", (REAL / "kubeadm-iptables-save.txt").read_text()).splitlines()
    for line in ours.splitlines():
        assert line in real, line
    assert ours.startswith(
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:FLANNEL-FWD - [0:0]"
    )
    assert ours.endswith("\nCOMMIT")


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        (
            Rule(
                "KUBE-SVC-1", dst=Match(N("10.96.0.1/32")), proto="tcp", dport=443, comment="default/kubernetes:https"
            ),
            '-d 10.96.0.1/32 -p tcp -m comment --comment "default/kubernetes:https" -m tcp --dport 443 -j KUBE-SVC-1',
        ),
        (
            Rule("DNAT", proto="udp", options=("--to-destination 10.244.0.3:53",), comment="kube-system/kube-dns:dns"),
            '-p udp -m comment --comment "kube-system/kube-dns:dns" -m udp -j DNAT --to-destination 10.244.0.3:53',
        ),
        (
            Rule("ACCEPT", mark=(0x4000, 0x4000), comment="kubernetes forwarding rules"),
            '-m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT',
        ),
        (
            Rule("MASQUERADE", Match(N("172.17.0.0/16")), out_dev="! docker0"),
            "-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
        ),
        (Rule("RETURN", in_dev="docker0"), "-i docker0 -j RETURN"),
        (Rule("MARK", set_mark=(0x4000, 0x0)), "-j MARK --set-xmark 0x4000/0x0"),
        (Rule("RETURN", mark=(0x4000, 0x4000), mark_negated=True), "-m mark ! --mark 0x4000/0x4000 -j RETURN"),
        (Rule("SNAT", to=(A("10.0.0.1"), None)), "-j SNAT --to-source 10.0.0.1"),
        (
            Rule("DNAT", proto="udp", to=(A("10.244.0.3"), 53), comment="kube-system/kube-dns:dns"),
            '-p udp -m comment --comment "kube-system/kube-dns:dns" -m udp -j DNAT --to-destination 10.244.0.3:53',
        ),
        (Rule("X", probability=0.33333), "-m statistic --mode random --probability 0.33332999982 -j X"),
        (
            Rule("KUBE-SERVICES", ctstate="NEW", comment="kubernetes service portals"),
            '-m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        ),
        (Rule("ACCEPT", comment="plain"), "-m comment --comment plain -j ACCEPT"),
        (Rule("ACCEPT", comment='a "b" \\'), r'-m comment --comment "a \"b\" \\" -j ACCEPT'),
        (Rule("ACCEPT", comment="two\nlines"), '-m comment --comment "two lines" -j ACCEPT'),
    ],
)
def test_a_rule_is_written_like_the_tool_writes_it(rule, line):
    assert text.rule_text(rule) == line


def test_old_rules_in_postrouting_are_what_a_node_printed():
    net, own = N("10.244.0.0/16"), N("10.244.1.0/24")
    inside, outside = Match(net), Match(net, negated=True)
    rules = (
        Rule("KUBE-POSTROUTING", comment="kubernetes postrouting rules"),
        Rule("MASQUERADE", Match(N("172.17.0.0/16")), out_dev="! docker0"),
        Rule("RETURN", inside, inside),
        Rule("MASQUERADE", inside, Match(N("224.0.0.0/4"), negated=True)),
        Rule("RETURN", outside, Match(own)),
        Rule("MASQUERADE", outside, inside),
    )
    ours = text.iptables_s(Tables(chains=(Chain("nat", "POSTROUTING", "ACCEPT", rules),))).splitlines()
    real = recorded("old-iptables-t-nat-S.txt")
    assert ours[:4] == real[:4]
    assert ours[4:] == [line for line in real if line.startswith("-A POSTROUTING")]


def kubeasz_routes(*remote: Route) -> Tables:
    own = N("172.20.2.0/24")
    routes = (
        Route(own, "cni0", src=A("172.20.2.1"), proto="kernel", scope="link"),
        Route(N("192.168.1.0/24"), "eth0", src=A("192.168.1.102"), proto="kernel", scope="link"),
        *remote,
        Route(N("172.17.0.0/16"), "docker0", src=A("172.17.0.1"), proto="kernel", scope="link"),
        Route(N("0.0.0.0/0"), "eth0", via=A("192.168.1.1"), proto="static"),
    )
    return with_devices(*routes)


def with_devices(*routes: Route, down: str = "") -> Tables:
    """These routes, and the devices by which they leave; docker0 is a bridge without ports."""
    devices = dict.fromkeys(route.dev for route in routes)
    links = (Link(dev, "bridge" if dev == "docker0" else "device", up=dev != down) for dev in devices)
    return Tables(fixed_links=tuple(links), routes=routes)


@pytest.mark.parametrize(
    ("file", "remote"),
    [
        (
            "kubeasz-ip-route-vxlan.txt",
            [Route(N(f"172.20.{i}.0/24"), "flannel.1", via=A(f"172.20.{i}.0"), onlink=True) for i in (1, 0)],
        ),
        (
            "kubeasz-ip-route-host-gw.txt",
            [
                Route(N("172.20.1.0/24"), "eth0", via=A("192.168.1.103")),
                Route(N("172.20.0.0/24"), "eth0", via=A("192.168.1.101")),
            ],
        ),
    ],
)
def test_ip_route_is_what_a_node_printed_in_its_order(file, remote):
    assert text.ip_route(kubeasz_routes(*remote)).splitlines() == recorded(file)


def test_ip_route_of_one_node_before_and_after_the_others_joined():
    own = Route(NODE_NET, "cni0", src=A("10.244.0.1"), proto="kernel", scope="link")
    remote = [Route(N(f"10.244.{i}.0/24"), "flannel.1", via=A(f"10.244.{i}.0"), onlink=True) for i in (3, 1)]
    assert text.ip_route(with_devices(own)).splitlines() == recorded("kubeadm-ip-route-pods.txt")
    assert text.ip_route(with_devices(*remote)).splitlines() == recorded("kubeadm-ip-route-flannel.txt")


def test_a_device_that_is_down_has_no_routes():
    own = Route(NODE_NET, "cni0", src=A("10.244.0.1"), proto="kernel", scope="link")
    default = Route(N("0.0.0.0/0"), "eth0", via=A("192.168.1.1"))
    other = Route(N("0.0.0.0/0"), "eth1", via=A("192.168.1.1"), table=1003)
    everything = (own, default, other)
    assert text.ip_route(with_devices(*everything, down="cni0")) == "default via 192.168.1.1 dev eth0"
    assert text.ip_route(with_devices(*everything, down="eth1"), 1003) == ""
    assert text.route_lines(everything, 1003) == ["default via 192.168.1.1 dev eth1"]
    network = Network(written={"n": with_devices(*everything, down="eth1")})
    assert "ip route show table 1003" not in dict(text.table_texts(network, "n"))


def test_host_route_and_metric_are_written_as_iproute2_does():
    route = Route(N("10.0.0.5/32"), "eth0", via=A("10.0.0.1"), src=A("10.0.0.2"), proto="dhcp", metric=100)
    assert text.route_text(route) == "10.0.0.5 via 10.0.0.1 dev eth0 proto dhcp src 10.0.0.2 metric 100"


def test_neighbours_and_fdb_are_what_nodes_printed():
    macs = {"172.20.0.0": "fa:40:5f:2d:8e:40", "172.20.1.0": "5e:b1:10:42:f7:bd"}
    neighbours = tuple(Neighbor(A(dst), mac, "flannel.1", "PERMANENT") for dst, mac in macs.items())
    assert text.ip_neigh(Tables(neighbors=neighbours)).splitlines() == recorded("kubeasz-ip-neigh.txt")
    vteps = {"f2:d0:fb:4a:83:2e": "172.17.176.33", "c6:bc:5d:17:f8:2f": "172.17.176.31"}
    fdb = tuple(FdbEntry(mac, "flannel.1", dst=A(dst), state="permanent") for mac, dst in vteps.items())
    assert text.bridge_fdb(Tables(fdb=fdb), "flannel.1").splitlines() == recorded("ecs-bridge-fdb.txt")
    assert text.bridge_fdb(Tables(fdb=fdb[:1])) == f"{fdb[0].lladdr} dev flannel.1 dst 172.17.176.33 self permanent"
    assert text.row_text(FdbEntry("aa:bb", "veth1", "cni0")) == "aa:bb dev veth1 master cni0"


def kubeadm_links() -> Tables:
    veths = ("veth38a26eb8", "vethed04cad6")
    return Tables(
        fixed_links=(
            Link("lo", "loopback"),
            Link("eth0", "device", mtu=9001),
            Link("flannel.1", "vxlan", mtu=8951),
            Link("cni0", "bridge", mtu=8951),
            *(Link(name, "veth", mtu=8951, master="cni0", peer=(f"default/{name}", "eth0")) for name in veths),
        ),
        addresses=(
            Address(I("127.0.0.1/8"), "lo"),
            Address(I("172.31.7.91/20"), "eth0"),
            Address(I("10.244.0.1/24"), "cni0"),
        ),
    )


def test_bridge_link_is_what_a_node_printed():
    assert text.bridge_link(kubeadm_links()).splitlines() == recorded("kubeadm-bridge-link.txt")


def test_brief_addresses_name_the_far_end_by_its_index():
    pod = Tables(fixed_links=(Link("lo", "loopback"), Link("eth0", "veth", peer=("n", "veth38a26eb8"))))
    network = Network(written={"n": kubeadm_links(), "default/veth38a26eb8": pod, "default/vethed04cad6": pod})
    lines = text.ip_addr(network, "n").splitlines()
    assert lines[0] == "lo               UNKNOWN        127.0.0.1/8"
    assert lines[3] == "cni0             UP             10.244.0.1/24"
    assert lines[4] == "veth38a26eb8@if2 UP"
    assert text.ip_addr(network, "default/veth38a26eb8").splitlines()[1] == "eth0@if5         UP"


def test_route_entries_have_the_shape_of_the_vendors_sample():
    sample = json.loads((REAL / "describe-route-entry-list.json").read_text())["RouteEntrys"]["RouteEntry"][0]
    hop = sample["NextHops"]["NextHop"][0]
    entry = RouteEntry(N(sample["DestinationCidrBlock"]), hop["NextHopType"], hop["NextHopId"])
    vpc = VpcTables((RouteTable(sample["RouteTableId"], entries=(entry,)),))
    ours = json.loads(text.describe_route_entry_list(vpc))["RouteEntrys"]["RouteEntry"][0]
    assert {key: sample[key] for key in ours if key != "NextHops"} == {k: v for k, v in ours.items() if k != "NextHops"}
    assert ours["NextHops"]["NextHop"][0].items() <= hop.items()


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (Link("cni0", "bridge", "0a:58:ac:10:08:01"), "cni0: bridge mtu 1500 UP 0a:58:ac:10:08:01"),
        (PolicyRule(2048, 1003, src=N("10.0.0.5/32"), in_dev="cali1"), "2048: from 10.0.0.5 iif cali1 lookup 1003"),
        (PolicyRule(512, 254, dst=N("10.0.0.5/32")), "512: from all to 10.0.0.5 lookup main"),
        (
            Route(N("0.0.0.0/0"), "eth1", via=A("10.0.0.1"), onlink=True, table=1003),
            "default via 10.0.0.1 dev eth1 table 1003 onlink",
        ),
        (FdbEntry("0a:58:ac:10:00:83", "veth1", "cni0"), "0a:58:ac:10:00:83 dev veth1 master cni0"),
        (Address(I("172.16.8.1/25"), "cni0"), "inet 172.16.8.1/25 cni0"),
        (Sysctl("net.ipv4.ip_forward", 1), "net.ipv4.ip_forward = 1"),
        (File("/run/flannel/subnet.env", "x"), "/run/flannel/subnet.env"),
        (Chain("nat", "POSTROUTING", "ACCEPT"), "nat POSTROUTING ACCEPT, 0 rules"),
        (RouteEntry(N("172.16.8.0/25"), "Instance", "i-b"), "172.16.8.0/25 Instance i-b (Custom)"),
        (
            RouteEntry(N("172.16.8.0/25"), "Instance", "i-b", status="Pending"),
            "172.16.8.0/25 Instance i-b (Custom) Pending",
        ),
        (Eni(A("10.0.0.1"), "i-b", "b", "aa", "vsw", eip=A("1.2.3.4")), "10.0.0.1 i-b aa vsw sg-cluster EIP 1.2.3.4"),
        (SecurityRule(N("172.16.0.0/16")), "ingress Accept all from 172.16.0.0/16"),
        (SnatEntry(N("192.168.0.0/24"), A("47.96.0.1")), "SNAT 192.168.0.0/24 to 47.96.0.1"),
        (None, ""),
    ],
)
def test_every_kind_of_row_has_words(row, line):
    assert text.row_text(row) == line


def test_unknown_tables_say_so_and_nothing_else():
    tables = Tables(unknown=frozenset({"routes", "chains", "neighbors", "fdb", "fixed_links"}))
    assert text.ip_route(tables) == "# unknown: the input does not hold the routes"
    assert text.bridge_link(tables) == "# unknown: the input does not hold the devices"
    assert "unknown" in text.iptables_save(tables) and "ACCEPT" not in text.iptables_save(tables)
    assert "unknown" in text.iptables_s(tables)
    assert "unknown" in text.describe_route_entry_list(VpcTables(unknown=frozenset({"route_tables"})))


def test_kubectl_shows_what_is_missing_as_none():
    pods = {"x/p": Pod("x", "p", None, phase="Pending")}
    network = Network(ClusterPlan(), nodes={"n": Node("n", ready="Unknown")}, pods=pods)
    assert cells(text.kubectl_nodes(network)) == ["n", "NotReady", "<none>", "<none>"]
    assert cells(text.kubectl_pods(network)) == ["x", "p", "Pending", "<none>", "<none>"]


def test_what_a_dump_does_not_say_is_unknown_to_kubectl_too():
    late = (Condition("Ready", "Unknown", "NodeStatusUnknown"),)
    nodes = {"n": Node("n", ready="Unknown"), "late": Node("late", ready="Unknown", conditions=late)}
    network = Network(nodes=nodes, pods={"x/p": Pod("x", "p", "n")})
    assert cells(text.kubectl_nodes(network)) == ["n", "Unknown", "? unknown", "? unknown"]
    assert cells(text.kubectl_nodes(network), 2)[:2] == ["late", "NotReady"]
    assert cells(text.kubectl_pods(network)) == ["x", "p", "Running", "? unknown", "n"]


def cells(printed: str, row: int = 1) -> list[str]:
    return re.split(r" {2,}", printed.splitlines()[row])


def test_a_journey_is_one_line_a_hop(trace: Trace):
    assert text.trace_text(trace).splitlines() == [
        "a1      forwarded  172.16.0.0/16 via 172.16.0.129 dev eth0",
        "node-a  forwarded  0.0.0.0/0 via 192.168.0.253 dev eth0",
        "VPC     forwarded  172.16.8.0/25 Instance i-node-b (node-b)",
        "node-b  forwarded  172.16.8.0/25 dev cni0",
        "b1      accepted",
        "back",
        "b1      forwarded  172.16.0.0/16 via 172.16.8.1 dev eth0",
        "node-b  forwarded  0.0.0.0/0 via 192.168.0.253 dev eth0",
        "VPC     forwarded  172.16.0.128/25 Instance i-node-a (node-a)",
        "node-a  forwarded  172.16.0.128/25 dev cni0",
        "a1      accepted",
    ]


def test_a_lost_packet_says_why(lost: Trace):
    assert text.trace_text(lost).splitlines()[-1] == "VPC     no route   VPC decides"


def test_hops_are_sentences(trace: Trace, lost: Trace):
    assert text.hop_says(trace, 2) == "hop 2 of 10: node-a routes to 192.168.0.253 by default route"
    assert text.hop_says(trace, 3) == "hop 3 of 10: the VPC routes to node-b by 172.16.8.0/25"
    assert text.hop_says(trace, 4) == "hop 4 of 10: node-b delivers on cni0 by 172.16.8.0/25"
    assert text.hop_says(trace, 5) == "hop 5 of 10: b1 accepts the packet"
    assert text.hop_says(trace, 8).startswith("hop 8 of 10, on the way back: the VPC routes to node-a")
    assert text.hop_says(lost, 3) == "hop 3 of 3: the VPC loses the packet, no route (VPC decides)"


def test_an_unknown_end_is_told_as_unknown(untold: Trace):
    assert text.hop_says(untold, 2) == (
        "hop 2 of 2: nobody can say how the packet goes on from node-a: the input does not hold its routes"
    )


def test_tables_of_a_place_come_with_their_commands(network: Network, event: Event):
    assert next(command for command, _ in text.table_texts(network, "node-a")) == "ip route"
    assert dict(text.table_texts(network, "default/a1"))["ip -br addr"].endswith("172.16.0.130/25")
    ((command, printed),) = text.table_texts(network, "VPC")
    assert command == "aliyun vpc DescribeRouteEntryList --RouteTableId vtb-1"
    assert "172.16.8.0/25" in printed


def test_every_route_table_of_the_vpc_is_told():
    timeline = build(replace(article_plan(), route_tables=3, ccm_route_table_ids=("vtb-system", "vtb-custom-2")))
    told = dict(text.table_texts(timeline.network, "VPC"))
    tables = [command.rpartition(" ")[2] for command in told if "172.16.8.0/25" in told[command]]
    assert tables == ["vtb-system", "vtb-custom-2"] and len(told) == 3
    assert text.describe_route_entry_list(timeline.network.vpc, 2) == list(told.values())[2]
    for wrong in (3, -1):
        with pytest.raises(UnknownPlaceError, match=f"no route table number {wrong}; take one from 0 to 2"):
            text.describe_route_entry_list(timeline.network.vpc, wrong)


def test_a_vpc_that_does_not_exist_yet_has_no_route_table():
    planned = build(article_plan()).at(0)
    assert text.describe_route_entry_list(planned.vpc) == "# none: the VPC has no route table"
    assert dict(text.table_texts(planned, "VPC")) == {
        "aliyun vpc DescribeRouteEntryList": "# none: the VPC has no route table"
    }
    untold = replace(planned, vpc=VpcTables(unknown=frozenset({"route_tables"})))
    assert [told for _, told in text.table_texts(untold, "VPC")] == [
        "# unknown: the input does not hold the VPC route table"
    ]


def test_a_port_passes_nothing_while_its_bridge_is_down():
    tables = kubeadm_links()
    down = tables.adding(replace(tables.links[3], up=False))
    assert [link.name for link in down.links] == [link.name for link in tables.links]
    assert all(
        "UP,LOWER_UP> mtu 8951 master cni0 state disabled" in line for line in text.bridge_link(down).splitlines()
    )


def test_the_state_of_a_device_comes_from_what_is_behind_it():
    far = ("default/veth38a26eb8", "default/vethed04cad6")
    up, down = (Tables(fixed_links=(Link("eth0", "veth", up=up, peer=("n", "x")),)) for up in (True, False))
    route = Route(NODE_NET, "cni0", proto="kernel", scope="link")
    node = replace(kubeadm_links(), routes=(route,))
    one, none = (Network(written={"n": node, far[0]: down, far[1]: second}) for second in (up, down))
    assert [line.split()[1] for line in text.ip_addr(one, "n").splitlines()[3:]] == ["UP", "DOWN", "UP"]
    assert [line.split()[1] for line in text.ip_addr(none, "n").splitlines()[3:]] == ["DOWN", "DOWN", "DOWN"]
    assert "<NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 8951 master cni0 state disabled" in text.bridge_link(node, none)
    assert text.ip_route(node, network=one) == "10.244.0.0/24 dev cni0 proto kernel scope link"
    assert text.ip_route(node, network=none) == "10.244.0.0/24 dev cni0 proto kernel scope link linkdown"


def test_a_veth_of_the_lan_is_a_port_of_the_bridge():
    cidr = N("10.0.0.0/24")
    lan = Lan("n", cidr, {"mtu": 1450}, HostLocal(cidr), lambda _lan, _port: Tables(), (Port("default/a", up=False),))
    assert text.bridge_link(Tables(lan=lan)).endswith("mtu 1450 master cni0 state disabled priority 32 cost 2")
