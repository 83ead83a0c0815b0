"""Where everything stands: from the structure, never from a force simulation. READS a network, gives shapes.

Positions come from what is *shown* (`fold.Shown`), existence from the network, so that nothing moves while a picture
grows. Units: px of the viewBox.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from flannelviz.model import INTERNET, VPC
from flannelviz.network import Network
from flannelviz.tables import RouteEntry
from flannelviz.views.fold import Shown, counts, entry_numbers, tables_of
from flannelviz.views.machine import (
    CHIP_H,
    LAN_GAP,
    NODE_W,
    SECOND,
    Column,
    column,
    kernel_height,
    machine,
    second_devices,
)
from flannelviz.views.podlan import UNKNOWN, Item, has_lan
from flannelviz.views.shapes import Box, Lane, Point, RowKind, RowLabel, State, Wire, ident, wire_id
from flannelviz.views.theme import ADVANCE, BOLD_ADVANCE, SMALL, mono_width, room_for, shorten
from flannelviz.views.tooltext import NO_NEXT_HOP, next_hop_name

GUTTER, MARGIN, GAP = 140.0, 16.0, 18.0
INTERNET_W, INTERNET_H, NAT_W, NAT_H = 124.0, 38.0, 124.0, 45.0
ROUTER_W, ROW_H, ROUTER_HEAD = 330.0, 17.0, 28.0
ECS_W, FOLD_W, BAR_H = 180.0, 96.0, 24.0
TOP = 14.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The lines along which a picture is laid out."""

    columns: tuple[Column, ...]  # one for each shown ECS, left to right
    router: Box
    nat: Box
    internet: Box
    vpc: Box
    bar_y: float
    machine_y: float
    lan_y: float
    width: float
    height: float


def plan(network: Network, layout: Network, parts: Shown) -> Plan:
    """Return where the big things stand."""
    columns = _columns(network, layout, parts)
    right = max(columns[-1].x + columns[-1].w if columns else 0, GUTTER + MARGIN + ROUTER_W + 40 + NAT_W)
    folded = sum(counts(layout)) > len(columns) or sum(counts(network)) > len(columns)
    inner_right = right + (GAP + FOLD_W if folded else 0)
    router, nat, internet = _fabric(parts.entry_lines, (GUTTER + MARGIN + inner_right) / 2)
    bar_y = router.bottom + 24
    machine_y = bar_y + BAR_H + 36
    lan_y = machine_y + kernel_height(parts.route_lines) + LAN_GAP
    bottom = max([c.bottom(machine_y, lan_y) for c in columns], default=machine_y + 60)
    vpc = Box(ident(VPC, "area"), "vpc", VPC, "", "", GUTTER, 72, inner_right + MARGIN - GUTTER, bottom + MARGIN - 72)
    width, height = vpc.x + vpc.w + MARGIN, vpc.bottom + TOP
    return Plan(columns, router, nat, internet, vpc, bar_y, machine_y, lan_y, width, height)


def _columns(network: Network, layout: Network, parts: Shown) -> tuple[Column, ...]:
    x, found = GUTTER + MARGIN, []
    for name in (*parts.nodes, *parts.others):
        width = NODE_W if name in parts.nodes else ECS_W
        of = layout if name in layout.ecs or name in layout.nodes else network
        lan = has_lan(layout, name) or has_lan(network, name)
        found.append(column(of, parts, name, x, width, lan=lan))
        x += width + GAP
    return tuple(found)


def _fabric(entries: int, middle: float) -> tuple[Box, Box, Box]:
    left = middle - (ROUTER_W + 40 + NAT_W) / 2
    height = ROUTER_HEAD + max(entries, 1) * ROW_H + 11
    router = Box(ident(VPC), "router", VPC, "VPC router", "route table", left, 92, ROUTER_W, height)
    nat_x = left + ROUTER_W + 40
    nat = Box(ident(VPC, "nat"), "nat", VPC, "NAT gateway", "", nat_x, 92 + height / 2 - NAT_H / 2, NAT_W, NAT_H)
    return router, nat, Box(ident(INTERNET), "internet", INTERNET, "Internet", "", nat_x, TOP, INTERNET_W, INTERNET_H)


