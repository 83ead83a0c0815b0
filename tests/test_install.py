"""The package as others get it: built into a wheel, installed elsewhere, with and without what views draw with."""

import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.checkout import ROOT, copy_to, files

TRACE = """
import flannelviz, sys
from flannelviz import article, trace
there_and_back = trace(article(), "a1", "b1")
print(there_and_back)
print(flannelviz.__file__)
assert not any(name.startswith(("ipywidgets", "matplotlib", "pandas")) for name in sys.modules)
"""
VIEWS = """
import importlib, pkgutil
import flannelviz.views
modules = [found.name for found in pkgutil.walk_packages(flannelviz.views.__path__, "flannelviz.views.")]
for name in modules:
    importlib.import_module(name)
print(len(modules), flannelviz.views.__file__)
"""


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def lend_hatchling(folder: Path) -> None:
    """Fill `folder` with links to hatchling and what it needs: a build without a registry, and nothing else."""
    waiting = ["hatchling"]
    while waiting:
        with suppress(PackageNotFoundError):  # of another version of Python
            found = distribution(waiting.pop())
            for top in {file.parts[0] for file in found.files or []} - {".."}:
                if not (folder / top).exists():
                    (folder / top).symlink_to(found.locate_file(top))
            waiting += [re.match(r"[\w.-]+", line)[0] for line in found.requires or [] if "extra ==" not in line]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = ["build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(folder)]
    run(find_uv_bin(), *build, str(ROOT), cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment that holds the wheel and nothing else; it reaches no registry for it."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    run(find_uv_bin(), "venv", "--python", sys.executable, folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    run(find_uv_bin(), "pip", "install", "--offline", "--python", python, wheel, cwd=folder.parent)
    return python


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    expected = {file.as_posix() for file in files() if file.parts[0] == "flannelviz"}
    assert expected - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_the_wheel_holds_the_package_alone(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"flannelviz"}


def test_traces_with_the_standard_library_alone(python: Path, tmp_path: Path) -> None:
    printed, place = run(python, "-I", "-c", TRACE, cwd=tmp_path).splitlines()
    assert "accepted, reply accepted" in printed
    assert Path(place).is_relative_to(python.parents[1])


def test_the_record_of_a_real_kernel_comes_with_it(python: Path, tmp_path: Path) -> None:
    printed = run(python, "-I", "-c", "from flannelviz.kernel import recorded; print(recorded())", cwd=tmp_path)
    assert printed.startswith("<Record of Linux ")


def test_pip_installs_a_clone_without_a_registry(tmp_path: Path) -> None:
    clone, lent, outside = tmp_path / "clone", tmp_path / "lent", tmp_path / "outside"
    lent.mkdir(), outside.mkdir()
    copy_to(clone)
    lend_hatchling(lent)
    run(find_uv_bin(), "venv", "--seed", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    run(*pip, ".", cwd=clone, PYTHONPATH=str(lent))
    printed, place = run(python, "-I", "-c", TRACE, cwd=outside).splitlines()
    assert "accepted, reply accepted" in printed
    assert Path(place).is_relative_to(tmp_path / "venv")


def test_views_load_once_their_packages_are_there(python: Path, tmp_path: Path) -> None:
    (site,) = (python.parents[1] / "lib").glob("python*/site-packages")
    # Only the packages of this environment are lent, not its link to the checkout: a .pth file within is not followed.
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    try:
        count, place = run(python, "-I", "-W", "error", "-c", VIEWS, cwd=tmp_path).split()
    finally:
        (site / "lent.pth").unlink()
    assert int(count) > 0
    assert Path(place).is_relative_to(site)
