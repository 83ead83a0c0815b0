"""Network namespaces without a name: a file descriptor holds each, and it is gone with the process that has it."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from flannelviz.errors import LabError

# Source: include/uapi/linux/sched.h, include/uapi/linux/mount.h
CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _unshare(kind: int, limit: str) -> None:
    """Move this thread into a namespace that did not exist before.

    Raises: LabError if there are as many as `limit` allows. Source: kernel/ucount.c, inc_ucount.
    """
    try:
        _check(_libc.unshare(kind), "unshare")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise LabError(
            f"there are as many namespaces as {limit} allows: close other labs, build fewer pods, or raise it"
        ) from None


def current() -> int:
    """Return a descriptor of the network namespace that this thread is in."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def enter(namespace: int) -> None:
    """Move this thread into a network namespace; processes that it starts are born there."""
    _check(_libc.setns(namespace, CLONE_NEWNET), "setns")


@contextmanager
def inside(namespace: int) -> Iterator[None]:
    """Be in a network namespace for a while: sockets that are made meanwhile belong to it."""
    home = current()
    try:
        enter(namespace)
        yield
    finally:
        enter(home)
        os.close(home)


def new() -> int:
    """Return a descriptor of a network namespace that did not exist before; this thread stays where it is.

    Raises: LabError if the kernel makes no more of them.
    """
    home = current()
    try:
        _unshare(CLONE_NEWNET, "user.max_net_namespaces")
        return current()
    finally:
        enter(home)
        os.close(home)


def own_disk(*folders: str) -> None:
    """Give this thread, and the processes that it starts, empty `folders` that nobody else sees.

    Raises: LabError if the kernel makes no more namespaces.
    """
    _unshare(CLONE_NEWNS, "user.max_mnt_namespaces")
    for folder in folders:
        _check(_libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, None), f"mount {folder}")
