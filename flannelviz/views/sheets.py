"""Every table as columns and rows of plain values, each row with its author: for pandas, HTML and text. READS only.

A table that the input did not tell has one row that says so: none is never taken for zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from flannelviz.model import VPC, visible
from flannelviz.network import Event, Network
from flannelviz.packet import LEAST_PATH_MTU, Hop, Learned, Step, Trace
from flannelviz.tables import UNKNOWN_ORIGIN, Eni, Origin, Route, RouteEntry, Tables
from flannelviz.views.fold import host_end
from flannelviz.views.learned import flows_at, neighbors_at, places_of, ports_at
from flannelviz.views.podlan import UNKNOWN
from flannelviz.views.rowtext import fdb_rows, route_flags, row_text, step_text, table_name
from flannelviz.views.ruletext import rule_text
from flannelviz.views.tooltext import NOWHERE, devices_without_carrier, next_hop_name

WORDS = {"src": "source", "dst": "destination", "src_mac": "source MAC", "dst_mac": "destination MAC"}
AUTHOR = ("component", "event", "because")
Row = tuple[object, ...]
T = TypeVar("T")


class Sheet(NamedTuple):
    """A table: its name, its columns, its rows."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def _author(origin: Origin) -> Row:
    return ("unknown", "", "") if origin == UNKNOWN_ORIGIN else tuple(origin)


def _sheet(name: str, columns: Sequence[str], rows: Iterable[Row], *, unknown: bool = False) -> Sheet:
    told = tuple(rows)
    if unknown and not told:
        told = ((UNKNOWN, *("" for _ in columns[1:])),)
    return Sheet(name, tuple(columns), told)


def _text(value: object) -> str:
    return "" if value is None else str(value)


# --- a Linux place ------------------------------------------------------------------------------------------------


def routes(tables: Tables, network: Network = NOWHERE) -> Sheet:
    """Return the routes of a place, in its order; a device that is down has none. `network` is as in `ip_route`."""
    linkdown = devices_without_carrier(network, tables)
    columns = ("dst", "via", "dev", "src", "proto", "scope", "metric", "flags", "table", *AUTHOR)
    rows = ((*_route(r, r.dev in linkdown), *_author(r.origin)) for r in tables.usable_routes)
    return _sheet("routes", columns, rows, unknown="routes" in tables.unknown)


def _route(r: Route, linkdown: bool) -> Row:
    where = (str(r.dst), _text(r.via), r.dev, _text(r.src))
    return (*where, r.proto, r.scope, r.metric, " ".join(route_flags(r, linkdown)), table_name(r.table))


def policy(tables: Tables) -> Sheet:
    """Return the policy rules of a place: for which packets which route table is asked, in order of priority."""
    columns = ("priority", "from", "to", "iif", "lookup", *AUTHOR)
    rows = (
        (r.priority, str(r.src or "all"), str(r.dst or "all"), _text(r.in_dev), table_name(r.table), *_author(r.origin))
        for r in sorted(tables.policy, key=lambda rule: rule.priority)
    )
    return _sheet("policy rules", columns, rows)


def neighbours(tables: Tables) -> Sheet:
    """Return the neighbours of a place."""
    rows = ((str(n.dst), n.lladdr, n.dev, n.state, *_author(n.origin)) for n in tables.neighbors)
    columns = ("dst", "lladdr", "dev", "state", *AUTHOR)
    return _sheet("neighbours", columns, rows, unknown="neighbors" in tables.unknown)


def fdb(tables: Tables) -> Sheet:
    """Return the forwarding database of a place: of its bridges, with their own MACs, and of its VTEP."""
    found = fdb_rows(tables)
    rows = ((f.lladdr, f.dev, _text(f.master), _text(f.dst), f.state, *_author(f.origin)) for f in found)
    columns = ("lladdr", "dev", "master", "dst", "state", *AUTHOR)
    return _sheet("fdb", columns, rows, unknown="fdb" in tables.unknown)


def rules(tables: Tables) -> Sheet:
    """Return the iptables rules of a place.

    Shape: chain by chain, numbered from 1 as `iptables -L --line-numbers` does; an empty chain has no row.
    """
    rows = (
        (c.table, c.name, _text(c.policy), number, rule_text(rule), *_author(rule.origin))
        for c in tables.chains
        for number, rule in enumerate(c.rules, 1)
    )
    columns = ("table", "chain", "policy", "number", "rule", *AUTHOR)
    return _sheet("rules", columns, rows, unknown="chains" in tables.unknown)


