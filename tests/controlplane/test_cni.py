"""flannel asks, host-local gives an address, bridge makes the wires."""

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flannelviz.controlplane import cni, flanneld, host_local
from flannelviz.controlplane.commands import route_words, rule_words
from flannelviz.controlplane.failure import Failure
from flannelviz.model import ClusterPlan, usable_pod_ips
from flannelviz.tables import Address, Chain, HostLocal, Port, Tables, veth_name

A, B = IPv4Network("172.16.0.128/25"), IPv4Network("172.16.8.0/25")
PLAN = ClusterPlan()
CONF = flanneld.cni_conf(PLAN).text
FRESH = Tables()


def netconf(pod_cidr=A, plan=PLAN):
    made = cni.delegate_netconf(flanneld.subnet_env(plan, pod_cidr).text, flanneld.cni_conf(plan).text)
    assert not isinstance(made, Failure)
    return made


def added(*pods, pod_cidr=A, plan=PLAN, tables=FRESH):
    """Return the tables of node-a after one ADD for each pod; a failed ADD leaves cni0 behind."""
    for pod in pods:
        after = cni.bridge_add(tables, "node-a", pod, netconf(pod_cidr, plan))
        tables = cni.bridge_ensured(tables, "node-a", netconf(pod_cidr, plan)) if isinstance(after, Failure) else after
    return tables


def addresses(tables):
    return [str(IPv4Address(port.ip)) for port in tables.lan.ports]


def pod(tables, name):
    return tables.lan.pod_tables(tables.lan, tables.lan.port(name))


# --- the flannel CNI plugin ---


def test_the_delegate_netconf_is_that_of_ack():
    assert netconf(B) == {
        "name": "cb0",
        "type": "bridge",
        "isDefaultGateway": True,
        "isGateway": True,
        "ipMasq": False,
        "mtu": 1500,
        "ipam": {"type": "host-local", "subnet": "172.16.8.0/25", "routes": [{"dst": "172.16.0.0/16"}]},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "open /run/flannel/subnet.env: no such file or directory"),
        ("FLANNEL_NETWORK=172.16.0.0/16\nFLANNEL_MTU=1500\nFLANNEL_IPMASQ=true\n", "FLANNEL_SUBNET"),
        ("", "FLANNEL_NETWORK, FLANNEL_SUBNET, FLANNEL_MTU, FLANNEL_IPMASQ"),
    ],
)
def test_an_incomplete_subnet_env_is_refused(text, said):
    said = said if text is None else f"/run/flannel/subnet.env is missing {said}"
    assert cni.delegate_netconf(text, CONF) == Failure("flannel CNI plugin", said)


def test_the_delegate_overrides_what_flannel_leaves_open():
    delegate = {"isDefaultGateway": True, "hairpinMode": True, "mtu": 1400, "type": "macvlan"}
    conf = json.dumps({"name": "cbr0", "cniVersion": "0.3.1", "type": "flannel", "delegate": delegate})
    made = cni.delegate_netconf(flanneld.subnet_env(PLAN, A).text, conf)
    assert made["cniVersion"] == "0.3.1"
    assert {key: made[key] for key in delegate} == delegate


def test_the_netconf_is_kept_for_the_del():
    file = cni.netconf_file("default/a1", netconf())
    assert file.path == f"/var/lib/cni/flannel/{host_local.container_id('default/a1')}"
    assert json.loads(file.text) == netconf()
    assert file.text == (
        '{"ipMasq":false,"ipam":{"routes":[{"dst":"172.16.0.0/16"}],"subnet":"172.16.0.128/25",'
        '"type":"host-local"},"isDefaultGateway":true,"isGateway":true,"mtu":1500,"name":"cb0","type":"bridge"}'
    )


# --- host-local ---


@pytest.mark.parametrize(
    ("calls", "address"),
    [
        pytest.param("+a1", "172.16.0.130", id="fact-27: the first pod"),
        pytest.param("+a1 +a2", "172.16.0.131", id="fact-27: the second"),
        pytest.param("+a1 +a2 -a1 +a3", "172.16.0.132", id="fact-27: the third, with .130 free again"),
        pytest.param("+a1 -a1 +a1", "172.16.0.131", id="a new sandbox of the same pod"),
    ],
)
def test_addresses_go_up_and_a_freed_one_waits(calls, address):
    ipam, got = HostLocal(A), None
    for sign, pod_name in ((call[0], call[1:]) for call in calls.split()):
        if sign == "+":
            ipam, got = host_local.reserve(ipam, pod_name)
        else:
            ipam = host_local.release(ipam, pod_name)
    assert str(got) == address


@pytest.mark.parametrize(
    ("subnet", "room"),
    [("172.16.0.128/25", 125), ("10.0.0.0/26", 61), ("10.0.0.0/24", 253), ("10.0.0.0/28", 13), ("10.0.0.0/30", 1)],
    ids="fact-28: {}".format,
)
def test_so_many_pods_fit(subnet, room):
    subnet = IPv4Network(subnet)
    ipam, got = host_local.reserve_all(HostLocal(subnet), [f"p{i}" for i in range(room + 2)])
    assert [address for address in got if address is None] == [None, None]
    assert usable_pod_ips(subnet.prefixlen) == room
    said = f"failed to allocate for range 0: no IP addresses available in range set: {subnet[1]}-{subnet[-2]}"
    assert host_local.reserve(ipam, "late") == Failure("host-local", said)


