"""Networks for labs, and labs themselves: where this machine forbids them, the tests see to it that it says so."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache

import pytest

from flannelviz.controlplane.timeline import build
from flannelviz.errors import LabError
from flannelviz.kernel import Lab, why_not
from flannelviz.network import Network
from flannelviz.topologies import article, article_plan

MakeLab = Callable[[Network], Lab]


@cache
def counted() -> Network:
    """The article's network, whose VPC counts as a hop, as the router of a lab does by nature."""
    return build(replace(article_plan(), vpc_decrements_ttl=True)).network


@pytest.fixture(scope="session")
def refusal() -> str | None:
    """Why no lab runs here, once it is certain that a lab says the same; None where one runs."""
    reason = why_not()
    if reason is not None:
        with pytest.raises(LabError, match=re.escape(reason)):
            Lab(article())
        assert reason.count("\n") == 0 and len(reason) < 500
    return reason


@pytest.fixture
def make_lab(refusal: str | None) -> Iterator[MakeLab]:
    """Makes labs and closes them; a machine that forbids labs is named in pytest's summary."""
    if refusal is not None:
        pytest.skip(refusal)
    with ExitStack() as stack:
        yield lambda network: stack.enter_context(Lab(network))


@pytest.fixture(scope="module")
def article_lab(refusal: str | None) -> Iterator[Lab]:
    if refusal is not None:
        pytest.skip(refusal)
    with Lab(counted()) as lab:
        yield lab
