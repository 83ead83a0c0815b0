"""The model says what a real kernel did: 138 packets recorded on Linux 6.18, replayed through the tables.

Packets of one case go through one cluster in file order, since ARP, FDB and conntrack carry over. For every line the
model must agree on the verdict, the place of death, the source that the receiver saw, every hop with its devices,
addresses, MACs and TTL, and the ICMP errors with what they say and who says it. LEDGER holds the known deviations; it
is empty.
"""

import json
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from flannelviz.dataplane.trace import trace
from flannelviz.model import INTERNET, VPC
from flannelviz.network import Network
from flannelviz.packet import Disposition, Hop, Learned, Trace
from flannelviz.tables import veth_name
from tests.dataplane.laboratory import broken, laboratory, warmed

RECORD = Path(__file__).parents[1] / "data" / "kernel" / "observed-linux-6.18.jsonl"
LINES = [json.loads(line) for line in RECORD.read_text().splitlines() if '"case"' in line]
LEDGER: dict[int, str] = {}  # line -> why model and record differ
NAMES = {"external": INTERNET, "vpc": VPC}


@cache
def replayed() -> dict[int, tuple[Network, Trace]]:
    """Every line's network and trace."""
    return dict(
        found
        for _, group in groupby(enumerate(LINES), key=lambda pair: pair[1]["case"])
        for found in _case(list(group))
    )


def _case(lines: list[tuple[int, dict[str, Any]]]) -> list[tuple[int, tuple[Network, Trace]]]:
    healthy = laboratory(lines[0][1]["spec"])
    learned = warmed(healthy) if "warm" in lines[0][1]["faults"] else Learned()
    found = []
    for number, line in lines:
        network = broken(healthy, line["faults"])
        options = {key: line[key] for key in ("ttl", "size", "proto", "sport") if key in line}
        served = line.get("serve", "somebody") is not None
        source, destination = (NAMES.get(line[key], line[key]) for key in ("from", "to"))
        seen = trace(network, source, destination, dport=line.get("port", 0), served=served, learned=learned, **options)
        learned = seen.learned
        found.append((number, (network, seen)))
    return found


def verdict(found: Trace) -> str:
    """Our trace in the record's words, as far as they go without the reason."""
    if found.ok:
        return f"ok: {_name(found.request[-1].place)} saw {found.source_seen}"
    place = _name(str(found.died_at))
    if found.disposition is Disposition.ACCEPTED:
        return f"reply lost in {place}: {_name(found.request[-1].place)} saw {found.source_seen}"
    return f"loop, dead in {place}" if found.disposition is Disposition.LOOP else f"lost in {place}"


def _name(place: str) -> str:
    return {INTERNET: "external", VPC: "vpc"}.get(place, place)


def recorded_verdict(line: dict[str, Any]) -> str:
    got: str = line["got"]
    return got.split(":")[0] if got.startswith("lost in") else got


WHY = {
    "ARP unanswered": Disposition.NEIGHBOR_UNREACHABLE,
    "TTL exceeded": Disposition.TTL_EXCEEDED,
    "EMSGSIZE": Disposition.MTU_EXCEEDED,
    "fragmentation needed": Disposition.MTU_EXCEEDED,
    "ENETUNREACH": Disposition.NO_ROUTE,
    "net unreachable": Disposition.NO_ROUTE,
    "EHOSTUNREACH": Disposition.LINK_DOWN,
    "host unreachable": Disposition.LINK_DOWN,
    "RST": Disposition.REFUSED,
    "port unreachable": Disposition.REFUSED,
}


def hop_rows(network: Network, hops: tuple[Hop, ...]) -> list[tuple[object, ...]]:
    """Our hops as a sniffer sees them: what left a place, and what came to one without leaving it again."""
    return [_row(network, hop) for hop in hops if hop.in_dev is not None or _left(hop)]


def _left(hop: Hop) -> bool:
    """Whether the packet was seen leaving: on a wire, on lo, or on a bridge that did not pass it on."""
    if hop.disposition is Disposition.UNDELIVERABLE:
        return hop.out_dev is not None
    return hop.disposition is Disposition.FORWARDED or hop.out_dev == "lo"


def _row(network: Network, hop: Hop) -> tuple[object, ...]:
    carrier = hop.sent if _left(hop) else hop.received
    packet = carrier.inner or carrier
    out = _device(network, hop.place, hop.out_dev) if _left(hop) else None
    row = (_name(hop.place), _device(network, hop.place, hop.in_dev), out, str(packet.src), str(packet.dst), packet.ttl)
    return (*row, *map(_known_mac, (packet.src_mac, packet.dst_mac))) if _macs_matter(row) else row


