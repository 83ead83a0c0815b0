"""Each artefact hands on what the one before it said."""

import re
import subprocess
from ipaddress import IPv4Address, IPv4Network

import pytest
import yaml

from flannelviz.controlplane import kubeadm
from flannelviz.model import ClusterPlan, Condition, Node

PLAN = ClusterPlan()
NODE_A = Node(
    "node-a",
    IPv4Address("192.168.0.10"),
    IPv4Network("172.16.0.128/25"),
    "cn-hangzhou.i-bp10702c1cc60ff9e133",
    annotations=(("flannel.alpha.coreos.com/backend-data", "null"),),
    labels=(("kubernetes.io/hostname", "node-a"),),
)
NO_ROUTE = Condition("NetworkUnavailable", "True", "NoRouteCreated", "Node created without a route")


def lines(file):
    return [line.strip() for line in file.text.splitlines()]


@pytest.mark.parametrize(
    ("artefact", "line"),
    [
        (kubeadm.provisioning_script, "export POD_CIDR=172.16.0.0/16"),
        (kubeadm.provisioning_script, "export NODE_CIDR_MASK=25  # 128 addresses on each node"),
        (kubeadm.provisioning_script, "export SERVICE_CIDR=172.19.0.0/20"),
        (kubeadm.cluster_configuration, "apiVersion: kubeadm.k8s.io/v1alpha3"),
        (kubeadm.cluster_configuration, "podSubnet: 172.16.0.0/16"),
        (kubeadm.cluster_configuration, "serviceSubnet: 172.19.0.0/20"),
        (kubeadm.cluster_configuration, 'node-cidr-mask-size: "25"  # without it kubeadm says 24'),
        (kubeadm.cluster_configuration, "cloud-provider: external"),
        (kubeadm.controller_manager_manifest, "- --allocate-node-cidrs=true"),
        (kubeadm.controller_manager_manifest, "- --cluster-cidr=172.16.0.0/16"),
        (kubeadm.controller_manager_manifest, "- --node-cidr-mask-size=25"),
        (kubeadm.controller_manager_manifest, "- --service-cluster-ip-range=172.19.0.0/20"),
        (kubeadm.controller_manager_manifest, "- --cloud-provider=external"),
    ],
)
def test_plan_reaches_every_artefact(artefact, line):
    assert line in lines(artefact(PLAN))


def test_paths_and_authors():
    files = [make(PLAN) for make in (kubeadm.provisioning_script, kubeadm.cluster_configuration)]
    manifest = kubeadm.controller_manager_manifest(PLAN)
    assert [file.path for file in (*files, manifest)] == [
        "/opt/ack/provision.sh",
        "/etc/kubernetes/kubeadm.conf",
        "/etc/kubernetes/manifests/kube-controller-manager.yaml",
    ]
    assert [file.origin.component for file in (*files, manifest)] == ["console", "provisioning script", "kubeadm"]
    assert "podSubnet 172.16.0.0/16" in manifest.origin.because


def test_no_artefact_names_a_host_to_download_from():
    for make in (kubeadm.provisioning_script, kubeadm.cluster_configuration, kubeadm.controller_manager_manifest):
        assert not re.search(r"\.(com|net|org)\b", make(PLAN).text)


def test_script_says_that_it_is_a_stand_in():
    script = kubeadm.provisioning_script(PLAN)
    assert "ACK's provisioning script is not public" in script.text
    subprocess.run(["bash", "-n"], input=script.text, text=True, check=True)


def test_without_a_service_cidr():
    plan = ClusterPlan(service_cidr=None)
    for artefact in (kubeadm.provisioning_script, kubeadm.cluster_configuration, kubeadm.controller_manager_manifest):
        text = artefact(plan).text.lower()
        assert "service_cidr" not in text and "servicesubnet" not in text and "service-cluster" not in text


def test_flags_are_sorted():
    flags = kubeadm.controller_manager_flags(PLAN)
    assert list(flags) == sorted(flags)
    assert not any(flag.startswith("--configure-cloud-routes") for flag in flags)


def test_node_object_is_what_kubectl_prints():
    assert kubeadm.node_object(NODE_A).path == "/registry/minions/node-a"
    assert kubeadm.node_object(NODE_A).text == (
        """\
apiVersion: v1
kind: Node
metadata:
  annotations:
    flannel.alpha.coreos.com/backend-data: "null"
  labels:
    kubernetes.io/hostname: node-a
  name: node-a
spec:
  podCIDR: 172.16.0.128/25
  providerID: cn-hangzhou.i-bp10702c1cc60ff9e133
status:
  addresses:
  - address: 192.168.0.10
    type: InternalIP
  - address: node-a
    type: Hostname
  conditions:
  - message: kubelet is posting ready status
    reason: KubeletReady
    status: "True"
    type: Ready
"""
    )


@pytest.mark.parametrize(("conditions", "tainted"), [((), False), ((NO_ROUTE,), True)])
def test_taint_follows_from_network_unavailable(conditions, tainted):
    node = Node("node-a", conditions=conditions)
    assert kubeadm.unavailable(node) is tainted
    text = kubeadm.node_object(node).text
    assert ("key: node.kubernetes.io/network-unavailable" in text) is tainted
    assert ("spec: {}" in text) is not tainted


@pytest.mark.parametrize(
    "text", ["true", "Null", "1.5", "", "a: b", "# no", "- x", 'say "hi"', "日本", "*", "1e3", "y"]
)
def test_every_text_survives_yaml(text):
    node = Node("node-a", annotations=(("key", text),), conditions=(Condition("Ready", "False", "Why", text),))
    read = yaml.safe_load(kubeadm.node_object(node).text)
    assert read["metadata"]["annotations"]["key"] == text
    assert read["status"]["conditions"][0]["message"] == text


def test_artefacts_are_yaml():
    configuration = yaml.safe_load(kubeadm.cluster_configuration(PLAN).text)
    assert configuration["networking"]["podSubnet"] == "172.16.0.0/16"
    assert configuration["controllerManagerExtraArgs"]["node-cidr-mask-size"] == "25"
    pod = yaml.safe_load(kubeadm.controller_manager_manifest(PLAN).text)
    assert pod["spec"]["containers"][0]["command"][1:] == list(kubeadm.controller_manager_flags(PLAN))
    assert pod["spec"]["hostNetwork"] is True
    node = yaml.safe_load(kubeadm.node_object(NODE_A).text)
    assert node["spec"]["podCIDR"] == "172.16.0.128/25"
    assert "podCIDRs" not in node["spec"]  # since Kubernetes 1.16
