"""Table twins: the same content as the picture, with the author of every row."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from IPython.core.interactiveshell import InteractiveShell
from pandas import DataFrame

from flannelviz.errors import UnknownPlaceError
from flannelviz.network import Event, Network
from flannelviz.packet import Trace
from flannelviz.tables import UNTOLD, Tables
from flannelviz.views import display, frames, sheets


def test_routes_tell_their_author(network: Network):
    found = frames.routes(network, "node-a")
    assert list(found.columns) == [
        "dst",
        "via",
        "dev",
        "src",
        "proto",
        "scope",
        "metric",
        "flags",
        "table",
        "component",
        "event",
        "because",
    ]
    cni0 = found[found["dev"] == "cni0"].iloc[0]
    assert (cni0["dst"], cni0["component"], cni0["event"]) == ("172.16.0.128/25", "kernel", "address on cni0")


def test_vpc_routes_name_the_ecs_and_the_object_behind_them(network: Network):
    found = frames.vpc_routes(network).set_index("dst")
    assert found.loc["172.16.8.0/25", "place"] == "node-b"
    assert found.loc["172.16.8.0/25", "because"] == "Node node-b has podCIDR 172.16.8.0/25"
    assert found.loc["0.0.0.0/0", "place"] == "NAT gateway"


def test_rules_are_numbered_chain_by_chain(network: Network):
    found = frames.rules(network, "node-a")
    assert list(found["number"]) == [1, 2, 3, 4, 1, 2]
    assert found.iloc[1]["rule"] == "-s 172.16.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE"


def test_pods_nodes_links_and_addresses(network: Network):
    pods = frames.pods(network).set_index("name")
    assert pods.loc["a1", "ip"] == "172.16.0.130" and pods.loc["a1", "veth"].startswith("veth")
    assert list(frames.nodes(network)["kind"]) == ["node", "node", "ecs"]
    assert "cni0" in set(frames.links(network, "node-a")["name"])
    assert "172.16.0.129/25" in set(frames.addresses(network, "node-a")["interface"])
    assert frames.neighbours(network, "a1").empty and frames.fdb(network, "a1").empty


def test_unknown_is_a_row_that_says_so():
    network = Network(written={"n": Tables(unknown=UNTOLD)})
    assert list(frames.routes(network, "n")["dst"]) == ["? unknown"]
    assert list(frames.rules(network, "n")["table"]) == ["? unknown"]


def test_nobody_is_at_a_place_that_is_not_there(network: Network):
    with pytest.raises(UnknownPlaceError):
        frames.routes(network, "node-z")


def test_steps_hold_evidence(trace: Trace):
    found = frames.steps(trace)
    assert list(found["hop"])[:3] == [1, 2, 3] and set(found["way"]) == {"there", "back"}
    first = found.iloc[0]
    assert first["decided by"] == "172.16.0.0/16 via 172.16.0.129 dev eth0"
    assert first["runner-up"] == "default via 192.168.0.253 dev eth0"
    assert first["change"] == "ttl 64 → 63"
    assert first["command"] == "kubectl exec -n default a1 -- ip route get 172.16.8.2"


def test_events_say_what_was_written(event: Event):
    for timeline in ([event], SimpleNamespace(events=[event])):
        found = frames.events(timeline)
        assert found.iloc[0]["wrote"] == "VPC: 172.16.8.0/25 Instance i-node-b (Custom)"


def test_counted_addresses_are_whole_numbers_beside_unknown_ones():
    fills = SimpleNamespace(used=4, usable=None, percent=None), SimpleNamespace(used=12, usable=500, percent=2.4)
    levels = [SimpleNamespace(name="pods", extent="", counted="", fill=fill) for fill in fills]
    found = frames.levels(SimpleNamespace(levels=levels))
    assert found["usable"].isna().to_list() == [True, False]
    assert ">500</td>" in frames.frame_html(found) and "500.0" not in found.to_string()


def test_levels_are_read_off_any_allocation():
    fill = SimpleNamespace(used=2, usable=512, percent=0.4)
    level = SimpleNamespace(name="cluster", extent="172.16.0.0/16", fill=fill, counted="blocks of /25")
    row = frames.levels(SimpleNamespace(levels=[level])).iloc[0].to_list()
    assert row == ["cluster", "172.16.0.0/16", "blocks of /25", 2, 512, 0.4]


def shown(value: object) -> str:
    shell = InteractiveShell()
    display.register(shell)
    return shell.display_formatter.format(value)[0]["text/html"]


def test_a_frame_is_shown_whole_and_to_the_left(network: Network):
    entries = frames.vpc_routes(network)
    entries.loc[4, "because"] = "x" * 80 + "<b>"
    for selected in (entries, entries[["dst", "because"]].query("because != ''").head()):
        page = shown(selected)
        assert "x" * 80 + "&lt;b&gt;" in page and "text-align:left" in page
        assert type(selected) is DataFrame and "172.16.8.0/25" in page and "<td>4</td>" not in page


def test_a_named_index_is_shown_and_nothing_is_made_of_a_number_that_is_missing(network: Network):
    nodes = frames.nodes(network).assign(used=[1, 2.5, None]).set_index("name")
    page = shown(nodes)
    assert ">node-b<" in page and ">2.5<" in page and "nan" not in page


def test_other_frames_are_shown_as_pandas_does():
    found = DataFrame({"dst": ["172.16.8.0/25"]})
    assert shown(found) == found._repr_html_()


def test_every_table_of_a_place_is_there(network: Network):
    found = sheets.place_sheets(network.tables("node-a"))
    assert [sheet.name for sheet in found] == ["addresses", "routes", "rules", "fdb", "links"]
    assert [sheet.name for sheet in sheets.vpc_sheets(network)] == ["VPC routes", "ENIs", "SNAT entries"]


def test_event_that_removes_lists_what_is_gone(event: Event):
    gone = replace(event, wrote=(), removed=event.wrote)
    assert frames.events([gone]).iloc[0]["removed"].startswith("VPC: 172.16.8.0/25")
