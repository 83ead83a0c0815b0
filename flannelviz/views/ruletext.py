"""Rules and chains as iptables-save and `iptables -S` print them. READS only."""

from __future__ import annotations

from collections.abc import Iterable

from flannelviz.tables import Chain, Match, Rule, Tables

BUILT_IN = {
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}
FLANNEL = "flanneld"


def rule_text(rule: Rule) -> str:
    """Return one rule without its chain, as iptables-save prints it.

    Shape: addresses, devices, protocol, matches in the order in which their author gives them, target, its options.
    Source: iptables/iptables-save.c and nft-shared.c; flanneld writes the mark before its comment, kube-proxy after,
    and the state NEW first of all.
    """
    words = [
        *_address("-s", rule.src),
        *_address("-d", rule.dst),
        *_word("-i", rule.in_dev),
        *_word("-o", rule.out_dev),
        *_word("-p", rule.proto),
        *_matches(rule),
        "-j",
        rule.target,
        *_written(rule),
        *rule.options,
    ]
    return " ".join(words)


def _matches(rule: Rule) -> list[str]:
    comment = ["-m comment --comment " + _quoted(rule.comment)] if rule.comment else []
    wanted = "! --mark" if rule.mark_negated else "--mark"
    mark = [f"-m mark {wanted} {rule.mark[0]:#x}/{rule.mark[1]:#x}"] if rule.mark else []
    port = f" --dport {rule.dport}" if rule.dport is not None else ""
    wants = rule.proto in ("tcp", "udp") and (port or rule.target == "DNAT")
    proto = [f"-m {rule.proto}{port}"] if wants else []
    state = [f"-m conntrack --ctstate {rule.ctstate}"] if rule.ctstate else []
    chance = [f"-m statistic --mode random --probability {_probability(rule.probability)}"] if rule.probability else []
    first = [*mark, *comment] if rule.comment.startswith(FLANNEL) else [*comment, *mark]
    return [*state, *first, *chance, *proto] if rule.ctstate == "NEW" else [*first, *state, *chance, *proto]


def _probability(chance: float) -> str:
    """Return a chance as iptables prints it: the kernel keeps it as a whole number of 2^-31."""
    return f"{round(chance * 2**31) / 2**31:.11f}"


def _written(rule: Rule) -> list[str]:
    """Return what a target writes: a mark, or another address."""
    if rule.set_mark is not None:
        return [f"--set-xmark {rule.set_mark[0]:#x}/{rule.set_mark[1]:#x}"]
    if rule.to is None:
        return []
    address, port = rule.to
    option = "--to-source" if rule.target == "SNAT" else "--to-destination"
    return [f"{option} {address}" + (f":{port}" if port is not None else "")]


def _address(flag: str, match: Match | None) -> list[str]:
    if match is None or (match.net.prefixlen == 0 and not match.negated):
        return []
    return [*(["!"] if match.negated else []), flag, str(match.net)]


def _word(flag: str, value: str | None) -> list[str]:
    if value is None:
        return []
    return ["!", flag, value[2:]] if value.startswith("! ") else [flag, value]


def _quoted(text: str) -> str:
    """Return a comment as iptables quotes it: bare where it is one plain word.

    Source: libxtables, xtables_save_string.
    """
    if text and all(c.isascii() and (c.isalnum() or c in "-_") for c in text):
        return text
    escaped = "".join("\\" + c if c in '"\\' else c for c in " ".join(text.splitlines()))
    return f'"{escaped}"'


def iptables_save(tables: Tables, table: str | None = None) -> str:
    """Return the filter and nat tables, or one of them, in the form of iptables-save.

    Shape: built-in chains first, then the others by name; counters are zero, the date is left out.
    Source: iptables-save 1.8.10 (nf_tables).
    """
    found = [_table(tables, name) for name in ("filter", "nat") if table in (None, name)]
    return "\n".join(line for lines in found for line in lines)


def _table(tables: Tables, table: str) -> list[str]:
    if "chains" in tables.unknown:
        return [f"# {table}: unknown, the input does not hold it"]
    chains = _chains(tables, table)
    heads = [f":{chain.name} {chain.policy or '-'} [0:0]" for chain in chains]
    return [f"*{table}", *heads, *_rules(chains), "COMMIT"]


def iptables_s(tables: Tables, table: str = "nat", chain: str | None = None) -> str:
    """Return one table in the form of `iptables -t nat -S`, or one chain of it, as `iptables -t nat -S CHAIN` does.

    Source: iptables 1.8, `-S`: policies, own chains, then rules.
    """
    if "chains" in tables.unknown:
        return f"# {table}: unknown, the input does not hold it"
    chains = [found for found in _chains(tables, table) if chain in (None, found.name)]
    heads = [f"-P {found.name} {found.policy}" if found.policy else f"-N {found.name}" for found in chains]
    return "\n".join([*heads, *_rules(chains)])


def _chains(tables: Tables, table: str) -> list[Chain]:
    known = {chain.name: chain for chain in tables.chains if chain.table == table}
    fixed = [known.pop(name, Chain(table, name, "ACCEPT")) for name in BUILT_IN[table]]  # type: ignore[arg-type]
    return [*fixed, *(known[name] for name in sorted(known))]


def _rules(chains: Iterable[Chain]) -> list[str]:
    return [f"-A {chain.name} {rule_text(rule)}" for chain in chains for rule in chain.rules]
