"""Outside text becomes JSON documents: files, pastes, directories; size, encoding and syntax checked, no meaning yet.

Part of the importers. Every way in which a text can fail to be JSON ends in one DumpError that says what it is instead.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from flannelviz.errors import DumpError

MAX_BYTES = 64 * 2**20
LONGEST_PATH = 4096  # PATH_MAX of Linux
SAVE = "kubectl get nodes,pods -A -o json > dump.json"
CUT_DOWN = (
    "kubectl get nodes,pods -A -o json | jq -c '.items |= map({kind, metadata: (.metadata | {name, namespace}), "
    "spec: (.spec | {nodeName, hostNetwork, podCIDR, podCIDRs, providerID}), "
    "status: (.status | {phase, podIP, podIPs, addresses, conditions})})' > dump.json"
)


class Readable(Protocol):
    """An open file, or anything that is read like one."""

    def read(self, size: int, /) -> str | bytes:
        """Return at most `size` bytes or characters."""


# A memoryview is what an upload widget hands over.
Source = str | bytes | memoryview | os.PathLike[str] | Readable


@dataclass(frozen=True, slots=True)
class Document:
    """One JSON value and the name of the source that held it."""

    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Warning_:  # noqa: N801 - `Warning` is Python's own
    """Something in the input that was not used: a notice where all is well, a warning where a value is unusable.

    `subject` is such as "Node node-a", or empty for the input as a whole; `raw` is what stands there, as JSON.
    """

    severity: Literal["notice", "warning"]
    subject: str
    field: str
    message: str
    raw: str = ""
    source: str = ""

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.subject, self.field) if part)
        said = f" (it says {shortened(self.raw)})" if self.raw else ""
        return f"{where}: {self.message}{said}" if where else f"{self.message}{said}"


def shortened(text: str, width: int = 80) -> str:
    """Return `text`, cut to `width` characters with a sign that it was cut."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def read_documents(sources: Iterable[Source], members: tuple[str, ...], max_bytes: int) -> Iterator[Document]:
    """Return the JSON documents of all sources, read one after the other.

    `members` are the file patterns that are read where a source is a directory.
    Shape: in the order of the sources; a text may hold several documents.
    Units: `max_bytes` for all sources together, checked before anything is parsed.
    Raises: DumpError where a source cannot be read, is too large or is no JSON.
    """
    named = [pair for number, source in enumerate(sources, 1) for pair in _opened(source, number, members)]
    _check_size([(name, _size(source)) for name, source in named], max_bytes)
    left = max_bytes
    for name, source in named:
        raw = _read(name, source, left + 1)
        _check_size([(name, len(raw))], left, max_bytes)
        left -= len(raw)
        text = raw if isinstance(raw, str) else _decoded(name, raw)
        del raw
        yield from _documents_in(name, text)


def _opened(source: Source, number: int, members: tuple[str, ...]) -> Iterator[tuple[str, Source]]:
    """Return `source` with a name to call it by; a directory becomes the files in it."""
    if isinstance(source, str) and not _is_text(source):
        source = _file_called(source)
    if not isinstance(source, os.PathLike):
        yield str(getattr(source, "name", f"source {number}")), source
    elif not Path(source).is_dir():
        yield str(source), source
    else:
        found = [path for member in members for path in sorted(Path(source).glob(member))]
        if not found:
            raise DumpError(f"the directory {source} holds none of {', '.join(members)}; {SAVE} writes one file")
        yield from ((str(path), path) for path in found)


def _is_text(source: str) -> bool:
    return len(source) > LONGEST_PATH or "\n" in source or source[:1] in ("", *"{[\ufeff") or source[0].isspace()


def _file_called(text: str) -> Path:
    try:
        if Path(text).exists():
            return Path(text)
    except OSError:  # too long for a file name
        pass
    what = _foreign(text)
    raise DumpError(
        f"{shortened(text)!r} is no JSON text and no file of this name exists; "
        + (f"it looks like {what}; " if what else "")
        + f"save a dump with {SAVE} and give its path, or give the JSON text itself"
    )


def _size(source: Source) -> int:
    """Return how many bytes `source` has at least, as far as it can be told without reading it."""
    if isinstance(source, memoryview):
        return source.nbytes
    if isinstance(source, str | bytes):
        return len(source)
    try:
        return os.stat(source if isinstance(source, os.PathLike) else source.fileno()).st_size  # type: ignore[attr-defined]
    except (OSError, AttributeError):
        return 0  # no file; or one that cannot be read, and reading it says why


def _check_size(sizes: list[tuple[str, int]], limit: int, max_bytes: int | None = None) -> None:
    total = sum(size for _, size in sizes)
    if total <= limit:
        return
    name = sizes[0][0] if len(sizes) == 1 else f"all {len(sizes)} sources together"
    measured = "over the limit" if max_bytes is not None else f"{total / 2**20:.1f} MB"
    raise DumpError(
        f"{name}: {measured}; at most {(max_bytes or limit) / 2**20:.1f} MB are read. Keep only what matters: "
        f"{CUT_DOWN} — or one node: --field-selector spec.nodeName=NODE — or raise max_bytes"
    )


def _read(name: str, source: Source, limit: int) -> str | bytes:
    if isinstance(source, memoryview):
        return bytes(source)
    if isinstance(source, str | bytes):
        return source
    try:
        if isinstance(source, os.PathLike):
            with open(source, "rb") as file:
                return file.read(limit)
        raw = source.read(limit) if hasattr(source, "read") else source
    except (OSError, UnicodeDecodeError) as error:
        raise DumpError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(raw, str | bytes):
        raise DumpError(f"{name} is of type {type(raw).__name__}; give JSON text, bytes, a path or an open file")
    return raw