def addresses(tables: Tables) -> Sheet:
    """Return the addresses of a place."""
    rows = ((str(a.interface), a.dev, *_author(a.origin)) for a in tables.addresses)
    return _sheet("addresses", ("interface", "dev", *AUTHOR), rows, unknown="addresses" in tables.unknown)


def links(tables: Tables) -> Sheet:
    """Return the devices of a place."""
    rows = (
        (k.name, k.kind, k.mac, k.mtu, k.up, _text(k.master), " ".join(k.peer or ()), *_author(k.origin))
        for k in tables.links
    )
    columns = ("name", "kind", "mac", "mtu", "up", "master", "peer", *AUTHOR)
    return _sheet("links", columns, rows, unknown="fixed_links" in tables.unknown)


def place_sheets(tables: Tables) -> tuple[Sheet, ...]:
    """Return every table of a Linux place that has a row or is unknown."""
    found: tuple[Callable[[Tables], Sheet], ...] = (addresses, policy, routes, rules, neighbours, fdb, links)
    return tuple(sheet for make in found if (sheet := make(tables)).rows)


# --- the VPC and the cluster --------------------------------------------------------------------------------------


def vpc_routes(network: Network) -> Sheet:
    """Return the entries of every VPC route table, with the ECS that a next hop is."""
    columns = ("route table", "dst", "next hop type", "next hop", "place", "kind", "status", *AUTHOR)
    rows = ((t.id, *_entry(network, e), *_author(e.origin)) for t in network.vpc.route_tables for e in t.entries)
    return _sheet("VPC routes", columns, rows, unknown="route_tables" in network.vpc.unknown)


def _entry(network: Network, entry: RouteEntry) -> Row:
    hop = (entry.next_hop_type, entry.next_hop_id, next_hop_name(network, entry))
    return (str(entry.dst), *hop, entry.kind, entry.status)


def _eni(eni: Eni) -> Row:
    return (str(eni.address), eni.place, eni.instance_id, eni.mac, eni.security_group, *_author(eni.origin))


def vpc_sheets(network: Network) -> tuple[Sheet, ...]:
    """Return every table of the VPC that has a row or is unknown."""
    vpc = network.vpc
    enis = map(_eni, vpc.enis.values())
    inbound = ((g.id, str(r.source), r.policy, *_author(r.origin)) for g in vpc.security_groups for r in g.inbound)
    snat = ((str(s.source), str(s.eip), *_author(s.origin)) for s in vpc.snat)
    found = (
        vpc_routes(network),
        _sheet("ENIs", ("address", "place", "instance", "mac", "security group", *AUTHOR), enis),
        _sheet("security group rules", ("group", "source", "policy", *AUTHOR), inbound),
        _sheet("SNAT entries", ("source", "eip", *AUTHOR), snat),
    )
    return tuple(sheet for sheet in found if sheet.rows)


def nodes(network: Network, most: int | None = None) -> Sheet:
    """Return the nodes and the other ECS instances; at most `most` of them."""
    columns = ("name", "kind", "address", "podCIDR", "ready", "instance")
    return _sheet("nodes", columns, (_node(network, name) for name in network.ecs_places()[:most]))


def _node(network: Network, name: str) -> Row:
    node, ecs = network.nodes.get(name), network.ecs.get(name)
    untold = UNKNOWN if network.plan is None else ""
    cidr = node.pod_cidr if node else None
    address = network.node_ip(name)
    known = (str(address or untold), str(cidr or (untold if node else "")), node.ready if node else "")
    return (name, "node" if node else "ecs", *known, ecs.instance_id if ecs else "")


def pods(network: Network, most: int | None = None) -> Sheet:
    """Return the pods, with node, address and the host end of their veth pair; at most `most` of them."""
    columns = ("namespace", "name", "node", "ip", "phase", "veth")
    return _sheet("pods", columns, (_pod(network, place) for place in list(network.pods)[:most]))


def _pod(network: Network, place: str) -> Row:
    pod, end = network.pods[place], host_end(network, place)
    veth = end.name if end else ""
    untold = UNKNOWN if network.plan is None and pod.phase != "Pending" else ""
    return (pod.namespace, pod.name, pod.node or "", str(network.pod_ip(place) or untold), pod.phase, veth)


