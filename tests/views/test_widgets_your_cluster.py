"""A dump of one's own: read as text, shown as text, and the last good result stays."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flannelviz import lab
from flannelviz.errors import DumpError

NODES_ONLY = Path("tests/data/real/aliyun/ack-node/nodes.json").read_text("utf-8")
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def cluster():
    return lab.your_cluster()


def paste(cluster, text: str) -> None:
    cluster.text.value = text
    cluster.reading.click()


def upload(cluster, name: str, raw: bytes) -> None:
    when = datetime(2020, 1, 1, tzinfo=UTC)
    file = {"name": name, "type": "", "size": len(raw), "last_modified": when, "content": memoryview(raw)}
    cluster.upload.value = (file,)


def shown(cluster) -> tuple[object, ...]:
    parts = (cluster.summary, cluster.findings, cluster.levels, cluster.table)
    return cluster.cluster, *(part.value for part in parts), cluster.picture


def test_nothing_is_shown_before_something_is_read(cluster):
    assert shown(cluster) == (None, "", "", "", "", "")
    assert not cluster.reading.disabled and not cluster.example.disabled


def test_the_first_click_on_read_reads(cluster):
    """The button was grey until the text was left, so that the click which left it was lost."""
    assert cluster.text.continuous_update and not cluster.reading.disabled
    cluster.reading.click()
    assert "there is no text yet: paste what" in cluster.text_field.message.value
    paste(cluster, lab.example_dump())
    assert cluster.cluster is not None


def test_the_verdict_comes_first(cluster):
    cluster.example.click()
    assert "✕ 2 errors in 3 nodes, 4 pods, read from the example" in cluster.summary.value.replace(
        "\N{MULTIPLICATION X}", "✕"
    )
    assert 'data-ok="no"' in cluster.summary.value
    parts = [cluster.children.index(part) for part in (cluster.summary, cluster.findings, cluster.levels)]
    assert parts == sorted(parts) and cluster.children.index(cluster.slot) > parts[-1]


def test_what_was_read_can_be_walked_and_looked_into(cluster):
    cluster.example.click()
    stage = cluster.stage
    assert "node-a" in {room["name"] for room in stage.script["pictures"][0]["inside"]["rooms"]}
    stage.wish = {"find": "172.16.8.3", "number": 1}
    assert stage.reply == {"number": 1, "says": "", "focus": stage.script["focus"]} and stage.script["focus"]
    stage.wish = {"source": "default/web-1", "destination": "default/web-2", "number": 2}
    assert stage.says.startswith("web-1 to web-2") and len(stage.script["steps"]) > 1
    paste(cluster, lab.example_dump().replace("web-1", "web-9"))
    assert cluster.stage is stage and len(stage.script["steps"]) == 1 and "web-9" in cluster.picture


def test_the_findings_can_be_copied(cluster):
    cluster.example.click()
    text = cluster.findings.value.partition("<pre>")[2]
    assert "error: node-c has 172.16.8.0/25" in text and "\n    kubectl get" in text


def test_the_places_of_the_findings_are_marked_in_the_picture(cluster):
    cluster.example.click()
    titles = re.findall(r"<title>([^<]*)</title>(?=(?:(?!</g>).)*fv-alert)", cluster.picture)
    assert sorted(title.split(";")[1].split(",")[0] for title in titles) == [
        " error: has 172.16.8.0/25",
        " error: has 172.16.9.7",
    ]
    assert titles[0].startswith("default/api-1 172.16.9.7") or titles[1].startswith("default/api-1 172.16.9.7")
    assert "a triangle with an exclamation mark marks the nodes and pods named here" in cluster.findings.value
    cluster.stage.wish = {"source": "default/web-1", "destination": "default/web-2", "number": 1}
    assert cluster.picture.count('class="fv-alert"') == 2
    cluster.cidr.value = "172.16.0.0/21"
    assert cluster.picture.count("lies outside the cluster CIDR 172.16.0.0/21") == 2
    cluster.cidr.value = ""
    sound = json.loads(lab.example_dump())
    sound["items"] = sound["items"][:2]
    paste(cluster, json.dumps(sound))
    assert "fv-alert" not in cluster.picture and "triangle" not in cluster.findings.value


def test_a_finding_with_markup_in_it_is_text_in_the_picture(cluster):
    dump = json.loads(lab.example_dump())
    dump["items"][0]["spec"]["podCIDR"] = f'{EVIL}"]]>'
    paste(cluster, json.dumps(dump))
    assert "has podCIDR" in cluster.picture and "<img" not in cluster.picture
    marks = "".join(cluster.stage.script["pictures"][0]["drawn"]["marks"])
    assert "&lt;img src=x" in marks and "<img" not in marks


def test_one_is_not_many(cluster):
    one = json.loads(lab.example_dump())
    one["items"] = [one["items"][0], one["items"][3]]
    paste(cluster, json.dumps(one))
    assert cluster.says == "nothing contradicts itself: 1 node, 1 pod"
    assert 'data-ok="yes"' in cluster.summary.value and cluster.findings.value == ""
    assert "lies outside (1 node, 1 pod, read from the pasted text)" in cluster.summary.value


def test_without_nodes_there_is_no_table_of_nodes(cluster):
    dump = json.loads(lab.example_dump())
    dump["items"] = [item for item in dump["items"] if item["kind"] == "Pod"]
    paste(cluster, json.dumps(dump))
    assert "the dump holds no nodes" in cluster.summary.value and cluster.table.value == ""


def test_the_cluster_cidr_can_be_told(cluster):
    cluster.example.click()
    assert "stroke-dasharray" in cluster.levels.value and "2 of ?" in cluster.levels.value
    cluster.cidr.value = "172.16.0.0/16"
    assert "2 of 512" in cluster.levels.value
    cluster.cidr.value = "172.16.0.1/16"
    assert "is an address inside 172.16.0.0/16" in cluster.cidr_field.message.value
    assert "counted without it" in cluster.cidr_field.message.value and "2 of ?" in cluster.levels.value
    cluster.cidr.value = ""
    assert cluster.cidr_field.message.value == "" and "2 of ?" in cluster.levels.value


def test_a_file_that_is_too_large_is_refused_with_a_way_out(cluster):
    upload(cluster, "mine.json", b" " * 10_000_001)
    said = cluster.upload_field.message.value
    assert "mine.json has 10.0 MB" in said and "more than 10 MB" in said and "read_kubectl" in said
    assert cluster.cluster is None


BAR = re.compile(r'<rect x="[\d.]+" y="(\d+)" width="[\d.]+" height="16" style="([^"]+)"')


def bars(cluster) -> list[list[str]]:
    """Return the styles of what each level's bar is made of."""
    rows: dict[str, list[str]] = {}
    for y, style in BAR.findall(cluster.levels.value):
        rows.setdefault(y, []).append(style)
    return list(rows.values())


