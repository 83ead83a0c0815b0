"""The widgets of a saved notebook: their stages stay live, their HTML stays, and what needs Python is left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from flannelviz.views.stage.page import host

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
STAGES = "flannelviz.views.stage."  # anywidget saves the name of the class
KEYS = "flannelviz.views.widgets.keys.Keys"  # shows nothing
SHEET_ALONE = re.compile(r"\s*<style>[^<]*</style>\s*")  # this page has it already
TEXTS = {"HTMLModel", "HTMLMathModel"}

Models = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kept:
    """What is left of a widget: HTML, the states of its stages by name, how many controls are left out."""

    html: str = ""
    states: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    left_out: int = 0


def models_of(notebook: Any) -> Models:
    """Return the saved widgets of a notebook by their ids."""
    saved = notebook.metadata.get("widgets", {})
    models = saved.get(STATE, {}) if isinstance(saved, Mapping) else {}
    state = models.get("state", {}) if isinstance(models, Mapping) else {}
    return {name: model for name, model in state.items() if isinstance(model, Mapping)} if state else {}


def shown(data: Mapping[str, Any]) -> str:
    """Return the id of the widget that an output shows, or an empty text."""
    view = data.get(VIEW)
    return str(view.get("model_id", "")) if isinstance(view, Mapping) else ""


def kept(models: Models, name: str, around: tuple[str, ...] = ()) -> Kept:
    """Return what is left of the widget `name` where no Python runs; `around` are the boxes that it is in."""
    model = models.get(name)
    state = model.get("state") if model else None
    if not isinstance(state, Mapping) or name in around or _hidden(models, state):
        return Kept()
    own = str(state.get("_anywidget_id", ""))
    if own.startswith(STAGES):
        return _stage(name, state)
    if isinstance(state.get("children"), list):
        return _box(models, name, state, around)
    kind = state.get("_model_name")
    if kind in TEXTS:
        return Kept(_text(str(state.get("value", ""))))
    if kind == "LabelModel":
        return Kept(_text(escape(str(state.get("value", "")))))
    return Kept(left_out=int(own != KEYS))


def _hidden(models: Models, state: Mapping[str, Any]) -> bool:
    layout = (models.get(_name(state.get("layout"))) or {}).get("state") or {}
    return layout.get("display") == "none" or layout.get("visibility") == "hidden"


def _name(reference: object) -> str:
    return str(reference).removeprefix("IPY_MODEL_")


def _stage(name: str, state: Mapping[str, Any]) -> Kept:
    """Return a stage as it was saved, without the module and the sheets that its state brings along."""
    own = f"fv-stage-{name}"
    shown = {"script": _read(state.get("script")), "step": state.get("step"), "answers": state.get("answers")}
    return Kept(host(own), {own: shown})


def _read(script: object) -> object:
    """Return the values of a script that was saved as text, so that the page holds no text within text."""
    try:
        return json.loads(script) if isinstance(script, str) else script
    except ValueError:
        return script


def _text(html: str) -> str:
    if not html or SHEET_ALONE.fullmatch(html):
        return ""
    return f'<div class="widget-html"><div class="widget-html-content">{html}</div></div>'


def _box(models: Models, name: str, state: Mapping[str, Any], around: tuple[str, ...]) -> Kept:
    parts = [kept(models, _name(child), (*around, name)) for child in state["children"]]
    titles = state.get("titles") or ()
    htmls = [_folded(part.html, titles, number) for number, part in enumerate(parts) if part.html]
    classes = [
        "widget-hbox" if state.get("_model_name") == "HBoxModel" else "widget-vbox",
        *state.get("_dom_classes", ()),
    ]
    html = f'<div class="{escape(" ".join(map(str, classes)))}">{"".join(htmls)}</div>' if htmls else ""
    return Kept(html, _merged(part.states for part in parts), sum(part.left_out for part in parts))


def _folded(html: str, titles: Iterable[object], number: int) -> str:
    """Return one page of an accordion or of tabs as something that folds without Python."""
    named = list(titles)[number : number + 1]
    return f"<details open><summary>{escape(str(named[0]))}</summary>{html}</details>" if named else html


def _merged(all_states: Iterable[Mapping[str, Mapping[str, Any]]]) -> dict[str, Mapping[str, Any]]:
    return {name: state for states in all_states for name, state in states.items()}