def _decoded(name: str, raw: bytes) -> str:
    """Return the text of `raw`: UTF-8, with or without a mark, or the UTF-16 that PowerShell writes."""
    try:
        return raw.decode(json.detect_encoding(raw))
    except UnicodeDecodeError as error:
        raise DumpError(
            f"{name} is no text: byte {raw[error.start]:#04x} at offset {error.start} is no {error.encoding}; "
            f"save a dump with {SAVE}"
        ) from None


_DECODER = json.JSONDecoder()
_BLANK = re.compile(r"[\s\ufeff]*")
# A shell prompt that was copied along: a line with a kubectl command, or a line that ends in $, # or >.
_PROMPT = re.compile(r'[^\n{"<]{0,200}?(?:\bkubectl\s[^\n]{0,2000}|[$#>][ \t\r]*(?=\n|\Z))')


def _documents_in(name: str, text: str) -> Iterator[Document]:
    position = _skip(text, 0)
    if position == len(text):
        what = "is empty: no JSON in it" if _BLANK.fullmatch(text) else "holds a command, and nothing that it printed"
        raise DumpError(f"{name} {what}; save a dump with {SAVE}")
    while position < len(text):
        _refuse_foreign(name, text[position : position + 2000])
        value, position = _decode(name, text, position)
        yield Document(value, name)
        position = _skip(text, position)


def _skip(text: str, position: int) -> int:
    """Return where the next document starts, past blanks and pasted prompts."""
    while True:
        blank = _BLANK.match(text, position)
        position = blank.end() if blank else position
        prompt = _PROMPT.match(text, position)
        if prompt is None:
            return position
        position = prompt.end()


def _refuse_foreign(name: str, start: str) -> None:
    """Raise DumpError where a text that is no JSON starts so; the first number of `10.0.0.0/25 dev cni0` would be."""
    what = _foreign(start)
    if what == _FAILURE:
        said = shortened(start.splitlines()[0])
        raise DumpError(f"{name} is {what}, not JSON: {said!r}; see to that first, then run {SAVE}")
    if what in _OF_A_MACHINE:
        raise DumpError(f"{name} is {what}, and only Nodes and Pods are read, as JSON: {SAVE}")
    if what:
        raise DumpError(f"{name} is {what}, not JSON; run kubectl with -o json: {SAVE}")


def _decode(name: str, text: str, position: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, position)
    except json.JSONDecodeError as error:
        raise DumpError(_why_no_json(name, text, error)) from None
    except RecursionError:
        raise DumpError(f"{name} is nested too deeply; kubectl writes about twenty levels: {SAVE}") from None
    except ValueError as error:  # an integer of more than 4300 digits
        raise DumpError(f"{name} is no dump of kubectl: {error}") from None


def _why_no_json(name: str, text: str, error: json.JSONDecodeError) -> str:
    if _cut_off(text, error):
        end = len(text.rstrip())
        line, column = text.count("\n", 0, end) + 1, end - text.rfind("\n", 0, end) - 1
        return (
            f"{name} ends in the middle of the JSON, at line {line}, column {column}: "
            f"it was probably cut off when it was pasted; save it with {SAVE} and read that file"
        )
    near = text[max(error.pos - 20, 0) : error.pos + 20]
    return (
        f"{name} is no JSON: {error.msg} at line {error.lineno}, column {error.colno}, near {near!r}; "
        f"save a dump with {SAVE} and read that file unchanged"
    )


# What is left after the last complete token, where a text stops inside of one.
_CUT_TOKEN = re.compile(r"[-.]|[eE][+-]?|t(ru?)?|f(a(ls?)?)?|nu?l?|\\?u[0-9a-fA-F]{0,4}")


def _cut_off(text: str, error: json.JSONDecodeError) -> bool:
    rest = text[error.pos : error.pos + 20].rstrip()
    if error.msg.startswith("Unterminated string") or not rest:
        return True
    return not text[error.pos + 20 :].strip() and _CUT_TOKEN.fullmatch(rest) is not None


_FAILURE = "a message of kubectl"
_OF_A_MACHINE = {
    "what `ip route` prints": re.compile(r"(default|[\d.]+(/\d+)?) (via|dev) "),
    "what `ip addr` prints": re.compile(r"\d+: \S+: <"),
    "what `route -n` prints": re.compile(r"Kernel IP routing table|Destination\s+Gateway\s"),
    "what iptables prints": re.compile(r"# Generated by iptables|\*(nat|filter)\s|-[APN] [A-Z]|Chain \S+ \("),
}
_FOREIGN = {
    "YAML": re.compile(r"---\s|(- )?(apiVersion|kind|items|metadata|spec|status):"),
    "what `kubectl describe` prints": re.compile(r"Name:\s"),
    "the table that kubectl prints without -o json": re.compile(r"NAME(SPACE)?\s|\S+\s+(\S+\s+)?\d+/\d+\s+[A-Z]"),
    "a web page": re.compile(r"<(!doctype|html|\?xml)", re.IGNORECASE),
    _FAILURE: re.compile(
        r"No resources found|error: |Error from server|Unable to connect|The connection to the server|[EWI]\d{4} \d\d:"
    ),
    **_OF_A_MACHINE,
}


def _foreign(text: str) -> str | None:
    """Return what `text` is, if it is something that people have at hand in place of JSON."""
    return next((what for what, pattern in _FOREIGN.items() if pattern.match(text)), None)
