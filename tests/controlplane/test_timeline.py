"""A cluster comes into being event by event, and every moment can be looked at."""

import json
from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flannelviz.controlplane import timeline as timelines
from flannelviz.controlplane.commands import route_words
from flannelviz.controlplane.timeline import build, rows_at
from flannelviz.model import VPC, ClusterPlan, NodePlan, VSwitch
from flannelviz.network import Network
from flannelviz.tables import UNKNOWN_ORIGIN, Address, Chain, Route, RouteEntry

ARTICLE = ClusterPlan(
    nodes=(
        NodePlan("node-a", ("a1", "a2"), IPv4Address("192.168.0.10"), IPv4Network("172.16.0.128/25")),
        NodePlan("node-b", ("b1", "b2"), IPv4Address("192.168.0.11"), IPv4Network("172.16.8.0/25")),
    ),
    other_ecs=(NodePlan("db"),),
)
BLOCKS_28 = {"cluster_cidr": IPv4Network("172.16.0.0/27"), "node_mask": 28}  # two blocks, 13 pods each
TROUBLES = {
    "healthy": ARTICLE,
    "current rules": replace(ARTICLE, rules="head"),
    "without --ip-masq": replace(ARTICLE, masquerade=False, hairpin=True),
    "no NAT gateway": replace(ARTICLE, nat_gateway=False),
    "no block left": ClusterPlan(nodes=tuple(NodePlan(f"node-{n}", (f"{n}1", f"{n}2")) for n in "abc"), **BLOCKS_28),
    "too many pods": ClusterPlan(nodes=(NodePlan("node-a", tuple(f"a{i}" for i in range(15))),), **BLOCKS_28),
    "host pods": ClusterPlan(nodes=(NodePlan("node-a", ("a1",), host_pods=("kube-system/kube-proxy",)),)),
    "only a host pod": ClusterPlan(nodes=(NodePlan("node-a", host_pods=("kube-flannel",)),)),
    "quota": ClusterPlan(nodes=tuple(NodePlan(f"node-{n}", (f"{n}1",)) for n in "abc"), route_quota=2),
    "two route tables": replace(ARTICLE, route_tables=2),
    "both tables named": replace(ARTICLE, route_tables=2, ccm_route_table_ids=("vtb-system", "vtb-custom-1")),
    "two zones": replace(
        ARTICLE,
        vswitches=(*ARTICLE.vswitches, VSwitch("vsw-b", IPv4Network("192.168.1.0/24"))),
        other_ecs=(NodePlan("db", vswitch="vsw-b"),),
    ),
    "no nodes": ClusterPlan(),
}


@pytest.fixture(params=TROUBLES.values(), ids=TROUBLES.keys())
def timeline(request):
    return build(request.param, strict=False)


@st.composite
def plans(draw):
    """Small plans, some of which run out of blocks, of addresses, or of VPC entries."""
    count = draw(st.integers(0, 3))
    pods = st.integers(0, 15)
    preset = draw(st.booleans())
    nodes = [
        NodePlan(
            f"node-{letter}",
            tuple(f"{letter}{i}" for i in range(draw(pods))),
            host_pods=(f"kube-system/proxy-{letter}",) if draw(st.booleans()) else (),
            pod_cidr=IPv4Network("172.16.0.16/28") if preset and letter == "b" else None,
        )
        for letter in "abc"[:count]
    ]
    return ClusterPlan(
        nodes=tuple(nodes),
        cluster_cidr=IPv4Network("172.16.0.0/27"),
        node_mask=28,
        rules=draw(st.sampled_from(["v0.10", "head"])),
        masquerade=draw(st.booleans()),
        nat_gateway=draw(st.booleans()),
        route_quota=draw(st.sampled_from([1, 200])),
    )


# --- what any timeline keeps ---


def places(*networks):
    return {VPC, *(place for network in networks for place in (*network.written, *network.pods))}


def rows(network):
    """Return how often each row is there, host-network pods left out: they show their node's."""
    own = (p for p in places(network) if not (p in network.pods and network.pods[p].host_network))
    return Counter((place, row) for place in own for row in rows_at(network, place))


