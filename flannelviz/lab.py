"""What a notebook needs in one line: the widgets, with the functions that they act through already filled in.

    from flannelviz import article, lab
    lab.journey(article(), "a1", "b1")

It sees both planes and the views; nothing sees it but notebooks and tests. What draws is imported when it is asked
for, so that this module costs nothing where there is no ipywidgets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flannelviz.allocations import allocation
from flannelviz.controlplane.timeline import Timeline, build
from flannelviz.dataplane.trace import trace
from flannelviz.faults import FAULTS, break_network, targets
from flannelviz.importers.kubectl import read_kubectl
from flannelviz.network import Network, Stage
from flannelviz.topologies import article
from flannelviz.topologies import plan as make_plan

if TYPE_CHECKING:
    from flannelviz.kernel.witness import Witness
    from flannelviz.packet import Trace
    from flannelviz.views.picture import Picture
    from flannelviz.views.stage import Question
    from flannelviz.views.stage import Stage as Shown
    from flannelviz.views.widgets import (
        FaultExplorer,
        PlanExplorer,
        Predict,
        TraceExplorer,
        Twice,
        YourCluster,
    )
    from flannelviz.views.widgets.predict import Choices

__all__ = [
    "ask",
    "events",
    "example_dump",
    "faults",
    "journey",
    "kernel",
    "picture",
    "plan",
    "predict",
    "printed",
    "twice",
    "your_cluster",
]


def predict(
    question: str,
    choices: Choices,
    *,
    right: object,
    reveal: object = None,
    accept: Callable[[str], object] | None = None,
    otherwise: str = "",
) -> Predict:
    """Return a question whose answer shows only after the learner has committed to one. See `Predict`."""
    from flannelviz.views.widgets import Predict

    return Predict(question, choices, right=right, reveal=reveal, accept=accept, otherwise=otherwise)


def ask(
    question: str, choices: Mapping[str, str], *, right: str, before: int = 1, boxes: Mapping[str, str] | None = None
) -> Question:
    """Return a question that a stage asks before it shows step `before`.

    `choices` has the reason of the right one, and the misconception of each other, as in `predict`.
    `boxes` names the element of the picture that stands for a choice, so that one may click there to answer.
    Raises: ValueError if `before` is less than 1, or the right answer is none of the choices.
    """
    from flannelviz.views.stage import asked

    return asked(question, choices, right=right, before=before, boxes=boxes or {})


def journey(
    network: Network, source: str = "", destination: str = "", questions: Sequence[Question] = ()
) -> TraceExplorer:
    """Return a widget that sends a packet through `network` and walks with it, hop by hop."""
    from flannelviz.views.widgets import TraceExplorer

    return TraceExplorer(network, source, destination, trace=trace, questions=questions)


def picture(network: Network, trace: Trace | None = None) -> Picture:
    """Return the picture of `network` without controls, with the way of `trace` lit, and the same as a table."""
    from flannelviz.views.picture import network_picture

    return network_picture(network, trace)


def printed(figure: Any, says: str, twin: object = None) -> Picture:
    """Return a matplotlib figure as it goes to print; `says` is what it shows, in a sentence.

    `twin` is the same as a table, folded below it: a DataFrame, anything else that shows itself as HTML, or text.
    """
    from flannelviz.views.picture import figure_picture

    return figure_picture(figure, says, twin)


def events(timeline: Timeline, stage: Stage | None = None, questions: Sequence[Question] = ()) -> Shown:
    """Return a stage that steps through all events of `timeline`, or through those of one stage of the cluster.

    Raises: ValueError if there are none, or more than a stage holds.
    """
    from flannelviz.views.stage import events

    return events(timeline, stage, questions)


def plan(nodes: int = 3, pods_per_node: int = 2) -> PlanExplorer:
    """Return a widget that asks for an address plan and shows what fits."""
    from flannelviz.views.widgets import PlanExplorer

    return PlanExplorer(plan=make_plan, build=build, allocation=allocation, nodes=nodes, pods_per_node=pods_per_node)


def faults(
    network: Network, source: str = "", destination: str = "", *, fault: str = "", target: str = ""
) -> FaultExplorer:
    """Return a widget that breaks a copy of `network` at `target` and compares a journey before and after."""
    from flannelviz.views.widgets import FaultExplorer

    return FaultExplorer(
        network,
        source,
        destination,
        faults=FAULTS,
        targets=targets,
        break_network=break_network,
        trace=trace,
        fault=fault,
        target=target,
    )


def kernel(network: Network) -> Witness:
    """Return a real kernel to ask about `network`: this machine's, or for `article()` also the record of one.

    Shape: the same one each time, so that what a notebook has built once, it need not build again.
    """
    from flannelviz.kernel.record import recorded
    from flannelviz.kernel.witness import Witness

    if "kernel" not in network.memo:
        network.memo["kernel"] = Witness(network, break_network, recorded() if network == article() else None)
    found: Witness = network.memo["kernel"]
    return found


def twice(
    network: Network,
    source: str = "",
    destination: str = "",
    *,
    fault: str = "",
    target: str = "",
    guess: bool = False,
    stale: bool = False,
) -> Twice:
    """Return a widget that shows one ping twice: as the model says it, and as a real kernel did it.

    With `guess` the learner has to predict it first; `stale` keeps the fault from the model.
    """
    from flannelviz.kernel.witness import parting
    from flannelviz.views.widgets import Twice
    from flannelviz.views.widgets.twice import Acts

    acts = Acts(trace, parting, FAULTS, targets, break_network)
    return Twice(
        network,
        source,
        destination,
        kernel=kernel(network),
        acts=acts,
        fault=fault,
        target=target,
        guess=guess,
        stale=stale,
    )


def your_cluster(example: str | None = None) -> YourCluster:
    """Return a widget that reads what `kubectl get nodes,pods -A -o json` printed."""
    from flannelviz.views.widgets import YourCluster

    text = example_dump() if example is None else example
    return YourCluster(read=read_kubectl, allocation=allocation, trace=trace, example=text)


def example_dump() -> str:
    """Return a dump of a small cluster with two mistakes in it, as kubectl prints one, reduced to what is read."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [*_nodes(), *_pods()]}, indent=1)


def _nodes() -> Iterator[dict[str, object]]:
    for name, address, cidr in (
        ("node-a", "192.168.0.10", "172.16.0.128/25"),
        ("node-b", "192.168.0.11", "172.16.8.0/25"),
        ("node-c", "192.168.0.13", "172.16.8.0/25"),  # the block of node-b
    ):
        yield {
            "kind": "Node",
            "metadata": {"name": name},
            "spec": {"podCIDR": cidr},
            "status": {"addresses": [{"type": "InternalIP", "address": address}]},
        }


def _pods() -> Iterator[dict[str, object]]:
    for name, node, address in (
        ("web-1", "node-a", "172.16.0.130"),
        ("web-2", "node-b", "172.16.8.2"),
        ("api-1", "node-a", "172.16.9.7"),  # outside of node-a's block
        ("api-2", "node-b", "172.16.8.3"),
    ):
        yield {
            "kind": "Pod",
            "metadata": {"namespace": "default", "name": name},
            "spec": {"nodeName": node},
            "status": {"phase": "Running", "podIP": address},
        }
