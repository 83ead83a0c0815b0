"""A dump becomes a network, or one clear error; what it does not say stays unknown, and what is not used is named."""

import io
import json
import re
import tracemalloc
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flannelviz.errors import DumpError
from flannelviz.importers.documents import CUT_DOWN
from flannelviz.importers.kubectl import Imported, read_kubectl
from flannelviz.model import Pod
from flannelviz.network import Network
from flannelviz.views.text import kubectl_nodes

REAL = Path(__file__).parents[1] / "data" / "real"
EXAMPLE = Path(__file__).parents[2] / "notebooks" / "data" / "oke-vxlan-25.json"


def node(name: Any = "node-a", pod_cidr: Any = "172.16.0.128/25", address: Any = "192.168.0.10", **spec: Any) -> Any:
    addresses = [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}]
    return {
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {"podCIDR": pod_cidr, **spec},
        "status": {"addresses": addresses, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def pod(name: Any = "a1", ip: Any = "172.16.0.130", on: Any = "node-a", spec: Any = None, **status: Any) -> Any:
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": on, **(spec or {})},
        "status": {"phase": "Running", "podIP": ip, **status},
    }


def dump(*items: Any, kind: str = "List") -> str:
    return json.dumps({"apiVersion": "v1", "kind": kind, "items": list(items)})


def warned(imported: Imported) -> list[str]:
    return [str(warning) for warning in imported.warnings if warning.severity == "warning"]


def noticed(imported: Imported) -> list[str]:
    return [str(warning) for warning in imported.warnings if warning.severity == "notice"]


# --- real dumps ---------------------------------------------------------------------------------------------------


def test_directory_of_cluster_info_dump() -> None:
    imported = read_kubectl(REAL / "oke-vxlan-25")
    network = imported.network
    assert {name: str(n.pod_cidr) for name, n in network.nodes.items()} == {
        "10.0.4.2": "10.244.0.0/25",
        "10.0.4.4": "10.244.0.128/25",
        "10.0.4.5": "10.244.1.0/25",
        "10.0.4.3": "10.244.1.128/25",
    }
    assert len(network.pods) == 28
    assert sum(p.host_network for p in network.pods.values()) == 16
    assert network.pods["kube-system/coredns-5cc56c886f-5fxd2"] == Pod(
        "kube-system", "coredns-5cc56c886f-5fxd2", "10.0.4.4", IPv4Address("10.244.0.130")
    )
    assert network.unknown == frozenset()
    assert imported.warnings == ()


def test_example_of_the_notebooks_is_that_directory() -> None:
    assert read_kubectl(EXAMPLE).network == read_kubectl(REAL / "oke-vxlan-25").network


def test_node_of_ack() -> None:
    imported = read_kubectl(REAL / "aliyun" / "ack-node" / "nodes.json")
    found = imported.network.nodes["cn-zhangjiakou.192.168.0.81"]
    assert (str(found.address), str(found.pod_cidr)) == ("192.168.0.81", "10.155.2.192/26")
    assert found.provider_id == "cn-zhangjiakou.i-8vb00000000000000081"
    assert found.ready == "True"
    unavailable = found.condition("NetworkUnavailable")
    assert unavailable is not None
    assert (unavailable.status, unavailable.reason) == ("False", "RouteCreated")
    assert dict(found.annotations)["flannel.alpha.coreos.com/backend-type"] == ""
    assert imported.network.unknown == {"pods"}  # not "no pods"
    assert [n for n in noticed(imported) if "no pod in it" in n]


def test_dump_with_the_names_of_go() -> None:
    network = read_kubectl(REAL / "dump-2017-capital-keys").network
    assert {name: (str(n.address), str(n.pod_cidr), n.ready) for name, n in network.nodes.items()} == {
        "k8s-master1": ("192.168.141.151", "10.244.0.0/24", "Unknown"),
        "k8s-master2": ("192.168.141.152", "10.244.2.0/24", "True"),
        "k8s-master3": ("192.168.141.153", "10.244.1.0/24", "True"),
        "k8s-worker1": ("192.168.141.154", "10.244.4.0/24", "True"),
        "k8s-worker2": ("192.168.141.155", "10.244.3.0/24", "True"),
    }
    pods = network.pods.values()
    assert (len(pods), sum(p.host_network for p in pods)) == (34, 19)
    pending = [p for p in pods if p.phase == "Pending"]
    assert len(pending) == 4
    assert all(p.node is None and p.ip is None for p in pending)  # empty strings there
    lost = [p for p in pods if p.node == "k8s-master1"]
    assert len(lost) == 5
    assert all(p.phase == "Running" and "k8s-master1" in p.message for p in lost)


@pytest.mark.parametrize("name", ["kube-system-pods-wide", "kube-system-pods-wide-before-cni", "worker-pods-wide"])
def test_tables_of_kubectl_are_refused_with_the_way_out(name: str) -> None:
    with pytest.raises(DumpError, match=r"the table that kubectl prints without -o json.* -o json > dump\.json"):
        read_kubectl(REAL / "kubeadm-postrtg" / f"{name}.txt")


def test_yaml_is_refused_with_the_way_out() -> None:
    with pytest.raises(DumpError, match=r"node\.yaml is YAML, not JSON; run kubectl with -o json"):
        read_kubectl(REAL / "aliyun" / "ack-node" / "node.yaml")


def test_empty_namespace_alone_is_no_network() -> None:
    with pytest.raises(DumpError, match="no node and no pod in it"):
        read_kubectl(REAL / "oke-vxlan-25" / "default" / "pods.json")


# --- what a source may be -----------------------------------------------------------------------------------------

TEXT = dump(node(), pod())


@pytest.mark.parametrize(
    "source",
    [
        TEXT,
        "\n  " + TEXT,
        "\ufeff" + TEXT,
        TEXT.encode(),
        memoryview(TEXT.encode()),
        b"\xef\xbb\xbf" + TEXT.encode(),
        TEXT.encode("utf-16"),  # what > writes in PowerShell
        json.dumps(json.loads(TEXT), indent=4).replace("\n", "\r\n"),
        io.StringIO(TEXT),
        io.BytesIO(TEXT.encode()),
        dump(node()) + "\n" + dump(pod()),
        dump(node(), kind="NodeList") + dump(pod(), kind="PodList"),
        "$ kubectl get nodes -o json\n" + dump(node()) + "\n[root@a ~]# kubectl get pods -A -o json\n" + dump(pod()),
        TEXT + "\nuser@laptop:~$ ",
        json.dumps([node(), pod()]),
        json.dumps([json.loads(dump(node())), json.loads(dump(pod()))]),  # jq -s
        json.dumps(node()) + json.dumps(pod()),  # one object each
        dump(json.loads(dump(node(), kind="NodeList")), json.loads(dump(pod(), kind="PodList"))),
    ],
)
def test_one_network_in_many_forms(source: Any) -> None:
    assert read_kubectl(source).network == read_kubectl(TEXT).network


def test_paths_and_several_sources(tmp_path: Path) -> None:
    nodes, pods = tmp_path / "nodes.json", tmp_path / "pods.json"
    nodes.write_text(dump(node(), kind="NodeList"))
    pods.write_text(dump(pod(), kind="PodList"))
    whole = read_kubectl(TEXT).network
    assert read_kubectl(nodes, pods).network == whole
    assert read_kubectl(str(nodes), str(pods)).network == whole
    assert read_kubectl(tmp_path).network == whole
    with pods.open() as file:
        assert read_kubectl(nodes, file).network == whole


def test_items_without_kind_take_it_from_their_list_or_their_fields() -> None:
    bare_node, bare_pod = ({k: v for k, v in item.items() if k != "kind"} for item in (node(), pod()))
    assert read_kubectl(dump(bare_node, kind="NodeList"), dump(bare_pod, kind="PodList")).network == (
        read_kubectl(json.dumps({"items": [bare_node, bare_pod]})).network
    )


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ({"spec": {"podCIDR": "172.16.0.0/25"}}, "node"),
        ({"spec": {"providerID": "cn-hangzhou.i-1"}}, "node"),
        ({"status": {"addresses": []}}, "node"),
        ({"Status": {"NodeInfo": {}}}, "node"),
        ({"spec": {"nodeName": "node-a"}}, "pod"),
        ({"spec": {"containers": []}}, "pod"),
        ({"status": {"podIP": "172.16.0.130"}}, "pod"),
        ({"Status": {"HostIP": "192.168.0.10"}}, "pod"),
    ],
)
@pytest.mark.parametrize("kind", [{}, {"kind": ""}])
def test_one_field_tells_what_an_item_without_kind_is(item: Any, told: str, kind: dict[str, str]) -> None:
    network = read_kubectl(dump({"metadata": {"name": "x", "namespace": "default"}, **item, **kind})).network
    assert (len(network.nodes), len(network.pods)) == ((1, 0) if told == "node" else (0, 1))


