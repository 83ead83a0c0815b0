"""What is true of the files as such: the lock, what Binder reads, and nothing that belongs to one machine."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.checkout import ROOT, copy_to, files
from tools.binder_pins import binder_requirements

REGISTRY_NAMES = ["pypi", "pythonhosted", "npmjs", "yarnpkg", "deb.debian", "security.debian", "proxy.golang"]
REGISTRY = re.compile(rf"\b(?:{'|'.join(map(re.escape, REGISTRY_NAMES))})\.(?:org|com|net|io)\b")
# Where people and build machines keep their files; /etc, /run, /opt/cni and the like are what the project talks about.
HOME = re.compile(r"(?<![\w./-])(?:/(?:home|Users|builds|work)/\w|/root/\.(?!kube)\w)")
REQUIREMENT = re.compile(r"^([a-z0-9-]+)==\S+[^\\\n]*\\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", re.MULTILINE)


def texts() -> dict[Path, str]:
    """Return the content of every file that is text."""
    result = {}
    for file in files():
        try:
            result[file] = (ROOT / file).read_text("utf-8")
        except UnicodeDecodeError:
            continue
    return result


@pytest.mark.parametrize("pattern", [REGISTRY, HOME], ids=["package registry", "path of a machine"])
def test_no_file_names(pattern: re.Pattern[str]) -> None:
    assert {str(file): match[0] for file, text in texts().items() if (match := pattern.search(text))} == {}


def test_nothing_large_or_built_is_kept() -> None:
    assert [str(file) for file in files() if (ROOT / file).stat().st_size > 2_000_000] == []
    assert [str(file) for file in files() if file.suffix in {".pyc", ".whl", ".so"}] == []


def lock() -> str:
    return (ROOT / "requirements.lock").read_text("utf-8")


def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_every_line_of_the_lock_is_pinned_and_hashed() -> None:
    lines = [line for line in lock().splitlines() if line and not line.startswith((" ", "#"))]
    assert len(REQUIREMENT.findall(lock())) == len(lines)
    assert "://" not in lock()


def test_the_lock_holds_what_the_extras_ask_for() -> None:
    asked = {re.match(r"[\w-]+", line)[0] for extra in project()["optional-dependencies"].values() for line in extra}
    assert asked - {"flannelviz"} <= set(REQUIREMENT.findall(lock()))


def test_what_tests_and_tools_import_is_asked_for() -> None:
    """That another package happens to bring it is no promise."""
    asked = {re.match(r"[\w-]+", line)[0] for extra in project()["optional-dependencies"].values() for line in extra}
    providers = packages_distributions()
    imported = {top for file in files() if file.suffix == ".py" for top in imports_of(ROOT / file)}
    foreign = {name.lower().replace("_", "-") for top in imported for name in providers.get(top, [])}
    assert foreign - asked == set()


def imports_of(path: Path) -> set[str]:
    """Return the first parts of the modules that a file imports from elsewhere."""
    found = [
        node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    names = [alias.name for node in found if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in found if isinstance(node, ast.ImportFrom) and not node.level]
    return {name.partition(".")[0] for name in names}


def test_the_library_itself_depends_on_nothing() -> None:
    assert project()["dependencies"] == []


def test_binder_installs_the_versions_of_the_lock() -> None:
    pins = (ROOT / "binder" / "requirements.txt").read_text("utf-8")
    assert pins == binder_requirements((ROOT / "pyproject.toml").read_text("utf-8"), lock()), "run `make lock`"
    assert not re.search(r"^(jupyterlab|notebook|flannelviz)\b", pins, re.M), "these come from elsewhere"


def test_repo2docker_plans_what_binder_shall_install(tmp_path: Path) -> None:
    copy_to(tmp_path)
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    plan = done.stdout + done.stderr
    assert "Building conda environment for python=3.11" in plan, "binder/runtime.txt is not followed"
    assert re.search(r'pip install .*-r "?binder/requirements\.txt', plan)
    assert "RUN ./binder/postBuild" in plan


@pytest.mark.parametrize("name", [".ci/run", "binder/postBuild"])
def test_what_is_run_by_name_can_be_run(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)
    subprocess.run(["bash", "-n", ROOT / name], check=True)
