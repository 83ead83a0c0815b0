"""The tables of a place as the tools of a real machine print them: iproute2, bridge, kubectl, aliyun. READS only.

iproute2 ends most lines with a blank; it is left out here.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace

from flannelviz.errors import UnknownPlaceError
from flannelviz.model import VPC, Node, Pod, visible
from flannelviz.network import Network
from flannelviz.packet import Learned
from flannelviz.tables import MAIN, Link, Route, RouteEntry, RouteTable, Tables, VpcTables
from flannelviz.views.learned import flows_at
from flannelviz.views.podlan import UNKNOWN
from flannelviz.views.rowtext import fdb_rows, fdb_text, flow_text, link_state, neighbor_text, policy_text, route_text
from flannelviz.views.ruletext import iptables_save

NOWHERE = Network()
NO_NEXT_HOP = "-"
UNTOLD = "# unknown: the input does not hold {}"
NO_ROUTE_TABLE = "# none: the VPC has no route table"


def ip_route(tables: Tables, table: int = MAIN, network: Network = NOWHERE) -> str:
    """Return what `ip route` prints, or `ip route show table` for another table than main.

    `network` tells what is at the far ends of the wires; without it, all of it is taken to be up.
    Shape: one line a route; a device that is down has none, `linkdown` marks those of one without a carrier.
    """
    return _lines(tables, "routes", route_lines(tables.usable_routes, table, devices_without_carrier(network, tables)))


def devices_without_carrier(network: Network, tables: Tables) -> frozenset[str]:
    """Return the devices with routes that are up and have no carrier, as far as `network` tells."""
    links = (tables.link(dev) for dev in {route.dev for route in tables.usable_routes})
    return frozenset(link.name for link in links if link and not network.has_carrier(tables, link))


def route_lines(routes: Iterable[Route], table: int = MAIN, linkdown: Container[str] = ()) -> list[str]:
    """Return the routes of one table as `ip route` prints them; those by a `linkdown` device say so.

    Shape: in the order of the kernel's trie: by address, then the longer prefix, then the metric.
    Source: iproute2 6; net/ipv4/fib_trie.c, fib_table_dump.
    """
    own = [replace(route, table=MAIN) for route in routes if route.table == table]
    ordered = sorted(own, key=lambda r: (int(r.dst.network_address), -r.dst.prefixlen, r.metric))
    ordered.sort(key=lambda r: r.dst.prefixlen > 0)
    return [route_text(route, linkdown=route.dev in linkdown) for route in ordered]


def ip_rule(tables: Tables) -> str:
    """Return what `ip rule` prints: the kernel's three rules, and those of one's own among them.

    Source: iproute2 ip/iprule.c; a tab follows the priority there.
    """
    kernel = ((0, "local"), (32766, "main"), (32767, "default"))
    lines = [(priority, f"{priority}: from all lookup {name}") for priority, name in kernel]
    lines += [(rule.priority, policy_text(rule)) for rule in tables.policy]
    return _lines(tables, "routes", [line for _, line in sorted(lines, key=lambda pair: pair[0])])


def ip_addr(network: Network, place: str) -> str:
    """Return what `ip -br addr` prints at a place.

    Source: iproute2 6 ip/ipaddress.c, print_linkinfo_brief.
    """
    tables = network.tables(place)
    lines = (_brief(network, tables, link) for link in tables.links)
    return _lines(tables, "fixed_links", lines)


def _brief(network: Network, tables: Tables, link: Link) -> str:
    addresses = " ".join(str(a.interface) for a in tables.addresses if a.dev == link.name)
    state = link_state(link, carrier=network.has_carrier(tables, link))
    return f"{link.name + _peer(network, link):<16} {state:<14} {addresses}".rstrip()


def _peer(network: Network, link: Link) -> str:
    """Return the index of a veth's other end, as it is printed where that end lives in another namespace."""
    if link.kind != "veth" or link.peer is None:
        return ""
    place, dev = link.peer
    return next((f"@if{i}" for i, far in enumerate(network.tables(place).links, 1) if far.name == dev), "@if?")


