"""flanneld on one node: its lease, its iptables rules and subnet.env. Control plane, node stage.

With the backend `alloc`, the one of ACK, that is all of it: no device, no route, no tunnel. The VPC does the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv4Network
from typing import Literal

from flannelviz.controlplane.backends import BACKENDS, FLANNELD, vtep_mac
from flannelviz.controlplane.failure import Failure
from flannelviz.model import BackendKind, ClusterPlan, MasqueradeRules, Node, interface
from flannelviz.tables import Chain, File, Match, Origin, Rule, Tables

SUBNET_ENV = "/run/flannel/subnet.env"
NET_CONF = "/etc/kube-flannel/net-conf.json"
CNI_CONF = "/etc/cni/net.d/10-flannel.conf"
CNI_NETWORK = "cb0"  # the name that ACK gives the network; upstream says cbr0
ANNOTATION = "flannel.alpha.coreos.com/"

MULTICAST = IPv4Network("224.0.0.0/4")
MASQUERADE_MARK = (0x4000, 0x4000)  # what kube-proxy puts on packets that it wants masqueraded itself
RANDOM_FULLY = ("--random-fully",)
MASQ_COMMENT, FORWARD_COMMENT = "flanneld masq", "flanneld forward"

Table = Literal["filter", "nat"]
KERNEL_CHAINS: Mapping[Table, tuple[str, ...]] = {
    "nat": ("PREROUTING", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}


def built_in(table: Table) -> tuple[Chain, ...]:
    """Return the empty chains that the kernel makes when `table` is first used, with its default policy."""
    return _BUILT_IN[table]


_BUILT_IN: dict[Table, tuple[Chain, ...]] = {
    table: tuple(
        Chain(
            table, name, policy="ACCEPT", origin=Origin("kernel", f"makes the {table} table", "iptables asked for it")
        )
        for name in names
    )
    for table, names in KERNEL_CHAINS.items()
}


def net_conf(plan: ClusterPlan) -> File:
    """Return net-conf.json of the ConfigMap kube-flannel-cfg, from which flanneld learns the cluster CIDR."""
    text = json.dumps({"Network": str(plan.cluster_cidr), "Backend": {"Type": plan.backend}}, indent=2)
    because = f"the pod CIDR of the cluster is {plan.cluster_cidr}"
    return File(NET_CONF, text + "\n", Origin("provisioning script", "applies the ConfigMap kube-flannel-cfg", because))


@lru_cache(maxsize=8)
def _cni_conf(hairpin: bool) -> File:
    delegate = {"isDefaultGateway": True} | ({"hairpinMode": True} if hairpin else {})
    text = json.dumps({"name": CNI_NETWORK, "type": "flannel", "delegate": delegate}, indent=2)
    origin = Origin(FLANNELD, f"install-cni writes {CNI_CONF}", "cni-conf.json of the ConfigMap kube-flannel-cfg")
    return File(CNI_CONF, text + "\n", origin)


def cni_conf(plan: ClusterPlan) -> File:
    """Return the CNI configuration that the kubelet finds: the flannel CNI plugin, and what it tells `bridge`.

    Shape: one file, the same object for every node.
    """
    return _cni_conf(plan.hairpin)


def subnet_env(plan: ClusterPlan, pod_cidr: IPv4Network) -> File:
    """Return subnet.env, all that the flannel CNI plugin ever learns from flanneld.

    FLANNEL_SUBNET is no network but the address of cni0 with its prefix length.
    Source: flannel main.go v0.11.0, WriteSubnetFile.
    """
    text = (
        f"FLANNEL_NETWORK={plan.cluster_cidr}\n"
        f"FLANNEL_SUBNET={interface(pod_cidr[1], pod_cidr)}\n"
        f"FLANNEL_MTU={BACKENDS[plan.backend].mtu(plan.mtu)}\n"
        f"FLANNEL_IPMASQ={str(plan.masquerade).lower()}\n"
    )
    return File(SUBNET_ENV, text, Origin(FLANNELD, f"writes {SUBNET_ENV}", f"the Node has podCIDR {pod_cidr}"))


def node_annotations(node: Node, kind: BackendKind = "alloc") -> tuple[tuple[str, str], ...]:
    """Return the annotations by which flanneld publishes its lease on the Node.

    Shape: four pairs; they replace earlier ones of the same name.
    Source: flannel pkg/subnet/kube/kube.go; only vxlan has backend data; JSON writes null for the others.
    """
    return (
        (ANNOTATION + "backend-data", f'{{"VNI":1,"VtepMAC":"{vtep_mac(node)}"}}' if kind == "vxlan" else "null"),
        (ANNOTATION + "backend-type", kind),
        (ANNOTATION + "kube-subnet-manager", "true"),
        (ANNOTATION + "public-ip", str(node.address)),
    )


def lease_acquired(node: Node, kind: BackendKind = "alloc") -> Node | Failure:
    """Return `node` with its lease published, or flanneld's failure when it has no podCIDR."""
    failure = _lease_failure(node)
    if failure:
        return failure
    kept = tuple(pair for pair in node.annotations if not pair[0].startswith(ANNOTATION))
    return replace(node, annotations=kept + node_annotations(node, kind))


