"""Blueprint -> namespaces, by the programs that do it on a real node: ip, iptables-restore and the CNI plugins."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from flannelviz.errors import LabError, WiringError
from flannelviz.kernel.blueprint import Blueprint, Machine, Plug
from flannelviz.kernel.namespaces import enter, inside, new, own_disk
from flannelviz.kernel.tools import bridge_batch, ip_batch, plugin_folder, program, run

T = TypeVar("T")
WORKERS = 3
STATE = "/var/lib/cni/networks"
LOCK_FOLDER = "/run"  # where iptables-legacy leaves a file
DISK = ("/var/lib", LOCK_FOLDER)  # where host-local and the plugins' iptables leave files
SETTINGS = Path("/proc/sys")
LOOPBACK_NETCONF = '{"cniVersion": "0.3.1", "name": "lo", "type": "loopback"}'
# A new namespace takes these from the machine around it, and a lab shall not depend on that.
NEUTRAL = (
    ("net/ipv4/ip_forward", "0"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    ("net/ipv4/conf/default/send_redirects", "0"),
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/icmp_ratelimit", "0"),  # each lost packet shall have its ICMP error
    ("net/ipv4/icmp_ratemask", "0"),  # and leave the tokens of its sender to route.c, ip_error
    ("net/ipv4/icmp_msgs_per_sec", "10000"),
    ("net/ipv4/icmp_msgs_burst", "10000"),
    ("net/ipv6/conf/all/disable_ipv6", "1"),
    ("net/ipv6/conf/default/disable_ipv6", "1"),
    ("net/bridge/bridge-nf-call-iptables", "0"),
)


class Built(NamedTuple):
    """A descriptor of each place's namespace, and what had to be changed where the plugins had been."""

    spaces: dict[str, int]
    mended: tuple[str, ...]  # such as "node-a: addr del 172.16.0.1/25 dev cni0"


def build(blueprint: Blueprint) -> Built:
    """Return the namespaces of all places, wired as the blueprint says.

    Raises: LabError if a program fails, or the kernel holds something else in the end than the blueprint.
    """
    spaces = {machine.place: _prepared() for machine in blueprint.machines}
    _lay_cables(blueprint, spaces)
    pods = {plug.pod for machine in blueprint.machines for plug in machine.plugs}
    hosts = [machine for machine in blueprint.machines if machine.place not in pods]
    guests = [machine for machine in blueprint.machines if machine.place in pods]
    _each(hosts, lambda machine: _set_up(machine, spaces))
    mended = _each(guests, lambda machine: _finish(machine, spaces[machine.place]))
    mended += _each(hosts, lambda machine: _finish(machine, spaces[machine.place]))
    _each([machine for machine in blueprint.machines if machine.settled], lambda machine: _settle(machine, spaces))
    return Built(spaces, tuple(line for lines in mended for line in lines))


def _each(machines: Sequence[Machine], work: Callable[[Machine], T]) -> list[T]:
    """Do `work` for each machine, some at a time; each thread is thrown away with the namespaces it is in."""
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(work, machines))


def _prepared() -> int:
    space = new()
    with inside(space):
        write_settings((name, value) for name, value in NEUTRAL if (SETTINGS / name).exists())
    return space


def write_settings(settings: Iterable[tuple[str, str]]) -> None:
    """Write kernel settings of this thread's namespace.

    Raises: LabError if this kernel has no such setting.
    """
    for name, value in settings:
        try:
            (SETTINGS / name).write_text(value)
        except FileNotFoundError:
            raise LabError(f"this kernel has no setting {name.replace('/', '.')}, and the network needs it") from None


def _lay_cables(blueprint: Blueprint, spaces: Mapping[str, int]) -> None:
    for place in dict.fromkeys(cable.place for cable in blueprint.cables):
        cables = [cable for cable in blueprint.cables if cable.place == place]
        far = [spaces[cable.far_place] for cable in cables]
        with inside(spaces[place]):
            ip_batch(
                [cable.line.format(far=f"/proc/self/fd/{space}") for cable, space in zip(cables, far, strict=True)],
                keep=far,
            )


def _set_up(machine: Machine, spaces: Mapping[str, int]) -> None:
    """Make a machine's own devices, then plug in its pods, one after the other as a kubelet does."""
    enter(spaces[machine.place])
    if machine.plugs:
        own_disk(*DISK)
    ip_batch(machine.first)
    before: str | None = None
    for plug in machine.plugs:
        before = _plug_in(machine, plug, spaces[plug.pod], before)


