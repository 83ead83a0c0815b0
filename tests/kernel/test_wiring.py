"""What the real plugins make is what the tables say: in a healthy network nothing of it needs mending."""

from typing import Any

import pytest

from flannelviz.controlplane.timeline import build
from flannelviz.faults import break_network
from flannelviz.kernel.router import router
from flannelviz.topologies import plan
from tests.kernel.conftest import MakeLab

HEALTHY: tuple[dict[str, Any], ...] = (
    {},
    {"hairpin": True},
    {"mtu": 1400},
    {"backend": "ali-vpc"},
    {"backend": "host-gw"},
    {"backend": "host-gw", "fabric": "switch"},
    {"backend": "vxlan"},
)


@pytest.mark.parametrize("changes", HEALTHY, ids=lambda changes: " ".join(map(str, changes.values())) or "alloc")
def test_the_plugins_need_no_mending(changes: dict[str, Any], make_lab: MakeLab) -> None:
    lab = make_lab(build(plan(2, 2, **changes)).network)
    ours = [line for line in lab.mended if "dev cni0" in line or line.startswith("default/")]
    assert ours == []
    assert any("dev eth0" in line for line in lab.mended), "no plugin gives an ECS its address"


@pytest.mark.parametrize(("fault", "settled"), [("eth0-down", ("ecs1",)), ("cni0-down", ())])
@pytest.mark.parametrize("changes", [{}, {"mtu": 1400}], ids=str)
def test_a_port_whose_far_end_is_down_is_asked_for_its_carrier(
    fault: str, settled: tuple[str, ...], changes: dict[str, Any]
) -> None:
    """Else the first packet may still be sent into it: a busy kernel notes a lost carrier later (link_watch.c)."""
    network = build(plan(2, 2, **changes)).network
    assert router(break_network(network, fault, "node-b")).settled == settled
