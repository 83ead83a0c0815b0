"""What is wrong with places, as a picture shows it: one note for each place, the gravest first. READS only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from flannelviz.network import Network
from flannelviz.views.shapes import Box, Note, Severity, ident

ORDER: tuple[Severity, ...] = ("error", "warning", "notice")
PLACES = ("node", "ecs", "pod")  # the boxes that stand for a whole place


def ordered(findings: Iterable[Any]) -> list[Any]:
    """Return the findings, errors first."""
    return sorted(findings, key=lambda finding: ORDER.index(finding.severity))


def notes_of(findings: Iterable[Any]) -> dict[str, Note]:
    """Return a note for each place that a finding is about: anything with `severity`, `subject` and `message`.

    Shape: the place with the gravest finding first.
    """
    told: dict[str, list[Any]] = {}
    for finding in ordered(findings):
        told.setdefault(finding.subject, []).append(finding)
    return {place: Note(found[0].severity, "; ".join(map(_says, found))) for place, found in told.items()}


def _says(finding: Any) -> str:
    return f"{finding.severity}: {finding.message}"


def noted(network: Network, boxes: tuple[Box, ...], notes: Mapping[str, Note]) -> tuple[Box, ...]:
    """Return the boxes with their notes; that of a count says how many noted places are folded into it."""
    if not notes:
        return boxes
    drawn = {box.place: box.id for box in boxes if box.kind in PLACES}
    found = {drawn[place]: note for place, note in notes.items() if place in drawn}
    found |= _folded(network, drawn, notes)
    return tuple(replace(box, note=found[box.id]) if box.id in found else box for box in boxes)


def _folded(network: Network, drawn: Mapping[str, str], notes: Mapping[str, Note]) -> dict[str, Note]:
    """Return the notes of the counts, by the id of their boxes: of a node's pods, or of the nodes with their pods."""
    hidden: dict[str, list[Note]] = {}
    for place, note in notes.items():
        home = (network.pods[place].node or "") if place in network.pods else place
        if place not in drawn and home in network.nodes:
            hidden.setdefault(home if home in drawn else "", []).append(note)
    return {ident(home, "more pods") if home else ident("fold", "node"): _sum(found) for home, found in hidden.items()}


def _sum(hidden: list[Note]) -> Note:
    says = "one place in it has findings" if len(hidden) == 1 else f"{len(hidden):,} places in it have findings"
    return Note(min((note.severity for note in hidden), key=ORDER.index), says)
