"""Controls around the pictures: what a learner moves. Views: they read values and write nothing.

What acts (a trace, a build, a fault, an importer) is handed in as a function; `flannelviz.lab` fills those in.
"""

from __future__ import annotations

from flannelviz.views.widgets.explorer import TraceExplorer
from flannelviz.views.widgets.faults import FaultExplorer
from flannelviz.views.widgets.plan import PlanExplorer
from flannelviz.views.widgets.predict import Predict
from flannelviz.views.widgets.twice import Twice
from flannelviz.views.widgets.your_cluster import YourCluster

__all__ = ["FaultExplorer", "PlanExplorer", "Predict", "TraceExplorer", "Twice", "YourCluster"]
