"""The console refuses what cannot work, then makes the VPC and its ECS instances."""

import re
from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Network
from itertools import islice

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flannelviz.controlplane import console
from flannelviz.controlplane.address_plan import NAT_EIP
from flannelviz.controlplane.ranges import free_network, inside
from flannelviz.errors import AddressPlanError
from flannelviz.model import ClusterPlan, NodePlan, ServicePlan, VSwitch, parse_network
from flannelviz.tables import Origin, RouteEntry


def net(text):
    return IPv4Network(text)


def vsw(name, cidr):
    return VSwitch(name, net(cidr))


def nodes(count, pods=()):
    return tuple(NodePlan(f"node-{number}", tuple(f"{pod}-{number}" for pod in pods)) for number in range(count))


PLAN = ClusterPlan(nodes=(NodePlan("node-a", ("a1", "a2")), NodePlan("node-b", ("b1",))))
VPC = console.create_vpc(PLAN)
EIP = IPv4Address("47.1.1.1")
VSW_A = PLAN.vswitches[0]


# --- How much fits


@pytest.mark.parametrize(
    ("pods", "mask", "usable"),
    [
        pytest.param(64, 26, 61, id="fact-12: 64"),
        pytest.param(128, 25, 125, id="fact-12: 128"),
        pytest.param(256, 24, 253, id="fact-12: 256"),
        (32, 27, 29),
        (16, 28, 13),
    ],
)
def test_pods_per_node_give_the_mask(pods, mask, usable):
    assert console.pods_per_node_to_mask(pods) == mask
    assert console.usable_pod_ips(mask) == usable


@pytest.mark.parametrize("pods", [0, 8, 100, 110, 512, -16])
def test_other_pods_per_node_are_refused(pods):
    with pytest.raises(AddressPlanError, match=rf"^{pods} addresses .* take 16, 32, 64, 128 or 256$"):
        console.pods_per_node_to_mask(pods)


@pytest.mark.parametrize(("mask", "usable"), [(30, 1), (31, 0), (32, 0)])
def test_tiny_blocks_hold_next_to_nothing(mask, usable):
    assert console.usable_pod_ips(mask) == usable


@pytest.mark.parametrize(
    ("quota", "nat", "most"),
    [
        pytest.param(5000, False, 1024, id="fact-13: blocks"),
        pytest.param(48, False, 48, id="fact-13: quota until 2021"),
        pytest.param(200, False, 200, id="fact-13: quota now"),
        pytest.param(200, True, 199, id="the NAT gateway's default route takes an entry"),
        pytest.param(0, True, 0, id="no quota at all"),
    ],
)
def test_max_nodes(quota, nat, most):
    assert console.max_nodes(ClusterPlan(node_mask=26, route_quota=quota, nat_gateway=nat)) == most


# --- Plans that pass, and plans that do not


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(ClusterPlan(), id="fact-15: VPC 192.168.0.0/16"),
        pytest.param(PLAN, id="the running example"),
        pytest.param(ClusterPlan(service_cidr=None), id="no service CIDR"),
        pytest.param(ClusterPlan(cluster_cidr=net("10.0.0.0/8"), node_mask=24), id="the largest pod CIDR"),
        pytest.param(ClusterPlan(cluster_cidr=net("172.16.0.0/28"), node_mask=28), id="a single block"),
        pytest.param(ClusterPlan(vpc_cidr=net("192.168.0.0/28"), vswitches=(vsw("v", "192.168.0.0/29"),)), id="tiny"),
        pytest.param(
            ClusterPlan(
                vpc_cidr=net("10.0.0.0/8"),
                vswitches=(vsw("v", "10.255.0.0/16"),),
                cluster_cidr=net("172.20.0.0/16"),
                service_cidr=net("172.21.0.0/24"),
            ),
            id="a whole block of RFC 1918",
        ),
        pytest.param(ClusterPlan(nodes=nodes(199)), id="as many nodes as the quota allows"),
        pytest.param(ClusterPlan(nodes=(NodePlan("n1.zone-a.example"), NodePlan("0"))), id="subdomain names"),
    ],
)
def test_good_plans_pass_without_a_word(plan):
    assert console.check_plan(plan) == ()


