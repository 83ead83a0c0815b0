"""Who was given what, how full each level is, and what contradicts itself: against real dumps and a naive oracle."""

import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flannelviz.allocations import Allocation, Finding, allocation
from flannelviz.controlplane.timeline import build
from flannelviz.errors import AddressPlanError
from flannelviz.importers.kubectl import read_kubectl
from flannelviz.model import ClusterPlan, Ecs, Node, Pod
from flannelviz.network import Network
from flannelviz.tables import HostLocal, Lan, Port, Tables
from flannelviz.topologies import article, plan

REAL = Path(__file__).parent / "data" / "real"


def named(things: Iterable[Any]) -> dict[str, Any]:
    return {getattr(thing, "place", thing.name): thing for thing in things}


def node(name: str, pod_cidr: str | None, address: str | None = None) -> Node:
    return Node(
        name, IPv4Address(address) if address else None, IPv4Network(pod_cidr) if pod_cidr is not None else None
    )


def pod(name: str, ip: str | None, on: str | None = "node-a", **more: Any) -> Pod:
    return Pod("default", name, on, IPv4Address(ip) if ip else None, **more)


NODE_A = node("node-a", "172.16.0.128/25", "192.168.0.10")
NODE_B = node("node-b", "172.16.8.0/25", "192.168.0.11")


def cluster(*things: Node | Pod) -> Network:
    return Network(
        nodes=named(t for t in things if isinstance(t, Node)), pods=named(t for t in things if isinstance(t, Pod))
    )


def codes(found: Allocation) -> list[tuple[str, str]]:
    return [(finding.code, finding.subject) for finding in found.findings]


# --- real dumps ---------------------------------------------------------------------------------------------------


def test_two_nodes_share_a_24() -> None:
    found = allocation(read_kubectl(REAL / "oke-vxlan-25").network)
    assert [(b.node, str(b.pod_cidr), str(b.fill), b.host_network) for b in found.blocks] == [
        ("10.0.4.2", "10.244.0.0/25", "3 of 125 (2 %)", 4),
        ("10.0.4.4", "10.244.0.128/25", "3 of 125 (2 %)", 4),
        ("10.0.4.5", "10.244.1.0/25", "2 of 125 (2 %)", 4),
        ("10.0.4.3", "10.244.1.128/25", "4 of 125 (3 %)", 4),
    ]
    assert found.findings == ()
    assert found.node_mask == 25
    assert [str(level.extent) for level in found.levels] == [
        "at least 10.0.4.0/29 (derived from what is in it)",
        "at least 10.244.0.0/23 (derived from what is in it)",
        "at least 10.244.0.0/23 (derived from what is in it)",
    ]
    assert [str(level.fill) for level in found.levels] == ["4 of ?", "4 of ?", "12 of 500 (2 %)"]
    assert found.gaps == ()


def test_cluster_cidr_may_be_told() -> None:
    found = allocation(read_kubectl(REAL / "oke-vxlan-25").network, cluster_cidr="10.244.0.0/16")
    assert (found.cluster.basis, str(found.levels[1].fill)) == ("given", "4 of 512 (1 %)")
    assert [str(gap) for gap in found.gaps] == ["10.244.2.0/25 to 10.244.255.128/25 (508 blocks)"]
    with pytest.raises(AddressPlanError, match=r"write 10\.244\.0\.0/16 for a CIDR"):
        allocation(Network(), cluster_cidr="10.244.0.1/16")


def test_pods_that_were_not_told_are_not_zero() -> None:
    (block,) = allocation(read_kubectl(REAL / "aliyun" / "ack-node" / "nodes.json").network).blocks
    assert str(block.fill) == "? of 61"  # 64 addresses, less network, cni0 and broadcast
    assert (block.host_network, block.waiting, block.finished, block.outside) == (None,) * 4


def rows_of(file: Path) -> list[list[str]]:
    return [line.split() for line in file.read_text().splitlines()]


