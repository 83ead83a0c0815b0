"""How full the three allocations are: a bar for each level, and the same as a table. Views: they write nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import islice
from typing import Any
from xml.sax.saxutils import quoteattr

from flannelviz.model import visible
from flannelviz.views.markup import table_html
from flannelviz.views.style import STYLE

WIDTH, LEFT, BAR, ROW = 640, 16, 16, 46  # px of the viewBox
STRIP = WIDTH - 2 * LEFT
LINE = "stroke:var(--fv-kernel-line)"
FRAME = f"fill:var(--fv-kernel);{LINE}"
MOST_ROWS = 40  # of a table; what is beyond is counted


def bars_svg(found: Any) -> str:
    """Return the levels of an allocation as bars; the second shows which podCIDR blocks are taken, and where.

    `found` is what `allocation(network)` returns.
    """
    bars = "".join(_bar(found, number, level) for number, level in enumerate(found.levels))
    height = ROW * len(found.levels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="fv" role="img" viewBox="0 0 {WIDTH} {height}" width="100%"'
        f' style="max-width:{WIDTH}px" aria-label={quoteattr(levels_say(found))}>'
        f'<style>{STYLE}</style><rect class="fv-ground" width="{WIDTH}" height="{height}" rx="8"/>{bars}</svg>'
    )


def levels_say(found: Any) -> str:
    """Return how full the levels are, in one sentence."""
    return visible("; ".join(f"{level.name}: {level.fill}" for level in found.levels))


def _bar(found: Any, number: int, level: Any) -> str:
    y = number * ROW + 8
    words = (
        f'<text class="fv-head" x="{LEFT}" y="{y + 13}">{escape(visible(level.name))}'
        f'<tspan class="fv-note" dx="10" font-weight="400">{escape(_range(level))}</tspan></text>'
        f'<text class="fv-note" x="{WIDTH - LEFT}" y="{y + 13}" text-anchor="end">{escape(str(level.fill))}</text>'
    )
    if level.fill.percent is None:
        end = (
            f'<text class="fv-note" x="{LEFT + STRIP - 8}" y="{y + 31}" text-anchor="end">{_untold(level.fill)}</text>'
        )
        return words + _stretch(0, y, STRIP, f"fill:none;{LINE};stroke-dasharray:5 4") + end
    spans = _taken(found) if number == 1 else _share(level)
    filled = "".join(_stretch(x, y, width, "fill:var(--fv-bridge-line)") for x, width in spans)
    return words + _stretch(0, y, STRIP, FRAME) + filled


def _untold(fill: Any) -> str:
    """Return which of the two numbers is missing, so that nothing can be drawn to scale."""
    if fill.usable is None:
        return (
            "how far it goes is unknown" if fill.used is not None else "how far it goes, and what is used, is unknown"
        )
    return "how much of it is used is unknown" if fill.used is None else "there is nothing to give away"


def _range(level: Any) -> str:
    """Return the range that a level divides, in as few words as fit beside its name."""
    extent = level.extent
    if extent.cidr is None:
        return "range unknown"
    return f"at least {extent.cidr}" if extent.basis == "at least" else str(extent.cidr)


def _stretch(x: float, y: float, width: float, style: str) -> str:
    return f'<rect x="{LEFT + x:.1f}" y="{y + 19}" width="{width:.1f}" height="{BAR}" style="{style}"/>'


def _share(level: Any) -> Iterator[tuple[float, float]]:
    percent = level.fill.percent
    if percent:
        yield 0.0, max(min(percent, 100) / 100 * STRIP, 1.0)


def _taken(found: Any) -> Iterator[tuple[float, float]]:
    """Return where in the cluster CIDR the podCIDRs lie, as stretches of the strip that touch nowhere."""
    cluster = found.cluster.cidr
    if cluster is None:
        return
    scale, start = STRIP / cluster.num_addresses, int(cluster.network_address)
    open_at, open_to = 0.0, -1.0
    for cidr in sorted(block.pod_cidr for block in found.blocks if block.pod_cidr is not None):
        left = (int(cidr.network_address) - start) * scale
        right = left + max(cidr.num_addresses * scale, 1.0)
        if not 0 <= left < STRIP:
            continue
        if left <= open_to:
            open_to = max(open_to, right)
            continue
        if open_to > open_at:
            yield open_at, open_to - open_at
        open_at, open_to = left, min(right, STRIP)
    if open_to > open_at:
        yield open_at, open_to - open_at


def levels_table(found: Any) -> str:
    """Return the three levels as a table."""
    rows = ((level.name, f"`{level.extent}`", level.fill) for level in found.levels)
    return table_html("The three allocations", ("level", "divides", "given away"), rows)


def blocks_table(found: Any) -> str:
    """Return a line for each node: its address, its podCIDR, and how many of its addresses are held; or nothing."""
    if not found.blocks:
        return ""
    rows = ((b.node, b.address or "unknown", b.pod_cidr or "none", b.fill, _others(b)) for b in found.blocks)
    head = ("node", "address", "podCIDR", "pod addresses held", "other pods")
    return table_html("Node by node", head, first_rows(rows, len(found.blocks), len(head)))


def _others(block: Any) -> str:
    counts = ((block.host_network, "host network"), (block.waiting, "waiting"), (block.outside, "outside the podCIDR"))
    return ", ".join(f"{count} {name}" for count, name in counts if count)


def first_rows(rows: Iterable[Sequence[object]], total: int, columns: int) -> Iterator[Sequence[object]]:
    """Return as many rows as one reads, then how many were left out."""
    yield from islice(rows, MOST_ROWS)
    if total > MOST_ROWS:
        yield (f"and {total - MOST_ROWS:,} more", *[""] * (columns - 1))