def test_null_is_the_same_as_absent() -> None:
    cut = pod(spec={"hostNetwork": None, "securityContext": None}, podIPs=None, message=None)
    assert read_kubectl(dump(node(), cut)).network == read_kubectl(TEXT).network


# --- what the dump does not say -----------------------------------------------------------------------------------


def imported() -> Network:
    return read_kubectl(
        dump(node(), pod(), pod("host", "192.168.0.10", spec={"hostNetwork": True}), pod("stuck", None, on=None))
    ).network


def test_tables_name_what_is_unknown() -> None:
    network = imported()
    untold = {"fixed_links", "routes", "neighbors", "fdb", "chains", "sysctls", "files", "lan"}
    for place, own in [("node-a", "192.168.0.10"), ("a1", "172.16.0.130"), ("host", "192.168.0.10")]:
        tables = network[place]
        assert tables.unknown == untold
        assert [str(a.interface.ip) for a in tables.addresses] == [own]
        assert tables.owns(IPv4Address(own))
        assert tables.routes == ()
    assert network["stuck"].unknown == untold | {"addresses"}
    assert network.vpc.unknown == {"route_tables", "enis", "security_groups", "snat", "decrements_ttl"}
    assert network.plan is None
    assert network.cluster_cidr is None


def test_missing_values_stay_missing() -> None:
    found = read_kubectl(dump({"kind": "Node", "metadata": {"name": "node-a"}}, {**pod(), "spec": {}, "status": {}}))
    (bare,) = found.network.nodes.values()
    assert (bare.address, bare.pod_cidr, bare.provider_id, bare.ready) == (None, None, "", "Unknown")
    (lost,) = found.network.pods.values()
    assert (lost.node, lost.ip, lost.phase, lost.host_network) == (None, None, "Unknown", False)
    assert warned(found) == []


