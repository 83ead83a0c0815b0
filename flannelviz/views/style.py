"""The style sheet inside every SVG: theme colours as CSS variables, the light as attribute selectors."""

from __future__ import annotations

from collections.abc import Mapping

from flannelviz.views.theme import DARK, JUPYTER, LIGHT, MONO, NORMAL, SANS, SMALL


def _variables(palette: Mapping[str, str], *, jupyter: bool = True) -> str:
    def value(role: str, colour: str) -> str:
        return f"var({JUPYTER[role]},{colour})" if jupyter and role in JUPYTER else colour

    return "".join(f"--fv-{role}:{value(role, colour)};" for role, colour in palette.items())


def _surface(kind: str, fill: str, line: str) -> str:
    return f".fv .fv-{kind}>rect{{fill:var(--fv-{fill});stroke:var(--fv-{line})}}"


_SURFACES = (
    ("vpc", "vpc", "vpc-line"),
    ("internet", "cloud", "cloud-line"),
    ("router", "cloud", "cloud-line"),
    ("nat", "cloud", "cloud-line"),
    ("vswitch", "cloud", "cloud-line"),
    ("node", "node", "node-line"),
    ("ecs", "node", "node-line"),
    ("eth0", "cloud", "cloud-line"),
    ("kernel", "kernel", "kernel-line"),
    ("lan", "lan", "lan-line"),
    ("bridge", "bridge", "bridge-line"),
    ("veth", "bridge", "bridge-line"),
    ("pod", "pod", "pod-line"),
    ("fold", "node", "line"),
)

# An SVG that is a document of its own (an <img>) follows the reader's colour scheme; inside a page, the page's theme.
_THEMES = (
    f".fv{{{_variables(LIGHT)}}}"
    f"@media (prefers-color-scheme:dark){{.fv:root{{{_variables(DARK, jupyter=False)}}}}}"
    f'[data-jp-theme-light="false"] .fv{{{_variables(DARK)}}}'
)

_TEXT = (
    f".fv{{font-family:{SANS};color-scheme:light dark}}"
    f".fv text{{fill:var(--fv-ink);font-size:{SMALL:g}px;direction:ltr;unicode-bidi:isolate}}"
    f".fv .fv-name{{font-size:{NORMAL:g}px;font-weight:600}}"
    ".fv .fv-head{font-size:12px;font-weight:600}"
    ".fv .fv-note{fill:var(--fv-muted)}"
    f".fv .fv-mono{{font-family:{MONO}}}"
    ".fv .fv-count{font-weight:700;fill:var(--fv-on-accent)}"
)

_SHAPES = (
    ".fv .fv-ground{fill:var(--fv-bg)}"
    ".fv .fv-box>rect{stroke-width:1.2}"
    ".fv .fv-vpc>rect{stroke-width:1;stroke-dasharray:2 3}"
    ".fv .fv-lane path{stroke:var(--fv-vpc-line);stroke-width:3;stroke-linecap:round}"
    ".fv .fv-wire polyline,.fv .fv-move polyline{fill:none;stroke-linejoin:round}"
    ".fv .fv-wire polyline{stroke:var(--fv-line);stroke-width:1.6}"
    ".fv .fv-wire[data-hop][data-lit] polyline{opacity:.3}"
    ".fv .fv-cut{fill:none;stroke:var(--fv-lost);stroke-width:2.4}"
    ".fv .fv-row>rect{fill:none;stroke:none}"
    '.fv .fv-fold>rect,.fv [data-state="unknown"]>rect,.fv [data-state="pending"]>rect,'
    '.fv [data-state="down"]>rect,.fv [data-state="unknown"]>polyline,.fv [data-state="down"]>polyline'
    "{stroke-dasharray:5 4}"
)

_LIGHT = "".join(
    f'.fv .fv-box[data-lit][data-direction="{way}"]>rect{{stroke:var(--fv-{way});stroke-width:2.4}}'
    f'.fv .fv-box[data-lit="now"][data-direction="{way}"]>rect{{stroke-width:4;fill:var(--fv-{way}-tint)}}'
    f'.fv .fv-row[data-lit][data-direction="{way}"]>rect'
    f"{{stroke:var(--fv-{way});stroke-width:1;fill:var(--fv-{way}-tint)}}"
    f'.fv .fv-row[data-lit="now"][data-direction="{way}"]>rect{{stroke-width:2.2}}'
    f'.fv .fv-move[data-direction="{way}"] polyline{{stroke:var(--fv-{way})}}'
    f'.fv .fv-move[data-direction="{way}"] path{{fill:var(--fv-{way})}}'
    f'.fv .fv-badge[data-direction="{way}"]>rect'
    f"{{fill:var(--fv-{way});stroke:var(--fv-bg);stroke-width:1.5}}"
    for way in ("there", "back")
) + (
    ".fv .fv-move:not([data-lit]),.fv .fv-badge:not([data-lit]){display:none}"
    ".fv .fv-move polyline{stroke-width:2.2}"
    '.fv .fv-move[data-direction="back"] polyline{stroke-dasharray:4 3}'
    '.fv .fv-move[data-lit="now"] polyline{stroke-width:4}'
    ".fv .fv-lost>rect{fill:var(--fv-lost);stroke:var(--fv-bg);stroke-width:1.5}"
    ".fv .fv-lost>path{fill:none;stroke:var(--fv-on-accent);stroke-width:2.4}"
    ".fv .fv-untold>rect{fill:var(--fv-bg);stroke:var(--fv-muted);stroke-width:1.5;stroke-dasharray:4 3}"
    '.fv .fv-box[data-lit="wrote"]>rect{stroke:var(--fv-wrote);stroke-width:3}'
    '.fv .fv-row[data-lit="wrote"]>rect{stroke:var(--fv-wrote);stroke-width:1.6;fill:var(--fv-wrote-tint)}'
    '.fv .fv-box[data-lit="removed"]>rect,.fv .fv-row[data-lit="removed"]>rect'
    "{stroke:var(--fv-lost);stroke-width:2;stroke-dasharray:5 4}"
    '.fv .fv-row[data-lit="removed"]>text{text-decoration:line-through}'
    ".fv .fv-sign>path{fill:none;stroke:var(--fv-on-accent);stroke-width:2.2}"
    '.fv .fv-sign[data-lit="wrote"]>circle{fill:var(--fv-wrote)}'
    '.fv .fv-sign[data-lit="removed"]>circle{fill:var(--fv-lost)}'
)

STYLE = "\n".join(("", _THEMES, _TEXT, *(_surface(*surface) for surface in _SURFACES), _SHAPES, _LIGHT, ""))
