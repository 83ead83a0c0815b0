"""A small notebook with every kind of stage, and a name in it that would like to be a script."""

import json
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools.notebooks import KERNEL, run

NAME = "</script><script>window.smuggled = 1</script><!--<script>\u2028<img src=x onerror='window.smuggled = 2'>"
JOURNEY = """
from flannelviz import article, read_kubectl, trace
from flannelviz.views import stage

network = article()
stage.journey(network, trace(network, "a1", "b1"))
"""
BOXED = """
import ipywidgets as widgets

note = widgets.HTML("<p class='boxed'>Choose a pod &amp; look.</p>")
pods = widgets.Dropdown(options=["a1", "b1"], description="pod")
widgets.VBox([note, widgets.HBox([pods, widgets.Button(description="Send")]), stage.journey(network)])
"""


def dump(name: str) -> str:
    """Return a dump with a node, and a pod and a namespace of this name on it."""
    addresses = [{"type": "InternalIP", "address": "10.0.4.2"}]
    node = {"kind": "Node", "metadata": {"name": "node-a"}, "spec": {"podCIDR": "10.244.0.0/24"}}
    pod = {"kind": "Pod", "metadata": {"name": name, "namespace": name}, "spec": {"nodeName": "node-a"}}
    items = [{**node, "status": {"addresses": addresses}}, {**pod, "status": {"podIP": "10.244.0.2"}}]
    return json.dumps({"kind": "List", "items": items})


def write_kept(path: Path) -> Path:
    """Write the notebook to `path`, executed, with the state of its widgets; return the path."""
    cells = [
        new_markdown_cell("# Which row decides?\n\n## A journey\n\nThe row `172.16.8.0/25` at the *VPC*."),
        new_code_cell(JOURNEY.strip()),
        new_markdown_cell("## In a box\n\n| a | b |\n|---|---|\n| 1 | 2 |"),
        new_code_cell(BOXED.strip()),
        new_markdown_cell("## From a dump"),
        new_code_cell(f"stage.journey(read_kubectl({dump(NAME)!r}).network)"),
        new_code_cell("from flannelviz.views import frames\n\nprint('done')\nframes.routes(network, 'node-a')"),
    ]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), path)
    path.write_text(run(path), "utf-8")
    return path