def kubeadm_dump() -> str:
    """Return what the tables of kubeadm-postrtg say, as `kubectl -o json` would have said it."""
    folder = REAL / "kubeadm-postrtg"
    address = {name: ip for ip, name in rows_of(folder / "hosts.txt")}
    items: list[Any] = [
        {
            "kind": "Node",
            "metadata": {"name": name},
            "spec": {"podCIDR": cidr},
            "status": {"addresses": [{"type": "InternalIP", "address": address[name]}]},
        }
        for name, cidr in rows_of(folder / "nodes-podcidr.txt")
    ]
    rows = [["kube-system", *row] for row in rows_of(folder / "kube-system-pods-wide.txt")[1:]]
    rows += rows_of(folder / "worker-pods-wide.txt")
    for namespace, name, _, phase, _, _, ip, on, *_ in rows:
        spec = {"nodeName": on, "hostNetwork": ip == address[on]}
        about = {"name": name, "namespace": namespace}
        items.append({"kind": "Pod", "metadata": about, "spec": spec, "status": {"phase": phase, "podIP": ip}})
    return json.dumps({"kind": "List", "items": items})


UNREAD = Node("node-c", pod_cidr_text="fd00::/64")
UNTOLD = pod("a1", None, phase="Running")
NEW_FAMILY = pod("a1", None, phase="Running", other_ips=("fd00::5",))


@pytest.mark.parametrize(
    ("things", "cidrs", "addresses", "of_node_a"),
    [
        ((UNREAD,), "? of ?", "? of ?", None),
        ((NODE_A, UNREAD, pod("a1", "172.16.0.130")), "? of ?", "? of ?", "1 of 125 (1 %)"),
        ((NODE_A, UNTOLD, pod("a2", "172.16.0.130")), "1 of ?", "? of 125", "? of 125"),
        ((NODE_A, NEW_FAMILY, pod("a2", "172.16.0.130")), "1 of ?", "1 of 125 (1 %)", "1 of 125 (1 %)"),
        ((NODE_A, pod("a1", None, phase="Pending")), "1 of ?", "0 of 125 (0 %)", "0 of 125 (0 %)"),
        ((NODE_A, node("node-c", None), pod("a1", "172.16.0.130")), "1 of ?", "1 of 125 (1 %)", "1 of 125 (1 %)"),
    ],
)
def test_what_cannot_be_read_is_not_zero(
    things: tuple[Node | Pod, ...], cidrs: str, addresses: str, of_node_a: str | None
) -> None:
    found = allocation(cluster(*things))
    assert [str(level.fill) for level in found.levels[1:]] == [cidrs, addresses]
    assert {block.node: str(block.fill) for block in found.blocks}.get("node-a") == of_node_a


def test_a_pod_of_another_family_says_so() -> None:
    (finding,) = allocation(cluster(NODE_A, NEW_FAMILY)).findings
    assert finding.code == "pod-ip-unknown" and "has only fd00::5" in finding.message


@pytest.mark.parametrize(
    ("others", "severity"),
    [
        ((), "error"),
        ((pod("a1", None, phase="Pending"),), "error"),
        ((pod("a1", "192.168.0.10", host_network=True),), "error"),
        ((pod("a1", "192.168.1.9"),), "notice"),
        ((pod("b1", "192.168.1.9", on="node-b"), node("node-b", None)), "notice"),
        ((pod("a1", None, other_ips=("fd00::5",)),), "notice"),
        ((pod("a1", "192.168.1.9"), NODE_B), "error"),
        ((pod("a1", "192.168.1.9"), UNREAD), "error"),
    ],
)
def test_a_cluster_without_podcidrs_whose_pods_have_addresses_is_no_flannel(
    others: tuple[Node | Pod, ...], severity: str
) -> None:
    found = allocation(cluster(node("node-a", None, "192.168.0.10"), *others)).findings
    assert {one.severity for one in found if one.code == "pod-cidr-missing"} == {severity}


