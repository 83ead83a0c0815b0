"""Read a dump of one's own cluster: what is wrong, what is allocated, and what the dump does not say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from ipaddress import IPv4Network
from typing import Any

import ipywidgets as widgets

from flannelviz.errors import DumpError
from flannelviz.model import parse_network
from flannelviz.network import Network
from flannelviz.packet import Trace
from flannelviz.views.markup import marked, picture_html
from flannelviz.views.notes import notes_of
from flannelviz.views.scene import size_says
from flannelviz.views.shapes import Note
from flannelviz.views.stage.widget import JourneyStage
from flannelviz.views.widgets.fields import text_box
from flannelviz.views.widgets.fullness import bars_svg, blocks_table, levels_table
from flannelviz.views.widgets.panel import Field, Panel, button, controls, guarded
from flannelviz.views.widgets.verdict import (
    findings_html,
    findings_table,
    part_checked,
    tally,
    verdict_html,
    warnings_table,
)

COMMAND = "kubectl get nodes,pods -A -o json > dump.json"
MOST_BYTES = 10_000_000  # what JupyterLab carries from the browser to the kernel in one piece
HINT = (
    f"On a machine that reaches your cluster, run `{COMMAND}`. Upload the file, or paste its text. "
    "It stays in this kernel; nothing is sent anywhere. Above 10 MB, put the file beside the notebook "
    "and hand its path to `read_kubectl`."
)
NO_TEXT = f"there is no text yet: paste what `{COMMAND}` wrote, upload the file, or press Example"
SLOW = 200_000  # bytes from which reading takes long enough to show that it goes on


class YourCluster(Panel):
    """Paste or upload what kubectl printed; read it; see the findings, the allocations and the picture.

    `read(source)` is an importer that returns `network` and `warnings`; `allocation(network, cluster_cidr=...)` counts;
    `trace` is the data plane's function, for who wants to send a packet through what was read.
    `cluster` is the network that was read last, or None. `example` is the text behind the example button.
    """

    def __init__(
        self,
        *,
        read: Callable[..., Any],
        allocation: Callable[..., Any],
        trace: Callable[..., Trace],
        example: str = "",
    ) -> None:
        self._read, self._allocation, self._trace, self._example = read, allocation, trace, example
        self.cluster: Network | None = None
        self.allocated: Any = None
        self._warnings: Sequence[Any] = ()
        self._was_read, self._times, self._name = "", 0, ""
        self._make_controls()
        parts = tuple(widgets.HTML() for _ in range(5))
        self.summary, self.findings, self.warnings, self.levels, self.table = parts
        self.stage: JourneyStage | None = None  # there is nothing to show before something was read
        self.slot = widgets.VBox([])
        rows = controls(self.reading, self.example, self.upload_field, self.progress), controls(self.cidr_field)
        hint = widgets.HTML(f"<p>{marked(HINT)}</p>")
        super().__init__([hint, self.text_field, *rows, *parts, self.slot])

    def _make_controls(self) -> None:
        self.text = widgets.Textarea(
            placeholder='{"apiVersion": "v1", "kind": "List", "items": [ ... ]}',
            description="dump",
            rows=6,
            layout={"width": "46em", "max_width": "98%"},
        )
        self.upload = widgets.FileUpload(description="Upload", accept=".json,.txt", multiple=False)
        self.cidr = text_box("cluster CIDR, if you know it", placeholder="172.16.0.0/16, 10.0.0.0/8")
        self.text_field, self.upload_field, self.cidr_field = Field(self.text), Field(self.upload), Field(self.cidr)
        self.reading = button("Read", self._on_read, "read the text above", main=True)
        self.example = button("Example", self._on_example, "read a dump of a small cluster")
        self.progress = widgets.IntProgress(max=3, description="reading", layout={"display": "none"})
        self.text.observe(self._on_text, names="value")
        self.upload.observe(self._on_upload, names="value")
        self.cidr.observe(self._on_cidr, names="value")

    @property
    def says(self) -> str:
        """Return what is wrong and what was read, in one sentence."""
        if self.cluster is None:
            return "nothing was read yet"
        part = self._part()
        told = tally(self.allocated.findings) if self.allocated.findings or not part else part
        return f"{told}: {self._size()}"

    def _part(self) -> str:
        """Return what could be checked of the network that was read, where that was not everything."""
        return part_checked(self.cluster.unknown) if self.cluster is not None else ""

    def _size(self) -> str:
        assert self.cluster is not None, "something was read"
        return size_says(self.cluster).replace(" and ", ", ")

    @property
    def picture(self) -> str:
        """Return the network as far as the dump tells it; unknown is drawn as unknown."""
        return self.stage.drawing() if self.stage is not None else ""

    @property
    def twin(self) -> str:
        """Return the findings, the levels and the nodes as tables."""
        if self.allocated is None:
            return ""
        return (
            findings_table(self.allocated, self._part()) + levels_table(self.allocated) + blocks_table(self.allocated)
        )

    @guarded
    def _on_text(self, _change: object) -> None:
        unread = self.text.value.strip() and self.text.value != self._was_read
        self.text_field.message.note("not read yet: press Read" if unread else "")

    @guarded
    def _on_read(self, _button: object) -> None:
        if not self.text.value.strip():
            self.text_field.message.say(NO_TEXT)
            return
        self._times = self._times + 1 if self.text.value == self._was_read else 1
        self._was_read = self.text.value
        # As bytes, so that a text which happens to be the path of a file is not opened.
        name = "the example" if self.text.value == self._example else "the pasted text"
        done = self._try(self.text_field, self.text.value.encode(), name)
        if done and self._times > 1:
            self.text_field.message.note(f"read {self._times} times; it is the same text, so nothing changed")

    @guarded
    def _on_example(self, _button: object) -> None:
        self.text.value = self._example
        self._on_read(None)

    @guarded
    def _on_upload(self, _change: object) -> None:
        for file in self.upload.value:
            name, size = str(file["name"]), int(file["size"])
            if size > MOST_BYTES:
                self.upload_field.message.say(too_large(name, size) + self._still())
                continue
            if self._try(self.upload_field, bytes(file["content"]), name):
                self._times = 0  # the text above is no longer what is shown

    @guarded
    def _on_cidr(self, _change: object) -> None:
        self.cidr_field.message.say("")
        told = "the levels below are counted without it"
        self.attempt(self.cidr_field, lambda: self._recount(self._cluster_cidr()), told)
        if self.cidr_field.message.value:
            self._recount(None)

    def _recount(self, cidr: IPv4Network | None) -> None:
        if self.cluster is not None:
            self._show(self.cluster, self._allocation(self.cluster, cluster_cidr=cidr))

    def _cluster_cidr(self) -> IPv4Network | None:
        """Return the cluster CIDR that was typed, or None. Raises: AddressPlanError if it is no network."""
        typed = self.cidr.value.strip()
        return parse_network(typed) if typed else None

    def _still(self) -> str:
        return f" \N{EM DASH} the result below is still the one before: {self.says}" if self.cluster else ""

    def _try(self, field: Field, raw: bytes, name: str) -> bool:
        """Read `raw`; whatever is wrong with it stands beside `field`, and the last good result stays."""
        source = BytesIO(raw)
        source.name = name  # what the importer calls it in a message
        for one in (self.text_field, self.upload_field):
            one.message.say("")
        still = f"the result below is still the one before: {self.says}" if self.cluster is not None else ""
        self.progress.layout.display = "" if len(raw) > SLOW else "none"
        self.attempt(field, lambda: self._understand(source, name, len(raw)), still)
        self.progress.layout.display = "none"
        return not field.message.value

    def _understand(self, source: BytesIO, name: str, size: int) -> None:
        """Show what the importer makes of `source`: all of it, or an error."""
        if size > MOST_BYTES:
            raise DumpError(too_large(name, size))
        self.progress.value = 1
        imported = self._read(source)
        self.progress.value = 2
        allocated = self._allocation(imported.network, cluster_cidr=self._known_cidr())
        self.progress.value = 3
        self._name, self._warnings = name, imported.warnings
        self._show(imported.network, allocated)

    def _known_cidr(self) -> IPv4Network | None:
        """Return the cluster CIDR that was typed; one that is wrong says so beside its field, and counts as none."""
        return None if self.cidr_field.message.value else self._cluster_cidr()

    def _show(self, network: Network, allocated: Any) -> None:
        self._draw(network, notes_of(allocated.findings))
        self.cluster, self.allocated = network, allocated
        self.summary.value = verdict_html(allocated.findings, f"{self._size()}, read from {self._name}", self._part())
        self.findings.value = findings_html(allocated)
        self.warnings.value = warnings_table(self._warnings)
        self.levels.value = levels_table(allocated) + picture_html(bars_svg(allocated))
        self.table.value = blocks_table(allocated)

    def _draw(self, network: Network, notes: Mapping[str, Note]) -> None:
        if self.stage is None:
            self.stage = JourneyStage(network, None, self._trace, notes=notes)
            self.slot.children = (self.stage,)
        else:
            self.stage.look_at(network, notes)


def too_large(name: str, size: int) -> str:
    """Return why a dump of `size` bytes is not taken here, and how it can be read."""
    return (
        f"{name} has {size / 1e6:,.1f} MB, and more than {MOST_BYTES // 1_000_000} MB are not taken from a browser; "
        'put the file beside the notebook and run `read_kubectl("dump.json")`'
    )
