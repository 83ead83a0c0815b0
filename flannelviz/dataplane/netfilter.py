"""The filter and nat tables: which rule decides for a packet, read from the rules and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from flannelviz.packet import Packet
from flannelviz.tables import Chain, Match, Rule, Tables

TERMINAL = frozenset({"ACCEPT", "DROP", "REJECT", "MASQUERADE", "SNAT", "DNAT"})


class Verdict(NamedTuple):
    """What a built-in chain said: the target, and the rule, or the chain itself where its policy decided."""

    target: str
    row: Rule | Chain


def matches(rule: Rule, packet: Packet, in_dev: str | None, out_dev: str | None) -> bool:
    """Return whether `rule` matches: the definition, one condition after the other."""
    return (
        (rule.src is None or (packet.src is not None and rule.src.covers(packet.src)))
        and (rule.dst is None or rule.dst.covers(packet.dst))
        and _device_matches(rule.in_dev, in_dev)
        and _device_matches(rule.out_dev, out_dev)
        and (rule.proto is None or rule.proto == packet.proto)
        and (rule.dport is None or rule.dport == packet.dport)
        and (rule.mark is None or packet.mark & rule.mark[1] == rule.mark[0])
    )


def _device_matches(pattern: str | None, dev: str | None) -> bool:
    """Return whether `dev` fits an iptables interface pattern: a name, a prefix with +, or either after `! `."""
    if pattern is None:
        return True
    if pattern.startswith("! "):
        return not _device_matches(pattern[2:], dev)
    return dev is not None and (dev.startswith(pattern[:-1]) if pattern.endswith("+") else dev == pattern)


def verdict(
    tables: Tables,
    chain: Chain,
    packet: Packet,
    in_dev: str | None = None,
    out_dev: str | None = None,
    skip: Rule | None = None,
) -> Verdict:
    """Return what a built-in chain decides for `packet`, as if the rule `skip` were gone.

    Source: iptables(8): first match wins; RETURN, or the end of a chain of one's own, goes back to the caller; RETURN
    in a built-in chain means its policy.
    """
    rule, final = _walk(tables, chain, packet, in_dev, out_dev, skip)
    target = rule.target if rule is not None and final else chain.policy or "ACCEPT"
    return Verdict(target, rule or chain)


def decide(
    tables: Tables, chain: Chain, packet: Packet, in_dev: str | None, out_dev: str | None
) -> tuple[Verdict, Rule | Chain | None]:
    """Return what a built-in chain decides, and the row that would decide if that rule were gone."""
    said = verdict(tables, chain, packet, in_dev, out_dev)
    if isinstance(said.row, Chain):
        return said, None
    return said, verdict(tables, chain, packet, in_dev, out_dev, skip=said.row).row


def _walk(
    tables: Tables, chain: Chain, packet: Packet, in_dev: str | None, out_dev: str | None, skip: Rule | None
) -> tuple[Rule | None, bool]:
    """Return the rule that ended this chain, and whether that is final; a RETURN is not, its caller goes on."""
    returned = None
    for rule, test in compiled(tables, chain):
        if rule is skip or not test(packet, in_dev, out_dev):
            continue
        if rule.target in TERMINAL:
            return rule, True
        if rule.target == "RETURN":
            return rule, False
        called = tables.chain(chain.table, rule.target)
        if called is not None:
            ended, final = _walk(tables, called, packet, in_dev, out_dev, skip)
            if final:
                return ended, True
            returned = ended or returned
    return returned, False


Test = Callable[[Packet, str | None, str | None], bool]


def compiled(tables: Tables, chain: Chain) -> tuple[tuple[Rule, Test], ...]:
    """Return each rule of `chain` with a test that equals `matches`."""
    key = (chain.table, chain.name)
    cache: dict[tuple[str, str], tuple[tuple[Rule, Test], ...]] = tables.memo.setdefault("compiled", {})
    found = cache.get(key)
    if found is None:
        found = cache[key] = tuple((rule, _test(rule)) for rule in chain.rules)
    return found


def _test(rule: Rule) -> Test:
    """Return `matches` for one rule; for the common rule, on addresses alone, in integers."""
    others = (rule.in_dev, rule.out_dev, rule.proto, rule.dport, rule.mark)
    if any(condition is not None for condition in others):
        return lambda packet, in_dev, out_dev: matches(rule, packet, in_dev, out_dev)
    src_net, src_mask, src_negated = _bits(rule.src)
    dst_net, dst_mask, dst_negated = _bits(rule.dst)

    def test(packet: Packet, _in_dev: str | None, _out_dev: str | None) -> bool:
        src = 0 if packet.src is None else int(packet.src)
        if (src & src_mask == src_net) == src_negated:
            return False
        return (int(packet.dst) & dst_mask == dst_net) != dst_negated

    return test


def _bits(match: Match | None) -> tuple[int, int, bool]:
    if match is None:
        return (0, 0, False)
    return (int(match.net.network_address), int(match.net.netmask), match.negated)