def test_an_empty_list_of_its_kind_tells_that_there_is_none() -> None:
    nodes, pods = dump(kind="NodeList"), dump(kind="PodList")
    assert read_kubectl(nodes, dump(pod())).network.unknown == frozenset()
    assert read_kubectl(dump(node()), pods).network.unknown == frozenset()
    assert read_kubectl(dump(), dump(node())).network.unknown == {"pods"}


def test_what_else_a_node_says_of_itself() -> None:
    about = {"name": "node-a", "labels": {"zone": "h"}, "deletionTimestamp": "2026-01-01T00:00:00Z"}
    leaving = node() | {"metadata": about}
    leaving["status"] = {"conditions": [{"type": "Ready", "status": "False"}]}
    network = read_kubectl(dump(leaving, node("node-b"))).network
    told = [(found.ready, found.deleting, found.labels) for found in network.nodes.values()]
    assert told == [("False", True, (("zone", "h"),)), ("True", False, ())]


def test_of_several_ipv4_addresses_the_first_is_the_one_used() -> None:
    second = {"type": "InternalIP", "address": "192.168.1.10"}
    two = node()
    two["status"]["addresses"].append(second)
    found = read_kubectl(dump(two, pod(podIPs=[{"ip": "172.16.0.130"}, {"ip": "172.16.0.140"}])))
    assert str(found.network.nodes["node-a"].address) == "192.168.0.10"
    assert any(said.startswith("1 × further address of a node left out") for said in noticed(found))
    only = found.network.pods["default/a1"]
    assert (str(only.ip), only.other_ips) == ("172.16.0.130", ("172.16.0.140",))


