"""Ranges of private addresses: what is taken, what is free, and how an error message offers it.

Control plane; it writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network

PRIVATE = (IPv4Network("10.0.0.0/8"), IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16"))  # RFC 1918
CUSTOMARY = (PRIVATE[1], PRIVATE[0], PRIVATE[2])  # where ACK's own defaults for pods and services lie comes first


def inside(network: IPv4Network, around: IPv4Network) -> bool:
    """Return whether `network` equals `around` or lies in it."""
    if network.prefixlen < around.prefixlen:
        return False
    shift = 32 - around.prefixlen
    return int(network.network_address) >> shift == int(around.network_address) >> shift


def is_private(network: IPv4Network) -> bool:
    """Return whether `network` lies in one of the blocks of RFC 1918."""
    return any(inside(network, around) for around in PRIVATE)


def free_network(
    masks: Iterable[int], taken: Iterable[IPv4Network], pools: tuple[IPv4Network, ...] = CUSTOMARY
) -> IPv4Network | None:
    """Return the first network of `pools` that overlaps none of `taken`, of the first mask for which there is one."""
    spans = sorted((int(t.network_address), int(t.broadcast_address)) for t in taken)
    found = (_first_gap(pool, mask, spans) for mask in masks for pool in pools if mask >= pool.prefixlen)
    return next((network for network in found if network is not None), None)


def _first_gap(pool: IPv4Network, mask: int, spans: list[tuple[int, int]]) -> IPv4Network | None:
    size = 1 << (32 - mask)
    start = int(pool.network_address)
    for low, high in spans:
        if high >= start and low < start + size:
            start = (high // size + 1) * size
    return IPv4Network((start, mask)) if start + size - 1 <= int(pool.broadcast_address) else None


def offer(network: IPv4Network | None) -> str:
    """Return how an error message ends: with a network that passes, where there is one."""
    return f"take {network}" if network else "make room first, for nothing of this size is free there"


def either(choices: Iterable[object]) -> str:
    """Return `choices` in one line: a, b or c."""
    *some, last = map(str, choices)
    return f"{', '.join(some)} or {last}" if some else last