@pytest.mark.parametrize(
    ("freed", "address"), [(0, "172.16.0.130"), (7, "172.16.0.137"), (124, "172.16.0.254")], ids="fact-29: {}".format
)
def test_after_the_last_address_the_search_starts_again(freed, address):
    ipam, _ = host_local.reserve_all(HostLocal(A), [f"p{i}" for i in range(125)])
    assert str(host_local.exhausted(A).message).endswith("range set: 172.16.0.129-172.16.0.254")
    assert host_local.reserve(ipam, "late") == host_local.exhausted(A)
    assert str(host_local.reserve(host_local.release(ipam, f"p{freed}"), "late")[1]) == address


@pytest.mark.parametrize("never", ["172.16.0.128", "172.16.0.129", "172.16.0.255"], ids="fact-29: {}".format)
def test_three_addresses_are_never_given(never):
    ipam, _ = host_local.reserve_all(HostLocal(A), [f"p{i}" for i in range(128)])
    assert int(IPv4Address(never)) not in ipam.held


@pytest.mark.parametrize("mask", [31, 32])
def test_a_network_without_room_is_refused(mask):
    subnet = IPv4Network((int(A.network_address), mask))
    assert host_local.reserve(HostLocal(subnet), "a1").message == f"Network {subnet} too small to allocate from"


def test_releasing_a_pod_that_holds_nothing_changes_nothing():
    ipam, _ = host_local.reserve(HostLocal(A), "a1")
    assert host_local.release(ipam, "unknown") == ipam


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 19)), max_size=60))
def test_no_address_is_given_twice_or_out_of_bounds(calls):
    ipam = HostLocal(IPv4Network("10.0.0.0/28"))
    for is_add, number in calls:
        if not is_add:
            ipam = host_local.release(ipam, f"p{number}")
        elif not isinstance(answer := host_local.reserve(ipam, f"p{number}"), Failure):
            assert int(answer[1]) not in ipam.held
            ipam = answer[0]
    assert set(ipam.held) <= set(range(int(IPv4Address("10.0.0.2")), int(IPv4Address("10.0.0.15"))))


def test_host_local_keeps_a_file_for_each_address_and_one_for_the_cursor():
    files = {file.path: file.text for file in host_local.host_local_files(added("default/a1", "default/a2").lan)}
    folder = "/var/lib/cni/networks/cb0"
    assert files == {
        f"{folder}/172.16.0.130": host_local.container_id("default/a1"),
        f"{folder}/172.16.0.131": host_local.container_id("default/a2"),
        f"{folder}/last_reserved_ip.0": "172.16.0.131",
    }


# --- bridge ---


def test_the_first_pod_brings_cni0_its_address_and_its_route():
    after = added("default/a1")
    assert after.link("cni0").kind == "bridge"
    assert after.addresses == (Address(IPv4Interface("172.16.0.129/25"), "cni0"),)
    (route,) = after.routes
    assert route_words(route) == "172.16.0.128/25 dev cni0 proto kernel scope link src 172.16.0.129"
    assert route.origin.component == "kernel"
    assert after.sysctl("net.ipv4.ip_forward") == 1


def test_cni0_has_no_address_before_ipam_answers():
    ensured = cni.bridge_ensured(Tables(), "node-a", netconf())
    assert ensured.link("cni0").up
    assert (ensured.addresses, ensured.routes) == ((), ())
    assert cni.bridge_ensured(ensured, "node-a", netconf()) is ensured


@pytest.mark.parametrize(
    ("dev", "mac"),
    [
        pytest.param("eth0", "0a:58:ac:10:00:82", id="fact-50: pod 172.16.0.130"),
        pytest.param("cni0", "0a:58:ac:10:00:81", id="fact-50: cni0"),
    ],
)
def test_macs_derive_from_addresses(dev, mac):
    node = added("default/a1")
    assert (node if dev == "cni0" else pod(node, "default/a1")).link(dev).mac == mac


@pytest.mark.parametrize(
    ("is_default_gateway", "default"),
    [
        pytest.param(True, ["default via 172.16.0.129 dev eth0"], id="fact-30: three routes"),
        pytest.param(False, [], id="two where the delegate has no isDefaultGateway"),
    ],
)
def test_the_routes_of_a_pod(is_default_gateway, default):
    node = cni.bridge_add(FRESH, "node-a", "default/a1", {**netconf(), "isDefaultGateway": is_default_gateway})
    routes = pod(node, "default/a1").routes
    assert [route_words(route) for route in routes] == [
        *default,
        "172.16.0.0/16 via 172.16.0.129 dev eth0",
        "172.16.0.128/25 dev eth0 proto kernel scope link src 172.16.0.130",
    ]
    assert [route.origin.component for route in routes][-2:] == ["bridge", "kernel"]


