"""A stage as one HTML file that does everything from disk: the same module, the script as JSON, no network. READS only.

The policy in its head lets the browser run this page's own module and nothing else.
"""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from flannelviz.model import visible
from flannelviz.views.stage.assets import MODULE, SHEETS

# What stands for the kernel's model: values that stay in the page, and nobody who answers.
SHIM = """
for (const host of document.querySelectorAll('[data-stage]')) {
  try {
    live(host, JSON.parse(document.getElementById(host.dataset.stage).textContent));
  } catch (error) {
    host.textContent = `This stage cannot be shown (${error.message}).`;
  }
}

function live(host, state) {
  const values = { ...state, alone: true };
  const listeners = new Map();
  module.render({ el: host, model: {
    get: (name) => values[name],
    set: (name, value) => {
      values[name] = value;
      for (const listener of listeners.get(`change:${name}`) ?? []) listener();
    },
    save_changes: () => {},
    send: () => {},
    on: (name, listener) => listeners.set(name, [...(listeners.get(name) ?? []), listener]),
    off: (name, listener) => listeners.set(name, (listeners.get(name) ?? []).filter((one) => one !== listener)),
  } });
}

// What is wider than its frame can be moved with the keyboard too.
const watch = new ResizeObserver((seen) => {
  for (const { target } of seen) target.tabIndex = target.scrollWidth > target.clientWidth ? 0 : -1;
});
const FRAMES = ':is([data-wide], .widget-html) :is(.fv-table, .fv-picture, [style*=overflow])';
for (const frame of document.querySelectorAll(`[data-wide], ${FRAMES}`)) watch.observe(frame);
"""


def page(states: Mapping[str, Mapping[str, Any]], title: str, body: str = "", style: str = "") -> str:
    """Return a page with one stage for each state; `body` is its HTML, in which `host(name)` says where they stand."""
    body = body or f"<main>{''.join(map(host, states))}</main>"
    code = MODULE.replace("export default", "const module =").replace("export ", "") + SHIM
    digest = b64encode(sha256(code.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; {NOWHERE}"
    data = "".join(map(_data, states.items()))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(visible(title))}</title>\n"
        f"<style>{SHEETS}{style or PAGE}</style></head>\n<body>{body}\n{data}\n"
        f'<script type="module">{code}</script></body></html>\n'
    )


NOWHERE = "base-uri 'none'; form-action 'none'"  # what default-src does not speak of
PAGE = (
    "body{margin:12px;background:#fff;color:#1c2733;font-family:system-ui,sans-serif}"
    "main{max-width:100rem;margin:0 auto}@media (min-width:2200px){main{zoom:1.4}}"
    "@media (prefers-color-scheme:dark){body{background:#111;color:#eef1f4;color-scheme:dark}}"
)


def _data(named: tuple[str, Mapping[str, Any]]) -> str:
    name, state = named
    return f'<script type="application/json" id="{escape(name)}">{as_json(state)}</script>'


def host(name: str) -> str:
    """Return the element that the stage of this name fills."""
    return f'<div data-stage="{escape(name)}"></div>'


def as_json(state: Mapping[str, Any]) -> str:
    """Return a state as JSON that may stand inside a script element: nothing in it ends the element or a line."""
    text = json.dumps(state, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def write_whole(path: Path, text: str) -> None:
    """Write `text` to `path`, or nothing at all: a file that is half written never has that name."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, "utf-8", errors="replace")  # half of a pair of surrogates is a character nowhere
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
