"""Values through a pipe, between a lab and the process that holds its namespaces."""

from __future__ import annotations

import pickle
import struct
from typing import Any, BinaryIO

LENGTH = struct.Struct("!I")


def write(pipe: BinaryIO, value: object) -> None:
    """Send a value through a pipe."""
    data = pickle.dumps(value)
    pipe.write(LENGTH.pack(len(data)) + data)
    pipe.flush()


def read(pipe: BinaryIO) -> Any:
    """Return the next value from a pipe.

    Raises: EOFError if the other end is closed.
    """
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    return pickle.loads(pipe.read(LENGTH.unpack(head)[0]))
