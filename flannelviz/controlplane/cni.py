"""The CNI plugins on one node: flannel, which only asks, then `bridge` and `host-local`. Control plane, pod stage.

Three programs, run in this order for each pod that is not in the host's network: the flannel CNI plugin turns
subnet.env into a delegate netconf; `bridge` makes cni0 and the veth pair; `host-local` reserves the pod's address;
`bridge` goes on with eth0, its routes and the gateway address on cni0. CNI plugins v0.6.0, that of Kubernetes 1.12.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import sha512
from ipaddress import IPv4Network
from typing import Any

from flannelviz.controlplane.failure import Failure
from flannelviz.controlplane.flanneld import SUBNET_ENV, appending
from flannelviz.controlplane.host_local import HOST_LOCAL, container_id, held_address, release, reserve, reserve_all
from flannelviz.controlplane.netns import BRIDGE, IP_FORWARD, KERNEL, kernel_route, pod_tables, random_mac
from flannelviz.model import derived_mac, interface
from flannelviz.tables import (
    CNI0,
    Address,
    Chain,
    File,
    HostLocal,
    Lan,
    Link,
    Match,
    Origin,
    Port,
    Row,
    Rule,
    Sysctl,
    Tables,
)

FLANNEL_PLUGIN = "flannel CNI plugin"
FLANNEL_STATE = "/var/lib/cni/flannel"
ENV_KEYS = ("FLANNEL_NETWORK", "FLANNEL_SUBNET", "FLANNEL_MTU", "FLANNEL_IPMASQ")
MULTICAST = IPv4Network("224.0.0.0/4")

Netconf = Mapping[str, Any]


# --- the flannel CNI plugin ------------------------------------------------------------------------------------------


def delegate_netconf(subnet_env_text: str | None, cni_conf: str, path: str = SUBNET_ENV) -> Netconf | Failure:
    """Return what the flannel CNI plugin makes `bridge` do, or why it cannot.

    `subnet_env_text` is None where the file does not exist. Host bits of FLANNEL_SUBNET are cut off.
    Shape: the keys of the delegate, then those that it leaves open, then `ipam`.
    Source: containernetworking/plugins plugins/meta/flannel/flannel.go v0.7.1.
    """
    if subnet_env_text is None:
        return Failure(FLANNEL_PLUGIN, f"open {path}: no such file or directory")
    env = dict(line.split("=", 1) for line in subnet_env_text.splitlines() if "=" in line)
    missing = [key for key in ENV_KEYS if not env.get(key)]
    if missing:
        return Failure(FLANNEL_PLUGIN, f"{path} is missing {', '.join(missing)}")
    return _delegate(json.loads(cni_conf), env)


def _delegate(conf: Mapping[str, Any], env: Mapping[str, str]) -> Netconf:
    asked = conf.get("delegate", {})
    subnet = _subnet(env["FLANNEL_SUBNET"])
    version = {"cniVersion": conf["cniVersion"]} if "cniVersion" in conf else {}
    open_keys = {
        "type": "bridge",
        "isGateway": True,
        "ipMasq": env["FLANNEL_IPMASQ"] != "true",
        "mtu": int(env["FLANNEL_MTU"]),
    }
    routes = [{"dst": env["FLANNEL_NETWORK"]}]
    ipam = {"type": HOST_LOCAL, "subnet": str(subnet), "routes": routes}
    return {**version, "name": conf["name"], **open_keys, **asked, "ipam": ipam}


@lru_cache(maxsize=16)
def _subnet(text: str) -> IPv4Network:
    """Return the network around an interface address, as Go's net.ParseCIDR does."""
    return IPv4Network(text, strict=False)


def netconf_file(pod: str, netconf: Netconf) -> File:
    """Return the delegate netconf as the flannel CNI plugin keeps it for the DEL: one line, the keys in order.

    Source: plugins/meta/flannel/flannel.go v0.7.1, delegateAdd and saveScratchNetConf: json.Marshal of a Go map.
    """
    origin = Origin(FLANNEL_PLUGIN, f"ADD {pod}", f"{SUBNET_ENV} and the delegate of the CNI configuration")
    text = json.dumps(netconf, sort_keys=True, separators=(",", ":"))
    return File(f"{FLANNEL_STATE}/{container_id(pod)}", text, origin)


# --- bridge ----------------------------------------------------------------------------------------------------------


def bridge_ensured(tables: Tables, node: str, netconf: Netconf) -> Tables:
    """Return `tables` with cni0, up but without an address, and the pod LAN; unchanged where they are there.

    Source: containernetworking/plugins plugins/main/bridge/bridge.go v0.6.0, ensureBridge.
    """
    lan = tables.lan or _new_lan(node, netconf)
    made = () if tables.link(CNI0) else (_cni0(lan, random_mac(f"{node} {CNI0}")),)
    return tables if tables.lan and not made else replace(tables, lan=lan, fixed_links=(*tables.fixed_links, *made))


