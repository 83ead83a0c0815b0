"""flanneld writes subnet.env, its lease and its iptables rules, and with `alloc` nothing else."""

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from flannelviz.controlplane import flanneld
from flannelviz.controlplane.commands import rule_words
from flannelviz.controlplane.failure import Failure
from flannelviz.model import ClusterPlan, Node
from flannelviz.tables import Chain, Match, Route, Rule, Tables

PLAN = ClusterPlan()
CLUSTER = PLAN.cluster_cidr
NODE_A = Node("node-a", IPv4Address("192.168.0.10"), IPv4Network("172.16.0.128/25"))
NODE_B = Node("node-b", IPv4Address("192.168.0.11"), IPv4Network("172.16.8.0/25"))
FRESH = Tables(routes=(Route(IPv4Network("0.0.0.0/0"), "eth0", via=IPv4Address("192.168.0.253")),))


def registered(node=NODE_A, plan=PLAN, tables=FRESH):
    after = flanneld.register(tables, node, plan)
    assert isinstance(after, Tables)
    return after


def rules_of(tables, table, name):
    return [rule_words(rule) for rule in tables.chain(table, name).rules]


@pytest.mark.parametrize(
    ("pod_cidr", "subnet"),
    [
        pytest.param("172.16.0.128/25", "172.16.0.129/25", id="fact-11: node-a"),
        pytest.param("172.16.8.0/25", "172.16.8.1/25", id="fact-11: node-b"),
        pytest.param("10.0.0.64/26", "10.0.0.65/26", id="fact-11: another mask"),
    ],
)
def test_flannel_subnet_is_the_address_of_cni0(pod_cidr, subnet):
    text = flanneld.subnet_env(PLAN, IPv4Network(pod_cidr)).text
    assert f"FLANNEL_SUBNET={subnet}\n" in text


def test_subnet_env_is_what_a_node_shows():
    assert flanneld.subnet_env(PLAN, IPv4Network("172.16.8.0/25")).text == (
        "FLANNEL_NETWORK=172.16.0.0/16\nFLANNEL_SUBNET=172.16.8.1/25\nFLANNEL_MTU=1500\nFLANNEL_IPMASQ=true\n"
    )


@pytest.mark.parametrize("mtu", [1500, 8500], ids="fact-47: alloc keeps {}".format)
def test_alloc_costs_no_byte(mtu):
    assert f"FLANNEL_MTU={mtu}\n" in flanneld.subnet_env(replace(PLAN, mtu=mtu), CLUSTER).text


@pytest.mark.parametrize("rules", ["v0.10", "head"], ids="fact-24: {}".format)
def test_alloc_adds_no_route_device_or_neighbor(rules):
    """The way to other nodes is the cloud's affair."""
    after = registered(plan=replace(PLAN, rules=rules))
    assert (after.routes, after.links, after.neighbors, after.fdb) == (FRESH.routes, (), (), ())
    assert [file.path for file in after.files] == [flanneld.CNI_CONF, flanneld.SUBNET_ENV]


def test_masquerade_list_a():
    assert rules_of(registered(), "nat", "POSTROUTING") == [
        "-s 172.16.0.0/16 -d 172.16.0.0/16 -j RETURN",
        "-s 172.16.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE",
        "! -s 172.16.0.0/16 -d 172.16.0.128/25 -j RETURN",
        "! -s 172.16.0.0/16 -d 172.16.0.0/16 -j MASQUERADE",
    ]


def test_masquerade_list_b():
    after = registered(plan=replace(PLAN, rules="head"))
    comment = "-m comment --comment 'flanneld masq'"
    assert rules_of(after, "nat", "POSTROUTING") == [f"{comment} -j FLANNEL-POSTRTG"]
    assert rules_of(after, "nat", "FLANNEL-POSTRTG") == [
        f"-m mark --mark 0x4000/0x4000 {comment} -j RETURN",
        f"-s 172.16.0.128/25 -d 172.16.0.0/16 {comment} -j RETURN",
        f"-s 172.16.0.0/16 -d 172.16.0.128/25 {comment} -j RETURN",
        f"! -s 172.16.0.0/16 -d 172.16.0.128/25 {comment} -j RETURN",
        f"-s 172.16.0.0/16 ! -d 224.0.0.0/4 {comment} -j MASQUERADE --random-fully",
        f"! -s 172.16.0.0/16 -d 172.16.0.0/16 {comment} -j MASQUERADE --random-fully",
    ]


@pytest.mark.parametrize(
    ("rules", "random_fully", "fully_random"),
    [("v0.10", None, 0), ("v0.10", True, 2), ("head", None, 2), ("head", False, 0)],
)
def test_random_fully_is_an_option_of_both_masquerade_rules(rules, random_fully, fully_random):
    chains = flanneld.masquerade_chains(CLUSTER, NODE_A.pod_cidr, rules, random_fully=random_fully)
    found = [rule for chain in chains for rule in chain.rules if rule.options == ("--random-fully",)]
    assert [rule.target for rule in found] == ["MASQUERADE"] * fully_random