def test_a_namespace_that_is_not_told_is_shown_as_unknown() -> None:
    found = read_kubectl(dump(node(), pod() | {"metadata": {"name": "a1"}}))
    assert list(found.network.pods) == ["?/a1"]
    assert [said for said in warned(found) if said.startswith("Pod ?/a1, metadata.namespace")]


def test_hostnetwork_pod_on_a_node_that_is_not_in_the_dump() -> None:
    network = read_kubectl(dump(pod("host", "192.168.0.10", spec={"hostNetwork": True}))).network
    assert network.unknown == {"nodes"}
    assert network["host"].owns(IPv4Address("192.168.0.10"))


def test_finished_pod_gives_its_address_back() -> None:
    network = read_kubectl(dump(node(), pod("job", phase="Succeeded"), pod("a1"))).network
    assert network.pods["default/job"].ip == network.pods["default/a1"].ip
    assert network.place_at(IPv4Address("172.16.0.130")) == "default/a1"
    assert network["job"].addresses == ()


def test_why_a_pod_waits() -> None:
    scheduled = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}
    creating = [{"state": {"waiting": {"reason": "ContainerCreating"}}}]
    started = {"type": "Initialized", "status": "True", "message": "all is well"}
    unready = {"type": "Ready", "status": "False", "message": "containers with unready status: [a]"}
    silent = {"type": "Ready", "status": "False"}
    network = read_kubectl(
        dump(
            pod("unscheduled", None, None, phase="Pending", conditions=[scheduled]),
            pod("unwired", None, phase="Pending", containerStatuses=creating),
            pod("evicted", None, phase="Failed", reason="Evicted"),
            pod("told", None, phase="Pending", message="its own words", conditions=[scheduled]),
            pod("later", None, None, phase="Pending", conditions=[started, silent, scheduled]),
            pod("runs", conditions=[unready]),
        )
    ).network
    assert [p.message for p in network.pods.values()] == [
        "0/1 nodes are available",
        "ContainerCreating",
        "Evicted",
        "its own words",
        "0/1 nodes are available",
        "",
    ]


def test_dual_stack() -> None:
    found = read_kubectl(
        dump(
            node(pod_cidr="fd00::/64", podCIDRs=["fd00::/64", "172.16.0.128/25"]),
            node("node-b", "172.16.8.0/25", "192.168.0.11", podCIDRs=["172.16.8.0/25", "fd00:1::/64"]),
            node("node-c", "fd00:2::/64", "fd01::3"),
            pod(ip="fd00::2", podIPs=[{"ip": "fd00::2"}, {"ip": "172.16.0.130"}]),
        )
    )
    assert [str(n.pod_cidr) for n in found.network.nodes.values()] == ["172.16.0.128/25", "172.16.8.0/25", "None"]
    assert found.network.nodes["node-c"].address is None
    only = found.network.pods["default/a1"]
    assert (str(only.ip), only.other_ips) == ("172.16.0.130", ("fd00::2",))
    assert warned(found) == []
    notices = "\n".join(noticed(found))
    assert "3 × IPv6 podCIDR left out" in notices
    assert "1 × IPv6 address of a pod kept as text only" in notices
    assert "1 × IPv6 address of a node left out" in notices
    (raw,) = [w.raw for w in found.warnings if "IPv6 podCIDR" in w.message]
    assert raw == "Node node-a fd00::/64, Node node-b fd00:1::/64, Node node-c fd00:2::/64"


