"""host-local, the IPAM plugin: podCIDR -> pod address, one file for each. Control plane, pod stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network
from itertools import chain, filterfalse, islice

from flannelviz.controlplane.failure import Failure
from flannelviz.model import usable_pod_ips
from flannelviz.tables import File, HostLocal, Lan, Origin

HOST_LOCAL = "host-local"
STATE = "/var/lib/cni/networks"


@lru_cache(maxsize=4096)
def container_id(pod: str) -> str:
    """Return the id of a pod's sandbox container: 64 hex digits, random there, from the pod's name here."""
    return sha256(pod.encode()).hexdigest()


def reserve(ipam: HostLocal, pod: str) -> tuple[HostLocal, IPv4Address] | Failure:
    """Return `ipam` with one more address held, and that address, or the failure of an exhausted range.

    Source: containernetworking/plugins plugins/ipam/host-local/backend/allocator/allocator.go.
    """
    if not usable_pod_ips(ipam.subnet.prefixlen):
        return Failure(HOST_LOCAL, f"Network {ipam.subnet} too small to allocate from")
    after, (got,) = reserve_all(ipam, (pod,))
    return exhausted(ipam.subnet) if got is None else (after, IPv4Address(got))


def reserve_all(ipam: HostLocal, pods: Sequence[str]) -> tuple[HostLocal, list[int | None]]:
    """Return `ipam` after one reservation for each of `pods`, and their addresses in order.

    Shape: each search starts behind the last address reserved and wraps once; None for every pod after the last
    free address.
    """
    held = dict(ipam.held)
    fresh = list(islice(filterfalse(held.__contains__, _from_cursor(ipam)), len(pods)))
    held.update(zip(fresh, pods, strict=False))
    last = fresh[-1] if fresh else ipam.last_reserved
    return HostLocal(ipam.subnet, held, last), [*fresh, *(None for _ in range(len(pods) - len(fresh)))]


def _from_cursor(ipam: HostLocal) -> Iterator[int]:
    base = int(ipam.subnet.network_address)
    first, end = base + 2, base + ipam.subnet.num_addresses - 1
    start = first if ipam.last_reserved is None else ipam.last_reserved + 1
    return chain(range(start, end), range(first, min(start, end)))


def exhausted(subnet: IPv4Network) -> Failure:
    """Return what host-local says when `subnet` is full; the range that it prints includes the gateway."""
    text = f"no IP addresses available in range set: {subnet[1]}-{subnet[-2]}"
    return Failure(HOST_LOCAL, f"failed to allocate for range 0: {text}")


def release(ipam: HostLocal, pod: str) -> HostLocal:
    """Return `ipam` without any address of `pod`; the cursor stays, and an unknown pod changes nothing."""
    kept = {address: holder for address, holder in ipam.held.items() if holder != pod}
    return replace(ipam, held=kept)


def host_local_files(lan: Lan) -> tuple[File, ...]:
    """Return the files in which host-local remembers: one for each address held, and the cursor.

    Source: containernetworking/plugins plugins/ipam/host-local/backend/disk/backend.go.
    """
    files = [address_file(lan, address, pod) for address, pod in lan.ipam.held.items()]
    if lan.ipam.last_reserved is not None:
        origin = Origin(HOST_LOCAL, "reserves an address", "the next search starts behind this one")
        last = str(IPv4Address(lan.ipam.last_reserved))
        files.append(File(f"{_folder(lan)}/last_reserved_ip.0", last, origin))
    return tuple(files)


def _folder(lan: Lan) -> str:
    return f"{STATE}/{lan.netconf['name']}"


def address_file(lan: Lan, address: int, pod: str) -> File:
    """Return the file by which host-local holds `address`: named after it, with the container id inside."""
    origin = Origin(HOST_LOCAL, f"ADD {pod}", f"pod {pod} needs an address")
    return File(f"{_folder(lan)}/{IPv4Address(address)}", container_id(pod), origin)


def held_address(ipam: HostLocal, pod: str) -> int | None:
    """Return the address that host-local holds for `pod`, the latest if there are several, or None."""
    return next((address for address, holder in reversed(tuple(ipam.held.items())) if holder == pod), None)
