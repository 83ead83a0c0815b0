"""One Node or Pod object of a dump becomes a value: field by field, and what cannot be used stays unknown.

Part of the importers. Reads the form of today (`spec.podCIDR`) and that of `kubectl cluster-info dump` of 2017, with
Go's names (`Spec.PodCIDR`) and the metadata on the object itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, NamedTuple

from flannelviz.errors import AddressPlanError, DumpError
from flannelviz.importers.documents import Warning_, shortened
from flannelviz.model import INTERNET, VPC, Condition, Node, Pod, Status, parse_address, parse_network, visible

UNKNOWN_NAMESPACE = "?"
_READY: dict[str, Status] = {"True": "True", "False": "False"}


@dataclass(slots=True)
class Notes:
    """What is put down while reading: warnings, and under one heading each what is only counted."""

    warnings: list[Warning_] = field(default_factory=list)
    asides: dict[str, list[str]] = field(default_factory=dict)


def as_json(value: Any) -> str:
    """Return `value` as the JSON text that it came from, lone surrogates escaped.

    Raises: DumpError where it is nested too deeply to be a dump.
    """
    try:
        return json.dumps(value)
    except RecursionError:
        raise DumpError("the dump is nested too deeply; kubectl writes about twenty levels") from None


@lru_cache(maxsize=256)
def _go_name(name: str) -> str:
    """Return a field's name in Go, as dumps of 2017 have it: podCIDR is PodCIDR there."""
    return name[:1].upper() + name[1:]


class Part(NamedTuple):
    """A JSON object inside an item of a dump, with the path that leads to it."""

    value: Mapping[str, Any]
    path: str
    subject: str
    source: str
    notes: Notes

    def warn(self, name: str, found: Any, message: str) -> None:
        """Put down that the field `name` cannot be used, with what stands there."""
        self.notes.warnings.append(
            Warning_("warning", self.subject, self.path + name, message, as_json(found), self.source)
        )

    def get(self, name: str) -> Any:
        """Return a field under its name of today or of 2017; null is the same as absent."""
        found = self.value.get(name)
        return found if found is not None else self.value.get(_go_name(name))

    def text(self, name: str) -> str:
        """Return a string, or "" where there is none."""
        found = self.get(name)
        if found is None:
            return ""
        if isinstance(found, str) and _writable(found):
            return self._shown(name, found)
        self.warn(name, found, "is no usable string, so it stays unknown")
        return ""

    def _shown(self, name: str, found: str) -> str:
        """Return a string as it may be printed: what would steer a terminal or turn text round is replaced.

        Line breaks become blanks; a message may have some.
        """
        one_line = " ".join(found.split())
        shown = visible(one_line)
        if shown != one_line:
            self.warn(name, found, "holds characters that show nothing or turn text round; each is written as \ufffd")
        return shown

    def flag(self, name: str) -> bool:
        """Return a truth value; absent means false, as Kubernetes leaves it out then."""
        found = self.get(name)
        if found is None or isinstance(found, bool):
            return bool(found)
        self.warn(name, found, "is neither true nor false; taken as false, as if it were absent")
        return False

    def part(self, name: str) -> Part:
        """Return an object inside this one; an empty one where there is none."""
        found = self.get(name)
        if found is not None and not isinstance(found, dict):
            self.warn(name, found, "is no object, so all of it stays unknown")
            found = None
        return Part(found or {}, f"{self.path}{name}.", self.subject, self.source, self.notes)

    def entries(self, name: str) -> Iterator[Any]:
        """Return the entries of a list; none where there is no list."""
        found = self.get(name)
        if found is not None and not isinstance(found, list):
            self.warn(name, found, "is no list, so it stays unknown")
            found = None
        return iter(found or ())

    def parts(self, name: str) -> Iterator[Part]:
        """Return the objects in a list."""
        for number, found in enumerate(self.entries(name)):
            if isinstance(found, dict):
                yield Part(found, f"{self.path}{name}[{number}].", self.subject, self.source, self.notes)
            else:
                self.warn(f"{name}[{number}]", found, "is no object, so it stays unknown")

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        """Return the labels or annotations under `name`."""
        part = self.part(name)
        return tuple((key, part.text(key)) for key in part.value if _writable(key))