def test_a_skipped_block_is_a_gap() -> None:
    found = allocation(read_kubectl(kubeadm_dump()).network)
    assert [(b.node, str(b.pod_cidr), b.fill.used, b.host_network) for b in found.blocks] == [
        ("k8s-ctr", "10.244.0.0/24", 2, 5),
        ("k8s-w1", "10.244.1.0/24", 0, 2),
        ("k8s-w2", "10.244.3.0/24", 0, 2),
    ]
    assert [str(gap) for gap in found.gaps] == ["10.244.2.0/24"]
    assert found.levels[2].counted == "podCIDRs 10.244.0.0/24, 10.244.1.0/24, 10.244.3.0/24"
    assert found.findings == ()


def test_order_of_nodes_is_not_order_of_blocks() -> None:
    found = allocation(read_kubectl(REAL / "dump-2017-capital-keys").network)
    assert [b.node[4:] for b in found.blocks] == ["master1", "master3", "master2", "worker2", "worker1"]
    assert found.levels[2].counted == "5 podCIDRs"  # too many to name
    assert {code for code, _ in codes(found)} == {"pod-pending"}
    assert len(found.findings) == 4
    assert found.findings[0].command == "kubectl describe pod/nginx215-74cd47f945-fvxvb -n default"


# --- one finding each ---------------------------------------------------------------------------------------------

HOST = {"host_network": True}


