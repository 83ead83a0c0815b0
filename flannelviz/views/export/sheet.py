"""The style sheet of an exported notebook: the colours of the drawings, by the reader's colour scheme. READS only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flannelviz.views.theme import DARK, LIGHT, MONO, SANS

# Classes of pygments, and the role whose colour they take; the ground is "kernel".
CODE: Mapping[str, str] = {
    "k, ow": "back",
    "s, s1, s2, sa, sd, se, si, sr, ss": "wrote",
    "m, mi, mf, mh, mb, mo": "there",
    "c, c1, cm, cp, ch": "muted",
    "nb, bp, nf, nc, nd, ne, nt, na": "name",
    "kc, kd, kn, kr, kt": "back",
    "err, gd, gr": "lost",
}
ANSI: Mapping[str, str] = {
    "red": "lost",
    "green": "wrote",
    "yellow": "there",
    "blue": "back",
    "magenta": "back",
    "cyan": "name",
}
PAGE_ONLY = ({"name": "#1f5f8b"}, {"name": "#8ecbf5"})  # light, dark


def _variables(palette: Mapping[str, str], own: Mapping[str, str]) -> str:
    return "".join(f"--fv-{role}:{colour};" for role, colour in {**palette, **own}.items())


def _tokens() -> str:
    rules = [
        f"{','.join(f'.highlight .{name.strip()}' for name in names.split(','))}{{color:var(--fv-{role})}}"
        for names, role in CODE.items()
    ]
    rules += [f".ansi-{name}-fg,.ansi-{name}-intense-fg{{color:var(--fv-{role})}}" for name, role in ANSI.items()]
    return "\n".join(rules)


SHEET = "\n".join(
    (
        f":root{{{_variables(LIGHT, PAGE_ONLY[0])}--fv-sans:{SANS};--fv-mono:{MONO};color-scheme:light}}",
        f"@media screen and (prefers-color-scheme:dark){{:root{{{_variables(DARK, PAGE_ONLY[1])}color-scheme:dark}}}}",
        _tokens(),
        Path(__file__).with_name("sheet.css").read_text("utf-8"),
    )
)
