"""Colours, fonts and measures, shared by every drawing; nothing outside the views knows of colour."""

from __future__ import annotations

from collections.abc import Mapping
from unicodedata import east_asian_width

from flannelviz.model import visible

SANS = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', 'DejaVu Sans', Arial, sans-serif"
MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
SMALL, NORMAL = 11.0, 13.0  # px of the viewBox
ADVANCE = 0.6  # em: the width of every character of a monospaced font, near enough; textLength does the rest
SANS_ADVANCE, BOLD_ADVANCE = 0.62, 0.74  # em: wide averages of proportional fonts, slack included

LIGHT: Mapping[str, str] = {
    "bg": "#ffffff",
    "ink": "#1c2733",
    "muted": "#4d5b69",
    "line": "#6f7d8b",
    "vpc": "#f4f7fb",
    "vpc-line": "#7187a3",
    "cloud": "#e3ecf7",
    "cloud-line": "#44688f",
    "node": "#ffffff",
    "node-line": "#6f7d8b",
    "kernel": "#f4f5f7",
    "kernel-line": "#7a8694",
    "lan": "#f0f8f4",
    "lan-line": "#5c8f78",
    "bridge": "#d9efe4",
    "bridge-line": "#2f7a5a",
    "pod": "#fff6de",
    "pod-line": "#94691a",
    "there": "#b3400a",
    "there-tint": "#fdeade",
    "back": "#5b35b5",
    "back-tint": "#eee9fb",
    "lost": "#b0151f",
    "wrote": "#0b6b4b",
    "wrote-tint": "#d8f3e6",
    "on-accent": "#ffffff",
}
DARK: Mapping[str, str] = {
    "bg": "#111111",
    "ink": "#eef1f4",
    "muted": "#b3bfca",
    "line": "#8a97a4",
    "vpc": "#171b21",
    "vpc-line": "#6c83a1",
    "cloud": "#1f2d3f",
    "cloud-line": "#7ea6d3",
    "node": "#1d2127",
    "node-line": "#84909c",
    "kernel": "#272c33",
    "kernel-line": "#7f8b98",
    "lan": "#18241f",
    "lan-line": "#5f9a81",
    "bridge": "#1c3a2d",
    "bridge-line": "#63b894",
    "pod": "#352b15",
    "pod-line": "#c99b45",
    "there": "#ff9a5c",
    "there-tint": "#43240f",
    "back": "#b9a2ff",
    "back-tint": "#2c2350",
    "lost": "#ff8a8a",
    "wrote": "#5fd3a4",
    "wrote-tint": "#10392a",
    "on-accent": "#14110d",
}
# The sign of a note, by severity: the roles of its surface, its line and the mark in it.
ALERTS: Mapping[str, tuple[str, str, str]] = {
    "error": ("lost", "bg", "on-accent"),
    "warning": ("bg", "ink", "ink"),
    "notice": ("bg", "ink", "ink"),
}
# JupyterLab's own variable for a role, where it has one.
JUPYTER: Mapping[str, str] = {"bg": "--jp-layout-color0", "ink": "--jp-content-font-color1"}

TEXT_ON: tuple[tuple[str, str], ...] = (
    *(("ink", fill) for fill in ("bg", "vpc", "cloud", "node", "kernel", "lan", "bridge", "pod")),
    *(("muted", fill) for fill in ("bg", "vpc", "cloud", "node", "kernel", "lan", "bridge", "pod")),
    *(("ink", tint) for tint in ("there-tint", "back-tint", "wrote-tint")),
    *(("on-accent", accent) for accent in ("there", "back", "lost", "wrote")),
    *(("there", fill) for fill in ("bg", "there-tint")),
    *(("back", fill) for fill in ("bg", "back-tint")),
    ("wrote", "bg"),
    ("lost", "bg"),
)  # every pair of text and ground that is drawn: 4.5 to 1 at least
LINE_ON: tuple[tuple[str, str], ...] = (
    *((line, "bg") for line in ("line", "vpc-line", "cloud-line", "node-line")),
    *((line, "vpc") for line in ("line", "cloud-line", "node-line", "there", "back", "lost", "wrote")),
    *((line, "node") for line in ("line", "kernel-line", "lan-line", "there", "back", "lost", "wrote")),
    ("lost", "pod"),
    *((line, "lan") for line in ("line", "bridge-line", "pod-line", "there", "back", "lost", "wrote")),
)  # every border or wire and its ground: 3 to 1 at least


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours written #rrggbb, from 1 to 21.

    Source: WCAG 2.2, "contrast ratio" and "relative luminance".
    """
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def cells(text: str) -> int:
    """Return how wide `text` is. Units: columns of a monospaced font; a CJK character takes two."""
    if text.isascii():
        return len(text)
    return sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


def shorten(text: str, room: int) -> str:
    """Return `text` if it fits into `room` columns, else its two ends with an ellipsis between."""
    text = visible(text)
    if cells(text) <= room:
        return text
    tail = _fitting(text[::-1], (room - 1) // 2)[::-1]
    return _fitting(text, room - 1 - cells(tail)) + "…" + tail


def _fitting(text: str, room: int) -> str:
    taken = ""
    for character in text:
        if cells(taken + character) > room:
            break
        taken += character
    return taken


def mono_width(text: str, size: float = SMALL) -> float:
    """Return how wide `text` is drawn in the monospaced font. Units: px of the viewBox."""
    return cells(text) * ADVANCE * size


def room_for(width: float, size: float, advance: float = SANS_ADVANCE) -> int:
    """Return how many columns of text fit into `width` px of a font with such an advance."""
    return max(int(width / (size * advance) + 1e-9), 2)
