"""Changes by other processes, which SQLite counts."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.pool import StaticPool

from tests.data import KEY
from tests.inside import engine_of, parts_of
from tests.store.statements_sent import statements_of
from tests.tokens.due_tokens import persons_token
from zaikio_oauth import AccessToken, Settings, ZaikioOAuth
from zaikio_oauth.store.database import Database
from zaikio_oauth.testing import LocalHub

TTL = 0.3


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    """Return settings with a cache that ends soon."""
    return make_settings(cache_ttl=TTL)


async def shown(zaikio: ZaikioOAuth, token: AccessToken) -> AccessToken | None:
    """Return what a page gets."""
    return await zaikio.find_active_access_token(token.id)


async def test_what_has_not_changed_is_not_read_again(settings: Settings, hub: LocalHub) -> None:
    """Long after ``cache_ttl``, as long as nobody has written to the file."""
    async with ZaikioOAuth(settings) as writing, ZaikioOAuth(settings) as reading:
        token = await persons_token(writing, hub, left=3600)
        stored = await shown(reading, token)
        assert stored is not None
        with statements_of(await engine_of(reading)) as sent:
            for _ in range(3):
                await asyncio.sleep(TTL * 1.5)
                assert await shown(reading, token) == stored
        assert sent == []


async def test_what_may_have_changed_is_read_again(settings: Settings, hub: LocalHub, tmp_path: Path) -> None:
    """By another object, by ourselves, by a program of somebody else; after ``cache_ttl``, not before."""
    async with ZaikioOAuth(settings) as writing, ZaikioOAuth(settings) as reading:
        token = await persons_token(writing, hub, left=3600)
        other = await persons_token(reading, hub, left=3600)
        stored = await shown(reading, token)

        await writing.refresh(other)
        await reading.refresh(other)
        await asyncio.sleep(TTL)
        with statements_of(await engine_of(reading)) as sent:
            assert await shown(reading, token) == stored
        assert len(sent) == 1

        await writing.revoke(token)
        assert await shown(reading, token) == stored
        await asyncio.sleep(TTL)
        assert await shown(reading, token) is None

        assert await shown(reading, other) is not None
        with sqlite3.connect(tmp_path / "app.db") as connection:
            connection.execute("DELETE FROM zaikio_access_tokens")
        connection.close()
        await asyncio.sleep(TTL)
        assert await shown(reading, other) is None


async def test_a_write_that_is_not_committed_is_no_change(settings: Settings, hub: LocalHub, tmp_path: Path) -> None:
    """What is read meanwhile is read again after the commit, however long it took."""
    async with ZaikioOAuth(settings) as zaikio:
        token = await persons_token(zaikio, hub, left=3600)
        writing = sqlite3.connect(tmp_path / "app.db", isolation_level=None)
        writing.execute("BEGIN IMMEDIATE")
        writing.execute("DELETE FROM zaikio_access_tokens")
        assert await shown(zaikio, token) is not None
        await asyncio.sleep(TTL)
        assert await shown(zaikio, token) is not None
        writing.execute("COMMIT")
        writing.close()
        await asyncio.sleep(TTL)
        assert await shown(zaikio, token) is None


async def test_a_file_that_is_gone_or_no_database_says_nothing(tmp_path: Path, settings: Settings) -> None:
    """Then what was read is used for ``cache_ttl``, and nothing of ours fails for that."""
    async with ZaikioOAuth(settings) as zaikio:
        changes: Any = (await parts_of(zaikio)).changes
        assert changes.version() == changes.version() is not None
        changes._path = str(tmp_path / "gone.db")
        changes._close()
        assert changes.version() is None
        (tmp_path / "gone.db").write_bytes(b"no database" * 100)
        assert changes.version() is None
        assert list(tmp_path.glob("gone.db-*")) == []


async def test_nothing_is_left_open(settings: Settings, hub: LocalHub, tmp_path: Path) -> None:
    """The log is written back into the file when it is closed, so that one file is all there is to copy."""
    async with ZaikioOAuth(settings) as zaikio:
        token = await persons_token(zaikio, hub, left=3600)
        await shown(zaikio, token)
        assert (tmp_path / "app.db-wal").exists()
    assert [path.name for path in tmp_path.glob("app.db*")] == ["app.db"]


@pytest.mark.parametrize("address", ["", "/:memory:", "/file:shared?mode=memory&uri=true"])
async def test_a_database_in_memory_has_no_file(address: str) -> None:
    """Nobody else can change it."""
    database = Database(f"sqlite+aiosqlite://{address}", [KEY], poolclass=StaticPool)
    assert database.changes(5).version() is None
    await database.aclose()
