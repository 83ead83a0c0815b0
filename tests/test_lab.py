"""One line for each widget, with nothing drawn until it is asked for."""

import subprocess
import sys

import pytest

from flannelviz import lab
from flannelviz.topologies import article, article_timeline


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: lab.journey(article(), "a1", "Internet"), "<TraceExplorer: a1 to Internet: request and reply arrive>"),
        (lambda: lab.events(article_timeline(), "pod"), "<Stage: events 33 to 60 of 60>"),
        (lambda: lab.plan(nodes=2), "<PlanExplorer: VPC CIDR to ECS addresses: 2 of 252"),
        (lambda: lab.faults(article(), "a1", "b1", fault="cni0-down"), "<FaultExplorer: cni0-down at node-a: a1 to b1"),
        (
            lambda: lab.faults(article(), "b1", "a1", fault="nat-gateway-missing", target="VPC"),
            "<FaultExplorer: nat-gateway-missing at VPC",
        ),
        (lambda: lab.your_cluster(), "<YourCluster: nothing was read yet>"),
        (lambda: lab.twice(article(), "a1", "b1"), "<Twice: a1 pings b1 in the network as it was built. ✓ Model and"),
        (lambda: lab.ask("Why?", {"so": "because"}, right="so"), "Question(step=1, asks='Why?'"),
        (lambda: lab.predict("Why?", {"so": "because"}, right="so"), "<Predict: Why? (not answered yet)>"),
    ],
)
def test_a_widget_is_one_line(made, says):
    assert repr(made()).startswith(says.removesuffix(">"))


def test_a_network_has_one_kernel_to_ask():
    assert lab.kernel(article()) is lab.kernel(article())
    assert lab.kernel(article()).trace("a1", "b1").ok


def test_nothing_that_draws_is_imported_with_it():
    script = "import sys; import flannelviz.lab; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert "flannelviz.lab" in loaded
    assert not {"ipywidgets", "anywidget", "matplotlib", "pandas"} & set(loaded)


def test_every_name_is_documented():
    assert all(getattr(lab, name).__doc__ for name in lab.__all__)
