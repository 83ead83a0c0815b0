"""Rows as the commands that would write them by hand. Control plane: the artefact of programs that use no file.

`bridge` and the kernel speak netlink; these lines say the same to a reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flannelviz.packet import AnyRow
from flannelviz.tables import (
    MAIN,
    VNI,
    VXLAN_PORT,
    Address,
    Chain,
    FdbEntry,
    File,
    Link,
    Match,
    Neighbor,
    Origin,
    PolicyRule,
    Route,
    Rule,
    Sysctl,
)

VXLAN = f"id {VNI} dstport {VXLAN_PORT} nolearning dev eth0"  # Source: flannel backend/vxlan/device.go
Placed = tuple[str, AnyRow]  # a place and a row there


def commands(wrote: Iterable[Placed], removed: Iterable[Placed], origin: Origin) -> File | None:
    """Return the command lines that write `wrote`, or None where no row has one.

    Shape: one line for each row or rule; of a chain that was there before, only what is new; nothing for what the
    kernel adds by itself.
    """
    before = {(place, *_name(row)): row for place, row in removed}
    lines: dict[str, None] = {}
    for place, row in wrote:
        if not (isinstance(row, Link | Address | Route | Sysctl) and row.origin.component == "kernel"):
            lines.update(dict.fromkeys(_lines(row, before.get((place, *_name(row))))))
    return File("commands", "".join(f"{line}\n" for line in lines), origin) if lines else None


def _name(row: AnyRow) -> tuple[str, ...]:
    """Return what a row is called, or nothing where it has no name of its own."""
    match row:
        case Link(name=name):
            return ("link", name)
        case Chain(table=table, name=name):
            return (table, name)
    return ()


def _lines(row: AnyRow, old: AnyRow | None) -> Iterator[str]:
    match row:
        case Link() if isinstance(old, Link):
            yield f"ip link set {row.name} address {row.mac} up"
        case Link(kind="bridge"):
            yield f"ip link add {row.name} mtu {row.mtu} type bridge"
            yield f"ip link set {row.name} up"
        case Link(kind="vxlan"):
            yield f"ip link add {row.name} address {row.mac} mtu {row.mtu} type vxlan {VXLAN}"
            yield f"ip link set {row.name} up"
        case Link(kind="veth", peer=(pod, dev)) if "/" in pod:
            yield f"ip link add {row.name} mtu {row.mtu} type veth peer name {dev} netns {pod.rpartition('/')[2]}"
            yield f"ip link set {row.name}{f' master {row.master}' if row.master else ''} up"
        case Link():
            yield f"ip link set {row.name} up"
        case Address():
            yield f"ip addr add {row.interface} dev {row.dev}"
        case Route():
            yield f"ip route add {route_words(row)}"
        case PolicyRule():
            yield f"ip rule add {_policy_words(row)}"
        case Neighbor(state="PERMANENT"):
            yield f"ip neigh add {row.dst} lladdr {row.lladdr} dev {row.dev} nud permanent"
        case FdbEntry(dst=node) if node is not None:
            yield f"bridge fdb add {row.lladdr} dev {row.dev} dst {node} self permanent"
        case Sysctl():
            yield f"sysctl -w {row.name}={row.value}"
        case Chain():
            yield from _chain_lines(row, old if isinstance(old, Chain) else None)


def route_words(route: Route) -> str:
    """Return a route in the words of `ip route`."""
    words = ["default" if route.dst.prefixlen == 0 else str(route.dst)]
    words += [f"via {route.via}"] if route.via else []
    words.append(f"dev {route.dev}")
    words += [f"proto {route.proto}"] if route.proto else []
    words += [f"scope {route.scope}"] if route.scope else []
    words += [f"src {route.src}"] if route.src else []
    words += [f"table {route.table}"] if route.table != MAIN else []
    words += ["onlink"] if route.onlink else []
    return " ".join(words)


def _policy_words(rule: PolicyRule) -> str:
    words = [f"priority {rule.priority}"]
    words += [f"from {rule.src}"] if rule.src else []
    words += [f"to {rule.dst}"] if rule.dst else []
    words += [f"iif {rule.in_dev}"] if rule.in_dev else []
    return " ".join([*words, f"table {'main' if rule.table == MAIN else rule.table}"])


def _chain_lines(chain: Chain, old: Chain | None) -> Iterator[str]:
    if chain.policy is None and old is None:
        yield f"iptables -t {chain.table} -N {chain.name}"
    known = set(old.rules) if old else set()
    for rule in chain.rules:
        if rule not in known:
            yield f"iptables -t {chain.table} -A {chain.name} {rule_words(rule)}"


def rule_words(rule: Rule) -> str:
    """Return a rule in the words of `iptables -A`, for the matches that flannel, `bridge` and kube-proxy use."""
    words = [*_address("-s", rule.src), *_address("-d", rule.dst)]
    words += [f"-p {rule.proto}"] if rule.proto else []
    words += [f"--dport {rule.dport}"] if rule.dport is not None else []
    words += [f"-m conntrack --ctstate {rule.ctstate}"] if rule.ctstate else []
    words += [f"-m mark {'! ' * rule.mark_negated}--mark {rule.mark[0]:#x}/{rule.mark[1]:#x}"] if rule.mark else []
    words += [f"-m comment --comment '{rule.comment}'"] if rule.comment else []
    words += [f"-m statistic --mode random --probability {_decimals(rule.probability)}"] if rule.probability else []
    return " ".join([*words, "-j", rule.target, *_written(rule), *rule.options])


def _decimals(probability: float) -> str:
    """Return a probability with five decimals, as kube-proxy 1.12 writes it, or with ten where it has as many."""
    return f"{probability:.5f}" if round(probability, 5) == probability else f"{probability:.10f}"


def _written(rule: Rule) -> Iterator[str]:
    """Return what a target writes: a mark, or another destination."""
    if rule.set_mark is not None:
        yield f"--set-xmark {rule.set_mark[0]:#x}/{rule.set_mark[1]:#x}"
    if rule.target == "DNAT" and rule.to is not None:
        address, port = rule.to
        yield f"--to-destination {address}" + (f":{port}" if port is not None else "")


def _address(flag: str, match: Match | None) -> list[str]:
    return [] if match is None else [f"{'! ' if match.negated else ''}{flag} {match.net}"]