def levels(allocation: Any) -> Sheet:
    """Return how full each level of an allocation is: any object with `levels` of name, extent, fill and counted."""
    rows = (
        (level.name, str(level.extent), level.counted, level.fill.used, level.fill.usable, level.fill.percent)
        for level in allocation.levels
    )
    return _sheet("levels", ("level", "range", "counted", "used", "usable", "percent"), rows)


def findings(found: Iterable[Any]) -> Sheet:
    """Return what is wrong in an allocation: any objects with a severity, a code, a subject, a message, a command."""
    rows = ((one.severity, one.code, one.subject, one.message, one.command) for one in found)
    return _sheet("findings", ("severity", "code", "subject", "message", "command"), rows)


def warnings(found: Iterable[Any]) -> Sheet:
    """Return what of an input was not used: any objects with a severity, and words of their own."""
    return _sheet("not used", ("severity", "what was not used"), ((one.severity, str(one)) for one in found))


# --- journeys and events ------------------------------------------------------------------------------------------


def steps(trace: Trace) -> Sheet:
    """Return every lookup of a journey, there and back.

    Shape: hops count from 1 over both directions; `change` has one "field before -> after" for each header field.
    """
    columns = ("hop", "way", "place", "table", "decided by", "runner-up", "change", "outcome", "command")
    ways = [*("there" for _ in trace.request), *("back" for _ in trace.reply)]
    rows = (
        (number, way, hop.place, *step_cells(step), hop.disposition.value, step.command)
        for number, (hop, way) in enumerate(zip(trace.hops, ways), 1)
        for step in hop.steps
    )
    return _sheet("steps", columns, rows)


def step_cells(step: Step) -> tuple[str, str, str, str]:
    """Return a lookup as (table, deciding row, runner-up, header change)."""
    decided = step_text(step) if step.row is not None else visible(step.says)
    return step.kind, decided, row_text(step.runner_up), change_text(step)


def change_text(step: Step) -> str:
    """Return what a lookup changed in the headers, such as "ttl 64 → 63"."""
    return ", ".join(f"{WORDS.get(name, name)} {_held(old)} → {_held(new)}" for name, old, new in step.changes)


def _held(value: str) -> str:
    """Return what a header field holds, or that nobody has filled it in yet."""
    return "not set" if value in ("", "None") else value


def learned(found: Learned) -> Sheet:
    """Return what places have learned from traffic, each row after the command that shows it there."""
    rows = (row for place in places_of(found) for row in _lessons(found, place))
    return _sheet("learned", ("place", "command", "row"), rows)


def _lessons(found: Learned, place: str) -> Iterator[Row]:
    yield from ((place, "ip neigh", row_text(row)) for row in neighbors_at(found, place))
    yield from ((place, "bridge fdb", row_text(row)) for row in ports_at(found, place))
    memory = "NAT gateway" if place == VPC else "conntrack -L"
    yield from ((place, memory, row_text(row)) for row in flows_at(found, place))
    known = ((dst, mtu) for (at, dst), mtu in found.path_mtu.items() if at == place)
    yield from ((place, f"ip route get {dst}", _path_mtu(mtu)) for dst, mtu in known)


def _path_mtu(told: int) -> str:
    return f"mtu {told}" if told >= LEAST_PATH_MTU else f"mtu lock {LEAST_PATH_MTU}"


def hop_steps(hop: Hop) -> Sheet:
    """Return every lookup of one hop."""
    columns = ("table", "decided by", "runner-up", "change", "command")
    return _sheet("lookups", columns, ((*step_cells(step), step.command) for step in hop.steps))


def events(timeline: Iterable[Event]) -> Sheet:
    """Return what happened, event by event."""
    columns = ("number", "stage", "component", "action", "places", "wrote", "removed", "artefact")
    return _sheet("events", columns, map(_event, timeline))


def _event(event: Event) -> Row:
    changed = (placed_rows(event.wrote), placed_rows(event.removed), event.artefact.path if event.artefact else "")
    return (event.number, event.stage, event.component, event.action, ", ".join(event.places), *changed)


def placed_rows(pairs: Iterable[tuple[str, object]]) -> str:
    """Return rows with their places, one after the other."""
    return "; ".join(f"{place}: {row_text(row)}" for place, row in pairs)
