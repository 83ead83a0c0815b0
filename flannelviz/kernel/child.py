"""The process that is the lab: it holds every namespace, builds, sends, and ends with the one that started it."""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import threading
from typing import NoReturn

from flannelviz.errors import LabError
from flannelviz.kernel.blueprint import Blueprint, Order
from flannelviz.kernel.pipe import read, write
from flannelviz.kernel.probe import INSTEAD
from flannelviz.kernel.sender import Sender
from flannelviz.kernel.silence import REJECT
from flannelviz.kernel.watch import stamped_from_now_on
from flannelviz.kernel.wiring import build


def end() -> NoReturn:
    """End this process and all that it has started, at once; the kernel then takes down every namespace."""
    os.killpg(0, signal.SIGKILL)
    raise SystemExit


def end_with(parent: int) -> None:
    """Have a thread end this process as soon as the one behind the pidfd has ended, whatever is going on here."""

    def watch() -> None:
        select.select([parent], [], [])
        end()

    threading.Thread(target=watch, daemon=True).start()


def open_many_files() -> None:
    """Let this process have as many descriptors as it may: a place takes half a dozen."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Lab:
    """What the process holds: nothing at first, then the namespaces of one network."""

    def __init__(self) -> None:
        self.sender: Sender | None = None
        self.clock = stamped_from_now_on()

    def carry_out(self, asked: Blueprint | Order) -> object:
        """Build, or send one packet; return what came of it, be it an error."""
        try:
            if isinstance(asked, Blueprint):
                built = build(asked)
                self.sender = Sender(built.spaces, tuple(m.place for m in asked.machines if REJECT in m.rules))
                return built.mended
            assert self.sender is not None, "a lab is built before a packet is sent"
            return self.sender.send(asked)
        except LabError as error:
            return error
        except Exception as error:
            return LabError(f"the lab's process failed ({type(error).__name__}: {error}): {INSTEAD}")


def main(parent: int) -> None:
    """Carry out what comes by standard input, until it closes."""
    end_with(parent)
    open_many_files()
    lab = Lab()
    while True:
        try:
            asked = read(sys.stdin.buffer)
        except EOFError:
            end()
        write(sys.stdout.buffer, lab.carry_out(asked))