def test_forward_rules_of_both_generations():
    assert rules_of(registered(), "filter", "FORWARD") == ["-s 172.16.0.0/16 -j ACCEPT", "-d 172.16.0.0/16 -j ACCEPT"]
    head = registered(plan=replace(PLAN, rules="head"))
    comment = "-m comment --comment 'flanneld forward'"
    assert rules_of(head, "filter", "FORWARD") == [f"{comment} -j FLANNEL-FWD"]
    assert rules_of(head, "filter", "FLANNEL-FWD") == [
        f"-s 172.16.0.0/16 {comment} -j ACCEPT",
        f"-d 172.16.0.0/16 {comment} -j ACCEPT",
    ]


def test_rules_are_appended_and_a_policy_stays():
    docker = Rule("DOCKER-USER", src=Match(CLUSTER))
    before = replace(FRESH, chains=(Chain("filter", "FORWARD", "DROP", (docker,)),))
    chain = registered(tables=before).chain("filter", "FORWARD")
    assert chain.policy == "DROP"
    assert [rule.target for rule in chain.rules] == ["DOCKER-USER", "ACCEPT", "ACCEPT"]


def test_the_kernel_makes_the_built_in_chains():
    made = [(c.table, c.name, c.policy) for c in registered().chains]
    assert made == [
        ("nat", "PREROUTING", "ACCEPT"),
        ("nat", "OUTPUT", "ACCEPT"),
        ("nat", "POSTROUTING", "ACCEPT"),
        ("filter", "INPUT", "ACCEPT"),
        ("filter", "FORWARD", "ACCEPT"),
        ("filter", "OUTPUT", "ACCEPT"),
    ]
    assert {chain.origin.component for chain in registered().chains} == {"kernel"}


@pytest.mark.parametrize(
    ("masquerade", "rules", "said"),
    [
        pytest.param(True, 4, "true", id="fact-44: with --ip-masq"),
        pytest.param(False, 0, "false", id="fact-44: without, flanneld leaves masquerading to bridge"),
    ],
)
def test_ip_masq_decides_who_masquerades(masquerade, rules, said):
    after = registered(plan=replace(PLAN, masquerade=masquerade))
    assert sum(len(chain.rules) for chain in after.chains if chain.table == "nat") == rules
    assert f"FLANNEL_IPMASQ={said}\n" in after.file(flanneld.SUBNET_ENV).text


def test_a_node_without_podcidr_gets_no_lease():
    node = Node("node-x", IPv4Address("192.168.0.12"))
    said = 'Error registering network: failed to acquire lease: node "node-x" pod cidr not assigned'
    assert flanneld.register(FRESH, node, PLAN) == Failure("flanneld", said)
    assert flanneld.lease_acquired(node) == Failure("flanneld", said)


def test_the_lease_is_four_annotations_that_replace_older_ones():
    once = flanneld.lease_acquired(replace(NODE_B, annotations=(("other", "kept"),)))
    assert once.annotations == (
        ("other", "kept"),
        ("flannel.alpha.coreos.com/backend-data", "null"),
        ("flannel.alpha.coreos.com/backend-type", "alloc"),
        ("flannel.alpha.coreos.com/kube-subnet-manager", "true"),
        ("flannel.alpha.coreos.com/public-ip", "192.168.0.11"),
    )
    assert flanneld.lease_acquired(once) == once


def test_the_configmap_is_that_of_ack():
    assert json.loads(flanneld.net_conf(PLAN).text) == {"Network": "172.16.0.0/16", "Backend": {"Type": "alloc"}}
    conf = {"name": "cb0", "type": "flannel", "delegate": {"isDefaultGateway": True}}
    assert json.loads(flanneld.cni_conf(PLAN).text) == conf
    conf["delegate"]["hairpinMode"] = True
    assert json.loads(flanneld.cni_conf(replace(PLAN, hairpin=True)).text) == conf


@pytest.mark.parametrize("rules", ["v0.10", "head"])
def test_nodes_share_what_does_not_depend_on_them(rules):
    a, b = (registered(node, replace(PLAN, rules=rules)) for node in (NODE_A, NODE_B))
    assert a.file(flanneld.CNI_CONF) is b.file(flanneld.CNI_CONF)
    own = {
        id(rule)
        for chain in a.chains
        for rule in chain.rules
        if all(rule is not other for c in b.chains for other in c.rules)
    }
    assert len(own) == (1 if rules == "v0.10" else 3)


@pytest.mark.parametrize("rules", ["v0.10", "head"])
def test_register_is_its_steps_in_order(rules):
    plan = replace(PLAN, rules=rules)
    steps = flanneld.cni_installed(FRESH, plan)
    steps = flanneld.forwarding(flanneld.masquerading(steps, NODE_A.pod_cidr, plan), plan)
    assert flanneld.subnet_env_written(steps, NODE_A.pod_cidr, plan) == registered(plan=plan)
