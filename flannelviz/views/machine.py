"""One ECS in the picture: eth0 on its upper edge, the kernel with its rows below it, then the pod LAN. READS only.

Units: px of the viewBox.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flannelviz.network import Network
from flannelviz.tables import ETH0, MAIN, Link, Route, Tables
from flannelviz.views.fold import Shown, rules, tables_of
from flannelviz.views.podlan import PAD, UNKNOWN, Item, host_height, host_pods, lan_height, pod_lan
from flannelviz.views.rowtext import route_text
from flannelviz.views.shapes import Box, RowKind, RowLabel, State, Wire, ident, wire_id
from flannelviz.views.theme import ADVANCE, BOLD_ADVANCE, NORMAL, SMALL, room_for, shorten

NODE_W = 300.0
CHIP_W, CHIP_H = 156.0, 24.0
NIC_W, TUNNEL_W, TUNNEL_H, SECOND = 114.0, 82.0, 20.0, 118.0  # another ENI; a tunnel; how far right they reach, begin
HEAD, KERNEL_HEAD, ROW_H, LAN_GAP = 58.0, 27.0, 17.0, 18.0
ECS_H = 78.0
READINESS = {"True": "node, Ready", "False": "node, NotReady"}


@dataclass(frozen=True, slots=True)
class Column:
    """The space of one ECS: its left edge, its width, the x of the wire to eth0, and the height of its pod LAN."""

    name: str
    x: float
    w: float
    spine: float
    vswitch: str
    is_node: bool
    lan_h: float
    host_h: float

    def bottom(self, machine_y: float, lan_y: float) -> float:
        """Return the y of the lower edge."""
        if not self.is_node:
            return machine_y + ECS_H
        below = self.lan_h + self.host_h
        return lan_y + below + PAD if below else lan_y - LAN_GAP + PAD


def column(network: Network, parts: Shown, name: str, x: float, width: float, *, lan: bool) -> Column:
    """Return the space that an ECS takes; without a `lan`, and without pods on it, none is kept for one."""
    pods, host = parts.pods.get(name, ()), parts.host_pods.get(name, ())
    is_node = name in parts.pods
    folds = is_node and len(network.pods_on(name)) > len(pods) + len(host)
    spine = x + width - PAD - CHIP_W / 2 if is_node else x + width / 2
    vswitch = network.ecs[name].vswitch if name in network.ecs else ""
    lan_h = lan_height(len(pods), folds) if lan or pods or folds else 0.0
    return Column(name, x, width, spine, vswitch, is_node, lan_h, host_height(len(host)))


def kernel_height(routes: int) -> float:
    """Return the space from the upper edge of a node to the lower edge of its kernel: its routes, nat and filter."""
    return HEAD + KERNEL_HEAD + (routes + 2) * ROW_H + 11


def machine(network: Network, parts: Shown, found: Column, y: float, lan_y: float) -> Iterator[Item]:
    """Return an ECS with everything in it that exists; `lan_y` is where pod LANs begin."""
    if found.name not in network.ecs and found.name not in network.nodes:
        return
    frame = _frame(network, found, y, found.bottom(y, lan_y))
    yield frame
    eth0 = _eth0(network, found, y)
    yield eth0
    if not found.is_node:
        return
    kernel = _kernel_box(network, frame, y + HEAD, lan_y - LAN_GAP)
    yield kernel
    yield Wire(
        wire_id(eth0.id, kernel.id), eth0.id, kernel.id, "stack", ((found.spine, eth0.bottom), (found.spine, kernel.y))
    )
    yield from _other_devices(tables_of(network, found.name), frame, eth0, kernel)
    yield from _rows(parts, tables_of(network, found.name), kernel)
    yield from pod_lan(network, parts, frame, lan_y, found.lan_h, found.spine)
    yield from host_pods(network, parts, frame, lan_y + found.lan_h)


def _frame(network: Network, found: Column, y: float, bottom: float) -> Box:
    beside = found.x + SECOND if second_devices(tables_of(network, found.name)) else found.spine
    room = beside - found.x - PAD - 8 if found.is_node else found.w - 2 * PAD
    label = shorten(found.name, room_for(room, NORMAL, BOLD_ADVANCE))
    told = _told(network, found.name)
    instance = f", {network.ecs[found.name].instance_id}" if found.name in network.ecs else ""
    kind, title = "node" if found.is_node else "ecs", f"{found.name}: {told}{instance}"
    return Box(
        ident(found.name),
        "node" if kind == "node" else "ecs",
        found.name,
        label,
        told,
        found.x,
        y,
        found.w,
        bottom - y,
        title=title,
    )


def _told(network: Network, name: str) -> str:
    node = network.nodes.get(name)
    if node is not None:
        return READINESS.get(node.ready, "node, Ready unknown")
    return "ECS, no node yet" if network.ecs[name].is_node else "ECS, no node"


def _eth0(network: Network, found: Column, y: float) -> Box:
    address = network.node_ip(found.name)
    link = tables_of(network, found.name).link(ETH0)
    down = link is not None and not link.up
    state: State = "unknown" if address is None else "down" if down else ""
    text = f"{address or UNKNOWN}{' down' if down else ''}"
    width = min(CHIP_W + (30 if down else 0), found.w - 2 * PAD)
    x = found.spine - width / 2 - (15 if down and found.is_node else 0)
    return Box(
        ident(found.name, ETH0),
        "eth0",
        found.name,
        ETH0,
        text,
        x,
        y - CHIP_H / 2,
        width,
        CHIP_H,
        ident(found.name),
        state=state,
    )


# --- tunnels and other ENIs -------------------------------------------------------------------------------------------


def second_devices(tables: Tables) -> tuple[Link, ...]:
    """Return what leads out of a node besides eth0: other ENIs, and tunnels."""
    return tuple(link for link in tables.fixed_links if link.kind in ("device", "vxlan") and link.name != ETH0)


def _other_devices(tables: Tables, frame: Box, eth0: Box, kernel: Box) -> Iterator[Item]:
    """Return the first tunnel, between kernel and eth0, or the second ENI, beside eth0, with their wires."""
    for link in second_devices(tables)[:1]:
        box = _tunnel(tables, link, frame) if link.kind == "vxlan" else _second_eni(link, frame)
        yield box
        x = box.middle if link.kind == "vxlan" else frame.x + SECOND
        if link.kind == "vxlan":
            yield Wire(wire_id(eth0.id, box.id), eth0.id, box.id, "stack", ((x, eth0.bottom), (x, box.y)), box.state)
        yield Wire(wire_id(box.id, kernel.id), box.id, kernel.id, "stack", ((x, box.bottom), (x, kernel.y)), box.state)


def _tunnel(tables: Tables, link: Link, frame: Box) -> Box:
    address = next((str(a.interface) for a in tables.addresses if a.dev == link.name), "no address")
    at = (frame.x + SECOND, frame.y + CHIP_H / 2 + 13, TUNNEL_W, TUNNEL_H)
    return _device(link, frame, at, f"{link.name} {address} mtu {link.mtu}")


def _second_eni(link: Link, frame: Box) -> Box:
    eni = f", {link.peer[1]}" if link.peer else ""
    return _device(link, frame, (frame.x + PAD, frame.y - CHIP_H / 2, NIC_W, CHIP_H), f"{link.name} {link.mac}{eni}")


def _device(link: Link, frame: Box, at: tuple[float, float, float, float], title: str) -> Box:
    state: State = "" if link.up else "down"
    id, label = ident(frame.place, link.name), link.name + (" down" if state else "")
    return Box(id, "eth0", frame.place, label, "", *at, frame.id, title, state)


# --- the kernel: routes, nat, filter ------------------------------------------------------------------------------


def _kernel_box(network: Network, frame: Box, y: float, bottom: float) -> Box:
    place = frame.place
    unknown = (network.plan is None and place not in network.written) or "routes" in tables_of(network, place).unknown
    state: State = "unknown" if unknown else ""
    x, w = frame.x + PAD, frame.w - 2 * PAD
    return Box(
        ident(place, "kernel"),
        "kernel",
        place,
        "kernel",
        "routes, iptables",
        x,
        y,
        w,
        bottom - y,
        frame.id,
        state=state,
    )


def _rows(parts: Shown, tables: Tables, kernel: Box) -> Iterator[RowLabel]:
    if kernel.state == "unknown":
        title = f"the input does not hold the routes of {kernel.place}"
        yield _row(kernel, 0, "unknown", f"routes {UNKNOWN}", title, "unknown")
    else:
        yield from _routes(parts.routes[kernel.place], tables, kernel)
    yield from _chains(tables, kernel, parts.route_lines)


def _routes(kept: tuple[Route, ...], tables: Tables, kernel: Box) -> Iterator[RowLabel]:
    existing = set(tables.usable_routes)
    more = len(existing.difference(kept))
    for i, route in enumerate(kept):
        if route in existing:
            yield _row(kernel, i, route_key(route), route_text(route, brief=True), route_text(route), "route")
    if more:
        yield _row(kernel, len(kept), "more routes", f"+ {more:,} route{'' if more == 1 else 's'}", "folded", "more")


def route_key(route: Route) -> str:
    """Return what tells the row of `route` from the other rows of its place."""
    table = f" table {route.table}" if route.table != MAIN else ""
    return f"route {route.dst} {route.via or ''} {route.dev} {route.metric or ''}{table}"


def _chains(tables: Tables, kernel: Box, first: int) -> Iterator[RowLabel]:
    if "chains" in tables.unknown:
        title = f"the input does not hold the rules of {kernel.place}"
        yield _row(kernel, first, "unknown chains", f"iptables {UNKNOWN}", title, "unknown")
        return
    for i, (table, chain) in enumerate((("nat", "POSTROUTING"), ("filter", "FORWARD"))):
        count = len(rules(tables, table))
        built_in = tables.chain(table, chain)
        if count or built_in:
            policy = ", FORWARD DROP" if table == "filter" and built_in and built_in.policy == "DROP" else ""
            text = f"{table}: {count} rule{'' if count == 1 else 's'}{policy}"
            yield _row(kernel, first + i, table, text, f"iptables -t {table} -S", "chain")


def _row(kernel: Box, i: int, key: str, text: str, title: str, kind: RowKind) -> RowLabel:
    short = shorten(text, room_for(kernel.w - 24, SMALL, ADVANCE))
    y = kernel.y + KERNEL_HEAD + i * ROW_H
    return RowLabel(
        ident(kernel.place, key), kernel.id, kernel.place, short, kernel.x + 6, y, kernel.w - 12, title, "", kind
    )