def assert_events_lead_from_moment_to_moment(timeline):
    for event in timeline.events:
        before, after = rows(timeline.at(event.number - 1)), rows(timeline.at(event.number))
        assert before - Counter(event.removed) + Counter(event.wrote) == after, event
        assert not (Counter(event.removed) - before), event
        assert {place for place, _ in (*event.wrote, *event.removed)} <= set(event.places), event


def test_an_event_is_what_differs_between_two_moments(timeline):
    assert_events_lead_from_moment_to_moment(timeline)


@given(plans())
@settings(max_examples=20)
def test_the_steps_lead_where_the_quick_way_leads(plan):
    timeline = build(plan, strict=False)
    assert timeline._moments()[-1][0] == timeline.network
    assert len(timeline._moments()) == len(timeline) + 1
    assert_events_lead_from_moment_to_moment(timeline)


def test_the_last_moment_is_the_network(timeline):
    moments = timeline._moments()
    assert moments[-1][0] == timeline.network == timeline.at(len(timeline))
    assert len(moments) == len(timeline) + 1 == len(timeline.events) + 1


def test_a_large_timeline_says_the_same_as_a_small_one(timeline, monkeypatch):
    events, moments = list(timeline.events), [timeline.at(k) for k in range(len(timeline) + 1)]
    monkeypatch.setattr(timelines, "SMALL", 0)
    large = build(timeline.plan, strict=False)
    assert [large.event(k) for k in range(1, len(large) + 1)] == events
    assert [large.at(k) for k in range(len(large) + 1)] == moments


def test_every_row_knows_its_author(timeline):
    for place, row in rows(timeline.network):
        assert row.origin != UNKNOWN_ORIGIN, (place, row)
        for rule in row.rules if isinstance(row, Chain) else ():
            assert rule.origin.component in ("flanneld", "bridge"), rule


def test_every_event_shows_something(timeline):
    for event in timeline.events:
        assert event.artefact, event
        assert event.number in range(1, len(timeline) + 1)


def test_every_row_was_written_by_an_event(timeline):
    """The author of a row did it in an event of its own; what the kernel adds comes with the address."""
    wrote = {pair for event in timeline.events for pair in event.wrote}
    assert set(rows(timeline.network)) <= wrote


@given(plans())
@settings(max_examples=20)
def test_podcidrs_are_disjoint_and_inside(plan):
    blocks = [node.pod_cidr for node in build(plan, strict=False).network.nodes.values() if node.pod_cidr]
    assert len(set(blocks)) == len(blocks)
    assert all(block.subnet_of(plan.cluster_cidr) for block in blocks)


# --- the story ---


@pytest.fixture(scope="module")
def article():
    return build(ARTICLE)


def test_at_zero_there_is_nothing_but_the_plan(article):
    assert article.at(0) == Network(ARTICLE)


def test_the_stages_come_in_order(article):
    assert list(dict.fromkeys(event.stage for event in article.events)) == ["initial", "cluster", "node", "pod"]
    ends = [article.stage_end(stage) for stage in ("initial", "cluster", "node", "pod")]
    assert ends == sorted(ends)
    assert ends[-1] == len(article)
    assert [article.event(k).stage for k in ends] == ["initial", "cluster", "node", "pod"]


def test_the_first_pod_of_a_node_takes_these_steps(article):
    first = article.stage_end("node") + 1
    assert [event.component for event in article.events[first - 1 : first + 8]] == [
        "container runtime",
        "flannel CNI plugin",
        "bridge",  # cni0
        "bridge",  # veth pair
        "host-local",
        "bridge",  # eth0 and its routes
        "bridge",  # the gateway address on cni0
        "kernel",  # the on-link route
        "bridge",  # ip_forward
    ]
    assert [event.component for event in article.find(place="default/a2")] == ["container runtime", "bridge", "bridge"]


def test_a_check_writes_nothing_the_script_does(article):
    settings = {row.name: row.origin for row in article.network["node-a"].sysctls}
    for name in ("net.ipv4.ip_forward", "net.bridge.bridge-nf-call-iptables"):
        origin = ("provisioning script", "prepares the node", "kubeadm's preflight checks demand it")
        assert settings[name] == origin


def test_bridge_writes_a_setting_that_is_there_already(article):
    event = article.find(component="bridge", place="node-a", text="ip_forward")[0]
    assert event.action == "finds net.ipv4.ip_forward = 1 already on node-a and writes it again"
    assert (event.wrote, event.artefact.text) == ((), "1\n")


