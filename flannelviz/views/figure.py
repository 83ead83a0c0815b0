"""A scene, and how full the allocations are, as matplotlib figures: for print, papers and comparison. READS only.

Only matplotlib.figure is used, never pyplot: nothing is shown, registered or left behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, filterwarnings

from flannelviz.model import visible
from flannelviz.views.rounds import drawn_stops
from flannelviz.views.shapes import Box, BoxKind, Move, RowLabel, Scene, Stop, Wire
from flannelviz.views.theme import ALERTS, DARK, LIGHT, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OWN = "flannelviz"  # the id that marks a figure of this module
# White means three things; a shade that nobody sees tells them apart, so that each finds its dark colour.
TOLD_APART: Mapping[str, str] = {**LIGHT, "node": "#fffffe", "on-accent": "#fffffd", "node-line": "#6f7d8c"}
POINTS = 0.72  # points for each px, at 100 px an inch
FONT = "DejaVu Sans"
MONO_FONT = "DejaVu Sans Mono"
SURFACE: Mapping[BoxKind, str] = {
    "internet": "cloud",
    "router": "cloud",
    "nat": "cloud",
    "vswitch": "cloud",
    "eth0": "cloud",
    "veth": "bridge",
    "ecs": "node",
    "fold": "node",
}  # whose colours a kind takes, where it is not its own


def figure(scene: Scene, *, hop: int | None = None, theme: str = "light") -> Figure:
    """Return the scene as a figure, in the colours of its SVG; `hop` counts from 1.

    Raises: IndexError if the scene's path has no such hop.
    """
    from matplotlib.figure import Figure

    if hop is not None and not 1 <= hop <= len(scene.path):
        raise IndexError(f"hop {hop} is not on this path of {len(scene.path)} hops; hops count from 1")
    colours = DARK if theme == "dark" else TOLD_APART
    found = _own(Figure(figsize=(scene.width / 100, scene.height / 100), facecolor=colours["bg"]), scene.says)
    axes = found.add_axes((0, 0, 1, 1), xlim=(0, scene.width), ylim=(scene.height, 0))
    axes.axis("off")
    _Pen(axes, colours, scene, hop).draw()
    return found


class _Pen:
    """Draws the parts of one scene on one pair of axes."""

    def __init__(self, axes: Axes, colours: Mapping[str, str], scene: Scene, hop: int | None) -> None:
        self.axes, self.colours, self.scene, self.hop = axes, colours, scene, hop
        reached = [stop for stop in scene.path if hop is None or stop.number <= hop]
        self.lit: dict[str, Stop] = {id: stop for stop in reached[::-1] for id in (*stop.boxes, *stop.rows)}
        if hop is not None:
            self.lit |= dict.fromkeys((*reached[-1].boxes, *reached[-1].rows), reached[-1])
        self.reached = reached
        self.event = {**dict.fromkeys(scene.written, "wrote"), **dict.fromkeys(scene.removed, "lost")}

    def draw(self) -> None:
        for lane in self.scene.lanes:
            self.axes.plot([16, 16], [lane.y, lane.y + lane.h], color=self.colours["vpc-line"], linewidth=2)
            self.text(26, lane.y + 8, lane.label, weight="bold")
            self.text(26, lane.y + 24, lane.sublabel, mono=True)
            self.text(26, lane.y + (40 if lane.sublabel else 24), lane.note, role="muted")
        for box in self.scene.boxes:
            self.box(box)
        for wire in self.scene.wires:
            self.wire(wire)
        for row in self.scene.rows:
            self.row(row)
        told = [stop for stop in drawn_stops(self.scene.path, self.hop) if stop in self.reached]
        for stop in told:
            for move in stop.moves:
                self.move(move, stop)
        for stop in told:
            self.badge(stop)

    def text(self, x: float, y: float, words: str, *, role: str = "ink", mono: bool = False, **more: Any) -> None:
        """Write words; matplotlib must not take a dollar sign for mathematics."""
        more.setdefault("size", 11 * POINTS)
        font = MONO_FONT if mono else FONT
        colour = self.colours[role]
        self.axes.text(x, y, visible(words), color=colour, family=font, va="center", parse_math=False, **more)

    def rect(self, x: float, y: float, w: float, h: float, fill: str, line: str, **more: Any) -> None:
        from matplotlib.patches import FancyBboxPatch

        style = f"round,pad=0,rounding_size={min(7, h / 2)}"
        self.axes.add_patch(FancyBboxPatch((x, y), w, h, boxstyle=style, facecolor=fill, edgecolor=line, **more))

    def box(self, box: Box) -> None:
        """Draw a box: thicker where it is lit, dashed where it is unknown, down or folded."""
        surface = SURFACE.get(box.kind, box.kind)
        stop = self.lit.get(box.id)
        role = stop.direction if stop else self.event.get(box.id, f"{surface}-line")
        now = stop is not None and stop.number == self.hop
        width = 3.0 if now else 1.8 if stop or box.id in self.event else 0.9
        dashed = bool(box.state) or box.kind in ("fold", "vpc")
        fill = self.colours[f"{role}-tint" if now else surface]
        self.rect(
            box.x, box.y, box.w, box.h, fill, self.colours[role], linewidth=width, linestyle="--" if dashed else "-"
        )
        self.words(box)
        self.alert(box)

    def words(self, box: Box) -> None:
        middle = box.y + box.h / 2
        if box.kind in ("node", "ecs"):
            self.text(box.x + 12, box.y + 25, box.label, weight="bold", size=12 * POINTS)
            self.text(box.x + 12, box.y + 41, box.sublabel, role="muted")
        elif box.kind in ("kernel", "router"):
            self.text(box.x + 10, box.y + 14, box.label, weight="bold")
            self.text(box.right - 10, box.y + 14, box.sublabel, role="muted", ha="right")
        elif box.kind == "lan":
            self.text(box.x + 10, box.y + 12, box.label, role="muted")
            self.text(box.x + 64, box.y + 12, box.sublabel, mono=True)
        elif box.kind in ("vswitch", "bridge", "eth0"):
            self.text(box.x + 10, middle, box.label, weight="bold")
            self.text(box.right - 10, middle, box.sublabel, ha="right", mono=True)
        elif box.kind != "vpc":
            shift = 8 if box.sublabel else 0
            bold = "normal" if box.kind in ("veth", "fold") else "bold"
            self.text(box.middle, middle - shift, box.label, ha="center", weight=bold, mono=box.kind == "veth")
            self.text(box.middle, middle + 8, box.sublabel, ha="center", mono=True)

    def alert(self, box: Box) -> None:
        """Draw the sign of a note: a triangle with an exclamation mark, filled where there is an error."""
        if box.note is None:
            return
        from matplotlib.patches import Polygon

        (x, y), (fill, line, ink) = box.sign, ALERTS[box.note.severity]
        corners = [(x, y - 7), (x + 8, y + 6), (x - 8, y + 6)]
        look: dict[str, Any] = {"facecolor": self.colours[fill], "edgecolor": self.colours[line], "linewidth": 0.9}
        self.axes.add_patch(Polygon(corners, joinstyle="round", zorder=2.5, **look))  # above the wires
        self.text(x, y + 1.5, "!", role=ink, weight="bold", ha="center", size=10 * POINTS)

    def wire(self, wire: Wire) -> None:
        xs, ys = zip(*wire.points)
        self.axes.plot(xs, ys, color=self.colours["line"], linewidth=1.1, linestyle="--" if wire.state else "-")

    def row(self, row: RowLabel) -> None:
        stop = self.lit.get(row.id)
        role = stop.direction if stop else self.event.get(row.id)
        if role:
            tint = self.colours.get(f"{role}-tint", "none")
            self.rect(row.x, row.y, row.w, 16, tint, self.colours[role], linewidth=0.9)
        self.text(row.x + 6, row.y + 8.5, row.text, mono=True)
        self.text(row.x + 140, row.y + 8.5, row.target, mono=True)

    def move(self, move: Move, stop: Stop) -> None:
        """Draw a stretch of the way with its arrow; the way back is dashed."""
        colour, line = self.colours[stop.direction], "-" if stop.direction == "there" else "--"
        xs, ys = zip(*move.points)
        width = 3 if stop.number == self.hop else 1.6
        self.axes.plot(xs, ys, color=colour, linewidth=width, linestyle=line)
        (ax, ay), (bx, by) = move.points[0], move.points[1]
        half = ((ax + bx) / 2, (ay + by) / 2)
        towards = (half[0] + (bx - ax) * 0.01, half[1] + (by - ay) * 0.01)
        self.axes.annotate("", towards, half, arrowprops={"arrowstyle": "-|>", "color": colour, "mutation_scale": 11})

    def badge(self, stop: Stop) -> None:
        """Write the hop's number, "back" on the way back, a cross and a word at a loss, and "?" at an unknown end."""
        words = str(stop.number) if stop.direction == "there" else f"{stop.number} back"
        self.pill(*stop.badge, words, stop.direction, "center" if stop.direction == "there" else "right")
        if stop.lost:
            self.pill(stop.cross[0] + 4, stop.cross[1], f"× {shorten(stop.lost, 24)}", "lost", "left")
        elif stop.unknown:
            shape = {"boxstyle": "circle,pad=0.25", "facecolor": self.colours["bg"], "edgecolor": self.colours["muted"]}
            self.text(
                stop.cross[0] + 10, stop.cross[1], "?", role="muted", ha="center", bbox={**shape, "linestyle": "--"}
            )

    def pill(self, x: float, y: float, words: str, role: str, ha: str) -> None:
        shape = {"boxstyle": "round,pad=0.25", "facecolor": self.colours[role], "edgecolor": self.colours["bg"]}
        self.text(x, y, words, role="on-accent", weight="bold", ha=ha, size=9.5 * POINTS, bbox=shape)


