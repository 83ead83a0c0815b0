"""Pictures without controls: they show themselves, and say in words what they show."""

from flannelviz import article, lab, trace
from flannelviz.allocations import allocation
from flannelviz.views.figure import capacity_figure
from flannelviz.views.sheets import levels


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


def test_a_picture_has_its_table_folded_below() -> None:
    network = article()
    shown = lab.picture(network, trace(network, "a1", "b1"))._repr_html_()
    assert "<details><summary>The same as a table</summary>" in shown and "172.16.8.0/25" in shown
    assert "192.168.0.10" in lab.picture(network).twin


def test_a_figure_may_have_a_table_of_its_own() -> None:
    figure = capacity_figure(allocation(article()))
    assert "<details>" not in lab.printed(figure, "bars")._repr_html_()
    assert "<pre>2 of 512 &lt;</pre></details>" in lab.printed(figure, "bars", "2 of 512 <")._repr_html_()
    assert "<table>" in lab.printed(figure, "bars", levels(allocation(article()))).twin
