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
