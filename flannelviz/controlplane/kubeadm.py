"""What carries the plan from the console to kube-controller-manager: script, ClusterConfiguration, static pod, Node.

Control plane, cluster stage. Nothing here decides; each artefact hands on what the one before it said:
console -> provisioning script -> kubeadm ClusterConfiguration -> flags of kube-controller-manager -> Node.

Source: kubernetes/cloud-provider-alibaba-cloud docs/examples/{kubeadm-new.conf,kube-controller-manager.yml};
kubernetes cmd/kubeadm/app/phases/controlplane/manifests.go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from textwrap import indent

from flannelviz.model import ClusterPlan, Condition, Node
from flannelviz.tables import File, Origin

SCRIPT = "/opt/ack/provision.sh"
CLUSTER_CONFIGURATION = "/etc/kubernetes/kubeadm.conf"
MANIFEST = "/etc/kubernetes/manifests/kube-controller-manager.yaml"
KUBERNETES_VERSION = "v1.12.6"
NODES = "/registry/minions"  # the key under which etcd keeps Node objects
UNAVAILABLE_TAINT = "node.kubernetes.io/network-unavailable"


def provisioning_script(plan: ClusterPlan) -> File:
    """Return a script that brings the console's answers to the first master.

    Source: none. ACK's own script is not public, and the artefact says so.
    """
    service = f"export SERVICE_CIDR={plan.service_cidr}\n" if plan.service_cidr else ""
    text = f"""\
#!/bin/bash
# ACK's provisioning script is not public. This one shows no more than what it has to carry:
# the answers that were given to the console, on their way into the kubeadm configuration.
set -eu
export REGION={plan.region}
export POD_CIDR={plan.cluster_cidr}
export NODE_CIDR_MASK={plan.node_mask}  # {1 << (32 - plan.node_mask)} addresses on each node
{service}envsubst < kubeadm.conf.tpl > {CLUSTER_CONFIGURATION}
kubeadm init --config {CLUSTER_CONFIGURATION}
"""
    return File(SCRIPT, text, Origin("console", "CreateCluster", f"the plan has pod CIDR {plan.cluster_cidr}"))


def cluster_configuration(plan: ClusterPlan) -> File:
    """Return the ClusterConfiguration that kubeadm is given: podSubnet, serviceSubnet, node-cidr-mask-size.

    Source: apiVersion v1alpha3, that of Kubernetes 1.12.
    """
    service = f"  serviceSubnet: {plan.service_cidr}\n" if plan.service_cidr else ""
    text = f"""\
apiVersion: kubeadm.k8s.io/v1alpha3
kind: ClusterConfiguration
kubernetesVersion: {KUBERNETES_VERSION}
clusterName: kubernetes
apiServerExtraArgs:
  cloud-provider: external
controllerManagerExtraArgs:
  cloud-provider: external
  horizontal-pod-autoscaler-use-rest-clients: "false"
  node-cidr-mask-size: "{plan.node_mask}"  # without it kubeadm says 24
networking:
  dnsDomain: cluster.local
  podSubnet: {plan.cluster_cidr}
{service}"""
    because = f"POD_CIDR is {plan.cluster_cidr} and NODE_CIDR_MASK is {plan.node_mask}"
    return File(CLUSTER_CONFIGURATION, text, Origin("provisioning script", f"writes {CLUSTER_CONFIGURATION}", because))


def controller_manager_flags(plan: ClusterPlan) -> tuple[str, ...]:
    """Return the flags of kube-controller-manager, in alphabetical order as kubeadm writes them.

    `--configure-cloud-routes` is left at its default, true: with an external cloud provider it is the
    cloud-controller-manager that makes routes.
    """
    flags = {
        "address": "127.0.0.1",
        "allocate-node-cidrs": "true",
        "cloud-provider": "external",
        "cluster-cidr": str(plan.cluster_cidr),
        "cluster-signing-cert-file": "/etc/kubernetes/pki/ca.crt",
        "cluster-signing-key-file": "/etc/kubernetes/pki/ca.key",
        "controllers": "*,bootstrapsigner,tokencleaner",
        "horizontal-pod-autoscaler-use-rest-clients": "false",
        "kubeconfig": "/etc/kubernetes/controller-manager.conf",
        "leader-elect": "true",
        "node-cidr-mask-size": str(plan.node_mask),
        "root-ca-file": "/etc/kubernetes/pki/ca.crt",
        "service-account-private-key-file": "/etc/kubernetes/pki/sa.key",
        "use-service-account-credentials": "true",
    }
    if plan.service_cidr is not None:
        flags["service-cluster-ip-range"] = str(plan.service_cidr)  # newer kubeadm; 1.12 left it out
    return tuple(f"--{name}={flags[name]}" for name in sorted(flags))


def controller_manager_manifest(plan: ClusterPlan) -> File:
    """Return the static pod of kube-controller-manager, whose flags hold the cluster CIDR and the node mask.

    Shape: without the volumes and the probe, which say nothing about the network.
    """
    command = indent("".join(f"- {flag}\n" for flag in controller_manager_flags(plan)), " " * 4)
    text = f"""\