def test_flanneld_works_in_its_order(article):
    actions = [event.action for event in article.find(component="flanneld", place="node-a")]
    words = ["install-cni", "lease", "masquerade", "forward", "subnet.env"]
    assert len(actions) == len(words)
    assert all(word in action for word, action in zip(words, actions, strict=True))


def test_the_plan_travels_from_the_console_to_the_nodes(article):
    cluster = article.find(stage="cluster")
    assert [event.component for event in cluster] == [
        "console",
        "provisioning script",
        "kubeadm",
        "kubeadm",
        "kubelet",
        "kubelet",
        "kube-controller-manager",
        "kube-controller-manager",
    ]
    assert all("172.16.0.0/16" in event.artefact.text for event in cluster[:4])
    assert "podCIDR: 172.16.0.128/25" in cluster[-2].artefact.text


@pytest.mark.parametrize(
    ("stage", "route"),
    [
        pytest.param("initial", "default via 192.168.0.253 dev eth0", id="fact-25: initial"),
        pytest.param("cluster", "default via 192.168.0.253 dev eth0", id="fact-25: podCIDR given"),
        pytest.param("node", "default via 192.168.0.253 dev eth0", id="fact-25: flanneld runs"),
        pytest.param(
            "pod", "172.16.0.128/25 dev cni0 proto kernel scope link src 172.16.0.129", id="fact-25: a pod is there"
        ),
    ],
)
def test_a_node_knows_its_podcidr_only_after_the_first_pod(article, stage, route):
    tables = article.at(article.stage_end(stage))["node-a"]
    assert route_words(tables.route_to(IPv4Address("172.16.0.130"))) == route
    assert (tables.link("cni0") is not None) == (stage == "pod")


@pytest.mark.parametrize("node", ["node-a", "node-b"], ids="fact-24: {}".format)
def test_alloc_leaves_devices_and_routes_of_the_node_alone(article, node):
    before, after = article.at(article.stage_end("cluster"))[node], article.at(article.stage_end("node"))[node]
    assert (after.routes, after.links, after.neighbors) == (before.routes, before.links, before.neighbors)


def test_the_vpc_learns_one_entry_per_node(article):
    written = [row for event in article.find(stage="node") for _, row in event.wrote if isinstance(row, RouteEntry)]
    assert [str(entry.dst) for entry in written] == ["172.16.0.128/25", "172.16.8.0/25"]
    (author,) = {event.component for event in article.find(stage="node", place=VPC)}
    assert author == "cloud-controller-manager"


def test_the_taint_goes_with_the_route(article):
    states = [article.at(k).nodes["node-a"].condition("NetworkUnavailable") for k in range(11, len(article) + 1)]
    statuses = [condition.status if condition else None for condition in states]
    assert list(dict.fromkeys(statuses)) == [None, "True", "False"]


def test_a_pod_is_a_namespace_with_lo_before_bridge_comes(article):
    first = article.stage_end("node") + 1
    fresh = article.at(first)["a1"]
    assert [link.name for link in fresh.links] == ["lo"]
    assert article.at(first).pods["default/a1"].phase == "Pending"
    (veth,) = article.find(component="bridge", text="veth pair: eth0 in default/a1")
    attached = article.at(veth.number)["a1"]
    assert [link.name for link in attached.links] == ["lo", "eth0"]
    assert (attached.routes, len(attached.addresses)) == ((), 1)


def test_the_artefacts_are_what_an_operator_would_see(article):
    def artefact(**wanted):
        return article.find(**wanted)[0].artefact

    netconf = json.loads(artefact(component="flannel CNI plugin").text)
    assert netconf["ipam"]["subnet"] == "172.16.0.128/25"
    assert "FLANNEL_SUBNET=172.16.0.129/25" in artefact(text="subnet.env on node-a").text
    assert artefact(component="host-local").path == "/var/lib/cni/networks/cb0/172.16.0.130"
    assert "-A POSTROUTING -s 172.16.0.0/16 -d 172.16.0.0/16 -j RETURN" in artefact(text="masquerade").text
    assert "ip link add cni0 mtu 1500 type bridge" in artefact(text="makes cni0").text
    assert "--DestinationCidrBlock 172.16.0.128/25" in artefact(text="VPC route entry").text


