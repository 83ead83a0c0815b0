"""The benchmarks: each group runs, each budget has a line, and a broken group takes nothing else with it."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import pytest

from bench import run
from bench.line import BROWSED, BUDGETS, IMPORT, QUICK, TRACE, Line, Scale, both, number, p95
from tests.checkout import ROOT

OF_A_BROWSER = {"browser", "stage"}
each_group = pytest.mark.parametrize(
    "group",
    [pytest.param(g, marks=pytest.mark.browser if g.__name__ in OF_A_BROWSER else ()) for g in run.GROUPS],
    ids=lambda group: group.__name__,
)


@lru_cache
def lines_of(group: run.Group) -> tuple[Line, ...]:
    """Return what a group measures. Playwright runs once in a thread, and other tests use it too."""
    if group.__name__ not in OF_A_BROWSER:
        return tuple(group(QUICK))
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: tuple(group(QUICK))).result()


@each_group
def test_each_group_measures_something(group: run.Group) -> None:
    lines = lines_of(group)
    assert lines
    assert all(line.what and line.measured for line in lines)
    assert [line.what for line in lines if line.verdict == "missing"] == [] or group in (run.lookup, run.lab)


def test_every_budget_has_a_line() -> None:
    groups = [group for group in run.GROUPS if group.__name__ not in OF_A_BROWSER]
    measured = {line.budget for group in groups for line in lines_of(group)}
    assert set(BUDGETS) <= measured


@pytest.mark.browser
def test_every_budget_of_a_browser_has_a_line() -> None:
    assert set(BROWSED) <= {line.budget for line in lines_of(run.stage)}


def test_pictures_and_traces_are_measured_at_both_sizes() -> None:
    lines = [line for group in (run.picture, run.trace) for line in lines_of(group) if line.budget]
    assert {size for line in lines for size in ("3 nodes", QUICK.name) if size in line.what} == {"3 nodes", QUICK.name}


@pytest.mark.parametrize(("value", "verdict"), [(60, "ok"), (60.1, "over"), (None, "missing")])
def test_a_line_says_whether_it_keeps_its_budget(value: float | None, verdict: str) -> None:
    line = Line("import", "so many ms", IMPORT, value)
    assert (line.limit, line.verdict) == ("60 ms", verdict)
    assert Line("import", "so many ms").verdict == ""


def test_percentiles_and_digits() -> None:
    assert p95([float(n) for n in range(101)]) == 95
    assert p95([7.0]) == 7
    assert [number(value) for value in (0.2345, 23.45, 2345.6)] == ["0.234", "23.4", "2,346"]
    assert both([1.0, 2.0, 3.0], "ms", "moves") == "2 ms, p95 2.9 ms (3 moves)"


def test_without_pytricia_the_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytricia", None)
    missing = [line for line in run.lookup(QUICK) if line.verdict == "missing"]
    assert len(missing) == 1
    assert "bench/requirements.txt" in missing[0].measured


def test_a_broken_group_is_one_more_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def breaks(_scale: Scale) -> Iterator[Line]:
        yield Line("one trace", "0.2 ms", TRACE, 0.2)
        raise RuntimeError("no more")

    monkeypatch.setattr(run, "GROUPS", (breaks, run.imports))
    monkeypatch.setattr(run, "NAMES", ("breaks", "imports"))
    run.main(["--quick"])
    table = capsys.readouterr().out
    assert "the group breaks broke off" in table
    assert "RuntimeError: no more" in table
    assert "python -m bench imports" in table


@pytest.mark.parametrize("command", [["-m", "bench"], ["bench/run.py"]], ids=["module", "file"])
def test_one_group_from_the_command_line(command: list[str]) -> None:
    done = subprocess.run([sys.executable, *command, "--quick", "imports"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Python ")
    assert "load average" in done.stdout
    rows = [line.split("|") for line in done.stdout.splitlines() if "|" in line]
    assert [cell.strip() for cell in rows[0]] == ["what", "measured", "limit", "verdict", "command"]
    assert {row[-1].strip() for row in rows[1:]} == {"python -m bench imports"}


def test_an_unknown_group_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(["tracing"])
    assert "there is no group tracing; choose from imports, trace" in capsys.readouterr().err