def _writable(text: str) -> bool:
    """Return whether `text` is Unicode that can be shown: JSON may escape half a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def metadata(item: Part) -> Part:
    """Return the object's metadata, which the form of 2017 has on the object itself."""
    return item.part("metadata") if item.get("metadata") is not None else item


def kind_of(item: Mapping[str, Any], list_kind: str) -> str:
    """Return an item's kind: its own, else that of a NodeList or PodList, else what its fields tell, else ""."""
    kind = item.get("kind")
    if isinstance(kind, str) and kind:
        return kind
    if list_kind != "List" and list_kind.endswith("List"):
        return list_kind.removesuffix("List")
    return next((kind for kind, fields in _TELLING.items() if any(_has(item, *path) for path in fields)), "")


# Fields that only a Node, or only a Pod, has. `status.phase` is not one: volumes and namespaces have it too.
_TELLING = {
    "Node": (("spec", "podCIDR"), ("spec", "providerID"), ("status", "addresses"), ("status", "nodeInfo")),
    "Pod": (("spec", "nodeName"), ("spec", "containers"), ("status", "podIP"), ("status", "hostIP")),
}


def _has(item: Mapping[str, Any], outer: str, inner: str) -> bool:
    part = item.get(outer) or item.get(_go_name(outer))
    return isinstance(part, dict) and (inner in part or _go_name(inner) in part)


def node_from(item: Part) -> Node | None:
    """Return the Node that `item` describes, or None with a warning where its name is unusable."""
    about = metadata(item)
    name = about.text("name")
    if not name or "/" in name or name in (VPC, INTERNET):
        item.warn("", item.value, "has no name that a node can have, so it is left out")
        return None
    item = item._replace(subject=f"Node {name}")
    about, spec, status = metadata(item), item.part("spec"), item.part("status")
    conditions = tuple(_condition(part) for part in status.parts("conditions"))
    ready = next((c.status for c in conditions if c.type == "Ready"), "")
    pod_cidr = _pod_cidr(spec)
    return Node(
        name=name,
        address=_internal_ip(status),
        pod_cidr=pod_cidr,
        provider_id=spec.text("providerID"),
        ready=_READY.get(ready, "Unknown"),
        labels=about.pairs("labels"),
        annotations=about.pairs("annotations"),
        conditions=conditions,
        deleting=about.get("deletionTimestamp") is not None,
        pod_cidr_text="" if pod_cidr else _pod_cidr_text(item),
    )


def _condition(part: Part) -> Condition:
    return Condition(part.text("type"), part.text("status"), part.text("reason"), part.text("message"))


def _internal_ip(status: Part) -> IPv4Address | None:
    """Return the node's first IPv4 InternalIP."""
    found: IPv4Address | None = None
    for entry in status.parts("addresses"):
        if entry.text("type") != "InternalIP":
            continue
        text = entry.text("address")
        if ":" in text and _is_ipv6(text):
            _aside(entry, "IPv6 address of a node", text)
        elif found is None:
            found = _address(entry, "address", text)
        elif text:
            _aside(entry, "further address of a node", text)
    return found


def _pod_cidr(spec: Part) -> IPv4Network | None:
    """Return the IPv4 podCIDR, from `podCIDR` or else `podCIDRs`."""
    first = spec.text("podCIDR")
    listed = [text for text in spec.entries("podCIDRs") if _is_string(spec, "podCIDRs", text)]
    if first and listed and first not in listed:
        spec.warn("podCIDRs", listed, f"does not hold podCIDR {first}, which is the one used")
        listed = []
    found: IPv4Network | None = None
    for name, text in [("podCIDR", first), *(("podCIDRs", text) for text in listed if text != first)]:
        if ":" in text and _is_ipv6(text):
            _aside(spec, "IPv6 podCIDR", text)
        elif found is None and text:
            found = _network(spec, name, text)
        elif text:
            spec.warn(name, text, f"is a second IPv4 podCIDR beside {found}; Kubernetes gives a node at most one")
    return found


