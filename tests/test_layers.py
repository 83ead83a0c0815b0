"""The import rule: plain values in the middle, and the folders around them meet nowhere else."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkout import ROOT

PACKAGE = ROOT / "flannelviz"
VALUES = {"errors", "model", "tables", "packet", "network"}
PLANES = {"controlplane", "dataplane", "importers"}
# Who may import what, besides itself. `lab` fills in the functions of everything else.
MAY_IMPORT = {
    **dict.fromkeys(sorted(VALUES), VALUES),
    **dict.fromkeys(["controlplane", "dataplane", "importers", "views"], VALUES),
    "kernel": VALUES | {"views"},  # views print the text that a lab loads, such as that of iptables-save
    "faults": VALUES | PLANES,
    "allocations": VALUES,
    "topologies": VALUES | {"controlplane"},
    "lab": VALUES | PLANES | {"views", "faults", "kernel", "allocations", "topologies"},
    "export": {"errors", "views"},
    "__init__": set(),  # each public name is loaded when it is asked for
}
DRAWN_WITH = ["anywidget", "ipywidgets", "matplotlib", "networkx", "numpy", "pandas"]


def sources(*parts: str) -> list[Path]:
    """Return the Python files of one module or folder of the package, or of the whole of it."""
    place = PACKAGE.joinpath(*parts)
    return sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]


def imported(path: Path) -> Iterator[str]:
    """Yield the full name of everything that the file imports, wherever in it the import stands."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def own_parts(path: Path) -> set[str]:
    """Return the modules and folders of the package that the file imports from: its second-level names."""
    names = (name.split(".") for name in imported(path))
    return {parts[1] for parts in names if parts[0] == "flannelviz"}


def foreign(path: Path) -> set[str]:
    """Return the packages that the file imports and Python does not bring."""
    tops = {name.split(".")[0] for name in imported(path)}
    return tops - set(sys.stdlib_module_names) - {"flannelviz"}


def test_there_is_a_package_to_look_at() -> None:
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}
    assert parts == set(MAY_IMPORT), "each part of the package has a line in MAY_IMPORT"


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_parts_meet_only_where_they_may(part: str) -> None:
    paths = [path for path in sources(part) if path.exists()]
    strangers = {str(path.relative_to(ROOT)): own_parts(path) - MAY_IMPORT[part] - {part} for path in paths}
    assert paths
    assert {path: parts for path, parts in strangers.items() if parts} == {}


def test_tools_import_nothing_of_the_library() -> None:
    assert {path.name: own_parts(path) for path in sorted((ROOT / "tools").glob("*.py")) if own_parts(path)} == {}


def test_a_lab_takes_from_the_views_their_text_alone() -> None:
    seen = {name for path in sources("kernel") for name in imported(path) if name.startswith("flannelviz.views")}
    assert {name.rpartition(".")[0] for name in seen} == {"flannelviz.views.text"}


def test_only_views_import_what_python_does_not_bring() -> None:
    outside = [path for path in sources() if PACKAGE / "views" not in path.parents]
    strangers = {str(path.relative_to(ROOT)): foreign(path) for path in outside}
    assert {path: packages for path, packages in strangers.items() if packages} == {}


def run_python(*arguments: str) -> str:
    """Run a fresh interpreter in the checkout and return what it prints."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_everything_outside_views_loads_without_any_other_package() -> None:
    names = [module_name(path) for path in sources() if PACKAGE / "views" not in path.parents]
    load_all = (
        "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]; print(len(sys.argv) - 1)"
    )
    assert run_python("-S", "-c", load_all, *names) == f"{len(names)}\n"


def test_importing_the_package_loads_nothing_to_draw_with() -> None:
    report = f"import flannelviz, sys; print([name for name in {DRAWN_WITH} if name in sys.modules])"
    assert run_python("-c", report) == "[]\n"
