"""A dump of one's own: read as text, shown as text, and the last good result stays."""

import json
from datetime import UTC, datetime

import pytest

from flannelviz import lab
from flannelviz.errors import DumpError

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
    return cluster.cluster, cluster.summary.value, cluster.levels.value, cluster.screen.value, cluster.table.value


def test_nothing_is_shown_before_something_is_read(cluster):
    assert shown(cluster) == (None, "", "", "", "")
    assert cluster.reading.disabled and not cluster.example.disabled


def test_the_example_has_its_findings(cluster):
    cluster.example.click()
    assert cluster.says == "3 nodes, 4 pods"
    assert "has 172.16.8.0/25, the podCIDR of node-b too" in cluster.table.value
    assert "172.16.9.7, which is not in 172.16.0.128/25" in cluster.table.value
    assert "kubectl get pod/api-1 -n default -o wide" in cluster.table.value
    assert cluster.example.disabled and cluster.reading.disabled


def test_what_the_dump_does_not_say_is_unknown(cluster):
    cluster.example.click()
    assert "2 of ?" in cluster.levels.value and "unknown" in cluster.screen.value
    nodes_only = json.loads(lab.example_dump())
    nodes_only["items"] = [item for item in nodes_only["items"] if item["kind"] == "Node"]
    paste(cluster, json.dumps(nodes_only | {"kind": "NodeList"}))
    assert "pods unknown" in cluster.says


def test_a_changed_text_has_to_be_read_again(cluster):
    cluster.example.click()
    cluster.text.value += " "
    assert "not read yet: press Read" in cluster.text_field.message.value
    assert not cluster.reading.disabled
    cluster.reading.click()
    assert cluster.text_field.message.value == "" and cluster.reading.disabled


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("default via 192.168.0.253", "is no JSON"),
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
    assert says in said and "still the one before: 3 nodes, 4 pods" in said
    assert "<img" not in said and "<b>" not in said
    assert shown(cluster) == before


def test_a_file_is_read_when_it_comes(cluster):
    upload(cluster, "mine.json", lab.example_dump().encode())
    assert "Read from mine.json: 3 nodes, 4 pods" in cluster.summary.value


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