REFUSED = [
    # the rule, what differs from the defaults, the field at fault, what the message says
    ("fact-15: pod CIDR in VPC",
     {"vpc_cidr": net("172.16.0.0/12"), "vswitches": (vsw("v", "172.17.0.0/24"),), "service_cidr": None},
     "cluster_cidr", r"pod CIDR 172\.16\.0\.0/16: .* the VPC's 172\.16\.0\.0/12"),
    ("vpc: public", {"vpc_cidr": net("8.8.0.0/16")}, "vpc_cidr", r"VPC 8\.8\.0\.0/16: a VPC takes .*172\.16\.0\.0/12"),
    ("vpc: cloud services", {"vpc_cidr": net("100.64.0.0/16")}, "vpc_cidr", r"VPC 100\.64\.0\.0/16"),
    ("vpc: multicast", {"vpc_cidr": net("224.0.0.0/16")}, "vpc_cidr", r"VPC 224\.0\.0\.0/16"),
    ("vpc: loopback", {"vpc_cidr": net("127.0.0.0/16")}, "vpc_cidr", r"VPC 127\.0\.0\.0/16"),
    ("vpc: link-local", {"vpc_cidr": net("169.254.0.0/16")}, "vpc_cidr", r"VPC 169\.254\.0\.0/16"),
    ("vpc: mask too long", {"vpc_cidr": net("192.168.0.0/29")}, "vpc_cidr", r"VPC 192\.168\.0\.0/29: its mask"),
    ("vpc: mask too short", {"vpc_cidr": net("10.0.0.0/9")}, "vpc_cidr", r"/16 to /28"),
    ("vswitch: none", {"vswitches": ()}, "vswitches", "no vSwitch"),
    ("vswitch: outside", {"vswitches": (vsw("v", "10.0.0.0/24"),)}, "vswitches", r"v 10\.0\.0\.0/24: .*192\.168"),
    ("vswitch: too small", {"vswitches": (vsw("v", "192.168.0.0/30"),)}, "vswitches", r"/16 to /29"),
    ("pod: public", {"cluster_cidr": net("11.0.0.0/16")}, "cluster_cidr", r"pod CIDR 11\.0\.0\.0/16: pod addr"),
    ("pod: cloud", {"cluster_cidr": net("100.64.0.0/16")}, "cluster_cidr", r"pod CIDR 100\.64\.0\.0/16"),
    ("pod: half public", {"cluster_cidr": net("172.0.0.0/8")}, "cluster_cidr", r"172\.0\.0\.0/8: .*take 10\.0\.0\.0/8"),
    ("pod: service", {"cluster_cidr": net("172.16.0.0/14")}, "cluster_cidr", r"the service CIDR 172\.19"),
    ("service: public", {"service_cidr": net("8.0.0.0/20")}, "service_cidr", r"service CIDR 8\.0\.0\.0/20"),
    ("service: too long", {"service_cidr": net("172.19.0.0/25")}, "service_cidr", r"a mask /16 to /24"),
    ("service: too short", {"service_cidr": net("172.18.0.0/15")}, "service_cidr", r"a mask /16 to /24"),
    ("service: in VPC", {"service_cidr": net("192.168.0.0/20")}, "service_cidr", r"the VPC's 192\.168"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "field", "says"), [pytest.param(c, f, s, id=r) for r, c, f, s in REFUSED])
def test_broken_rules_are_named_with_a_way_out(change, field, says):
    plan = replace(ClusterPlan(), **change)
    with pytest.raises(AddressPlanError, match=says) as refused:
        console.check_plan(plan)
    offered = net(re.search(r"take (\d\S+/\d+)", str(refused.value)).group(1))
    fixed = (VSwitch("v", offered),) if field == "vswitches" else offered
    assert console.check_plan(replace(plan, **{field: fixed})) == ()
    with pytest.raises(AddressPlanError, match=says):
        console.check_plan(plan, strict=False)


@pytest.mark.parametrize(
    ("vswitch", "offered"),
    [
        pytest.param("10.1.2.0/24", "10.1.0.0/16", id="the one around its vSwitch"),
        pytest.param("172.16.5.0/24", "192.168.0.0/16", id="not where the pods are"),
        pytest.param("172.19.5.0/24", "192.168.0.0/16", id="not where the Services are"),
        pytest.param("8.8.8.0/24", "192.168.0.0/16", id="not a public one"),
    ],
)
def test_a_vpc_is_offered_that_holds_the_vswitches(vswitch, offered):
    plan = ClusterPlan(vpc_cidr=net("9.9.0.0/16"), vswitches=(vsw("v", vswitch),))
    with pytest.raises(AddressPlanError, match=rf"take {re.escape(offered)}$"):
        console.check_plan(plan)


def test_overlapping_vswitches():
    plan = ClusterPlan(vswitches=(VSW_A, vsw("vsw-b", "192.168.0.128/25")))
    with pytest.raises(
        AddressPlanError, match=r"vsw-b 192\.168\.0\.128/25: .*vsw-a, 192\.168\.0\.0/24; take 192\.168\.1\.0/25"
    ):
        console.check_plan(plan)


def test_full_vpc_has_nothing_to_offer():
    plan = ClusterPlan(vpc_cidr=net("192.168.0.0/24"), vswitches=(VSW_A, vsw("vsw-b", "192.168.0.0/24")))
    with pytest.raises(AddressPlanError, match="make room first"):
        console.check_plan(plan)


@pytest.mark.parametrize(
    ("cluster", "mask", "says"),
    [
        pytest.param("172.16.0.0/26", 25, r"/25: .*172\.16\.0\.0/26; take /26, /27 or /28", id="fact-09: too short"),
        ("172.16.0.0/16", 23, r"/23: it is /24 to /28.*take /24, /25, /26, /27 or /28"),
        ("172.16.0.0/16", 29, r"/29: it is /24 to /28"),
        ("172.16.0.0/30", 28, r"no node mask fits 172\.16\.0\.0/30; take 172\.16\.0\.0/24 for the pods"),
    ],
)
def test_node_mask(cluster, mask, says):
    with pytest.raises(AddressPlanError, match=says):
        console.check_plan(ClusterPlan(cluster_cidr=net(cluster), node_mask=mask))