@pytest.mark.parametrize(
    ("things", "finding"),
    [
        ((NODE_A, NODE_B, pod("a1", "172.16.0.130"), pod("b1", "172.16.8.2", "node-b")), None),
        ((node("node-c", None, "192.168.0.12"),), ("pod-cidr-missing", "node-c", "has no podCIDR")),
        ((node("n", "10.0.0.0/31", "192.168.0.1"),), ("pod-cidr-too-small", "n", "too small to allocate from")),
        (
            (NODE_A, node("node-c", "172.16.0.128/25", "192.168.0.12")),
            ("pod-cidr-duplicate", "node-c", "has 172.16.0.128/25, the podCIDR of node-a too"),
        ),
        (
            (NODE_A, node("node-c", "172.16.0.0/24", "192.168.0.12")),
            ("pod-cidr-overlap", "node-a", "172.16.0.128/25 lies inside 172.16.0.0/24, the podCIDR of node-c"),
        ),
        (
            (NODE_A, node("node-c", "10.0.0.0/25", "192.168.0.12")),
            ("pod-cidrs-scattered", "cluster", "too far apart"),
        ),
        (
            (NODE_A, node("node-c", "172.16.8.0/25", "172.16.0.140")),
            ("pod-cidr-holds-node", "node-c", "172.16.0.140 lies in 172.16.0.128/25, the podCIDR of node-a"),
        ),
        ((node("node-a", "172.16.0.128/25"),), ("node-address-unknown", "node-a", "InternalIP is unknown")),
        (
            (NODE_A, node("node-c", "172.16.8.0/25", "192.168.0.10")),
            ("node-address-duplicate", "node-c", "192.168.0.10, the address of node-a too"),
        ),
        (
            (NODE_A, NODE_B, pod("a1", "172.16.8.2")),
            ("pod-outside-pod-cidr", "default/a1", "172.16.8.2, which is not in 172.16.0.128/25 .* that of node-b"),
        ),
        (
            (NODE_A, pod("a1", "172.16.1.2")),
            ("pod-outside-pod-cidr", "default/a1", "in no podCIDR: no route leads to it"),
        ),
        (
            (NODE_A, pod("a1", "172.16.0.130"), pod("a2", "172.16.0.130")),
            ("pod-ip-duplicate", "default/a2", "has 172.16.0.130, and so has default/a1"),
        ),
        ((NODE_A, pod("a1", "172.16.0.130"), pod("job", "172.16.0.130", phase="Succeeded")), None),
        ((NODE_A, pod("h1", "192.168.0.10", **HOST), pod("h2", "192.168.0.10", **HOST)), None),
        ((NODE_A, pod("a1", "172.16.0.128")), ("pod-ip-reserved", "default/a1", "172.16.0.128, the network address")),
        ((NODE_A, pod("a1", "172.16.0.129")), ("pod-ip-reserved", "default/a1", "172.16.0.129, the cni0 address")),
        ((NODE_A, pod("a1", "172.16.0.255")), ("pod-ip-reserved", "default/a1", "255, the broadcast address")),
        (
            (NODE_A, pod("h1", "192.168.0.99", **HOST)),
            ("host-network-ip", "default/h1", "shows 192.168.0.99, but node-a has 192.168.0.10"),
        ),
        (
            (NODE_A, pod("x1", "172.16.0.140", "node-z")),
            ("pod-on-unknown-node", "default/x1", "is on node-z, which is no node"),
        ),
        (
            (NODE_A, pod("p1", None, None, phase="Pending", message="0/1 nodes are available")),
            ("pod-pending", "default/p1", "is not scheduled to a node: 0/1 nodes are available"),
        ),
        (
            (NODE_A, pod("h1", None, None, phase="Pending", **HOST)),
            ("pod-pending", "default/h1", "is not scheduled to a node"),
        ),
        ((NODE_A, pod("h1", None, phase="Pending", **HOST)), None),  # it waits for no address of a podCIDR
        (
            (NODE_A, pod("p1", None, phase="Pending")),
            ("pod-pending", "default/p1", "is on node-a without an address"),
        ),
        ((NODE_A, pod("u1", None)), ("pod-ip-unknown", "default/u1", "is Running, but its address is not known")),
    ],
)
def test_one_finding(things: tuple[Node | Pod, ...], finding: tuple[str, str, str] | None) -> None:
    found = allocation(cluster(*things)).findings
    if finding is None:
        assert found == ()
        return
    (only,) = found
    code, subject, message = finding
    assert (only.code, only.subject) == (code, subject)
    assert re.search(message, only.message)
    assert only.command.startswith("kubectl ")


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"podCIDR": "10.2.0.5/24"}, "10.2.0.5/24"),
        ({"podCIDR": "fd00::/64", "podCIDRs": ["fd00::/64"]}, "fd00::/64"),
        ({"podCIDRs": ["fd00::/64", "fd01::/64"]}, "fd00::/64, fd01::/64"),
        ({"podCIDR": 25}, "25"),
        ({"podCIDR": "a\nb"}, r'"a\nb"'),
        ({"podCIDRs": {"a": 1}}, '{"a": 1}'),
        ("none", '"none"'),
        ({"podCIDR": "x" * 100}, "x" * 79 + "…"),
        ({"podCIDR": ""}, None),
        ({"podCIDRs": []}, None),
        ({}, None),
        (None, None),
    ],
)
def test_an_unusable_podcidr_is_not_a_missing_one(spec: Any, told: str | None) -> None:
    item = {"kind": "Node", "metadata": {"name": "node-a"}, "spec": spec}
    findings = allocation(read_kubectl(json.dumps({"kind": "List", "items": [item]})).network).findings
    (about,) = [finding for finding in findings if finding.code.startswith("pod-cidr")]
    if told is None:
        assert (about.severity, about.code) == ("error", "pod-cidr-missing")
    else:
        assert (about.severity, about.code) == ("notice", "pod-cidr-unknown")
        assert about.message.startswith(f"has podCIDR {told}, which is no IPv4 network")


