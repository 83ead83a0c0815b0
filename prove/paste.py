"""A case as a pytest test case, ready to paste: it builds the network, traces model and lab, and asserts agreement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields, is_dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from prove.case import Case, Sent, throws, tries

WIDTH = 120
MOST_LINES = 8  # of differences
INDENT = "    "
ADDRESSES = (IPv4Address, IPv4Network)


def pasted(case: Case, name: str, differences: Sequence[str] = ()) -> str:
    """Return the text of a module with one test; `differences` stand in it as a comment."""
    body = [*_network(case), f"{INDENT}with Lab(network) as lab:", *_packets(case)]
    head = [f"def test_{name}() -> None:", *(f"{INDENT}# {line}" for line in _wrapped(differences))]
    return "\n".join([*_imports(case), "", "", *head, *body, ""])


def _wrapped(lines: Sequence[str]) -> Iterator[str]:
    for line in lines[:MOST_LINES]:
        yield line if len(line) <= WIDTH - 6 else line[: WIDTH - 9] + "..."
    if len(lines) > MOST_LINES:
        yield f"and {len(lines) - MOST_LINES} more"


def _imports(case: Case) -> list[str]:
    values = [*_values(case.plan), *_values(case.extras)]
    addresses = sorted({type(value).__name__ for value in values if isinstance(value, ADDRESSES)})
    names = {type(value).__name__ for value in values if is_dataclass(value)} | {"build", "trace"}
    names |= {"break_network"} if case.faults else set()
    rows = sorted(names & {"Match", "Rule", "Sysctl"})
    names -= {*rows, "Extra"}
    ordered = sorted(names, key=lambda name: (name.islower(), name))
    return [
        *([f"from ipaddress import {', '.join(addresses)}", ""] if addresses else []),
        f"from flannelviz import {', '.join(ordered)}",
        "from flannelviz.kernel import Lab, agrees",
        *([f"from flannelviz.tables import {', '.join(rows)}", "from prove.rules import Extra"] if case.extras else []),
    ]


def _values(value: Any) -> Iterator[Any]:
    """Return a value and every value in it that its text will name."""
    yield value
    if is_dataclass(value) and not isinstance(value, type):
        for _, part in _told(value):
            yield from _values(part)
    elif isinstance(value, tuple):
        for part in value:
            yield from _values(part)


def _told(value: Any) -> list[tuple[str, Any]]:
    """Return the fields of a dataclass that differ from their default."""
    pairs = [(field, getattr(value, field.name)) for field in fields(value)]
    return [(field.name, part) for field, part in pairs if field.default is MISSING or part != field.default]


def _network(case: Case) -> Iterator[str]:
    yield f"{INDENT}plan = {code(case.plan, len(INDENT), len('plan = '))}"
    yield f"{INDENT}network = build(plan, strict=False).network"
    for name, target in case.faults:
        yield f'{INDENT}network = break_network(network, "{name}", "{target}")'
    for extra in case.extras:
        yield f"{INDENT}network = {code(extra, len(INDENT), len('network = '))}.put_into(network)"


def _packets(case: Case) -> Iterator[str]:
    network, deeper = case.network(), INDENT * 2
    often = tries(network, case.packets)
    if often > 1:
        yield f"{deeper}for _ in range({often}):  # a kernel draws endpoints by lot"
        deeper += INDENT
    for sent in case.packets:
        yield f"{deeper}kernel = lab.trace({_arguments(sent, warm=sent.warm)})"
        asked = f"network, {_arguments(sent)}" + (", learned=model.learned" if sent.warm else "")
        dice = throws(network, sent)
        if len(dice) == 1:
            yield f"{deeper}model = trace({asked})"
        else:
            yield f"{deeper}models = [trace({asked}, dice=dice) for dice in {dice}]"
            yield f"{deeper}model = min(models, key=lambda one: len(agrees(one, kernel)))"
        yield f"{deeper}assert agrees(model, kernel) == ()"


def _arguments(sent: Sent, warm: bool = False) -> str:
    options = {**sent.options(), **({"warm": True} if warm else {})}
    words = [f'"{sent.source}"', f'"{sent.destination}"', *(f"{name}={code(v)}" for name, v in options.items())]
    return ", ".join(words)


def code(value: Any, indent: int = 0, before: int = 0) -> str:
    """Return the Python text of a value, laid out as the project's formatter does; `before` stands on its line."""
    flat = _flat(value)
    parts = _parts(value)
    if indent + before + len(flat) <= WIDTH or parts is None:
        return flat
    opening, members, closing = parts
    inner = " " * (indent + len(INDENT))
    lines = [f"{inner}{name}{code(part, len(inner), len(name) + 1)}," for name, part in members]
    return "\n".join([opening, *lines, " " * indent + closing])


def _parts(value: Any) -> tuple[str, list[tuple[str, Any]], str] | None:
    if is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__name__}(", [(f"{name}=", part) for name, part in _told(value)], ")"
    if isinstance(value, tuple):
        return "(", [("", part) for part in value], ")"
    return None


def _flat(value: Any) -> str:
    if isinstance(value, ADDRESSES):
        return f'{type(value).__name__}("{value}")'
    if isinstance(value, str):
        return f'"{value}"'
    parts = _parts(value)
    if parts is None:
        return repr(value)
    opening, members, closing = parts
    text = ", ".join(f"{name}{_flat(part)}" for name, part in members)
    return f"{opening}{text}{',' if isinstance(value, tuple) and len(value) == 1 else ''}{closing}"
