"""One packet twice, as the model says it and as a kernel did it: hop beside hop. HTML, all of it escaped.

Views: they read and write nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from html import escape
from typing import Any, NamedTuple

from flannelviz.model import INTERNET, VPC, visible
from flannelviz.network import Network
from flannelviz.packet import Disposition, Hop, Trace, shell_at
from flannelviz.views.cards import because_text, hop_numbers
from flannelviz.views.markup import marked
from flannelviz.views.scene import journey_says
from flannelviz.views.stage.script import Script
from flannelviz.views.stage.script import Step as Shown
from flannelviz.views.stage.scripts import journey_script
from flannelviz.views.text import place_name, short_place

MARK = "\N{BLACK RIGHT-POINTING TRIANGLE}"  # of the hop at which the two part
SAME, OTHER, TO = "\N{CHECK MARK}", "\N{NOT EQUAL TO}", "\N{RIGHTWARDS ARROW}"
LAST_SEEN = "last seen here"  # of a kernel that dropped a packet, and tells nobody
NOTHING = "nothing"
MODEL, KERNEL = "the model says", "the kernel did"
# Two columns; where the page is narrow, what the model says stands above what the kernel did.
STYLE = (
    "<style>.fv-widget .fv-twice td{width:44%}.fv-widget .fv-twice td:first-child{width:12%;min-width:5em}"
    "@container (max-width:640px){"
    ".fv-widget .fv-twice :is(table,caption,tbody,tr){display:block}"
    ".fv-widget .fv-twice thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}"
    ".fv-widget .fv-twice tr{border-bottom:1px solid var(--fv-line);padding:.3em 0 .3em .4em}"
    ".fv-widget .fv-table.fv-twice td{display:block;width:auto;max-width:none;border:0;padding:.1em 0}"
    ".fv-widget .fv-table.fv-twice td:first-child{font-weight:600}"
    ".fv-widget .fv-table.fv-twice td[data-who]{padding-left:1em}"
    ".fv-widget .fv-twice td[data-who]::before{content:attr(data-who);display:block;color:var(--fv-muted)}}</style>"
)


class Pair(NamedTuple):
    """The two traces of one packet.

    `parting` has the first `hop` at which they differ and says in `words` in what, or is None. `names` says what to
    call a device of the VPC.
    """

    model: Trace
    kernel: Trace
    parting: Any
    names: Mapping[str, str]

    @property
    def longer(self) -> Trace:
        """Return the trace with more hops, the model's if they have the same."""
        return max(self.model, self.kernel, key=lambda trace: len(trace.hops))

    @property
    def says(self) -> str:
        """Return whether they agree, and what became of the packet."""
        if self.parting is None:
            return f"{SAME} Model and kernel agree, hop by hop: {journey_says(self.model)}"
        number = self.parting.hop
        ends = f"in the model {_became(self.model)}, in the kernel {_became(self.kernel)}"
        return f"{OTHER} Model and kernel part at hop {number}, {_place(self.longer, number)}: {ends}"


def instances(network: Network) -> Mapping[str, str]:
    """Return what to call the devices of the VPC: each ENI by the machine that it belongs to."""
    return {eni.instance_id: f"{short_place(eni.place)}’s ENI" for eni in network.vpc.enis.values()}


def _became(trace: Trace) -> str:
    if trace.ok:
        return "request and reply arrive"
    return f"the {'reply' if trace.reply else 'request'} comes no farther than {short_place(trace.hops[-1].place)}"


def pair_html(pair: Pair) -> str:
    """Return in one line whether model and kernel agree, and if they do not, in what they differ first."""
    if pair.parting is None:
        return f'<p class="fv-result" role="status" data-ok="yes">{escape(pair.says)}.</p>'
    first = _named(pair.parting.words[0], pair.names).replace("the kernel None", "the kernel nothing")
    at_hop = first.partition(") ")[2]  # without the words that say where
    told = f"{_place(pair.longer, pair.parting.hop)} {at_hop}" if at_hop else first
    return f'<p class="fv-result" role="status" data-ok="no">{escape(pair.says)}.</p><p>{escape(told)}.</p>'


def pair_script(network: Network, pair: Pair, says: str) -> Script:
    """Return the script of the model's way through `network`, with what the kernel did at each hop.

    Shape: it opens where the two part, else at the last hop; its table is `pair_table`.
    """
    script, last = journey_script(network, pair.model), len(pair.longer.hops)
    parts = pair.parting.hop if pair.parting else None
    steps = (_step(script, pair, number, number == parts) for number in range(1, last + 1))
    shown = tuple(replace(picture, says=visible(says)) for picture in script.pictures)
    none = replace(script.twin, rows=())
    return replace(
        script,
        says=visible(says),
        pictures=shown,
        steps=(script.steps[0], *steps),
        twin=none,
        start=parts or last,
    )


