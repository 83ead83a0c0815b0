"""The command that keeps notebooks: each becomes one HTML file that works from disk, with neither kernel nor network.

python -m flannelviz.export notebooks/05_four_journeys.ipynb -o four_journeys.html

What draws the page is imported when it is asked for, so that this module costs nothing where there is no nbconvert.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from flannelviz.errors import NotebookError

ABOUT = "Export executed notebooks, each as one HTML file that works from disk with neither kernel nor network."


def main(arguments: Sequence[str] | None = None) -> int:
    """Export the notebooks that the command line names; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m flannelviz.export", description=ABOUT)
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    parser.add_argument("-o", "--output", type=Path, help="the file to write, or a folder; else beside the notebook")
    options = parser.parse_args(arguments)
    if len(options.notebooks) > 1 and options.output and not options.output.is_dir():
        parser.error(f"several notebooks need a folder that exists, and {options.output} is none")
    return max([_exported(notebook, options.output) for notebook in options.notebooks])


def _exported(notebook: Path, output: Path | None) -> int:
    """Export one notebook and print what became of it; return the exit status."""
    try:
        from flannelviz.views.export import export
    except ModuleNotFoundError as missing:
        print(f"flannelviz: {missing.name} is not installed; pip install 'flannelviz[lab]'", file=sys.stderr)
        return 1
    try:
        kept = export(notebook, output)
    except (NotebookError, OSError) as error:
        print(f"flannelviz: {error}", file=sys.stderr)
        return 1
    live = "1 live stage" if kept.stages == 1 else f"{kept.stages} live stages"
    print(f"{kept.path}: {live}, {kept.path.stat().st_size / 1000:.0f} kB")
    if kept.stateless:
        print(
            f"flannelviz: {notebook} was saved without the state of {kept.stateless} widgets, which show as pictures; "
            "in JupyterLab tick Settings > Save Widget State Automatically, run all cells and save",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
