"""The real programs that a lab needs: where they are, and how they are run in a namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from flannelviz.errors import LabError

# A program, and Debian's package that has it.
PROGRAMS = {
    "unshare": "util-linux",
    "ip": "iproute2",
    "bridge": "iproute2",
    "iptables-restore": "iptables",
    "iptables-save": "iptables",
}
PLUGINS = ("bridge", "host-local", "loopback")
PLUGINS_PACKAGE = "containernetworking-plugins"
PLUGIN_FOLDERS = ("/usr/lib/cni", "/opt/cni/bin")
ADMIN_FOLDERS = "/usr/sbin:/sbin"  # what users who are not root do not have in their PATH
PATIENCE = 30  # seconds until a program that does not end is given up


def program(name: str) -> str | None:
    """Return the path of a program, or None; where PATH leads nowhere, nothing is found."""
    path = os.environ.get("PATH", "")
    return shutil.which(name, path=f"{path}:{ADMIN_FOLDERS}") if path else None


def variables() -> dict[str, str]:
    """Return the environment variables as they are now, for a program that is started while others may change them.

    Source: setenv(3) moves the environment in memory; a program that is given none is started with what was there.
    """
    return {name: value for name in list(os.environ) if (value := os.environ.get(name)) is not None}


def plugin_folders() -> tuple[str, ...]:
    """Return the folders in which CNI plugins are searched."""
    asked = os.environ.get("CNI_PATH")
    return tuple(asked.split(":")) if asked else PLUGIN_FOLDERS


def plugin_folder() -> str | None:
    """Return the folder that holds the CNI plugins, or None. CNI_PATH names another one."""
    return next((f for f in plugin_folders() if all(os.access(Path(f) / name, os.X_OK) for name in PLUGINS)), None)


def run(
    command: Iterable[str], text: str = "", *, keep: Iterable[int] = (), env: Mapping[str, str] | None = None
) -> str:
    """Return what a program prints, started in the namespaces of this thread, with `text` as its input.

    Raises: LabError with the program's own words if it fails.
    """
    words = list(command)
    try:
        done = subprocess.run(
            words, input=text, capture_output=True, text=True, pass_fds=tuple(keep), env=env, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"{Path(words[0]).name} did not end within {PATIENCE} s; is this machine very busy?") from None
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())
        raise LabError(f"{' '.join([Path(words[0]).name, *words[1:]])} failed: {said}")
    return done.stdout


def ip_batch(lines: Iterable[str], *, keep: Iterable[int] = ()) -> str:
    """Return what `ip -batch` prints for `lines`; without lines nothing is run."""
    text = "".join(f"{line}\n" for line in lines)
    return run([program("ip") or "ip", "-4", "-o", "-batch", "-"], text, keep=keep) if text else ""


def bridge_batch(lines: Iterable[str]) -> None:
    """Run `bridge -batch` with `lines`; without lines nothing is run."""
    text = "".join(f"{line}\n" for line in lines)
    if text:
        run([program("bridge") or "bridge", "-batch", "-"], text)
