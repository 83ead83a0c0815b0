"""The pod LAN of one node in the picture: its podCIDR, cni0, one veth and one box for each pod. READS only.

Pods stand two abreast; the wire to a veth goes straight down in the first row, round the outside in the others.
Units: px of the viewBox.
"""

from __future__ import annotations

from collections.abc import Iterator

from flannelviz.model import Pod
from flannelviz.network import Network
from flannelviz.tables import CNI0, Link, Tables
from flannelviz.views.fold import Shown, host_end, tables_of
from flannelviz.views.shapes import Box, Point, RowLabel, State, Wire, ident, wire_id
from flannelviz.views.theme import BOLD_ADVANCE, NORMAL, room_for, shorten

Item = Box | Wire | RowLabel
POLICY = "policy"  # Terway has policy rules where flannel has a bridge
PAD = 12.0
LAN_HEAD, BRIDGE_H, FOLD_H = 27.0, 31.0, 24.0
VETH_GAP, VETH_H, POD_GAP, POD_H, CELL_GAP = 14.0, 19.0, 14.0, 45.0, 16.0
POD_W, SIDE, BETWEEN = 110.0, 21.0, 14.0
CELL_H = VETH_H + POD_GAP + POD_H
UNKNOWN = "? unknown"


def lan_height(pods: int, folds: bool) -> float:
    """Return the height of a pod LAN with room for so many pods, and for the count of those folded away."""
    rows = (pods + 1) // 2
    cells = VETH_GAP + rows * CELL_H + (rows - 1) * CELL_GAP if rows else 8
    return LAN_HEAD + BRIDGE_H + cells + (FOLD_H + 10 if folds else 0) + PAD


def has_lan(network: Network, place: str) -> bool:
    """Return whether a node has a podCIDR, a bridge or an unknown podCIDR, so that its pod LAN takes room."""
    node = network.nodes.get(place)
    told = node.pod_cidr if node else None
    return told is not None or network.plan is None or tables_of(network, place).link(CNI0) is not None


def host_height(pods: int) -> float:
    """Return the height that so many pods in the node's own network take, below the pod LAN."""
    return (pods + 1) // 2 * (POD_H + PAD)


