"""What a program says when it cannot do its work: an answer, hence a value and no exception. Control plane."""

from __future__ import annotations

from typing import NamedTuple


class Failure(NamedTuple):
    """A program's failure, in the words that its log or the pod's events show."""

    component: str
    message: str