def test_one_namespace_may_be_all_or_not() -> None:
    assert [n for n in noticed(read_kubectl(TEXT)) if "every pod is in namespace default; if -A was missing" in n]


# --- unusable values: a warning each, and the rest is kept --------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "field", "raw"),
    [
        (node(pod_cidr=25), "spec.podCIDR", "25"),
        (node(pod_cidr="172.16.8.1/25"), "spec.podCIDR", '"172.16.8.1/25"'),
        (node(pod_cidr="all of them"), "spec.podCIDR", '"all of them"'),
        (node(podCIDRs=["172.16.9.0/25"]), "spec.podCIDRs", '["172.16.9.0/25"]'),
        (node(podCIDRs=["172.16.0.128/25", "172.16.9.0/25"]), "spec.podCIDRs", '"172.16.9.0/25"'),
        (node(podCIDRs=["172.16.0.128/25", 9]), "spec.podCIDRs", "9"),
        (node(podCIDRs="172.16.0.128/25"), "spec.podCIDRs", '"172.16.0.128/25"'),
        (node(address="192.168.0"), "status.addresses[1].address", '"192.168.0"'),
        (node(address="fd00::z"), "status.addresses[1].address", '"fd00::z"'),
        (node(pod_cidr="fd00::/129"), "spec.podCIDR", '"fd00::/129"'),
        (pod(ip="fd00::z"), "status.podIP", '"fd00::z"'),
        (node() | {"spec": "none"}, "spec", '"none"'),
        (node() | {"status": {"addresses": ["192.168.0.10"]}}, "status.addresses[0]", '"192.168.0.10"'),
        (node(name=None), "", None),
        (node(name="VPC"), "", None),
        (node(name="Internet"), "", None),
        (node(name="default/a1"), "", None),
        (pod(name=None), "", None),
        (node(name="half\ud800"), "metadata.name", '"half\\ud800"'),
        (pod(ip="172.16.0.256"), "status.podIP", '"172.16.0.256"'),
        (pod(ip={}), "status.podIP", "{}"),
        (pod(spec={"hostNetwork": "true"}), "spec.hostNetwork", '"true"'),
        (pod(on=["node-a"]), "spec.nodeName", '["node-a"]'),
        (pod(name=7), "metadata.name", "7"),
        (pod() | {"metadata": {"name": "a1"}}, "metadata.namespace", "null"),
        (pod() | {"metadata": "a1"}, "metadata", '"a1"'),
        (7, "items", "7"),
        ({"metadata": {"name": "who"}}, "", '{"metadata": {"name": "who"}}'),
    ],
)
def test_unusable_values_are_named_and_kept(item: Any, field: str, raw: str | None) -> None:
    found = read_kubectl(dump(item, node("other", "172.16.8.0/25", "192.168.0.11")))
    warnings = [w for w in found.warnings if w.severity == "warning"]
    assert (field, raw if raw is not None else json.dumps(item)) in [(w.field, w.raw) for w in warnings]
    assert "other" in found.network.nodes
    assert all(w.source == "source 1" for w in warnings)


def test_unusable_pod_cidr_stays_unknown_and_says_why() -> None:
    found = read_kubectl(dump(node(pod_cidr="172.16.8.1/25")))
    assert found.network.nodes["node-a"].pod_cidr is None
    (said,) = warned(found)
    assert said.startswith("Node node-a, spec.podCIDR: 172.16.8.1/25 is an address inside 172.16.8.0/25, not a network")


def test_same_twice_is_one_and_different_ones_are_a_warning() -> None:
    found = read_kubectl(TEXT, TEXT, dump(pod(ip="172.16.0.131")))
    assert found.network == read_kubectl(TEXT).network
    assert [n for n in noticed(found) if n.startswith("2 × repetition")]
    (conflict,) = [w for w in found.warnings if w.severity == "warning"]
    assert (conflict.subject, conflict.source) == ("Pod default/a1", "source 3")
    assert json.loads(conflict.raw) == pod(ip="172.16.0.131")


