"""What counts as a difference between the model's trace and a kernel's, and how it is put into words."""

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from flannelviz.controlplane.timeline import build
from flannelviz.dataplane.trace import trace
from flannelviz.faults import break_network
from flannelviz.kernel import agrees
from flannelviz.kernel.blueprint import SPENT
from flannelviz.model import ServicePlan
from flannelviz.packet import Disposition, Hop, Packet, Step, Trace
from flannelviz.topologies import article_plan, plan
from tests.kernel.conftest import MakeLab, counted
from tests.kernel.test_rules import rejecting

MODEL = trace(counted(), "a1", "b1")
LOST = trace(break_network(counted(), "ip-forward-off"), "a1", "b1")
UNREACHABLE = trace(counted(), "a1", "172.16.8.99")


NODE_A = counted().tables("node-a")
DEFAULT = [route for route in NODE_A.routes if route.dst.prefixlen == 0]
LOCAL = trace(counted(), "node-a", "node-a")
CLOSED = trace(counted(), "node-a", "node-a", proto="udp", dport=53, served=False)
WEB = ServicePlan("web", IPv4Address("172.19.0.10"), 80, ("a2",))
SERVED = build(replace(article_plan(), services=(WEB,))).network
NOT_PASSED_ON = trace(
    break_network(SERVED, "forward-drop-without-flanneld", "node-a"), "a1", "172.19.0.10", proto="tcp", dport=80
)
REJECTED = trace(rejecting("FORWARD", "icmp-net-unreachable"), "a1", "b1")
ROUTELESS_NETWORK = counted().writing("node-a", NODE_A.without(*DEFAULT))
ROUTELESS = trace(ROUTELESS_NETWORK, "a1", "b1")


def with_hop(journey: Trace, number: int, **changes: Any) -> Trace:
    hops = list(journey.request)
    hops[number] = replace(hops[number], **changes)
    return replace(journey, request=tuple(hops), disposition=hops[-1].disposition)


def packet(hop: Hop, **changes: Any) -> Any:
    return replace(hop.sent, **changes)


def test_a_trace_agrees_with_itself() -> None:
    assert agrees(MODEL, MODEL) == agrees(LOST, LOST) == agrees(UNREACHABLE, UNREACHABLE) == ()


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (
            with_hop(MODEL, 1, out_dev="eth1"),
            "request, hop 2 (node-a) goes out by: the model says eth0, the kernel eth1",
        ),
        (
            with_hop(MODEL, 1, sent=packet(MODEL.request[1], ttl=64)),
            "request, hop 2 (node-a) sends ttl: the model says 63, the kernel 64",
        ),
        (
            with_hop(MODEL, 4, sent=packet(MODEL.request[4], src=IPv4Address("192.168.0.10"))),
            "source seen: the model says 172.16.0.130, the kernel 192.168.0.10",
        ),
        (
            with_hop(MODEL, 1, sent=packet(MODEL.request[1], dst_mac="")),
            "request, hop 2 (node-a) sends dst_mac: the model says ee:ff:ff:ff:ff:ff, the kernel ",
        ),
        (replace(MODEL, reply=()), "reply sent: the model says True, the kernel False"),
        (
            replace(MODEL, request=MODEL.request[:4], disposition=Disposition.FORWARDED),
            "request ends at: the model says default/b1, the kernel node-b",
        ),
    ],
)
def test_a_difference_is_put_into_words(kernel: Trace, words: str) -> None:
    assert words in agrees(MODEL, kernel)


@pytest.mark.parametrize("asked", [{"dport": 53}, {}], ids=["a port asked for", "any port"])
@pytest.mark.parametrize("change", [{"sport": 1}, {"size": 9000}, {"dont_fragment": False}, {"proto": "tcp"}])
@pytest.mark.parametrize("backend", ["alloc", "vxlan"])
def test_headers_of_any_hop_are_compared(change: dict[str, Any], asked: dict[str, int], backend: Any) -> None:
    model = trace(build(replace(article_plan(), backend=backend)).network, "a1", "b1", proto="udp", **asked)
    for way in ("request", "reply"):
        kernel = replace(model, **{way: changed_on_the_way(getattr(model, way), **change)})
        asks_any = way == "reply" and not asked
        assert (agrees(model, kernel) == ()) is (asks_any and "sport" in change)


