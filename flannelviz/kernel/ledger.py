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
        "why an ICMP error dies in silence",
        "Where it dies is compared. To know why, the packet would have to be sent again for each error; for requests "
        "and answers a lab does that, and the reason is compared. A lab may take an ARP request of before for the "
        "reason.",
    ),
    Entry(
        "an ICMP error of the VPC",
        "The VPC is no Linux machine. The router that stands in for it sends none, and whether the real one does is "
        "not confirmed.",
    ),
    Entry(
        "what a reset leaves at the NAT gateway",
        "The router that stands in forgets a connection with the reset, and translates no ICMP error about it; the "
        "model does. Which of the two the real one does is not confirmed, so such an error is compared up to there.",
    ),
    Entry(
        "an ICMP error that a place tells itself",
        "It never leaves the place; the program gets an error number instead, and that is compared as the verdict.",
    ),
    Entry(
        "an ICMP error that dies where it begins",
        "The model follows it to its death in its sender, such as for want of an ARP answer; on no wire is it seen. A "
        "lab may tell why it died as the reason why its packet did, and that is let pass.",
    ),
    Entry(
        "a missing `net unreachable`",
        "For want of a route the kernel sends five at once to each sender and then one a second (net/ipv4/route.c, "
        "ip_error), and a lab cannot change it. Where one of the first five is missing, it is a difference, and so is "
        "one that REJECT sends; those that it sends in these words count among the five.",
    ),
    Entry(
        "the port or identifier that masquerading draws",
        "`--random-fully` has the kernel draw it by lot, and so does a port that is taken. From there on the asker's "
        "port is not compared, nor are the ports that an ICMP error quotes; all other ports are.",
    ),
    Entry(
        "the port of an asker that nobody told the model",
        "Where no port is asked for, a lab asks for one at which somebody listens: the server's is not compared then.",
    ),
    Entry(
        "the source port of a tunnel",
        "It is a hash of the packet inside, with a seed that the kernel draws when it starts.",
    ),
    Entry(
        "how a packet is cut",
        "The model moves a packet without DF as a whole. Of a kernel's fragments the first is followed, with the size "
        "of the whole; their number and their sizes are not compared, nor is the one that an ICMP error quotes.",
    ),
    Entry(
        "who gets an answer from another address than asked",
        "It comes to the asker's port, or to the one that masquerading drew, where nobody listens: whether an ICMP "
        "error comes of it is not compared. What answers a packet to a broadcast address is a flow of its own, and its "
        "ports are not compared.",
    ),
    Entry(
        "which endpoint of a Service answers",
        "kube-proxy's rules draw it by lot, so the model's throw is the one that comes nearest. Where the two differ "
        "in whatever, such a packet is asked again, in a fresh lab; the difference is forgiven only if another try of "
        "the kernel drew the same endpoint and agrees, and the tally says how many were. Without a lot nothing is "
        "forgiven.",
    ),
    Entry(
        "the headers of a tunnel's packet that comes back over lo",
        "A Hop shows a packet as it came and as it left or ended. The model unpacks it there, so what the Hop shows in "
        "the end is what was in it.",
    ),
    Entry(
        "what has not left yet where a packet dies",
        "Where a lab saw it leave by a device, the device and the headers are compared; where it saw none, the model "
        "may name the device that it was meant for. Of a tunnel's packet that dies where it is made, a lab sees the "
        "one inside enter the tunnel, and that one is compared.",
    ),
    Entry(
        "MACs on the way to the Internet",
        "What lies behind the NAT gateway is one machine of the lab, and a name in the model.",
    ),
)

# What a lab does to its kernel, so that it is not quite the one of a node.
CHANGED: tuple[Entry, ...] = (
    Entry(
        "the rates of ICMP errors",
        "A lab sets net.ipv4.icmp_ratelimit and icmp_ratemask to 0, and raises icmp_msgs_per_sec and icmp_msgs_burst, "
        "so that each other lost packet has its ICMP error.",
    ),
    Entry(
        "how long ARP asks",
        "Once, for 40 ms, where a node asks three times, a second apart: an answer comes at once or never.",
    ),
    Entry(
        "what the CNI plugins left otherwise than the tables",
        "A lab plugs in its pods by the real plugins, then adds and deletes addresses and routes until they are those "
        "of the tables. `Lab.mended` has every line that this took; where nothing was broken on purpose the proof "
        "counts one as a disagreement.",
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
    Entry(
        "a fault in a network that is warm",
        "A lab is built with its faults in it, and nothing changes a table afterwards; what a place has learned is "
        "drawn, as packets that come after others, of the same flow and of another.",
    ),
    Entry(
        "an own public address from within",
        "Whether the VPC leads it back in is not confirmed, so the model leaves it open; EIPs are drawn for who sends "
        "from the Internet.",
    ),
    Entry(
        "chains of one's own among the rules that are drawn",
        "Rules at random come first in a built-in chain; jumps are those of flanneld and kube-proxy.",
    ),
    Entry(
        "REJECT with a TCP reset",
        "The model denies the packet, and follows no reset. No component that is modelled writes such a rule.",
    ),
    Entry(
        "rules that ask for a port, where nothing follows connections",
        "Without any rule of the nat table, and with none that asks for a state, fragments stay apart, and only the "
        "first of them has ports. The model moves a packet without DF as a whole.",
    ),
    Entry(
        "a tunnel in a tunnel",
        "A lab reads one packet inside another, on VXLAN's port. Where there are tunnels, DNAT of UDP, "
        "or of any protocol, leads to an ECS therefore, and keeps the port.",
    ),
)

SECTIONS = (
    ("Known deviations", DEVIATIONS),
    ("Not compared", EXCUSED),
    ("Changed by a lab", CHANGED),
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