NO_EIPS = [
    ("nodes", "192.168.0.11", "192.168.0.0/16"),
    ("nodes", "172.16.0.130", "172.16.0.0/12"),
    ("nodes", "10.1.1.1", "10.0.0.0/8"),
    ("nodes", "100.64.0.1", "100.64.0.0/10"),
    ("nodes", "169.254.1.1", "169.254.0.0/16"),
    ("nodes", "127.0.0.1", "127.0.0.0/8"),
    ("nodes", "0.0.0.0", "0.0.0.0/8"),
    ("nodes", "224.0.0.1", "224.0.0.0/4"),
    ("nodes", "255.255.255.255", "240.0.0.0/4"),
    ("other_ecs", "192.168.0.11", "192.168.0.0/16"),
]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"cluster_cidr": "172.16.0.0/16"}, r"pod CIDR '172\.16\.0\.0/16' is text; write parse_network"),
        ({"cluster_cidr": IPv6Network("fd00::/56")}, r"pod CIDR fd00::/56 is no IPv4 network"),
        ({"vswitches": (VSwitch("v", "192.168.0.0/24"),)}, r"vSwitch v '192\.168\.0\.0/24' is text"),
        ({"nodes": (NodePlan(None),)}, r"^node name None is no text; write one such as 'node-a'$"),
        ({"nodes": ("node-a",)}, r"nodes holds 'node-a', which is no NodePlan; write NodePlan\('node-a'\)"),
        ({"nodes": [NodePlan("x")]}, r"nodes \[.*\] is no tuple; write \(NodePlan\('node-a'\),\)"),
        ({"nodes": None}, r"nodes None is no tuple"),
        ({"nodes": (NodePlan("x", "abc"),)}, r"pods of x: 'abc' is one text, not a tuple of names; write \('abc',\)"),
        ({"nodes": (NodePlan("x", ["a1"]),)}, r"pods of x: \['a1'\] is no tuple of names"),
        ({"nodes": (NodePlan("x", (1,)),)}, r"pods of x: \(1,\) is no tuple of names; write one such as"),
        ({"nodes": (NodePlan("x", host_pods="kube-proxy"),)}, r"host_pods of x: 'kube-proxy' is one text"),
        (
            {"nodes": (NodePlan("x", address="192.168.0.9"),)},
            r"address of x: '192.* is text; write parse_address\('192",
        ),
        ({"nodes": (NodePlan("x", eip="198.51.100.7"),)}, r"eip of x: '198.* is text; write parse_address\('198"),
        ({"other_ecs": (NodePlan("x", eip=7),)}, r"eip of x: 7 is no IPv4 address; write parse_address\("),
        ({"node_mask": "25"}, r"node_mask '25' is no whole number; write one such as 25"),
        ({"vswitches": (VSW_A, VSW_A)}, r"two vSwitches are called 'vsw-a'"),
        ({"route_tables": 0}, r"0 route tables: .*take 1 to 10"),
        ({"route_tables": 11}, r"11 route tables"),
        ({"route_quota": -1}, r"quota of -1"),
        ({"ccm_route_table_ids": ("vtb-x",)}, r"names 'vtb-x'; the VPC has vtb-system"),
        ({"ccm_route_table_ids": None}, r"^ccm_route_table_ids: None is no tuple of names; .* \('vtb-system',\)$"),
        ({"ccm_route_table_ids": "vtb-system"}, r"'vtb-system' is one text, not a tuple of names"),
        ({"mtu": 60}, r"MTU of 60 bytes: IPv4 needs 68"),
        ({"mtu": 117, "backend": "vxlan"}, r"MTU of 117 bytes: .* 68 .*, the tunnel 50 more, .*; take 118 to 8500$"),
        ({"mtu": 8501}, r"MTU of 8501 bytes: .* no ECS sends more than 8500; take 68 to 8500$"),
        ({"nodes": (NodePlan("Node_A"),)}, r"node name 'Node_A': RFC 1123 .*take 'node-a'"),
        ({"nodes": (NodePlan("-"),)}, r"node name '-'.*take 'node-a'"),
        ({"nodes": (NodePlan(""),)}, r"node name ''"),
        ({"nodes": (NodePlan("a" * 64),)}, r"node name 'a{64}': .*take 'a{63}'$"),
        ({"nodes": (NodePlan("node-a\n"),)}, r"node name 'node-a\\n'"),
        ({"nodes": (NodePlan("x"), NodePlan("x"))}, r"two machines are called 'x'"),
        ({"nodes": (NodePlan("x"),), "other_ecs": (NodePlan("x"),)}, r"two machines are called 'x'"),
        ({"nodes": (NodePlan("x", ("A1",)),)}, r"pod name 'default/A1': .*take 'a1'"),
        ({"nodes": (NodePlan("x", ("a/b/c",)),)}, r"pod name 'a/b/c'"),
        ({"nodes": (NodePlan("x", ("a1",)), NodePlan("y", ("default/a1",)))}, r"two pods are called 'default/a1'"),
        ({"vswitches": ("vsw-a",)}, r"vswitches holds 'vsw-a', which is no VSwitch; write VSwitch\('vsw-a', parse"),
        ({"other_ecs": (NodePlan("db", ("x",)),)}, r"db is no node, and no pod runs there"),
        ({"other_ecs": (NodePlan("db", host_pods=("x",)),)}, r"db is no node, and no pod runs there"),
        ({"nodes": (NodePlan("x", eip=EIP), NodePlan("y", eip=EIP))}, r"two have the EIP 47\.1\.1\.1"),
        ({"nodes": (NodePlan("x", eip=NAT_EIP),)}, r"two have the EIP 198\.51\.100\.1, .* NAT gateway"),
        *(
            (
                {field: (NodePlan("x", eip=IPv4Address(eip)),)},
                rf"^EIP {eip} of x: it lies in {inside}, .*; take a public",
            )
            for field, eip, inside in NO_EIPS
        ),
        ({"nat_gateway": None}, r"nat_gateway None is unknown; take True or False"),
        ({"cni": "calico"}, r"cni 'calico' is unknown; take 'flannel' or 'terway'"),
        ({"rules": "x"}, r"rules 'x' is unknown; take 'v0\.10' or 'head'"),
        ({"cni": "terway", "fabric": "switch"}, r"^fabric 'switch' with cni 'terway': .*; take fabric 'routed'$"),
        ({"fabric": "z"}, r"fabric 'z' is unknown; take 'routed' or 'switch'"),
        ({"backend": "wireguard"}, r"backend 'wireguard' is unknown; take 'alloc', 'ali-vpc', 'host-gw' or 'vxlan'"),
    ],
)
def test_other_refusals(change, says):
    with pytest.raises(AddressPlanError, match=says):
        console.check_plan(replace(ClusterPlan(), **change))