def test_a_bar_without_an_end_has_no_share_to_fill(cluster):
    cluster.example.click()
    assert ["bridge-line" in "".join(styles) for styles in bars(cluster)] == [False, False, True]
    assert ["stroke-dasharray" in "".join(styles) for styles in bars(cluster)] == [True, True, False]
    assert cluster.levels.value.count("how far it goes is unknown") == 2


def test_a_bar_of_unknown_use_says_that_its_use_is_unknown(cluster):
    paste(cluster, NODES_ONLY)
    assert "? of 61" in cluster.levels.value
    assert cluster.levels.value.count("how much of it is used is unknown") == 1
    assert cluster.levels.value.count("how far it goes is unknown") == 2


def test_the_example_has_its_findings(cluster):
    cluster.example.click()
    assert cluster.says == "2 errors: 3 nodes, 4 pods"
    assert "has 172.16.8.0/25, the podCIDR of node-b too" in cluster.findings.value
    assert "172.16.9.7, which is not in 172.16.0.128/25" in cluster.findings.value
    assert "kubectl get pod/api-1 -n default -o wide" in cluster.findings.value


def test_what_the_dump_does_not_say_is_unknown(cluster):
    cluster.example.click()
    assert "2 of ?" in cluster.levels.value and "unknown" in cluster.picture
    nodes_only = json.loads(lab.example_dump())
    nodes_only["items"] = [item for item in nodes_only["items"] if item["kind"] == "Node"]
    paste(cluster, json.dumps(nodes_only | {"kind": "NodeList"}))
    assert "pods unknown" in cluster.says


