"""Networks and packets drawn by lot: model and kernel agree on each, and what would part them is shown small."""

import runpy
import signal
import subprocess
import sys
import time
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from random import Random

import pytest

from flannelviz.dataplane import checks
from flannelviz.dataplane.trace import trace
from flannelviz.errors import LabError, WiringError
from flannelviz.faults import break_network
from flannelviz.kernel import cannot_hold, ledger, probe
from flannelviz.model import NodePlan, ServicePlan
from flannelviz.network import Network
from flannelviz.topologies import plan
from prove import rules, run
from prove.case import HIDDEN, TRIES, Case, Compared, Sent
from prove.draw import PROTOCOLS, WAYS, case
from prove.paste import pasted
from prove.run import DISAGREED, INTERRUPTED, NO_LAB, Disagreement, Run
from prove.shrink import smallest
from prove.tally import ALL_WAYS
from tests.checkout import ROOT
from tests.kernel.conftest import MakeLab
from tests.kernel.test_clean import PROC, files, folder, gone
from tests.kernel.test_found import WEB

__all__ = ["folder"]  # a fixture

SEED, SHARE = 7, 312
LEAST_FAULTS = 15
PING = Sent("default/a1", "default/b1")


def test_a_share_of_the_proof(refusal: str | None) -> None:
    if refusal is not None:
        pytest.skip(refusal)
    share = Run.of(SEED)
    run.run_all(share, SHARE, 2)
    shown = "\n".join(pasted(one.case, f"case_{SEED}_{one.number}", one.differences) for one in share.found)
    assert not share.found, shown
    assert share.tally.packets == share.tally.agreed == SHARE >= 300
    assert share.lost == {}  # how many of them had to be asked again depends on the lots that the kernel draws
    assert set(share.tally.of("backend")) == set(ALL_WAYS)
    assert set(share.tally.of("protocol")) == set(PROTOCOLS)
    assert len(share.tally.of("fault")) >= LEAST_FAULTS
    assert {"nobody listens", "rules of nobody's"} <= set(share.tally.of("special"))
    assert {"to a Service", "warm", "translated", "without DF"} <= set(share.tally.of("special"))


def test_a_lab_holds_every_way_that_is_drawn() -> None:
    assert len(ALL_WAYS) == len(set(ALL_WAYS)) == len(WAYS)
    assert [cannot_hold(Case(plan(2, 1, **way), (), ()).network()) for way in WAYS] == [None] * len(WAYS)


@pytest.mark.parametrize("number", range(3))
def test_a_seed_and_a_number_make_the_same_case_again(number: int) -> None:
    assert case(SEED, number) == case(SEED, number)
    assert case(SEED, number) != case(SEED + 1, number)


@pytest.mark.parametrize(("proto", "anywhere"), [(None, False), ("udp", False), ("tcp", True), ("icmp", True)])
def test_only_what_a_tunnel_may_match_is_led_to_an_ecs(proto: str | None, anywhere: bool) -> None:
    network = Case(plan(2, 2, backend="vxlan"), (), ()).network()
    drawn = [rules._to(Random(number), network, "node-a", "DNAT", proto) for number in range(50)]
    led = {to[0] for to in drawn if to is not None}
    assert (led <= {ecs.address for ecs in network.ecs.values()}) is not anywhere


def test_a_case_is_the_same_on_a_machine_without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    here = case(SEED, 0)
    monkeypatch.setattr(probe, "_room", lambda: 0)
    assert cannot_hold(here.network()) is not None
    assert case(SEED, 0) == here


# --- asked again -----------------------------------------------------------------------------------------------------

ENDPOINTS = ("a1", "b1")
SERVICE = ServicePlan("web", IPv4Address(WEB), 80, ENDPOINTS)
TO_WEB = Sent("default/a2", WEB, "tcp", dport=80)


def compared_as(*differences: str, lots: tuple[str, ...] = ()) -> Compared:
    model = trace(plan_network(), "a1", "b1")
    return Compared(TO_WEB, model, model, differences, lots)


def plan_network() -> Network:
    return Case(plan(2, 2), (), ()).network()


