"""A SQLite file that is locked or read-only: a typed error within the waits, then everything works again."""

from __future__ import annotations

import asyncio
import os
import pwd
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.data import KEY, some_access_token
from tests.visitor import expiring_token
from zaikio_oauth import Settings, StoreUnavailableError, ZaikioOAuth
from zaikio_oauth.settings.retries_and_waits import DATABASE_DEADLINE, STATEMENT_DEADLINE
from zaikio_oauth.store.access_tokens import AccessTokenRepository
from zaikio_oauth.store.database import Database
from zaikio_oauth.testing import LocalHub

# The machine that runs the tests may be busy.
SLACK = 4.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the file of the database that ``make_settings`` uses."""
    return tmp_path / "app.db"


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold the write lock."""
    holder = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        holder.execute("ROLLBACK")
        holder.close()


async def test_a_locked_file_is_a_typed_error_in_time_and_what_was_issued_is_stored(
    zaikio: ZaikioOAuth, hub: LocalHub, file: Path
) -> None:
    """Reads go on; a request for a token fails in time; a refresh whose answer came meanwhile is stored afterwards."""
    token, organization = await expiring_token(zaikio, hub), hub.organizations[0].id
    hub.grant("warehouse-id", "Organization", organization, ["zaikio.organization.r"])
    hub.fail("refresh_token", latency=1)
    page = asyncio.create_task(zaikio.find_active_access_token(token.id, valid_for=3600))
    await asyncio.sleep(0.6)
    with locked(file):
        started = time.monotonic()
        with pytest.raises(StoreUnavailableError, match=r"it is locked|a statement took too long"):
            await zaikio.get_access_token(bearer_type="Organization", bearer_id=organization)
        assert time.monotonic() - started < STATEMENT_DEADLINE + SLACK
        assert await zaikio.find_active_access_token(token.id, valid_for=0) == token
        await asyncio.sleep(2)

    refreshed = await page
    assert refreshed is not None
    assert refreshed.token != token.token
    assert await zaikio.get_access_token(bearer_type="Organization", bearer_id=organization)
    assert hub.count(grant_type="refresh_token") == 1


def test_a_shutdown_does_not_wait_for_ever_and_names_what_was_lost(
    make_settings: Callable[..., Settings], hub: LocalHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Files stay locked, for an app and for a script. The log has the ids of the rows and nothing that could be used."""
    started = time.monotonic()
    with ExitStack() as stack, ThreadPoolExecutor(2) as threads:
        scripts = [
            ends_with_its_file_locked(make_settings, hub, tmp_path / name, stack, leaves=name == "app")
            for name in ("app", "script")
        ]
        ids = [running.result() for running in [threads.submit(asyncio.run, script) for script in scripts]]
    elapsed = time.monotonic() - started

    assert elapsed < DATABASE_DEADLINE + 3 * STATEMENT_DEADLINE + SLACK
    for token_id in ids:
        assert (
            f"Access token {token_id} could not be stored: The database cannot be used now: it is locked" in caplog.text
        )
    assert hub.count(grant_type="refresh_token") == len(ids)
    assert "eyJ" not in caplog.text


async def ends_with_its_file_locked(
    make_settings: Callable[..., Settings], hub: LocalHub, file: Path, stack: ExitStack, *, leaves: bool
) -> str:
    """Begin a refresh, lock the file before the Hub has answered, and end; return the id of the row."""
    zaikio = ZaikioOAuth(make_settings(database_url=f"sqlite:///{file}"))
    await zaikio.__aenter__()
    token = await expiring_token(zaikio, hub)
    hub.fail("refresh_token", latency=1)
    refreshing = asyncio.create_task(zaikio.find_active_access_token(token.id, valid_for=3600))
    await asyncio.sleep(0.5)
    stack.enter_context(locked(file))
    await asyncio.sleep(0.6)
    if leaves:
        refreshing.cancel()
        await zaikio.__aexit__(None, None, None)
    return token.id


@contextmanager
def read_only(file: Path) -> Iterator[None]:
    """Take away the right to write: of the file, and of root, whom rights do not bind."""
    root = os.geteuid() == 0
    for folder in (file.parent, *file.parents):
        if root and folder.stat().st_uid == 0 and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    files = [each for each in file.parent.iterdir() if each.name.startswith(file.name)]
    for each in files:
        each.chmod(0o444)
    if root:
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for each in files:
            each.chmod(0o644)


async def test_a_connection_that_was_opened_read_only_is_replaced(database_file: Database) -> None:
    """The file can be written again, and so can we, without a restart."""
    repository = AccessTokenRepository(database_file)
    stored = await repository.add(some_access_token())
    file = Path(str(database_file.engine.url.database))
    # SQLite can read such a file while the files of its WAL are there.
    other = sqlite3.connect(file)
    other.execute("SELECT count(*) FROM zaikio_access_tokens").fetchall()
    await database_file.engine.dispose()
    with read_only(file):
        assert await repository.get(stored.id)
        with pytest.raises(StoreUnavailableError, match="it is read-only"):
            await repository.delete(stored.id)

    await repository.delete(stored.id)
    assert await repository.get(stored.id) is None
    other.close()


async def test_a_file_that_was_moved_is_opened_anew(database_file: Database) -> None:
    """SQLite refuses to write to a file that has another name now."""
    repository = AccessTokenRepository(database_file)
    stored = await repository.add(some_access_token())
    await database_file.engine.dispose()
    file = Path(str(database_file.engine.url.database))
    connection = await database_file.engine.connect()
    await connection.exec_driver_sql("PRAGMA journal_mode=DELETE")
    await connection.close()
    copy = file.with_name("copy.db")
    copy.write_bytes(file.read_bytes())
    file.rename(file.with_name("elsewhere.db"))
    copy.rename(file)

    await repository.delete(stored.id)
    assert await repository.get(stored.id) is None


@pytest.fixture
async def database_file(tmp_path: Path) -> AsyncIterator[Database]:
    """Yield the store in a SQLite file."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/store.db", [KEY])
    await database.open(auto_migrate=True)
    yield database
    await database.aclose()


async def test_a_disk_that_is_full_is_named(database_file: Database) -> None:
    """A page limit does to SQLite what a full disk does."""
    repository = AccessTokenRepository(database_file)
    await repository.add(some_access_token())
    async with database_file.engine.connect() as connection:
        pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
        await connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    adding = asyncio.create_task(repository.add(some_access_token(token="x" * 200_000)))
    await asyncio.sleep(0.5)
    assert not adding.done()
    async with database_file.engine.connect() as connection:
        await connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    assert await adding
