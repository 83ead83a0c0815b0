"""Programs that answer: in each namespace somebody listens on the port that is asked for. ICMP the kernel answers."""

from __future__ import annotations

import select
import socket
from collections.abc import Mapping

from flannelviz.kernel.frames import ANSWER, ASK
from flannelviz.kernel.namespaces import inside

IP_PKTINFO = 8  # include/uapi/linux/in.h
LARGEST = 65535


class Echo:
    """Listeners at every place: a TCP one completes no more than the first half of a handshake, a UDP one answers."""

    def __init__(self, spaces: Mapping[str, int], poll: select.epoll) -> None:
        self.spaces, self.poll = spaces, poll
        self.ports: set[tuple[str, int]] = set()
        self.servers: list[tuple[int, int, socket.socket]] = []  # namespace, port, the TCP server there
        self.callers: dict[int, socket.socket] = {}  # UDP servers, by descriptor
        self.error = 0  # the number of the error that the last answer met

    def listen(self, proto: str, port: int) -> None:
        """See to it that somebody listens on `port` everywhere."""
        if proto == "icmp" or (proto, port) in self.ports:
            return
        self.ports.add((proto, port))
        for space in self.spaces.values():
            with inside(space):
                server = _tcp(port) if proto == "tcp" else _udp(port)
            if proto == "tcp":
                self.servers.append((space, port, server))
            else:
                self.callers[server.fileno()] = server
                self.poll.register(server.fileno(), select.EPOLLIN)

    def close(self) -> None:
        """Have nobody listen any more, anywhere."""
        for server in (*(server for _, _, server in self.servers), *self.callers.values()):
            server.close()
        self.ports, self.servers, self.callers = set(), [], {}

    def start_again(self) -> None:
        """Put new TCP servers in the place of the old ones, which remember handshakes of which nothing came."""
        old, self.servers = self.servers, []
        for space, port, server in old:
            server.close()
            with inside(space):
                self.servers.append((space, port, _tcp(port)))

    def answer(self, descriptor: int) -> None:
        """Answer what has come to one UDP server, from the address to which it was sent."""
        server = self.callers[descriptor]
        data, extra, _, caller = server.recvmsg(LARGEST, 64)
        info = next(value for _, kind, value in extra if kind == IP_PKTINFO)
        source = bytes(4) + info[4:8] + bytes(4)  # any device; of a broadcast, the address that answers for it
        body = ANSWER + data[1:] if data[:1] == ASK else data
        try:
            server.sendmsg([body], [(socket.IPPROTO_IP, IP_PKTINFO, source)], 0, caller)
        except OSError as error:
            self.error = error.errno or 0


def _tcp(port: int) -> socket.socket:
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("0.0.0.0", port))
    server.listen(16)
    return server


def _udp(port: int) -> socket.socket:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    server.bind(("0.0.0.0", port))
    server.setblocking(False)
    return server
