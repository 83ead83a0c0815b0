"""Who answers an ARP request, and whose packets a device takes."""

from ipaddress import IPv4Address

from flannelviz.dataplane.arp import reverse_path_ok
from flannelviz.tables import Sysctl
from flannelviz.topologies import article


def test_a_device_without_an_address_is_held_to_the_strict_mode() -> None:
    loose = Sysctl("net.ipv4.conf.all.rp_filter", 2)
    tables = article().tables("node-a").adding(loose)
    source, own = IPv4Address("172.16.0.130"), IPv4Address("172.16.0.129")
    assert reverse_path_ok(tables, "eth0", source, own)
    assert not reverse_path_ok(tables, "vetheb6e8c0e", source, own)