def _macs_matter(row: tuple[object, ...]) -> bool:
    """MACs are compared on the wires of the cluster; lo has none, and the outside is not ours."""
    return row[2] not in (None, "lo", "ext0") and row[0] != "external"


def _known_mac(mac: str) -> str:
    """Whose MAC it is matters; those that the kernel draws at random are all the same to us."""
    return mac if mac.startswith(("0a:58:", "00:16:3e:", "ee:ff:")) else "random"


def _device(network: Network, place: str, dev: str | None) -> str | None:
    if dev is None or dev == INTERNET:
        return {VPC: "ext0", INTERNET: "eth0"}.get(place, dev) if dev else None
    if place == VPC:
        return next((f"ecs-{ecs.name}" for ecs in network.ecs.values() if ecs.instance_id == dev), dev)
    return next((f"veth@{pod.split('/')[1]}" for pod in network.pods_on(place) if veth_name(pod) == dev), dev)


def recorded_rows(hops: list[dict[str, Any]], network: Network) -> list[tuple[object, ...]]:
    return [_recorded_row(hop, network) for hop in hops]


def _recorded_row(hop: dict[str, Any], network: Network) -> tuple[object, ...]:
    side = "out" if hop.get("out") else "in"
    row = (hop["ns"], hop["in"], hop["out"], hop[f"src_{side}"], hop[f"dst_{side}"], hop[f"ttl_{side}"])
    if not _macs_matter(row):
        return row
    return (*row, *(_known_mac(_mac(hop[f"{kind}_out"], network)) for kind in ("smac", "dmac")))


def _mac(mac: str, network: Network) -> str:
    """The laboratory numbers its ECS 00:16:3e:00:00:00 and up; ours follow from the address."""
    nodes = list(network.ecs.values())
    return nodes[int(mac[-2:], 16)].mac if mac.startswith("00:16:3e:00:00:") else mac


ALL = [pytest.param(number, line, id=f"{number}-{line['case']}") for number, line in enumerate(LINES)]


@pytest.mark.parametrize(("number", "line"), ALL)
def test_the_packet_meets_the_same_fate(number: int, line: dict[str, Any]) -> None:
    _, found = replayed()[number]
    assert verdict(found) == recorded_verdict(line)
    why = line["got"].partition(": ")[2]
    if line["got"].startswith("lost in") and why:
        assert found.disposition is WHY[why]


@pytest.mark.parametrize(("number", "line"), ALL)
def test_every_hop_is_the_same(number: int, line: dict[str, Any]) -> None:
    network, found = replayed()[number]
    for ours, theirs in ((found.request, "hops"), (found.reply, "reply_hops")):
        rows = hop_rows(network, ours)
        assert _as_recorded(rows) == recorded_rows(line["report"][theirs], network)


def _as_recorded(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """The record keeps the first nine and the last three visits of a loop."""
    return [*rows[:9], *rows[-3:]] if len(rows) > 12 else rows


@pytest.mark.parametrize(("number", "line"), ALL)
def test_the_icmp_errors_are_the_same(number: int, line: dict[str, Any]) -> None:
    _, found = replayed()[number]
    said = [hop.icmp.what for hop in found.hops if hop.icmp is not None and hop.icmp.source is not None]
    ours = [
        (what, _name(hops[0].place), str(hops[0].received.src), _name(hops[-1].place))
        for what, hops in zip(said, found.errors, strict=True)
    ]
    assert ours == _recorded_errors(line["report"]["icmp_errors"])


def _recorded_errors(errors: list[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    """What is said, by whom, from which address, and where it ended; what a node translated on its way is one error."""
    grouped = [list(group) for _, group in groupby(errors, key=_said)]
    return [(_said(g[0])[0], g[0]["said_by"], g[0]["src"], g[-1]["last_seen"].split(":")[0]) for g in grouped]


def _said(error: dict[str, Any]) -> tuple[str, str]:
    """What an error says, in the words of the model, and from which address."""
    return error["what"].split(" (about")[0].replace("TTL", "time"), error["src"]


def test_the_ledger_is_empty_and_the_record_whole() -> None:
    assert len(LINES) == 138
    assert LEDGER == {}