def host_pods(network: Network, parts: Shown, node: Box, y: float) -> Iterator[Box]:
    """Return the pods that use the node's own network: they are on no pod LAN, so they stand below it."""
    for i, place in enumerate(parts.host_pods[node.place]):
        if place in network.pods:
            x = node.x + PAD + SIDE + (i % 2) * (POD_W + BETWEEN)
            yield _pod_box(network, network.pods[place], node, x, y + PAD + (i // 2) * (POD_H + PAD))


def pod_lan(network: Network, parts: Shown, node: Box, y: float, height: float, spine: float) -> Iterator[Item]:
    """Return what exists of a node's pod LAN; `spine` is the x of the wire that comes down from the kernel."""
    place = node.place
    area = _area(network, node, y, height)
    pods = [pod for pod in parts.pods[place] if pod in network.pods]
    tables = tables_of(network, place)
    if not (pods or has_lan(network, place)):
        return
    yield area
    yield from (_policy(tables, area, spine) if tables.policy else _bridge(network, tables, area, spine))
    for i, pod in enumerate(parts.pods[place]):
        if pod in network.pods:
            yield from _pod(network, tables, pod, area, i)
    host = sum(pod in network.pods for pod in parts.host_pods[place])
    more = len(network.pods_on(place)) - len(pods) - host
    if more > 0:
        yield _fold(area, more)


def _area(network: Network, node: Box, y: float, height: float) -> Box:
    found = network.nodes.get(node.place)
    cidr = found.pod_cidr if found else None
    state: State = "unknown" if cidr is None and network.plan is None else ""
    label, text = ("podCIDR", str(cidr or UNKNOWN)) if cidr or state else ("no podCIDR", "")
    if tables_of(network, node.place).policy:
        label, text = "addresses of the vSwitch", ""
    x, w = node.x + PAD, node.w - 2 * PAD
    return Box(ident(node.place, "lan"), "lan", node.place, label, text, x, y, w, height, node.id, state=state)


def _fold(area: Box, more: int) -> Box:
    text = f"+ {more:,} pod{'' if more == 1 else 's'}"
    x, y, w = area.x + SIDE, area.bottom - FOLD_H - PAD, 2 * POD_W + BETWEEN
    title = f"{text} on {area.place}, folded"
    return Box(ident(area.place, "more pods"), "fold", area.place, text, "", x, y, w, FOLD_H, area.id, title)


def _bridge(network: Network, tables: Tables, area: Box, spine: float) -> Iterator[Item]:
    link = tables.link(CNI0)
    if link is None and network.plan is not None:
        return
    box = _bridge_box(area, link, next((str(a.interface) for a in tables.addresses if a.dev == CNI0), "no address yet"))
    yield box
    kernel = area.id.replace("__lan", "__kernel")
    top = area.y - 18
    state: State = "unknown" if link is None else ""
    yield Wire(wire_id(kernel, box.id), kernel, box.id, "stack", ((spine, top), (spine, box.y)), state)


def _bridge_box(area: Box, link: Link | None, address: str) -> Box:
    state: State = "unknown" if link is None else "" if link.up else "down"
    text = UNKNOWN if link is None else address + ("" if link.up else " down")
    x, y, w = area.x + 8, area.y + LAN_HEAD, area.w - 16
    return Box(ident(area.place, CNI0), "bridge", area.place, CNI0, text, x, y, w, BRIDGE_H, area.id, state=state)


def _policy(tables: Tables, area: Box, spine: float) -> Iterator[Item]:
    """Return what stands where a bridge would: the policy rules that lead to and from each pod."""
    count = len(tables.policy)
    x, y, w = area.x + 8, area.y + LAN_HEAD, area.w - 16
    text = f"{count} rule{'' if count == 1 else 's'}"
    box = Box(ident(area.place, POLICY), "bridge", area.place, "ip rule", text, x, y, w, BRIDGE_H, area.id)
    yield box
    kernel = area.id.replace("__lan", "__kernel")
    yield Wire(wire_id(kernel, box.id), kernel, box.id, "stack", ((spine, area.y - 18), (spine, box.y)))


# --- veths and pods -----------------------------------------------------------------------------------------------


def _pod(network: Network, tables: Tables, place: str, area: Box, i: int) -> Iterator[Item]:
    pod, end = network.pods[place], host_end(network, place)
    x = area.x + SIDE + (i % 2) * (POD_W + BETWEEN)
    y = area.y + LAN_HEAD + BRIDGE_H + VETH_GAP + (i // 2) * (CELL_H + CELL_GAP)
    box = _pod_box(network, pod, area, x, y + VETH_H + POD_GAP)
    yield box
    if end is not None:
        yield from _veth(end, box, area, y, i, POLICY if tables.policy else CNI0)
    elif network.plan is None and _wired(pod):
        yield _to_middle(area, box, i, CNI0, "unknown")


def _wired(pod: Pod) -> bool:
    """Return whether a dump without devices still tells that the pod hangs on a bridge: it has an address."""
    return pod.ip is not None and not pod.host_network and not pod.finished


def _pod_box(network: Network, pod: Pod, parent: Box, x: float, y: float) -> Box:
    label = shorten(pod.name, room_for(POD_W - 6, NORMAL, BOLD_ADVANCE))
    text, state = _pod_state(network, pod)
    return Box(ident(pod.place), "pod", pod.place, label, text, x, y, POD_W, POD_H, parent.id, pod.place, state)


def _pod_state(network: Network, pod: Pod) -> tuple[str, State]:
    address = network.pod_ip(pod.place)
    if pod.host_network or pod.finished:
        return "host network" if pod.host_network else shorten(pod.phase, 15), ""
    if address is not None:
        return str(address), ""
    untold = network.plan is None and pod.phase != "Pending"
    return (UNKNOWN, "unknown") if untold else ("no address", "pending")


def _veth(link: Link, pod: Box, area: Box, y: float, i: int, middle: str) -> Iterator[Item]:
    state: State = "" if link.up else "down"
    name = shorten(link.name, 15) if link.up else f"{shorten(link.name, 10)} down"
    box = Box(
        ident(pod.place, "veth"), "veth", area.place, name, "", pod.x, y, POD_W, VETH_H, area.id, link.name, state
    )
    yield box
    x = pod.middle
    yield Wire(wire_id(box.id, pod.id), box.id, pod.id, "veth", ((x, box.bottom), (x, pod.y)), state)
    if link.master is not None or middle == POLICY:
        yield _to_middle(area, box, i, middle, state)


def _to_middle(area: Box, box: Box, i: int, middle: str, state: State) -> Wire:
    """Return the wire from the bridge, or from what stands in its place, to a veth."""
    above = ident(area.place, middle)
    return Wire(wire_id(above, box.id), above, box.id, "port", _down(area, box, *divmod(i, 2)), state)


def _down(area: Box, box: Box, row: int, right: int) -> tuple[Point, ...]:
    start = area.y + LAN_HEAD + BRIDGE_H
    if row == 0:
        return ((box.middle, start), (box.middle, box.y))
    off = 5 + (row % 2) * 6
    outside, edge = (box.right + off, box.right) if right else (box.x - off, box.x)
    y = box.y + box.h / 2
    return ((outside, start), (outside, y), (edge, y))