def changed_on_the_way(hops: tuple[Hop, ...], **changes: Any) -> tuple[Hop, ...]:
    """The hops, with other headers from the third on: those of the packet, in a tunnel or not."""

    def other(one: Packet) -> Packet:
        return replace(one, inner=other(one.inner)) if one.inner is not None else replace(one, **changes)

    return (*hops[:2], *(replace(hop, received=other(hop.received), sent=other(hop.sent)) for hop in hops[2:]))


def test_the_askers_port_is_compared_until_masquerading_draws_one() -> None:
    drawing = build(replace(article_plan(), rules="head", vpc_decrements_ttl=True)).network
    model = trace(drawing, "a1", "Internet", proto="udp", dport=53)
    assert agrees(model, with_hop(model, 2, sent=packet(model.request[2], sport=61000))) == ()
    assert agrees(model, with_hop(model, 0, sent=packet(model.request[0], sport=61000))) != ()


def test_what_an_icmp_error_quotes_is_compared() -> None:
    def quoting(**changes: Any) -> Trace:
        (error,) = UNREACHABLE.errors
        about = error[1].received.about
        assert about is not None
        received = replace(error[1].received, about=replace(about, **changes))
        return replace(UNREACHABLE, errors=((error[0], replace(error[1], received=received), *error[2:]),))

    for changes in ({"ttl": 9}, {"dst": IPv4Address("172.16.8.98")}, {"size": 85}, {"sport": 9}, {"proto": "udp"}):
        (words,) = agrees(UNREACHABLE, quoting(**changes))
        assert words.startswith(f"ICMP error, hop 2 (VPC) receives, in its quote, {next(iter(changes))}: ")


def test_of_a_tunnels_packet_that_dies_at_once_the_inner_one_is_compared() -> None:
    network = break_network(build(plan(2, 2, backend="vxlan", fabric="switch")).network, "eth0-down", "node-b")
    model = trace(network, "node-a", "b1")
    (last,) = model.request
    assert last.sent.inner is not None and last.out_dev == "eth0"
    entered = with_hop(model, -1, out_dev="flannel.1", sent=last.sent.inner)
    assert agrees(model, entered) == ()
    assert agrees(model, with_hop(entered, -1, sent=replace(last.sent.inner, ttl=9)))
    assert agrees(model, with_hop(entered, -1, out_dev="eth0")), "on the wire it has to be in the tunnel"


def test_an_icmp_error_about_a_reset_is_compared_up_to_the_nat_gateway() -> None:
    cut_off = break_network(counted(), "veth-detached", "default/a1")
    model = trace(cut_off, "a1", "Internet", proto="tcp", dport=443, served=False)
    (error,) = model.errors
    assert [hop.place for hop in error] == ["node-a", "VPC", "Internet"]
    forgotten = replace(error[1], disposition=Disposition.UNKNOWN, out_dev=None)
    assert agrees(model, replace(model, errors=((error[0], forgotten),))) == ()
    assert agrees(model, replace(model, errors=((replace(error[0], out_dev="eth1"), forgotten),)))
    assert agrees(model, replace(model, errors=()))


def test_the_mtu_that_an_icmp_error_tells_is_compared() -> None:
    model = trace(break_network(counted(), "eth0-mtu-1400"), "a1", "b1", size=1480)
    last = model.request[-1]
    assert last.icmp is not None and last.icmp.mtu == 1400
    other = with_hop(model, -1, icmp=replace(last.icmp, mtu=1300))
    assert any("fragmentation needed, MTU 1400, from" in words for words in agrees(model, other))


