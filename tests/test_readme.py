"""What the README shows is what happens: its code runs, its output and its picture are those of this tree."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from flannelviz.dataplane.trace import trace
from flannelviz.packet import Disposition
from flannelviz.topologies import article
from flannelviz.views.scene import scene
from flannelviz.views.svg import svg

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PICTURE = ROOT / "docs" / "across-nodes.svg"


PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
OUTPUT = re.findall(r"^```\n\n```\n(.*?)^```", README, re.MULTILINE | re.DOTALL)  # stands right behind its code


def picture() -> str:
    """The picture in the README: a1's packet at the VPC router. To renew it: python -m tests.test_readme."""
    network = article()
    return svg(scene(network, trace=trace(network, "a1", "b1")), hop=2)


def test_the_four_lines_print_what_the_readme_shows() -> None:
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(PYTHON[0], "README", "exec"), {})
    assert printed.getvalue().strip() == OUTPUT[0].strip()


def test_the_other_lines_run_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dump.json").write_text((ROOT / "notebooks" / "data" / "oke-vxlan-25.json").read_text())
    names: dict[str, object] = {}
    for code in PYTHON:
        exec(compile(code, "README", "exec"), names)
    assert names["found"]
    broken = trace(names["broken"], "b1", "a1")  # type: ignore[arg-type]
    assert broken.disposition is Disposition.ACCEPTED
    assert f"# {broken.reply_disposition.name}:" in README  # type: ignore[union-attr]


def test_the_picture_is_drawn_from_this_tree() -> None:
    assert PICTURE.read_text() == picture()


def test_every_notebook_is_in_the_table() -> None:
    listed = set(re.findall(r"\(notebooks/([\w.]+)\)", README))
    assert listed == {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture())
