"""Understand, break and prove the network of an Alibaba Cloud Kubernetes cluster with flannel.

    >>> from flannelviz import article, trace
    >>> network = article()
    >>> trace(network, "a1", "b1")
    <Trace default/a1 -> 172.16.8.2: accepted, reply accepted; default/a1 > node-a > VPC > node-b > default/b1>

Each public name is loaded when it is first asked for, so that importing the package costs next to nothing.
"""

import sys
from importlib import import_module
from typing import Any

_MODULE_OF = {
    # what exists, what places know, what moves
    "ClusterPlan": "model",
    "NodePlan": "model",
    "ServicePlan": "model",
    "VSwitch": "model",
    "parse_address": "model",
    "parse_network": "model",
    "Network": "network",
    "Event": "network",
    "Tables": "tables",
    "VpcTables": "tables",
    "Route": "tables",
    "RouteEntry": "tables",
    "Disposition": "packet",
    "Learned": "packet",
    "Packet": "packet",
    "Trace": "packet",
    # control plane
    "build": "controlplane.timeline",
    "Timeline": "controlplane.timeline",
    "AddNode": "controlplane.happenings",
    "DeleteNode": "controlplane.happenings",
    "AddPod": "controlplane.happenings",
    "DeletePod": "controlplane.happenings",
    "RestartControllerManager": "controlplane.happenings",
    "RestartCloudControllerManager": "controlplane.happenings",
    "PeriodicPass": "controlplane.happenings",
    "HandMadeEntry": "controlplane.happenings",
    "HandRemovedEntry": "controlplane.happenings",
    # data plane
    "trace": "dataplane.trace",
    "send": "dataplane.trace",
    # ready-made clusters, faults, real input
    "article": "topologies",
    "article_plan": "topologies",
    "article_timeline": "topologies",
    "plan": "topologies",
    "large": "topologies",
    "large_plan": "topologies",
    "FAULTS": "faults",
    "Fault": "faults",
    "break_network": "faults",
    "read_kubectl": "importers.kubectl",
    "allocation": "allocations",
    # as plain text
    "describe": "views.display",
    # errors
    "FlannelvizError": "errors",
    "AddressPlanError": "errors",
    "UnknownPlaceError": "errors",
    "PacketError": "errors",
    "DumpError": "errors",
    "FaultError": "errors",
}
__all__ = sorted(_MODULE_OF)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Return a public name from the module it lives in; a submodule of the same name gives way to it."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'flannelviz' has no attribute {name!r}; public names: {', '.join(__all__)}")
    value = getattr(import_module(f"flannelviz.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


def _show_in_ipython() -> None:
    """Teach a running IPython to show values as pictures and tables; elsewhere do and load nothing."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None:
        import_module("flannelviz.views.display").register(shell)


_show_in_ipython()
