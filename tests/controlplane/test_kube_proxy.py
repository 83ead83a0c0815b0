"""kube-proxy's rules for ClusterIPs: the chains of 1.12, those of today as a node printed them, and their edges."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from flannelviz.controlplane.commands import rule_words
from flannelviz.controlplane.kube_proxy import kube_proxy_synced, service_chains
from flannelviz.controlplane.timeline import build
from flannelviz.model import ClusterPlan, ServicePlan
from flannelviz.tables import Chain, Rule, Tables
from flannelviz.topologies import article_plan
from flannelviz.views.ruletext import iptables_save

RECORD = Path(__file__).parents[1] / "data" / "real-text" / "kubeadm-iptables-save.txt"
WEB = ServicePlan("web", IPv4Address("172.19.0.10"), 80, ("a1", "a2", "b1"))
PODS = ("172.16.0.130", "172.16.0.131", "172.16.8.2")
ERAS = ("v0.10", "head")


def chains_of(addresses: tuple[str, ...] = PODS, service: ServicePlan = WEB, **plan: object) -> tuple[Chain, ...]:
    asked = replace(article_plan(), services=(service,), **plan)
    return service_chains(asked, [[IPv4Address(address) for address in addresses]])


def named(chains: tuple[Chain, ...], prefix: str) -> tuple[Chain, ...]:
    return tuple(chain for chain in chains if chain.name.startswith(prefix))


def saved(chains: tuple[Chain, ...]) -> list[str]:
    return [line for line in iptables_save(Tables(chains=chains)).splitlines() if line.startswith("-A KUBE")]


# --- as a node printed them ------------------------------------------------------------------------------------------

DNS = {"cluster_ip": IPv4Address("10.96.0.10"), "endpoints": ()}
RECORDED = (
    ServicePlan("kubernetes:https", IPv4Address("10.96.0.1"), 443, (), 6443),
    ServicePlan("kube-system/kube-dns:dns", port=53, target_port=53, proto="udp", **DNS),
    ServicePlan("kube-system/kube-dns:dns-tcp", port=53, target_port=53, **DNS),
    ServicePlan("kube-system/kube-dns:metrics", port=9153, target_port=9153, **DNS),
)


def test_todays_chains_are_what_a_node_printed_hashes_and_all() -> None:
    plan = ClusterPlan(cluster_cidr=IPv4Network("10.244.0.0/16"), rules="head", services=RECORDED)
    dns = [IPv4Address("10.244.0.2"), IPv4Address("10.244.0.3")]
    ours = saved(service_chains(plan, [[IPv4Address("172.31.7.91")], dns, dns, dns]))
    ports = "KUBE-SVC", "KUBE-SEP", "KUBE-SERVICES", "KUBE-MARK-MASQ", "KUBE-POSTROUTING"
    nat = RECORD.read_text().partition("*nat")[2].splitlines()
    recorded = [line for line in nat if line.startswith(tuple(f"-A {name}" for name in ports))]
    assert sorted(ours) == sorted(line for line in recorded if "KUBE-NODEPORTS" not in line)
    assert len(ours) == 33


# --- the shape -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "endpoints", "chances"),
    [
        ("v0.10", 1, [None]),
        ("v0.10", 2, [0.5, None]),
        pytest.param("v0.10", 3, [0.33333, 0.5, None], id="fact-49: three endpoints"),
        ("v0.10", 7, [0.14286, 0.16667, 0.2, 0.25, 0.33333, 0.5, None]),
        ("head", 3, [0.3333333333, 0.5, None]),
        ("head", 7, [0.1428571429, 0.1666666667, 0.2, 0.25, 0.3333333333, 0.5, None]),
    ],
)
def test_each_endpoint_gets_its_share_of_what_is_left(rules: str, endpoints: int, chances: list[float | None]) -> None:
    chains = chains_of(tuple(f"172.16.8.{n + 2}" for n in range(endpoints)), rules=rules)
    (svc,) = named(chains, "KUBE-SVC-")
    choosing = [rule for rule in svc.rules if rule.target.startswith("KUBE-SEP-")]
    assert [rule.probability for rule in choosing] == chances
    assert [rule.target for rule in choosing] == [chain.name for chain in named(chains, "KUBE-SEP-")]


@pytest.mark.parametrize(
    ("rules", "endpoints", "printed"),
    [
        ("v0.10", 3, "0.33332999982"),
        ("v0.10", 7, "0.14286000002"),
        ("v0.10", 2, "0.50000000000"),
        ("head", 3, "0.33333333349"),
        ("head", 7, "0.14285714272"),
    ],
)
def test_iptables_prints_a_chance_as_the_kernel_keeps_it(rules: str, endpoints: int, printed: str) -> None:
    lines = saved(chains_of(tuple(f"172.16.8.{n + 2}" for n in range(endpoints)), rules=rules))
    assert any(f"-m statistic --mode random --probability {printed} -j KUBE-SEP-" in line for line in lines)


def test_the_rules_of_1_12() -> None:
    one = chains_of(PODS[:1])
    svc, sep = (named(one, prefix)[0].name for prefix in ("KUBE-SVC-", "KUBE-SEP-"))
    portal = '-d 172.19.0.10/32 -p tcp -m comment --comment "default/web: cluster IP" -m tcp --dport 80'
    assert saved(one) == [
        "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000",
        '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" '
        "-m mark --mark 0x4000/0x4000 -j MASQUERADE",
        f'-A {sep} -s 172.16.0.130/32 -m comment --comment "default/web:" -j KUBE-MARK-MASQ',
        f'-A {sep} -p tcp -m comment --comment "default/web:" -m tcp -j DNAT --to-destination 172.16.0.130:8080',
        f"-A KUBE-SERVICES ! -s 172.16.0.0/16 {portal} -j KUBE-MARK-MASQ",
        f"-A KUBE-SERVICES {portal} -j {svc}",
        f'-A {svc} -m comment --comment "default/web:" -j {sep}',
    ]


@pytest.mark.parametrize("rules", ERAS)
@pytest.mark.parametrize(("cni", "marks"), [("flannel", 1), ("terway", 0)])
def test_only_with_a_cluster_cidr_are_sources_outside_of_it_marked(rules: str, cni: str, marks: int) -> None:
    marking = [
        rule
        for chain in chains_of(rules=rules, cni=cni)
        for rule in chain.rules
        if rule.target == "KUBE-MARK-MASQ" and rule.src is not None and rule.src.negated
    ]
    assert len(marking) == marks


@pytest.mark.parametrize("rules", ERAS)
def test_the_jumps_stand_before_what_flanneld_appended(rules: str) -> None:
    tables = build(replace(article_plan(), services=(WEB,), rules=rules)).network.tables("node-a")
    heads = {name: tables.chain("nat", name).rules[0] for name in ("PREROUTING", "OUTPUT", "POSTROUTING")}
    assert {name: rule.target for name, rule in heads.items()} == {
        "PREROUTING": "KUBE-SERVICES",
        "OUTPUT": "KUBE-SERVICES",
        "POSTROUTING": "KUBE-POSTROUTING",
    }
    assert len(tables.chain("nat", "POSTROUTING").rules) == (5 if rules == "v0.10" else 2)


# --- edges -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rules", "name"), [("v0.10", "default/web:"), ("head", "default/web")])
def test_a_service_without_endpoints_is_refused_in_the_filter_table(rules: str, name: str) -> None:
    chains = chains_of((), rules=rules)
    assert not named(chains, "KUBE-SVC-") + named(chains, "KUBE-SEP-")
    tables = kube_proxy_synced(Tables(), chains)
    assert saved((tables.chain("filter", "KUBE-SERVICES"),)) == [
        f'-A KUBE-SERVICES -d 172.19.0.10/32 -p tcp -m comment --comment "{name} has no endpoints" '
        "-m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable"
    ]
    portals = Rule("KUBE-SERVICES", ctstate="NEW", comment="kubernetes service portals")
    assert tables.chain("filter", "FORWARD").rules == tables.chain("filter", "OUTPUT").rules == (portals,)


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        (("a1", "kube-system/dns"), ["172.16.0.130"]),  # a pod that does not exist is no endpoint
        (("default/b1", "a2"), ["172.16.8.2", "172.16.0.131"]),
        (("nobody",), []),
    ],
)
def test_endpoints_are_the_pods_that_have_an_address(endpoints: tuple[str, ...], expected: list[str]) -> None:
    network = build(replace(article_plan(), services=(replace(WEB, endpoints=endpoints),))).network
    ends = [rule.to for chain in network.tables("node-a").chains for rule in chain.rules if rule.target == "DNAT"]
    assert [str(end[0]) for end in ends if end] == expected


def test_every_node_gets_the_same_rules_and_their_author_is_kube_proxy() -> None:
    timeline = build(replace(article_plan(), services=(WEB,)))
    events = timeline.find(component="kube-proxy")
    assert [event.places for event in events] == [("node-a",), ("node-b",)]
    a, b = (
        [c for c in timeline.network.tables(node).chains if c.name.startswith("KUBE-")] for node in ("node-a", "node-b")
    )
    assert a == b
    assert {rule.origin.component for chain in a for rule in chain.rules} == {"kube-proxy"}


@pytest.mark.parametrize(("rules", "written"), [("v0.10", "0.33333 "), ("head", "0.3333333333 ")])
def test_a_command_has_the_decimals_of_its_kube_proxy(rules: str, written: str) -> None:
    chains = chains_of(PODS, rules=rules)
    assert any(f"--probability {written}" in rule_words(rule) for chain in chains for rule in chain.rules)


def test_the_artefact_holds_the_commands_in_full() -> None:
    (event, _) = build(replace(article_plan(), services=(WEB,))).find(component="kube-proxy")
    lines = event.artefact.text.splitlines()
    assert "iptables -t nat -N KUBE-MARK-MASQ" in lines
    assert "iptables -t nat -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000" in lines
    assert any("-m statistic --mode random --probability 0.33333 -j KUBE-SEP-" in line for line in lines)
    assert any(line.endswith("-j DNAT --to-destination 172.16.8.2:8080") for line in lines)
    assert any(
        "-p tcp --dport 80 -m comment --comment 'default/web: cluster IP' -j KUBE-SVC-" in line for line in lines
    )
