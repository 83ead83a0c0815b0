"""What must hold on every cluster: nothing overlaps, everybody is reached, no row is decoration."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flannelviz.controlplane.timeline import build
from flannelviz.dataplane.trace import trace
from flannelviz.model import ClusterPlan
from flannelviz.network import Network
from flannelviz.packet import AnyRow, Trace
from flannelviz.tables import (
    Chain,
    Eni,
    File,
    Link,
    RouteEntry,
    Rule,
    SecurityRule,
    Sysctl,
    Tables,
    VpcTables,
)
from flannelviz.topologies import article_plan
from tests.strategies import CLUSTER_IP, plans

OTHERS = ("127.0.0.1", "100.100.100.200", "Internet")
Ends = tuple[str, str, float]


def sources(network: Network) -> tuple[str, ...]:
    return (*network.pods, *network.ecs_places())


def asked(network: Network) -> list[Ends]:
    """Every pod, node and ECS to every other, to itself over lo, to a cloud service and to the Internet.

    Pods and nodes also ask the ClusterIP, once for each endpoint that may answer. An ECS that is no node reaches pods
    only where the VPC knows podCIDRs, and has no rules for Services.
    """
    ends = [str(network.address(name)) for name in sources(network)]
    pods = {str(network.pod_ip(place)) for place in network.pods}
    known = knows_podcidrs(network)
    plain = [(a, b, 0.0) for a in sources(network) for b in (*ends, *OTHERS) if known or a != "db" or b not in pods]
    return plain + [(a, str(CLUSTER_IP), dice) for a in (*network.pods, *network.nodes) for dice in throws(network)]


def knows_podcidrs(network: Network) -> bool:
    """Whether the VPC has an entry for each podCIDR: with the other backends it sees node addresses only, or frames."""
    return network.plan is not None and network.plan.backend in ("alloc", "ali-vpc")


def throws(network: Network) -> list[float]:
    """One throw of the dice for each endpoint of the Service."""
    assert network.plan is not None
    count = sum(len(service.endpoints) for service in network.plan.services)
    return [(i + 0.5) / count for i in range(count)]


def journey(network: Network, ends: Ends) -> Trace:
    source, destination, dice = ends
    return trace(network, source, destination, proto="tcp", dport=80, dice=dice)


def journeys(network: Network) -> dict[Ends, Trace]:
    return {ends: journey(network, ends) for ends in asked(network)}


@given(plans())
@settings(max_examples=25)
def test_podcidrs_are_disjoint_and_inside_the_cluster_cidr(plan: ClusterPlan) -> None:
    blocks = sorted(node.pod_cidr for node in build(plan).network.nodes.values() if node.pod_cidr)
    assert len(blocks) == len(plan.nodes)
    assert all(block.subnet_of(plan.cluster_cidr) and block.prefixlen == plan.node_mask for block in blocks)
    assert not any(a.overlaps(b) for a, b in pairwise(blocks))


@given(plans())
@settings(max_examples=25)
def test_every_pod_has_its_own_address_out_of_its_nodes_podcidr(plan: ClusterPlan) -> None:
    network = build(plan).network
    got = {place: network.pod_ip(place) for place in network.pods}
    assert len(set(got.values())) == len(got)
    for place, address in got.items():
        cidr = network.nodes[network.pods[place].node or ""].pod_cidr
        assert cidr is not None
        assert address in cidr
        assert network.place_at(address) == place


@given(plans())
@settings(max_examples=30)
def test_a_healthy_network_delivers_everywhere_and_the_reply_mirrors_the_request(plan: ClusterPlan) -> None:
    for ends, found in journeys(build(plan).network).items():
        assert found.ok, (ends, found)
        assert [hop.place for hop in found.reply] == [hop.place for hop in reversed(found.request)]
        first, last = found.request[0], found.reply[-1].sent
        source = next(step.after.src for step in first.steps if step.after.src is not None)  # before any NAT
        assert (last.src, last.dst) == (first.received.dst, source)
        assert _devices(found.reply) == [(out, came) for came, out in reversed(_devices(found.request))]


def _devices(hops: tuple) -> list[tuple[str | None, str | None]]:
    """In and out device of each hop; lo leads a place to itself, and an answer starts where the request ended."""
    return [(hop.in_dev, None if hop.out_dev == "lo" else hop.out_dev) for hop in hops]


Damage = Callable[[Network], Network]


def damages(network: Network) -> Iterator[tuple[str, Damage]]:
    """Every way to lose one row that packets depend on."""
    for place in sources(network):
        for name in ("fixed_links", "addresses", "routes", "neighbors", "fdb"):
            for row in getattr(network.tables(place), name):
                if name == "routes" and row.dev == "eth0" and row.scope == "link" and _alone(network, place):
                    continue
                yield f"{place} loses {row}", _without(place, name, row)
        for chain in network.tables(place).chains:
            for rule in chain.rules:
                if not _is_spare(network, place, chain, rule):
                    yield f"{place} loses {rule}", _without_rule(place, chain, rule)
    for entry in network.vpc.routes:
        yield f"the VPC loses {entry}", lambda n, e=entry: n.writing_vpc(n.vpc.without(e))
    for eni in network.vpc.enis.values():
        yield f"the VPC loses {eni}", _without_eni(eni.address)
    for entry in network.vpc.snat:
        yield (
            f"the VPC loses {entry}",
            lambda n, e=entry: n.writing_vpc(replace(n.vpc, snat=tuple(s for s in n.vpc.snat if s != e))),
        )
    if knows_podcidrs(network):  # else no pod address ever reaches a security group
        yield "the VPC loses the security group rule", lambda n: n.writing_vpc(replace(n.vpc, security_groups=()))


def _is_spare(network: Network, place: str, chain: Chain, rule: Rule) -> bool:
    """Whether no journey can notice that `rule` is gone."""
    if chain.name == "FLANNEL-POSTRTG" and rule.mark is not None:
        return True  # KUBE-POSTROUTING stands before it, and has masqueraded what carries kube-proxy's mark
    if not chain.name.startswith("KUBE-SEP-") or rule.src is None:
        return False
    owner = network.place_at(rule.src.net.network_address)
    return owner is not None and network.pods[owner].node != place  # a pod that asks for itself passes its own node


def _alone(network: Network, place: str) -> bool:
    """Whether an ECS shares its vSwitch with nobody, so that its on-link route leads to nobody."""
    own = network.ecs.get(place)
    return own is not None and [ecs.vswitch for ecs in network.ecs.values()].count(own.vswitch) == 1


def _without(place: str, name: str, row: object) -> Damage:
    def damage(network: Network) -> Network:
        tables = network.tables(place)
        return network.writing(place, replace(tables, **{name: tuple(r for r in getattr(tables, name) if r != row)}))

    return damage


def _without_rule(place: str, chain: Chain, rule: object) -> Damage:
    def damage(network: Network) -> Network:
        tables: Tables = network.tables(place)
        left = replace(chain, rules=tuple(r for r in chain.rules if r is not rule))
        return network.writing(place, tables.adding(left))

    return damage


def _without_eni(address: IPv4Address) -> Damage:
    return lambda n: n.writing_vpc(replace(n.vpc, enis={a: e for a, e in n.vpc.enis.items() if a != address}))


@given(plans(), st.data())
@settings(max_examples=80)
def test_every_entry_matters(plan: ClusterPlan, data: st.DataObject) -> None:
    """Losing any row changes a journey, or at least the row that decides in it, or the one that would."""
    network = build(plan).network
    what, damage = data.draw(st.sampled_from(list(damages(network))), label="lost")
    damaged = damage(network)
    assert any(journey(damaged, ends) != journey(network, ends) for ends in asked(network)), what


# --- not sampled: all rows of the running example --------------------------------------------------------------------

# The changes to the plan, and the rows that no packet of it can notice, each with the reason.
VARIANTS = {
    "alloc": ({}, []),
    "alloc, today's rules": ({"rules": "head"}, [Rule, Rule]),  # kube-proxy's mark, and there is no Service
    "vxlan": ({"backend": "vxlan"}, [SecurityRule]),  # it lets pods in, and the VPC sees addresses of nodes only
    "host-gw": ({"backend": "host-gw", "fabric": "switch"}, [SecurityRule]),  # a switch has no security groups
}


def removals(network: Network) -> Iterator[tuple[AnyRow, Damage]]:
    """Every row of every place with the network that lacks it: rules and chains apart, a veth with its port."""
    for place in sources(network):
        tables = network.tables(place)
        for row in tables.rows():
            yield row, lambda n, place=place, row=row: n.writing(place, _tables_without(n.tables(place), row))
        for chain in tables.chains:
            yield from ((rule, _without_rule(place, chain, rule)) for rule in chain.rules)
    for row in network.vpc.rows():
        yield row, lambda n, row=row: n.writing_vpc(_vpc_without(n.vpc, row))


def _tables_without(tables: Tables, row: AnyRow) -> Tables:
    if tables.lan is not None and isinstance(row, Link) and row not in tables.fixed_links:
        ports = tuple(port for port in tables.lan.ports if tables.lan.veth(port) != row)
        return replace(tables, lan=replace(tables.lan, ports=ports))
    return tables.without(row)


def _vpc_without(vpc: VpcTables, row: AnyRow) -> VpcTables:
    if isinstance(row, RouteEntry):
        return vpc.without(row)
    if isinstance(row, Eni):
        return replace(vpc, enis={address: eni for address, eni in vpc.enis.items() if eni != row})
    if isinstance(row, SecurityRule):
        ruled = (replace(g, inbound=tuple(rule for rule in g.inbound if rule != row)) for g in vpc.security_groups)
        return replace(vpc, security_groups=tuple(ruled))
    return replace(vpc, snat=tuple(entry for entry in vpc.snat if entry != row))


def is_read_by_no_packet(row: AnyRow) -> bool:
    """Whether `row` is a file, which only programs read, or says what a kernel does where it is missing."""
    match row:
        case File() | Chain(policy="ACCEPT", rules=()) | Sysctl(value=0):
            return True
    return False


@pytest.mark.parametrize(("changes", "unnoticed"), VARIANTS.values(), ids=VARIANTS)
def test_every_single_row_of_the_running_example_matters(changes: dict[str, str], unnoticed: list[type]) -> None:
    network = build(replace(article_plan(), **changes)).network
    asked = [(a, str(network.address(b) or b)) for a in sources(network) for b in sources(network)]
    asked += [(a, b) for a in sources(network) for b in OTHERS]
    healthy = {ends: trace(network, *ends) for ends in asked}
    spare = [
        row
        for row, damage in removals(network)
        for damaged in [damage(network)]
        if all(trace(damaged, *ends) == healthy[ends] for ends in asked)
    ]
    assert [type(row) for row in spare if not is_read_by_no_packet(row)] == unnoticed
    assert {File, Chain, Sysctl} <= {type(row) for row in spare}