def ip_neigh(tables: Tables) -> str:
    """Return what `ip neigh` prints; what traffic taught is in the tables of `with_learned`.

    Source: iproute2 6 ip/ipneigh.c.
    """
    return _lines(tables, "neighbors", map(neighbor_text, tables.neighbors))


def bridge_fdb(tables: Tables, dev: str | None = None) -> str:
    """Return what `bridge fdb show` prints, or `bridge fdb show dev DEV`, which leaves the device out.

    Shape: without the multicast groups that bridges and ports are in.
    Source: iproute2 6 bridge/fdb.c.
    """
    rows = (row for row in fdb_rows(tables) if dev in (None, row.dev))
    return _lines(tables, "fdb", (fdb_text(row, dev=dev is None) for row in rows))


def conntrack(learned: Learned, place: str) -> str:
    """Return the conntrack entries of a place as `conntrack -L` prints their tuples; no timers, no states."""
    return visible_lines(map(flow_text, flows_at(learned, place)))


def bridge_link(tables: Tables, network: Network = NOWHERE) -> str:
    """Return what `bridge link` prints: the ports of every bridge. `network` is as in `ip_route`.

    Source: iproute2 6 bridge/link.c; priority and cost are the kernel's defaults for a veth.
    """
    ports = ((i, link) for i, link in enumerate(tables.links, 1) if link.master)
    return _lines(tables, "fixed_links", (_port(network, tables, i, link) for i, link in ports))


def _port(network: Network, tables: Tables, i: int, link: Link) -> str:
    peer, bridge = f"@{link.peer[1]}" if link.peer else "", tables.link(link.master or "")
    carrier = network.has_carrier(tables, link)
    state = "forwarding" if link.up and carrier and bridge and bridge.up else "disabled"
    flags = ",".join(_flags(tables, link, carrier))
    return f"{i}: {link.name}{peer}: <{flags}> mtu {link.mtu} master {link.master} state {state} priority 32 cost 2"


def _flags(tables: Tables, link: Link, carrier: bool) -> Iterator[str]:
    """Return the flags of a port; M-DOWN tells of the own device whose name stands after the @.

    Source: iproute2 6 lib/utils.c, print_link_flags; it looks the far end's index up among the own devices.
    """
    if link.up and not carrier:
        yield "NO-CARRIER"
    yield from ("BROADCAST", "MULTICAST")
    if link.up:
        yield from ("UP", *(["LOWER_UP"] if carrier else []))
    named = tables.link(link.peer[1]) if link.peer else None
    if link.up and named is not None and not named.up:
        yield "M-DOWN"


def _lines(tables: Tables, name: str, lines: Iterable[str]) -> str:
    if name in tables.unknown:
        return UNTOLD.format("the " + {"fixed_links": "devices"}.get(name, name))
    return visible_lines(lines)


def visible_lines(lines: Iterable[str]) -> str:
    """Return lines as one text, nothing in them invisible or turned round."""
    return "\n".join(visible(line) for line in lines)


# --- the cloud and the cluster ------------------------------------------------------------------------------------


def next_hop_name(network: Network, entry: RouteEntry) -> str:
    """Return the next hop of a VPC entry as a person calls it: the name of the ECS, or the kind of the target."""
    if entry.next_hop_type == "Instance":
        return instances(network).get(entry.next_hop_id, entry.next_hop_id)
    return {"NatGateway": "NAT gateway", "service": "cloud services"}.get(entry.next_hop_type, entry.next_hop_type)


def instances(network: Network) -> dict[str, str]:
    """Return the name of each ECS by its instance id."""
    found: dict[str, str] | None = network.memo.get("names of instances")
    if found is None:
        found = network.memo["names of instances"] = {e.instance_id: name for name, e in network.ecs.items()}
    return found


