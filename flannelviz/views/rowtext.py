"""Any row of any table as one line, in the words of the tool that shows it. READS only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from typing import Any

from flannelviz.model import visible
from flannelviz.packet import Flow, FlowKey, Step
from flannelviz.tables import (
    MAIN,
    Address,
    Chain,
    Eni,
    FdbEntry,
    File,
    Link,
    Neighbor,
    Origin,
    PolicyRule,
    Route,
    RouteEntry,
    Rule,
    SecurityRule,
    SnatEntry,
    Sysctl,
    Tables,
)
from flannelviz.views.ruletext import rule_text

EVERYWHERE = IPv4Network("0.0.0.0/0")
OWN_MAC = Origin("kernel", "own MAC")


def row_text(row: object) -> str:
    """Return any row in the words of the tool that shows it."""
    words = _WORDS.get(type(row))
    return words(row) if words else "" if row is None else visible(str(row))


def step_text(step: Step) -> str:
    """Return the row that decided a lookup; what a bridge found is told as `bridge fdb` tells it."""
    row = step.row
    if step.kind == "fdb" and isinstance(row, Link):
        mac = step.before.dst_mac
        return fdb_text(FdbEntry(mac, row.name, row.master or row.name, state="permanent" if mac == row.mac else ""))
    return row_text(row)


def route_text(route: Route, *, brief: bool = False, linkdown: bool = False) -> str:
    """Return one line of `ip route`; brief: only where to, via whom, by which device.

    `linkdown`: its device is up and has no carrier.

    Source: iproute2 ip/iproute.c, print_route; the table is told where it is not main.
    """
    words = [_prefix(route.dst), *_pair("via", route.via), "dev", route.dev, *_table(route)]
    if not brief:
        words += [*_pair("proto", route.proto), *_pair("scope", route.scope), *_pair("src", route.src)]
        words += [*_pair("metric", route.metric), *route_flags(route, linkdown)]
    return " ".join(words)


def route_flags(route: Route, linkdown: bool) -> list[str]:
    """Return the flags of a next hop, as `ip route` prints them. Source: iproute2 ip/iproute.c, print_rt_flags."""
    return [word for word, told in (("onlink", route.onlink), ("linkdown", linkdown)) if told]


def _table(route: Route) -> list[str]:
    return [] if route.table == MAIN else ["table", str(route.table)]


def policy_text(rule: PolicyRule) -> str:
    """Return one line of `ip rule`. Source: iproute2 ip/iprule.c, print_rule; a tab follows the priority there."""
    words = ["from", _host(rule.src) if rule.src else "all", *(["to", _host(rule.dst)] if rule.dst else [])]
    return " ".join([f"{rule.priority}:", *words, *_pair("iif", rule.in_dev), "lookup", table_name(rule.table)])


def table_name(table: int) -> str:
    """Return what iproute2 calls a route table. Source: /etc/iproute2/rt_tables."""
    return "main" if table == MAIN else str(table)


def _host(net: IPv4Network) -> str:
    return str(net.network_address) if net.prefixlen == 32 else str(net)


def _prefix(net: IPv4Network) -> str:
    return "default" if net == EVERYWHERE else _host(net)


def _pair(word: str, value: object) -> list[str]:
    return [word, str(value)] if value else []


def decider(route: Route) -> str:
    """Return a route the way a trace shows it: the prefix in full, because its length is what decided."""
    return " ".join([str(route.dst), *_pair("via", route.via), "dev", route.dev, *_table(route)])


def _link(link: Link) -> str:
    words = [f"{link.name}:", link.kind, "mtu", str(link.mtu), *_pair("master", link.master), link_state(link)]
    return " ".join([*words, link.mac, *(["hairpin"] if link.hairpin else [])])


def link_state(link: Link, *, carrier: bool = True) -> str:
    """Return the operational state that `ip -br link` prints for a device.

    Source: net/core/link_watch.c, default_operstate, as Linux 6.18 has it: without a carrier DOWN, and LOWERLAYERDOWN
    only where the far end is in the same namespace.
    """
    if not (link.up and carrier):
        return "DOWN"
    return "UNKNOWN" if link.kind in ("loopback", "vxlan") else "UP"


def neighbor_text(row: Neighbor) -> str:
    """Return one line of `ip neigh`. Source: iproute2 ip/ipneigh.c."""
    return f"{row.dst} dev {row.dev} lladdr {row.lladdr} {row.state}".rstrip()


def fdb_rows(tables: Tables) -> tuple[FdbEntry, ...]:
    """Return what `bridge fdb` lists: what was written and learned, and the own MAC of every bridge and port.

    Shape: device by device, as far as the devices are known.
    Source: net/bridge/br_fdb.c, fdb_add_local: the own MACs are permanent.
    """
    if "fdb" in tables.unknown:
        return tables.fdb
    order = {link.name: number for number, link in enumerate(tables.links)}
    return tuple(sorted((*tables.fdb, *_own_macs(tables)), key=lambda row: order.get(row.dev, 0)))


def _own_macs(tables: Tables) -> Iterator[FdbEntry]:
    bridges = {link.name for link in tables.links if link.kind == "bridge"}
    for link in tables.links:
        bridge = link.name if link.name in bridges else link.master
        if bridge in bridges:
            yield FdbEntry(link.mac, link.name, bridge, state="permanent", origin=OWN_MAC)


def fdb_text(row: FdbEntry, *, dev: bool = True) -> str:
    """Return one line of `bridge fdb`, with or without the device. Source: iproute2 bridge/fdb.c."""
    where = ["dev", row.dev] if dev else []
    words = [row.lladdr, *where, *_pair("dst", row.dst), *_pair("master", row.master)]
    return " ".join([*words, *([] if row.master else ["self"]), *([row.state] if row.state else [])])


def _chain(row: Chain) -> str:
    count = len(row.rules)
    return f"{row.table} {row.name} {row.policy or '-'}, {count} rule{'' if count == 1 else 's'}"


def _entry(row: RouteEntry) -> str:
    target = f" {row.next_hop_id}" if row.next_hop_id else ""
    status = "" if row.status == "Available" else f" {row.status}"
    return f"{row.dst} {row.next_hop_type}{target} ({row.kind}){status}"


def _eni(row: Eni) -> str:
    eip = f" EIP {row.eip}" if row.eip else ""
    return f"{row.address} {row.instance_id} {row.mac} {row.vswitch} {row.security_group}{eip}"


def flow_text(row: Flow) -> str:
    """Return the two tuples of one line of `conntrack -L`: the packet as it came, and the answer that belongs to it.

    The protocol's number, the timer, the state and the marks are no part of a flow here, so they are left out.
    Source: libnetfilter_conntrack, src/conntrack/snprintf_default.c; an echo request is type 8, its answer 0.
    """
    return f"{row.original[0]} {_tuple(row.original)} {_tuple(row.reply, answer=True)}"


def _tuple(key: FlowKey, *, answer: bool = False) -> str:
    proto, src, sport, dst, dport = key
    ends = f"src={_dotted(src)} dst={_dotted(dst)}"
    if proto != "icmp":
        return f"{ends} sport={sport} dport={dport}"
    return f"{ends} type=0 code=0 id={dport}" if answer else f"{ends} type=8 code=0 id={sport}"


def _dotted(number: int) -> str:
    return ".".join(str(byte) for byte in number.to_bytes(4, "big"))


_WORDS: dict[type, Callable[[Any], str]] = {
    Route: route_text,
    PolicyRule: policy_text,
    Link: _link,
    Address: lambda row: f"inet {row.interface} {row.dev}",
    Neighbor: neighbor_text,
    FdbEntry: fdb_text,
    Rule: rule_text,
    Chain: _chain,
    Sysctl: lambda row: f"{row.name} = {row.value}",
    File: lambda row: row.path,
    RouteEntry: _entry,
    Eni: _eni,
    SecurityRule: lambda row: f"ingress {row.policy} all from {row.source}",
    SnatEntry: lambda row: f"SNAT {row.source} to {row.eip}",
    Flow: flow_text,
}
ROWS = tuple(_WORDS)  # every kind of row that has words