def capacity_figure(allocation: Any, *, theme: str = "light") -> Figure:
    """Return how full each level of an allocation is, one bar a level: any object with `levels` of name and fill.

    Shape: each bar ends in words, "2 of 512 (0 %)", so that colour tells nothing alone; unknown is a dashed frame.
    """
    from matplotlib.figure import Figure

    colours = DARK if theme == "dark" else TOLD_APART
    levels = list(allocation.levels)
    says = "; ".join(f"{level.name}: {level.fill}" for level in levels)
    found = _own(Figure(figsize=(7.6, 0.6 * max(len(levels), 1) + 0.1), facecolor=colours["bg"]), says)
    axes = found.add_axes((0.02, 0.02, 0.96, 0.96), xlim=(-0.3, 100.3), ylim=(len(levels) - 0.5, -0.35))
    axes.axis("off")
    for i, level in enumerate(levels):
        _bar(axes, colours, i, level)
    return found


def _bar(axes: Axes, colours: Mapping[str, str], i: int, level: Any) -> None:
    percent = level.fill.percent
    line = "-" if percent is not None else "--"
    axes.barh(i + 0.25, 100, height=0.34, facecolor="none", edgecolor=colours["line"], linestyle=line)
    role = "lost" if percent is not None and percent >= 100 else "cloud-line"
    axes.barh(i + 0.25, min(percent or 0, 100), height=0.34, color=colours[role])
    words: dict[str, Any] = {"va": "center", "family": FONT, "size": 9, "color": colours["ink"], "parse_math": False}
    axes.text(0, i - 0.1, visible(f"{level.name}: {level.extent}"), ha="left", **words)
    axes.text(100, i - 0.1, visible(str(level.fill)), ha="right", **words)