def test_the_author_of_a_row_is_found(article):
    network = article.network
    route = network["node-b"].route_to(IPv4Address("172.16.8.2"))
    assert article.author("node-b", route).component == "kernel"
    entry = network.vpc.route_to(IPv4Address("172.16.8.2"))
    assert article.author(VPC, entry).action.startswith("creates the VPC route entry 172.16.8.0/25")
    assert article.author("node-a", route) is None


@pytest.mark.parametrize("k", [-1, 10_000, "x", None, 1.5])
def test_a_moment_outside_is_refused(article, k):
    with pytest.raises(IndexError, match=f"{k!r} is no event of this timeline; take a number from 0 to {len(article)}"):
        article.at(k)
    with pytest.raises(IndexError, match="from 1 to"):
        article.event(0)


def test_events_are_a_sequence(article):
    assert article.events[-1] == article.event(len(article))
    assert [event.number for event in article.events[2:5]] == [3, 4, 5]
    assert len(list(article.events)) == len(article)


# --- when something runs out ---


def test_a_node_without_a_block_stays_outside():
    timeline = build(TROUBLES["no block left"], strict=False)
    (refused,) = timeline.find(component="kube-controller-manager", place="node-c")
    assert "CIDRNotAvailable" in refused.artefact.text
    (exits,) = timeline.find(component="flanneld", text="exits")
    assert exits.action.endswith('node "node-c" pod cidr not assigned')
    network = timeline.network
    assert network["node-c"].file("/run/flannel/subnet.env") is None
    pod = network.pods["default/c1"]
    assert (pod.phase, pod.node) == ("Pending", None)
    two = "2 node(s) didn't match node selector"
    taint = "1 node(s) had taints that the pod didn't tolerate"
    assert pod.message == f"0/3 nodes are available: {taint}, {two}."
    assert network.tables("default/c1").links == ()
    assert network.nodes["node-c"].condition("NetworkUnavailable").status == "True"


def test_the_pod_after_the_last_address_waits():
    network = build(TROUBLES["too many pods"], strict=False).network
    waiting = [pod for pod in network.pods.values() if pod.phase == "Pending"]
    assert [pod.name for pod in waiting] == ["a13", "a14"]
    said = "failed to allocate for range 0: no IP addresses available in range set: 172.16.0.1-172.16.0.14"
    assert all(pod.message.endswith(said) for pod in waiting)
    assert len(network["node-a"].lan.ports) == 13


def test_a_failed_pod_leaves_no_wire():
    timeline = build(TROUBLES["too many pods"], strict=False)
    (removes,) = timeline.find(component="kubelet", text="default/a14")
    assert {place for place, _ in removes.removed} == {"node-a", "default/a14"}
    assert removes.artefact.text.startswith("Warning   FailedCreatePodSandBox   pod/a14   kubelet")


@pytest.mark.parametrize(
    ("plan", "cni0"),
    [
        pytest.param("only a host pod", False, id="fact-26: hostNetwork alone"),
        pytest.param("host pods", True, id="fact-26: and a pod of its own network"),
    ],
)
def test_a_host_network_pod_needs_no_cni(plan, cni0):
    timeline = build(TROUBLES[plan])
    network, first = timeline.network, timeline.event(timeline.stage_end("node") + 1)
    (host,) = (place for place, pod in network.pods.items() if pod.host_network)
    assert network.tables(host) is network.tables("node-a")
    assert (network["node-a"].link("cni0") is not None) == cni0
    assert (first.component, first.wrote) == ("container runtime", ())


def test_beyond_the_quota_a_node_keeps_its_taint():
    timeline = build(TROUBLES["quota"], strict=False)
    events = timeline.find(component="cloud-controller-manager", text="creates no route")
    assert [("node-b" in event.action, "node-c" in event.action) for event in events] == [(True, False), (False, True)]
    assert all("Route entry quota exceeded in this route table" in event.artefact.text for event in events)
    conditions = [node.condition("NetworkUnavailable").status for node in timeline.network.nodes.values()]
    assert conditions == ["False", "True", "True"]


def test_two_route_tables_without_a_choice_get_no_entry():
    timeline = build(TROUBLES["two route tables"], strict=False)
    assert not any(entry.next_hop_type == "Instance" for t in timeline.network.vpc.route_tables for entry in t.entries)
    assert timeline.find(component="cloud-controller-manager", text="multiple route tables")