def test_other_kinds_are_counted_and_secrets_not_kept() -> None:
    secret = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"token": "c2VjcmV0"}}
    found = read_kubectl(dump(node(), secret, secret, {"kind": "ConfigMap"}, {"data": {"token": "c2VjcmV0"}}))
    assert any(n.startswith("2 of kind Secret left out") for n in noticed(found))
    assert any(n.startswith("1 of kind ConfigMap left out") for n in noticed(found))
    assert "c2VjcmV0" not in repr(found)


def test_a_part_of_a_list_is_a_warning() -> None:
    listed = json.loads(dump(node())) | {"metadata": {"continue": "abc", "remainingItemCount": 40}}
    (said,) = warned(read_kubectl(json.dumps(listed)))
    assert said.startswith("metadata.continue: is set, so this is a part of a list")
    assert said.endswith("(it says 40)")


def test_names_are_text() -> None:
    name, namespace = "<img src=x onerror=alert(1)>", "$(reboot)"
    hostile = pod(name) | {"metadata": {"name": name, "namespace": namespace}}
    network = read_kubectl(dump(node("<script>alert(1)<\u2044script>"), hostile)).network
    assert list(network.nodes) == ["<script>alert(1)<\u2044script>"]
    assert network.pods[f"{namespace}/{name}"].name == name


# --- no dump at all: one clear error ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "source 1 is empty"),
        (" \n ", "source 1 is empty"),
        (b"", "source 1 is empty"),
        ("$ kubectl get nodes -o json\n", "source 1 holds a command, and nothing that it printed"),
        ("nowhere.json", r"'nowhere.json' is no JSON text and no file of this name exists; save a dump"),
        (Path("nowhere.json"), r"nowhere\.json cannot be read: No such file"),
        (Path(__file__).parent, r"holds none of nodes\.json, pods\.json, \*/pods\.json"),
        ("kind: Node", "'kind: Node' is no JSON text and no file .* looks like YAML"),
        ("apiVersion: v1\nitems: []\n", "source 1 is YAML, not JSON"),
        ("Name:               node-a\nRoles: x\n", "is what `kubectl describe` prints, not JSON"),
        ("<!DOCTYPE html>\n<html>", "is a web page"),
        (
            "error: You must be logged in\n",
            "a message of kubectl, not JSON: 'error: You must be .*'; see to that first",
        ),
        (
            b"Error from server (Forbidden): nodes is forbidden",
            "of kubectl, .* 'Error from server .*nodes is forbidden'",
        ),
        (b"The connection to the server localhost:8080 was refused", "is a message of kubectl, .* 'The connection to"),
        (b'E1123 16:51:38.000000   77 memcache.go:265] "Unhandled Error"', "a message of kubectl, .* 'E1123 16:51"),
        ("10.0.0.0/25 dev cni0 proto kernel\n", "is what `ip route` prints, .* only Nodes and Pods are read"),
        ("default via 192.168.0.253 dev eth0\n", "is what `ip route` prints, .* only Nodes and Pods are read"),
        ("Kernel IP routing table\n", "is what `route -n` prints"),
        ("1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536\n", "is what `ip addr` prints"),
        ("# Generated by iptables-save v1.8.10\n*nat\n", "is what iptables prints"),
        ("-P INPUT ACCEPT\n-A FORWARD -j DROP\n", "is what iptables prints"),
        ("Chain PREROUTING (policy ACCEPT)\n", "is what iptables prints"),
        ('{"items": [', r"ends in the middle of the JSON, at line 1, column 11: it was probably cut off"),
        ('{"items": [\n {', r"ends in the middle of the JSON, at line 2, column 2: "),
        ("x" * 300, r"no JSON text and no file of this name exists"),  # no file may have so long a name
        ("nodes\0.json", r"no JSON text and no file of this name exists"),
        ('{"items": [}', r"is no JSON: Expecting value at line 1, column 12, near '.*\}'; save a dump"),
        ('{"items": [\n"a\nb"]}', r"is no JSON: Invalid control character at at line 2, column 3"),
        (TEXT + "}", "is no JSON: Expecting value at line 1"),
        ("[" * 100_000, "is nested too deeply"),
        ('{"items": [{"kind":"Node","metadata":' + "[" * 900 + "]" * 900 + "}]}", "metadata|nested too deeply"),
        ("\n" + "1" * 5000, "is no dump of kubectl: Exceeds the limit"),
        ("\n7", "is JSON, but only 7"),
        ('{"a": 1, "b": 2}', "is JSON, but not from kubectl: its keys are 'a', 'b'"),
        ("{}", "its keys are none"),
        ('{"kind": "List", "items": "node-a"}', 'source 1: items should be a list, and is "node-a"'),
        ('{"kind": "List", "items": {"a": 1}}', "items should be a list"),
        ('{"kind": "List", "items": null}', "no node and no pod in it"),
        ("[]", "no node and no pod in it"),
        ('{"kind": "List", "items": [7]}', "no node and no pod in it; first warning: items: is no object"),
        ('{"kind": "ServiceList", "items": [{"metadata": {}}]}', "no node and no pod in it, only 1 of kind Service"),
        ('{"kind": "Status", "message": "nodes is forbidden"}', "answer of the API server.*: nodes is forbidden"),
        (b"\xff\xd8\xff\xe0 JFIF", "is no text: byte 0xff at offset 0 is no utf-8"),
        (7, "source 1 is of type int; give JSON text, bytes, a path or an open file"),
        (io.StringIO("x" * 100), "is no JSON: Expecting value"),
    ],
)
def test_no_dump(source: Any, says: str) -> None:
    with pytest.raises(DumpError, match=says):
        read_kubectl(source)


