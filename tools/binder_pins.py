"""Write binder/requirements.txt: what the `views` extra asks for, at the versions of the lock.

ipywidgets stays a range: Binder's base image brings its own, which fits its JupyterLab.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEFT_TO_THE_BASE_IMAGE = {"ipywidgets"}
HEADER = "# Written by `make lock`. JupyterLab comes with Binder's base image, flannelviz itself in postBuild.\n"


def locked_lines(lock: str) -> dict[str, list[str]]:
    """Return for each package its `name==version ; marker` lines; a package may have one per Python version."""
    lines: dict[str, list[str]] = {}
    for line in re.findall(r"^[a-z0-9].*==.*$", lock, flags=re.MULTILINE):
        requirement = line.rstrip("\\").strip()
        lines.setdefault(requirement.split("==")[0], []).append(requirement)
    return lines


def binder_requirements(pyproject: str, lock: str) -> str:
    """Return the text of binder/requirements.txt."""
    wanted = tomllib.loads(pyproject)["project"]["optional-dependencies"]["views"]
    locked = locked_lines(lock)
    lines: list[str] = []
    for requirement in sorted(wanted):
        name = re.match(r"[A-Za-z0-9_.-]+", requirement)[0]
        lines += [requirement] if name in LEFT_TO_THE_BASE_IMAGE else locked[name]
    return HEADER + "\n".join(lines) + "\n"


def main() -> None:
    text = binder_requirements((ROOT / "pyproject.toml").read_text(), (ROOT / "requirements.lock").read_text())
    (ROOT / "binder" / "requirements.txt").write_text(text)


if __name__ == "__main__":
    main()
