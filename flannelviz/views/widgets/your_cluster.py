"""Read a dump of one's own cluster: what is allocated, what contradicts itself, and what the dump does not say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import ipywidgets as widgets

from flannelviz.network import Network
from flannelviz.views.scene import scene
from flannelviz.views.svg import svg
from flannelviz.views.widgets.fullness import bars_svg, blocks_table, findings_table, levels_table
from flannelviz.views.widgets.panel import Field, Panel, button, controls, guarded, marked, picture_html, table_html

COMMAND = "kubectl get nodes,pods -A -o json > dump.json"
HINT = (
    f"On a machine that reaches your cluster, run `{COMMAND}`. Upload the file, or paste its text. "
    "It stays in this kernel; nothing is sent anywhere. Above 10 MB, put the file beside the notebook "
    "and hand its path to `read_kubectl`."
)
MOST_WARNINGS = 30
SLOW = 200_000  # bytes from which reading takes long enough to show that it goes on


class YourCluster(Panel):
    """Paste or upload what kubectl printed; read it; see the allocations, the findings and the picture.

    `read(source)` is an importer that returns `network` and `warnings`; `allocation(network)` counts. `cluster` is the
    network that was read last, or None. `example` is the text behind the example button.
    """

    def __init__(self, *, read: Callable[..., Any], allocation: Callable[[Network], Any], example: str = "") -> None:
        self._read, self._allocation, self._example = read, allocation, example
        self.cluster: Network | None = None
        self.allocated: Any = None
        self._was_read = ""
        self._make_controls()
        self.summary, self.levels, self.screen, self.table = (widgets.HTML() for _ in range(4))
        row = controls(self.reading, self.upload_field, self.example, self.progress)
        hint = widgets.HTML(f"<p>{marked(HINT)}</p>")
        super().__init__([hint, self.text_field, row, self.summary, self.levels, self.screen, self.table])
        self._enable()

    def _make_controls(self) -> None:
        self.text = widgets.Textarea(
            placeholder='{"apiVersion": "v1", "kind": "List", "items": [ ... ]}',
            description="dump",
            rows=6,
            continuous_update=False,
            layout={"width": "46em", "max_width": "98%"},
        )
        self.upload = widgets.FileUpload(description="Upload", accept=".json,.txt", multiple=False)
        self.text_field, self.upload_field = Field(self.text), Field(self.upload)
        self.reading = button("Read", self._on_read, "read the text above", main=True)
        self.example = button("Example", self._on_example, "read a dump of a small cluster")
        self.progress = widgets.IntProgress(max=3, description="reading", layout={"display": "none"})
        self.text.observe(self._on_text, names="value")
        self.upload.observe(self._on_upload, names="value")

    @property
    def says(self) -> str:
        """Return what was read, in one sentence."""
        if self.cluster is None:
            return "nothing was read yet"
        nodes, pods = len(self.cluster.nodes), len(self.cluster.pods)
        return f"{_count(self.cluster, 'nodes', nodes)}, {_count(self.cluster, 'pods', pods)}"

    @property
    def picture(self) -> str:
        """Return the network as far as the dump tells it; unknown is drawn as unknown."""
        return svg(scene(self.cluster)) if self.cluster is not None else ""

    @property
    def twin(self) -> str:
        """Return the findings, the levels and the nodes as tables."""
        if self.allocated is None:
            return ""
        return findings_table(self.allocated) + levels_table(self.allocated) + blocks_table(self.allocated)

    @guarded
    def _on_text(self, _change: object) -> None:
        self._enable()
        if self.reading.disabled:
            self.text_field.message.say("")
        else:
            self.text_field.message.note(f"{len(self.text.value):,} characters, not read yet: press Read")

    @guarded
    def _on_read(self, _button: object) -> None:
        self._was_read = self.text.value
        # As bytes, so that a text which happens to be the path of a file is not opened.
        self._try(self.text_field, self.text.value.encode(), "the pasted text")

    @guarded
    def _on_example(self, _button: object) -> None:
        self.text.value = self._example
        self._on_read(None)

    @guarded
    def _on_upload(self, _change: object) -> None:
        for file in self.upload.value:
            self._try(self.upload_field, bytes(file["content"]), str(file["name"]))

    def _try(self, field: Field, raw: bytes, name: str) -> None:
        """Read `raw`; whatever is wrong with it stands beside `field`, and the last good result stays."""
        source = BytesIO(raw)
        source.name = name  # what the importer calls it in a message
        self.text_field.message.say("")
        self.upload_field.message.say("")
        still = f"the result below is still the one before: {self.says}" if self.cluster is not None else ""
        self.progress.layout.display = "" if len(raw) > SLOW else "none"
        self.attempt(field, lambda: self._show(self._understood(source), name), still)
        self.progress.layout.display = "none"
        self._enable()

    def _understood(self, source: BytesIO) -> tuple[Any, Any, str]:
        """Return the importer's answer, its allocation and its picture: all of it, or an error."""
        self.progress.value = 1
        imported = self._read(source)
        self.progress.value = 2
        allocated = self._allocation(imported.network)
        self.progress.value = 3
        return imported, allocated, svg(scene(imported.network))

    def _show(self, understood: tuple[Any, Any, str], name: str) -> None:
        imported, self.allocated, picture = understood
        self.cluster = imported.network
        self.summary.value = self._summary(name, imported.warnings)
        self.levels.value = picture_html(bars_svg(self.allocated))
        self.screen.value, self.table.value = picture_html(picture), self.twin

    def _summary(self, name: str, warnings: Sequence[Any]) -> str:
        said = f'<p class="fv-result" role="status">Read from {marked(name)}: {marked(self.says)}.</p>'
        rows = [(one.severity, str(one)) for one in warnings[:MOST_WARNINGS]]
        if len(warnings) > MOST_WARNINGS:
            rows.append(("", f"and {len(warnings) - MOST_WARNINGS:,} more"))
        return said + (table_html("Not used, or unusable", ("severity", "what"), rows) if rows else "")

    def _enable(self) -> None:
        self.reading.disabled = not self.text.value.strip() or self.text.value == self._was_read
        self.example.disabled = not self._example or self._example == self._was_read == self.text.value


def _count(network: Network, what: str, number: int) -> str:
    return f"{what} unknown: the dump has none" if what in network.unknown else f"{number:,} {what}"
