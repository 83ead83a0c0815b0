"""Sending one real packet, and waiting until its answer is there or nothing moves any more."""

from __future__ import annotations

import errno
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from flannelviz.errors import LabError
from flannelviz.kernel.blueprint import SPENT, Delivery, Observation, Order, Sighting
from flannelviz.kernel.echo import Echo
from flannelviz.kernel.forget import Lesson, forget, learn
from flannelviz.kernel.frames import Wanted, echo_request, tcp_syn, udp_payload
from flannelviz.kernel.namespaces import inside
from flannelviz.kernel.silence import counts, grown, last_seen, overflows, rejections, silent_end, state
from flannelviz.kernel.watch import PROTOCOLS, Watch, heard, sightings, whole

QUIET = 0.08  # seconds without a frame after which a packet counts as lost; ARP gives up within 0.05
TRIES = 4  # times that a packet is sent once more, for a Service may send each another way
LONGEST = 2.0  # seconds: a packet that loops makes itself heard all the time
IP_MTU_DISCOVER, PMTUDISC_DONT, PMTUDISC_DO = 10, 0, 2  # include/uapi/linux/in.h
NET_UNREACHABLE, BURST = "icmp 3/0", 5  # for each sender, and one a second: net/ipv4/route.c, ip_error
IP_AND_ICMP, IP_AND_UDP, IP_AND_TCP = 28, 28, 40  # bytes of headers


TABLE_FULL = (
    "the kernel's ARP table, one for all namespaces together, was full, so packets were dropped: "
    "close other labs, build fewer pods, or raise net.ipv4.neigh.default.gc_thresh3"
)


