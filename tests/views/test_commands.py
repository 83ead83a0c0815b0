"""The command at a step, given on that machine, shows the row that decided there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from flannelviz.controlplane.timeline import build
from flannelviz.dataplane.trace import trace
from flannelviz.errors import UnknownPlaceError
from flannelviz.faults import FAULTS, break_network, targets
from flannelviz.model import ServicePlan
from flannelviz.network import Network
from flannelviz.packet import Step, Trace
from flannelviz.tables import Chain, Tables
from flannelviz.topologies import article_plan
from flannelviz.views.rowtext import row_text
from flannelviz.views.ruletext import iptables_s

WEB = IPv4Address("172.19.0.10")
JOURNEYS = (("a1", "a2"), ("a1", "b1"), ("a1", "node-b"), ("node-a", "b1"), ("a1", "db"), ("a1", "Internet"))
SERVICE = ServicePlan("web", WEB, 80, ("a1", "a2", "b1"))
CLUSTERS = {
    "rules a": {"rules": "v0.10"},
    "rules b": {"rules": "head"},
    "vxlan": {"rules": "head", "backend": "vxlan", "fabric": "switch"},
    "bridge masquerades": {"rules": "v0.10", "hairpin": True},
}


def cluster(name: str) -> Network:
    return build(replace(article_plan(), services=(SERVICE,), **CLUSTERS[name])).network


def journeys(network: Network) -> Iterator[Trace]:
    for source, destination in JOURNEYS:
        try:
            yield trace(network, source, destination)
        except UnknownPlaceError:  # what a fault left without an address
            continue
    for dice in (0.1, 0.5, 0.9):
        yield from (trace(network, source, WEB, proto="tcp", dport=80, dice=dice) for source in ("a1", "node-a"))


def iptables_steps(found: Trace) -> Iterator[Step]:
    hops = (*found.hops, *(hop for way in found.errors for hop in way))
    yield from (step for hop in hops for step in hop.steps if "iptables" in step.command and step.row is not None)


def printed(tables: Tables, command: str) -> list[str]:
    """What `... iptables [-t nat] -S CHAIN` prints there."""
    words = command[command.index("iptables ") :].split()
    table = words[2] if words[1] == "-t" else "filter"
    return iptables_s(tables, table, words[-1]).splitlines()


def check(network: Network) -> int:
    """Return how many steps were looked at."""
    number = 0
    for found in journeys(network):
        for step in iptables_steps(found):
            lines = printed(network.tables(step.place), step.command)
            wanted = f"-P {step.row.name} " if isinstance(step.row, Chain) else f" {row_text(step.row)}"
            assert any(wanted in line for line in lines), (step, step.command)
            number += 1
    return number


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_command_shows_the_rule_that_decided(name: str) -> None:
    assert check(cluster(name)) > 20


@pytest.mark.parametrize("rules", ["rules a", "rules b"])
def test_the_command_shows_the_rule_that_decided_under_every_fault(rules: str) -> None:
    network = cluster(rules)
    for fault in FAULTS:
        for place in targets(network, fault)[:2]:
            check(break_network(network, fault, place))


def test_a_chain_of_ones_own_is_named() -> None:
    own = {step.command.split()[-1] for found in journeys(cluster("rules b")) for step in iptables_steps(found)}
    assert {"FLANNEL-POSTRTG", "FLANNEL-FWD"} <= own
    assert any(chain.startswith("KUBE-SEP-") for chain in own), own
    masquerading = break_network(cluster("rules a"), "ip-masq-off", "node-a")
    steps = iptables_steps(trace(masquerading, "a1", "Internet"))
    assert any(step.command.split()[-1].startswith("CNI-") for step in steps)