def _step(script: Script, pair: Pair, number: int, parts: bool) -> Shown:
    place = pair.longer.hops[number - 1].place
    known = number < len(script.steps)
    model = script.steps[number] if known else Shown(place_name(place), "nothing more", ("",), ((),))
    kernel = _told(pair, pair.kernel, number, _seen).replace("\n", ", ")
    says = visible(f"model: {model.says}; kernel: {kernel}").replace("`", "")
    return replace(model, says=says, cards=(model.cards[0] + capture_html(place),), parts=parts)


def pair_table(pair: Pair, caption: str = "The same packet twice") -> str:
    """Return both traces as one table; the hops of a loop are those of its first and last rounds."""
    parts = pair.parting.hop if pair.parting else None
    rows = "".join(_row(pair, line, parts) for line in hop_numbers(pair.longer, parts))
    top = "".join(f'<th scope="col" role="columnheader">{name}</th>' for name in ("hop", MODEL, KERNEL))
    head = f'<caption>{marked(caption)}</caption><thead role="rowgroup"><tr role="row">{top}</tr></thead>'
    body = f'<tbody role="rowgroup">{rows}</tbody>'
    return f'<div class="fv-table fv-twice">{STYLE}<table role="table">{head}{body}</table></div>'


def _row(pair: Pair, line: int | str, parts: int | None) -> str:
    if isinstance(line, str):
        return f'<tr role="row"><td role="cell" colspan="3">{marked(line)}</td></tr>'
    sign = f"{MARK}\N{NO-BREAK SPACE}" if line == parts else ""
    back = ", back" if line > len(pair.longer.request) else ""
    told = ((MODEL, _told(pair, pair.model, line, _why)), (KERNEL, _told(pair, pair.kernel, line, _seen)))
    cells = "".join(f'<td role="cell" data-who="{who}">{_bold(words)}</td>' for who, words in told)
    first = f"{sign}{line} {marked(_place(pair.longer, line))}{back}"
    return f'<tr role="row"><td role="cell">{first}</td>{cells}</tr>'


def _place(trace: Trace, number: int) -> str:
    return short_place(trace.hops[number - 1].place)


def _bold(words: str) -> str:
    """Return the lines of a cell, the first of which is what became of the packet."""
    fate, *rest = words.split("\n", 1)
    return "<br>".join([f"<b>{marked(fate)}</b>", *map(marked, rest)])


def _told(pair: Pair, trace: Trace, number: int, why: Callable[[Hop], str]) -> str:
    """Return one hop of one trace: what became of the packet, the headers it had, and why, or where it was seen."""
    if number > len(trace.hops):
        return NOTHING
    hop = trace.hops[number - 1]
    fate = _fate(hop, hop.place != pair.longer.hops[number - 1].place)
    return _named("\n".join(filter(None, (fate, _headers(hop), why(hop), _icmp(hop)))), pair.names)


def _named(words: str, names: Mapping[str, str]) -> str:
    for instance, name in names.items():
        words = words.replace(instance, name)
    return words


def _fate(hop: Hop, apart: bool) -> str:
    end = LAST_SEEN if hop.disposition is Disposition.UNKNOWN else hop.disposition.value
    devices = f" {TO} ".join(filter(None, (hop.in_dev, hop.out_dev)))
    where = f"{short_place(hop.place)}: " if apart else ""
    return where + (f"{end}, {devices}" if devices and hop.place not in (VPC, INTERNET) else end)


def _headers(hop: Hop) -> str:
    return f"{hop.sent.src or 'no source yet'} {TO} {hop.sent.dst}, TTL {hop.sent.ttl}"


def _why(hop: Hop) -> str:
    """Return the row that decided; of a packet that is lost, what the lookup found."""
    on = hop.disposition in (Disposition.FORWARDED, Disposition.ACCEPTED)
    return because_text(hop) if on or hop.deciding_step is None else hop.deciding_step.says


def _seen(hop: Hop) -> str:
    """Return the devices that saw the packet, and what the kernel knows of its end, where it knows something."""
    known = (f"and the kernel knows: {step.says}" for step in hop.steps[1:])
    return "\n".join([*(step.says for step in hop.steps[:1]), *known])


def _icmp(hop: Hop) -> str:
    return f"sends back “{hop.icmp.what}” from {hop.icmp.source}" if hop.icmp else ""


def capture_html(place: str) -> str:
    """Return the command that shows at a real place what the kernel's column shows."""
    if place in (VPC, INTERNET):
        return '<p class="fv-note">In a real VPC nobody can capture: an ECS shows what goes in, and what comes out.</p>'
    command = f"`{shell_at(place)}tcpdump -c 2 -eni any icmp`"
    return f"<p>What the kernel’s column shows, on a real machine: {marked(command)}</p>"