def test_an_open_file_that_is_no_text_of_its_encoding(tmp_path: Path) -> None:
    path = tmp_path / "dump.json"
    path.write_bytes(TEXT.encode() + b"\xff")
    with path.open(encoding="utf-8") as file, pytest.raises(DumpError, match=r"cannot be read: 'utf-8' codec can't"):
        read_kubectl(file)


def test_no_source() -> None:
    with pytest.raises(DumpError, match="no node and no pod"):
        read_kubectl()


def test_the_command_that_cuts_a_dump_down_keeps_what_is_read_of_a_node() -> None:
    kept = {part: names.split(", ") for part, names in re.findall(r"\(\.(\w+) \| \{([^}]*)\}\)", CUT_DOWN)}
    items = json.loads(EXAMPLE.read_text())["items"]
    small = [{"kind": i["kind"], **{p: {n: i[p].get(n) for n in names} for p, names in kept.items()}} for i in items]
    whole, cut = (read_kubectl(json.dumps({"items": found})).network for found in (items, small))
    told = [[(n.name, n.address, n.pod_cidr, n.ready, n.conditions) for n in x.nodes.values()] for x in (whole, cut)]
    assert told[0] == told[1]
    assert {node.ready for node in cut.nodes.values()} == {"True"}
    assert kubectl_nodes(cut) == kubectl_nodes(whole)


def refusal_of(*sources: Any) -> int:
    """Return how many bytes it took at most to refuse these sources."""
    tracemalloc.start()
    try:
        with pytest.raises(DumpError, match=r"at most 64\.0 MB are read.*jq -c.*--field-selector.*or raise max_bytes"):
            read_kubectl(*sources)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_200_mb_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "dump.json"
    with path.open("wb") as file:
        file.truncate(200 * 2**20)  # a sparse file: as large, but not on the disk
    little = 2**20
    assert refusal_of(path) < little
    assert refusal_of(str(path)) < little
    assert refusal_of(path, path) < little
    with path.open("rb") as opened:
        assert refusal_of(opened) < little
    with path.open() as opened_as_text:
        assert refusal_of(opened_as_text) < little
    whole = bytes(200 * 2**20)
    assert refusal_of(whole) < little
    assert refusal_of(memoryview(whole)) < little
    assert refusal_of(io.BytesIO(whole)) < 70 * 2**20  # how much there is shows only when it is read
    del whole
    assert refusal_of("[" * (200 * 2**20)) < little


