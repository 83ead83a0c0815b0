"""Nothing is left of a lab: no process, no namespace, no file, however it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flannelviz.kernel import Lab
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


def descendants(session: int) -> set[int]:
    """The processes of a session, which a lab starts one of."""
    found = set()
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.add(int(folder.name))
    return found


def namespaces() -> set[str]:
    """Every network namespace that some process is in, or holds open."""
    found = set()
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            for link in (*_links(folder / "ns"), *_links(folder / "fd")):
                if link.startswith("net:["):
                    found.add(link)
    return found


def _links(folder: Path) -> list[str]:
    links = []
    try:
        for entry in os.scandir(folder):
            try:
                links.append(os.readlink(entry.path))
            except OSError:
                continue
    except OSError:
        pass
    return links


def held_by(process: int) -> set[str]:
    return {link for link in _links(PROC / str(process) / "fd") if link.startswith("net:[")}


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


def gone(lab_process: int, spaces: set[str]) -> bool:
    return soon(lambda: not descendants(lab_process) and not (spaces & namespaces()))


def owner(folder: Path) -> subprocess.Popen[str]:
    """A process of its own that makes a lab; whatever it leaves in a temporary folder is found in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-c", OWNER],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
    )


def test_closing_a_lab_leaves_nothing(make_lab: MakeLab) -> None:
    before = files()
    lab = make_lab(counted())
    process, spaces = lab._process.pid, held_by(lab._process.pid)
    assert len(spaces) >= len(list(counted().places()))
    lab.close()
    assert gone(process, spaces)
    assert files() == before


def test_a_lab_that_nobody_keeps_is_gone(make_lab: MakeLab) -> None:
    lab = Lab(counted())
    process, spaces = lab._process.pid, held_by(lab._process.pid)
    del lab
    assert gone(process, spaces)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_owner_leaves_nothing(number: signal.Signals, make_lab: MakeLab, tmp_path: Path) -> None:
    before = files()
    with owner(tmp_path) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "starting\n"
        process = int(running.stdout.readline())
        spaces = held_by(process)
        assert spaces
        running.send_signal(number)
        running.wait(10)
    assert gone(process, spaces)
    assert (files(), list(tmp_path.iterdir())) == (before, [])


@pytest.mark.parametrize("moment", [0.05, 0.15, 0.3])
def test_an_owner_killed_while_it_builds_leaves_nothing(moment: float, make_lab: MakeLab, tmp_path: Path) -> None:
    before, spaces = files(), namespaces()
    with owner(tmp_path) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "starting\n"
        time.sleep(moment)
        children = set(_children(running.pid))
        running.kill()
        running.wait(10)
    assert soon(lambda: not any(descendants(child) for child in children))
    assert soon(lambda: not (namespaces() - spaces) or not children)
    assert (files(), list(tmp_path.iterdir())) == (before, [])


def _children(process: int) -> list[int]:
    return list(map(int, (PROC / f"{process}/task/{process}/children").read_text().split()))


def test_a_killed_lab_ends_in_one_sentence(make_lab: MakeLab) -> None:
    lab = make_lab(counted())
    process, spaces = lab._process.pid, held_by(lab._process.pid)
    os.kill(process, signal.SIGKILL)
    with pytest.raises(Exception, match="the lab has ended, its process is gone: make a new Lab"):
        lab.trace("a1", "b1")
    assert gone(process, spaces)