def items(network: Network, parts: Shown, lines: Plan) -> Iterator[Item]:
    """Return everything that exists in `network`, with its coordinates."""
    yield lines.internet
    if network.plan is None or network.vpc.route_tables or network.ecs:
        yield lines.vpc
        yield from _router(network, parts, lines)
    yield from _outside(network, lines)
    yield from _vswitches(network, lines)
    for found in lines.columns:
        yield from machine(network, parts, found, lines.machine_y, lines.lan_y)
    yield from _rest(network, lines)


def _router(network: Network, parts: Shown, lines: Plan) -> Iterator[Item]:
    router = lines.router
    if "route_tables" in network.vpc.unknown:
        yield replace(router, state="unknown")
        yield _line(router, 0, "unknown", UNKNOWN, "", "the input does not hold the route table", "unknown")
        return
    yield router
    existing = entry_numbers(network)
    more = len(existing) - sum(entry in existing for entry in parts.entries)
    for i, entry in enumerate(parts.entries):
        if entry in existing:
            yield _entry(network, router, i, entry)
    if more:
        text = f"+ {more:,} entr{'y' if more == 1 else 'ies'}"
        yield _line(router, len(parts.entries), "more", text, "", "folded", "more")


def _entry(network: Network, router: Box, i: int, entry: RouteEntry) -> RowLabel:
    target = shorten(f"→ {next_hop_name(network, entry)}", room_for(router.w - 170, SMALL, ADVANCE))
    title = f"{entry.dst} → {entry.next_hop_type} {entry.next_hop_id or NO_NEXT_HOP} ({entry.kind}, {entry.status})"
    return _line(router, i, f"entry {entry.dst} {entry.next_hop_id}", str(entry.dst), target, title, "route")


def _line(router: Box, i: int, key: str, text: str, target: str, title: str, kind: RowKind) -> RowLabel:
    x, y, w = router.x + 10, router.y + ROUTER_HEAD + i * ROW_H, router.w - 20
    return RowLabel(ident(VPC, key), router.id, VPC, text, x, y, w, title, target, kind)


def _outside(network: Network, lines: Plan) -> Iterator[Item]:
    internet, nat, router = lines.internet, lines.nat, lines.router
    if network.vpc.snat or any(entry.next_hop_type == "NatGateway" for entry in network.vpc.routes):
        eip = str(network.vpc.snat[0].eip) if network.vpc.snat else "no SNAT entry"
        yield replace(nat, sublabel=eip)
        y = nat.y + nat.h / 2
        yield _wire(router, nat, "fabric", (router.right, y), (nat.x, y))
        yield _wire(nat, internet, "uplink", (nat.middle, nat.y), (nat.middle, internet.bottom))
    if any(ecs.eip is not None for ecs in network.ecs.values()):
        y = internet.y + internet.h / 2
        yield _wire(router, internet, "uplink", (router.middle, router.y), (router.middle, y), (internet.x, y))


def _wire(a: Box, b: Box, kind: str, *points: Point) -> Wire:
    return Wire(wire_id(a.id, b.id), a.id, b.id, kind, points)


def _vswitches(network: Network, lines: Plan) -> Iterator[Item]:
    under: dict[str, list[Column]] = {}
    for found in lines.columns:
        under.setdefault(found.vswitch, []).append(found)
    cidrs = {v.name: v.cidr for v in network.plan.vswitches} if network.plan else {}
    for name, columns in under.items():
        existing = [c for c in columns if c.name in network.ecs or c.name in network.nodes]
        if existing or any(entry.dst == cidrs.get(name) for entry in network.vpc.routes):
            yield from _vswitch(network, lines, _bar(lines, name, str(cidrs.get(name, "")), columns), existing)


