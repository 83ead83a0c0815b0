"""Pictures without controls: they show themselves, and say in words what they show."""

from flannelviz import article, lab, trace
from flannelviz.allocations import allocation
from flannelviz.views.figure import capacity_figure


def test_a_network_shows_itself_as_an_image() -> None:
    shown = lab.picture(article())
    assert repr(shown) == "<Picture: a cluster network with 2 nodes and 4 pods>"
    assert 'alt="a cluster network with 2 nodes and 4 pods"' in shown._repr_html_()
    assert "data:image/svg+xml;base64," in shown._repr_html_()


def test_the_way_of_a_trace_is_lit() -> None:
    network = article()
    shown = lab.picture(network, trace(network, "a1", "b1"))
    assert repr(shown).startswith("<Picture: a1 to ")
    assert 'data-hops="10"' in shown.drawing
    assert 'data-hops="0"' in lab.picture(network).drawing


def test_a_figure_has_the_same_bytes_each_time() -> None:
    found = allocation(article())
    one, other = (lab.printed(capacity_figure(found), "how full it is") for _ in range(2))
    assert one == other
    assert repr(one) == "<Picture: how full it is>"
