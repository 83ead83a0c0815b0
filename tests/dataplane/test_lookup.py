"""The index finds what the definition finds."""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flannelviz.dataplane.lookup import Fib, broadcast_of, fib, local_address, longest_prefix_match, primary_address
from flannelviz.tables import Address, Link, Route, Tables

NODE_B = Tables(
    fixed_links=(Link("eth0", "device"), Link("cni0", "bridge")),
    routes=(
        Route(IPv4Network("0.0.0.0/0"), "eth0", via=IPv4Address("192.168.0.253")),
        Route(IPv4Network("192.168.0.0/24"), "eth0"),
        Route(IPv4Network("172.16.8.0/25"), "cni0"),
    ),
)


@pytest.mark.parametrize(
    ("dst", "prefix", "runner_up"),
    [
        ("172.16.8.9", "172.16.8.0/25", "0.0.0.0/0"),
        ("172.16.8.200", "0.0.0.0/0", None),  # a /25 ends at .127
        ("192.168.0.10", "192.168.0.0/24", "0.0.0.0/0"),  # longer than the default
    ],
)
def test_longest_prefix_wins(dst: str, prefix: str, runner_up: str | None) -> None:
    winner, second = longest_prefix_match(NODE_B.routes, IPv4Address(dst))
    assert winner is not None
    assert str(winner.dst) == prefix
    assert (str(second.dst) if second else None) == runner_up
    assert NODE_B.route_to(IPv4Address(dst)) == winner


def networks() -> st.SearchStrategy[IPv4Network]:
    """Networks in a small corner of the address space, so that they meet."""
    return st.builds(
        lambda number, length: IPv4Network((number & (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF, length)),
        st.integers(0xAC100000, 0xAC1000FF),
        st.integers(0, 32),
    )


routes = st.builds(Route, networks(), st.sampled_from(["eth0", "cni0"]), metric=st.integers(0, 2))


@given(st.lists(routes, max_size=12), st.integers(0xAC0FFFF0, 0xAC10010F))
def test_the_index_equals_the_definition(rows: list[Route], number: int) -> None:
    assert Fib(rows).decide(number) == longest_prefix_match(rows, IPv4Address(number))


@given(st.lists(routes, max_size=12), st.integers(0xAC100000, 0xAC1000FF))
def test_the_answer_contains_the_address_and_nothing_longer_does(rows: list[Route], number: int) -> None:
    winner, runner_up = Fib(rows).decide(number)
    lengths = [r.dst.prefixlen for r in rows if bin(number)[2:34].startswith(_bits(r.dst))]
    assert (winner.dst.prefixlen if winner else None) == max(lengths, default=None)
    assert (runner_up is None) == (len(lengths) < 2)


def _bits(network: IPv4Network) -> str:
    """The prefix as text: an oracle that knows no masks."""
    return format(int(network.network_address), "032b")[: network.prefixlen]


def test_a_device_that_goes_down_takes_its_routes_away() -> None:
    down = NODE_B.adding(Link("cni0", "bridge", up=False))
    winner, _ = fib(down).decide(int(IPv4Address("172.16.8.9")))
    assert winner is not None
    assert str(winner.dst) == "0.0.0.0/0"


def test_all_of_127_is_local_and_own_addresses_are() -> None:
    tables = Tables(
        addresses=(Address(IPv4Interface("127.0.0.1/8"), "lo"), Address(IPv4Interface("172.16.8.1/25"), "cni0"))
    )
    assert local_address(tables, IPv4Address("127.9.9.9")) == tables.addresses[0]
    assert local_address(tables, IPv4Address("172.16.8.1")) == tables.addresses[1]
    assert local_address(tables, IPv4Address("172.16.8.2")) is None


@pytest.mark.parametrize(("up", "is_broadcast"), [(True, True), (False, False)])
def test_a_device_that_is_down_has_no_broadcast_address(up: bool, is_broadcast: bool) -> None:
    cni0 = Address(IPv4Interface("172.16.8.1/25"), "cni0")
    tables = Tables(fixed_links=(Link("cni0", "bridge", up=up),), addresses=(cni0,))
    assert (broadcast_of(tables, IPv4Address("172.16.8.127")) == cni0) is is_broadcast


@pytest.mark.parametrize(
    ("own", "first"),
    [
        ("192.168.0.10/24 eth0", "192.168.0.10"),
        ("192.168.0.50/24 eth0", "192.168.0.10"),  # a secondary address
        ("192.168.0.60/25 eth0", "192.168.0.60"),  # another network, by its mask
        ("192.168.0.70/24 eth1", "192.168.0.70"),  # another device
        ("127.0.0.5/8 lo", "127.0.0.1"),
    ],
)
def test_the_first_address_of_a_network_speaks_for_it(own: str, first: str) -> None:
    names = ("127.0.0.1/8 lo", "192.168.0.10/24 eth0", "192.168.0.50/24 eth0", "192.168.0.60/25 eth0")
    rows = {name: _address(name) for name in (*names, "192.168.0.70/24 eth1", "127.0.0.5/8 lo")}
    assert primary_address(Tables(addresses=tuple(rows.values())), rows[own]) == IPv4Address(first)


def _address(text: str) -> Address:
    interface, _, dev = text.partition(" ")
    return Address(IPv4Interface(interface), dev)
