"""What all tests share: how hypothesis runs, and which tests may go to different workers."""

import os

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# Timings depend on the machine and on the other worker; the budgets are measured by `make bench`.
# In CI the examples are the same each time; elsewhere new ones are drawn.
settings.register_profile("flannelviz", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("flannelviz")


class ByFile(LoadFileScheduling):
    """Keeps the tests of a file, and the cells of a notebook, on one worker; notebooks in the browser spread."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return nodeid if file == "tests/browser/test_notebooks.py" else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Answer xdist's question how to spread the tests."""
    return ByFile(config, log)