@pytest.mark.parametrize(
    ("pods", "said"),
    [
        (11, []),
        (12, [("warning", "pod-cidr-nearly-full", "12 of 13 (92 %) addresses of 172.16.0.16/28 are held: 1 left")]),
        (
            13,
            [
                (
                    "error",
                    "pod-cidr-full",
                    "13 of 13 (100 %) addresses of 172.16.0.16/28 are held: the next pod gets none",
                )
            ],
        ),
    ],
)  # a /28 has room for 13
def test_a_podcidr_fills_up(pods: int, said: list[tuple[str, str, str]]) -> None:
    small = node("node-a", "172.16.0.16/28", "192.168.0.10")
    found = allocation(cluster(small, *(pod(f"a{n}", f"172.16.0.{18 + n}") for n in range(pods))))
    assert [(finding.severity, finding.code, finding.message) for finding in found.findings] == said
    assert found.levels[2].fill.used == pods


def test_a_block_counts_the_pods_that_hold_none_of_its_addresses() -> None:
    none = (pod("h1", "192.168.0.10", **HOST), pod("p1", None, phase="Pending"), pod("j1", None, phase="Failed"))
    (quiet,) = allocation(cluster(NODE_A, pod("a1", "172.16.0.130"))).blocks
    (busy,) = allocation(cluster(NODE_A, *none, pod("x1", "172.16.9.9"))).blocks
    counts = [(b.fill.used, b.host_network, b.waiting, b.finished, b.outside) for b in (quiet, busy)]
    assert counts == [(1, 0, 0, 0, 0), (0, 1, 1, 1, 1)]


def test_blocks_come_by_address_then_by_size_and_those_without_a_podcidr_last() -> None:
    wide, early = node("node-w", "172.16.8.0/24"), node("node-e", "9.0.0.0/25")  # by number: as text, 9 is the last
    found = allocation(cluster(node("node-z", None), NODE_B, node("node-y", None), wide, NODE_A, early))
    assert [block.node for block in found.blocks] == ["node-e", "node-a", "node-w", "node-b", "node-z", "node-y"]


def test_the_smallest_podcidr_around_an_address_is_its_owner() -> None:
    wide = node("node-c", "172.16.0.0/24", "192.168.0.12")
    for nodes in ((wide, NODE_A, NODE_B), (NODE_A, wide, NODE_B)):
        findings = allocation(cluster(*nodes, pod("b1", "172.16.0.140", "node-b"))).findings
        (outside,) = [finding for finding in findings if finding.code == "pod-outside-pod-cidr"]
        assert outside.message.endswith("but in that of node-a: packets for it go there")


def test_a_node_whose_address_is_unknown_has_none_that_counts() -> None:
    assert str(allocation(cluster(NODE_A, node("node-b", "172.16.8.0/25"))).levels[0].fill) == "1 of ?"


def test_cluster_cidr_given_is_checked() -> None:
    found = allocation(cluster(NODE_A, NODE_B), cluster_cidr="172.16.0.0/24")
    assert codes(found) == [("pod-cidr-outside-cluster", "node-b")]
    assert "cluster CIDR 172.16.0.0/24" in found.findings[0].message
    full = allocation(cluster(NODE_A, node("node-c", "172.16.0.0/25", "192.168.0.12")), cluster_cidr="172.16.0.0/24")
    assert codes(full) == [("cluster-cidr-full", "cluster")]
    assert full.gaps == ()
    assert str(full.levels[1].fill) == "2 of 2 (100 %)"


def test_blocks_of_different_sizes_have_no_gaps() -> None:
    found = allocation(cluster(NODE_A, node("node-c", "172.16.8.0/24", "192.168.0.12")))
    assert (found.node_mask, found.gaps, str(found.levels[1].fill)) == (None, (), "2 of ?")


@pytest.mark.parametrize(("far", "extent"), [("10.255.255.128/25", "at least 10.0.0.0/8"), ("11.0.0.0/25", "unknown")])
def test_no_range_that_was_derived_is_wider_than_a_private_one(far: str, extent: str) -> None:
    found = allocation(cluster(node("node-a", "10.0.0.0/25", "192.168.0.10"), node("node-b", far, "192.168.0.11")))
    assert str(found.levels[1].extent).startswith(extent)