@pytest.mark.parametrize(
    "change",
    [
        {"mtu": 68},
        {"mtu": 118, "backend": "vxlan"},
        {"mtu": 8500},
        {"route_tables": 10, "ccm_route_table_ids": ("vtb-system",)},
        {"cni": "terway"},
        {"fabric": "switch"},
        {"nodes": nodes(1, [f"p{i}" for i in range(125)])},  # as many pods as a /25 has addresses
        *({"nodes": (NodePlan("x", eip=IPv4Address(eip)),)} for eip in ("47.1.1.1", "198.51.100.7", "203.0.113.7")),
    ],
)
def test_limits_that_are_met(change):
    assert console.check_plan(replace(ClusterPlan(), **change)) == ()


@pytest.mark.parametrize("plan", [None, "x", PLAN.nodes])
def test_what_is_no_plan(plan):
    with pytest.raises(AddressPlanError, match=r" is no ClusterPlan; write plan\(3\), for instance$"):
        console.check_plan(plan)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(
            "172.16.8.1/25", r"172\.16\.8\.1/25 is an address inside 172\.16\.8\.0/25", id="fact-10: host bits"
        ),
        ("fd00::/56", "fd00::/56 is IPv6"),
        ("172.16.0.0/33", "'172.16.0.0/33' is no IPv4 network"),
    ],
)
def test_networks_are_parsed_at_the_edge(text, says):
    with pytest.raises(AddressPlanError, match=says):
        parse_network(text)


@pytest.mark.parametrize(
    ("machine", "says"),
    [
        pytest.param({"address": "192.168.0.0"}, r"192\.168\.0\.0 of x is reserved", id="fact-14: first"),
        pytest.param({"address": "192.168.0.253"}, r"reserved in vSwitch vsw-a", id="fact-14: gateway"),
        pytest.param({"address": "192.168.0.254"}, r"the last three", id="fact-14: last but one"),
        pytest.param(
            {"address": "192.168.0.255"}, r"take one from 192\.168\.0\.1 to 192\.168\.0\.252", id="fact-14: last"
        ),
        (
            {"address": "192.168.9.9"},
            r"192\.168\.9\.9 of x is outside vsw-a 192\.168\.0\.0/24 or vsw-b .*take one such",
        ),
        ({"address": "192.168.1.5", "vswitch": "vsw-a"}, r"192\.168\.1\.5 of x is outside vsw-a 192\.168\.0\.0/24;"),
        ({"address": "192.168.0.7"}, r"192\.168\.0\.7 of x is already that of node-a"),
        ({"vswitch": "vsw-x"}, r"x wants vSwitch 'vsw-x'; the plan has vsw-a, vsw-b"),
    ],
)
@pytest.mark.parametrize("field", ["nodes", "other_ecs"])
def test_addresses_that_no_ecs_gets(field, machine, says):
    wanted = NodePlan("x", address=IPv4Address(machine["address"]) if "address" in machine else None,
                      vswitch=machine.get("vswitch"))  # fmt: skip
    node_a = NodePlan("node-a", address=IPv4Address("192.168.0.7"))
    plan = ClusterPlan(vswitches=(VSW_A, vsw("vsw-b", "192.168.1.0/24")), nodes=(node_a,))
    with pytest.raises(AddressPlanError, match=says):
        console.check_plan(replace(plan, **{field: (*getattr(plan, field), wanted)}))


@pytest.mark.parametrize("strict", [True, False])
def test_full_vswitch_is_always_an_error(strict):
    plan = ClusterPlan(vswitches=(vsw("v", "192.168.0.0/29"),), nodes=nodes(5))
    with pytest.raises(AddressPlanError, match=r"node-4, one of 5 machines, in v 192\.168\.0\.0/29 with 4 .*/28"):
        console.check_plan(plan, strict)


