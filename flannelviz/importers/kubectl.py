"""`kubectl get nodes,pods -o json` becomes a Network. What the dump does not say stays unknown.

Part of the importers. A text whose frame is wrong is one DumpError and nothing half-built; inside a good frame, an
unusable value is a Warning_ with what stands there, and the field stays unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from flannelviz.errors import DumpError
from flannelviz.importers.documents import MAX_BYTES, SAVE, Document, Source, Warning_, read_documents, shortened
from flannelviz.importers.objects import Notes, Part, as_json, kind_of, node_from, pod_from
from flannelviz.model import Node, Pod
from flannelviz.network import Network, told_address
from flannelviz.tables import UNTOLD, UNTOLD_VPC, Tables, VpcTables

__all__ = ["Imported", "Warning_", "read_kubectl"]

# What `kubectl cluster-info dump --output-directory` writes, one directory for each namespace.
DUMP_FILES = ("nodes.json", "pods.json", "*/pods.json")


@dataclass(frozen=True, slots=True)
class Imported:
    """A network as far as a dump tells it, and everything in the dump that was not used."""

    network: Network
    warnings: tuple[Warning_, ...] = ()


@dataclass(slots=True)
class _Found:
    """What has been read so far, from all sources."""

    nodes: dict[str, Node] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    ignored: Counter[str] = field(default_factory=Counter)
    notes: Notes = field(default_factory=Notes)


def read_kubectl(*sources: Source, max_bytes: int = MAX_BYTES) -> Imported:
    """Return the network that one or more dumps of kubectl tell, merged, with a warning for all that was not used.

    A source is JSON text or bytes, the path of a file or of a `kubectl cluster-info dump` directory, or an open file.
    Shape: nodes and pods in the order of the sources; of two that differ under one name, the first.
    Units: `max_bytes` for all sources together.
    Raises: DumpError if a source is no JSON, too large, not from kubectl, or if there is no node and no pod in all.
    """
    found = _Found()
    for document in read_documents(sources, DUMP_FILES, max_bytes):
        for item, list_kind in _items(document, found):
            _take(item, list_kind, document.source, found)
    if not found.nodes and not found.pods:
        raise DumpError(_why_nothing(found))
    return Imported(_network(found), (*found.notes.warnings, *_notices(found)))


def _why_nothing(found: _Found) -> str:
    ignored = ", ".join(f"{count} of kind {kind}" for kind, count in found.ignored.items())
    unusable = f"; first warning: {found.notes.warnings[0]}" if found.notes.warnings else ""
    return f"there is no node and no pod in it{f', only {ignored}' if ignored else ''}{unusable}; run {SAVE}"


def _items(document: Document, found: _Found) -> Iterator[tuple[Any, str]]:
    """Return each item of a document with the kind of the list around it; lists may hold lists."""
    _check_frame(document)
    waiting: list[tuple[Any, str]] = [(document.value, "")]
    while waiting:
        value, list_kind = waiting.pop()
        if isinstance(value, list):
            waiting.extend((item, list_kind) for item in reversed(value))
        elif isinstance(value, dict) and ("items" in value or "Items" in value):
            kind = value["kind"] if isinstance(value.get("kind"), str) else ""
            found.told.add(kind)
            _note_continuation(value, document.source, found)
            waiting.extend((item, kind) for item in reversed(_listed(value, document.source)))
        else:
            yield value, list_kind


def _check_frame(document: Document) -> None:
    value, source = document.value, document.source
    if isinstance(value, list):
        return
    if not isinstance(value, dict):
        raise DumpError(f"{source} is JSON, but only {shortened(as_json(value))}; run {SAVE}")
    if value.get("kind") == "Status":
        raise DumpError(f"{source} is an answer of the API server, not a list: {value.get('message')}; run {SAVE}")
    if not {"items", "Items", "kind", "metadata", "spec", "Spec"} & value.keys():
        keys = ", ".join(map(repr, list(value)[:5])) or "none"
        raise DumpError(f"{source} is JSON, but not from kubectl: its keys are {shortened(keys)}; run {SAVE}")


def _listed(value: Mapping[str, Any], source: str) -> list[Any]:
    """Return the list under `items`; Go writes null for an empty one.

    Raises: DumpError if there is something else.
    """
    items = value.get("items", value.get("Items"))
    if items is not None and not isinstance(items, list):
        raise DumpError(f"{source}: items should be a list, and is {shortened(as_json(items))}; run {SAVE}")
    return items or []


def _note_continuation(value: Mapping[str, Any], source: str, found: _Found) -> None:
    about = value.get("metadata")
    if isinstance(about, dict) and about.get("continue"):
        message = f"is set, so this is a part of a list and the rest is unknown; {SAVE} writes all of it"
        raw = as_json(about.get("remainingItemCount"))
        found.notes.warnings.append(Warning_("warning", "", "metadata.continue", message, raw, source))


def _take(item: Any, list_kind: str, source: str, found: _Found) -> None:
    """Put one item where it belongs; what is neither Node nor Pod is counted, and no Secret is kept."""
    if not isinstance(item, dict):
        message = "is no object, so it is left out"
        found.notes.warnings.append(Warning_("warning", "", "items", message, as_json(item), source))
        return
    kind = kind_of(item, list_kind)
    part = Part(item, "", kind, source, found.notes)
    if kind == "Node":
        node = node_from(part)
        if node is not None:
            _keep(found.nodes, node.name, node, part, found)
    elif kind == "Pod":
        pod = pod_from(part)
        if pod is not None:
            _keep(found.pods, pod.place, pod, part, found)
    elif kind:
        found.ignored[kind] += 1
    else:
        secret = {"data", "stringData", "Data"} & item.keys()
        part.warn("", None if secret else item, "says no kind and looks like neither Node nor Pod, so it is left out")


def _keep(kept: dict[str, Any], name: str, new: Node | Pod, part: Part, found: _Found) -> None:
    """Add `new` unless its name is taken: once more the same is only counted, another one is a warning."""
    old = kept.setdefault(name, new)
    if old is new:
        return
    if old == new:
        found.notes.asides.setdefault("repetition", []).append(f"{part.subject} {name}")
    else:
        named = part._replace(subject=f"{part.subject} {name}")
        named.warn("", part.value, "differs from an earlier one of the same name, which is kept")


def _network(found: _Found) -> Network:
    return Network(
        nodes=found.nodes,
        pods=found.pods,
        vpc=VpcTables(unknown=UNTOLD_VPC),
        written={name: _node_tables(node) for name, node in found.nodes.items()},
        unknown=frozenset(_untold(found)),
    )


def _untold(found: _Found) -> Iterator[Literal["nodes", "pods"]]:
    """Return what the dump does not tell at all: an empty PodList tells that there is no pod, an empty List nothing."""
    if not found.nodes and "NodeList" not in found.told:
        yield "nodes"
    if not found.pods and "PodList" not in found.told:
        yield "pods"


def _node_tables(node: Node) -> Tables:
    if node.address is None:
        return Tables(unknown=UNTOLD | {"addresses"})
    return Tables(addresses=(told_address(node.address),), unknown=UNTOLD)


def _notices(found: _Found) -> Iterator[Warning_]:
    for kind, count in found.ignored.items():
        yield _notice(f"{count} of kind {kind} left out: only Nodes and Pods are read")
    for heading, texts in found.notes.asides.items():
        raw = "" if heading in _KEPT_ANYWAY else ", ".join(texts)
        yield _notice(f"{len(texts)} × {heading} {_ASIDES[heading]}", raw)
    for name in _untold(found):
        yield _notice(_MISSING[name])
    namespaces = {pod.namespace for pod in found.pods.values()}
    if len(namespaces) == 1:
        yield _notice(f"every pod is in namespace {min(namespaces)}; if -A was missing, there are more pods than these")


_ASIDES = {
    "IPv6 address of a node": "left out: this model covers IPv4",
    "IPv6 podCIDR": "left out: this model covers IPv4",
    "IPv6 address of a pod": "kept as text only: this model covers IPv4",
    "further address of a node": "left out: the first InternalIP is the one used",
    "repetition": "of a node or pod that is in the dump already",
}


_KEPT_ANYWAY = ("IPv6 address of a pod", "repetition")

_MISSING = {
    "nodes": "no node in it, so podCIDRs are unknown; add `kubectl get nodes -o json`",
    "pods": "no pod in it, so how full a podCIDR is stays unknown; add `kubectl get pods -A -o json`",
}


def _notice(message: str, raw: str = "") -> Warning_:
    return Warning_("notice", "", "", message, raw)