def test_podcidr_larger_than_the_cluster() -> None:
    found = allocation(cluster(NODE_A), cluster_cidr="172.16.0.128/26")
    assert (found.gaps, str(found.levels[1].fill)) == ((), "1 of ?")
    assert codes(found) == [("pod-cidr-outside-cluster", "node-a")]


def test_nothing_known() -> None:
    found = allocation(Network(unknown=frozenset({"nodes", "pods"})))
    assert [(str(level.extent), str(level.fill)) for level in found.levels] == [("unknown", "? of ?")] * 3
    only_pods = Network(pods=named([pod("a1", "172.16.0.130")]), unknown=frozenset({"nodes"}))
    assert allocation(only_pods).findings == ()


@pytest.mark.parametrize("name", ["a; reboot", "$(reboot)", "--all", "<b>&'\"", "a\nb"])
def test_commands_are_quoted_for_the_shell(name: str) -> None:
    hostile = Pod(name, name, name, None, phase="Pending")
    found = allocation(Network(nodes=named([node(name, None)]), pods=named([hostile])))
    full = allocation(Network(nodes=named([node(name, "10.0.0.0/30")]), pods=named([pod("a1", "10.0.0.2", name)])))
    leaky = allocation(built(name))
    about = [*leaky.findings, *full.findings, *found.findings]
    commands = {finding.code: shlex.split(finding.command) for finding in about}
    assert commands["pod-cidr-missing"][:3] == ["kubectl", "get", f"node/{name}"]
    assert commands["pod-pending"] == ["kubectl", "describe", f"pod/{name}", "-n", name]
    assert commands["pod-cidr-full"][-1] == f"spec.nodeName={name}"
    assert commands["pod-ip-leaked"][:3] == ["ssh", name, "ls"]


# --- a built network: the plan is known, and host-local says who holds what ------------------------------------------


FIRST = int(IPv4Address("172.16.0.130"))
LEAKED = {FIRST: "default/a1", FIRST + 1: "default/gone"}


def built(name: str = "node-a", held: dict[int, str] = LEAKED) -> Network:
    assert NODE_A.pod_cidr is not None
    lan = Lan(
        name,
        NODE_A.pod_cidr,
        {},
        HostLocal(NODE_A.pod_cidr, held),
        lambda lan, port: Tables(),
        (Port("default/a1", FIRST),),
    )
    address = IPv4Interface("192.168.0.10/24").ip
    return Network(
        plan=ClusterPlan(),
        ecs={name: Ecs(name, "i-a", address, "vsw-a", "")},
        nodes=named([replace(NODE_A, name=name)]),
        pods=named([pod("a1", None, name), pod("a2", None, name, message="no IP addresses available")]),
        written={name: Tables(lan=lan)},
    )


def test_a_built_network_knows_its_ranges() -> None:
    found = allocation(built())
    assert [(str(level.extent), str(level.fill)) for level in found.levels] == [
        ("192.168.0.0/16", "1 of 252 (0 %)"),
        ("172.16.0.0/16", "1 of 512 (0 %)"),
        ("172.16.0.0/16", "2 of 125 (2 %)"),  # the leaked address counts
    ]
    assert [(switch.name, switch.fill.used, switch.fill.usable) for switch in found.vswitches] == [("vsw-a", 1, 252)]
    assert [str(gap) for gap in found.gaps] == ["172.16.0.0/25", "172.16.1.0/25 to 172.16.255.128/25 (510 blocks)"]
    assert codes(found) == [("pod-ip-leaked", "node-a"), ("pod-pending", "default/a2")]
    assert found.findings[0].message == "host-local holds an address for pods that are gone, such as 172.16.0.131"
    assert found.findings[0].command == "ssh node-a ls /var/lib/cni/networks/cb0"
    assert found.findings[1].message == "is on node-a without an address: no IP addresses available"