@pytest.mark.parametrize(
    ("cidr", "says"),
    [
        ("10.0.0.0/25", r"podCIDR 10\.0\.0\.0/25 of x: .*172\.16\.0\.0/16; take 172\.16\.0\.0/25"),
        ("172.16.0.0/24", r"its mask must be the node mask /25"),
    ],
)
def test_preset_podcidr(cidr, says):
    with pytest.raises(AddressPlanError, match=says):
        console.check_plan(ClusterPlan(nodes=(NodePlan("x", pod_cidr=net(cidr)),)))


def test_a_preset_podcidr_is_offered_that_no_other_node_has():
    wrong, first = NodePlan("x", pod_cidr=net("10.0.0.0/25")), NodePlan("y", pod_cidr=BLOCK)
    with pytest.raises(AddressPlanError, match=r"take 172\.16\.0\.128/25$"):
        console.check_plan(ClusterPlan(nodes=(wrong, first, NodePlan("z"))))


BLOCK = net("172.16.0.0/25")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"nodes": nodes(3), "cluster_cidr": net("172.16.0.0/24")},
            r"3 nodes, but .* holds 2 blocks of /25; take a node mask of /26",
        ),
        (
            {"nodes": nodes(3), "cluster_cidr": net("172.16.0.0/28"), "node_mask": 28},
            r"holds 1 block of .*take 172\.16\.0\.0/26 for",
        ),
        ({"nodes": nodes(1), "route_quota": 0, "nat_gateway": False}, r"1 node, .*0 custom entries, .*plan 0 nodes"),
        (
            {"nodes": nodes(200)},
            r"200 nodes, .*200 custom entries, one of .*plan 199 nodes, or raise route_quota to 201",
        ),
        (
            {"nodes": nodes(49), "route_quota": 48, "nat_gateway": False},
            r"49 nodes, .*48 custom .*raise route_quota to 49",
        ),
        (
            {"nodes": nodes(2, [f"p{i}" for i in range(61)]), "cluster_cidr": net("172.16.0.0/25")},
            r"holds 1 block of /25; take a node mask of /26$",
        ),
        (
            {"nodes": nodes(2, [f"p{i}" for i in range(62)]), "cluster_cidr": net("172.16.0.0/25")},
            r"holds 1 block of /25; take 172\.16\.0\.0/24 for the pods$",
        ),
        (
            {"nodes": nodes(2), "cluster_cidr": net("172.16.0.0/27"), "node_mask": 27},
            r"holds 1 block of /27; take a node mask of /28$",
        ),
        (
            {"nodes": nodes(1, [f"p{i}" for i in range(61)]), "node_mask": 27},
            r"61 pods on node-0, but a /27 has 29 .*mask of /26$",
        ),
        ({"nodes": nodes(1, [f"p{i}" for i in range(126)])}, r"126 pods on node-0, but a /25 has 125 .*mask of /24"),
        (
            {"nodes": nodes(1, [f"p{i}" for i in range(254)]), "node_mask": 24},
            r"254 pods .*spread them over more nodes, 253",
        ),
        (
            {"nodes": (NodePlan("x", pod_cidr=BLOCK), NodePlan("y", pod_cidr=BLOCK))},
            r"of y is that of x, .*take 172\.16\.0\.128/25",
        ),
        (
            {"nodes": (NodePlan("x"), NodePlan("y", pod_cidr=BLOCK))},
            r"0\.0/25 of y is that of x, which registers before",
        ),
    ],
)
def test_running_out_is_refused_or_watched(change, says):
    plan = replace(ClusterPlan(), **change)
    with pytest.raises(AddressPlanError, match=says):
        console.check_plan(plan)
    (warning,) = console.check_plan(plan, strict=False)
    assert re.search(says, warning)


WEB = ServicePlan("web", IPv4Address("172.19.0.10"), 80, ())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": None}, r"Service name None is no text; write one such as 'web'"),
        ({"name": "Web_1"}, r"Service name 'Web_1': RFC 1123 .*take 'web-1'"),
        ({"cluster_ip": None}, r"Service web has no ClusterIP"),
        ({"cluster_ip": "172.19.0.10"}, r"ClusterIP of web: '172.* is text; write parse_address\('172"),
        ({"cluster_ip": IPv4Address("10.9.9.9")}, r"10\.9\.9\.9 .* take one from 172\.19\.0\.2 to 172\.19\.15\.254"),
        (
            {"cluster_ip": IPv4Address("172.16.0.2")},
            r"172\.16\.0\.2 is no address of the service CIDR 172\.19\.0\.0/20",
        ),
        ({"cluster_ip": IPv4Address("172.19.0.0")}, r"172\.19\.0\.0 is no address of the service CIDR"),
        ({"cluster_ip": IPv4Address("172.19.15.255")}, r"172\.19\.15\.255 is no address of the service CIDR"),
        (
            {"cluster_ip": IPv4Address("172.19.0.1")},
            r"^Service web: 172\.19\.0\.1 is that of default/kubernetes, the API server; take .* 172\.19\.0\.2 to",
        ),
        ({"port": "80"}, r"port of web '80' is no whole number; write one such as 80"),
        ({"port": 99999}, r"Service web: port 99999 is not from 1 to 65535"),
        ({"target_port": 0}, r"Service web: port 0 is not from 1 to 65535"),
        ({"proto": "sctp"}, r"proto of web 'sctp' is unknown; take 'tcp' or 'udp'"),
        ({"endpoints": "a1"}, r"endpoints of web: 'a1' is one text, not a tuple of names; write \('a1',\)"),
        ({"endpoints": ("A1",)}, r"endpoint of Service web 'A1': RFC 1123"),
    ],
)
def test_services_that_cannot_be(change, says):
    with pytest.raises(AddressPlanError, match=says):
        console.check_plan(ClusterPlan(services=(replace(WEB, **change),)))


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (WEB, r"two Services are called 'web'"),
        (replace(WEB, name="api"), r"Service api: 172\.19\.0\.10 is already that of web"),
        (replace(WEB, name="web:http"), r"two Services have 172\.19\.0\.10 port 80/tcp"),
    ],
)
def test_services_that_clash(other, says):
    with pytest.raises(AddressPlanError, match=says):
        console.check_plan(ClusterPlan(services=(WEB, other)))


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("web", "172.19.0.2"),
        ("web", "172.19.15.254"),
        ("kubernetes", "172.19.0.1"),
        ("default/kubernetes:https", "172.19.0.1"),
    ],
)
def test_the_first_clusterip_is_the_api_servers_and_the_others_are_free(name, address):
    service = replace(WEB, name=name, cluster_ip=IPv4Address(address))
    assert console.check_plan(ClusterPlan(services=(service,))) == ()