def _new_lan(node: str, netconf: Netconf) -> Lan:
    subnet = _subnet(netconf["ipam"]["subnet"])
    origin = Origin(BRIDGE, "ensures cni0", f"the first pod of {node}")
    return Lan(node, subnet, netconf, HostLocal(subnet), pod_tables, origin=origin)


def _cni0(lan: Lan, mac: str) -> Link:
    return Link(CNI0, "bridge", mac, lan.mtu, origin=Origin(BRIDGE, "ensures cni0", f"the first pod of {lan.node}"))


def _lan(tables: Tables) -> Lan:
    assert tables.lan is not None, "bridge has ensured cni0"
    return tables.lan


def veth_attached(tables: Tables, pod: str) -> Tables:
    """Return `tables` with the pod's veth pair, its host end on cni0; eth0 has no address yet."""
    lan = _lan(tables)
    port = Port(pod, hairpin=bool(lan.netconf.get("hairpinMode", False)))
    return replace(tables, lan=replace(lan, ports=(*lan.ports, port)))


def address_reserved(tables: Tables, pod: str) -> Tables | Failure:
    """Return `tables` after host-local's answer, or its failure."""
    lan = _lan(tables)
    answer = reserve(lan.ipam, pod)
    return answer if isinstance(answer, Failure) else replace(tables, lan=replace(lan, ipam=answer[0]))


def eth0_configured(tables: Tables, pod: str) -> Tables:
    """Return `tables` with the address that host-local holds for the pod on its eth0; the routes follow from it."""
    lan = _lan(tables)
    address = held_address(lan.ipam, pod)
    ports = tuple(port._replace(ip=address) if port.pod == pod else port for port in lan.ports)
    return replace(tables, lan=replace(lan, ports=ports))


def gateway_addressed(tables: Tables) -> Tables | Failure:
    """Return `tables` with the gateway address on cni0, and the MAC derived from it.

    Shape: a failure where cni0 has another address, for instance because the node's podCIDR changed.
    Source: bridge.go v0.6.0, ensureBridgeAddr; the prefix `failed to set bridge addr` came later.
    """
    lan = _lan(tables)
    failure = _gateway_failure(tables, lan)
    if failure:
        return failure
    cleared = _unaddressed(tables, lan)
    return cleared.adding(*_gateway_rows(cleared, lan))


def _gateway_rows(tables: Tables, lan: Lan) -> tuple[Row, ...]:
    """Return what cni0 still lacks of its MAC and address."""
    if any(address.dev == CNI0 for address in tables.addresses):
        return ()
    gateway = lan.gateway
    origin = Origin(BRIDGE, f"gives {CNI0} its address", f"isGateway, and the subnet is {lan.subnet}")
    return _cni0(lan, derived_mac(gateway)), Address(interface(gateway, lan.subnet), CNI0, origin)


def _gateway_failure(tables: Tables, lan: Lan) -> Failure | None:
    there = [address.interface for address in tables.addresses if address.dev == CNI0]
    if not there or lan.netconf.get("forceAddress", False):
        return None
    wanted = interface(lan.gateway, lan.subnet)
    if wanted in there:
        return None
    text = f'"{CNI0}" already has an IP address different from {wanted}'
    return Failure(BRIDGE, f"failed to set bridge addr: {text}")


def _unaddressed(tables: Tables, lan: Lan) -> Tables:
    """Return `tables` without any other address on cni0 and the kernel route that goes with it (forceAddress)."""
    foreign = [a for a in tables.addresses if a.dev == CNI0 and a.interface.network != lan.subnet]
    gone = [r for r in tables.routes if r.dev == CNI0 and r.proto == KERNEL and r.dst != lan.subnet]
    return tables.without(*foreign, *gone) if foreign else tables


def on_link_route(tables: Tables) -> Tables:
    """Return `tables` with the route that the kernel adds for the address on cni0."""
    return tables.adding(*_route_rows(tables, _lan(tables)))


def _route_rows(tables: Tables, lan: Lan) -> tuple[Row, ...]:
    route = kernel_route(lan.subnet, CNI0, lan.gateway)
    return () if route in tables.routes else (route,)


FORWARDING_ON = Sysctl(IP_FORWARD, 1, Origin(BRIDGE, "enables forwarding", "isGateway in the delegate netconf"))


