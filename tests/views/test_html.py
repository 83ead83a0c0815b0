"""HTML and terminal text: the picture as an image, tables below it, names from outside as text."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from ipaddress import IPv4Network

import pytest
from IPython.core.interactiveshell import InteractiveShell

from flannelviz.importers.kubectl import read_kubectl
from flannelviz.model import Node, Pod
from flannelviz.network import Event, Network
from flannelviz.packet import Trace
from flannelviz.tables import Chain, File, Match, Route, RouteEntry, RouteTable, Rule, VpcTables
from flannelviz.views import display, html

TAGS = {"div", "img", "table", "caption", "b", "thead", "tbody", "tr", "th", "td", "code", "p", "pre"}
HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "]]>", "\u202egnp.exe", "שלום", "a\x00b"]


class Seen(HTMLParser):
    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def checked(markup: str) -> Seen:
    seen = Seen(markup)
    assert set(seen.tags) <= TAGS
    assert {name for name, _ in seen.attributes} <= {"style", "src", "alt", "scope", "dir", "colspan"}
    assert all(str(value).startswith("data:image/svg+xml;base64,") for name, value in seen.attributes if name == "src")
    return seen


def test_network_is_an_image_and_tables(network: Network):
    seen = checked(html.network_html(network))
    assert seen.tags.count("img") == 1 and seen.tags.count("table") == 3
    assert {"172.16.0.130", "172.16.8.0/25", "node-b"} <= set(seen.words)
    assert ("alt", "a cluster network with 2 nodes and 3 pods") in seen.attributes


def test_journey_has_a_table_for_each_hop(network: Network, trace: Trace):
    assert checked(html.trace_html(trace)).tags.count("table") == 10
    seen = checked(html.trace_html(trace, network))
    assert seen.tags.count("img") == 1
    assert "hop 7 of 10, on the way back: node-b: forwarded, in by cni0, on to the VPC" in " ".join(seen.words)


def test_hop_shows_its_evidence(trace: Trace):
    words = checked(html.hop_html(trace.request[0])).words
    assert words[1:6] == ["table", "decided by", "runner-up", "change", "command"]
    assert "default via 192.168.0.253 dev eth0" in words and "ttl 64 → 63" in words


def test_tables_and_events(network: Network, event: Event):
    assert "MASQUERADE" in " ".join(checked(html.tables_html(network.written["node-a"])).words)
    assert "SNAT entries" in checked(html.vpc_html(network.vpc)).words
    written = replace(event, artefact=File("/run/x", "a<b\n{}"))
    words = checked(html.event_html(written)).words
    assert "cloud-controller-manager" in " ".join(words) and "a<b\n{}" in words


@pytest.mark.parametrize("name", HOSTILE)
def test_names_from_outside_are_text(name: str):
    network = Network(
        nodes={name: Node(name, ready=name)},  # type: ignore[arg-type]
        pods={f"{name}/{name}": Pod(name, name, name, phase=name)},
    )
    markup = html.network_html(network)
    checked(markup)
    assert "\u202e" not in markup and "\x00" not in markup
    assert "\u202e" not in display.describe(network) and "\x00" not in display.describe(network)


def test_long_tables_are_counted(network: Network):
    many = replace(network, nodes={f"n{i}": Node(f"n{i}") for i in range(5000)}, ecs={}, pods={}, written={})
    assert len(html.network_html(many)) < 80_000
    assert display.describe(many).endswith("+ 4,961 nodes")


def test_plain_text_for_a_terminal(network: Network, trace: Trace, event: Event):
    assert display.describe(network).startswith("2 nodes, 3 pods, 5 VPC entries\nNAME")
    assert display.describe(trace).splitlines()[0] == "a1 to b1: request and reply arrive"
    assert display.describe(trace.request[1]).startswith("node-a routes to 192.168.0.253 by default route\nlookups:")
    assert "  + VPC: 172.16.8.0/25 Instance i-node-b" in display.describe(event)
    assert display.describe(network.written["node-a"]).startswith("addresses:\ninterface")
    assert display.describe(network.vpc).startswith("VPC routes:")
    assert display.describe(3) == "3"


@pytest.mark.parametrize(
    ("unknown", "vpc_unknown", "size"),
    [
        ((), (), "1 node, 1 pod, 0 VPC entries"),
        (("pods",), ("route_tables",), "1 node, pods unknown, VPC entries unknown"),
        (("nodes",), (), "nodes unknown, 1 pod, 0 VPC entries"),
    ],
)
def test_what_the_input_does_not_tell_is_not_counted(unknown: tuple[str, ...], vpc_unknown: tuple[str, ...], size: str):
    vpc = VpcTables(unknown=frozenset(vpc_unknown))
    one = Network(nodes={"n": Node("n")}, pods={"d/p": Pod("d", "p")}, vpc=vpc, unknown=frozenset(unknown))
    assert display.describe(one).splitlines()[0] == size
    assert repr(one) == f"<Network: {size}, imported>"


ENTRY = RouteEntry(IPv4Network("172.16.8.0/25"), "Instance", "i-node-b")
RULE = Rule("ACCEPT", src=Match(IPv4Network("172.16.0.0/16")))


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        (File("/run/flannel/subnet.env", "A=1\nB=2\n"), ["/run/flannel/subnet.env:", "A=1", "B=2"]),
        (ENTRY, ["172.16.8.0/25 Instance i-node-b (Custom)"]),
        (RouteTable("vtb-1", entries=(ENTRY,)), ["vtb-1 (System):", "  172.16.8.0/25 Instance i-node-b (Custom)"]),
        (
            Chain("filter", "FLANNEL-FWD", rules=(RULE,)),
            ["-N FLANNEL-FWD", "-A FLANNEL-FWD -s 172.16.0.0/16 -j ACCEPT"],
        ),
        (Route(IPv4Network("0.0.0.0/0"), "eth0"), ["default dev eth0"]),
    ],
)
def test_a_file_a_table_and_a_row_have_words(value: object, lines: list[str]):
    shell = InteractiveShell()
    assert display.register(shell)
    assert display.describe(value).splitlines() == lines
    assert shell.display_formatter.format(value)[0]["text/plain"].splitlines() == lines


@pytest.mark.parametrize(
    ("value", "last"),
    [
        (RouteTable("vtb-1", entries=(ENTRY,) * 100), "+ 60 entries"),
        (Chain("filter", "FLANNEL-FWD", rules=(RULE,) * 100), "+ 61 rules"),  # its first line is the chain itself
        (Event(1, "node", "flanneld", "writes", wrote=(("node-a", RULE),) * 100), "+ 60 rows"),
    ],
)
def test_long_ones_are_counted(value: object, last: str):
    assert display.describe(value).splitlines()[-1] == last


def test_an_event_shows_its_artefact(event: Event):
    written = replace(event, artefact=File("/run/x", "first\nsecond\n"))
    assert display.describe(written).endswith("\n\n/run/x:\nfirst\nsecond")


def test_a_dump_shows_its_network_and_what_was_not_used():
    nodes = [{"kind": "Node", "metadata": {"name": f"n{i}"}, "spec": {"podCIDR": 7}} for i in range(300)]
    found = read_kubectl(json.dumps({"kind": "List", "items": nodes}))
    shell = InteractiveShell()
    assert display.register(shell)
    shown, _ = shell.display_formatter.format(found)
    assert shown["text/plain"] == display.describe(found)
    assert shown["text/plain"].startswith("300 nodes, pods unknown") and "not used:" in shown["text/plain"]
    assert "<b>not used</b>" in shown["text/html"] and len(shown["text/html"]) < 80_000


def test_ipython_learns_how_to_show_values(network: Network, trace: Trace):
    shell = InteractiveShell()
    assert display.register(shell)
    shown, _ = shell.display_formatter.format(network)
    assert shown["text/html"].startswith('<div style="overflow-x:auto"><img src="data:image/svg+xml;base64,')
    assert shown["text/plain"].startswith("2 nodes, 3 pods")
    assert "hop 1 of 10" in shell.display_formatter.format(trace)[0]["text/html"]


def test_without_ipython_there_is_nobody_to_teach():
    assert display.register() is False
