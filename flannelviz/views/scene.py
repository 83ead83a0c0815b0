"""A network as a picture in plain data: what is drawn, where, and what a trace or an event lights. READS only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from flannelviz.model import INTERNET, VPC
from flannelviz.network import Event, Network, counted
from flannelviz.packet import Disposition, Trace
from flannelviz.views.fold import host_end, shown, tables_of, touched
from flannelviz.views.layout import items, lanes, plan
from flannelviz.views.light import Drawn, light_event, path, row_id
from flannelviz.views.notes import noted
from flannelviz.views.podlan import Item
from flannelviz.views.shapes import Box, Lane, Move, Note, RowLabel, Scene, Stop, Wire, ident
from flannelviz.views.text import short_place, untold_says

if TYPE_CHECKING:
    import networkx as nx


def scene(
    network: Network,
    *,
    trace: Trace | None = None,
    event: Event | None = None,
    focus: Iterable[str] = (),
    layout: Network | None = None,
    notes: Mapping[str, Note] | None = None,
) -> Scene:
    """Return the picture of `network`, with the way of `trace` or the work of `event` lit.

    `focus` names places that must not be folded away. `layout` is the network whose positions count, the last of a
    timeline say: what it has and `network` has not (yet) leaves its place empty, so nothing moves. `notes` tells what
    is wrong with places: as many of them as fit are drawn before others, the first of them first.

    Raises: UnknownPlaceError if `focus` names a place that neither network has.
    """
    final = layout or network
    places, rows = touched(trace, event)
    parts = shown(network, final, places | {_place(network, final, name) for name in focus}, rows, notes or ())
    lines = plan(network, final, parts)
    drawn = tuple(items(network, parts, lines))
    drawn += _removed(drawn, items(final, parts, lines), event)
    boxes = noted(network, tuple(item for item in drawn if isinstance(item, Box)), notes or {})
    wires = tuple(item for item in drawn if isinstance(item, Wire))
    labels = tuple(item for item in drawn if isinstance(item, RowLabel))
    wrote, removed = light_event(event, frozenset(item.id for item in drawn)) if event else ((), ())
    stops = path(network, trace, Drawn.of(boxes, wires, labels)) if trace else ()
    says = _says(network, trace, event)
    return Scene(lines.width, lines.height, lanes(network, lines), boxes, wires, labels, stops, wrote, removed, says)


def _place(network: Network, layout: Network, name: str) -> str:
    return layout.place(name) if name in layout.pods or name in layout.nodes else network.place(name)


def _removed(drawn: tuple[Item, ...], of_layout: Iterable[Item], event: Event | None) -> tuple[Item, ...]:
    """Return what the event took away, as long as the layout still knows where it stood."""
    if event is None or not event.removed:
        return ()
    gone = {row_id(place, row) for place, row in event.removed} - {item.id for item in drawn}
    return tuple(item for item in of_layout if item.id in gone)


def _says(network: Network, trace: Trace | None, event: Event | None) -> str:
    if trace is not None:
        return journey_says(trace)
    if event is not None:
        return f"event {event.number}, {event.stage} stage: {event.component}: {event.action}"
    return f"a cluster network with {size_says(network)}"


def size_says(network: Network) -> str:
    """Return how many nodes and pods there are; what the input did not hold is unknown, not 0."""
    counts = {"node": len(network.nodes), "pod": len(network.pods)}
    known = " and ".join(counted(number, what) for what, number in counts.items() if f"{what}s" not in network.unknown)
    untold = (counted(None, what) for what in counts if f"{what}s" in network.unknown)
    return ", ".join(filter(None, (known, *untold)))


def journey_says(trace: Trace) -> str:
    """Return in one sentence where a packet went and what became of it and of its reply."""
    way = f"{short_place(trace.source)} to {short_place(trace.destination)}"
    if trace.disposition is Disposition.UNKNOWN:
        return f"{way}: {untold_says(trace.request[-1], 'it')}"
    if trace.disposition is not Disposition.ACCEPTED:
        return f"{way}: the request is lost at {_at(trace)}, {trace.disposition.value}"
    if trace.reply_disposition is None:
        return f"{way}: the request arrives"
    if trace.reply_disposition is Disposition.UNKNOWN:
        return f"{way}: the request arrives, but {untold_says(trace.reply[-1], 'the reply')}"
    if not trace.ok:
        return f"{way}: the request arrives, the reply is lost at {_at(trace)}, {trace.reply_disposition.value}"
    return f"{way}: request and reply arrive"


def _at(trace: Trace) -> str:
    return short_place(trace.died_at or "an unknown place")


def graph(network: Network) -> nx.Graph:
    """Return the topology as a networkx graph: places and bridges as nodes, wires as edges.

    Shape: one node for each place and each cni0, with `kind` and `address`; one edge for each wire, with its device.
    """
    import networkx as nx

    found: nx.Graph = nx.Graph()
    found.add_node(INTERNET, kind="internet", address="")
    found.add_node(VPC, kind="vpc", address=str(network.plan.vpc_cidr) if network.plan else "")
    found.add_edge(INTERNET, VPC, dev="uplink")
    for name in network.ecs_places():
        kind = "node" if name in network.nodes else "ecs"
        found.add_node(name, kind=kind, address=str(network.node_ip(name) or ""))
        found.add_edge(VPC, name, dev="eth0")
    for place, pod in network.pods.items():
        _add_pod(found, network, place, pod.node, pod.host_network)
    return found


def _add_pod(found: nx.Graph, network: Network, place: str, node: str | None, host_network: bool) -> None:
    found.add_node(place, kind="pod", address=str(network.pod_ip(place) or ""))
    if node is None:
        return
    if host_network:
        found.add_edge(node, place, dev="host network")
        return
    end = host_end(network, place)
    dev = end.name if end else "unknown"
    if tables_of(network, node).policy:
        found.add_edge(node, place, dev=dev)
        return
    bridge = f"cni0 of {node}"
    found.add_node(bridge, kind="bridge", address="")
    found.add_edge(node, bridge, dev="cni0")
    found.add_edge(bridge, place, dev=dev)


__all__ = [
    "Box",
    "Lane",
    "Move",
    "RowLabel",
    "Scene",
    "Stop",
    "Wire",
    "graph",
    "ident",
    "journey_says",
    "scene",
    "size_says",
]