def forwarding_enabled(tables: Tables) -> Tables:
    """Return `tables` with ip_forward = 1, which `bridge` writes because the node routes for its pods."""
    return tables.adding(*_forwarding_rows(tables))


def _forwarding_rows(tables: Tables) -> tuple[Row, ...]:
    return () if tables.sysctl(IP_FORWARD) == 1 else (FORWARDING_ON,)


def pod_masqueraded(tables: Tables, pod: str) -> Tables:
    """Return `tables` with the chain of a pod's own that masquerades for it, if the netconf says ipMasq.

    That is so where flanneld runs without --ip-masq. The chain spares the node's own podCIDR only.
    Source: containernetworking/plugins pkg/ip/ipmasq_linux.go v0.8; in v0.6.0 POSTROUTING matches the whole podCIDR.
    """
    return appending(tables, masquerade_chains(_lan(tables), pod)) if _lan(tables).netconf["ipMasq"] else tables


def masquerade_chains(lan: Lan, pod: str) -> tuple[Chain, ...]:
    """Return what ipMasq adds for `pod`: the jump from POSTROUTING, and its chain."""
    name, container = lan.netconf["name"], container_id(pod)
    own_chain = "CNI-" + sha512((name + container).encode()).hexdigest()[:24]
    comment = f'name: "{name}" id: "{container}"'
    origin = Origin(BRIDGE, f"ADD {pod}", "ipMasq, because FLANNEL_IPMASQ is false")
    address = Match(IPv4Network(held_address(lan.ipam, pod) or 0))
    rules = (
        Rule("ACCEPT", dst=Match(lan.subnet), comment=comment, origin=origin),
        Rule("MASQUERADE", dst=Match(MULTICAST, negated=True), comment=comment, origin=origin),
    )
    jump = Rule(own_chain, src=address, comment=comment, origin=origin)
    return (Chain("nat", "POSTROUTING", "ACCEPT", (jump,)), Chain("nat", own_chain, rules=rules, origin=origin))


def bridge_add(tables: Tables, node: str, pod: str, netconf: Netconf) -> Tables | Failure:
    """Return the node's tables after a whole ADD, in bridge's order of work, or why it failed.

    After a failure the container runtime deletes the sandbox, so that nothing of the pod remains.
    """
    started = veth_attached(bridge_ensured(tables, node, netconf), pod)
    reserved = address_reserved(started, pod)
    if isinstance(reserved, Failure):
        return reserved
    addressed = gateway_addressed(eth0_configured(reserved, pod))
    if isinstance(addressed, Failure):
        return addressed
    return pod_masqueraded(forwarding_enabled(on_link_route(addressed)), pod)


def bridge_del(tables: Tables, pod: str) -> Tables:
    """Return the node's tables after a DEL: no veth, no chain, the address free; cni0, its address and route stay."""
    lan = tables.lan
    if lan is None:
        return tables
    ports = tuple(port for port in lan.ports if port.pod != pod)
    own = {chain.name for chain in masquerade_chains(lan, pod)} - {"POSTROUTING"}
    chains = tuple(_without_jumps(chain, own) for chain in tables.chains if chain.name not in own)
    return replace(tables, chains=chains, lan=replace(lan, ports=ports, ipam=release(lan.ipam, pod)))


def _without_jumps(found: Chain, gone: set[str]) -> Chain:
    kept = tuple(rule for rule in found.rules if rule.target not in gone)
    return found if len(kept) == len(found.rules) else replace(found, rules=kept)


def wired(tables: Tables, node: str, pods: Sequence[str], netconf: Netconf) -> Tables | Failure:
    """Return the node's tables after one ADD for each of `pods`.

    Shape: the same as one `bridge_add` after the other, in one pass. Pods for which no address is left are the last
    ones, and have no port; a failure means that none could be wired.
    """
    lan = tables.lan or _new_lan(node, netconf)
    failure = _gateway_failure(tables, lan)
    if failure:
        return failure
    ipam, got = reserve_all(lan.ipam, pods)
    if not any(got):
        return bridge_ensured(tables, node, netconf) if pods else tables
    hairpin = bool(netconf.get("hairpinMode", False))
    ports = [Port(pod, ip, hairpin=hairpin) for pod, ip in zip(pods, got, strict=True) if ip is not None]
    grown = Lan(node, lan.subnet, lan.netconf, ipam, lan.pod_tables, (*lan.ports, *ports), lan.origin)
    cleared = _unaddressed(tables, lan)
    rows = (*_gateway_rows(cleared, lan), *_route_rows(cleared, lan), *_forwarding_rows(cleared))
    done = replace(cleared.adding(*rows), lan=grown)
    for port in ports if netconf["ipMasq"] else ():
        done = pod_masqueraded(done, port.pod)
    return done
