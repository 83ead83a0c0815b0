"""What is wrong in an allocation: the count in one line, the findings as a table, and as text to copy. Views."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from flannelviz.model import visible
from flannelviz.views.markup import marked, table_html
from flannelviz.views.notes import ORDER, ordered
from flannelviz.views.widgets.fullness import first_rows

MARKS = {"error": "\N{MULTIPLICATION X}", "warning": "\N{WARNING SIGN}"}
NOTHING = "nothing contradicts itself"
ALL_WELL = f"{NOTHING}: no podCIDR or address is given twice or lies outside"
UNCHECKED = {
    "pods": "podCIDRs checked; the dump holds no pods, so no pod address was",
    "nodes": "pod addresses checked against each other; the dump holds no nodes, so no podCIDR was",
}
PART = "\N{EN DASH}"  # the mark of a verdict on a part: neither good nor bad
IN_PICTURE = (
    "In the picture below, a triangle with an exclamation mark marks the nodes and pods named here, or the count that "
    "they are folded into. It is filled where there is an error; rest the pointer on a box to read what is wrong."
)
MOST_WARNINGS = 30


def tally(findings: Sequence[Any]) -> str:
    """Return how many findings of each severity there are: "3 errors, 1 warning"."""
    counts = Counter(finding.severity for finding in findings)
    told = [f"{counts[kind]:,} {kind}{'' if counts[kind] == 1 else 's'}" for kind in ORDER if counts[kind]]
    return ", ".join(told) or NOTHING


def part_checked(unknown: Iterable[str]) -> str:
    """Return what could be checked and what could not, or nothing: `unknown` names what the dump does not hold."""
    return "; ".join(UNCHECKED[what] for what in sorted(unknown) if what in UNCHECKED)


def verdict_html(findings: Sequence[Any], about: str, part: str = "") -> str:
    """Return the verdict on what was read in one line: a mark, words, and a colour that only repeats them.

    `part` says what could be checked, where that was not everything.
    """
    kinds = {finding.severity for finding in findings}
    mark = next((MARKS[kind] for kind in MARKS if kind in kinds), PART if part else "\N{CHECK MARK}")
    state = "no" if "error" in kinds else "soon" if "warning" in kinds else "part" if part else "yes"
    if findings:
        said = f"{mark} {tally(findings)} in {about}" + (f". {part}" if part else "")
    else:
        said = f"{mark} {part or ALL_WELL} ({about})"
    return f'<p class="fv-result" role="status" data-ok="{state}">{marked(said)}.</p>'


def findings_table(found: Any, part: str = "") -> str:
    """Return what is wrong in the allocation, each with the command that shows it, errors first."""
    if not found.findings:
        return f'<p class="fv-table">{escape(part or ALL_WELL)}.</p>'
    rows = ((f.severity, f.subject, f.message, f"`{f.command}`") for f in ordered(found.findings))
    head = ("severity", "about", "what is wrong", "command that shows it")
    return table_html(f"Findings: {len(found.findings)}", head, first_rows(rows, len(found.findings), len(head)))


def findings_html(found: Any) -> str:
    """Return the findings as a table, and folded below it as text that can be copied; nothing where there is none."""
    if not found.findings:
        return ""
    text = escape(findings_text(found))
    copied = f"<details><summary>The findings as text, to copy</summary><pre>{text}</pre></details>"
    return f"{findings_table(found)}<p>{IN_PICTURE}</p>{copied}"


def findings_text(found: Any) -> str:
    """Return every finding as plain text: what is wrong, then the command that shows it."""
    lines = (f"{f.severity}: {f.subject} {f.message}\n    {f.command}" for f in ordered(found.findings))
    return "\n".join("\n".join(visible(part) for part in line.split("\n")) for line in lines)


def warnings_table(warnings: Sequence[Any]) -> str:
    """Return what of the input was not used, or an empty text."""
    rows = [(one.severity, str(one)) for one in warnings[:MOST_WARNINGS]]
    if len(warnings) > MOST_WARNINGS:
        rows.append(("", f"and {len(warnings) - MOST_WARNINGS:,} more"))
    return table_html("Not used, or unusable", ("severity", "what"), rows) if rows else ""
