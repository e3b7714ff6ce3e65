"""The bars that are shown while long work goes on."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from tests.cli.test_commands import run, store_settings, stored
from tests.data import KEY, OTHER_KEY


@pytest.mark.parametrize(
    ("command", "doing", "result"),
    [
        ("cleanup", "Deleting tokens", "1 token deleted."),
        ("rotate-keys", "Re-encrypting", "2 tokens re-encrypted."),
    ],
)
async def test_a_person_sees_that_something_is_happening(tmp_path: Path, command: str, doing: str, result: str) -> None:
    """The bar fits into 50 columns, and is gone in the end; the last line is the result."""
    await stored(tmp_path)
    await stored(tmp_path, expires_at=datetime.now(UTC) - timedelta(hours=1), refresh_token=None)
    settings = store_settings(tmp_path, ZAIKIO_ENCRYPTION_KEYS=f"{OTHER_KEY},{KEY}")

    with Terminal(command, columns=50, **settings) as terminal:
        assert terminal.end() == 0

    drawn = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line) for line in re.split(r"[\r\n]+", terminal.shown)]
    assert 0 < max(len(line) for line in drawn if doing in line) <= 50
    assert terminal.shown.endswith(f"\x1b[2K{result}\r\n")


async def test_programs_see_no_bar(tmp_path: Path) -> None:
    """Nothing but the result: neither with --json, even in a terminal, nor if the output goes elsewhere."""
    await stored(tmp_path)
    with Terminal("cleanup", "--json", **store_settings(tmp_path)) as terminal:
        assert terminal.end() == 0
    piped = run("cleanup", **store_settings(tmp_path))

    assert terminal.shown == '{"deleted": 0}\r\n'
    assert (piped.stdout, piped.stderr) == ("0 tokens deleted.\n", "")