def test_what_was_not_in_the_dump_was_not_checked(cluster):
    paste(cluster, NODES_ONLY)
    told = "podCIDRs checked; the dump holds no pods, so no pod address was"
    assert 'data-ok="part"' in cluster.summary.value and "\N{CHECK MARK}" not in cluster.summary.value
    assert (cluster.summary.value + cluster.findings.value).count(told) == 1
    assert "contradicts" not in cluster.summary.value + cluster.findings.value
    assert told in cluster.twin and told in cluster.says
    assert "1 node, pods unknown" in cluster.summary.value
    assert cluster.stage.says == "a cluster network with 1 node, pods unknown"


def test_a_changed_text_has_to_be_read_again(cluster):
    cluster.example.click()
    cluster.text.value += " "
    assert "not read yet: press Read" in cluster.text_field.message.value
    cluster.reading.click()
    assert cluster.text_field.message.value == ""
    cluster.reading.click()
    assert "read 2 times; it is the same text" in cluster.text_field.message.value


def test_the_same_text_after_a_file_changes_what_is_shown(cluster):
    cluster.example.click()
    before = shown(cluster)
    upload(cluster, "nodes.json", NODES_ONLY.encode())
    assert shown(cluster)[1:] != before[1:]
    cluster.example.click()
    assert shown(cluster)[1:] == before[1:] and cluster.text_field.message.value == ""
    upload(cluster, "bad.json", b"{")
    cluster.reading.click()
    assert "read 2 times; it is the same text" in cluster.text_field.message.value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hop 1 of 10", "is no JSON"),
        ("default via 192.168.0.253", "is what <code>ip route</code> prints"),
        ('{"kind": "List", "items": [', "ends in the middle of the JSON"),
        ('{"items": []}', "there is no node and no pod in it"),
        (EVIL, "&lt;img src=x"),
        ("/etc/hostname", "is no JSON"),
        ('{"kind": "Status", "message": "<b>Forbidden</b>"}', "&lt;b&gt;Forbidden&lt;/b&gt;"),
    ],
)
def test_a_bad_text_stands_beside_its_field_and_nothing_changes(cluster, text, says):
    cluster.example.click()
    before = shown(cluster)
    paste(cluster, text)
    said = cluster.text_field.message.value
    assert says in said and "still the one before: 2 errors: 3 nodes, 4 pods" in said
    assert "<img" not in said and "<b>" not in said
    assert shown(cluster) == before


def test_a_file_is_read_when_it_comes(cluster):
    upload(cluster, "mine.json", lab.example_dump().encode())
    assert "3 nodes, 4 pods, read from mine.json" in cluster.summary.value


def test_a_bad_file_is_called_by_its_name(cluster):
    upload(cluster, f"{EVIL}.json", b"\xff\xfe\x00nothing")
    said = cluster.upload_field.message.value
    assert "&lt;img src=x onerror=alert(1)&gt;.json" in said and "<img" not in said
    assert cluster.text_field.message.value == ""


def test_a_text_that_is_too_large_says_so():
    def read(source):
        raise DumpError("the pasted text has 70,000,000 bytes, more than 67,108,864")

    cluster = lab.your_cluster()
    cluster._read = read
    paste(cluster, "{}")
    assert "70,000,000 bytes" in cluster.text_field.message.value


def test_names_in_a_dump_are_text(cluster):
    dump = json.loads(lab.example_dump())
    for item in dump["items"]:
        item["metadata"]["name"] += EVIL
    paste(cluster, json.dumps(dump))
    assert cluster.cluster is not None
    assert all("<img" not in str(part) for part in shown(cluster)[1:])
    assert "<img src=x" not in cluster.as_html()


def test_progress_shows_while_a_large_text_is_read(cluster):
    seen = []
    cluster.progress.observe(lambda change: seen.append((change.new, cluster.progress.layout.display)), names="value")
    paste(cluster, lab.example_dump() + " " * 200_000)
    assert seen == [(1, ""), (2, ""), (3, "")]
    assert cluster.progress.layout.display == "none"
