"""Where the browser tests put their pictures, and who gets a copy of them."""

import os
import shutil
from pathlib import Path

from tests.checkout import ROOT

SHOTS = ROOT / "build" / "shots"
ARTEFACTS = "FLANNELVIZ_ARTEFACTS"  # the environment variable that names a folder for copies


def taken_since(start: float) -> list[Path]:
    """Return the pictures that are younger than `start`, in seconds since 1970."""
    return sorted(shot for shot in SHOTS.glob("*.png") if shot.stat().st_mtime >= start)


def copy_out(shots: list[Path]) -> Path | None:
    """Copy pictures to the folder that the environment names; return it, or None if it names none."""
    if not (named := os.environ.get(ARTEFACTS)):
        return None
    folder = Path(named)
    folder.mkdir(parents=True, exist_ok=True)
    for shot in shots:
        shutil.copy2(shot, folder)
    return folder