def _lease_failure(node: Node) -> Failure | None:
    """Return why flanneld gets no lease for `node`, or None.

    Source: flannel subnet/kube/kube.go v0.11.0, AcquireLease.
    """
    if node.pod_cidr is not None:
        return None
    why = f'failed to acquire lease: node "{node.name}" pod cidr not assigned'
    return Failure(FLANNELD, f"Error registering network: {why}")


def masquerade_chains(
    cluster_cidr: IPv4Network,
    pod_cidr: IPv4Network,
    rules: MasqueradeRules = "v0.10",
    *,
    random_fully: bool | None = None,
) -> tuple[Chain, ...]:
    """Return what `--ip-masq` adds to the nat table of the node that owns `pod_cidr`.

    `random_fully` says whether iptables knows --random-fully; None means what was usual at that version.
    Shape: the rules to append to POSTROUTING, then any chains of flannel's own.
    Source: flannel network/iptables.go v0.10.0; pkg/trafficmngr/iptables/iptables.go v0.28.9.
    """
    if rules == "v0.10":
        return (_postrouting_v0_10(cluster_cidr, pod_cidr, bool(random_fully)),)
    return _chains_head(cluster_cidr, pod_cidr, random_fully is not False)


def _postrouting_v0_10(cluster: IPv4Network, pod_cidr: IPv4Network, random_fully: bool) -> Chain:
    inside, out, others = _shared_v0_10(cluster, random_fully)
    return Chain("nat", "POSTROUTING", "ACCEPT", (inside, out, _arriving(cluster, pod_cidr, ""), others))


@lru_cache(maxsize=64)
def _shared_v0_10(cluster: IPv4Network, random_fully: bool) -> tuple[Rule, Rule, Rule]:
    inside = Rule("RETURN", src=Match(cluster), dst=Match(cluster), origin=_masq_origin(cluster))
    return (inside, *_masquerading(cluster, random_fully, ""))


def _chains_head(cluster: IPv4Network, pod_cidr: IPv4Network, random_fully: bool) -> tuple[Chain, ...]:
    hook, marked, out, others = _shared_head(cluster, random_fully)
    origin = _lease_origin(pod_cidr)
    ours, all_pods = Match(pod_cidr), Match(cluster)
    rules = (
        marked,
        Rule("RETURN", src=ours, dst=all_pods, comment=MASQ_COMMENT, origin=origin),
        Rule("RETURN", src=all_pods, dst=ours, comment=MASQ_COMMENT, origin=origin),
        _arriving(cluster, pod_cidr, MASQ_COMMENT),
        out,
        others,
    )
    return (hook, Chain("nat", "FLANNEL-POSTRTG", rules=rules, origin=_masq_origin(cluster)))


@lru_cache(maxsize=64)
def _shared_head(cluster: IPv4Network, random_fully: bool) -> tuple[Chain, Rule, Rule, Rule]:
    origin = _masq_origin(cluster)
    jump = Rule("FLANNEL-POSTRTG", comment=MASQ_COMMENT, origin=origin)
    marked = Rule("RETURN", mark=MASQUERADE_MARK, comment=MASQ_COMMENT, origin=origin)
    hook = Chain("nat", "POSTROUTING", "ACCEPT", (jump,))
    return (hook, marked, *_masquerading(cluster, random_fully, MASQ_COMMENT))


def _arriving(cluster: IPv4Network, pod_cidr: IPv4Network, comment: str) -> Rule:
    """Return the rule that keeps the source of what comes from outside to a pod of this node."""
    outside, ours = Match(cluster, negated=True), Match(pod_cidr)
    return Rule("RETURN", src=outside, dst=ours, comment=comment, origin=_lease_origin(pod_cidr))


def _masquerading(cluster: IPv4Network, random_fully: bool, comment: str) -> tuple[Rule, Rule]:
    """Return the rules that translate: from pods to the outside, and from the outside to pods of other nodes."""
    all_pods, outside = Match(cluster), Match(cluster, negated=True)
    options, origin = RANDOM_FULLY if random_fully else (), _masq_origin(cluster)
    unicast = Match(MULTICAST, negated=True)
    return (
        Rule("MASQUERADE", src=all_pods, dst=unicast, options=options, comment=comment, origin=origin),
        Rule("MASQUERADE", src=outside, dst=all_pods, options=options, comment=comment, origin=origin),
    )


