"""The public names: each one is there, listed once, and says what it is."""

import inspect

import pytest

import flannelviz


def test_names_are_listed_once_in_order() -> None:
    assert list(flannelviz.__all__) == sorted(set(flannelviz.__all__))


@pytest.mark.parametrize("name", flannelviz.__all__)
def test_name_exists_and_is_documented(name: str) -> None:
    value = getattr(flannelviz, name)
    if not inspect.isclass(value) and not inspect.isroutine(value):
        return  # a constant is explained where it is defined
    text = vars(value).get("__doc__") if inspect.isclass(value) else inspect.getdoc(value)
    assert text, f"{name} has no docstring"
    assert not text.startswith(f"{name}("), f"{name} has only the docstring that a dataclass makes of its fields"


def test_dir_lists_the_public_names() -> None:
    assert set(flannelviz.__all__) <= set(dir(flannelviz))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = flannelviz.no_such_name