@pytest.mark.parametrize(
    ("model", "number", "changes"),
    [
        pytest.param(MODEL, 1, {"src_mac": ""}, id="a MAC that the model leaves blank"),
        pytest.param(NOT_PASSED_ON, -1, {"src": IPv4Address("192.0.2.1")}, id="where it dies, behind the device"),
    ],
)
def test_headers_that_leave_are_compared(model: Trace, number: int, changes: dict[str, Any]) -> None:
    other = with_hop(model, number, sent=packet(model.request[number], **changes))
    assert agrees(model, other) != () and agrees(other, model) != ()


@pytest.mark.parametrize("model", [LOCAL, CLOSED, NOT_PASSED_ON], ids=["own", "own, closed", "dropped behind a device"])
def test_the_last_device_is_compared(model: Trace) -> None:
    assert model.request[-1].out_dev is not None
    assert agrees(model, with_hop(model, -1, out_dev="eth9")) != ()
    assert agrees(with_hop(model, -1, out_dev=None), model) != ()


@pytest.mark.parametrize(
    ("model", "end"),
    [
        (UNREACHABLE, Disposition.LINK_DOWN),
        (UNREACHABLE, Disposition.ACCEPTED),
        (REJECTED, Disposition.NO_ROUTE),
        (REJECTED, Disposition.REFUSED),
        (trace(counted(), "node-a", "172.16.0.199"), Disposition.ACCEPTED),  # it tells itself
    ],
)
def test_ends_that_a_lab_tells_apart_are_compared(model: Trace, end: Disposition) -> None:
    assert any("ends as" in words for words in agrees(model, with_hop(model, -1, disposition=end)))


def test_net_unreachable_is_rationed_for_want_of_a_route_only() -> None:
    def unsaid(model: Trace, *known: str) -> Trace:
        last = model.request[-1]
        steps = (Step(last.place, "known", (said,), None, None, last.sent, last.sent) for said in known)
        return replace(with_hop(model, -1, icmp=None, steps=(*last.steps, *steps)), errors=())

    for model in (ROUTELESS, REJECTED):
        last = model.request[-1]
        assert last.icmp is not None and last.icmp.what == "net unreachable" and len(model.errors) == 1
    assert agrees(ROUTELESS, unsaid(ROUTELESS, f"{SPENT}172.16.0.130")) == ()
    for other in (unsaid(ROUTELESS), unsaid(REJECTED), unsaid(REJECTED, f"{SPENT}172.16.0.130")):
        model = ROUTELESS if other.disposition is Disposition.NO_ROUTE else REJECTED
        assert any("answers with" in words for words in agrees(model, other))


def test_the_first_five_of_net_unreachable_are_compared(make_lab: MakeLab) -> None:
    lab = make_lab(ROUTELESS_NETWORK)
    seen = [lab.trace("a1", "b1") for _ in range(8)]
    assert [agrees(ROUTELESS, one) for one in seen] == [()] * 8
    assert all(one.errors for one in seen[:5]) and not all(one.errors for one in seen)


def test_a_known_flow_that_kept_its_port_has_it_compared() -> None:
    asked: dict[str, Any] = {"proto": "udp", "dport": 53}
    model = trace(counted(), "a1", "b1", learned=trace(counted(), "a1", "b1", **asked).learned, **asked)
    assert agrees(model, replace(model, request=changed_on_the_way(model.request, sport=7))) != ()


def test_a_silent_end_without_a_reason_is_a_difference() -> None:
    assert agrees(LOST, with_hop(LOST, -1, disposition=Disposition.UNKNOWN)) != ()
    assert agrees(LOST, with_hop(LOST, -1, disposition=Disposition.DENIED)) != ()
    assert agrees(UNREACHABLE, with_hop(UNREACHABLE, -1, disposition=Disposition.UNKNOWN)) != ()
    assert agrees(MODEL, with_hop(MODEL, -1, disposition=Disposition.UNKNOWN)) != ()


def test_an_icmp_error_is_compared_with_its_sender() -> None:
    found = agrees(UNREACHABLE, with_hop(UNREACHABLE, -1, icmp=None))
    assert found == (
        "request, hop 4 (node-b) answers with: the model says host unreachable from 192.168.0.11, the kernel None",
    )
