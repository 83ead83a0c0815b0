"""Where a packet died without a word, and what the kernel knows of it there: counters, rules, devices, routes."""

from __future__ import annotations

import errno
import fcntl
import re
import socket
import struct
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

from flannelviz.kernel.blueprint import Delivery, Observation, Order, Sighting
from flannelviz.kernel.namespaces import inside
from flannelviz.kernel.router import CHECKED, NO_ERRORS, NO_OWNER, NOBODY, NOT_ADMITTED, UNTRANSLATED
from flannelviz.kernel.tools import program, run
from flannelviz.model import INTERNET, VPC
from flannelviz.packet import Disposition
from flannelviz.tables import CNI0, LO

ARP_TABLE, OVERFLOWS = Path("/proc/net/stat/arp_cache"), 12  # one table for all namespaces; a column of it
NET = Path("/proc/thread-self/net")
# What is counted of drops, by file. Source: net/ipv4/route.c, ip_error and ip_route_input; fib_frontend.c.
ADDRESS_ERROR, REVERSE_PATH, TOO_OLD = "InAddrErrors", "IPReversePathFilter", "InHdrErrors"
NO_ROUTES = ("InNoRoutes", "OutNoRoutes")
FILES = {"snmp": (ADDRESS_ERROR, TOO_OLD, NO_ROUTES[1]), "netstat": (REVERSE_PATH, NO_ROUTES[0])}
TX_DROPPED, TX_CARRIER = 11, 14  # columns of /proc/net/dev, its name aside
DROPPED, UNROUTED = "dropped by ", "not carried by "  # and a device; a tunnel does not carry what it has no route for
TUNNEL, PORT = "flannel.", "veth"  # how the devices begin
QUESTION = "arp 1"  # the kind of a sighting: who has
REJECT = "-j REJECT"
REFUSING = ("-j DROP", REJECT)
FILTER = "filter"
TABLES = ("raw", FILTER)  # those that refuse
COMMENT = re.compile(r'--comment "?(?P<why>[^"]+?)"? -j')
RULE, POLICY = "-A ", ":"  # how a rule begins, and a chain with its policy
DOWN, WITHOUT_CARRIER = " is down", " has no carrier"  # behind a device
NO_WAY, BROADCAST, OWN = "no route to ", "broadcast address ", "own address "  # and an address
ASKED = {errno.ENETUNREACH: NO_WAY, errno.EHOSTUNREACH: NO_WAY, errno.EACCES: BROADCAST}
SIOCGIFFLAGS, IFF_UP = 0x8913, 0x1  # include/uapi/linux/sockios.h, if.h
SIOCETHTOOL, ETHTOOL_GLINK = 0x8946, 0x0A  # include/uapi/linux/ethtool.h


def silent_end(order: Order, observed: Observation) -> str | None:
    """Return the place where a packet or its answer was seen last; None if it arrived, or what became of it shows.

    Shape: an ICMP error shows it, and an own question for a neighbour where no device ever carried the packet.
    """
    if observed.error or observed.reply_error or any(_answers(one, order) for one in observed.delivered):
        return None
    last = last_seen(order, observed)
    place = last.place if last else _arrived(observed) or order.place
    here = [s for s in observed.sightings if s.place == place and s.dev != LO]
    told = any(s.out and s.kind.startswith("icmp ") for s in here) or (last is None and any(own_questions(here)))
    return None if told else place


def own_questions(here: Iterable[Sighting]) -> Iterator[str]:
    """Return which neighbours a place asked for itself: a question that came in before is one that it passed on."""
    passed: set[tuple[str, str]] = set()
    for seen in here:
        if seen.kind == QUESTION and not seen.out:
            passed.add((seen.src, seen.dst))
        elif seen.kind == QUESTION and (seen.src, seen.dst) not in passed:
            yield seen.dst


def last_seen(order: Order, observed: Observation) -> Sighting | None:
    """Return the last sighting of the request, or of the answer if it arrived; None if there is none."""
    kind = "request" if _arrived(observed) is None else "reply"
    return next((s for s in reversed(observed.sightings) if s.kind == kind and not overheard(s)), None)


def _arrived(observed: Observation) -> str | None:
    return next((one.place for one in observed.delivered if one.kind == "request"), None)


