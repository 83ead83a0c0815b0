"""What a journey taught shows up in the tables, in the words of the tools."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from flannelviz.dataplane.trace import trace
from flannelviz.network import Network
from flannelviz.packet import Flow, Learned
from flannelviz.topologies import article
from flannelviz.views import frames, text
from flannelviz.views.display import HTML, describe
from flannelviz.views.rowtext import row_text


@pytest.fixture(scope="module")
def learned() -> Learned:
    return trace(article(), "a1", "Internet").learned


@pytest.fixture(scope="module")
def taught(learned: Learned) -> Network:
    return text.with_learned(article(), learned)


def test_who_asks_finds_an_entry_and_who_was_asked_has_one_that_waits(taught: Network):
    assert text.ip_neigh(taught["a1"]) == "172.16.0.129 dev eth0 lladdr 0a:58:ac:10:00:81 REACHABLE"
    assert text.ip_neigh(taught["node-a"]).splitlines() == [
        "192.168.0.253 dev eth0 lladdr ee:ff:ff:ff:ff:ff REACHABLE",
        "172.16.0.130 dev cni0 lladdr 0a:58:ac:10:00:82 DELAY",
    ]
    assert text.bridge_fdb(taught["node-a"]).splitlines() == [
        "0a:58:ac:10:00:81 dev cni0 master cni0 permanent",
        "0a:58:ac:10:00:82 dev vetheb6e8c0e master cni0",
        "3a:00:eb:6e:8c:0e dev vetheb6e8c0e master cni0 permanent",
        "3a:00:72:67:dd:b4 dev veth7267ddb4 master cni0 permanent",
    ]
    assert "bridge fdb" in dict(text.table_texts(taught, "node-a"))


def test_a_cold_network_shows_nothing_of_it(taught: Network):
    assert text.ip_neigh(article()["a1"]) == text.bridge_fdb(article()["a1"]) == ""
    assert all(line.endswith(" permanent") for line in text.bridge_fdb(article()["node-a"]).splitlines())
    assert text.with_learned(article(), Learned()).written == article().written
    assert text.ip_neigh(taught["b1"]) == ""


def test_frames_show_it_with_its_author(learned: Learned):
    found = frames.neighbours(article(), "node-a", learned)
    assert list(found["state"]) == ["REACHABLE", "DELAY"] and set(found["component"]) == {"kernel"}
    known = frames.fdb(article(), "node-a", learned)
    assert list(known["state"]) == ["permanent", "", "permanent", "permanent"]
    assert set(known["master"]) == {"cni0"} and set(known["component"]) == {"kernel"}
    assert frames.neighbours(article(), "node-a").empty
    assert set(frames.learned(learned)["command"]) == {"ip neigh", "bridge fdb", "conntrack -L", "NAT gateway"}


def test_a_flow_is_told_as_conntrack_tells_its_tuples(learned: Learned):
    there, back = "src=172.16.0.130 dst=203.0.113.10", "src=203.0.113.10 dst=192.168.0.10"
    wanted = f"icmp {there} type=8 code=0 id=40000 {back} type=0 code=0 id=40000"
    assert text.conntrack(learned, "node-a") == wanted
    pod, web = int(IPv4Address("172.16.0.130")), int(IPv4Address("172.19.0.10"))
    flow = Flow(("tcp", pod, 40000, web, 80), ("tcp", web + 1, 8080, pod, 40000))
    original = "src=172.16.0.130 dst=172.19.0.10 sport=40000 dport=80"
    assert row_text(flow) == f"tcp {original} src=172.19.0.11 dst=172.16.0.130 sport=8080 dport=40000"


def test_what_was_learned_shows_itself(learned: Learned):
    lines = describe(learned).splitlines()
    assert lines[0] == "learned:" and len(lines) == 2 + 6
    assert lines[2].split() == [
        *("default/a1", "ip", "neigh"),
        *("172.16.0.129", "dev", "eth0", "lladdr", "0a:58:ac:10:00:81"),
    ]
    assert "<table" in HTML[Learned](learned)
    assert describe(Learned()) == "no place has learned anything" and "nothing" not in HTML[Learned](Learned())
    small = Learned(path_mtu={("default/a1", IPv4Address("203.0.113.10")): 1400})
    assert describe(small).splitlines()[2].split()[1:] == ["ip", "route", "get", "203.0.113.10", "mtu", "1400"]