apiVersion: v1
kind: Pod
metadata:
  annotations:
    scheduler.alpha.kubernetes.io/critical-pod: ""
  labels:
    component: kube-controller-manager
    tier: control-plane
  name: kube-controller-manager
  namespace: kube-system
spec:
  containers:
  - command:
    - kube-controller-manager
{command}    image: kube-controller-manager-amd64:{KUBERNETES_VERSION}
    imagePullPolicy: IfNotPresent
    name: kube-controller-manager
  hostNetwork: true
"""
    because = f"{CLUSTER_CONFIGURATION} has podSubnet {plan.cluster_cidr} and node-cidr-mask-size {plan.node_mask}"
    return File(MANIFEST, text, Origin("kubeadm", "init", because))


def node_object(node: Node, origin: Origin | None = None) -> File:
    """Return the Node as `kubectl get node -o yaml` prints it, reduced to what the network reads and writes of it.

    Shape: the taint follows from NetworkUnavailable=True. `origin` says who changed the Node last.
    """
    pod_cidr = f"  podCIDR: {node.pod_cidr}\n" if node.pod_cidr else ""  # and podCIDRs, since Kubernetes 1.16
    provider = f"  providerID: {_scalar(node.provider_id)}\n" if node.provider_id else ""
    fields = pod_cidr + provider + _taints(node)
    spec = f"spec:\n{fields}" if fields else "spec: {}\n"
    text = (
        "apiVersion: v1\nkind: Node\nmetadata:\n"
        f"{_mapping('annotations', node.annotations)}{_mapping('labels', node.labels)}  name: {_scalar(node.name)}\n"
        f"{spec}status:\n{_addresses(node)}{_conditions(node)}"
    )
    return File(f"{NODES}/{node.name}", text, origin or Origin("kube-apiserver", f"stores Node {node.name}"))


def unavailable(node: Node) -> bool:
    """Return whether the Node carries the taint network-unavailable: no ordinary pod is scheduled on it."""
    condition = node.condition("NetworkUnavailable")
    return condition is not None and condition.status == "True"


def _taints(node: Node) -> str:
    return f"  taints:\n  - effect: NoSchedule\n    key: {UNAVAILABLE_TAINT}\n" if unavailable(node) else ""


def _mapping(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    lines = "".join(f"    {_scalar(key)}: {_scalar(value)}\n" for key, value in pairs)
    return f"  {name}:\n{lines}" if lines else ""


def _addresses(node: Node) -> str:
    internal = f"  - address: {node.address}\n    type: InternalIP\n" if node.address else ""
    return f"  addresses:\n{internal}  - address: {_scalar(node.name)}\n    type: Hostname\n"


def _conditions(node: Node) -> str:
    ready = Condition("Ready", node.ready, *_READY[node.ready])
    shown = node.conditions if node.condition("Ready") else (*node.conditions, ready)
    return "  conditions:\n" + "".join(
        f"  - message: {_scalar(c.message)}\n    reason: {_scalar(c.reason)}\n"
        f"    status: {_scalar(c.status)}\n    type: {_scalar(c.type)}\n"
        for c in shown
    )


_READY = {
    "True": ("KubeletReady", "kubelet is posting ready status"),
    "False": ("KubeletNotReady", "kubelet is not ready"),
    "Unknown": ("NodeStatusUnknown", "Kubelet stopped posting node status."),
}
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 ./_-]*[A-Za-z0-9.]")
_NO_STRING = {"true", "false", "yes", "no", "on", "off", "null"}


def _scalar(text: str) -> str:
    """Return `text` as a YAML string, in quotes wherever YAML could read something else."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _NO_STRING else json.dumps(text)
