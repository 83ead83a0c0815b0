"""kube-controller-manager gives each Node the first free block from the cursor."""

from ipaddress import IPv4Address, IPv4Network, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flannelviz.controlplane import node_ipam
from flannelviz.controlplane.node_ipam import NO_CIDR_LEFT, Allocation, RangeAllocator
from flannelviz.errors import AddressPlanError
from flannelviz.model import ClusterPlan, Node

CLUSTER = IPv4Network("172.16.0.0/16")
FRESH = RangeAllocator(CLUSTER, 25)


def allocated(count, allocator=FRESH):
    """Return the allocator after `count` allocations, and the blocks as text."""
    blocks = []
    for _ in range(count):
        allocator, block = allocator.allocate()
        blocks.append(block and str(block))
    return allocator, blocks


@pytest.mark.parametrize(
    ("node", "cidr"),
    [
        pytest.param(1, "172.16.0.0/25", id="fact-01: first node"),
        pytest.param(2, "172.16.0.128/25", id="fact-01: second node"),
        pytest.param(3, "172.16.1.0/25", id="fact-01: third node"),
        pytest.param(17, "172.16.8.0/25", id="fact-01: 17th node"),
        pytest.param(512, "172.16.255.128/25", id="fact-01: 512th node"),
        pytest.param(513, None, id="fact-02: 513th node"),
    ],
)
def test_nodes_get_blocks_in_order(node, cidr):
    assert FRESH.max_cidrs == 512
    assert allocated(node)[1][-1] == cidr


@pytest.mark.parametrize(
    ("era", "kind"),
    [pytest.param("current", "Warning", id="fact-02: today"), pytest.param("1.12", "Normal", id="fact-02: in 1.12")],
)
def test_exhaustion_is_an_answer(era, kind):
    full, _ = allocated(512)
    allocator, node, event = node_ipam.node_added(full, Node("node-x"), era)
    assert allocator == full and node.pod_cidr is None
    assert (event.type, event.reason, event.source) == (kind, "CIDRNotAvailable", "cidrAllocator")
    assert event.message == "Node node-x status is now: CIDRNotAvailable"
    assert "no remaining CIDRs left to allocate" in NO_CIDR_LEFT


@pytest.mark.parametrize(
    ("restart", "cidr"),
    [
        pytest.param(False, "172.16.1.128/25", id="fact-03: a freed block waits until the cursor comes round"),
        pytest.param(True, "172.16.0.128/25", id="fact-04: after a restart the lowest free block comes first"),
    ],
)
def test_block_of_a_deleted_node(restart, cidr):
    three, blocks = allocated(3)
    left = three.release(IPv4Network(blocks[1]))
    if restart:
        left = left.restarted([IPv4Network(blocks[0]), IPv4Network(blocks[2])], IPv4Network("172.19.0.0/20"))
    assert allocated(1, left)[1] == [cidr]


@pytest.mark.parametrize("freed", [pytest.param(5, id="fact-05: block 5"), 0, 511])
def test_last_free_block_is_found(freed):
    full, blocks = allocated(512)
    assert allocated(1, full.release(IPv4Network(blocks[freed])))[1] == [blocks[freed]]


@pytest.mark.parametrize(
    ("cidr", "used"),
    [
        pytest.param("172.16.0.0/24", {0, 1}, id="fact-06: larger than a block"),
        pytest.param("172.16.0.192/26", {1}, id="smaller than a block"),
        pytest.param("172.16.0.0/12", set(range(512)), id="larger than the cluster CIDR"),
        pytest.param("172.0.0.0/8", set(range(512)), id="larger, and begins before it"),
        pytest.param("172.16.8.0/25", {16}, id="fact-10: block 16"),
    ],
)
def test_occupy_marks_every_block_it_touches(cidr, used):
    occupied = FRESH.occupy(IPv4Network(cidr))
    assert {i for i in range(512) if occupied.used >> i & 1} == used
    assert FRESH.index(IPv4Network(cidr)) == min(used)
    assert (occupied.free, occupied.cursor) == (512 - len(used), 0)
    assert occupied.occupy(IPv4Network(cidr)) == occupied


