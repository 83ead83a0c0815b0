"""Binder without Docker: the steps of its image in a fresh environment, and the page that a launch address opens."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext
from uv import find_uv_bin

from tests.browser.lab import Server, lab_page, serving
from tests.checkout import copy_to

pytestmark = pytest.mark.browser

# What the base image for Python 3.11 brings.
BASE_IMAGE = ["jupyterlab==4.4.9", "notebook==7.4.7", "ipywidgets==8.1.7"]


def run(*command: str | Path, cwd: Path, **environment: str) -> None:
    done = subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("binder") / "repository"
    copy_to(folder)
    return folder


@pytest.fixture(scope="module")
def python(repository: Path) -> Path:
    """The Python of an environment made as Binder makes it, in Binder's order."""
    venv = repository.parent / "venv"
    python = venv / "bin" / "python"
    install = [find_uv_bin(), "pip", "install", "--python", python]
    run(find_uv_bin(), "venv", "--seed", "--python", sys.executable, venv, cwd=repository)
    run(*install, *BASE_IMAGE, cwd=repository)
    run(*install, "-r", "binder/requirements.txt", cwd=repository)
    run("binder/postBuild", cwd=repository, PATH=f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}")
    run(python, "-m", "pip", "check", cwd=repository)
    return python


@pytest.fixture(scope="module")
def server(python: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(python, repository, tmp_path_factory.mktemp("jupyter")) as server:
        yield server


def test_the_launch_address_opens_the_first_notebook(server: Server, context: BrowserContext) -> None:
    with lab_page(context, server) as lab:
        lab.open("notebooks/00_start_here.ipynb")
        assert lab.run_all(), lab.kernel_errors()
        assert lab.page.locator(".jp-Notebook .fv-picture").count() > 0
        lab.check_clean()
        lab.shoot("binder")