def test_size_limit_is_for_all_sources_together() -> None:
    room = len(TEXT) + 50
    assert read_kubectl(TEXT, max_bytes=room).network.nodes
    for all_that_is_allowed in (TEXT, io.StringIO(TEXT), io.BytesIO(TEXT.encode())):
        assert read_kubectl(all_that_is_allowed, max_bytes=len(TEXT)).network.nodes
    with pytest.raises(DumpError, match="all 2 sources together"):
        read_kubectl(TEXT, TEXT, max_bytes=room)
    with pytest.raises(DumpError, match="over the limit"):
        read_kubectl(io.StringIO(TEXT), io.StringIO(TEXT), max_bytes=room)


CUT = json.dumps(json.loads(dump(node(podCIDRs=["172.16.0.128/25"], unschedulable=True), pod(note="caf\u00e9 \\"))))
CUT += "\n" + json.dumps(json.loads(dump(pod("a2", "172.16.0.131", x=[-1.5e3, None, False]))), indent=1)


@given(st.integers(0, len(CUT)))
def test_any_truncation_is_one_clear_error_or_a_network(length: int) -> None:
    try:
        found = read_kubectl(CUT[:length])
    except DumpError as error:
        said = str(error)
    else:
        said = "" if set(found.network.nodes) == {"node-a"} else "half a network"
    assert not said or "ends in the middle of the JSON" in said or length == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just("10.0.0.1"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    ("metadata", "name"), ("metadata", "namespace"), ("metadata", "labels"), ("metadata", "annotations"), ("spec",),
    ("spec", "podCIDR"), ("spec", "podCIDRs"), ("spec", "nodeName"), ("spec", "hostNetwork"), ("spec", "providerID"),
    ("spec", "securityContext"), ("status",), ("status", "phase"), ("status", "podIP"), ("status", "podIPs"),
    ("status", "addresses"), ("status", "conditions"), ("status", "containerStatuses"), ("kind",), ("metadata",),
]  # fmt: skip


@given(base=st.sampled_from([node(), pod()]), changes=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))
def test_any_value_anywhere_is_read_or_warned_about(base: Any, changes: dict[tuple[str, ...], Any]) -> None:
    item = json.loads(json.dumps(base))
    for (*outer, last), value in changes.items():
        inside = item[outer[0]] if outer else item
        if isinstance(inside, dict):
            inside[last] = value
    found = read_kubectl(dump(item, node("other", "172.16.8.0/25", "192.168.0.11")))
    assert found.network.nodes["other"].pod_cidr == IPv4Network("172.16.8.0/25")
    for place in (*found.network.nodes, *found.network.pods):
        assert found.network.tables(place).unknown
    for warning in found.warnings:
        str(warning).encode()


@given(st.text(max_size=40) | st.binary(max_size=40))
def test_any_other_text_is_one_clear_error(text: str | bytes) -> None:
    with pytest.raises(DumpError):
        read_kubectl(text)


@pytest.mark.parametrize("steering", ["\x1b[2J", "\a", "\u202e", "\u200b"])
def test_what_would_steer_a_terminal_is_replaced_and_said(steering: str) -> None:
    pod = {"kind": "Pod", "metadata": {"name": f"web{steering}1", "namespace": "default"}, "spec": {"nodeName": "n"}}
    found = read_kubectl(json.dumps({"kind": "List", "items": [pod]}))
    assert steering not in repr(tuple(found.network.pods)).encode().decode("unicode_escape")
    assert any("turn text round" in warning.message for warning in found.warnings)
    assert any(json.dumps(f"web{steering}1") in (warning.raw or "") for warning in found.warnings)