def describe_route_entry_list(vpc: VpcTables, table: int = 0) -> str:
    """Return what `aliyun vpc DescribeRouteEntryList` answers for route table number `table`, the system table first.

    Raises: UnknownPlaceError if the VPC has tables, and none of this number.
    Source: VPC API 2016-04-28, DescribeRouteEntryList; request id, names and dates are left out.
    """
    if "route_tables" in vpc.unknown:
        return UNTOLD.format("the VPC route table")
    if not vpc.route_tables:
        return NO_ROUTE_TABLE
    found = _route_table(vpc, table)
    entries = [_entry_json(entry, found.id) for entry in found.entries]
    return json.dumps({"RouteEntrys": {"RouteEntry": entries}}, indent=2)


def _route_table(vpc: VpcTables, number: int) -> RouteTable:
    last = len(vpc.route_tables) - 1
    if not 0 <= number <= last:
        raise UnknownPlaceError(f"the VPC has no route table number {number}; take one from 0 to {last}")
    return vpc.route_tables[number]


def _entry_json(entry: RouteEntry, table: str) -> dict[str, object]:
    hop = {"NextHopId": entry.next_hop_id, "Enabled": 1, "NextHopType": entry.next_hop_type}
    return {
        "Status": entry.status,
        "Type": entry.kind,
        "IpVersion": "IPv4",
        "DestinationCidrBlock": str(entry.dst),
        "RouteTableId": table,
        "NextHops": {"NextHop": [hop]},
    }


def kubectl_nodes(network: Network) -> str:
    """Return the nodes in the manner of `kubectl get nodes -o wide`, reduced to what the network reads of them.

    Shape: what an imported network does not say is unknown here, where kubectl, which knows, prints <none>.
    """
    none = UNKNOWN if network.plan is None else "<none>"
    rows = ((n.name, _status(network, n), n.address or none, n.pod_cidr or none) for n in network.nodes.values())
    return columns([("NAME", "STATUS", "INTERNAL-IP", "PODCIDR"), *rows])


def _status(network: Network, node: Node) -> str:
    """Return the STATUS of a node: Unknown where nobody has told its condition Ready.

    Source: kubernetes pkg/printers/internalversion/printers.go, printNode; a condition of status Unknown is NotReady.
    """
    told = network.plan is not None or node.ready != "Unknown" or node.condition("Ready") is not None
    return "Unknown" if not told else "Ready" if node.ready == "True" else "NotReady"


def kubectl_pods(network: Network) -> str:
    """Return the pods in the manner of `kubectl get pods -A -o wide`; an imported one may have an address untold."""
    rows = (
        (p.namespace, p.name, p.phase, network.pod_ip(place) or _no_address(network, p), p.node or "<none>")
        for place, p in network.pods.items()
    )
    return columns([("NAMESPACE", "NAME", "STATUS", "IP", "NODE"), *rows])


def _no_address(network: Network, pod: Pod) -> str:
    return UNKNOWN if network.plan is None and pod.phase != "Pending" else "<none>"


def columns(rows: Sequence[Sequence[object]], gap: str = "   ") -> str:
    """Return rows as aligned columns."""
    texts = [[visible(str(cell)) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in texts) for i in range(len(texts[0]))]
    return "\n".join(gap.join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in texts)


def _route_table_texts(vpc: VpcTables) -> Iterator[tuple[str, str]]:
    command = "aliyun vpc DescribeRouteEntryList"
    if not vpc.route_tables:
        yield command, describe_route_entry_list(vpc)
    for number, table in enumerate(vpc.route_tables):
        yield f"{command} --RouteTableId {table.id}", describe_route_entry_list(vpc, number)


def table_texts(network: Network, place: str) -> Iterator[tuple[str, str]]:
    """Return each table of a place as (command, output)."""
    if place == VPC:
        yield from _route_table_texts(network.vpc)
        return
    tables = network.tables(place)
    yield "ip route", ip_route(tables, network=network)
    if tables.policy:
        yield "ip rule", ip_rule(tables)
    for table in sorted({route.table for route in tables.usable_routes} - {MAIN}):
        yield f"ip route show table {table}", ip_route(tables, table, network)
    yield "ip -br addr", ip_addr(network, place)
    yield "ip neigh", ip_neigh(tables)
    if fdb := bridge_fdb(tables):
        yield "bridge fdb", fdb
    yield "bridge link", bridge_link(tables, network)
    yield "iptables-save", iptables_save(tables)
