"""Who answers an ARP request, and behind which bridge port a MAC lives. Reads tables."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import NamedTuple

from flannelviz.dataplane.lookup import local_address, route_for, vpc_fib
from flannelviz.model import VPC, derived_mac
from flannelviz.network import Network
from flannelviz.tables import ETH0, Eni, Link, Port, Tables, device_setting, veth_name

# Every frame that an ECS gets from the VPC, and every ARP answer, carries this MAC.
# Source: public ECS packet captures; Terway hard-codes it.
FABRIC_MAC = "ee:ff:ff:ff:ff:ff"
DERIVED_PREFIX = "0a:58:"


class Question(NamedTuple):
    """An ARP request: who has `target`? Tell `sender`."""

    target: IPv4Address
    sender: IPv4Address | None


def answer(network: Network, place: str, link: Link, question: Question) -> str | None:
    """Return the MAC that answers a request sent out of `link`, or None when nobody does."""
    if link.kind == "bridge":
        return _ask_ports(network, network.tables(place), question, asker=None)
    if link.peer is None:
        return None
    if link.peer[0] == VPC:
        return _ask_the_vpc(network, question)
    return _ask_far_end(network, link.peer, question)


def _ask_the_vpc(network: Network, question: Question) -> str | None:
    """Return the fabric's own MAC for every address of a vSwitch, there or not; a switch passes the question on."""
    target = question.target
    entry, _ = vpc_fib(network.vpc).decide(int(target))
    if entry is None or entry.next_hop_type != "local":
        return None
    if target == entry.dst[-3]:
        return FABRIC_MAC
    eni = network.vpc.enis.get(target)
    if network.vpc.fabric == "switch":
        return eni.mac if eni is not None and _takes(network, eni, question) else None
    return FABRIC_MAC if eni is not None or network.vpc.answers_all_arp else None


def _takes(network: Network, eni: Eni, question: Question) -> bool:
    tables = network.tables(eni.place)
    link = tables.link(eni.device)
    return link is not None and link.up and answers(tables, link.name, question)


def _ask_far_end(network: Network, peer: tuple[str, str], question: Question) -> str | None:
    place, dev = peer
    tables = network.tables(place)
    link = tables.link(dev)
    if link is None or not link.up:
        return None
    if link.master is None:
        return link.mac if answers(tables, link.name, question) else None
    bridge = tables.link(link.master)
    if bridge is None or not bridge.up:
        return None
    if answers(tables, bridge.name, question):
        return bridge.mac
    return _ask_ports(network, tables, question, asker=dev)


def answers(tables: Tables, dev: str, question: Question) -> bool:
    """Return whether a place answers on `dev`: for any own address (arp_ignore 0), if it lets the sender in.

    Source: net/ipv4/arp.c, arp_process: it asks for the route, which refuses an own address and what rp_filter does;
    an address on lo is one of them, all but 127.0.0.0/8.
    """
    if question.target.is_loopback or local_address(tables, question.target) is None:
        return False
    if question.sender is not None and local_address(tables, question.sender) is not None:
        return False
    return question.sender is None or reverse_path_ok(tables, dev, question.sender, question.target)


def reverse_path_ok(
    tables: Tables, dev: str, source: IPv4Address, dst: IPv4Address, out_dev: str | None = None
) -> bool:
    """Return whether rp_filter, where it is on, accepts `source` arriving on `dev` for `dst`.

    `out_dev` is the device by which it goes on, None where it stays: its rules decide about the way back. A device
    without an address is held to the strict mode whatever is set.
    Source: kernel Documentation/networking/ip-sysctl, the effective value is the larger of `all` and the device's;
    net/ipv4/fib_frontend.c, __fib_validate_source.
    """
    mode = max(tables.sysctl(device_setting(each, "rp_filter")) for each in ("all", dev))
    if mode == 0:
        return True
    back, _ = route_for(tables, source, dst, out_dev)
    loose = mode == 2 and any(address.dev == dev for address in tables.addresses)
    return back is not None and (loose or back.dev == dev)


def _ask_ports(network: Network, tables: Tables, question: Question, asker: str | None) -> str | None:
    """Return the MAC of the first pod on this bridge that owns the target."""
    for port, pod_link in _live_ports(network, tables, _given(tables, question.target)):
        if veth_name(port.pod) == asker:
            continue
        if answers(network.tables(port.pod), ETH0, question):
            return pod_link.mac
    return None


def port_of(network: Network, tables: Tables, mac: str) -> Link | None:
    """Return the bridge port behind which `mac` lives, or None; what the FDB learns from the first frame."""
    for port, pod_link in _live_ports(network, tables, _given(tables, _address_in(mac))):
        if pod_link.mac == mac:
            return tables.link(veth_name(port.pod))
    return None


def _address_in(mac: str) -> IPv4Address | None:
    """Return the address from which a CNI plugin derived `mac`, or None."""
    if not mac.startswith(DERIVED_PREFIX):
        return None
    found = IPv4Address(bytes.fromhex(mac[len(DERIVED_PREFIX) :].replace(":", "")))
    return found if derived_mac(found) == mac else None


def _given(tables: Tables, address: IPv4Address | None) -> Port | None:
    """Return the port whose pod was given `address` by IPAM: the likely answer, found without asking every pod."""
    if tables.lan is None or address is None:
        return None
    by_address: dict[int, Port] | None = tables.memo.get("ports by address")
    if by_address is None:
        by_address = tables.memo["ports by address"] = {p.ip: p for p in tables.lan.ports if p.ip is not None}
    return by_address.get(int(address))


def _live_ports(network: Network, tables: Tables, likely: Port | None) -> Iterator[tuple[Port, Link]]:
    """Return the ports worth asking, with the pod's end of the wire: both ends up, the host end on the bridge."""
    for port in (*((likely,) if likely else ()), *_rewired(network, tables)):
        pod_link = network.tables(port.pod).link(ETH0)
        if port.up and port.attached and pod_link is not None and pod_link.up:
            yield port, pod_link


def _rewired(network: Network, tables: Tables) -> tuple[Port, ...]:
    """Return the ports of pods whose tables were changed by hand, and may own anything."""
    if tables.lan is None:
        return ()
    key = f"rewired on {tables.lan.node}"
    found: tuple[Port, ...] | None = network.memo.get(key)
    if found is None:
        found = network.memo[key] = tuple(p for p in tables.lan.ports if p.pod in network.written)
    return found
