"""Whom a learner asks: the kernel of this machine, or the record, and one sentence that says which and why."""

import os
import platform
import subprocess
import sys
from dataclasses import replace

import pytest

from flannelviz.controlplane.timeline import build
from flannelviz.dataplane.trace import trace
from flannelviz.errors import FaultError, LabError, UnknownPlaceError
from flannelviz.faults import break_network
from flannelviz.kernel import Witness, agrees, child, parting, recorded
from flannelviz.kernel import witness as module
from flannelviz.kernel.drawing import blueprint
from flannelviz.packet import Trace
from flannelviz.topologies import article, article_plan
from tests.checkout import ROOT

FAULT = {"fault": "vpc-route-missing", "target": "node-b"}


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> Witness:
    """One on a machine without CNI plugins."""
    monkeypatch.setenv("CNI_PATH", "/nowhere")
    return Witness(article(), break_network, recorded())


@pytest.fixture
def live(refusal: str | None) -> Witness:
    if refusal is not None:
        pytest.skip(refusal)
    return Witness(article(), break_network)


def test_a_machine_without_labs_answers_from_the_record(forbidden: Witness) -> None:
    assert not forbidden.live
    assert forbidden.trace("a1", "b1") == recorded().trace("default/a1", "default/b1")
    assert forbidden.trace("b1", "a1", **FAULT).died_at == "VPC"


def test_it_says_in_one_sentence_why_and_which_kernel_the_record_has_seen(forbidden: Witness) -> None:
    assert forbidden.says.startswith(f"From the record of {recorded().kernel}, because a lab needs the CNI plugins ")
    assert "apt-get" not in forbidden.says and forbidden.says.count(".\n") == 0 and forbidden.says.endswith(".")


def test_a_machine_with_labs_answers_itself(live: Witness) -> None:
    assert live.live and live.says.startswith(f"Live: the kernel of this machine, Linux {platform.release()}, ")
    assert live.trace("a1", "b1") == recorded().trace("default/a1", "default/b1")
    assert live.trace("b1", "a1", **FAULT) == recorded().trace("default/b1", "default/a1", tuple(FAULT.values()))
    assert live.trace("a1", "b1").ok, "and again without the fault"
    live.close()


def test_a_lab_that_cannot_be_built_gives_way_to_the_record(monkeypatch: pytest.MonkeyPatch, live: Witness) -> None:
    live.close()
    live._record = recorded()
    monkeypatch.setattr(module, "Lab", lambda _: (_ for _ in ()).throw(LabError("no room for it: build fewer")))
    assert live.trace("a1", "b1").ok and not live.live
    assert live.says.endswith("because no room for it.")


FEW_NAMESPACES = """
from flannelviz.faults import break_network
from flannelviz.kernel import Witness, recorded
from flannelviz.topologies import article
witness = Witness(article(), break_network, recorded())
witness.trace("a1", "b1")
print(witness.says)
print(witness._refusal)
"""


@pytest.mark.parametrize(("kind", "allowed"), [("net", 4), ("mnt", 2)])
def test_too_few_namespaces_are_named(kind: str, allowed: int, refusal: str | None) -> None:
    """In a user namespace, whose limits are its own (kernel/ucount.c)."""
    if refusal is not None:
        pytest.skip(refusal)
    limit = f"user.max_{kind}_namespaces"
    script = f'echo {allowed} > /proc/sys/{limit.replace(".", "/")} && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, sys.executable, "-c", FEW_NAMESPACES], cwd=ROOT, capture_output=True, text=True, env=env
    )
    cause = f"there are as many namespaces as {limit} allows"
    assert done.stdout.splitlines() == [
        f"From the record of {recorded().kernel}, because {cause}.",
        f"{cause}: close other labs, build fewer pods, or raise it",
    ]


def test_what_a_lab_fails_of_is_told_whole(monkeypatch: pytest.MonkeyPatch, forbidden: Witness) -> None:
    monkeypatch.setattr(child, "build", lambda _: (_ for _ in ()).throw(OSError(5, "mount: Input/output error")))
    lab = child.Lab()
    error = lab.carry_out(blueprint(article()))
    lab.clock.close()
    assert str(error).startswith("the lab's process failed (OSError: [Errno 5] mount: Input/output error): use the ")
    forbidden._refusal = str(error)
    assert forbidden.says.endswith("because the lab's process failed (OSError: [Errno 5] mount: Input/output error).")


def test_without_a_record_the_reason_is_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNI_PATH", "/nowhere")
    witness = Witness(build(article_plan()).network, break_network)
    assert witness.says.startswith("No kernel can be asked: a lab needs the CNI plugins")
    with pytest.raises(LabError, match="a lab needs the CNI plugins"):
        witness.trace("a1", "b1")


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (("a1", "8.8.8.8", {}), LabError),
        (("a9", "b1", {}), LabError),
        (("a1", "b1", {"fault": "cni0-down", "target": "node-z"}), UnknownPlaceError),
        (("a1", "b1", {"fault": "gremlins", "target": "node-a"}), LabError),
    ],
)
def test_the_record_knows_what_it_does_not_know(asked: tuple, error: type[Exception], forbidden: Witness) -> None:
    with pytest.raises(error):
        forbidden.trace(*asked[:2], **asked[2])


def test_an_unknown_fault_is_refused(live: Witness) -> None:
    with pytest.raises(FaultError, match="no fault called 'gremlins'"):
        live.trace("a1", "b1", fault="gremlins", target="node-a")


# --- where two traces part ------------------------------------------------------------------------------------------


def seen(source: str, destination: str, *situation: str) -> Trace:
    return recorded().trace(source, destination, situation or ("", ""))


@pytest.mark.parametrize(
    ("ends", "situation", "number"),
    [
        (("default/a1", "default/b1"), (), None),
        (("default/a1", "default/b1"), ("vpc-route-missing", "node-b"), 3),
        (("default/b1", "default/a1"), ("vpc-route-missing", "node-b"), 8),
        (("default/a1", "Internet"), ("masquerade-missing", "node-a"), 2),
        (("default/a1", "default/b1"), ("ip-forward-off", "node-b"), 4),
        (("default/a1", "Internet"), ("pod-without-default-route", "default/a1"), 1),
    ],
)
def test_the_first_hop_that_differs_has_a_number(
    ends: tuple[str, str], situation: tuple[str, ...], number: int | None
) -> None:
    found = parting(trace(article(), *ends), seen(*ends, *situation))
    assert (found and found.hop) == number


def test_with_the_fault_told_nothing_differs() -> None:
    broken, kernel = break_network(article(), *FAULT.values()), seen("default/b1", "default/a1", *FAULT.values())
    assert agrees(trace(broken, "b1", "a1"), kernel) == () and parting(trace(broken, "b1", "a1"), kernel) is None


def test_in_what_they_differ_there_is_said_in_words() -> None:
    found = parting(trace(article(), "a1", "Internet"), seen("default/a1", "Internet", "masquerade-missing", "node-a"))
    assert found and found.words == (
        "request, hop 2 (node-a) sends src: the model says 192.168.0.10, the kernel 172.16.0.130",
    )


def test_a_missing_reply_parts_from_the_model_where_the_request_arrived() -> None:
    model = trace(article(), "a1", "b1")
    silent = replace(seen("default/a1", "default/b1"), reply=(), reply_disposition=None)
    assert parting(model, silent) == (5, ("reply sent: the model says True, the kernel False",))