class Sender:
    """All namespaces of a lab, and what sends and hears in them."""

    def __init__(self, spaces: Mapping[str, int], rejecting: Sequence[str] = ()) -> None:
        self.spaces = spaces
        self.rejecting = rejecting  # the places with a rule that does
        self.watch = Watch(spaces)
        self.echo = Echo(spaces, self.watch.poll)
        self.learned: dict[str, Lesson] = {}  # since the places were made to forget
        self.unreachable: Counter[tuple[str, str]] = Counter()  # how often each place said so, and to whom
        self.count = 0
        self.overflows = overflows()

    def send(self, order: Order) -> Observation:
        """Send one packet and return all that was seen of it; where it died in silence, what is known there.

        To know that, the packet is sent once more, and it is the last one of which all is told: places remember it.
        """
        observed = self._once(order)
        for _ in range(TRIES):
            place = silent_end(order, observed)
            if place is not None or observed.error == errno.ENOBUFS:
                self._check_room()
            if place is None:
                break
            before = counts(self.spaces[place])
            observed = self._once(order)
            if silent_end(order, observed) == place:
                known = grown(before, counts(self.spaces[place]))
                known = (*known, *self._state(order, observed, place), *self._spent(order, observed, place))
                return observed._replace(known=known, place=place)
        return observed

    def _check_room(self) -> None:
        """Raise LabError if the kernel's ARP table has been full since the last look."""
        before, self.overflows = self.overflows, overflows()
        if self.overflows > before:
            raise LabError(TABLE_FULL)

    def _state(self, order: Order, observed: Observation, place: str) -> tuple[str, ...]:
        last = last_seen(order, observed)
        asker = next((one.src for one in observed.delivered if one.kind == "request"), order.dst)
        return state(self.spaces[place], last.dst if last else asker, last.src if last else None)

    def _spent(self, order: Order, observed: Observation, place: str) -> tuple[str, ...]:
        """Return that a place has told the sender so often that a net is unreachable that it may say no more."""
        last = last_seen(order, observed)
        told = last is not None and self.unreachable[place, last.src] >= BURST
        return (f"{SPENT}{last.src}",) if told and last is not None else ()

    def _once(self, order: Order) -> Observation:
        self._prepare(order)
        wanted = Wanted(PROTOCOLS[order.proto], self.count, order.dport, order.behind)
        before = self._rejections()
        with inside(self.spaces[order.place]), _socket(order.proto) as sock:
            error = _send(sock, order, self.count)
            observed = self._observe(order, wanted, error)
        return observed._replace(rejected=grown(before, self._rejections()))

    def _rejections(self) -> dict[str, int]:
        """Return how many packets each place has rejected so far."""
        return {place: rejections(self.spaces[place]) for place in self.rejecting}

    def _prepare(self, order: Order) -> None:
        learn(self.learned, self.watch.drain(), 0)
        if not order.warm:
            for place, lesson in self.learned.items():
                forget(self.spaces[place], lesson)
            self.learned = {}
            self.watch.drain()
        if not order.served:
            self.echo.close()
        for port in (order.dport, *order.behind) if order.served else ():
            self.echo.listen(order.proto, port)
        self.echo.error = 0
        self.count = self.count % 0xFFFF + 1

    def _observe(self, order: Order, wanted: Wanted, error: int) -> Observation:
        seen: list[Sighting] = []
        delivered: list[Delivery] = []
        deadline = time.monotonic() + LONGEST
        while not _answered(order, delivered) and time.monotonic() < deadline:
            ready = self.watch.ready(0.0 if error else QUIET)
            if not ready:
                break
            for descriptor in ready:
                self._read(descriptor, wanted, seen, delivered)
        for descriptor in self.watch.ready(0):
            self._read(descriptor, wanted, seen, [])
        seen = whole(seen)
        told = [s for s in seen if s.kind.startswith(NET_UNREACHABLE)]
        passed_on = {s.place for s in told if not s.out}
        self.unreachable.update({(s.place, s.dst) for s in told if s.out and s.place not in passed_on})
        learn(self.learned, seen, wanted.proto)
        if order.proto == "tcp" and not _answered(order, delivered):
            self.echo.start_again()
        return Observation(tuple(sorted(seen, key=_when)), tuple(delivered), error, self.echo.error)

    def _read(self, descriptor: int, wanted: Wanted, seen: list[Sighting], delivered: list[Delivery]) -> None:
        """Read what one descriptor has to tell, or answer it if it is a server."""
        if descriptor in self.echo.callers:
            self.echo.answer(descriptor)
            return
        post, name = self.watch.by_fd[descriptor]
        if name == "wire":
            seen.extend(sightings(post, wanted))
        else:
            delivered.extend(heard(post, name, wanted))


def _answered(order: Order, delivered: Sequence[Delivery]) -> bool:
    return any(one.kind == "reply" and one.place == order.place for one in delivered)


def _when(sighting: Sighting) -> int:
    return sighting.time


def _socket(proto: str) -> socket.socket:
    if proto == "udp":
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, PROTOCOLS[proto])


def _send(sock: socket.socket, order: Order, count: int) -> int:
    """Send the packet, and return the number of the error that this gave, or 0."""
    discover = PMTUDISC_DO if order.dont_fragment else PMTUDISC_DONT
    sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, discover)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, order.ttl)
    try:
        if order.proto == "udp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("0.0.0.0", order.sport))
        sock.sendto(_body(order, count), (order.dst, order.dport if order.proto == "udp" else 0))
    except OSError as error:
        return error.errno or 0
    return 0


def _body(order: Order, count: int) -> bytes:
    if order.proto == "udp":
        return udp_payload(order.size - IP_AND_UDP, count)
    if order.proto == "icmp":
        return echo_request(order.sport, count, order.size - IP_AND_ICMP)
    return tcp_syn(_source(order), order.dst, (order.sport, order.dport), count, max(order.size - IP_AND_TCP, 0))


def _source(order: Order) -> str:
    """Return the address from which the kernel would send, which a TCP checksum covers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect((order.dst, order.dport))
        return str(asking.getsockname()[0])
