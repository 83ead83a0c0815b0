"""Rules that nobody of the control plane writes: the model reads them as a real kernel does."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from flannelviz import trace
from flannelviz.kernel import agrees
from flannelviz.network import Network
from flannelviz.packet import Disposition
from flannelviz.tables import Chain, Match, Rule
from tests.kernel.conftest import MakeLab, counted

A1, DB = IPv4Address("172.16.0.130"), IPv4Address("192.168.0.12")


def on_node_a(*chains: Chain) -> Network:
    tables = counted().tables("node-a")
    old = (tables.chain(chain.table, chain.name) for chain in chains)
    return counted().writing("node-a", tables.without(*filter(None, old)).adding(*chains))


def to(address: IPv4Address) -> Match:
    return Match(IPv4Network(address))


def rejecting(chain: str, kind: str, proto: str | None = None) -> Network:
    rule = Rule("REJECT", proto=proto, options=(f"--reject-with {kind}",))
    return on_node_a(Chain("filter", chain, "ACCEPT", (rule,)))


def led_to_a1(**drop: str) -> Network:
    """node-a, which sends to a1 what is for the database, and drops some of it."""
    chains = (
        Chain("nat", "OUTPUT", "ACCEPT", (Rule("DNAT", dst=to(DB), to=(A1, None)),)),
        Chain("filter", "OUTPUT", "ACCEPT", (Rule("DROP", **drop),)),
    )
    return on_node_a(*chains)


def preferring_cni0() -> Network:
    """node-a, whose default route names cni0's address as its source."""
    tables = counted().tables("node-a")
    default = next(route for route in tables.routes if route.dst.prefixlen == 0)
    led = tables.without(default).adding(replace(default, src=IPv4Address("172.16.0.129")))
    return counted().writing("node-a", led)


def led_home_without_lo() -> Network:
    """node-a, which sends to itself what is for the database, and whose lo is down."""
    home = Rule("DNAT", dst=to(DB), to=(IPv4Address("192.168.0.10"), None))
    network = on_node_a(Chain("nat", "OUTPUT", "ACCEPT", (home,)))
    tables = network.tables("node-a")
    return network.writing("node-a", tables.adding(replace(tables.link("lo"), up=False)))


CLOSED = on_node_a(Chain("filter", "OUTPUT", "DROP"))


@pytest.mark.parametrize(
    ("network", "source", "destination", "proto"),
    [
        pytest.param(CLOSED, "node-a", "node-a", "icmp", id="OUTPUT is asked over lo"),
        pytest.param(CLOSED, "node-a", "172.16.0.129", "icmp", id="OUTPUT is asked on the way to an own address"),
        pytest.param(CLOSED, "node-a", "db", "udp", id="OUTPUT drops what leaves"),
        pytest.param(led_to_a1(out_dev="cni0"), "node-a", "db", "icmp", id="after DNAT not the new device"),
        pytest.param(led_to_a1(out_dev="eth0"), "node-a", "db", "icmp", id="but that of the first route"),
        pytest.param(preferring_cni0(), "a1", "Internet", "icmp", id="MASQUERADE does not ask for the route's source"),
        pytest.param(led_home_without_lo(), "node-a", "db", "icmp", id="what is led home needs lo"),
        pytest.param(rejecting("FORWARD", "icmp-admin-prohibited"), "a1", "b1", "udp", id="prohibited"),
        pytest.param(rejecting("FORWARD", "icmp-host-unreachable"), "a1", "b1", "udp", id="host unreachable"),
        pytest.param(rejecting("FORWARD", "icmp-net-unreachable"), "a1", "b1", "udp", id="no want of a route"),
        pytest.param(rejecting("INPUT", "icmp-port-unreachable"), "a1", "node-a", "udp", id="from the address asked"),
        pytest.param(rejecting("INPUT", "icmp-port-unreachable"), "a1", "172.16.0.129", "udp", id="cni0's, too"),
        pytest.param(rejecting("INPUT", "icmp-port-unreachable"), "b1", "172.16.0.129", "udp", id="from afar"),
        pytest.param(rejecting("INPUT", "icmp-port-unreachable"), "b1", "node-a", "udp", id="eth0's, from afar"),
    ],
)
def test_model_and_kernel_agree(make_lab: MakeLab, network: Network, source: str, destination: str, proto: str) -> None:
    dport = 0 if proto == "icmp" else 53
    model = trace(network, source, destination, proto=proto, dport=dport)
    kernel = make_lab(network).trace(source, destination, proto=proto, dport=dport)
    assert agrees(model, kernel) == ()


def test_every_kind_of_reject_is_told_apart() -> None:
    kinds = ("net-unreachable", "host-unreachable", "port-unreachable", "net-prohibited", "host-prohibited")
    said = {trace(rejecting("FORWARD", f"icmp-{kind}"), "a1", "b1").request[-1].icmp.what for kind in kinds}
    assert said == {kind.replace("-", " ") for kind in kinds}


def test_a_tcp_reset_is_no_icmp_error() -> None:
    last = trace(rejecting("FORWARD", "tcp-reset", "tcp"), "a1", "b1", proto="tcp", dport=53).request[-1]
    assert last.disposition is Disposition.DENIED and last.icmp is None
