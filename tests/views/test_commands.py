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
from flannelviz.model import INTERNET, VPC, ServicePlan
from flannelviz.network import Network
from flannelviz.packet import Step, Trace
from flannelviz.tables import Chain, FdbEntry, Link, Route, RouteEntry, Tables
from flannelviz.topologies import article_plan
from flannelviz.views.learned import flows_at, with_learned
from flannelviz.views.rowtext import MAIN, route_text, row_text, step_text
from flannelviz.views.ruletext import iptables_s
from flannelviz.views.tooltext import bridge_fdb, describe_route_entry_list, ip_neigh, ip_route, ip_rule

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
    if name == "terway":
        nodes = tuple(replace(node, pod_cidr=None) for node in article_plan().nodes)
        return build(replace(article_plan(), cni="terway", nodes=nodes, services=(SERVICE,))).network
    return build(replace(article_plan(), services=(SERVICE,), **CLUSTERS[name])).network


def journeys(network: Network) -> Iterator[Trace]:
    for source, destination in JOURNEYS:
        try:
            yield trace(network, source, destination)
        except UnknownPlaceError:  # what a fault left without an address
            continue
    for dice in (0.1, 0.5, 0.9):
        yield from (trace(network, source, WEB, proto="tcp", dport=80, dice=dice) for source in ("a1", "node-a"))


def others(network: Network, found: Trace) -> Iterator[tuple[Step, str, str]]:
    """Steps with a row, what their command prints in our views, and what of the row must be in it."""
    after = with_learned(network, found.learned)
    for step in steps_of(found):
        if step.place == VPC and isinstance(step.row, RouteEntry):
            yield step, describe_route_entry_list(network.vpc), f'"DestinationCidrBlock": "{step.row.dst}"'
        if step.place in (VPC, INTERNET):
            continue
        tables, row, command = after.tables(step.place), step.row, step.command
        if " ip route get " in command and isinstance(row, Route):
            yield step, ip_route(tables, row.table), route_text(replace(row, table=MAIN))
        elif command.endswith(" ip rule"):
            yield step, ip_rule(tables), row_text(row)
        elif " ip neigh show " in command and row is not None:
            yield step, ip_neigh(tables), row_text(replace(row, state=""))  # type: ignore[type-var]
        elif " bridge fdb show " in command and isinstance(row, FdbEntry | Link):
            yield step, f"{bridge_fdb(tables)}\n", f"{step_text(step)}\n"
        elif " conntrack -L " in command:
            yield step, conntrack_l(found, step.place, command), row_text(row)


def conntrack_l(found: Trace, place: str, command: str) -> str:
    """What `conntrack -L --src A`, or `--reply-src A`, prints there."""
    *_, option, address = command.split()
    flows = flows_at(found.learned, place)
    sides = {"--src": "original", "--reply-src": "reply"}
    return "\n".join(row_text(f) for f in flows if getattr(f, sides[option])[1] == int(IPv4Address(address)))


def steps_of(found: Trace) -> Iterator[Step]:
    hops = (*found.hops, *(hop for way in found.errors for hop in way))
    yield from (step for hop in hops for step in hop.steps)


@pytest.mark.parametrize("name", [*CLUSTERS, "terway"])
def test_every_other_command_shows_its_row_too(name: str) -> None:
    network, kinds = cluster(name), set()
    for found in [*journeys(network), *second_packets(network)]:
        for step, text, wanted in others(network, found):
            assert wanted in text, (step, step.command)
            kinds.add(step.kind.split(" ")[0])
    assert {"route", "neighbor", "vpc", "conntrack", "ip" if name == "terway" else "fdb"} <= kinds


def test_the_command_shows_the_bridges_own_mac() -> None:
    network = cluster("rules a")
    (step, *_) = (
        step for step in steps_of(trace(network, "a1", "b1")) if step.kind == "fdb" and step.place == "node-a"
    )
    assert step_text(step) == "0a:58:ac:10:00:81 dev cni0 master cni0 permanent"
    assert step_text(step) in bridge_fdb(network.tables("node-a")).splitlines()


def second_packets(network: Network) -> Iterator[Trace]:
    """Packets of flows that are known already, in both directions, and the errors about one that is too large."""
    for source, destination, options in (("a1", WEB, {"proto": "tcp", "dport": 80}), ("a1", "Internet", {})):
        first = trace(network, source, destination, dice=0.9, **options)  # type: ignore[arg-type]
        yield trace(network, source, destination, dice=0.9, learned=first.learned, **options)  # type: ignore[arg-type]
    slow = break_network(network, "eth0-mtu-1400", "node-a")
    yield trace(slow, "a1", WEB, proto="udp", dport=80, size=1450, dice=0.9)


def iptables_steps(found: Trace) -> Iterator[Step]:
    yield from (step for step in steps_of(found) if "iptables" in step.command and step.row is not None)


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
