"""The filter and nat tables: which rule decides for a packet, read from the rules and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from zlib import crc32

from flannelviz.packet import Packet
from flannelviz.tables import Chain, Match, Rule, Tables

TERMINAL = frozenset({"ACCEPT", "DROP", "REJECT", "MASQUERADE", "SNAT", "DNAT"})


class Verdict(NamedTuple):
    """What a built-in chain said: the target, the deciding rule, or the chain where its policy decided, the mark.

    `chain` is the name of the chain that holds the row: the built-in one, or one that it called.
    """

    target: str
    row: Rule | Chain
    mark: int = 0
    chain: str = ""


class Asked(NamedTuple):
    """What a rule may look at: the packet, its devices, and what conntrack says of it."""

    packet: Packet
    in_dev: str | None = None
    out_dev: str | None = None
    state: str = "NEW"


def matches(rule: Rule, asked: Asked, mark: int = 0) -> bool:
    """Return whether `rule` matches, its probability aside: the definition, one condition after the other."""
    packet = asked.packet
    return (
        (rule.src is None or (packet.src is not None and rule.src.covers(packet.src)))
        and (rule.dst is None or rule.dst.covers(packet.dst))
        and _device_matches(rule.in_dev, asked.in_dev)
        and _device_matches(rule.out_dev, asked.out_dev)
        and (rule.proto is None or rule.proto == packet.proto)
        and (rule.dport is None or rule.dport == packet.dport)
        and (rule.mark is None or (mark & rule.mark[1] == rule.mark[0]) != rule.mark_negated)
        and (rule.ctstate is None or asked.state in rule.ctstate.split(","))
    )


def _device_matches(pattern: str | None, dev: str | None) -> bool:
    """Return whether `dev` fits an iptables interface pattern: a name, a prefix with +, or either after `! `."""
    if pattern is None:
        return True
    if pattern.startswith("! "):
        return not _device_matches(pattern[2:], dev)
    return dev is not None and (dev.startswith(pattern[:-1]) if pattern.endswith("+") else dev == pattern)


def verdict(tables: Tables, chain: Chain, asked: Asked, skip: Rule | None = None) -> Verdict:
    """Return what a built-in chain decides, as if the rule `skip` were gone.

    Source: iptables(8): first match wins; RETURN, or the end of a chain of one's own, goes back to the caller; RETURN
    in a built-in chain means its policy. MARK goes on.
    """
    walk = _Walk(tables, asked, skip)
    found, final = walk.through(chain)
    if found is None:
        return Verdict(chain.policy or "ACCEPT", chain, walk.mark, chain.name)
    holder, rule = found
    return Verdict(rule.target if final else chain.policy or "ACCEPT", rule, walk.mark, holder)


def decide(tables: Tables, chain: Chain, asked: Asked) -> tuple[Verdict, Rule | Chain | None]:
    """Return what a built-in chain decides, and the row that would decide if that rule were gone."""
    said = verdict(tables, chain, asked)
    if isinstance(said.row, Chain):
        return said, None
    return said, verdict(tables, chain, asked, skip=said.row).row


class _Walk:
    """One packet on its way through the chains: the mark that it carries, and the dice of its random matches."""

    __slots__ = ("asked", "dice", "mark", "skip", "tables")

    def __init__(self, tables: Tables, asked: Asked, skip: Rule | None) -> None:
        self.tables, self.asked, self.skip = tables, asked, skip
        self.mark = asked.packet.mark
        self.dice: float | None = asked.packet.dice

    def through(self, chain: Chain) -> tuple[tuple[str, Rule] | None, bool]:
        """Return the rule that ended this chain, after the name of the chain that holds it, and whether that is final.

        A RETURN is not: its caller goes on.
        """
        returned = None
        for rule, test in compiled(self.tables, chain):
            if rule is self.skip or not test(self.asked, self.mark) or not self._lucky(rule):
                continue
            if rule.target in TERMINAL:
                return (chain.name, rule), True
            if rule.target == "RETURN":
                return (chain.name, rule), False
            if rule.set_mark is not None:
                self.mark = self.mark & ~rule.set_mark[1] ^ rule.set_mark[0]
                continue
            called = self.tables.chain(chain.table, rule.target)
            if called is not None:
                ended, final = self.through(called)
                if final:
                    return ended, True
                returned = ended or returned
        return returned, False

    def _lucky(self, rule: Rule) -> bool:
        """Return whether a random match hits; one throw serves all rules, what is left of it the next one."""
        if rule.probability is None or rule.probability >= 1:
            return True
        dice = _throw(self.asked.packet) if self.dice is None else self.dice
        hit = dice < rule.probability
        self.dice = dice / rule.probability if hit else (dice - rule.probability) / (1 - rule.probability)
        return hit


def _throw(packet: Packet) -> float:
    """Return a number from 0 to 1 that is the same for every packet of a flow; the kernel throws once a flow."""
    words = f"{packet.proto} {packet.src} {packet.sport} {packet.dst} {packet.dport}"
    return crc32(words.encode()) / 2**32


Test = Callable[[Asked, int], bool]


def compiled(tables: Tables, chain: Chain) -> tuple[tuple[Rule, Test], ...]:
    """Return each rule of `chain` with a test that equals `matches`."""
    cache: dict[tuple[str, str], tuple[tuple[Rule, Test], ...]] = tables.memo.setdefault("compiled", {})
    key = (chain.table, chain.name)
    found = cache.get(key)
    if found is None:
        found = cache[key] = tuple((rule, _test(rule)) for rule in chain.rules)
    return found


def _test(rule: Rule) -> Test:
    """Return `matches` for one rule; for the common rule, on addresses alone, in integers."""
    others = (rule.in_dev, rule.out_dev, rule.proto, rule.dport, rule.mark, rule.ctstate)
    if any(condition is not None for condition in others):
        return lambda asked, mark: matches(rule, asked, mark)
    src_net, src_mask, src_negated = _bits(rule.src)
    dst_net, dst_mask, dst_negated = _bits(rule.dst)

    def test(asked: Asked, _mark: int) -> bool:
        packet = asked.packet
        src = 0 if packet.src is None else int(packet.src)
        if (src & src_mask == src_net) == src_negated:
            return False
        return (int(packet.dst) & dst_mask == dst_net) != dst_negated

    return test


def _bits(match: Match | None) -> tuple[int, int, bool]:
    if match is None:
        return (0, 0, False)
    return (int(match.net.network_address), int(match.net.netmask), match.negated)
