"""A network finds its places by full and by short names."""

import pytest

from flannelviz.errors import UnknownPlaceError
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


@pytest.mark.parametrize("name", [None, 5, 172.16])
def test_what_is_no_name_is_refused(name: object) -> None:
    with pytest.raises(UnknownPlaceError, match=r"is no name of a place; see list\(network\.places\(\)\)"):
        article().place(name)  # type: ignore[arg-type]


def test_the_vpc_is_no_linux_machine() -> None:
    with pytest.raises(UnknownPlaceError, match=r"network\.vpc"):
        article().tables("VPC")
    assert article()["VPC"] == article().vpc
