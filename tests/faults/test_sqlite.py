"""SQLite cannot be used for some seconds while everything that an app does is under way."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.faults.cells import Fault, assert_promises_are_kept
from tests.faults.stage import Stage, a_hub, in_a_thread
from zaikio_oauth.testing import HubServer

ROOT = Path(__file__).parents[2]


class OnSqlite:
    """A stage whose database is a file, and another process's connection to it."""

    def __init__(self, stage: Stage, path: Path) -> None:
        self.stage = stage
        self._path = path
        self._connection: sqlite3.Connection | None = None

    async def lock(self) -> None:
        """Take the write lock, as a process does that writes for long."""
        # In a thread, because who has the lock at this moment may need the event loop to give it back.
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=30, check_same_thread=False)
        await in_a_thread(lambda: connection.execute("BEGIN EXCLUSIVE"))
        self._connection = connection

    def unlock(self) -> None:
        """Give it back."""
        assert self._connection is not None
        self._connection.execute("ROLLBACK")
        self._connection.close()


@asynccontextmanager
async def on_sqlite(path: Path) -> AsyncIterator[OnSqlite]:
    """Yield a stage whose database is this file."""
    hub, url = a_hub(), f"sqlite:///{path}"
    with HubServer(hub) as server:
        yield OnSqlite(Stage(hub, server.url, url, url), path)


async def test_the_database_is_locked_for_some_time(tmp_path: Path) -> None:
    """Another process writes for 5 s, as long as a page waits, or for 30 s, as long as anybody waits."""
    async with on_sqlite(tmp_path / "five.db") as five, on_sqlite(tmp_path / "thirty.db") as thirty:
        await assert_promises_are_kept(
            (five.stage, Fault("locked for 5 s", five.lock, 5, five.unlock)),
            (thirty.stage, Fault("locked for 30 s", thirty.lock, 30, thirty.unlock)),
        )


async def test_the_database_is_read_only() -> None:
    """Neither the file nor its folder can be written when the app starts; three seconds later they can."""
    await assert_promises_are_kept_in_a_process("read-only")


async def test_the_disk_is_full() -> None:
    """For three seconds, no file can grow."""
    await assert_promises_are_kept_in_a_process("full")


async def assert_promises_are_kept_in_a_process(fault: str) -> None:
    """Play the fault in a process of its own."""
    # Not tmp_path, whose parents another user than root cannot enter.
    with tempfile.TemporaryDirectory(prefix="zaikio-sqlite-") as folder:
        Path(folder).chmod(0o755)
        command = [sys.executable, "-m", "tests.faults.sqlite_child", fault, folder]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ZAIKIO_")}
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE
        )
        _, errors = await process.communicate()
        Path(folder).chmod(0o755)
    assert process.returncode == 0, errors.decode()
