"""Drawings of one layout, kept as elements with versions: what `svg` drew, ready to be shown step by step. READS only.

`svg` writes one element a line, so a drawing is read line by line and not drawn a second time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple
from xml.etree import ElementTree

from flannelviz.views.stage.tracks import tracks

ELEMENT = re.compile(r"<g( [^>]*)>(.*)</g>")
GROUP = re.compile(r'<g class="fv-(\w+)">')
VIEW = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
ABSENT = -1
Attributes = tuple[tuple[str, str], ...]


class Shape(NamedTuple):
    """An element of one drawing: the group it stands in, its attributes, the markup inside it."""

    group: str
    look: Attributes
    mark: str


class Version(NamedTuple):
    """What an element is from `step` on: numbers of a look and of a mark; -1: it is not there."""

    step: int
    look: int
    mark: int


class Element(NamedTuple):
    """An element through all steps."""

    key: str
    group: str
    at: tuple[Version, ...]


class Drawn(NamedTuple):
    """Drawings of one layout: the size, the ground, and the elements, hindmost first; looks and marks stand once."""

    width: float
    height: float
    ground: str
    elements: tuple[Element, ...]
    looks: tuple[dict[str, str], ...]
    marks: tuple[str, ...]


def drawn(drawings: Iterable[str], prefix: str = "fv-") -> Drawn:
    """Return drawings of one layout, one for each step from 0 on, as one."""
    texts = list(drawings)
    looks: dict[Attributes, int] = {}
    marks: dict[str, int] = {}
    elements = []
    for track in tracks(shapes(text, prefix) for text in texts):
        group = next(shape.group for _, shape in track.at if shape)
        versions = (_version(step, shape, looks, marks) for step, shape in track.at)
        elements.append(Element(track.key, group, tuple(versions)))
    width, height = _view(texts[-1])
    return Drawn(width, height, _ground(texts[-1]), tuple(elements), tuple(map(dict, looks)), tuple(marks))


def _version(step: int, shape: Shape | None, looks: dict[Attributes, int], marks: dict[str, int]) -> Version:
    if shape is None:
        return Version(step, ABSENT, ABSENT)
    return Version(step, looks.setdefault(shape.look, len(looks)), marks.setdefault(shape.mark, len(marks)))


def _view(drawing: str) -> tuple[float, float]:
    found = VIEW.search(drawing)
    assert found, "svg() says how large its picture is"
    return float(found[1]), float(found[2])


def _ground(drawing: str) -> str:
    return next(line for line in drawing.split("\n") if line.startswith("<rect "))


def shapes(drawing: str, prefix: str = "fv-") -> dict[str, Shape]:
    """Return the elements of a drawing by key: the id without its prefix, or the group and what tells it apart."""
    group = "lanes"
    found: dict[str, Shape] = {}
    for line in _body(drawing):
        if opened := GROUP.fullmatch(line):
            group = opened[1]
        elif match := ELEMENT.fullmatch(line):
            id, look = _attributes(match[1])
            key = id.removeprefix(prefix) if id else _key(group, look, found)
            found[key] = Shape(group, look, match[2])
    return found


def _body(drawing: str) -> Iterator[str]:
    """Return the lines after the style sheet."""
    lines: Sequence[str] = drawing.split("\n")
    yield from lines[next(i for i, line in enumerate(lines) if line.startswith("<rect ")) + 1 :]


@lru_cache(maxsize=4096)
def _attributes(text: str) -> tuple[str, Attributes]:
    """Return the id, and all other attributes."""
    values = ElementTree.fromstring(f"<g{text}/>").attrib
    return values.pop("id", ""), tuple(values.items())


def _key(group: str, look: Attributes, taken: dict[str, Shape]) -> str:
    """Return a key for what has no id: the hop of a move or a badge, the place of a sign, the number of a lane."""
    values = dict(look)
    name = f"{group} {values.get('data-hop') or values.get('transform') or ''}"
    return next(key for key in (f"{name} {n}" for n in range(len(taken) + 1)) if key not in taken)