@pytest.mark.parametrize(
    ("plan", "waiting", "message"),
    [
        (
            "two route tables",
            ["default/a1", "default/a2", "default/b1", "default/b2"],
            "0/2 nodes are available: 2 node(s) had taints that the pod didn't tolerate.",
        ),
        (
            "quota",
            ["default/b1", "default/c1"],
            "0/3 nodes are available: 1 node(s) didn't match node selector, "
            "2 node(s) had taints that the pod didn't tolerate.",
        ),
    ],
)
def test_the_taint_keeps_ordinary_pods_away(plan, waiting, message):
    timeline = build(TROUBLES[plan], strict=False)
    pods = timeline.network.pods
    assert [place for place, pod in pods.items() if pod.phase == "Pending"] == waiting
    assert {(pods[place].message, pods[place].node) for place in waiting} == {(message, None)}
    events = timeline.find(component="kube-scheduler")
    assert [event.places for event in events] == [(place,) for place in waiting]
    name = waiting[0].removeprefix("default/")
    assert events[0].artefact.text == f"Warning   FailedScheduling   pod/{name}   default-scheduler   {message}\n"
    assert not any("cni0" in [link.name for link in timeline.network[n].links] for n in ("node-b",))


def test_a_host_network_pod_tolerates_the_taint():
    node = NodePlan("node-a", ("a1",), host_pods=("kube-flannel",))
    network = build(ClusterPlan(nodes=(node,), route_tables=2)).network
    assert {name: pod.phase for name, pod in network.pods.items()} == {
        "default/kube-flannel": "Running",
        "default/a1": "Pending",
    }
    assert network.tables("default/kube-flannel") is network.tables("node-a")


@pytest.mark.parametrize("plan", ["both tables named", "healthy", "no NAT gateway"])
def test_where_the_routes_are_there_no_pod_waits(plan):
    timeline = build(TROUBLES[plan], strict=False)
    assert {pod.phase for pod in timeline.network.pods.values()} == {"Running"}
    assert timeline.find(component="kube-scheduler") == ()


@pytest.mark.parametrize(
    ("preset", "given_out"),
    [
        ("172.16.0.128/25", ["172.16.0.0/25", "172.16.0.128/25", "172.16.1.0/25"]),
        pytest.param("172.16.0.0/25", ["172.16.0.0/25", "172.16.0.0/25", "172.16.0.128/25"], id="twice, unnoticed"),
    ],
)
def test_a_podcidr_that_is_there_is_marked_when_its_node_registers(preset, given_out):
    nodes = (NodePlan("node-a"), NodePlan("node-b", pod_cidr=IPv4Network(preset)), NodePlan("node-c"))
    timeline = build(ClusterPlan(nodes=nodes), strict=False)
    assert [str(node.pod_cidr) for node in timeline.network.nodes.values()] == given_out
    assert timeline.find(component="kube-controller-manager", text=f"marks podCIDR {preset} of node-b as used")
    assert timeline._moments()[-1][0] == timeline.network


def test_hundreds_of_nodes_are_the_same_in_big_steps():
    nodes = tuple(NodePlan(f"n{i}", (f"p{i}-1", f"p{i}-2")) for i in range(120))
    timeline = build(ClusterPlan(nodes=nodes))
    assert len(timeline) > timelines.SMALL
    k = timeline.stage_end("node") + 700
    before, event, after = timeline.at(k - 1), timeline.event(k), timeline.at(k)
    assert rows(before) - Counter(event.removed) + Counter(event.wrote) == rows(after)
    kinds = {type(row) for network in (before, after) for place in network.written for row in network[place].rows()}
    assert {Address, Route, Chain} <= kinds


def test_a_pod_is_found_by_its_bare_name(article):
    address = article.network.tables("a1").addresses[-1]
    assert article.author("a1", address) == article.author("default/a1", address) is not None
    assert article.find(place="a1") == article.find(place="default/a1") != ()


@pytest.mark.parametrize("ask", [lambda timeline: timeline.find(stage="nodes"), lambda line: line.stage_end("nodes")])
def test_a_stage_that_is_none_is_refused(article, ask):
    with pytest.raises(ValueError, match="'nodes' is no stage; take 'initial', 'cluster', 'node', 'pod'"):
        ask(article)
