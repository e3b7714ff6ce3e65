"""The pages of the documentation and the blocks of code in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

# A fence, or a comment that readers do not see: ``<!-- given`` is run before what follows, ``<!-- then`` after it.
BLOCK = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>[^\n`]*)\n(?P<code>.*?)^(?P=indent)(?P=fence) *$"
    r"|^<!-- (?P<hidden>given|then)\n(?P<python>.*?)^-->$",
    flags=re.DOTALL | re.MULTILINE,
)

# The languages of the blocks that are run.
PYTHON = {"python", "given", "then"}


@dataclass(frozen=True)
class Block:
    """A block of code, ``given`` and ``then`` included, and where it stands."""

    page: Path
    line: int
    language: str
    code: str

    @property
    def source(self) -> str:
        """Return the code at its line of the page, so that a traceback shows the right one."""
        return "\n" * self.line + self.code


def pages() -> list[Path]:
    """Return every page that people read."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]


def name_of(page: Path) -> str:
    """Return how a page is called in the names of tests."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """Return the blocks of code of a page, in order."""
    text = page.read_text()
    found = []
    for match in BLOCK.finditer(text):
        line = text[: match.start()].count("\n") + 1
        if match["hidden"]:
            found.append(Block(page, line, match["hidden"], match["python"]))
            continue
        indent = len(match["indent"])
        code = "".join(part[indent:] or "\n" for part in match["code"].splitlines(keepends=True))
        found.append(Block(page, line, match["language"].strip(), code))
    return found