def test_a_pod_and_its_node_hold_the_two_ends_of_one_wire():
    node = added("default/a1")
    eth0, host_end = pod(node, "default/a1").link("eth0"), node.link(veth_name("default/a1"))
    assert eth0.peer == ("node-a", host_end.name)
    assert (host_end.peer, host_end.master) == (("default/a1", "eth0"), "cni0")
    assert eth0.mtu == host_end.mtu == node.link("cni0").mtu == 1500


def test_a_veth_without_address_has_no_route_yet():
    lan = added("default/a1").lan
    half = lan.pod_tables(lan, Port("default/a2"))
    assert [link.name for link in half.links] == ["lo", "eth0"]
    assert [str(a.interface) for a in half.addresses] == ["127.0.0.1/8"]
    assert half.routes == ()
    assert half.sysctl("net.ipv4.ip_forward") == 0


def rejoined(address):
    return Tables(addresses=(Address(IPv4Interface(address), "cni0"),))


@pytest.mark.parametrize("add", ["one", "many"], ids="fact-48: {}".format)
def test_cni0_with_a_foreign_address_is_an_error(add):
    said = 'failed to set bridge addr: "cni0" already has an IP address different from 172.16.8.1/25'
    calls = {
        "one": lambda: cni.bridge_add(rejoined("172.16.5.1/25"), "node-b", "default/b1", netconf(B)),
        "many": lambda: cni.wired(rejoined("172.16.5.1/25"), "node-b", ["default/b1"], netconf(B)),
    }
    assert calls[add]() == Failure("bridge", said)


@pytest.mark.parametrize("address", ["172.16.5.1/25", "172.16.8.1/25"])
def test_forceaddress_takes_the_foreign_address_away(address):
    forced = cni.bridge_add(rejoined(address), "node-b", "default/b1", {**netconf(B), "forceAddress": True})
    assert [str(found.interface) for found in forced.addresses] == ["172.16.8.1/25"]


def test_a_del_leaves_cni0_and_the_cursor():
    both = added("default/a1", "default/a2")
    after = cni.bridge_del(cni.bridge_del(both, "default/a2"), "default/a1")
    assert (after.lan.ports, dict(after.lan.ipam.held)) == ((), {})
    assert (after.addresses, after.routes) == (both.addresses, both.routes)
    assert after.link("cni0")
    assert addresses(added("default/a3", tables=after)) == ["172.16.0.132"]


def test_a_del_on_a_node_without_pods_changes_nothing():
    assert cni.bridge_del(Tables(), "default/a1") == Tables()


def test_without_ip_masq_each_pod_gets_a_chain_that_spares_its_own_podcidr_only():  # fact-44
    """These rules are why another node's pods see the node's address."""
    plan = replace(PLAN, masquerade=False)
    node = added("default/a1", "default/a2", plan=plan)
    container = host_local.container_id("default/a1")
    comment = f'-m comment --comment \'name: "cb0" id: "{container}"\''
    jump = node.chain("nat", "POSTROUTING").rules[0]
    assert rule_words(jump) == f"-s 172.16.0.130/32 {comment} -j {jump.target}"
    assert len(jump.target) == 28
    assert [rule_words(rule) for rule in node.chain("nat", jump.target).rules] == [
        f"-d 172.16.0.128/25 {comment} -j ACCEPT",
        f"! -d 224.0.0.0/4 {comment} -j MASQUERADE",
    ]
    after = cni.bridge_del(node, "default/a1")
    assert after.chain("nat", jump.target) is None
    assert [str(rule.src.net) for rule in after.chain("nat", "POSTROUTING").rules] == ["172.16.0.131/32"]


def test_hairpin_comes_from_the_delegate():
    node = added("default/a1", plan=replace(PLAN, hairpin=True))
    assert node.link(veth_name("default/a1")).hairpin
    assert not added("default/a1").link(veth_name("default/a1")).hairpin


@given(
    before=st.integers(0, 14),
    gone=st.sets(st.integers(0, 13)),
    more=st.integers(0, 14),
    masquerade=st.booleans(),
    mask=st.sampled_from([28, 30, 31]),
)
def test_wiring_many_pods_is_wiring_one_after_the_other(before, gone, more, masquerade, mask):
    plan, subnet = replace(PLAN, masquerade=masquerade), IPv4Network((int(A.network_address), mask))
    start = added(*(f"default/a{i}" for i in range(before)), pod_cidr=subnet, plan=plan)
    for number in gone:
        start = cni.bridge_del(start, f"default/a{number}")
    new = [f"default/n{i}" for i in range(more)]
    assert cni.wired(start, "node-a", new, netconf(subnet, plan)) == added(
        *new, pod_cidr=subnet, plan=plan, tables=start
    )


def test_rows_of_bridge_know_their_author():
    node = added("default/a1", plan=replace(PLAN, masquerade=False))
    for row in (*node.rows(), *pod(node, "default/a1").rows()):
        assert row.origin.component in ("bridge", "kernel"), row
        for rule in row.rules if isinstance(row, Chain) else ():
            assert rule.origin.component == "bridge"
