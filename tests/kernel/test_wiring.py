"""What the real plugins make is what the tables say: in a healthy network nothing of it needs mending."""

from typing import Any

import pytest

from flannelviz.controlplane.timeline import build
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