def test_one_service_may_have_many_ports():
    ports = (replace(WEB, name="web:http"), replace(WEB, name="web:https", port=443))
    assert console.check_plan(ClusterPlan(services=(*ports, replace(WEB, name="web:quic", proto="udp")))) == ()


def test_a_service_needs_a_service_cidr():
    with pytest.raises(AddressPlanError, match="Service web: the plan has no service CIDR; set service_cidr"):
        console.check_plan(ClusterPlan(services=(WEB,), service_cidr=None))


def test_an_endpoint_that_is_not_planned_is_told():
    plan = ClusterPlan(nodes=(NodePlan("x", ("a1",)),), services=(replace(WEB, endpoints=("default/a1", "b9")),))
    assert console.check_plan(plan) == (
        "Service web names b9, and no such pod is planned: no endpoint until there is one",
    )


@pytest.mark.parametrize(
    ("tables", "ids", "says"),
    [
        pytest.param(2, (), "2 route tables.* no pod entry will be made", id="fact-23: nobody told it which"),
        pytest.param(2, ("vtb-custom-1",), "leaves out vtb-system", id="the table that decides is left out"),
    ],
)
def test_route_tables_warn(tables, ids, says):
    (warning,) = console.check_plan(ClusterPlan(route_tables=tables, ccm_route_table_ids=ids))
    assert re.search(says, warning)
    assert console.check_plan(ClusterPlan(route_tables=tables, ccm_route_table_ids=("vtb-system",))) == ()


masks = st.integers(16, 30)
networks = st.builds(lambda number, mask: IPv4Network((number, mask), strict=False), st.integers(0, 2**32 - 1), masks)


