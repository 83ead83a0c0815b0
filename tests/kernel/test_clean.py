"""Nothing is left of a lab: no process, no namespace, no file, however it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from flannelviz.kernel import Lab
from flannelviz.kernel.tools import program
from tests.checkout import ROOT
from tests.kernel.conftest import MakeLab, counted

PROC = Path("/proc")
FOLDERS = [Path(name) for name in ("/run/netns", "/var/lib/cni", "/run/flannel", "/run/xtables.lock")]
OWNER = """
import sys, time
from flannelviz.kernel import Lab
from flannelviz.topologies import article
print("starting", flush=True)
lab = Lab(article())
assert lab.trace("a1", "b1").ok
print(lab._process.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, and the sign by which a test knows its own processes: other tests make labs as well."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def family(folder: Path, labs: Collection[int]) -> set[int]:
    """The living processes that go back to one test: those of a lab's session, and those with the test's folder."""
    running = (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    return {process for process in running if _session(process) in labs or _is_marked(process, folder)}


def _session(process: int) -> int:
    """The session of a process, which is that of its lab; 0 if the process has ended."""
    fields = _read(process, "stat").rpartition(b")")[2].split()
    return int(fields[3]) if fields and fields[0] != b"Z" else 0


def _is_marked(process: int, folder: Path) -> bool:
    return f"TMPDIR={folder}".encode() in _read(process, "environ").split(b"\0")


def _read(process: int, name: str) -> bytes:
    try:
        return (PROC / str(process) / name).read_bytes()
    except OSError:
        return b""


def held_by(process: int) -> set[str]:
    """The network namespaces that a process holds open."""
    return {link for link in _links(PROC / str(process) / "fd") if link.startswith("net:[")}


def _links(folder: Path) -> Iterator[str]:
    for entry in folder.iterdir():
        with suppress(OSError):
            yield os.readlink(entry)


HELD = held_by(os.getpid())  # what this process was born with


def soon(true: Callable[[], bool]) -> bool:
    """Whether something becomes true within a few seconds: the kernel needs a moment to bury a process."""
    deadline = time.monotonic() + 5
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def files() -> dict[Path, list[str]]:
    return {folder: sorted(os.listdir(folder)) if folder.is_dir() else [str(folder.exists())] for folder in FOLDERS}


def gone(folder: Path, *labs: int) -> bool:
    """Whether the processes of a test are soon gone, and with them the namespaces that nobody else holds."""
    return soon(lambda: not family(folder, labs)) and held_by(os.getpid()) == HELD


def owner() -> subprocess.Popen[str]:
    """A process of its own that makes a lab."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", OWNER], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=env)


def labs_of(process: int) -> list[int]:
    """The labs of an owner: those of its children that have a session of their own."""
    children = map(int, _read(process, f"task/{process}/children").split())
    return [child for child in children if _session(child) == child]


def test_closing_a_lab_leaves_nothing(make_lab: MakeLab, folder: Path) -> None:
    before = files()
    lab = make_lab(counted())
    process = lab._process.pid
    assert len(held_by(process)) >= len(list(counted().places()))
    assert process in family(folder, ())
    lab.close()
    assert gone(folder, process)
    assert files() == before


def test_the_older_iptables_leaves_nothing(make_lab: MakeLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a lock, which is a file that it makes if there is none (xshared.c, xtables_lock of iptables)."""
    for name in ("iptables-restore", "iptables-save"):
        older = program(name.replace("iptables", "iptables-legacy"))
        assert older is not None, "Debian's iptables brings the older kind along"
        (tmp_path / name).symlink_to(older)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    before = files()
    lab = make_lab(counted())
    assert lab.trace("a1", "b1").ok
    lab.close()
    assert files() == before


def test_a_lab_that_nobody_keeps_is_gone(make_lab: MakeLab, folder: Path) -> None:
    lab = Lab(counted())
    process = lab._process.pid
    del lab
    assert gone(folder, process)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_owner_leaves_nothing(number: signal.Signals, make_lab: MakeLab, folder: Path) -> None:
    before = files()
    with owner() as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "starting\n"
        process = int(running.stdout.readline())
        assert {running.pid, process} <= family(folder, ())
        running.send_signal(number)
        running.wait(10)
    assert gone(folder, process)
    assert (files(), list(folder.iterdir())) == (before, [])


@pytest.mark.parametrize("moment", [0.05, 0.15, 0.3])
def test_an_owner_killed_while_it_builds_leaves_nothing(moment: float, make_lab: MakeLab, folder: Path) -> None:
    before = files()
    with owner() as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "starting\n"
        assert soon(lambda: bool(labs_of(running.pid)))
        (process,) = labs_of(running.pid)
        time.sleep(moment)
        assert {running.pid, process} <= family(folder, ())
        running.kill()
        running.wait(10)
    assert gone(folder, process)
    assert (files(), list(folder.iterdir())) == (before, [])


FORKED = """
import os, sys
from flannelviz.kernel import Lab
from flannelviz.topologies import article
lab = Lab(article())
child = os.fork()
if child == 0:
    sys.exit()
os.waitpid(child, 0)
print(lab.trace("a1", "b1").ok)
"""


def test_a_forked_process_that_ends_leaves_the_lab_alone(make_lab: MakeLab) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", FORKED], cwd=ROOT, capture_output=True, text=True, env=env)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_killed_lab_ends_in_one_sentence(make_lab: MakeLab, folder: Path) -> None:
    lab = make_lab(counted())
    process = lab._process.pid
    os.kill(process, signal.SIGKILL)
    with pytest.raises(Exception, match="the lab has ended, its process is gone: make a new Lab"):
        lab.trace("a1", "b1")
    assert gone(folder, process)