def _pod_cidr_text(item: Part) -> str:
    """Return what stands where the podCIDR should, or "" where nothing does."""
    spec = item.get("spec")
    if not isinstance(spec, dict):
        return shortened(as_json(spec)) if spec is not None else ""
    inside = item._replace(value=spec)
    found = [value for name in ("podCIDR", "podCIDRs") if (value := inside.get(name))]
    listed = [one for value in found for one in (value if isinstance(value, list) else [value])]
    texts = (one if isinstance(one, str) and one.isprintable() else as_json(one) for one in listed)
    return shortened(", ".join(dict.fromkeys(texts)))


def pod_from(item: Part) -> Pod | None:
    """Return the Pod that `item` describes, or None with a warning where it has no usable name."""
    about = metadata(item)
    name = about.text("name")
    if not name:
        item.warn("", item.value, "has no usable name, so it is left out")
        return None
    namespace = about.text("namespace")
    item = item._replace(subject=f"Pod {namespace or UNKNOWN_NAMESPACE}/{name}")
    if not namespace:
        item.warn("metadata.namespace", about.get("namespace"), "is missing, so the namespace is unknown")
    spec, status = item.part("spec"), item.part("status")
    ip, others = _pod_ips(status)
    phase = status.text("phase") or "Unknown"
    return Pod(
        namespace=namespace or UNKNOWN_NAMESPACE,
        name=name,
        node=spec.text("nodeName") or None,
        ip=ip,
        host_network=spec.flag("hostNetwork") or spec.part("securityContext").flag("hostNetwork"),
        phase=phase,
        message=_message(status, phase),
        other_ips=others,
    )


def _pod_ips(status: Part) -> tuple[IPv4Address | None, tuple[str, ...]]:
    """Return the pod's IPv4 address and, as text, whatever other addresses it has."""
    texts = dict.fromkeys([status.text("podIP"), *(part.text("ip") for part in status.parts("podIPs"))])
    texts.pop("", None)
    found: IPv4Address | None = None
    others: list[str] = []
    for text in texts:
        if ":" in text and _is_ipv6(text):
            _aside(status, "IPv6 address of a pod", text)
            others.append(text)
        elif found is None:
            found = _address(status, "podIP", text)
        else:
            others.append(text)
    return found, tuple(others)


def _message(status: Part, phase: str) -> str:
    """Return why a pod is stuck, in the words of its status, or ""."""
    said = status.text("message") or status.text("reason")
    if said or phase != "Pending":
        return said
    for condition in status.parts("conditions"):
        if condition.text("status") == "False" and condition.text("message"):
            return condition.text("message")
    waiting = (c.part("state").part("waiting") for c in status.parts("containerStatuses"))
    return next((words for w in waiting if (words := w.text("message") or w.text("reason"))), "")


def _is_string(part: Part, name: str, found: Any) -> bool:
    if isinstance(found, str) and _writable(found):
        return True
    part.warn(name, found, "is no usable string, so it stays unknown")
    return False


def _address(part: Part, name: str, text: str) -> IPv4Address | None:
    try:
        return parse_address(text) if text else None
    except AddressPlanError as error:
        part.warn(name, text, f"{error}, so it stays unknown")
        return None


def _network(part: Part, name: str, text: str) -> IPv4Network | None:
    try:
        return parse_network(text)
    except AddressPlanError as error:
        part.warn(name, text, f"{error}, so it stays unknown")
        return None


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Network(text, strict=False) if "/" in text else IPv6Address(text)
    except ValueError:
        return False
    return True


def _aside(part: Part, heading: str, text: str) -> None:
    part.notes.asides.setdefault(heading, []).append(f"{part.subject} {text}")
