"""The pictures of README and docs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"


def test_every_picture_is_made_by_the_script() -> None:
    """A picture that nobody can make again shows the pages of long ago."""
    script = (ROOT / "scripts" / "screenshots").read_text()
    made = {f"{name}.png" for name in re.findall(r'_take\("([\w-]+)"', script)} | {"check.svg"}
    assert {path.name for path in IMAGES.iterdir()} - {"benchmark.svg"} == made  # that one is by `make benchmark`


def test_a_picture_is_small_and_loads_nothing() -> None:
    """A page of the documentation loads quickly, and no reader's browser tells another site about it."""
    assert [path.name for path in IMAGES.iterdir() if path.stat().st_size > 150 * 1024] == []
    assert re.findall(r"(?:href|src|url)\W*https?:", "".join(path.read_text() for path in IMAGES.glob("*.svg"))) == []


def test_every_picture_is_shown() -> None:
    """A picture that no page shows only makes the repository larger."""
    pages = "".join(path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
    assert [path.name for path in IMAGES.iterdir() if f"images/{path.name}" not in pages] == []