def _plug_in(machine: Machine, plug: Plug, space: int, before: str | None) -> str:
    """Run the plugins' ADD for one pod, then name its veth as the tables do; return its address.

    host-local hands out the address behind the last one; where the tables have another, its cursor is moved first.
    """
    if plug.address is not None and plug.address != _next(before):
        _move_cursor(json.loads(machine.netconf)["name"], plug.address)
    devices = _devices()
    _add("loopback", LOOPBACK_NETCONF, plug, space, "lo")
    got = _address(json.loads(_add("bridge", machine.netconf, plug, space, "eth0")))
    if plug.address not in (None, got):
        raise LabError(f"host-local gave {got} to {plug.pod}, and its tables say {plug.address}")
    (made,) = (name for name in _devices() - devices if name.startswith("veth"))
    named = f"link set {made} name {plug.veth} address {plug.veth_mac}"
    ip_batch((f"link set {made} down", named, f"link set {plug.veth} up"))
    return got


def _devices() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


def _next(address: str | None) -> str | None:
    if address is None:
        return None
    head, _, last = address.rpartition(".")
    return f"{head}.{int(last) + 1}"


def _move_cursor(network: str, address: str) -> None:
    head, _, last = address.rpartition(".")
    folder = Path(STATE) / network
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "last_reserved_ip.0").write_text(f"{head}.{int(last) - 1}")


def _address(result: Mapping[str, Any]) -> str:
    """Return the pod's address from a plugin's answer, of CNI 0.2.0 and before or of a later version."""
    text = result["ip4"]["ip"] if "ip4" in result else result["ips"][0]["address"]
    return str(text).partition("/")[0]


def _add(plugin: str, netconf: str, plug: Plug, space: int, device: str) -> str:
    folder = plugin_folder() or ""
    variables = {
        "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": plug.container,
        "CNI_NETNS": f"/proc/self/fd/{space}",
        "CNI_IFNAME": device,
        "CNI_PATH": folder,
    }
    return run([f"{folder}/{plugin}"], netconf, keep=(space,), env=variables)


def _finish(machine: Machine, space: int) -> tuple[str, ...]:
    """Make a machine what its tables say, where the plugins have left it otherwise; return what that took."""
    changed: list[str] = []
    with inside(space):
        told = _told(machine.then)
        if machine.addresses is not None and told.addresses != machine.addresses:
            changed += (lines := _changes("addr", told.addresses, machine.addresses))
            told = _told(lines)
        if machine.routes is not None and told.routes != machine.routes:
            changed += (lines := _changes("route", told.routes, machine.routes))
            told = _told(lines)
            _check_routes(machine, told.routes)
        if machine.rules:
            own_disk(LOCK_FOLDER)
            run([program("iptables-restore") or "iptables-restore"], machine.rules)
        write_settings(machine.settings)
        bridge_batch(machine.fdb)
        ip_batch(machine.last)
    return tuple(f"{machine.place}: {line}" for line in changed)


def _settle(machine: Machine, spaces: Mapping[str, int]) -> None:
    """Have the kernel notice at once which devices have a carrier, where it would take up to a second.

    Source: net/core/rtnetlink.c, rtnl_getlink: who asks for a device gets it as it will be.
    """
    with inside(spaces[machine.place]):
        ip_batch(f"link show dev {dev}" for dev in machine.settled)


class Told(NamedTuple):
    """What `ip addr` and `ip route` say in a namespace."""

    addresses: frozenset[str]
    routes: frozenset[str]


def _told(lines: Iterable[str]) -> Told:
    """Return what the kernel holds after `lines`."""
    said = ip_batch((*lines, "addr show", "route show")).splitlines()
    addresses = [line.split() for line in said if line[0].isdigit() and line.partition(" ")[0].endswith(":")]
    routes = [line for line in said if not line.partition(" ")[0].endswith(":")]
    return Told(
        frozenset(f"{words[3]} dev {words[1]}" for words in addresses),
        frozenset(line.replace(" linkdown", "").strip() for line in routes),
    )


def _changes(kind: str, there: frozenset[str], wanted: frozenset[str]) -> list[str]:
    """Return what to delete and to add. Shape: what a gateway is reached by comes before what goes through it.

    A route is put before one to the same place: what flanneld writes is there before the kernel's own of cni0.
    """
    added = sorted(wanted - there, key=lambda row: (" via " in row, row))
    gone = sorted(there - wanted, key=lambda row: (" via " not in row, row))
    return [
        *(f"{kind} del {row}" for row in gone),
        *(f"{kind} {'prepend' if kind == 'route' else 'add'} {row}" for row in added),
    ]


def _check_routes(machine: Machine, there: frozenset[str]) -> None:
    if machine.routes is not None and there != machine.routes:
        wrong = ", ".join(sorted(there ^ machine.routes))
        raise WiringError(f"the kernel of {machine.place} and its tables differ in the routes {wrong}")
