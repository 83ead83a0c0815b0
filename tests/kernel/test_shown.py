"""What the views print of a place is what the tools print there, in a lab with the same fault."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flannelviz.controlplane.happenings import DeletePod
from flannelviz.controlplane.timeline import build
from flannelviz.dataplane.trace import trace
from flannelviz.faults import break_network
from flannelviz.kernel import Lab
from flannelviz.network import Network
from flannelviz.topologies import article, article_plan
from flannelviz.views.text import bridge_fdb, bridge_link, ip_addr, ip_neigh, ip_route, with_learned
from tests.kernel.conftest import MakeLab

PLACES = ("node-a", "default/a1", "default/a2", "node-b")
SOON = 3.0  # seconds: the kernel tells of a lost carrier at most once a second

LAST_POD_GONE = """
ip link add cni0 type bridge && ip addr add 172.16.0.129/25 dev cni0 && ip link set cni0 up
ip link add veth1 type veth peer name far && ip link set far up && ip link set veth1 master cni0 up
sleep 0.2 && ip link del veth1 && sleep 1.5 && ip -br addr show cni0 && ip route
"""


def inside(lab: Lab, namespace: str, command: str) -> str:
    user = f"--user=/proc/{lab._process.pid}/ns/user"
    words = ["nsenter", user, "--preserve-credentials", f"--net={namespace}", *command.split()]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def namespaces(lab: Lab) -> Iterator[str]:
    held = Path(f"/proc/{lab._process.pid}/fd").iterdir()
    yield from (str(fd) for fd in held if str(fd.readlink() if fd.is_symlink() else "").startswith("net:"))


def namespace_of(lab: Lab, place: str) -> str:
    address = f" {lab.network.address(place)}/"
    return next(found for found in namespaces(lab) if address in inside(lab, found, "ip -br addr"))


def told(network: Network, place: str) -> dict[str, list[str]]:
    tables = network.tables(place)
    return {
        "ip route": ip_route(tables, network=network).splitlines(),
        "ip -br addr": named(ip_addr(network, place)),
        "bridge link": named(bridge_link(tables, network)),
    }


def named(text: str) -> list[str]:
    """The lines, without the numbers of the devices: a lab has other ones, and its eth0 is the end of a wire."""
    return sorted(" ".join(re.sub(r"^\d+: |@\w+", "", line).split()) for line in text.splitlines())


def seen(lab: Lab, namespace: str) -> dict[str, list[str]]:
    printed = {command: inside(lab, namespace, command) for command in ("ip route", "ip -br addr", "bridge link")}
    routes = [line.strip() for line in printed["ip route"].splitlines()]
    return {"ip route": routes, **{name: named(printed[name]) for name in ("ip -br addr", "bridge link")}}


def forwarding(lab: Lab, namespace: str) -> list[str]:
    """What `bridge fdb` prints, without the multicast groups that every device is in."""
    printed = (line.strip() for line in inside(lab, namespace, "bridge fdb").splitlines())
    return [row for row in printed if not row.startswith(("33:33:", "01:00:5e:"))]


@pytest.mark.parametrize(
    ("fault", "target"),
    [
        (None, None),
        ("veth-host-down", "a1"),
        ("cni0-down", "node-a"),
        ("eth0-down", "node-a"),
        ("veth-detached", "a1"),
        ("cni0-missing", "node-a"),
    ],
)
def test_routes_and_states_are_those_of_the_kernel(make_lab: MakeLab, fault: str | None, target: str | None) -> None:
    network = break_network(article(), fault, target) if fault else article()
    lab = make_lab(network)
    for place in PLACES:
        namespace, wanted = namespace_of(lab, place), told(network, place)
        deadline = time.monotonic() + SOON
        while seen(lab, namespace) != wanted and time.monotonic() < deadline:
            time.sleep(0.1)
        assert seen(lab, namespace) == wanted, place
        own = [row for row in forwarding(lab, namespace) if row.endswith(" permanent")]
        assert bridge_fdb(network.tables(place)).splitlines() == own, place


def test_a_bridge_whose_last_pod_is_gone_has_no_carrier(refusal: str | None) -> None:
    if refusal is not None:
        pytest.skip(refusal)
    words = ["unshare", "-rUn", "sh", "-ec", LAST_POD_GONE]
    state, route = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    network = build(article_plan()).then(DeletePod("a1"), DeletePod("a2")).network
    ours = next(line for line in ip_addr(network, "node-a").splitlines() if line.startswith("cni0"))
    assert ours.split() == state.split()[:3] == ["cni0", "DOWN", "172.16.0.129/25"]
    assert route.strip() in ip_route(network.tables("node-a"))
    assert route.strip().endswith("linkdown")


@pytest.mark.parametrize(("source", "destination"), [("a1", "a2"), ("a1", "b1"), ("node-a", "a1")])
def test_what_a_journey_taught_is_what_the_kernel_holds(make_lab: MakeLab, source: str, destination: str) -> None:
    network = article()
    lab = make_lab(network)
    assert lab.trace(source, destination).ok
    taught = with_learned(network, trace(network, source, destination).learned)
    for place in PLACES:
        namespace, tables = namespace_of(lab, place), taught.tables(place)
        assert sorted(ip_neigh(tables).splitlines()) == named(inside(lab, namespace, "ip neigh")), place
        assert set(bridge_fdb(tables).splitlines()) <= set(forwarding(lab, namespace)), place