def test_occupied_blocks_are_passed_over():
    """fact-06: the cursor stays at 0, and block 2 is next."""
    assert allocated(1, FRESH.occupy(IPv4Network("172.16.0.0/24")))[1] == ["172.16.1.0/25"]


@pytest.mark.parametrize("method", ["occupy", "release", "index"])
@pytest.mark.parametrize("cidr", [pytest.param("172.17.0.0/25", id="fact-07: outside"), "10.0.0.0/25", "172.15.0.0/16"])
def test_outside_the_cluster_cidr(method, cidr):
    with pytest.raises(
        AddressPlanError, match=rf"{cidr} is outside the cluster CIDR 172\.16\.0\.0/16; .*172\.16\.0\.0/25"
    ):
        getattr(FRESH, method)(IPv4Network(cidr))


@pytest.mark.parametrize(
    ("service_cidr", "gone", "first"),
    [
        pytest.param("172.16.0.0/20", 32, "172.16.16.0/25", id="fact-08: inside the cluster CIDR"),
        pytest.param("172.19.0.0/20", 0, "172.16.0.0/25", id="fact-08: elsewhere"),
        pytest.param(None, 0, "172.16.0.0/25", id="no service CIDR"),
    ],
)
def test_service_cidr_takes_its_blocks(service_cidr, gone, first):
    allocator = node_ipam.start(ClusterPlan(service_cidr=service_cidr and IPv4Network(service_cidr)))
    assert allocator.free == 512 - gone
    assert allocated(1, allocator)[1] == [first]


@pytest.mark.parametrize("mask", [pytest.param(15, id="fact-09: shorter than the cluster mask"), 33])
def test_node_mask_must_fit(mask):
    with pytest.raises(AddressPlanError, match=rf"/{mask} does not fit the cluster CIDR 172\.16\.0\.0/16.*16 to 32"):
        RangeAllocator(CLUSTER, mask)


def test_podcidr_of_the_article_is_an_interface():
    """fact-10: 172.16.8.1/25 is no network; the one around it is block 16."""
    with pytest.raises(ValueError, match="host bits set"):
        ip_network("172.16.8.1/25")
    network = ip_interface("172.16.8.1/25").network
    assert network == IPv4Network("172.16.8.0/25")
    assert FRESH.index(network) == 16


def test_cni0_has_the_first_address_of_the_block():
    """fact-11: the block of node-a, and the interface that flanneld publishes for it."""
    block = FRESH.block(1)
    assert (str(block), f"{block[1]}/{block.prefixlen}") == ("172.16.0.128/25", "172.16.0.129/25")


def test_node_with_a_podcidr_keeps_it():
    preset = Node("node-b", pod_cidr=IPv4Network("172.16.0.0/25"))
    allocator, nodes, events = node_ipam.nodes_added(FRESH, [preset, Node("node-a"), preset])
    assert [str(node.pod_cidr) for node in nodes] == ["172.16.0.0/25", "172.16.0.128/25", "172.16.0.0/25"]
    assert allocator.used == 0b11  # the third has the block of the first, and nobody notices
    assert events == ()


def test_each_node_that_gets_no_block_has_its_event():
    small = RangeAllocator(IPv4Network("172.16.0.0/25"), 25)
    allocator, nodes, events = node_ipam.nodes_added(small, [Node("a"), Node("b"), Node("c")])
    assert allocator.free == 0
    assert [node.pod_cidr and str(node.pod_cidr) for node in nodes] == ["172.16.0.0/25", None, None]
    assert events == (node_ipam.not_available("b"), node_ipam.not_available("c"))


def test_a_leaked_block_is_free_after_a_restart():
    leaked = node_ipam.write_failed(node_ipam.node_added(FRESH, Node("a")), server_timeout=True).allocator
    assert allocated(1, leaked)[1] == ["172.16.0.128/25"]
    assert allocated(1, leaked.restarted())[1] == ["172.16.0.0/25"]


