"""A value shows itself as the last line of a cell, with nothing to call but the import."""

import re
import subprocess
import sys

from flannelviz import allocation, describe, read_kubectl
from tests.checkout import ROOT

CELL = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
from flannelviz import article, break_network, trace
network = article()
found = trace(network, "a1", "b1")
for value in (network, found, found.hops[1], network["node-a"], network["VPC"]):
    shown, _ = shell.display_formatter.format(value)
    assert "<table" in shown["text/html"], value
    assert "\\n" in shown["text/plain"] and "object at 0x" not in shown["text/plain"], value
"""

FINDINGS = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
from flannelviz import allocation, article, break_network, describe
sound, broken = (allocation(n) for n in (article(), break_network(article(), "duplicate-pod-cidr", "node-a")))
for value in (broken, broken.findings, broken.findings[0]):
    shown, _ = shell.display_formatter.format(value)
    assert "<table" in shown["text/html"] and "<b>findings</b>" in shown["text/html"], value
    assert "pod-cidr-duplicate" in shown["text/plain"] and "Finding(" not in shown["text/plain"], value
    assert describe(value) == shown["text/plain"]
assert "levels:" in describe(broken)
shown, _ = shell.display_formatter.format(sound.findings)
assert shown["text/plain"] == "no findings: nothing contradicts itself" and "<p>no find" in shown["text/html"]
assert sound.findings == ()
"""


def test_values_show_themselves_in_ipython() -> None:
    subprocess.run([sys.executable, "-c", CELL], check=True)


def test_findings_show_themselves_as_a_table() -> None:
    subprocess.run([sys.executable, "-c", FINDINGS], check=True)


def test_what_is_unknown_of_a_level_shows_as_unknown() -> None:
    dump = ROOT / "tests" / "data" / "real" / "aliyun" / "ack-node" / "nodes.json"
    told = describe(allocation(read_kubectl(dump).network))
    assert "None" not in told and re.search(r"addresses of nodes +1 +\? +\?", told)


def test_a_terminal_shows_one_line() -> None:
    code = "from flannelviz import article, trace; n = article(); print(repr(n)); print(repr(trace(n, 'a1', 'b1')))"
    lines = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.splitlines()
    assert lines[0] == "<Network: 2 nodes, 4 pods, 5 VPC entries>"
    assert lines[1].startswith("<Trace default/a1 -> 172.16.8.2: accepted, reply accepted; default/a1 > node-a > VPC")
