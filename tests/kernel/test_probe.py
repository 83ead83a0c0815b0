"""What a lab cannot do is said in one sentence, with the way out."""

import os
import platform
import resource
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from flannelviz.controlplane.timeline import build
from flannelviz.errors import LabError
from flannelviz.importers.kubectl import read_kubectl
from flannelviz.kernel import Lab, cannot_hold, probe, why_not
from flannelviz.kernel.tools import PLUGINS, PROGRAMS, run
from flannelviz.tables import Link
from flannelviz.topologies import article, article_plan, large, plan

REAL = Path(__file__).parents[1] / "data" / "real"


def test_another_system_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert why_not() == (
        "a lab is made of Linux namespaces, and this system is Darwin: "
        "use the record of one, flannelviz.kernel.recorded(), instead"
    )


def test_an_empty_path_names_the_programs_and_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        LabError,
        match="a lab needs unshare, ip, bridge, iptables-restore, iptables-save, not found in PATH: "
        "apt-get install util-linux iproute2 iptables, or use the record",
    ):
        Lab(article())


def test_missing_plugins_name_their_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if probe._tool_missing() is not None and "CNI" not in str(probe._tool_missing()):
        pytest.skip(str(probe._tool_missing()))
    monkeypatch.setenv("CNI_PATH", str(tmp_path))
    assert f"not found in {tmp_path}: apt-get install containernetworking-plugins" in str(why_not())
    for name in PLUGINS:
        (tmp_path / name).touch(mode=0o755)
    assert "containernetworking-plugins" not in str(why_not())


def test_variables_may_change_while_it_is_asked() -> None:
    """As other threads of a notebook do, and pytest does between two tests."""
    over = threading.Event()

    def change() -> None:
        names = [f"FLANNELVIZ_CHANGES_{number}" for number in range(400)]
        while not over.is_set():
            os.environ.update(dict.fromkeys(names, "now"))
            for name in names:
                del os.environ[name]

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(20):
            probe._refusal("link")
    finally:
        over.set()
        changing.join()


def test_a_machine_that_forbids_namespaces_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    no = "echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1"
    for name, text in (("unshare", no), *((name, "exit 0") for name in PROGRAMS if name != "unshare")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    for name in PLUGINS:
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CNI_PATH", str(tmp_path))
    with pytest.raises(LabError, match=r"this machine forbids .* \(unshare: unshare failed: Operation not permitted\)"):
        Lab(article())


def test_an_interrupt_typed_at_the_terminal_is_no_refusal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A terminal interrupts its foreground process group, and with it whoever asks; what it asks goes on."""
    own_group = "import os, sys; sys.exit(os.getpgrp() != os.getpid())"
    (tmp_path / "unshare").write_text(f"#!/bin/sh\nexec {sys.executable} -c '{own_group}'\n")
    (tmp_path / "unshare").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert probe._refusal("link", "show") is None


def test_a_network_too_large_for_the_arp_table_is_refused(refusal: str | None) -> None:
    reason = cannot_hold(large(40, 20))
    assert reason is not None
    assert reason.startswith("40 ECS and 800 pods need about 1,680 ARP entries, and this kernel has room for ")
    assert reason.endswith("in all namespaces together: build fewer, or raise net.ipv4.neigh.default.gc_thresh3")
    if refusal is None:
        with pytest.raises(LabError, match="need about 1,680 ARP entries"):
            Lab(large(40, 20))


def test_a_network_of_a_hundred_pods_fits() -> None:
    assert cannot_hold(build(plan(10, 10)).network) is None


def test_a_network_with_more_places_than_open_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    assert cannot_hold(build(plan(10, 10)).network) == (
        "112 places need about 996 open files, and a process may have 256: build fewer, or raise it"
    )


def test_a_kernel_whose_bridges_iptables_does_not_see_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(probe, "BRIDGE_SETTINGS", tmp_path / "bridge")
    assert cannot_hold(article()) == (
        "node-a has net.bridge.bridge-nf-call-iptables = 1, and this kernel has no br_netfilter: "
        "run modprobe br_netfilter"
    )


@pytest.mark.parametrize(("used", "fits"), [(1010, True), (1011, False)])
def test_the_entries_of_other_labs_leave_less_room(
    used: int, fits: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "used").write_text(f"entries  allocs\n{used:08x} 00000001\n")
    (tmp_path / "most").write_text("1024\n")
    monkeypatch.setattr(probe, "ARP_IN_USE", tmp_path / "used")
    monkeypatch.setattr(probe, "NEIGH", tmp_path / "most")
    assert (cannot_hold(article()) is None) is fits
    if not fits:
        words = "3 ECS and 4 pods need about 14 ARP entries, and this kernel has room for 13 in all namespaces together"
        assert str(cannot_hold(article())).startswith(words)


def test_an_imported_network_tells_too_little() -> None:
    network = read_kubectl(REAL / "oke-vxlan-25").network
    assert cannot_hold(network) == (
        "the input does not tell all tables of 10.0.4.2, and a lab needs every one: use a network that was built"
    )


def test_a_device_that_no_lab_builds_is_named() -> None:
    tables = article().tables("node-a")
    strange = article().writing("node-a", tables.adding(Link("ipip0", "ipip")))  # type: ignore[arg-type]
    assert cannot_hold(strange) == "ipip0 of node-a is a ipip device, and a lab builds none of that kind yet"


def test_a_kernel_without_vxlan_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    no = "echo 'Error: Unknown device type.' >&2; exit 2"
    for name, text in (("unshare", 'while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"'), ("ip", no)):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cannot_hold(build(replace(article_plan(), backend="vxlan")).network) == (
        "flannel.1 of node-a is a vxlan device, and this kernel makes none (Error: Unknown device type.): "
        "run modprobe vxlan"
    )


def test_a_program_that_fails_is_quoted() -> None:
    with pytest.raises(LabError, match="sh -c echo no >&2; exit 3 failed: no"):
        run(["sh", "-c", "echo no >&2; exit 3"])


def test_a_failing_plugin_ends_the_lab_in_its_own_words(refusal: str | None) -> None:
    if refusal is not None:
        pytest.skip(refusal)
    tables = article().tables("node-a")
    assert tables.lan is not None
    netconf = {**tables.lan.netconf, "ipam": {"type": "host-local", "subnet": "172.16.0.128/31"}}
    wrong = article().writing("node-a", replace(tables, lan=replace(tables.lan, netconf=netconf)))
    with pytest.raises(LabError, match="bridge failed: .*too small to allocate from"):
        Lab(wrong)
