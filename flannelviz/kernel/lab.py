"""A lab: a process that holds the namespaces of one network, started without root and gone with its owner."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from ipaddress import IPv4Address
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast
from weakref import finalize

from flannelviz.errors import AddressPlanError, LabError, PacketError, UnknownPlaceError
from flannelviz.kernel.blueprint import Observation, Order
from flannelviz.kernel.drawing import blueprint
from flannelviz.kernel.pipe import read, write
from flannelviz.kernel.probe import NAMESPACES, cannot_hold, why_not
from flannelviz.kernel.router import OUTSIDE_ADDRESS
from flannelviz.kernel.story import Names, story
from flannelviz.kernel.tools import program, variables
from flannelviz.model import INTERNET, VPC, parse_address
from flannelviz.network import Network
from flannelviz.packet import PING_SIZE, Packet, Trace, check

DPORT = 20000  # where somebody listens when no port is asked for
START = "import sys; sys.path.insert(0, {root!r}); from flannelviz.kernel.child import main; main({parent})"
ROOT = Path(__file__).parents[2]
ENDED = "the lab has ended, its process is gone: make a new Lab"
NOT_STARTED = "the lab's process ended before the lab was built; its last words are on standard error"


class Lab:
    """The namespaces of one network. A context manager; `close()` ends it, and so does the end of its owner, however.

    Raises: LabError, in one sentence, where this machine runs no lab or this network does not fit into one.
    """

    def __init__(self, network: Network) -> None:
        reason = why_not() or cannot_hold(network)
        if reason:
            raise LabError(reason)
        drawn = blueprint(network)
        self.network = network
        self.names = Names.of(drawn)
        self._behind = _behind(network)
        self._lock = threading.Lock()
        self._process = _start()
        self._pipes = cast(BinaryIO, self._process.stdin), cast(BinaryIO, self._process.stdout)
        self.close = finalize(self, _end, self._process, os.getpid())
        self.mended: tuple[str, ...] = self._ask(drawn)  # what the tables have and the plugins had not made

    def __repr__(self) -> str:
        return f"<Lab of {self.network!r}, process {self._process.pid}>"

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def trace(
        self,
        source: str,
        destination: str | IPv4Address,
        *,
        proto: str = "icmp",
        sport: int = 40000,
        dport: int = 0,
        ttl: int = 64,
        size: int = PING_SIZE,
        dont_fragment: bool = True,
        served: bool = True,
        warm: bool = False,
    ) -> Trace:
        """Send a real packet and return the journey that was seen, in the same words as the model's.

        Shape: one Hop for each place. Without `served` nobody listens anywhere. Without `warm` every place first
        forgets what traffic taught it, as a trace of the model starts with a fresh `Learned`. Units: as in
        dataplane.trace.
        Raises: UnknownPlaceError, PacketError as the model's trace; LabError if the lab has ended.
        """
        place = self._namespace(self.network.place(source))
        dst = self._address(destination)
        check(Packet(None, dst, proto, sport, dport, ttl, size, dont_fragment))
        if proto != "icmp":
            dport = dport or DPORT
        order = Order(place, str(dst), proto, sport, dport, ttl, size, dont_fragment, warm, self._behind, served)
        observed = self._ask(order)
        assert isinstance(observed, Observation)
        return story(self.network.place(source), order, observed, self.names)

    def _ask(self, order: object) -> Any:
        """Return the answer of the lab's process; whatever disturbs a talk with it, an interrupt too, ends the lab."""
        with self._lock:
            try:
                write(self._pipes[0], order)
                answer = read(self._pipes[1])
            except (EOFError, OSError, ValueError):
                self.close()
                raise LabError(ENDED if isinstance(order, Order) else NOT_STARTED) from None
            except BaseException:
                self.close()
                raise
        if isinstance(answer, LabError):
            if not isinstance(order, Order):
                self.close()
            raise answer
        return answer

    def _namespace(self, place: str) -> str:
        """Return the place whose namespace a packet from `place` starts in: a hostNetwork pod uses its node's."""
        if place == VPC:
            raise UnknownPlaceError(f"no program runs in the {VPC}; send from a pod, an ECS or {INTERNET}")
        pod = self.network.pods.get(place)
        name = pod.node if pod is not None and pod.host_network and pod.node is not None else place
        if name not in self.names.places:
            raise UnknownPlaceError(f"{place} has no namespace in this lab: it was never wired")
        return name

    def _address(self, destination: str | IPv4Address) -> IPv4Address:
        if not isinstance(destination, (str, IPv4Address)):
            raise PacketError(f"the destination {destination!r} is neither a name nor an IPv4 address")
        if isinstance(destination, str) and destination.lower() == INTERNET.lower():
            return IPv4Address(OUTSIDE_ADDRESS)
        try:
            return parse_address(destination)
        except AddressPlanError:
            found = self.network.address(str(destination))
        if found is None:
            raise UnknownPlaceError(f"{destination} has no address yet, so nothing can be sent to it; name another")
        return found


def _behind(network: Network) -> tuple[int, ...]:
    """Return the ports to which some DNAT rule leads, so that somebody listens there."""
    tables = (network.tables(place) for place in network.ecs_places())
    rules = (rule for found in tables for chain in found.chains for rule in chain.rules)
    return tuple(sorted({rule.to[1] for rule in rules if rule.to is not None and rule.to[1] is not None}))


def _start() -> subprocess.Popen[bytes]:
    """Start the lab's process: root in a user namespace of its own, which is all that it is root of.

    It has a session of its own, so that an interrupt typed at the terminal does not reach it, and a pidfd of this
    process, so that it sees it end in whatever way.
    """
    parent = os.pidfd_open(os.getpid())
    try:
        code = START.format(root=str(ROOT), parent=parent)
        command = [program("unshare") or "unshare", *NAMESPACES, sys.executable, "-I", "-S", "-c", code]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, stdin=pipe, stdout=pipe, pass_fds=(parent,), start_new_session=True, env=variables()
        )
    finally:
        os.close(parent)


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    """End the lab's process, and with it every namespace; a process that its owner has forked ends nothing."""
    if os.getpid() != owner:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    process.wait()