def test_leaked_addresses_are_counted() -> None:
    message = allocation(built(held=LEAKED | {FIRST + 2: "default/old"})).findings[0].message
    assert message == "host-local holds 2 addresses for pods that are gone, such as 172.16.0.131"


def test_a_plan_without_a_node_has_room_for_all_of_them() -> None:
    found = allocation(Network(plan=ClusterPlan()))
    assert [str(level.fill) for level in found.levels] == ["0 of 252 (0 %)", "0 of 512 (0 %)", "0 of 0"]
    assert [gap.blocks for gap in found.gaps] == [512]


def test_a_built_cluster_of_one_block_is_full() -> None:
    small = ClusterPlan(cluster_cidr=IPv4Network("172.16.0.128/25"))
    found = allocation(Network(plan=small, nodes=named([NODE_A])))
    (full,) = [finding for finding in found.findings if finding.subject == "cluster"]
    assert (full.code, str(found.levels[1].fill)) == ("cluster-cidr-full", "1 of 1 (100 %)")
    assert full.message == "172.16.0.128/25 holds 1 block, and none is left: the next node gets no podCIDR"


def test_the_article_level_by_level() -> None:
    found = allocation(article())
    assert [str(level.fill) for level in found.levels] == ["3 of 252 (1 %)", "2 of 512 (0 %)", "4 of 250 (2 %)"]
    assert [level.counted for level in found.levels] == [
        "vSwitch 192.168.0.0/24",
        "blocks of /25",
        "podCIDRs 172.16.0.128/25, 172.16.8.0/25",
    ]
    assert [(b.node, str(b.pod_cidr), b.fill.used) for b in found.blocks] == [
        ("node-a", "172.16.0.128/25", 2),
        ("node-b", "172.16.8.0/25", 2),
    ]
    assert [gap.blocks for gap in found.gaps] == [1, 14, 495]
    assert found.findings == ()


def test_more_pods_than_a_28_has_room_for() -> None:
    crowded = build(plan(1, 14, node_mask=28), strict=False).network
    assert codes(allocation(crowded)) == [("pod-cidr-full", "node-a"), ("pod-pending", "default/a14")]


# --- the oracle: every pair compared with every other -----------------------------------------------------------------

ADDRESSES = [f"10.0.0.{n}" for n in range(16)]
CIDRS = [
    None,
    "10.0.0.0/28",
    "10.0.0.0/29",
    "10.0.0.8/29",
    "10.0.0.8/30",
    "10.0.0.12/30",
    "10.0.0.4/31",
    "10.0.0.15/32",
]


@st.composite
def clusters(draw: st.DrawFn) -> Network:
    nodes = [
        node(f"n{number}", draw(st.sampled_from(CIDRS)), draw(st.sampled_from([None, *ADDRESSES, "192.168.0.1"])))
        for number in range(draw(st.integers(0, 5)))
    ]
    pods = [
        pod(
            f"p{number}",
            draw(st.sampled_from([None, *ADDRESSES])),
            draw(st.sampled_from([None, "elsewhere", *(n.name for n in nodes)])),
            host_network=draw(st.booleans()),
            phase=draw(st.sampled_from(["Running", "Pending", "Succeeded", "Failed"])),
        )
        for number in range(draw(st.integers(0, 8)))
    ]
    return Network(nodes=named(nodes), pods=named(pods))


