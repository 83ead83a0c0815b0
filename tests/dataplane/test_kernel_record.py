"""The model says what a real kernel did: packets recorded on Linux 6.18, replayed through the tables.

The record (tests/data/kernel) holds 138 packets. Replayed here are those that need what is modelled so far: the alloc
backend, no Services, no other program's conntrack. KNOWN holds the lines on which model and record differ, with the
reason; nothing else may differ.
"""

import json
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from flannelviz.controlplane.timeline import build
from flannelviz.dataplane.trace import trace
from flannelviz.faults import break_network
from flannelviz.model import ClusterPlan, NodePlan, VSwitch
from flannelviz.network import Network
from flannelviz.packet import Disposition, Trace

RECORD = Path(__file__).parents[1] / "data" / "kernel" / "observed-linux-6.18.jsonl"
LINES = [json.loads(line) for line in RECORD.read_text().splitlines() if '"case"' in line]
LATER = ("backend", "nodes", "masq")  # spec keys of other backends, a duplicate podCIDR, flanneld without --ip-masq
LATER_CASES = ("service", "conntrack", "source ports", "external-route")
NODES = (
    ("node-a", "192.168.0.10", "172.16.0.128/25"),
    ("node-b", "192.168.0.11", "172.16.8.0/25"),
    ("node-c", "192.168.0.12", "172.16.9.0/25"),
)
# The laboratory's router stands in for the VPC, and its outside host knows a way to the VPC CIDR.
KNOWN = {
    17: "the laboratory's outside host reaches private addresses; the Internet does not",
    24: "the VPC answers ARP for every vSwitch address, the laboratory's router only for those that exist",
    59: "the laboratory has no NAT gateway; with one, the node's own packet dies behind it",
}


def _modelled(line: dict[str, Any]) -> bool:
    return (
        not any(key in line["spec"] for key in LATER)
        and not line["case"].startswith(LATER_CASES)
        and line.get("serve", "somebody") is not None
    )


REPLAYED = [pytest.param(i, line, id=f"{i}-{line['case']}") for i, line in enumerate(LINES) if _modelled(line)]


def laboratory(spec: dict[str, Any]) -> Network:
    """The recorded cluster: one wide vSwitch, and a router for a VPC, which counts the TTL."""
    return build(
        ClusterPlan(
            vswitches=(VSwitch("vsw-a", IPv4Network("192.168.0.0/16")),),
            nodes=tuple(NodePlan(n, (f"{n}-web", f"{n}-db"), IPv4Address(a), IPv4Network(c)) for n, a, c in NODES),
            rules=spec.get("rules", "v0.10"),
            vpc_decrements_ttl=True,
        )
    ).network


def place(name: str) -> str:
    """The record's name for a place, in ours."""
    if name == "external":
        return "Internet"
    return name.replace("/", "-") if "/" in name else name


def broken(network: Network, line: dict[str, Any]) -> Network:
    faults = [text for text in line["faults"] if text != "warm"]
    if line["spec"].get("bridge_nf") is False:
        faults.append("bridge-nf-off:node-a")
    if line["spec"].get("rp_filter"):
        faults += [f"rp-filter-strict:{name}" for name, _, _ in NODES]
    for text in faults:
        name, target = text.split(">")[0].split(":")
        network = break_network(network, name, place(target))
    return network


def replay(line: dict[str, Any]) -> Trace:
    network = laboratory(line["spec"])
    source, destination = place(line["from"]), place(line["to"])
    learned = trace(network, source, destination).learned if "warm" in line["faults"] else None
    options = {key: line[key] for key in ("ttl", "size", "proto") if key in line}
    return trace(broken(network, line), source, destination, learned=learned, **options)


def verdict(found: Trace) -> str:
    """Our trace in the record's words, as far as they go."""
    here = str(found.died_at or found.request[-1].place).replace("default/", "").replace("Internet", "external").lower()
    if found.ok:
        return f"ok: {here}"
    if found.disposition is Disposition.ACCEPTED:
        return f"reply lost in {here}"
    return f"loop, dead in {here}" if found.disposition is Disposition.LOOP else f"lost in {here}"


def recorded_verdict(line: dict[str, Any]) -> str:
    got: str = line["got"]
    words = got.split(" saw ")[0] if got.startswith("ok") else got.split(":")[0]
    return words.replace("/", "-")


@pytest.mark.parametrize(("number", "line"), REPLAYED)
def test_the_packet_meets_the_same_fate(number: int, line: dict[str, Any]) -> None:
    same = verdict(replay(line)) == recorded_verdict(line)
    assert same is (number not in KNOWN), KNOWN.get(number)


@pytest.mark.parametrize(("number", "line"), REPLAYED)
def test_the_receiver_sees_the_same_source(number: int, line: dict[str, Any]) -> None:
    receiver = line["report"].get("receiver")
    if number in KNOWN or receiver is None:
        assert number in KNOWN or not line["report"]["delivered"]
        return
    seen = str(replay(line).source_seen)
    assert seen == ("198.51.100.1" if receiver["ns"] == "external" else receiver["saw_src"])


@pytest.mark.parametrize(("number", "line"), REPLAYED)
def test_the_ttl_on_arrival_is_the_same(number: int, line: dict[str, Any]) -> None:
    receiver = line["report"].get("receiver")
    if number not in KNOWN and receiver is not None and receiver.get("ttl") is not None:
        assert replay(line).request[-1].sent.ttl == receiver["ttl"]


def test_most_of_the_record_is_replayed() -> None:
    assert (len(LINES), len(REPLAYED)) == (138, 90)