def _masq_origin(cluster: IPv4Network) -> Origin:
    return Origin(FLANNELD, "sets up masquerading (--ip-masq)", f"FLANNEL_NETWORK is {cluster}")


def _lease_origin(pod_cidr: IPv4Network) -> Origin:
    return Origin(FLANNELD, "sets up masquerading (--ip-masq)", f"this node's lease is {pod_cidr}")


@lru_cache(maxsize=64)
def forward_chains(cluster_cidr: IPv4Network, rules: MasqueradeRules = "v0.10") -> tuple[Chain, ...]:
    """Return what flanneld adds to the filter table, so that a FORWARD policy of DROP spares pods.

    Shape: the rules to append to FORWARD, then any chain of flannel's own; the same objects for every node.
    Source: flannel network/iptables.go v0.10.0; pkg/trafficmngr/iptables/iptables.go v0.28.9.
    """
    origin = Origin(FLANNELD, "sets up forwarding (--iptables-forward-rules)", f"FLANNEL_NETWORK is {cluster_cidr}")
    comment = "" if rules == "v0.10" else FORWARD_COMMENT
    pods = Match(cluster_cidr)
    accept = (
        Rule("ACCEPT", src=pods, comment=comment, origin=origin),
        Rule("ACCEPT", dst=pods, comment=comment, origin=origin),
    )
    if rules == "v0.10":
        return (Chain("filter", "FORWARD", "ACCEPT", accept),)
    jump = Rule("FLANNEL-FWD", comment=comment, origin=origin)
    return (
        Chain("filter", "FORWARD", "ACCEPT", (jump,)),
        Chain("filter", "FLANNEL-FWD", rules=accept, origin=origin),
    )


def appending(tables: Tables, additions: tuple[Chain, ...]) -> Tables:
    """Return `tables` with the rules of `additions` at the end of the chains that they name.

    Shape: built-in chains of the table appear if it was not in use; a chain that is there keeps its policy.
    """
    chains = {(chain.table, chain.name): chain for chain in tables.chains}
    for chain in additions:
        for made in built_in(chain.table):
            chains.setdefault((made.table, made.name), made)
        there = chains.get((chain.table, chain.name))
        if there is not None:
            chain = Chain(there.table, there.name, there.policy, there.rules + chain.rules, there.origin)
        chains[chain.table, chain.name] = chain
    return replace(tables, chains=tuple(chains.values()))


def cni_installed(tables: Tables, plan: ClusterPlan) -> Tables:
    """Return `tables` with the CNI configuration, which the init container install-cni copies."""
    return tables.adding(cni_conf(plan))


def _masquerade(pod_cidr: IPv4Network, plan: ClusterPlan) -> tuple[Chain, ...]:
    return masquerade_chains(plan.cluster_cidr, pod_cidr, plan.rules) if plan.masquerade else ()


def masquerading(tables: Tables, pod_cidr: IPv4Network, plan: ClusterPlan) -> Tables:
    """Return `tables` with the masquerade rules, or unchanged where flanneld runs without --ip-masq."""
    return appending(tables, _masquerade(pod_cidr, plan))


def forwarding(tables: Tables, plan: ClusterPlan) -> Tables:
    """Return `tables` with the forward rules."""
    return appending(tables, forward_chains(plan.cluster_cidr, plan.rules))


def subnet_env_written(tables: Tables, pod_cidr: IPv4Network, plan: ClusterPlan) -> Tables:
    """Return `tables` with subnet.env."""
    return tables.adding(subnet_env(plan, pod_cidr))


def register(tables: Tables, node: Node, plan: ClusterPlan) -> Tables | Failure:
    """Return the tables of `node` after all that flanneld does there, or why it exits.

    Shape: CNI configuration, backend, masquerade rules, forward rules, subnet.env, in this order; subnet.env exists
    only where a podCIDR was found. The lease itself goes to the Node: `lease_acquired`.
    Source: flannel main.go v0.11.0.
    """
    failure = _lease_failure(node)
    if failure:
        return failure
    assert node.pod_cidr is not None, "who has a lease has a podCIDR"
    chains = _masquerade(node.pod_cidr, plan) + forward_chains(plan.cluster_cidr, plan.rules)
    own = BACKENDS[plan.backend].own(tables, node)
    return appending(tables, chains).adding(*own, cni_conf(plan), subnet_env(plan, node.pod_cidr))
