"""The three allocations of a network, level by level: VPC to ECS, cluster CIDR to podCIDRs, podCIDR to pods.

Reads a Network, built or imported, and neither plane: what was given to whom, how full each level is, what is left, and
what contradicts itself. What an imported network does not say is None here, or a lower bound that is labelled as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network

from flannelviz.allocations.findings import (
    Finding,
    Findings,
    address_findings,
    fullness_findings,
    leak_findings,
    pod_cidr_findings,
)
from flannelviz.allocations.levels import (
    Block,
    Extent,
    Fill,
    Gap,
    Level,
    Owners,
    VSwitchUse,
    cluster_extent,
    cluster_fill,
    counted_of,
    gaps_in,
    node_mask_of,
    pods_fill,
    taken_blocks,
    vpc_extent,
    vpc_fill,
    vswitch_uses,
)
from flannelviz.allocations.pods import Tally, block_of, by_pod_cidr, pod_findings
from flannelviz.network import Network

__all__ = ["Allocation", "Block", "Extent", "Fill", "Finding", "Findings", "Gap", "Level", "VSwitchUse", "allocation"]


@dataclass(frozen=True, slots=True)
class Allocation:
    """All three levels of one network.

    Shape: `blocks` by podCIDR, nodes without one last; `gaps` only where `node_mask` is known, which it is not if the
    podCIDRs differ in size; `findings` level by level, errors and warnings as they were met.
    """

    vpc: Extent
    vswitches: tuple[VSwitchUse, ...]
    cluster: Extent
    node_mask: int | None
    blocks: tuple[Block, ...]
    gaps: tuple[Gap, ...]
    levels: tuple[Level, Level, Level]
    findings: Findings


def allocation(network: Network, cluster_cidr: str | IPv4Network | None = None) -> Allocation:
    """Return who has been given what in `network`, and what is wrong with it.

    `cluster_cidr` tells what an imported network does not say.
    Raises: AddressPlanError if `cluster_cidr` is no network.
    """
    cidrs = {node.name: node.pod_cidr for node in network.nodes.values() if node.pod_cidr is not None}
    vpc, cluster = vpc_extent(network), cluster_extent(network, cluster_cidr, cidrs.values())
    mask = node_mask_of(network, cidrs.values())
    taken = taken_blocks(cluster, mask, cidrs.values())
    tally = Tally(network, Owners(cidrs))
    about_pods = tuple(pod_findings(tally))  # counts, too, so before the blocks
    blocks = tuple(sorted((block_of(node, tally) for node in network.nodes.values()), key=by_pod_cidr))
    vswitches = vswitch_uses(network)
    in_vpc = counted_of("vSwitch", (switch.cidr for switch in vswitches)) or "addresses of nodes"
    in_cluster = "podCIDRs" if mask is None else f"blocks of /{mask}"
    return Allocation(
        vpc=vpc,
        vswitches=vswitches,
        cluster=cluster,
        node_mask=mask,
        blocks=blocks,
        gaps=tuple(gaps_in(cluster, mask, taken)),
        levels=(
            Level("VPC CIDR to ECS addresses", vpc, vpc_fill(network, vswitches), in_vpc),
            Level("cluster CIDR to podCIDRs", cluster, cluster_fill(network, cluster, mask, taken), in_cluster),
            Level(
                "podCIDRs to pod addresses", cluster, pods_fill(network, blocks), counted_of("podCIDR", cidrs.values())
            ),
        ),
        findings=Findings(
            (
                *address_findings(network, tally.owners),
                *pod_cidr_findings(network, cluster),
                *fullness_findings(cluster, mask, taken, blocks),
                *leak_findings(network),
                *about_pods,
            )
        ),
    )
