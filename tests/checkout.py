"""The files of this checkout, as a clone of it would have them."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def files() -> list[Path]:
    """Return every file that is committed or about to be: what git does not ignore, relative to the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = sorted(set(listed.split("\0")) - {""})
    return [Path(name) for name in names if (ROOT / name).is_file()]


def copy_to(folder: Path) -> None:
    """Copy the files of the checkout, and nothing that was built in it, to `folder`."""
    for file in files():
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / file).read_bytes())
        target.chmod((ROOT / file).stat().st_mode)
