"""What all tests share: how hypothesis runs, and which tests may go to different workers."""

import os

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

# Timings depend on the machine and on the other worker; the budgets are measured by `make bench`.
# In CI the examples are the same each time; elsewhere new ones are drawn.
settings.register_profile("flannelviz", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("flannelviz")


BROWSER = "tests/browser/"
BROWSERS = 2  # workers that begin with the tests in a browser; each of them loads JupyterLab once


class ByFile(LoadFileScheduling):
    """Keeps the tests of a file, and the cells of a notebook, on one worker; notebooks in the browser spread.

    Tests in a browser keep a processor busy, and those of labs and kernels wait: further workers begin with these.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return nodeid if file == f"{BROWSER}test_notebooks.py" else file

    def _assign_work_unit(self, node: WorkerController) -> None:
        if node in self.nodes[BROWSERS:]:
            scope = next((scope for scope in self.workqueue if not scope.startswith(BROWSER)), None)
            if scope is not None:
                self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Answer xdist's question how to spread the tests."""
    return ByFile(config, log)