def naive(network: Network) -> set[tuple[str, str]]:
    """Return what is wrong, found by comparing everything with everything."""
    found: set[tuple[str, str]] = set()
    nodes = list(network.nodes.values())
    for number, one in enumerate(nodes):
        if one.address is None:
            found.add(("node-address-unknown", one.name))
        elif one.address in [other.address for other in nodes[:number]]:
            found.add(("node-address-duplicate", one.name))
        if one.address is not None and any(other.pod_cidr and one.address in other.pod_cidr for other in nodes):
            found.add(("pod-cidr-holds-node", one.name))
        if one.pod_cidr is None:
            found.add(("pod-cidr-missing", one.name))
            continue
        if one.pod_cidr.num_addresses < 4:
            found.add(("pod-cidr-too-small", one.name))
        if one.pod_cidr in [other.pod_cidr for other in nodes[:number]]:
            found.add(("pod-cidr-duplicate", one.name))
        elif any(o.pod_cidr and o.pod_cidr != one.pod_cidr and one.pod_cidr.subnet_of(o.pod_cidr) for o in nodes):
            found.add(("pod-cidr-overlap", one.name))
        usable = [*one.pod_cidr][2:-1]
        used = {p.ip for p in network.pods.values() if p.node == one.name and holds(p)} & set(usable)
        if usable and len(used) == len(usable):
            found.add(("pod-cidr-full", one.name))
        elif usable and len(used) / len(usable) >= 0.9:
            found.add(("pod-cidr-nearly-full", one.name))
    return found | naive_pods(network)


def holds(one: Pod) -> bool:
    return one.phase in ("Running", "Pending") and not one.host_network and one.ip is not None


def naive_pods(network: Network) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    pods = list(network.pods.values())
    for number, one in enumerate(pods):
        home = network.nodes.get(one.node or "")
        if one.node is not None and home is None:
            found.add(("pod-on-unknown-node", one.place))
        if one.phase in ("Succeeded", "Failed"):
            continue
        if one.host_network:
            if one.node is None and one.ip is None:
                found.add(("pod-pending" if one.phase == "Pending" else "pod-ip-unknown", one.place))
            if home and one.ip and home.address and one.ip != home.address:
                found.add(("host-network-ip", one.place))
            continue
        if one.ip is None:
            found.add(("pod-pending" if one.phase == "Pending" else "pod-ip-unknown", one.place))
            continue
        if one.ip in [other.ip for other in pods[:number] if holds(other)]:
            found.add(("pod-ip-duplicate", one.place))
        if home and home.pod_cidr and one.ip not in home.pod_cidr:
            found.add(("pod-outside-pod-cidr", one.place))
        elif home and home.pod_cidr and one.ip not in [*home.pod_cidr][2:-1]:
            found.add(("pod-ip-reserved", one.place))
    return found


@given(clusters())
def test_findings_are_those_of_the_oracle(network: Network) -> None:
    found = allocation(network)
    assert set(codes(found)) == naive(network)
    assert len(found.findings) == len(set(codes(found)))
    assert all(isinstance(finding, Finding) and finding.message and finding.command for finding in found.findings)


@given(
    mask=st.integers(24, 28),
    numbers=st.sets(st.integers(0, 255), max_size=12),
    prefix=st.sampled_from([None, 16, 20]),
)
def test_blocks_and_gaps_tile_the_cluster_cidr(mask: int, numbers: set[int], prefix: int | None) -> None:
    size = 2 ** (32 - mask)
    base = int(IPv4Address("10.16.0.0"))
    cidrs = [IPv4Network((base + number * size, mask)) for number in numbers]
    network = Network(nodes=named(Node(f"n{at}", None, cidr) for at, cidr in enumerate(cidrs)))
    found = allocation(network, cluster_cidr=f"10.16.0.0/{prefix}" if prefix else None)
    if found.cluster.cidr is None or found.node_mask is None:
        assert not numbers
        return
    inside = [cidr for cidr in cidrs if cidr.subnet_of(found.cluster.cidr)]
    free = [
        IPv4Network((at, mask)) for gap in found.gaps for at in range(int(gap.first[0]), int(gap.last[0]) + 1, size)
    ]
    assert sum(gap.blocks for gap in found.gaps) == len(free)
    assert sorted(inside + free) == list(found.cluster.cidr.subnets(new_prefix=mask))