@st.composite
def private(draw, shortest=8, longest=28):
    """Return a network in one of the blocks of RFC 1918."""
    block = net(draw(st.sampled_from(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"])))
    mask = draw(st.integers(max(shortest, block.prefixlen), longest))
    number = int(block.network_address) + draw(st.integers(0, block.num_addresses - 1))
    return IPv4Network((number, mask), strict=False)


@st.composite
def plans(draw):
    vpc = draw(private(15))
    vswitch = IPv4Network((vpc.network_address, min(vpc.prefixlen + draw(st.integers(0, 6)), 30)))
    service = draw(st.none() | private(16, 24))
    cluster = draw(private())
    mask = draw(st.integers(max(23, cluster.prefixlen), 28))
    return ClusterPlan(vpc, (VSwitch("v", vswitch),), cluster, mask, service, nodes(draw(st.integers(0, 3))))


def refusal_of(plan):
    try:
        console.check_plan(plan)
    except AddressPlanError as refused:
        return str(refused)
    return None


@given(plans())
def test_plan_is_refused_with_a_way_out_or_the_vpc_takes_it(plan):
    refusal = refusal_of(plan)
    if refusal is not None:
        assert re.search("take |make room first", refusal)
        return
    tables = console.attach_enis(console.create_nat_gateway(console.create_vpc(plan), plan), console.create_ecs(plan))
    assert len(tables.enis) == len(plan.nodes)
    for block in islice(plan.cluster_cidr.subnets(new_prefix=plan.node_mask), 3):
        assert console.route_entry_refusal(tables, RouteEntry(block, "Instance", "i-x")) is None


OFFERED = [
    # how a refusal begins, where its offer stands, the plan with the value that is offered
    (r"VPC ", r"take (\S+)", lambda plan, offer: replace(plan, vpc_cidr=net(offer))),
    (r"vSwitch ", r"take (\S+)", lambda plan, offer: replace(plan, vswitches=(vsw("v", offer),))),
    (r"pod CIDR ", r"take (\S+)", lambda plan, offer: replace(plan, cluster_cidr=net(offer))),
    (r"service CIDR ", r"take (\S+)", lambda plan, offer: replace(plan, service_cidr=net(offer))),
    (r"", r"take (?:a node mask of )?/(\d+)", lambda plan, offer: replace(plan, node_mask=int(offer))),
    (r"", r"take (\S+/\d+) for the pods", lambda plan, offer: replace(plan, cluster_cidr=net(offer))),
]


def follow(plan, refusal):
    for begins, offers, changed in OFFERED:
        found = re.search(offers, refusal)
        if re.match(begins, refusal) and found:
            return changed(plan, found.group(1))
    raise AssertionError(refusal)


@example(ClusterPlan(vpc_cidr=net("10.0.0.0/9"), vswitches=(vsw("v", "10.0.0.0/9"),)))
@given(plans())
def test_whoever_takes_what_is_offered_comes_to_a_plan_that_passes(plan):
    refused = []
    while (refusal := refusal_of(plan)) is not None and "make room first" not in refusal:
        assert refusal not in refused
        refused.append(refusal)
        plan = follow(plan, refusal)


@given(st.lists(networks, max_size=8), networks, masks)
def test_free_network_is_free_and_the_first(taken, pool, mask):
    mask = max(mask, pool.prefixlen)
    mask = min(mask, pool.prefixlen + 6)
    found = free_network((mask,), taken, (pool,))
    fitting = [n for n in pool.subnets(new_prefix=mask) if not any(n.overlaps(other) for other in taken)]
    assert found == (fitting[0] if fitting else None)


@given(networks, networks)
def test_inside_is_subnet_of(one, other):
    assert inside(one, other) == one.subnet_of(other)


# --- The VPC


@pytest.mark.parametrize(
    ("cidr", "reserved", "gateway"),
    [
        pytest.param("192.168.0.0/24", "192.168.0.0 192.168.0.253 192.168.0.254 192.168.0.255", "192.168.0.253",
                     id="fact-14: /24"),
        pytest.param("192.168.0.0/20", "192.168.0.0 192.168.15.253 192.168.15.254 192.168.15.255", "192.168.15.253",
                     id="fact-14: /20"),
    ],
)  # fmt: skip
def test_reserved_addresses(cidr, reserved, gateway):
    vswitch = vsw("v", cidr)
    assert [str(address) for address in vswitch.reserved] == reserved.split()
    assert str(vswitch.gateway) == gateway
    instances = console.create_ecs(ClusterPlan(vswitches=(vswitch,), nodes=nodes(252)))
    assert not {ecs.address for ecs in instances} & set(vswitch.reserved)


def test_new_vpc_has_no_default_route():
    """fact-18: the system table holds the vSwitch and 100.64.0.0/10."""
    rows = [(str(e.dst), e.next_hop_type, e.kind) for e in VPC.system_table.entries]
    assert rows == [("192.168.0.0/24", "local", "System"), ("100.64.0.0/10", "service", "System")]
    assert VPC.route_to(IPv4Address("8.8.8.8")) is None
    assert VPC.system_table.vswitches == ("vsw-a",)


def test_security_group_lets_pods_in():
    (group,) = VPC.security_groups
    assert group.id == "sg-cluster"
    assert [(rule.source, rule.policy) for rule in group.inbound] == [(net("172.16.0.0/16"), "Accept")]


def test_further_route_tables_are_nobodys():
    vpc = console.create_vpc(ClusterPlan(route_tables=3, route_quota=48, vpc_decrements_ttl=True))
    assert [(t.id, t.kind, t.vswitches, t.quota) for t in vpc.route_tables] == [
        ("vtb-system", "System", ("vsw-a",), 48),
        ("vtb-custom-1", "Custom", (), 48),
        ("vtb-custom-2", "Custom", (), 48),
    ]
    assert vpc.decrements_ttl


def custom(dst):
    return RouteEntry(net(dst), "Instance", "i-x")


@pytest.mark.parametrize(
    ("dst", "code"),
    [
        pytest.param("192.168.0.0/25", "InvalidCidrBlock", id="fact-16: inside the vSwitch"),
        pytest.param("192.168.0.0/24", "InvalidCidrBlock", id="fact-16: the vSwitch itself"),
        pytest.param("192.168.0.0/16", None, id="fact-16: around the vSwitch"),
        pytest.param("100.64.1.0/24", "InvalidCidrBlock", id="fact-16: inside 100.64.0.0/10"),
        pytest.param("100.64.0.0/10", "InvalidCidrBlock", id="100.64.0.0/10 itself"),
        pytest.param("100.0.0.0/8", None, id="around 100.64.0.0/10"),
        pytest.param("172.16.0.0/25", None, id="a podCIDR"),
        pytest.param("172.16.9.0/25", "InvalidCIDRBlock.Duplicate", id="fact-17: same destination"),
    ],
)
def test_limits_of_custom_entries(dst, code):
    vpc = VPC.adding(custom("172.16.9.0/25"))
    refusal = console.route_entry_refusal(vpc, custom(dst))
    assert (refusal and refusal.split(":")[0]) == code
    assert code is None or dst in refusal


def test_full_table_refuses():
    vpc = console.create_vpc(ClusterPlan(route_quota=1)).adding(custom("172.16.9.0/25"))
    refusal = console.route_entry_refusal(vpc, custom("172.16.0.0/25"))
    assert refusal.startswith("QuotaExceeded: Route entry quota exceeded in this route table (1 of 1 custom entries")


def test_unknown_route_table():
    with pytest.raises(KeyError, match="no route table vtb-x; it has vtb-system"):
        console.route_entry_refusal(VPC, custom("172.16.0.0/25"), "vtb-x")


def test_nat_gateway_brings_the_default_route():
    vpc = console.create_nat_gateway(VPC, PLAN)
    entry = vpc.route_to(IPv4Address("8.8.8.8"))
    assert (entry.dst, entry.next_hop_type, entry.kind) == (net("0.0.0.0/0"), "NatGateway", "Custom")
    assert [(snat.source, str(snat.eip)) for snat in vpc.snat] == [(VSW_A.cidr, "198.51.100.1")]
    assert vpc.system_table.custom_entries == 1
    assert VPC.snat == ()


def test_only_vswitches_with_nodes_are_translated():
    two = (VSW_A, vsw("vsw-b", "192.168.1.0/24"))
    plan = ClusterPlan(vswitches=two, nodes=(NodePlan("n", vswitch="vsw-b"),), other_ecs=(NodePlan("db"),))
    assert [s.source for s in console.create_nat_gateway(VPC, plan).snat] == [two[1].cidr]
    assert len(console.create_nat_gateway(VPC, ClusterPlan(vswitches=two)).snat) == 2


def test_every_row_knows_its_author():
    rows = [*console.attach_enis(console.create_nat_gateway(VPC, PLAN), console.create_ecs(PLAN)).rows()]
    assert {row.origin.component for row in rows} == {"console"}
    assert all(row.origin.event and row.origin.because for row in rows)


# --- ECS


def test_addresses_leave_out_the_fixed_ones():
    plan = ClusterPlan(
        nodes=(NodePlan("n1"), NodePlan("n2", address=IPv4Address("192.168.0.1")), NodePlan("n3")),
        other_ecs=(NodePlan("db", address=IPv4Address("192.168.0.3")), NodePlan("cache")),
    )
    made = {ecs.name: (str(ecs.address), ecs.is_node) for ecs in console.create_ecs(plan)}
    assert made == {
        "n1": ("192.168.0.2", True),
        "n2": ("192.168.0.1", True),
        "n3": ("192.168.0.4", True),
        "db": ("192.168.0.3", False),
        "cache": ("192.168.0.5", False),
    }


def test_machines_fill_one_vswitch_after_the_other():
    two = (vsw("vsw-a", "192.168.0.0/29"), vsw("vsw-b", "192.168.1.0/24"))
    plan = ClusterPlan(vswitches=two, nodes=(NodePlan("x", vswitch="vsw-b"), *nodes(6)))
    placed = [(ecs.vswitch, str(ecs.address)) for ecs in console.create_ecs(plan)]
    assert placed[0] == ("vsw-b", "192.168.1.1")
    assert placed[4] == ("vsw-a", "192.168.0.4") and placed[5] == ("vsw-b", "192.168.1.2")


def test_identity_is_the_same_each_time():
    ecs, again = (console.create_ecs(PLAN)[0] for _ in range(2))
    assert ecs == again
    assert re.fullmatch(r"i-[a-z0-9]{20}", ecs.instance_id)
    assert ecs.mac == "00:16:3e:a8:00:01"


def test_five_thousand_nodes_have_addresses_of_their_own():
    plan = ClusterPlan(
        vpc_cidr=net("10.0.0.0/8"), vswitches=(vsw("v", "10.1.0.0/16"),), nodes=nodes(5000), route_quota=6000,
        cluster_cidr=net("172.16.0.0/12"), service_cidr=net("192.168.0.0/20"),
    )  # fmt: skip
    assert console.check_plan(plan) == ()
    instances = console.create_ecs(plan)
    for field in ("name", "instance_id", "address", "mac"):
        assert Counter(getattr(ecs, field) for ecs in instances).most_common(1)[0][1] == 1
    assert len(console.attach_enis(VPC, instances).enis) == 5000


def test_fresh_ecs_knows_two_routes():
    plan = ClusterPlan(nodes=(NodePlan("node-a", address=IPv4Address("192.168.0.10")),), mtu=1400)
    (node_a,) = console.create_ecs(plan)
    tables = console.ecs_tables(node_a, VSW_A)
    default, connected = tables.routes
    assert (str(default.dst), str(default.via), default.dev) == ("0.0.0.0/0", "192.168.0.253", "eth0")
    assert (str(connected.dst), connected.dev, connected.proto, connected.scope, str(connected.src)) == (
        "192.168.0.0/24", "eth0", "kernel", "link", "192.168.0.10",
    )  # fmt: skip
    assert [a.interface for a in tables.addresses] == [IPv4Interface("127.0.0.1/8"), IPv4Interface("192.168.0.10/24")]
    eth0 = tables.link("eth0")
    assert (eth0.peer, eth0.mac, eth0.mtu) == (("VPC", node_a.instance_id), node_a.mac, 1400)
    assert tables.sysctl("net.ipv4.ip_forward", 1) == 0
    assert tables.sysctl("net.ipv4.conf.all.rp_filter", 1) == 0
    assert all(row.origin != Origin("unknown", "the input does not say") for row in tables.rows())


def test_enis_are_known_by_address():
    instances = console.create_ecs(PLAN)
    vpc = console.attach_enis(VPC, instances)
    eni = vpc.enis[IPv4Address("192.168.0.2")]
    assert (eni.place, eni.instance_id, eni.security_group) == ("node-b", instances[1].instance_id, "sg-cluster")
    assert VPC.enis == {}
