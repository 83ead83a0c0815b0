"""A network finds its places by full and by short names."""

import pytest

from flannelviz.errors import UnknownPlaceError
from flannelviz.network import Network
from flannelviz.topologies import article


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("a1", "default/a1"),
        ("default/a1", "default/a1"),
        ("node-a", "node-a"),
        ("vpc", "VPC"),
        ("INTERNET", "Internet"),
    ],
)
def test_a_place_has_a_full_name_and_may_have_a_short_one(name: str, place: str) -> None:
    assert article().place(name) == place


def test_tables_are_found_by_a_short_name_as_well() -> None:
    network = article()
    assert network.tables("a1") is network.tables("default/a1")
    assert network["b1"] == network.tables("b1")


@pytest.mark.parametrize("name", ["a9", "default/a9", ""])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(UnknownPlaceError, match="no node, ECS or pod is called"):
        article().tables(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("a9", "did you mean a2 or a1?"),
        ("default/a9", "did you mean a2 or a1?"),
        ("mail.example", "the nearest names are "),
        ("A1", "did you mean a1 or "),
        ("172.16.0.130", "; it is an address of default/a1"),
        ("192.168.0.12", "; it is an address of db"),
        ("172.16.0.200", "; nobody known here has this address"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_ones(name: str, hint: str) -> None:
    with pytest.raises(UnknownPlaceError) as refused:
        article().place(name)
    assert hint in str(refused.value) and "network.places()" not in str(refused.value)


def test_an_empty_network_has_no_name_to_suggest() -> None:
    with pytest.raises(UnknownPlaceError, match="this network has no places of its own yet"):
        Network().place("a1")


@pytest.mark.parametrize("name", [None, 5, 172.16])
def test_what_is_no_name_is_refused(name: object) -> None:
    with pytest.raises(UnknownPlaceError, match=r"is no name of a place; see list\(network\.places\(\)\)"):
        article().place(name)  # type: ignore[arg-type]


def test_the_vpc_is_no_linux_machine() -> None:
    with pytest.raises(UnknownPlaceError, match=r"network\.vpc"):
        article().tables("VPC")
    assert article()["VPC"] == article().vpc
