"""The end of a run: where the pictures of the browser tests are."""

import time

import pytest

from tests.browser.shots import copy_out, taken_since

START = time.time()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the folder of the pictures; only the process that sees all workers has such a summary."""
    if shots := taken_since(START):
        copied = copy_out(shots)
        terminalreporter.write_line(f"{len(shots)} screenshots are in {shots[0].parent}")
        if copied:
            terminalreporter.write_line(f"copies of them are in {copied}")