def _answers(one: Delivery, order: Order) -> bool:
    return one.kind == "reply" and one.place == order.place


def overheard(seen: Sighting) -> bool:
    """Return whether a pod only heard a frame that its bridge flooded."""
    return seen.other_host and "/" in seen.place


# --- what is counted -------------------------------------------------------------------------------------------------


def counts(space: int) -> dict[str, int]:
    """Return what a namespace has counted so far of packets that it dropped."""
    found: Counter[str] = Counter()
    with inside(space):
        for name, count in chain(_stack(), _devices(), _rules()):
            found[name] += count  # rules of one name add up
    return found


def grown(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[str, ...]:
    """Return the names of what was counted in between."""
    return tuple(name for name, count in after.items() if count > before.get(name, 0))


def _stack() -> Iterator[tuple[str, int]]:
    for file, wanted in FILES.items():
        lines = (NET / file).read_text().splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            pairs = zip(names.split(), values.split(), strict=True)
            yield from ((name, int(value)) for name, value in pairs if name in wanted)


def _devices() -> Iterator[tuple[str, int]]:
    for line in (NET / "dev").read_text().splitlines()[2:]:
        dev, _, columns = line.partition(":")
        words = columns.split()
        yield f"{DROPPED}{dev.strip()}", int(words[TX_DROPPED])
        yield f"{UNROUTED}{dev.strip()}", int(words[TX_CARRIER])


def rejections(space: int) -> int:
    """Return how many packets a namespace has rejected so far."""
    with inside(space):
        return sum(_packets(line.partition(" ")[0]) for line in _counted(FILTER) if REJECT in line)


def _counted(table: str) -> list[str]:
    """Return the rules and policies of a table with their counters."""
    return run([program("iptables-save") or "iptables-save", "-c", "-t", table]).splitlines()


def _rules() -> Iterator[tuple[str, int]]:
    """Return the count of each rule that refuses, and of each policy that does."""
    for line in chain.from_iterable(map(_counted, TABLES)):
        if line.startswith(POLICY) and " DROP " in line:
            words, _, counter = line.rpartition(" ")
            yield words, _packets(counter)
        elif line.startswith("[") and any(target in line for target in REFUSING):
            counter, _, words = line.partition(" ")
            said = COMMENT.search(words) if "-A " in words else None
            yield said["why"] if said and said["why"] in (*ROUTERS, NO_ERRORS) else words, _packets(counter)


def _packets(counter: str) -> int:
    return int(counter.strip("[]").partition(":")[0])


def overflows() -> int:
    """Return how often the kernel's ARP table was full; a packet whose neighbour finds no room in it is dropped."""
    rows = ARP_TABLE.read_text().splitlines()[1:] if ARP_TABLE.exists() else []
    return sum(int(row.split()[OVERFLOWS], 16) for row in rows)


# --- what can be asked -----------------------------------------------------------------------------------------------


def state(space: int, dst: str, src: str | None) -> tuple[str, ...]:
    """Return which devices of a namespace carry nothing, and what its kernel has against two addresses."""
    with inside(space), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        devices = tuple(said for _, dev in socket.if_nameindex() if (said := _device(sock, dev)) is not None)
        against = ASKED.get(sock.connect_ex((dst, 9)))
        own = (f"{OWN}{src}",) if src is not None and _is_own(src) else ()
        return (*devices, *own, *((f"{against}{dst}",) if against else ()))


def _is_own(address: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, suppress(OSError):
        sock.bind((address, 0))
        return True
    return False


def _device(sock: socket.socket, dev: str) -> str | None:
    answer = fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16sH14x", dev.encode(), 0))
    (flags,) = struct.unpack_from("H", answer, 16)
    if not flags & IFF_UP:
        return f"{dev}{DOWN}"
    return None if _has_carrier(sock, dev) else f"{dev}{WITHOUT_CARRIER}"


def _has_carrier(sock: socket.socket, dev: str) -> bool:
    """Return whether a device has a carrier, as it is at this moment; one that cannot say has one."""
    asked = array("I", (ETHTOOL_GLINK, 1))
    with suppress(OSError):
        fcntl.ioctl(sock, SIOCETHTOOL, struct.pack("16sP16x", dev.encode(), asked.buffer_info()[0]))
    return bool(asked[1])


# --- what it means ---------------------------------------------------------------------------------------------------

ROUTERS = {  # what a rule of the router says in its comment
    CHECKED: Disposition.SOURCE_REJECTED,
    UNTRANSLATED: Disposition.SOURCE_REJECTED,
    NOT_ADMITTED: Disposition.SOURCE_REJECTED,
    NOBODY: Disposition.UNDELIVERABLE,
    NO_OWNER: Disposition.UNDELIVERABLE,
}
COUNTED = (
    *ROUTERS.items(),
    (RULE, Disposition.DENIED),
    (POLICY, Disposition.DENIED),
    (REVERSE_PATH, Disposition.SOURCE_REJECTED),
    (ADDRESS_ERROR, Disposition.FORWARDING_DISABLED),
    (TOO_OLD, Disposition.TTL_EXCEEDED),
)
ABOUT_ADDRESSES = (
    *((name, Disposition.NO_ROUTE) for name in NO_ROUTES),
    (BROADCAST, Disposition.UNDELIVERABLE),
    (OWN, Disposition.SOURCE_REJECTED),
)
UNSEEN = (*ABOUT_ADDRESSES[:2], (NO_WAY, Disposition.NO_ROUTE))
Cause = tuple[str, Disposition]


def cause(known: Sequence[str], last: Sighting | None) -> Cause | None:
    """Return what ended a packet that was seen last as `last`, in the kernel's words and in ours; None: not known."""
    if last is not None and last.place == INTERNET:  # a host outside forwards nothing; it has a way back or none
        return _first(known, UNSEEN)
    counted = _first(known, COUNTED)
    if counted is not None:
        return counted
    if last is None:
        return _first(known, UNSEEN) or _dead_device(known)
    if last.place == VPC:
        came = UNSEEN if last.out else ABOUT_ADDRESSES
        return _at_the_door(known, last) or _first(known, came) or _dead_device(known)
    return (_on_the_way_out if last.out else _at_the_door)(known, last) or _first(known, ABOUT_ADDRESSES)


def _first(known: Sequence[str], meanings: Iterable[Cause]) -> Cause | None:
    return next(((said, end) for begins, end in meanings for said in known if said.startswith(begins)), None)


def _dead_device(known: Sequence[str]) -> Cause | None:
    said = next((said for said in known if said.endswith((DOWN, WITHOUT_CARRIER))), None)
    return (said, Disposition.LINK_DOWN) if said else None


def _on_the_way_out(known: Sequence[str], last: Sighting) -> Cause | None:
    """Return why a packet that left by a device got no further: a bridge without a port for it, a tunnel, a veth."""
    if last.dev == CNI0:
        return f"behind no port of {CNI0}", Disposition.UNDELIVERABLE
    if f"{UNROUTED}{last.dev}" in known:
        return f"{UNROUTED}{last.dev}", Disposition.NO_ROUTE
    if f"{DROPPED}{last.dev}" in known:
        return f"{DROPPED}{last.dev}", (
            Disposition.UNDELIVERABLE if last.dev.startswith(TUNNEL) else Disposition.MTU_EXCEEDED
        )
    return None


def _at_the_door(known: Sequence[str], last: Sighting) -> Cause | None:
    """Return why a frame that came in by a device went no further up: its bridge, or another's MAC."""
    if any(said.startswith(BROADCAST) for said in known) and f"{CNI0}{WITHOUT_CARRIER}" in known:
        return None
    if last.dev.startswith(PORT) and f"{CNI0}{WITHOUT_CARRIER}" in known:  # it is no port of the bridge any more
        return f"{CNI0}{WITHOUT_CARRIER}", Disposition.LINK_DOWN
    if last.dev.startswith(PORT):
        down = f"{CNI0}{DOWN}"
        if down in known:
            return down, Disposition.LINK_DOWN
        return f"not passed on by {CNI0}", Disposition.UNDELIVERABLE
    if last.dev == LO and last.inner is not None:  # drivers/net/vxlan, vxlan_rcv: it ignores what comes back
        return "a tunnel's own packet", Disposition.UNDELIVERABLE
    return (f"a frame for {last.dst_mac}", Disposition.UNDELIVERABLE) if last.other_host else None
