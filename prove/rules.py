"""Rules and settings that no control plane writes, drawn by lot: any match, any target, first in a chain of an ECS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from random import Random
from typing import Literal

from flannelviz.network import Network
from flannelviz.tables import Chain, Match, Row, Rule, Sysctl

Table = Literal["filter", "nat"]
LOOSE = "net.ipv4.conf.all.rp_filter"
DEVICES = ("eth0", "cni0", "lo", "veth+", "! eth0", "! cni0")
STATES = ("NEW", "ESTABLISHED", "RELATED", "INVALID")
REJECTS = ("net-unreachable", "host-unreachable", "port-unreachable", "host-prohibited", "admin-prohibited")
MARK = (0x10, 0x10)
PORTS = (53, 80, 443, 8080)
# Each chain with the targets that it may have and the devices that it may ask for.
CHAINS: tuple[tuple[Table, str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("filter", "INPUT", ("ACCEPT", "DROP", "RETURN", "REJECT"), ("in_dev",)),
    ("filter", "FORWARD", ("ACCEPT", "DROP", "RETURN", "REJECT"), ("in_dev", "out_dev")),
    ("filter", "OUTPUT", ("ACCEPT", "DROP", "RETURN", "REJECT"), ("out_dev",)),
    ("nat", "PREROUTING", ("ACCEPT", "RETURN", "DNAT", "MARK"), ("in_dev",)),
    ("nat", "OUTPUT", ("ACCEPT", "RETURN", "DNAT", "MARK"), ("out_dev",)),
    ("nat", "POSTROUTING", ("ACCEPT", "RETURN", "MASQUERADE", "SNAT"), ("out_dev",)),
)


@dataclass(frozen=True, slots=True)
class Extra:
    """A row put into the tables of a place: a rule comes first in its chain, any other row at the end."""

    place: str
    row: Row
    table: Table = "filter"
    chain: str = ""

    def put_into(self, network: Network) -> Network:
        """Return the network with this row."""
        tables = network.tables(self.place)
        if not isinstance(self.row, Rule):
            return network.writing(self.place, tables.adding(self.row))
        old = tables.chain(self.table, self.chain) or Chain(self.table, self.chain, "ACCEPT")
        rules = (self.row, *old.rules)
        return network.writing(self.place, tables.adding(Chain(old.table, old.name, old.policy, rules, old.origin)))


def extras(dice: Random, network: Network) -> tuple[Extra, ...]:
    """Return some rows that no control plane writes, for the ECS of a network."""
    places = network.ecs_places()
    found = [_rule(dice, network, dice.choice(places)) for _ in range(dice.choice((1, 1, 2, 3)))]
    if dice.random() < 0.2:
        found.append(Extra(dice.choice(places), Sysctl(LOOSE, 2)))
    return tuple(found)


def _rule(dice: Random, network: Network, place: str) -> Extra:
    table, chain, targets, devices = dice.choice(CHAINS)
    target = dice.choice(targets)
    proto = dice.choice((None, None, None, "icmp", "tcp", "udp"))
    to = _to(dice, network, place, target, proto)
    if target == "SNAT" and to is None:
        target = "RETURN"
    rule = Rule(
        target,
        src=_match(dice, network),
        dst=_match(dice, network),
        in_dev=_device(dice) if "in_dev" in devices else None,
        out_dev=_device(dice) if "out_dev" in devices else None,
        proto=proto,
        dport=dice.choice((None, *PORTS)) if proto in ("tcp", "udp") else None,
        mark=MARK if dice.random() < 0.1 else None,
        mark_negated=dice.random() < 0.5,
        ctstate=dice.choice(STATES) if table == "filter" and dice.random() < 0.3 else None,
        set_mark=MARK if target == "MARK" else None,
        to=to if target in ("DNAT", "SNAT") else None,
        options=(f"--reject-with icmp-{dice.choice(REJECTS)}",) if target == "REJECT" else (),
    )
    return Extra(place, rule, table, chain)


def _device(dice: Random) -> str | None:
    return dice.choice(DEVICES) if dice.random() < 0.35 else None


def _match(dice: Random, network: Network) -> Match | None:
    if dice.random() < 0.6:
        return None
    return Match(dice.choice(_blocks(network)), negated=dice.random() < 0.3)


def _blocks(network: Network) -> Sequence[IPv4Network]:
    plan = network.plan
    known = [*(vswitch.cidr for vswitch in plan.vswitches), plan.cluster_cidr] if plan else []
    pods = [node.pod_cidr for node in network.nodes.values() if node.pod_cidr is not None]
    return [IPv4Network("0.0.0.0/1"), *known, *pods, *(IPv4Network(address) for address in _addresses(network))]


def _addresses(network: Network) -> list[IPv4Address]:
    named = (network.address(place) for place in (*network.pods, *network.ecs_places()))
    return [address for address in named if address is not None]


def _to(
    dice: Random, network: Network, place: str, target: str, proto: str | None
) -> tuple[IPv4Address, int | None] | None:
    """Return what DNAT writes, any address, and SNAT, an own one; a tunnel's packet goes to an ECS, and its port."""
    tunnels = network.plan is not None and network.plan.backend == "vxlan"
    if target == "DNAT" and tunnels and proto in (None, "udp"):
        return dice.choice([ecs.address for ecs in network.ecs.values()]), None
    if target == "DNAT":
        port = dice.choice((None, 80)) if proto in ("tcp", "udp") else None
        return dice.choice(_addresses(network)), port
    own = network.address(place) if target == "SNAT" else None
    return (own, None) if own is not None else None
