"""Rules decide in order, and the compiled test of a rule is its definition."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flannelviz.dataplane.netfilter import Asked, compiled, decide, matches, verdict
from flannelviz.packet import Packet
from flannelviz.tables import Chain, Match, Rule, Tables

N, P = IPv4Network("172.16.0.0/16"), IPv4Network("172.16.0.128/25")


def packet(src: str, dst: str, **others: object) -> Packet:
    return replace(Packet(IPv4Address(src), IPv4Address(dst)), **others)


def chains(*own: Chain) -> Tables:
    return Tables(chains=own)


JUMP = chains(
    Chain("nat", "POSTROUTING", "ACCEPT", (Rule("OWN"), Rule("MASQUERADE", dst=Match(N, negated=True)))),
    Chain("nat", "OWN", None, (Rule("RETURN", src=Match(P)), Rule("ACCEPT", dst=Match(N)))),
)


@pytest.mark.parametrize(
    ("src", "dst", "target", "row"),
    [
        ("10.0.0.1", "172.16.8.2", "ACCEPT", 1),  # decided in the called chain
        ("172.16.0.130", "203.0.113.10", "MASQUERADE", None),  # RETURN goes back to the caller, which goes on
        ("172.16.0.130", "172.16.8.2", "ACCEPT", 0),  # RETURN, then the policy: the RETURN is the reason
    ],
)
def test_jump_and_return(src: str, dst: str, target: str, row: int | None) -> None:
    said = verdict(JUMP, JUMP.chains[0], Asked(packet(src, dst)))
    assert said.target == target
    assert said.row == (JUMP.chains[0].rules[1] if row is None else JUMP.chains[1].rules[row])


def test_return_in_a_built_in_chain_means_its_policy() -> None:
    chain = Chain("filter", "FORWARD", "DROP", (Rule("RETURN", src=Match(N)), Rule("ACCEPT")))
    assert verdict(chains(chain), chain, Asked(packet("172.16.0.130", "172.16.8.2"))).target == "DROP"
    assert verdict(chains(chain), chain, Asked(packet("10.0.0.1", "172.16.8.2"))).target == "ACCEPT"


def test_the_runner_up_decides_once_the_rule_is_gone() -> None:
    first, second = Rule("RETURN", src=Match(N), dst=Match(N)), Rule("MASQUERADE", src=Match(N))
    chain = Chain("nat", "POSTROUTING", "ACCEPT", (first, second))
    said, runner_up = decide(chains(chain), chain, Asked(packet("172.16.0.130", "172.16.8.2"), None, "eth0"))
    assert (said.row, runner_up) == (first, second)
    left = replace(chain, rules=(second,))
    assert verdict(chains(left), left, Asked(packet("172.16.0.130", "172.16.8.2"))).row == second


@pytest.mark.parametrize(
    ("pattern", "dev", "expected"),
    [("eth0", "eth0", True), ("eth0", "cni0", False), ("veth+", "veth12", True), ("! eth0", "cni0", True)],
)
def test_interface_patterns(pattern: str, dev: str, expected: bool) -> None:
    assert matches(Rule("ACCEPT", out_dev=pattern), Asked(packet("10.0.0.1", "10.0.0.2"), None, dev)) is expected


addresses = st.builds(IPv4Address, st.integers(0xAC10007E, 0xAC100102))
match = st.none() | st.builds(Match, st.sampled_from([N, P, IPv4Network("172.16.0.130/32")]), st.booleans())
rules = st.builds(
    Rule,
    st.just("ACCEPT"),
    src=match,
    dst=match,
    out_dev=st.sampled_from([None, "eth0"]),
    mark=st.sampled_from([None, (0x4000, 0x4000)]),
)


@given(rules, addresses, addresses, st.sampled_from([0, 0x4000]), st.sampled_from(["eth0", "cni0"]))
def test_the_compiled_test_equals_the_definition(
    rule: Rule, src: IPv4Address, dst: IPv4Address, mark: int, out_dev: str
) -> None:
    chain = Chain("filter", "FORWARD", "DROP", (rule,))
    ((_, test),) = compiled(chains(chain), chain)
    asked = Asked(Packet(src, dst), None, out_dev)
    assert test(asked, mark) == matches(rule, asked, mark)


# --- marks, states, chance -------------------------------------------------------------------------------------------

MARKING = (Rule("MARK", src=Match(P), set_mark=(0x4000, 0x4000)), Rule("DROP", mark=(0x4000, 0x4000)))


@pytest.mark.parametrize(("src", "target", "mark"), [("172.16.0.130", "DROP", 0x4000), ("172.16.8.2", "ACCEPT", 0)])
def test_a_mark_is_seen_by_the_rules_after_it(src: str, target: str, mark: int) -> None:
    chain = Chain("nat", "POSTROUTING", "ACCEPT", MARKING)
    said = verdict(chains(chain), chain, Asked(packet(src, "10.0.0.1")))
    assert (said.target, said.mark) == (target, mark)


@pytest.mark.parametrize(
    ("before", "set_mark", "after"),
    [
        (0x0001, (0x4000, 0x4000), 0x4001),  # or: kube-proxy's mark keeps other bits
        (0x4001, (0x4000, 0x0), 0x0001),  # xor: how kube-proxy of today takes its mark away
        (0xFFFF, (0x1, 0xFFFFFFFF), 0x1),
    ],
)
def test_set_xmark_clears_the_mask_and_flips_the_value(before: int, set_mark: tuple[int, int], after: int) -> None:
    chain = Chain("nat", "POSTROUTING", "ACCEPT", (Rule("MARK", set_mark=set_mark),))
    assert verdict(chains(chain), chain, Asked(packet("10.0.0.1", "10.0.0.2", mark=before))).mark == after


@pytest.mark.parametrize(
    ("condition", "matching"),
    [
        ({"src": Match(P)}, True),
        ({"src": Match(P, negated=True)}, False),
        ({"dst": Match(P, negated=True)}, True),
        ({"mark": (0x4000, 0x4000)}, False),
        ({"mark": (0x4000, 0x4000), "mark_negated": True}, True),
        ({"in_dev": "cni0"}, True),
        ({"in_dev": "! cni0"}, False),
        ({"proto": "tcp", "dport": 80}, True),
        ({"proto": "udp", "dport": 80}, False),
        ({"dport": 81}, False),
        ({"ctstate": "NEW"}, True),
        ({"ctstate": "ESTABLISHED,RELATED"}, False),
    ],
)
def test_each_condition_and_its_negation(condition: dict, matching: bool) -> None:
    asked = Asked(packet("172.16.0.130", "172.16.8.2", proto="tcp", dport=80), "cni0", "eth0", "NEW")
    assert matches(Rule("ACCEPT", **condition), asked) is matching


@pytest.mark.parametrize(("dice", "row"), [(0.0, 0), (0.2, 0), (0.3, 1), (0.6, 1), (0.7, 2), (0.999, 2)])
def test_one_throw_serves_all_random_rules(dice: float, row: int) -> None:
    rules = (Rule("ACCEPT", probability=0.25), Rule("ACCEPT", probability=0.5), Rule("ACCEPT"))
    chain = Chain("nat", "OUTPUT", "ACCEPT", rules)
    said = verdict(chains(chain), chain, Asked(packet("10.0.0.1", "10.0.0.2", dice=dice)))
    assert chain.rules.index(said.row) == row


@pytest.mark.parametrize("dice", [0.0, 0.5, 1.0])
def test_a_probability_of_one_is_certain(dice: float) -> None:
    chain = Chain("filter", "FORWARD", "ACCEPT", (Rule("DROP", probability=1.0),))
    assert verdict(chains(chain), chain, Asked(packet("10.0.0.1", "10.0.0.2", dice=dice))).target == "DROP"


def test_return_from_a_called_chain_goes_on_with_its_mark() -> None:
    own = Chain("nat", "OWN", None, (MARKING[0], Rule("RETURN"), Rule("DROP")))
    main = Chain("nat", "POSTROUTING", "ACCEPT", (Rule("OWN"), Rule("MASQUERADE", mark=(0x4000, 0x4000))))
    said = verdict(chains(main, own), main, Asked(packet("172.16.0.130", "10.0.0.1")))
    assert (said.target, said.mark) == ("MASQUERADE", 0x4000)


def test_a_jump_to_a_chain_that_is_not_there_changes_nothing() -> None:
    chain = Chain("nat", "POSTROUTING", "ACCEPT", (Rule("NOWHERE"), Rule("MASQUERADE")))
    assert verdict(chains(chain), chain, Asked(packet("10.0.0.1", "10.0.0.2"))).target == "MASQUERADE"
