"""Terway in its shared-ENI mode, the contrast to flannel: pods take addresses from the vSwitch, and the VPC knows each.

Control plane. No podCIDR, no VPC entry for a node, no bridge: a second ENI brings addresses, policy routing the way.
Source: AliyunContainerService/terway docs/design.md, plugin/datapath/policy_router_linux.go.
"""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from zlib import crc32

from flannelviz.model import VPC, Ecs, VSwitch
from flannelviz.tables import (
    ETH0,
    LO,
    MAIN,
    Address,
    Eni,
    File,
    Link,
    Neighbor,
    Origin,
    PolicyRule,
    Route,
    Sysctl,
    Tables,
    VpcTables,
)

TERWAY = "terway"
CNI_CONF = "/etc/cni/net.d/10-terway.conf"
ETH1 = "eth1"
ENI_TABLE = 1003  # 1000 and the number of the ENI's link
TO_POD, FROM_POD = 512, 2048  # priorities of the two rules that each pod has
GATEWAY = IPv4Address("169.254.1.1")  # no device has it; the pod's neighbour entry answers for it


def eni_id(ecs: Ecs) -> str:
    """Return the id of the ENI that Terway attaches to this ECS."""
    return "eni-" + ecs.instance_id.removeprefix("i-")


def eni_mac(ecs: Ecs) -> str:
    """Return the MAC of that ENI."""
    return "00:16:3f:" + crc32(ecs.name.encode()).to_bytes(4, "big")[1:].hex(":")


def cni_conf() -> File:
    """Return the CNI configuration that the kubelet finds.

    Source: AliyunContainerService/terway terway.yml.
    """
    text = json.dumps({"cniVersion": "0.3.0", "name": "terway", "type": "terway"}, indent=2)
    origin = Origin(TERWAY, f"writes {CNI_CONF}", "10-terway.conf of the ConfigMap eni-config")
    return File(CNI_CONF, text + "\n", origin)


def eni_attached(tables: Tables, ecs: Ecs, vswitch: VSwitch) -> Tables:
    """Return a node's tables with the second ENI: up, without an address, and a table of its own with the gateway."""
    origin = Origin(TERWAY, "attaches an ENI", f"pods of {ecs.name} need addresses of {vswitch.name}")
    return tables.adding(
        Link(ETH1, "device", eni_mac(ecs), ecs.mtu, peer=(VPC, eni_id(ecs)), origin=origin),
        Route(IPv4Network("0.0.0.0/0"), ETH1, via=vswitch.gateway, onlink=True, table=ENI_TABLE, origin=origin),
        Sysctl("net.ipv4.ip_forward", 1, origin),
    )


def addresses_assigned(vpc: VpcTables, ecs: Ecs, addresses: tuple[IPv4Address, ...]) -> VpcTables:
    """Return the VPC with the ENI's secondary addresses: one for each pod, all of them members of the vSwitch."""
    origin = Origin(TERWAY, "AssignPrivateIpAddresses", f"{len(addresses)} pods on {ecs.name}")
    added = {
        address: Eni(address, eni_id(ecs), ecs.name, eni_mac(ecs), ecs.vswitch, device=ETH1, origin=origin)
        for address in addresses
    }
    return replace(vpc, enis={**vpc.enis, **added})


def host_end(pod: str) -> str:
    """Return the name of the host end of a pod's veth pair: `cali` and eleven hex digits."""
    return f"cali{crc32(pod.encode()):011x}"


def _host_mac(pod: str) -> str:
    return "ce:" + crc32(pod.encode()).to_bytes(5, "big").hex(":")


def pod_wired(tables: Tables, node: str, pod: str, address: IPv4Address, mtu: int) -> Tables:
    """Return a node's tables after one ADD: the host end, a host route, and a rule for each direction."""
    origin = Origin(TERWAY, f"ADD {pod}", f"pod {pod} runs on {node}")
    name, host = host_end(pod), IPv4Network(address)
    wired = tables.adding(
        Link(name, "veth", _host_mac(pod), mtu, peer=(pod, ETH0), origin=origin),
        Route(host, name, scope="link", origin=origin),
        PolicyRule(TO_POD, MAIN, dst=host, origin=origin),
        PolicyRule(FROM_POD, ENI_TABLE, src=host, in_dev=name, origin=origin),
    )
    return replace(wired, policy=tuple(sorted(wired.policy, key=lambda rule: rule.priority)))


def pod_tables(node: str, pod: str, address: IPv4Address, mtu: int) -> Tables:
    """Return a pod's own tables: a host address, and a gateway that exists only as a permanent neighbour."""
    origin = Origin(TERWAY, f"ADD {pod}", f"pod {pod} runs on {node}")
    kernel = Origin("kernel", "makes a network namespace", "the container runtime starts the sandbox container")
    mac = "06:" + crc32(f"{pod} {ETH0}".encode()).to_bytes(5, "big").hex(":")
    return Tables(
        fixed_links=(
            Link(LO, "loopback", mtu=65536, origin=kernel),
            Link(ETH0, "veth", mac, mtu, peer=(node, host_end(pod)), origin=origin),
        ),
        addresses=(
            Address(IPv4Interface("127.0.0.1/8"), LO, kernel),
            Address(IPv4Interface(address), ETH0, origin),
        ),
        routes=(
            Route(IPv4Network(GATEWAY), ETH0, scope="link", origin=origin),
            Route(IPv4Network("0.0.0.0/0"), ETH0, via=GATEWAY, origin=origin),
        ),
        neighbors=(Neighbor(GATEWAY, _host_mac(pod), ETH0, "PERMANENT", origin),),
    )
