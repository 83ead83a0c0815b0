"""What a comparison of model and kernel leaves out, and why: all of it, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Entry(NamedTuple):
    """One line of the ledger: what is not compared, or not asked, and why."""

    what: str
    why: str


# Where the model says something else than a kernel does, and is known to. The aim is an empty one, and it is.
DEVIATIONS: tuple[Entry, ...] = ()

# What `agrees` does not hold against a trace.
EXCUSED: tuple[Entry, ...] = (
    Entry(
        "a silent death in other words",
        "A packet that is dropped without an ICMP error is just seen no more; the kernel's trace gives the place "
        "and no reason, so any silent reason of the model will do.",
    ),
    Entry(
        "why a host is unreachable",
        "A cable without carrier and an ARP request without answer end in the same ICMP error, and look the same.",
    ),
    Entry(
        "an ICMP error of the VPC",
        "The VPC is no Linux machine. The router that stands in for it sends none, and whether the real one does is "
        "not confirmed.",
    ),
    Entry(
        "an ICMP error that a place tells itself",
        "It never leaves the place; the program gets an error number instead, and that is compared as the verdict.",
    ),
    Entry(
        "an ICMP error that dies where it begins",
        "The model follows it to its death in its sender, such as for want of an ARP answer; on no wire is it seen.",
    ),
    Entry(
        "a missing `net unreachable`",
        "The kernel sends five at once to each sender and then one a second (net/ipv4/route.c, ip_error), and a lab "
        "cannot change it.",
    ),
    Entry(
        "the port or identifier that masquerading draws",
        "`--random-fully` has the kernel draw it by lot. All other ports are compared.",
    ),
    Entry(
        "who gets an answer from another address than asked",
        "It comes to the asker's port, or to the one that masquerading drew, where nobody listens.",
    ),
    Entry(
        "which endpoint of a Service answers",
        "kube-proxy's rules draw it by lot, so the model's throw is the one that comes nearest.",
    ),
    Entry(
        "MACs on the way to the Internet",
        "What lies behind the NAT gateway is one machine of the lab, and a name in the model.",
    ),
)

# What is never drawn, because a lab or the model has nothing of the kind.
NOT_DRAWN: tuple[Entry, ...] = (
    Entry(
        "ICMP redirects",
        "A lab switches them off: they change no outcome of the first packet, and the model has none.",
    ),
    Entry(
        "the same SYN twice",
        "A lab sends a lone SYN, so the asker's kernel resets the answer and conntrack forgets the connection; what "
        "comes after it is a new connection, from another port.",
    ),
    Entry(
        "large packets with a TTL of 255",
        "In a loop they are more than a lab can hear; above 600 bytes they are drawn with a TTL of 64.",
    ),
    Entry(
        "packets to several receivers",
        "A trace follows one packet to one receiver; multicast and 255.255.255.255 are refused by both.",
    ),
)

SECTIONS = (
    ("Known deviations", DEVIATIONS),
    ("Not compared", EXCUSED),
    ("Not drawn", NOT_DRAWN),
)


def ledger_lines() -> Iterator[str]:
    """Return the ledger as a terminal shows it: a line for each section and each entry."""
    for title, entries in SECTIONS:
        yield f"{title.lower()}: {len(entries) or 'none'}"
        yield from (f"  - {entry.what}: {entry.why}" for entry in entries)


def ledger_page() -> str:
    """Return the ledger as a page of Markdown."""
    parts = ["# The ledger", "", INTRODUCTION]
    for title, entries in SECTIONS:
        parts += ["", f"## {title}", ""]
        parts += [f"- **{entry.what}**: {entry.why}" for entry in entries] or ["None."]
    return "\n".join(parts) + "\n"


INTRODUCTION = """What `make prove` finds out holds up to what stands here: model and kernel are compared packet by
packet, and this is everything that the comparison leaves out. The text lives in `flannelviz/kernel/ledger.py`; a test
keeps the two the same."""
