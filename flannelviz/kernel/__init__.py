"""The same Network in a real Linux kernel: namespaces, real CNI plugins, real packets. Optional, and it needs no root.

    with Lab(article()) as lab:
        lab.trace("a1", "b1")

READS values, and the text that views print; writes nothing.
"""

from __future__ import annotations

from flannelviz.kernel.agree import agrees
from flannelviz.kernel.lab import Lab
from flannelviz.kernel.probe import cannot_hold, why_not
from flannelviz.kernel.record import Record, recorded
from flannelviz.kernel.witness import Witness, parting

__all__ = ["Lab", "Record", "Witness", "agrees", "cannot_hold", "parting", "recorded", "why_not"]