def _own(figure: Figure, says: str) -> Figure:
    """Return the figure, marked as one of ours, with the sentence that stands for it."""
    figure.set_gid(OWN)
    figure.set_label(visible(says))
    return figure


def figure_says(figure: Any) -> str:
    """Return what a figure of this module shows, in a sentence; of any other an empty text."""
    return str(figure.get_label()) if figure.get_gid() == OWN else ""


def figure_svg(figure: Figure) -> str:
    """Return a figure as SVG text, the same bytes each time; one of ours follows the reader's colour scheme.

    Source: matplotlib: ids come from svg.hashsalt, the date from the metadata.
    """
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "flannelviz", "svg.fonttype": "none"}), catch_warnings():
        # Text stays text, so the reader's machine draws it: what this one's font lacks matters for widths alone.
        filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return _with_dark_colours(out.getvalue()) if figure.get_gid() == OWN else out.getvalue()


def _with_dark_colours(drawing: str) -> str:
    """Return an SVG with the dark colour of each role that it draws, for a page whose colour scheme is dark."""
    rules = "".join(
        f'[style*="{what}: {light}"]{{{what}:{DARK[role]}!important}}'
        for role, light in TOLD_APART.items()
        for what in ("fill", "stroke")
        if f"{what}: {light}" in drawing
    )
    head, defs, rest = drawing.partition(" <defs>")
    return f"{head} <style>@media (prefers-color-scheme:dark){{{rules}}}</style>\n{defs}{rest}" if rules else drawing
