"""Whom to ask what a real kernel does with a packet: the one of this machine, or where that may not be, the record."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import NamedTuple

from flannelviz.errors import LabError, UnknownPlaceError
from flannelviz.kernel.agree import agrees
from flannelviz.kernel.lab import Lab
from flannelviz.kernel.probe import why_not
from flannelviz.kernel.record import HEALTHY, Ends, Record, Situation
from flannelviz.network import Network
from flannelviz.packet import Trace

HOP = re.compile(r"^(?P<way>request|reply), hop (?P<hop>\d+)")  # how a difference says where it is

MOST_LABS = 8  # kept, of 12 MB each: taking one down holds up the next that is built


class Witness:
    """A real kernel that answers for one network, as it is or with a fault in it.

    `broken(network, fault, target)` puts the fault in. Without a `record`, only a lab answers. `says` tells in a
    sentence who gave the last answer, and `live` whether it was this machine.
    """

    def __init__(
        self, network: Network, broken: Callable[[Network, str, str], Network], record: Record | None = None
    ) -> None:
        self.network, self._broken, self._record = network, broken, record
        self._labs: dict[Situation, Lab] = {}
        # Each packet is the first of its flow, so the same one need not be sent again.
        self._seen: dict[tuple[Situation, Ends], Trace] = {}
        self._refusal = why_not()

    def __repr__(self) -> str:
        return f"<Witness of {self.network!r}>"

    @property
    def live(self) -> bool:
        """Return whether this machine's own kernel answers."""
        return self._refusal is None

    @property
    def says(self) -> str:
        """Return in one sentence which kernel answers, and why if it is not the one of this machine."""
        if self._refusal is None:
            return f"Live: the kernel of this machine, {platform.system()} {platform.release()}, carried the packet."
        if self._record is None:
            return f"No kernel can be asked: {self._refusal}."
        return f"From the record of {self._record.kernel}, because {_reason(self._refusal)}."

    def trace(self, source: str, destination: str, *, fault: str = "", target: str = "") -> Trace:
        """Return the journey of a ping, as a kernel was seen to carry it.

        Raises: LabError if neither a lab nor the record can tell; UnknownPlaceError, FaultError.
        """
        situation = (fault, self.network.place(target)) if fault else HEALTHY
        if self._refusal is None:
            try:
                return self._live(situation, (source, destination))
            except LabError as error:
                self.close()
                self._refusal = str(error)
        if self._record is None:
            raise LabError(self._refusal)
        return self._record.trace(self._name(source), self._name(destination), situation)

    def close(self) -> None:
        """End the labs, if there are any; the next question starts another."""
        while self._labs:
            self._labs.popitem()[1].close()

    def _live(self, situation: Situation, ends: Ends) -> Trace:
        if (situation, ends) not in self._seen:
            self._seen[situation, ends] = self._lab_in(situation).trace(ends[0], self._sought(situation, ends[1]))
        return self._seen[situation, ends]

    def _sought(self, situation: Situation, destination: str) -> str | IPv4Address:
        """Return the receiver, or the address that it had before, where a fault has left it without one."""
        name = self._name(destination)
        lost = name in self.network.pods and self._lab_in(situation).network.address(name) is None
        return self.network.address(name) or name if lost else destination

    def _lab_in(self, situation: Situation) -> Lab:
        lab = self._labs.pop(situation, None)
        if lab is None:
            lab = Lab(self.network if situation == HEALTHY else self._broken(self.network, *situation))
        self._labs[situation] = lab  # the last one asked is the last one to go
        while len(self._labs) > MOST_LABS:
            self._labs.pop(next(iter(self._labs))).close()
        return lab

    def _name(self, place: str) -> str:
        try:
            return self.network.place(place)
        except UnknownPlaceError:
            return place  # an address, which the record may know or not


def _reason(refusal: str) -> str:
    """Return what is in the way, without the advice how to clear it."""
    return refusal.rpartition(": ")[0] or refusal


class Parting(NamedTuple):
    """The first hop at which two traces of one packet differ, counted from 1, and in what, in words."""

    hop: int
    words: tuple[str, ...]


def parting(model: Trace, kernel: Trace) -> Parting | None:
    """Return where the traces of one packet part, or None if they agree."""
    words = agrees(model, kernel)
    if not words:
        return None
    there = len(model.request)
    named = next((found for found in map(HOP.match, words) if found), None)  # the request's come first
    if named is None:
        return Parting(len(model.hops) if words[0].startswith("reply ends") else there, words[:1])
    hop = int(named["hop"]) + (there if named["way"] == "reply" else 0)
    return Parting(hop, tuple(one for one in words if one.startswith((f"{named[0]} ", f"{named[0]}:"))))
