"""``docs/reference/troubleshooting.md`` has the exact messages."""

from __future__ import annotations

import ast
import re
from functools import cache

from tests.docs.pages import DOCS, ROOT

SOURCE = ROOT / "src" / "zaikio_oauth"
RAISED = {"ConfigurationError", "RuntimeError", "not_found"}
# Where the message depends on, and who reads it, is explained at the command or by the message itself.
ELSEWHERE = ("cli", "testing")
# Of Alembic; tests/store/test_app_migrations.py provokes it.
OF_OTHERS = {"Can't locate revision identified by 'zaikio_…'"}
FOR_THE_AUTHORS_OF_MIGRATIONS = "The folder … of zaikio_oauth contains migrations of an app"


def text_of(node: ast.AST) -> str | None:
    """Return a text of the source with ``…`` for what varies, or None."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


@cache
def source() -> tuple[frozenset[str], frozenset[str]]:
    """Return all texts of the source, and those of errors that a user reads."""
    texts, raised = set(), set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (text := text_of(node)) is not None:
                texts.add(text)
            if not isinstance(node, ast.Call) or path.relative_to(SOURCE).parts[0] in ELSEWHERE:
                continue
            if ast.unparse(node.func) in RAISED and node.args and (text := text_of(node.args[0])):
                raised.add(text)
    return frozenset(texts), frozenset(raised)


def messages() -> set[str]:
    """Return the messages on the page."""
    rows = re.findall(
        r"^\| (?:\d{3} \| )?`(.+?)` \| .", (DOCS / "reference/troubleshooting.md").read_text(), re.MULTILINE
    )
    assert len(rows) == len(set(rows)) > 40
    return set(rows)


def test_each_message_on_the_page_exists() -> None:
    """Word by word, so that a search for it leads here."""
    texts, _ = source()
    assert {message for message in messages() if not any(message in text for text in texts)} == OF_OTHERS


def test_each_message_that_users_read_is_on_the_page() -> None:
    """What stops an app from starting, or a page from being shown, is explained."""
    _, raised = source()
    # The beginning of a long message is enough to find it.
    explained = tuple(messages())
    missing = {text for text in raised if not text.startswith(explained) and not text.endswith("\n")}
    assert {text for text in missing if not text.startswith(FOR_THE_AUTHORS_OF_MIGRATIONS)} == set()
