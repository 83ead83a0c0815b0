"""Whether a lab can run on this machine, and whether it can hold this network: one sentence where it cannot."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from flannelviz.kernel.tools import (
    PLUGINS,
    PLUGINS_PACKAGE,
    PROGRAMS,
    plugin_folder,
    plugin_folders,
    program,
    variables,
)
from flannelviz.network import Network
from flannelviz.tables import VNI, VXLAN_PORT, Tables

NAMESPACES = ("--user", "--map-root-user", "--net", "--mount")
INSTEAD = "use the record of one, flannelviz.kernel.recorded(), instead"
BRIDGE_NF = "net.bridge.bridge-nf-call-iptables"
BRIDGE_SETTINGS = Path("/proc/sys/net/bridge")
NEIGH = Path("/proc/sys/net/ipv4/neigh/default/gc_thresh3")
ARP_IN_USE = Path("/proc/net/stat/arp_cache")
FILES_EACH = 8  # descriptors for each place: its namespace, four sockets that listen, servers
ARP_ENTRIES = 1024  # the kernel's default of gc_thresh3
BUILT = frozenset({"loopback", "device", "bridge", "veth", "vxlan"})


def why_not() -> str | None:
    """Return in one sentence why no lab can run on this machine, or None if one can."""
    return _wrong_system() or _tool_missing() or _forbidden()


def _wrong_system() -> str | None:
    system = platform.system()
    if system == "Linux":
        return None
    return f"a lab is made of Linux namespaces, and this system is {system or 'unknown'}: {INSTEAD}"


def _tool_missing() -> str | None:
    missing = [name for name in PROGRAMS if program(name) is None]
    if missing:
        packages = " ".join(dict.fromkeys(PROGRAMS[name] for name in missing))
        return f"a lab needs {', '.join(missing)}, not found in PATH: apt-get install {packages}, or {INSTEAD}"
    if plugin_folder() is None:
        return (
            f"a lab needs the CNI plugins {', '.join(PLUGINS)}, not found in {' or '.join(plugin_folders())}: "
            f"apt-get install {PLUGINS_PACKAGE}, or name their folder in CNI_PATH, or {INSTEAD}"
        )
    return None


def _forbidden() -> str | None:
    said = _refusal("link", "add", "type", "bridge")
    if said is None:
        return None
    return f"this machine forbids namespaces to its users ({said}): allow user namespaces, or {INSTEAD}"


def _refusal(*words: str) -> str | None:
    """Return the words with which `ip`, in a namespace of its own, is refused something; None if it is not.

    Shape: in a process group of its own, so that an interrupt typed at the terminal is not taken for a refusal.
    """
    command = [program("unshare") or "unshare", *NAMESPACES, program("ip") or "ip", *words]
    done = subprocess.run(command, capture_output=True, text=True, process_group=0, env=variables())
    if done.returncode == 0:
        return None
    return " ".join(done.stderr.split()) or f"unshare ended with {done.returncode}"


def cannot_hold(network: Network) -> str | None:
    """Return in one sentence why a lab cannot hold this network, or None if it can."""
    whys = (_untold, _not_built, _too_large, _too_many_files)
    return next((reason for why in whys if (reason := why(network)) is not None), None)


def _linux_places(network: Network) -> dict[str, Tables]:
    return {place: network.tables(place) for place in network.ecs_places()}


def _untold(network: Network) -> str | None:
    places = [place for place, tables in _linux_places(network).items() if tables.unknown]
    if network.vpc.unknown or not network.vpc.route_tables:
        places.append("the VPC")
    if not places:
        return None
    return f"the input does not tell all tables of {places[0]}, and a lab needs every one: use a network that was built"


def _not_built(network: Network) -> str | None:
    for place, tables in _linux_places(network).items():
        strange = next((link for link in tables.fixed_links if link.kind not in BUILT), None)
        if strange is not None:
            return f"{strange.name} of {place} is a {strange.kind} device, and a lab builds none of that kind yet"
        if tables.sysctl(BRIDGE_NF) and not BRIDGE_SETTINGS.exists():
            return f"{place} has {BRIDGE_NF} = 1, and this kernel has no br_netfilter: run modprobe br_netfilter"
    return _no_tunnel(network)


def _no_tunnel(network: Network) -> str | None:
    tunnels = (
        (place, link)
        for place, tables in _linux_places(network).items()
        for link in tables.fixed_links
        if link.kind == "vxlan"
    )
    place, link = next(tunnels, ("", None))
    said = _refusal("link", "add", "type", "vxlan", "id", str(VNI), "dstport", str(VXLAN_PORT)) if link else None
    if link is None or said is None:
        return None
    return f"{link.name} of {place} is a vxlan device, and this kernel makes none ({said}): run modprobe vxlan"


def _too_large(network: Network) -> str | None:
    pods = sum(not pod.host_network for pod in network.pods.values())
    ecs = len(network.ecs_places())
    needed, room = 2 * (pods + ecs), _room()
    if needed <= room:
        return None
    return (
        f"{ecs} ECS and {pods} pods need about {needed:,} ARP entries, and this kernel has room for {room:,} "
        "in all namespaces together: build fewer, or raise net.ipv4.neigh.default.gc_thresh3"
    )


def _too_many_files(network: Network) -> str | None:
    import resource  # Linux has it

    places = len(network.ecs_places()) + len(network.pods) + 2
    needed, (_, most) = FILES_EACH * places + 100, resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY or needed <= most:
        return None
    return (
        f"{places} places need about {needed:,} open files, and a process may have {most:,}: build fewer, or raise it"
    )


def _room() -> int:
    """Return how many more ARP entries the kernel holds."""
    most = int(NEIGH.read_text()) if NEIGH.exists() else ARP_ENTRIES
    used = int(ARP_IN_USE.read_text().splitlines()[1].split()[0], 16) if ARP_IN_USE.exists() else 0
    return max(most - used, 0)