def _bar(lines: Plan, name: str, cidr: str, columns: list[Column]) -> Box:
    x, right = columns[0].x, columns[-1].x + columns[-1].w
    label = f"vSwitch {name}" if name else f"vSwitch {UNKNOWN}"
    short = shorten(label, room_for(right - x - 40 - mono_width(cidr), SMALL, BOLD_ADVANCE))
    state: State = "" if name else "unknown"
    id = ident(VPC, f"vswitch {name}")
    return Box(id, "vswitch", VPC, short, cidr, x, lines.bar_y, right - x, BAR_H, title=label, state=state)


def _vswitch(network: Network, lines: Plan, bar: Box, existing: list[Column]) -> Iterator[Item]:
    yield bar
    router = lines.router
    if bar.x + 12 <= router.middle <= bar.right - 12:
        yield _wire(router, bar, "fabric", (router.middle, router.bottom), (router.middle, bar.y))
    else:
        start, y, end = router.middle, (router.bottom + bar.y) / 2, bar.middle
        yield _wire(router, bar, "fabric", (start, router.bottom), (start, y), (end, y), (end, bar.y))
    for found in existing:
        eth0, x = ident(found.name, "eth0"), found.spine
        points = ((x, bar.bottom), (x, lines.machine_y - CHIP_H / 2))
        yield Wire(wire_id(bar.id, eth0), bar.id, eth0, "nic", points)
        yield from _second_nic(network, lines, bar, found)


def _second_nic(network: Network, lines: Plan, bar: Box, found: Column) -> Iterator[Item]:
    for link in second_devices(tables_of(network, found.name))[:1]:
        if link.kind == "device" and found.is_node:
            nic, x = ident(found.name, link.name), found.x + SECOND
            points = ((x, bar.bottom), (x, lines.machine_y - CHIP_H / 2))
            yield Wire(wire_id(bar.id, nic), bar.id, nic, "nic", points)


def _rest(network: Network, lines: Plan) -> Iterator[Item]:
    """Return the counts of the nodes and the other ECS that have no place of their own."""
    nodes, others = counts(network)
    drawn = [c for c in lines.columns if c.name in network.ecs or c.name in network.nodes]
    x, y = lines.vpc.right - MARGIN - FOLD_W, lines.machine_y
    drawn_nodes = sum(c.is_node for c in drawn)
    for count, what, top in (
        (nodes - drawn_nodes, "node", y),
        (others - len(drawn) + drawn_nodes, "other ECS", y + 54),
    ):
        if count > 0:
            text = f"+ {count:,} {what}{'s' if what == 'node' and count > 1 else ''}"
            yield Box(ident("fold", what), "fold", "", text, "", x, top, FOLD_W, 44, title=f"{text}, folded")


def lanes(network: Network, lines: Plan) -> tuple[Lane, ...]:
    """Return the captions of the levels, top to bottom: three successive allocations below the outside."""
    known = network.plan
    vpc = str(known.vpc_cidr) if known else "? unknown"
    count = len(network.vpc.route_tables)
    tables = {0: "", 1: "one route table"}.get(count, f"{count} route tables")
    found = (
        Lane("outside", "", "", TOP, INTERNET_H + 8),
        Lane("VPC CIDR", vpc, tables, lines.vpc.y + 20, lines.bar_y - lines.vpc.y - 28),
        Lane("ECS addresses", "", "from the vSwitch", lines.bar_y, lines.lan_y - lines.bar_y - 8),
        _pod_lane(network, lines.lan_y, lines.vpc.bottom - lines.lan_y - 8),
    )
    has_pods = any(column.lan_h or column.host_h for column in lines.columns)
    return found if has_pods or not lines.columns else found[:-1]


def _pod_lane(network: Network, y: float, height: float) -> Lane:
    """Return the caption of the pods; with Terway they have no range of their own."""
    if network.plan is not None and network.plan.cni == "terway":
        return Lane("pod addresses", "", "from the vSwitch", y, height)
    cluster = str(network.cluster_cidr) if network.cluster_cidr else "? unknown"
    return Lane("cluster CIDR", cluster, "podCIDR per node", y, height)
