"""The record of a real kernel: complete, the same as a lab of this machine sees, and what the model says.

To renew it, on a machine that runs labs, which takes some minutes: python -m tests.kernel.test_record
"""

import gzip
import platform
import random
import re
from collections.abc import Iterator
from itertools import product

import pytest

from flannelviz.dataplane.trace import trace
from flannelviz.errors import LabError
from flannelviz.faults import FAULTS, break_network, targets
from flannelviz.kernel import Witness, agrees, recorded
from flannelviz.kernel.record import FILE, HEALTHY, Ends, Record, Situation, dumps, loads
from flannelviz.model import INTERNET
from flannelviz.network import Network
from flannelviz.packet import Trace
from flannelviz.topologies import article
from tests.kernel.conftest import MakeLab

RENEW = "python -m tests.kernel.test_record"
MOST_BYTES = 200_000
LIVE = random.Random(7).sample([(fault.name, target) for fault in FAULTS for target in targets(article(), fault)], 5)


def situations() -> list[Situation]:
    return [HEALTHY, *((fault.name, target) for fault in FAULTS for target in targets(article(), fault))]


def pairs() -> list[Ends]:
    places = [*article().pods, *article().ecs_places()]
    return list(product(places, [*places, INTERNET]))


def network_in(situation: Situation) -> Network:
    return article() if situation == HEALTHY else break_network(article(), *situation)


def asked(now: Network, ends: Ends) -> Ends:
    """Return both ends; a receiver that a fault has left without an address is sought where it was."""
    source, destination = ends
    lost = destination in now.pods and now.address(destination) is None
    return source, str(article().address(destination)) if lost else destination


def test_it_holds_every_ping_in_every_situation() -> None:
    record = recorded()
    assert list(record.journeys) == situations(), RENEW
    assert {situation for situation, told in record.journeys.items() if list(told) != pairs()} == set(), RENEW
    assert record.size == len(situations()) * len(pairs())


def test_the_model_says_what_the_kernel_did() -> None:
    found: dict[tuple[Situation, Ends], tuple[str, ...]] = {}
    for situation, told in recorded().journeys.items():
        now = network_in(situation)
        found |= {(situation, ends): agrees(trace(now, *asked(now, ends)), seen) for ends, seen in told.items()}
    assert {where: words for where, words in found.items() if words} == {}


@pytest.mark.parametrize("situation", [HEALTHY, *LIVE], ids=lambda situation: " at ".join(situation) or "healthy")
def test_a_lab_of_this_machine_sees_the_same(situation: Situation, make_lab: MakeLab) -> None:
    now, told = network_in(situation), recorded().journeys[situation]
    lab = make_lab(now)
    some = random.Random(8).sample(pairs(), 8)
    assert {ends: lab.trace(*asked(now, ends)) for ends in some} == {ends: told[ends] for ends in some}


def test_it_says_which_kernel_made_it_and_is_small() -> None:
    assert re.fullmatch(r"Linux \d+\.\d+\.\d+", recorded().kernel)
    assert recorded().kernel in repr(recorded())
    assert FILE.stat().st_size < MOST_BYTES


def test_a_record_comes_back_from_its_text() -> None:
    whole = recorded()
    some = Record(whole.kernel, {one: whole.journeys[one] for one in (HEALTHY, ("cni0-down", "node-b"))})
    assert loads(dumps(some)) == some
    assert dumps(loads(dumps(some))) == dumps(some)


@pytest.mark.parametrize(
    ("ends", "situation"),
    [
        (("default/a1", "8.8.8.8"), HEALTHY),
        (("default/a1", "default/b1"), ("cni0-down", "db")),
        (("a1", "default/b1"), HEALTHY),
    ],
)
def test_what_is_not_recorded_is_refused(ends: Ends, situation: Situation) -> None:
    with pytest.raises(LabError, match=f"the record holds no ping from {ends[0]} to {ends[1]}"):
        recorded().trace(*ends, situation)


def renewed() -> Record:
    """Ask a lab everything."""
    witness = Witness(article(), break_network)
    journeys: dict[Situation, dict[Ends, Trace]] = {}
    for fault, target in situations():
        journeys[fault, target] = dict(_asked(witness, fault, target))
        print(f"{len(journeys)} of {len(situations())}: {fault or 'healthy'} {target}", flush=True)
    return Record(f"Linux {platform.release().partition('-')[0]}", journeys)


def _asked(witness: Witness, fault: str, target: str) -> Iterator[tuple[Ends, Trace]]:
    for ends in pairs():
        yield ends, witness.trace(*ends, fault=fault, target=target)


if __name__ == "__main__":
    FILE.write_bytes(gzip.compress(dumps(renewed()).encode(), mtime=0))
