"""One picture to step through, click on and keep: what a trace or a timeline does, on the network's own drawing.

    from flannelviz.views import stage
    stage.journey(network, trace(network, "a1", "b1"))
    stage.events(timeline)
    stage.broken((network, before), (damaged, after))

Everything for a trace or a timeline is worked out once; stepping happens in the browser, with no kernel in the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flannelviz.network import Network
from flannelviz.network import Stage as StageName
from flannelviz.packet import Trace
from flannelviz.views.moments import Moments, ends_of
from flannelviz.views.stage.script import Choice, Question, asked
from flannelviz.views.stage.scripts import events_script, fault_script, journey_drawing, journey_script
from flannelviz.views.stage.widget import JourneyStage, Stage

__all__ = ["Choice", "Question", "Stage", "asked", "broken", "events", "journey"]


def journey(
    network: Network,
    journey: Trace | None = None,
    questions: Sequence[Question] = (),
    *,
    trace: Callable[..., Trace] | None = None,
) -> Stage:
    """Return a stage that walks with a packet hop by hop; without a journey, one that shows the network.

    With `trace`, the data plane's function, a reader may choose other ends on the picture, and search.
    """
    if trace is not None:
        return JourneyStage(network, journey, trace, questions)
    return Stage(journey_script(network, journey, questions), lambda: journey_drawing(network, journey))


def events(timeline: Moments, stage: StageName | None = None, questions: Sequence[Question] = ()) -> Stage:
    """Return a stage that steps through all events of `timeline`, or through those of one stage of it.

    Raises: ValueError if there are none, or more than a stage holds.
    """
    last = ends_of(timeline, stage)[1]
    return Stage(events_script(timeline, stage, questions), lambda: journey_drawing(timeline.at(last), None))


def broken(
    before: tuple[Network, Trace], after: tuple[Network, Trace], says: str = "", questions: Sequence[Question] = ()
) -> Stage:
    """Return a stage that walks with one packet through two networks side by side; `says` names the difference."""
    return Stage(fault_script(before, after, says, questions), lambda: journey_drawing(*after))
