"""A ClusterIP in a real kernel: whichever endpoint its dice choose, the packet does what the model says of that one."""

from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from flannelviz.controlplane.timeline import build
from flannelviz.dataplane.trace import trace
from flannelviz.faults import break_network
from flannelviz.kernel import Lab, agrees
from flannelviz.model import ServicePlan
from flannelviz.network import Network
from flannelviz.packet import Disposition, Trace
from flannelviz.topologies import article_plan
from tests.kernel.conftest import Found, MakeLab, in_labs

WEB, DNS, EMPTY = IPv4Address("172.19.0.10"), IPv4Address("172.19.0.53"), IPv4Address("172.19.0.99")
ENDPOINTS = ("a1", "a2", "b1")
SERVICES = (
    ServicePlan("web", WEB, 80, ENDPOINTS),
    ServicePlan("dns", DNS, 53, ENDPOINTS, 53, "udp"),
    ServicePlan("empty", EMPTY, 80, ()),
)
TERWAY = {"cni": "terway", "nodes": tuple(replace(node, pod_cidr=None) for node in article_plan().nodes)}
PLANES: dict[str, dict[str, Any]] = {
    "alloc": {},
    "alloc with hairpin, rules of today": {"hairpin": True, "rules": "head"},
    "host-gw on a switch": {"backend": "host-gw", "fabric": "switch"},
    "vxlan": {"backend": "vxlan", "hairpin": True},
    "vxlan with rules of today": {"backend": "vxlan", "rules": "head"},
    "Terway": TERWAY,
}
SOURCES = ("a1", "b2", "node-a", "node-b", "db")
FLOWS = 15  # of the source that is an endpoint as well


def network(**changes: Any) -> Network:
    return build(replace(article_plan(), vpc_decrements_ttl=True, services=SERVICES, **changes)).network


def of_the_same_endpoint(net: Network, seen: Trace, source: str, service: ServicePlan, sport: int) -> Trace:
    """The model's trace with the dice that chose what the kernel has chosen; with the first where it chose none."""
    asked = {"proto": service.proto, "dport": service.port, "sport": sport}
    count = max(len(service.endpoints), 1)
    found = [trace(net, source, service.cluster_ip, dice=(n + 0.5) / count, **asked) for n in range(count)]
    return next((one for one in found if agrees(one, seen) == ()), found[0])


def differences(changes: dict[str, Any]) -> dict[tuple[str, str, int], tuple[str, ...]]:
    """What a lab of such a plane does in another way than the model says, by flow."""
    net, found = network(**changes), {}
    flows = [
        (service, source, sport)
        for service in SERVICES
        for source in SOURCES
        for sport in range(30000, 30000 + (FLOWS if source == "a1" else 3))
    ]
    with Lab(net) as lab:
        for service, source, sport in flows:
            asked = {"proto": service.proto, "dport": service.port, "sport": sport}
            seen = lab.trace(source, service.cluster_ip, **asked)
            found[source, service.name, sport] = agrees(of_the_same_endpoint(net, seen, source, service, sport), seen)
    return {flow: words for flow, words in found.items() if words}


@in_labs(differences, {name: (changes,) for name, changes in PLANES.items()})
def test_each_endpoint_is_reached_as_the_model_says(found: Found) -> None:
    assert found.result() == {}


def chosen(lab: Lab, source: str, sport: int, **options: Any) -> str:
    """The place at which a packet to the Service `dns` arrived."""
    seen = lab.trace(source, DNS, proto="udp", dport=53, sport=sport, **options)
    assert seen.disposition is Disposition.ACCEPTED
    return seen.request[-1].place


def test_flows_are_shared_evenly_and_each_stays_with_its_endpoint(make_lab: MakeLab) -> None:
    lab = make_lab(network(hairpin=True))
    counts = Counter(chosen(lab, "b2", sport) for sport in range(30000, 30300))
    assert set(counts) == {f"default/{name}" for name in ENDPOINTS}
    assert all(60 <= count <= 140 for count in counts.values()), counts  # 100 each; five deviations of 8.2 are 41
    first = chosen(lab, "b2", 40000)
    assert {chosen(lab, "b2", 40000, warm=True) for _ in range(12)} == {first}


@pytest.mark.parametrize("rules", ["v0.10", "head"])
@pytest.mark.parametrize("hairpin", [True, False])
def test_a_pod_behind_its_own_service_needs_hairpin_mode(rules: str, hairpin: bool, make_lab: MakeLab) -> None:
    alone = (ServicePlan("web", WEB, 80, ("a1",)),)
    net = build(replace(article_plan(), services=alone, rules=rules, hairpin=hairpin)).network  # type: ignore[arg-type]
    model, seen = trace(net, "a1", WEB, proto="tcp", dport=80), make_lab(net).trace("a1", WEB, proto="tcp", dport=80)
    assert agrees(model, seen) == ()
    assert seen.ok is hairpin
    if hairpin:
        assert str(seen.source_seen) == "172.16.0.129"  # masqueraded as cni0, or a1 would answer itself
    else:
        assert (seen.died_at, seen.disposition) == ("node-a", Disposition.UNDELIVERABLE)


def test_a_service_without_endpoints_refuses(make_lab: MakeLab) -> None:
    net = network()
    seen = make_lab(net).trace("a1", EMPTY, proto="tcp", dport=80)
    assert (seen.died_at, seen.disposition) == ("node-a", Disposition.DENIED)
    assert seen.request[-1].icmp is not None
    assert (seen.request[-1].icmp.what, str(seen.request[-1].icmp.source)) == ("port unreachable", "172.16.0.129")


def test_without_bridge_nf_an_answer_comes_from_an_address_that_was_not_asked(make_lab: MakeLab) -> None:
    near = (ServicePlan("dns", DNS, 53, ("a2",), 53, "udp"),)
    net = break_network(build(replace(article_plan(), services=near)).network, "bridge-nf-off", "node-a")
    asked: dict[str, Any] = {"proto": "udp", "dport": 53}
    seen = make_lab(net).trace("a1", DNS, **asked)
    assert agrees(trace(net, "a1", DNS, **asked), seen) == ()
    assert seen.reply_disposition is Disposition.UNEXPECTED
