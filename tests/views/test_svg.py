"""The picture: golden bytes, words for those who do not see it, nothing from outside taken for markup."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address as A
from pathlib import Path
from xml.etree import ElementTree

import pytest

from flannelviz.model import Pod, visible
from flannelviz.network import Event, Network
from flannelviz.packet import Trace
from flannelviz.views.scene import scene
from flannelviz.views.shapes import Note, Scene, ident
from flannelviz.views.svg import data_uri, svg
from flannelviz.views.theme import ALERTS, DARK, LIGHT, LINE_ON, TEXT_ON, cells, contrast, shorten

GOLDEN = Path(__file__).parent / "golden"
SVG = "{http://www.w3.org/2000/svg}"
Frame = tuple[float, float, float, float]  # left, top, right, bottom
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a ]]> b",
    "\u202egnp.exe",
    "שלום-עולם",
    "a\x00b",
    "&lt;amp&amp;",
]


def parsed(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(picture)


def golden(name: str, picture: str) -> None:
    path = GOLDEN / f"{name}.svg"
    if os.environ.get("FLANNELVIZ_WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(picture)
    assert picture == path.read_text(), f"{path.name} differs; FLANNELVIZ_WRITE_GOLDEN=1 writes it anew"


def test_network_is_drawn_the_same_each_time(network: Network):
    golden("network", svg(scene(network)))


def test_hop_is_drawn_the_same_each_time(network: Network, trace: Trace):
    golden("hop-3", svg(scene(network, trace=trace), hop=3))


def test_whole_way_is_drawn_the_same_each_time(network: Network, trace: Trace):
    golden("journey", svg(scene(network, trace=trace)))


def test_loss_is_drawn_the_same_each_time(network: Network, lost: Trace):
    golden("lost", svg(scene(network, trace=lost), hop=3))


def test_unknown_end_is_drawn_the_same_each_time(network: Network, untold: Trace):
    golden("untold", svg(scene(network, trace=untold), hop=2))


def test_event_is_drawn_the_same_each_time(network: Network, event: Event):
    golden("event", svg(scene(network, event=event)))


def test_label_tells_in_words_what_is_lit(network: Network, trace: Trace):
    root = parsed(svg(scene(network, trace=trace), hop=2))
    assert root.get("role") == "img"
    assert root.get("aria-label") == "hop 2 of 10: node-a routes to 192.168.0.253 by default route"
    assert root.findtext(f"{SVG}title") == "a1 to b1: request and reply arrive"
    assert "hop 1 of 10: a1 routes to 172.16.0.129" in (root.findtext(f"{SVG}desc") or "")


def test_every_box_wire_and_row_is_there_with_its_id(network: Network, trace: Trace):
    drawn = scene(network, trace=trace)
    ids = [element.get("id") for element in parsed(svg(drawn, prefix="p-")).iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert {f"p-{id}" for id in drawn.ids} == set(ids)


def test_light_is_attributes_only(network: Network, trace: Trace):
    drawn = scene(network, trace=trace)
    bare = [re.sub(r' data-(lit|direction|lost|hop)="[^"]*"', "", line) for line in svg(drawn, hop=2).splitlines()]
    other = [re.sub(r' data-(lit|direction|lost|hop)="[^"]*"', "", line) for line in svg(drawn, hop=7).splitlines()]
    assert [line for line in bare if "<svg" not in line and "<desc>" not in line and "viewBox" not in line] == [
        line for line in other if "<svg" not in line and "<desc>" not in line and "viewBox" not in line
    ]


def test_hop_lights_its_boxes_now_and_the_earlier_ones_as_path(network: Network, trace: Trace):
    root = parsed(svg(scene(network, trace=trace), hop=3, prefix=""))
    lit = {e.get("id"): e.get("data-lit") for e in root.iter() if e.get("id") and e.get("data-lit")}
    assert lit["VPC"] == "now" and lit["node-a__kernel"] == "path"
    assert "node-b__kernel" not in lit
    hops = {e.get("id"): e.get("data-hop") for e in root.iter() if e.get("id") and e.get("data-hop")}
    assert hops["node-b__kernel"] == "4 7" and hops["default_2f.a1"] == "1 10"


def test_no_meaning_by_colour_alone(network: Network, trace: Trace, lost: Trace):
    way = svg(scene(network, trace=trace))
    assert ">7 back</text>" in way and "stroke-dasharray:4 3" in way
    end = svg(scene(network, trace=lost), hop=3)
    assert 'class="fv-lost"' in end and ">no route</text>" in end


def test_an_unknown_end_has_a_question_mark_and_no_cross(network: Network, untold: Trace):
    end = svg(scene(network, trace=untold), hop=2)
    assert 'class="fv-untold"' in end and ">?</text>" in end
    assert 'class="fv-lost"' not in end and "data-lost" not in end


NOTES = {
    "node-a": Note("error", "error: has no podCIDR"),
    "node-b": Note("warning", "warning: is nearly full"),
    "default/a1": Note("warning", "warning: is pending"),
    "default/b1": Note("error", "error: has an address twice"),
}


def signs(picture: str) -> dict[str, ElementTree.Element]:
    """Return the signs of findings by the box that they stand in."""
    found = parsed(picture).iterfind(f".//{SVG}g[@class='fv-boxes']/{SVG}g")
    return {g.get("id", ""): sign for g in found if (sign := g.find(f"{SVG}g[@class='fv-alert']")) is not None}


def test_a_finding_has_a_sign_and_its_words_are_in_the_name_of_the_box(network: Network):
    picture = svg(scene(network, notes=NOTES), prefix="")
    found = signs(picture)
    assert set(found) == {ident(place) for place in NOTES}
    looks = {id: (sign[0].get("d"), sign[0].get("fill")) for id, sign in found.items()}
    assert len({shape for shape, _ in looks.values()}) == 1, "one sign for all"
    assert looks["node-a"][1] == "var(--fv-lost)" and looks["node-b"][1] == "var(--fv-bg)", "filled or not"
    box = parsed(picture).find(f".//{SVG}g[@id='default_2f.b1']")
    assert box is not None and (box.findtext(f"{SVG}title") or "").endswith("; error: has an address twice")
    assert "b1 172.16.8.2 (error)" in (parsed(picture).findtext(f"{SVG}desc") or "")


def test_a_sign_stays_whatever_is_lit(network: Network, trace: Trace, untold: Trace):
    for drawn, hop in ((scene(network, trace=trace, notes=NOTES), 3), (scene(network, trace=untold, notes=NOTES), 2)):
        assert len(signs(svg(drawn, hop=hop))) == len(NOTES)


def test_where_nothing_is_wrong_there_is_no_sign(network: Network):
    assert svg(scene(network, notes={})) == svg(scene(network))
    assert "fv-alert" not in svg(scene(network))


def crowded(network: Network) -> Network:
    """Return a network with as much text beside the signs as there can be, and with folded pods."""
    widest = replace(network.pods["default/b1"], ip=A("172.168.188.202"))
    more = (Pod("default", f"p{i}", "node-a") for i in range(9))
    return replace(network, pods=network.pods | {pod.place: pod for pod in (widest, *more)})


def test_a_sign_overlaps_no_text_and_no_number_of_a_hop(network: Network, trace: Trace, untold: Trace):
    full = crowded(network)
    notes = {place: Note("error", "error: x") for place in (*full.nodes, *full.pods)}
    ways = (scene(network, trace=way, notes=NOTES) for way in (trace, untold))
    for drawn in (scene(full, notes=notes), *ways):
        taken = list(texts(svg(drawn)))
        for sign in frames(drawn):
            assert not [box for box in taken if overlap(sign, box)], sign
        assert frames(drawn)


def overlap(one: Frame, other: Frame) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def frames(drawn: Scene) -> list[Frame]:
    """Return the frame of each sign, its line included."""
    at = [box.sign for box in drawn.boxes if box.note]
    return [(x - 8.7, y - 7.7, x + 8.7, y + 6.7) for x, y in at]


def texts(picture: str) -> Iterator[Frame]:
    """Yield the frame of every text, and of what stands around a number or a question mark."""
    for text in parsed(picture).iter(f"{SVG}text"):
        left, width = extent(text)
        y = float(text.get("y", 0))
        yield left, y - 10, left + width, y + 3
    for group in parsed(picture).iter(f"{SVG}g"):
        if group.get("class") in ("fv-badge", "fv-untold", "fv-lost"):
            x, y, w, h = (float(group.find(f"{SVG}rect").get(name)) for name in ("x", "y", "width", "height"))
            yield x, y, x + w, y + h


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_a_sign_contrasts_with_what_it_stands_on(palette):
    for fill, line, ink in ALERTS.values():
        assert contrast(palette[ink], palette[fill]) >= 4.5
        for ground in ("node", "vpc", "lan", "pod"):
            assert max(contrast(palette[role], palette[ground]) for role in (fill, line)) >= 3, (fill, line, ground)


@pytest.mark.parametrize("words", HOSTILE)
def test_what_a_finding_says_is_text(network: Network, words: str):
    picture = svg(scene(network, notes={"node-a": Note("error", words)}))
    tags = {element.tag.removeprefix(SVG) for element in parsed(picture).iter()}
    assert not tags & {"script", "img"} and not any("onerror" in element.attrib for element in parsed(picture).iter())
    assert visible(words) in (parsed(picture).findtext(f".//{SVG}g[@id='fv-node-a']/{SVG}title") or "")


def test_hop_that_is_not_there_is_refused(network: Network, trace: Trace):
    with pytest.raises(IndexError, match="hop 11 is not on this path of 10 hops"):
        svg(scene(network, trace=trace), hop=11)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_from_outside_are_text(network: Network, name: str):
    hostile = replace(
        network,
        nodes={**network.nodes, name: replace(network.nodes["node-a"], name=name, pod_cidr=None)},
        pods={**network.pods, f"{name}/{name}": Pod(name, name, "node-a")},
    )
    picture = svg(scene(hostile, focus=[name]), title=name)
    root = parsed(picture)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "title", "desc", "style", "rect", "g", "path", "text", "polyline", "circle")
    }
    assert not any(key.startswith("on") for element in root.iter() for key in element.attrib)
    assert "\u202e" not in picture and "\x00" not in picture


def test_long_names_are_shortened_in_the_middle_and_whole_in_the_title(network: Network):
    node, pod = "cn-zhangjiakou.192.168.0.81", "p" * 200 + "q" * 53
    named = replace(
        network,
        nodes={node: replace(network.nodes["node-a"], name=node)},
        pods={f"default/{pod}": Pod("default", pod, node)},
    )
    root = parsed(svg(scene(named), prefix=""))
    texts = [e.text or "" for e in root.iter(f"{SVG}text")]
    assert any(t.startswith("cn-") and "…" in t and t.endswith(".81") for t in texts)
    assert all(cells(t) < 40 for t in texts)
    titles = [e.text or "" for e in root.iter(f"{SVG}title")]
    assert any(pod in t for t in titles) and any(node in t for t in titles)


def test_texts_stay_inside_their_boxes(network: Network, trace: Trace):
    root = parsed(svg(scene(network, trace=trace), prefix=""))
    for group in root.iter(f"{SVG}g"):
        shape = group.find(f"{SVG}rect")
        for text in group.findall(f"{SVG}text") if shape is not None else ():
            left, width = extent(text)
            assert float(shape.get("x", 0)) <= left, (group.get("id"), text.text)
            assert left + width <= float(shape.get("x", 0)) + float(shape.get("width", 0)) + 1, text.text


def extent(text: ElementTree.Element) -> tuple[float, float]:
    bold = text.get("class", "").startswith(("fv-name", "fv-head"))
    width = float(text.get("textLength") or cells(text.text or "") * (7.6 if bold else 6.2))
    x = float(text.get("x", 0))
    return x - {"end": width, "middle": width / 2}.get(text.get("text-anchor", ""), 0), width


def test_data_uri_holds_the_picture(network: Network):
    assert data_uri(svg(scene(network))).startswith("data:image/svg+xml;base64,PHN2Zy")


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_contrast_as_wcag_aa_asks(palette):
    for text, ground in TEXT_ON:
        assert contrast(palette[text], palette[ground]) >= 4.5, (text, ground)
    for line, ground in LINE_ON:
        assert contrast(palette[line], palette[ground]) >= 3, (line, ground)


def test_jupyterlabs_own_colours_contrast_with_ours():
    """JupyterLab 4: ink rgba(0,0,0,.87) on white, white on #111111; both replace ours where the theme sets them."""
    for ink, palette in (("#212121", LIGHT), ("#ffffff", DARK)):
        for text, ground in TEXT_ON:
            if text == "ink":
                assert contrast(ink, palette[ground]) >= 4.5, ground


def test_contrast_is_wcags():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(
    ("name", "room", "short"),
    [("node-a", 10, "node-a"), ("abcdefghij", 5, "ab…ij"), ("数据库服务器", 7, "数据…器"), ("a\u202eb", 9, "a\ufffdb")],
)
def test_shortening_keeps_both_ends(name, room, short):
    assert shorten(name, room) == short
    assert cells(shorten(name, room)) <= room


def test_invisible_characters_are_shown():
    assert visible("a\tb") == "a\ufffdb" and visible("größe 数") == "größe 数"
