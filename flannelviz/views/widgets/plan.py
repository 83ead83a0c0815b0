"""Change the address plan and see what fits: the three allocations, how full they are, and the cluster it makes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Network
from typing import Any

import ipywidgets as widgets

from flannelviz.errors import AddressPlanError
from flannelviz.model import ClusterPlan, VSwitch, parse_network, usable_pod_ips
from flannelviz.network import Network
from flannelviz.views.markup import picture_html, table_html, what_went_wrong
from flannelviz.views.scene import scene
from flannelviz.views.svg import svg
from flannelviz.views.widgets.conflicts import NAMES, conflicts
from flannelviz.views.widgets.fields import NumberBox, dropdown, text_box
from flannelviz.views.widgets.fullness import bars_svg, levels_say, levels_table
from flannelviz.views.widgets.panel import Field, Panel, button, controls, guarded, quietly

MASKS = [(f"/{mask} ({1 << (32 - mask)})", mask) for mask in range(24, 29)]
MOST_NODES, MOST_PODS = 5000, usable_pod_ips(24)
MOST_IN_ALL = 150_000  # pods; beyond that a notebook is the wrong place
SLOW = 5_000  # nodes and pods from which building takes long enough to show that it goes on
RANGES = ("VPC CIDR", "vSwitch", "cluster CIDR", "service CIDR")
KEPT = "The picture still shows the last plan that works."


class PlanExplorer(Panel):
    """The console's questions about addresses, and what the answers lead to.

    `plan(nodes, pods_per_node, **fields)` makes a ClusterPlan, `build(plan, strict=False)` a timeline with `network`
    and `warnings`, `allocation(network)` counts; `cluster` is the network that is shown.
    """

    def __init__(
        self,
        *,
        plan: Callable[..., ClusterPlan],
        build: Callable[..., Any],
        allocation: Callable[[Network], Any],
        nodes: int = 3,
        pods_per_node: int = 2,
    ) -> None:
        self._plan, self._build, self._allocation = plan, build, allocation
        self.fields = {name: Field(control) for name, control in _controls(plan(nodes, pods_per_node)).items()}
        self._defaults = self._values()
        self.reset = button("Reset", self._on_reset, "back to the values at the start")
        self.progress = widgets.IntProgress(max=3, description="building", layout={"display": "none"})
        self.warnings, self.levels, self.screen, self.table = (widgets.HTML() for _ in range(4))
        self._refused = ("", "")  # beside which control the last refusal stands, and its words
        self._observers = {name: partial(self._on_change, name) for name in self.fields}
        for name, observer in self._observers.items():
            self.control(name).observe(observer, names="value")
        rows = [controls(*self.fields.values(), self.reset), controls(self.progress)]
        super().__init__([*rows, self.warnings, self.levels, self.screen, self.table])
        self._renew("number of nodes")

    def control(self, name: str) -> widgets.ValueWidget:
        """Return the control of this name, such as "cluster CIDR"."""
        return self.fields[name].control

    @property
    def says(self) -> str:
        """Return how full the levels are."""
        return levels_say(self.allocated)

    @property
    def picture(self) -> str:
        """Return the cluster that the plan makes."""
        return svg(scene(self.cluster))

    @property
    def twin(self) -> str:
        """Return the allocation as tables."""
        return levels_table(self.allocated) + self._facts()

    def _values(self) -> dict[str, Any]:
        return {name: field.control.value for name, field in self.fields.items()}

    @guarded
    def _on_change(self, name: str, _change: object) -> None:
        control = self.control(name)
        settled = control.settle(self._observers[name]) if isinstance(control, NumberBox) else ""
        self._renew(name)
        message = self.fields[name].message
        if settled and not message.value:
            message.note(settled)

    @guarded
    def _on_reset(self, _button: object) -> None:
        for name, value in self._defaults.items():
            with quietly(self.control(name), self._observers[name]):
                self.control(name).value = value
        self._renew("number of nodes")

    def _renew(self, changed: str) -> None:
        """Build what the controls say; if that fails, say so beside the control `changed`; the rest stays."""
        for field in self.fields.values():
            field.message.say("")
        ranges = self._ranges()
        if len(ranges) == len(RANGES):
            try:
                self._show(self._built(ranges))
                self._refused = ("", "")
            except Exception as error:
                self._blame(changed, what_went_wrong(error), ranges)
        self.progress.layout.display = "none"
        self.reset.disabled = self._values() == self._defaults

    def _ranges(self) -> dict[str, IPv4Network]:
        """Return the address ranges that can be read; what is wrong with the others stands beside them."""
        found: dict[str, IPv4Network] = {}
        for name in RANGES:
            try:
                found[name] = parse_network(self.control(name).value.strip())
            except AddressPlanError as error:
                self.fields[name].message.say(f"{error}. {KEPT}")
        return found

    def _blame(self, changed: str, words: str, ranges: dict[str, IPv4Network]) -> None:
        """Say what is wrong beside the control that brought it about, and point at it from those it disagrees with."""
        if words == self._refused[1]:
            changed = self._refused[0]  # the one changed now has nothing to do with it
        self._refused = (changed, words)
        clashes = conflicts(changed, ranges, self.control("node mask").value)
        told = len(clashes) == 1 and all(str(ranges.get(other)) in words for other in clashes)
        listed = "" if told else "".join(f"{clash}. " for clash in clashes.values())
        self.fields[changed].message.say(f"{listed}{words}. {KEPT}")
        for other in clashes:
            self.fields[other].message.note(f"does not go with the {NAMES.get(changed, changed)}: see there")

    def _built(self, ranges: dict[str, IPv4Network]) -> tuple[Any, Any]:
        nodes, pods = self.control("number of nodes").number, self.control("pods per node").number
        if nodes * pods > MOST_IN_ALL:
            raise AddressPlanError(f"{nodes:,} nodes with {pods} pods are {nodes * pods:,} pods; take {MOST_IN_ALL:,}")
        plan = self._plan(
            nodes,
            pods,
            vpc_cidr=ranges["VPC CIDR"],
            vswitches=(VSwitch("vsw-a", ranges["vSwitch"]),),
            cluster_cidr=ranges["cluster CIDR"],
            service_cidr=ranges["service CIDR"],
            node_mask=self.control("node mask").value,
        )
        self._go_on(1, nodes * (pods + 1))
        timeline = self._build(plan, strict=False)
        self._go_on(2, nodes * (pods + 1))
        return timeline, self._allocation(timeline.network)

    def _go_on(self, step: int, size: int) -> None:
        self.progress.value = step
        self.progress.description = f"{size:,} nodes and pods"
        self.progress.layout.display = "" if size >= SLOW else "none"

    def _show(self, built: tuple[Any, Any]) -> None:
        timeline, allocated = built
        picture = svg(scene(timeline.network))
        self.cluster, self.allocated = timeline.network, allocated
        self.warnings.value = _warnings(timeline.warnings)
        self.levels.value = picture_html(bars_svg(allocated))
        self.screen.value, self.table.value = picture_html(picture), self.twin

    def _facts(self) -> str:
        """Return what follows from the plan, whatever is built."""
        plan = self.cluster.plan
        assert plan is not None, "a network that was built has a plan"
        services = plan.service_cidr.num_addresses if plan.service_cidr else 0
        bits, mask = plan.cluster_cidr.prefixlen, plan.node_mask
        pods = f"2^(32 - {mask}) less what no pod gets: the network, cni0, the broadcast address"
        quota = "one for each node; the NAT gateway's default route takes one too"
        rows = (
            ("podCIDR blocks in the pod CIDR", f"{plan.max_nodes:,}", f"2^({mask} - {bits})"),
            ("pods that get an address on one node", f"{usable_pod_ips(mask):,}", pods),
            ("route entries left for nodes", f"{plan.route_quota - plan.nat_gateway:,}", quota),
            ("addresses for Services", f"{services:,}", f"`{plan.service_cidr}`: only in rules on nodes, in no route"),
        )
        return table_html("What follows from the plan", ("what", "how many", "why"), rows)


def _controls(plan: ClusterPlan) -> dict[str, widgets.ValueWidget]:
    nodes, pods = len(plan.nodes), len(plan.nodes[0].pods) if plan.nodes else 0
    return {
        "VPC CIDR": text_box("VPC CIDR", str(plan.vpc_cidr)),
        "vSwitch": text_box("vSwitch", str(plan.vswitches[0].cidr)),
        "cluster CIDR": text_box("pod CIDR (cluster CIDR)", str(plan.cluster_cidr)),
        "node mask": dropdown("node mask (addresses)", MASKS, value=plan.node_mask),
        "service CIDR": text_box("service CIDR", str(plan.service_cidr)),
        "number of nodes": NumberBox("nodes", nodes, 1, MOST_NODES, "are drawn here"),
        "pods per node": NumberBox("pods per node", pods, 0, MOST_PODS, "fit a /24"),
    }


def _warnings(warnings: tuple[str, ...]) -> str:
    rows = [(warning,) for warning in warnings]
    return table_html("", ("what the console does not tell, but happens",), rows) if rows else ""
