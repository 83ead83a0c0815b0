"""Networks for labs, and labs themselves: where this machine forbids them, the tests see to it that it says so."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from flannelviz.controlplane.timeline import build
from flannelviz.errors import LabError
from flannelviz.kernel import Lab, why_not
from flannelviz.network import Network
from flannelviz.topologies import article, article_plan

MakeLab = Callable[[Network], Lab]
Found = Future[object]
LABS = 4  # at once: a lab waits for most of its time, until nothing is heard of a packet any more


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


@pytest.fixture(scope="module")
def under_way(request: pytest.FixtureRequest, refusal: str | None) -> Iterator[dict[str, Found]]:
    """What the labs of this file's tests find, by test; the labs of the next tests are at work meanwhile."""
    if refusal is not None:
        pytest.skip(refusal)
    with ThreadPoolExecutor(LABS) as pool:
        yield {
            item.nodeid: pool.submit(*item.callspec.params["found"])
            for item in request.session.items
            if item.path == request.path and "found" in item.fixturenames
        }
        pool.shutdown(cancel_futures=True)


@pytest.fixture
def found(request: pytest.FixtureRequest, under_way: dict[str, Found]) -> Found:
    """What comes of the function and its arguments that a test has as its parameter."""
    return under_way[request.node.nodeid]


def in_labs(work: Callable[..., object], cases: dict[str, tuple[Any, ...]]) -> pytest.MarkDecorator:
    """Give a test what `work` finds for each case, whose arguments stand behind its name."""
    given = [pytest.param((work, *arguments), id=name) for name, arguments in cases.items()]
    return pytest.mark.parametrize("found", given, indirect=True)