@pytest.mark.parametrize(
    ("first", "again", "forgiven"),
    [
        (compared_as("x"), [compared_as()] * run.AGAIN, False),
        (compared_as("x", lots=("b1",)), [compared_as(lots=("a1",)), compared_as("x", lots=("b1",))], False),
        (compared_as("x", lots=("b1",)), [compared_as(lots=("a1",)), compared_as(lots=("b1",))], True),
        (compared_as("x", lots=("b1",)), [compared_as(lots=("a1",))] * run.AGAIN, False),
        (compared_as("x", lots=(HIDDEN,)), [compared_as(lots=(HIDDEN,))] * run.AGAIN, False),
    ],
)
def test_only_the_same_lots_forgive(
    first: Compared, again: list[Compared], forgiven: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(again)
    monkeypatch.setattr(Run, "_results", lambda self, drawn: [next(answers)])
    (result,) = Run.of(SEED)._asked_again(Case(plan(2, 2), (), (TO_WEB,)), [first])
    assert (result.differences == ()) is forgiven


def test_a_model_that_is_wrong_for_one_endpoint_is_caught(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the proof, and by each run of the test that it prints."""
    right = checks.decrement
    wrong = plan_network().address("b1")
    monkeypatch.setattr(checks, "decrement", lambda v, *rest: None if v.packet.dst == wrong else right(v, *rest))
    served = Case(replace(plan(2, 2), services=(SERVICE,)), (), (TO_WEB,) * TRIES)
    monkeypatch.setattr(run, "case", lambda seed, number: served)
    found = Run.of(SEED)
    found.one(0, TRIES)
    assert len(found.found) == 1
    once = replace(served, packets=(TO_WEB,))
    assert any("ttl" in words for words in run.differences(once))
    with pytest.raises(AssertionError):
        run_pasted(once, tmp_path)
    monkeypatch.undo()
    run_pasted(once, tmp_path)


def run_pasted(case: Case, folder: Path) -> None:
    """Run the test that a case is printed as."""
    (folder / "test_pasted.py").write_text(pasted(case, "pasted"))
    runpy.run_path(str(folder / "test_pasted.py"))["test_pasted"]()


# --- a disagreement, shown small -------------------------------------------------------------------------------------

CROWDED = Case(
    plan(
        3, 2, services=(ServicePlan("web", IPv4Address(WEB), 80, ("a1", "b1")),), mtu=1400, hairpin=True, rules="head"
    ),
    (("ip-forward-off", "node-c"), ("cni0-down", "node-b")),
    (PING, replace(PING, ttl=3), replace(PING, source="default/a2", proto="tcp", dport=80, size=600)),
)


def test_a_case_shrinks_to_what_it_takes() -> None:
    def disagrees(one: Case) -> bool:
        return ("cni0-down", "node-b") in one.faults and any(node.name == "node-b" for node in one.plan.nodes)

    assert smallest(CROWDED, disagrees) == Case(
        replace(plan(0), nodes=(NodePlan("node-b"),)), (("cni0-down", "node-b"),), (Sent("default/a2", "default/b1"),)
    )


def test_a_text_tells_all_that_is_not_a_default() -> None:
    text = pasted(CROWDED, "crowded", ("request ends at: the model says VPC, the kernel node-a",))
    compile(text, "test_crowded.py", "exec")
    for words in (
        "from flannelviz import ClusterPlan, NodePlan, ServicePlan, break_network, build, trace",
        "    # request ends at: the model says VPC, the kernel node-a",
        'NodePlan(name="node-a", pods=("a1", "a2"))',
        'ServicePlan(name="web", cluster_ip=IPv4Address("172.19.0.10"), port=80, endpoints=("a1", "b1"))',
        'network = break_network(network, "cni0-down", "node-b")',
        'kernel = lab.trace("default/a2", "default/b1", proto="tcp", dport=80, size=600)',
    ):
        assert words in text


def test_rules_that_nobody_else_writes_are_drawn_shrunk_and_told() -> None:
    drawn = next(one for one in (case(SEED, number) for number in range(200)) if len(one.extras) > 1)
    text = pasted(drawn, "drawn")
    compile(text, "test_drawn.py", "exec")
    assert text.count(").put_into(network)") == len(drawn.extras)
    for extra in drawn.extras:
        tables = drawn.network().tables(extra.place)
        assert extra.row in (*(rule for chain in tables.chains for rule in chain.rules), *tables.sysctls)
    assert smallest(drawn, lambda one: drawn.extras[-1] in one.extras).extras == drawn.extras[-1:]


def test_a_broken_model_is_caught_shrunk_and_printed(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The model forgets to count the TTL; the printed test fails with that model, and passes with the right one."""
    monkeypatch.setattr(checks, "decrement", lambda *_: None)
    crowded = Case(plan(1, 2), (("rp-filter-strict", "node-a"),), (Sent("default/a1", "Internet"),))
    wrong = run.differences(crowded)
    assert any("ttl" in line for line in wrong)
    small = run.shrunk(Disagreement(0, crowded, wrong))
    assert small.case == replace(crowded, plan=plan(1, 1), faults=())
    with pytest.raises(AssertionError):
        run_pasted(small.case, tmp_path)
    monkeypatch.undo()
    run_pasted(small.case, tmp_path)


# --- the command -----------------------------------------------------------------------------------------------------


def test_a_machine_without_labs_says_why(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(run, "why_not", lambda: "this machine forbids namespaces to its users: allow them")
    assert run.main(["12"]) == NO_LAB
    assert capsys.readouterr() == ("", "prove: this machine forbids namespaces to its users: allow them\n")


def test_a_lab_that_fails_does_not_hide_what_was_proven(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(network: Network) -> None:
        raise LabError("no room for it")

    monkeypatch.setattr(run, "why_not", lambda: None)
    monkeypatch.setattr(run, "Lab", none)
    assert run.main(["1200", "--seed", "3", "-j", "1"]) == NO_LAB
    said = capsys.readouterr()
    assert said.out.startswith("0 of 0 packets agree, over 0 networks\n")
    assert said.err == "".join(f"prove: no lab for --seed 3 --case {n}: no room for it\n" for n in range(run.MOST_LOST))


def test_a_kernel_with_other_tables_disagrees(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def other(network: Network) -> None:
        raise WiringError("the kernel of node-a and its tables differ in the routes default")

    monkeypatch.setattr(run, "why_not", lambda: None)
    monkeypatch.setattr(run, "Lab", other)
    assert run.main(["--case", "1", "--seed", "3"]) == DISAGREED
    assert "    # the kernel of node-a and its tables differ in the routes default\n" in capsys.readouterr().out


def test_plugins_that_make_other_tables_disagree(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model's pod has no default route, and no fault has taken it: the plugin made one."""
    healthy = Case(plan(1, 1), (), (Sent("default/a1", "node-a"),))
    wrong = break_network(healthy.network(), "pod-without-default-route", "default/a1")
    monkeypatch.setattr(run, "case", lambda seed, number: healthy)
    monkeypatch.setattr(Case, "network", lambda self: wrong)
    assert run.main(["--case", "1", "--seed", "3"]) == DISAGREED
    said = capsys.readouterr().out
    assert "    # what the plugins make is not what the tables say, it takes default/a1: route del default via" in said


def test_a_long_run_tells_how_far_it_has_come(capsys: pytest.CaptureFixture[str]) -> None:
    long = Run.of(SEED)
    for packets in range(0, 1201, 12):
        long.tally.packets = packets
        run._progress(long, 1200)
    run._progress(long, 0)
    said = capsys.readouterr().err.splitlines()
    assert said == [f"{packets} of 1,200 packets, 0 networks disagree" for packets in ("504", "1,008")]


def test_a_report_counts_and_ends_in_the_ledger(make_lab: MakeLab, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["5", "--seed", str(SEED), "-j", "1"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "5 of 5 packets agree, over 1 networks"
    assert any(line.startswith("protocol: ") for line in said)
    assert any(line.startswith(f"seed {SEED}, ") for line in said)
    assert said[-len(list(ledger.ledger_lines())) :] == list(ledger.ledger_lines())


def test_a_disagreement_is_the_exit_status(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checks, "decrement", lambda *_: None)
    monkeypatch.setattr(run, "shrunk", lambda found: found)
    assert run.main(["24", "--seed", str(SEED)]) == DISAGREED
    assert f"# python -m prove --seed {SEED} --case " in capsys.readouterr().out


def started(process: int) -> list[int]:
    """The labs of a process whose threads start them."""
    lists = (task / "children" for task in (PROC / str(process) / "task").iterdir())
    return [int(child) for found in lists for child in found.read_text().split()]


def test_an_interrupt_tells_what_is_proven_and_leaves_nothing(make_lab: MakeLab, folder: Path) -> None:
    before = files()
    command = [sys.executable, "-m", "prove", "100000", "-j", "1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as proving:
        try:
            while not (labs := started(proving.pid)):
                assert proving.poll() is None
                time.sleep(0.01)
            proving.send_signal(signal.SIGINT)
            said, _ = proving.communicate(timeout=30)
        finally:
            proving.kill()
    assert proving.returncode == INTERRUPTED
    assert said.startswith("interrupted; so far:\n")
    assert "seed 1, " in said
    assert gone(folder, *labs)
    assert (files(), list(folder.iterdir())) == (before, [])


def test_an_interrupt_while_shrinking_tells_what_was_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first is shown, the second is being shrunk, the third has not had its turn."""
    one, *others = (Disagreement(number, Case(plan(2, 1), (), (PING,)), ("x",)) for number in (4, 5, 6))

    def shrinking(found: Disagreement) -> Disagreement:
        if found != one:
            raise KeyboardInterrupt
        return found

    def all_found(into: Run, packets: int, jobs: int) -> None:
        into.found.extend((one, *others))

    monkeypatch.setattr(run, "why_not", lambda: None)
    monkeypatch.setattr(run, "run_all", all_found)
    monkeypatch.setattr(run, "shrunk", shrinking)
    assert run.main(["--seed", "3"]) == INTERRUPTED
    said = capsys.readouterr().out
    assert "def test_case_3_4() -> None:" in said
    assert said.endswith(
        "\ninterrupted while a disagreement was shrunk\n"
        "\nmore of them, each by python -m prove --seed 3 --case NUMBER: 5, 6\n"
    )


def test_an_interrupt_names_what_disagreed_so_far(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(into: Run, packets: int, jobs: int) -> None:
        into.found.append(Disagreement(7, Case(plan(2, 1), (), (PING,)), ("x",)))
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "why_not", lambda: None)
    monkeypatch.setattr(run, "run_all", interrupted)
    assert run.main(["--seed", "3"]) == INTERRUPTED
    assert capsys.readouterr().out.endswith("\ndisagreements, each by python -m prove --seed 3 --case NUMBER: 7\n")


# --- the ledger ------------------------------------------------------------------------------------------------------


def test_the_page_and_the_code_are_one_ledger() -> None:
    assert (ROOT / "docs" / "ledger.md").read_text("utf-8") == ledger.ledger_page()


def test_nothing_is_known_to_deviate() -> None:
    assert ledger.DEVIATIONS == ()
