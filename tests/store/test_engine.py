"""Addresses and options of a database: what is wrong is named, and what the user sets wins."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.data import KEY
from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.settings.retries_and_waits import SQLITE_BUSY_TIMEOUT, STATEMENT_DEADLINE
from zaikio_oauth.store.database import Database

POSTGRESQL = "postgresql+asyncpg://app:swordfish@127.0.0.1:1/none"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("nonsense=1", r"asyncpg knows no parameter 'nonsense'; remove it\."),
        ("timeout=soon-swordfish", "asyncpg does not accept the value of 'timeout'"),
        ("command_timeout=soon-swordfish", "asyncpg does not accept the value of 'command_timeout'"),
        (
            "prepared_statement_cache_size=many-swordfish",
            "does not accept the value of 'prepared_statement_cache_size'",
        ),
        ("ssl=swordfish", "does not accept the value of 'ssl'"),
        ("server_settings=swordfish", "does not accept the value of 'server_settings'"),
        ("loop=swordfish&ssl=disable", "does not accept the value of 'loop' or 'ssl'"),
        ("pgbouncer=swordfish", "'pgbouncer' has to be true or false"),
    ],
)
async def test_a_parameter_that_asyncpg_refuses_is_named(query: str, message: str) -> None:
    """One line names the parameter and never its value."""
    await check(f"{POSTGRESQL}?{query}", message)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("nonsense=1", r"aiosqlite knows no parameter 'nonsense'; remove it\."),
        ("mode=ro", "aiosqlite knows no parameter 'mode'"),
        ("uri=true&nonsense=1", "aiosqlite knows no parameter 'nonsense'"),
        ("timeout=swordfish", "aiosqlite does not accept the value of 'timeout'"),
        ("detect_types=swordfish", "aiosqlite does not accept the value of 'detect_types'"),
    ],
)
async def test_a_parameter_that_aiosqlite_refuses_is_named(tmp_path: Path, query: str, message: str) -> None:
    """SQLAlchemy alone would warn, or show a traceback of a hundred lines."""
    await check(f"sqlite+aiosqlite:///{tmp_path}/store.db?{query}", message)


async def check(url: str, message: str) -> None:
    """Open the database and expect a ConfigurationError."""
    database = None
    try:
        with pytest.raises(ConfigurationError, match=message) as caught:
            database = Database(url, [KEY])
            await database.open(auto_migrate=True)
    finally:
        if database:
            await database.aclose()
    assert "swordfish" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_an_unknown_option_is_named() -> None:
    """The options are those of SQLAlchemy."""
    with pytest.raises(ConfigurationError, match="engine_options: nonsense"):
        Database(POSTGRESQL, [KEY], nonsense=1)


@pytest.mark.parametrize(
    ("query", "options", "deadline"),
    [
        ("", {}, STATEMENT_DEADLINE),
        ("?command_timeout=60", {}, 61),
        ("?connect_timeout=60", {}, 61),
        ("?timeout=1", {}, STATEMENT_DEADLINE),
        ("", {"pool_timeout": 20}, 21),
        ("", {"connect_args": {"command_timeout": 30}}, 31),
        ("", {"connect_args": {"command_timeout": None}}, None),
    ],
)
def test_a_time_out_of_the_user_wins(query: str, options: dict[str, Any], deadline: float | None) -> None:
    """A statement that may take a minute is not cut off by our own deadline."""
    database = Database(POSTGRESQL + query, [KEY], **options)
    assert database.engine.sync_engine.get_execution_options()["statement_deadline"] == deadline


@pytest.mark.parametrize(("query", "milliseconds"), [("", SQLITE_BUSY_TIMEOUT * 1000), ("?timeout=9", 9000)])
async def test_sqlite_waits_for_a_lock_as_long_as_the_address_says(
    tmp_path: Path, query: str, milliseconds: float
) -> None:
    """The default is below the deadline of a call, so that the cause can be named."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/store.db{query}", [KEY])
    async with database.engine.connect() as connection:
        assert (await connection.exec_driver_sql("PRAGMA busy_timeout")).scalar_one() == milliseconds
    await database.aclose()


async def test_a_connection_that_is_interrupted_twice_is_closed(tmp_path: Path) -> None:
    """As when Ctrl-C cancels a task, and then asyncio.run whatever still cleans up after it, at any moment."""
    for before in range(2, 60, 3):
        for between in (2, 3):
            database = Database(f"sqlite+aiosqlite:///{tmp_path}/{before}-{between}.db", [KEY])

            async def use(engine: AsyncEngine = database.engine) -> None:
                async with engine.connect() as connection:
                    for _ in range(20):
                        await connection.execute(text("SELECT 1"))

            others = asyncio.all_tasks()
            task = asyncio.create_task(use())
            for pause in (before, between):
                for _ in range(pause):
                    await asyncio.sleep(0)
                for each in asyncio.all_tasks() - others:
                    each.cancel()
            under_way = asyncio.all_tasks() - others
            if under_way:
                _, stuck = await asyncio.wait(under_way, timeout=10)
                assert stuck == set(), (before, between)
            assert task.done()
            await database.aclose()


IN_A_STATEMENT = """
import asyncio, sys, time
from sqlalchemy import text
from zaikio_oauth.store.database import Database

async def main():
    database = Database(sys.argv[1], [sys.argv[2]])
    connection = await database.engine.connect()
    driver = (await connection.get_raw_connection()).driver_connection
    await driver.create_function("wait", 0, lambda: print("waiting", flush=True) or time.sleep(1))
    await connection.execute(text("SELECT wait()"))

try:
    asyncio.run(main())
finally:
    time.sleep(1.5)
"""


def test_a_thread_whose_event_loop_is_closed_says_nothing(tmp_path: Path) -> None:
    """The third Ctrl-C closes the loop while the thread is in a statement: one traceback, that of Ctrl-C."""
    script = subprocess.Popen(
        [sys.executable, "-c", IN_A_STATEMENT, f"sqlite+aiosqlite:///{tmp_path}/store.db", KEY],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 (no threads here)
    )
    assert script.stdout is not None
    assert script.stdout.readline() == "waiting\n"
    for _ in range(3):
        script.send_signal(signal.SIGINT)
        time.sleep(0.1)
    _, errors = script.communicate(timeout=20)
    assert "KeyboardInterrupt" in errors
    assert "Exception in thread" not in errors