def test_deleted_node_frees_its_block():
    allocator, node, _ = node_ipam.node_added(FRESH, Node("node-a"))
    freed = node_ipam.node_deleted(allocator, node)
    assert (freed.used, freed.cursor) == (0, 1)
    assert node_ipam.node_deleted(freed, Node("node-x")) == freed


@pytest.mark.parametrize(("timeout", "used"), [(False, 0), (True, 1)])
def test_failed_write_releases_unless_the_server_timed_out(timeout, used):
    failed = node_ipam.write_failed(node_ipam.node_added(FRESH, Node("node-a")), server_timeout=timeout)
    assert isinstance(failed, Allocation)
    assert failed.node == Node("node-a") and failed.allocator.used == used
    assert failed.event.reason == "CIDRAssignmentFailed"


def test_podcidr_cannot_be_changed():
    old, new = (Node("node-a", pod_cidr=IPv4Network(cidr)) for cidr in ("172.16.0.0/25", "172.16.0.128/25"))
    assert 'except from "" to valid' in node_ipam.pod_cidr_refusal(old, new)
    assert node_ipam.pod_cidr_refusal(Node("node-a"), new) is None
    assert node_ipam.pod_cidr_refusal(new, new) is None


def test_restart_refuses_a_podcidr_outside():
    with pytest.raises(AddressPlanError, match="outside the cluster CIDR"):
        FRESH.restarted([IPv4Network("10.0.0.0/25")])


class Oracle:
    """The same policy on a list of booleans, as slowly and plainly as can be."""

    def __init__(self, allocator):
        self.blocks = list(allocator.cluster_cidr.subnets(new_prefix=allocator.node_mask))
        self.used = [False] * len(self.blocks)
        self.cursor = 0

    def allocate(self):
        for step in range(len(self.blocks)):
            index = (self.cursor + step) % len(self.blocks)
            if not self.used[index]:
                self.used[index], self.cursor = True, (index + 1) % len(self.blocks)
                return self.blocks[index]
        return None

    def mark(self, cidr, used):
        for index, block in enumerate(self.blocks):
            if block.overlaps(cidr):
                self.used[index] = used


@st.composite
def allocators(draw):
    bits = draw(st.integers(0, 5))
    node_mask = draw(st.integers(24, 28))
    base = draw(st.integers(0, 255)) << 16
    return RangeAllocator(IPv4Network((0x0A000000 + base, node_mask - bits)), node_mask)


@given(allocators(), st.data())
def test_allocator_agrees_with_the_oracle(allocator, data):
    oracle = Oracle(allocator)
    for _ in range(data.draw(st.integers(0, 60))):
        action = data.draw(st.sampled_from(["allocate", "allocate", "occupy", "release"]))
        if action == "allocate":
            allocator, block = allocator.allocate()
            assert block == oracle.allocate()
            assert block is None or block.subnet_of(allocator.cluster_cidr)
        else:
            mask = data.draw(st.integers(allocator.cluster_cidr.prefixlen, 30))
            address = data.draw(st.integers(0, allocator.cluster_cidr.num_addresses - 1))
            number = int(allocator.cluster_cidr.network_address) + address
            cidr = IPv4Network((IPv4Address(number), mask), strict=False)
            allocator = getattr(allocator, action)(cidr)
            oracle.mark(cidr, action == "occupy")
        assert allocator.cursor == oracle.cursor
        assert [bool(allocator.used >> i & 1) for i in range(len(oracle.used))] == oracle.used


@given(allocators())
def test_blocks_are_disjoint_and_fill_the_cluster_cidr(allocator):
    full, blocks = allocator, []
    while (step := full.allocate())[1] is not None:
        full = step[0]
        blocks.append(step[1])
    assert blocks == list(allocator.cluster_cidr.subnets(new_prefix=allocator.node_mask))
    assert full.free == 0 and full.max_cidrs == len(blocks)
