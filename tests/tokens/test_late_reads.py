"""What is read while a grant is being given up is not believed afterwards, and readers do not wait for the writer."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.inside import engine_of, mark_revoked
from tests.visitor import expiring_token
from zaikio_oauth import AccessToken, Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub


@pytest.fixture
async def zaikio(make_settings: Callable[..., Settings]) -> AsyncIterator[ZaikioOAuth]:
    """Yield an instance that believes for a minute what it has read."""
    async with ZaikioOAuth(make_settings(cache_ttl=60)) as opened:
        yield opened


@pytest.fixture
async def token(zaikio: ZaikioOAuth, hub: LocalHub) -> AccessToken:
    """Return a person's token that is stored and in no cache."""
    hub.auto_consent(person_id=hub.people[0].id)
    return await zaikio.refresh(await expiring_token(zaikio, hub))


@contextmanager
def another_writer(path: Path, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    """Hold SQLite's write lock while the body runs, so that our own statements that write have to wait."""
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute(begin)
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


async def give_up_while_reading(
    zaikio: ZaikioOAuth, token: AccessToken, path: Path, giving_up: Callable[[], asyncio.Task[None]]
) -> None:
    """Let the writer wait until a reader has read the grant, which is still there, and has put it into the cache."""
    with another_writer(path):
        task = giving_up()
        await asyncio.sleep(0.2)
        assert not task.done()
        assert await zaikio.find_active_access_token(token.id) is not None
    await task


async def test_a_grant_that_was_read_during_its_revocation_is_not_kept(
    zaikio: ZaikioOAuth, token: AccessToken, tmp_path: Path
) -> None:
    """The look-up began before the row was deleted, and ended in the cache; afterwards nobody gets it."""
    await give_up_while_reading(zaikio, token, tmp_path / "app.db", lambda: asyncio.create_task(zaikio.revoke(token)))

    assert await zaikio.find_active_access_token(token.id) is None


async def test_a_grant_that_was_read_during_an_event_is_not_kept(
    zaikio: ZaikioOAuth, token: AccessToken, tmp_path: Path
) -> None:
    """The same for an event that says that its token is revoked."""

    def revoking() -> asyncio.Task[None]:
        return asyncio.create_task(mark_revoked(zaikio, [token.jti or ""]))

    await give_up_while_reading(zaikio, token, tmp_path / "app.db", revoking)

    assert await zaikio.find_active_access_token(token.id) is None


async def test_readers_do_not_wait_for_a_writer(zaikio: ZaikioOAuth, token: AccessToken, tmp_path: Path) -> None:
    """SQLite is in WAL mode: a page is served while another process writes, however long that takes."""
    with another_writer(tmp_path / "app.db", "BEGIN EXCLUSIVE"):
        started = time.monotonic()
        assert await zaikio.find_active_access_token(token.id) is not None
        assert time.monotonic() - started < 2


async def test_a_grant_that_another_process_refreshed_between_two_reads_is_not_refreshed_again(
    zaikio: ZaikioOAuth, hub: LocalHub, tmp_path: Path
) -> None:
    """A worker finds no token that is valid, looks for one to refresh, and finds the fresh one: no second request."""
    token = await expiring_token(zaikio, hub)
    engine = await engine_of(zaikio)
    selects: list[str] = []

    def refresh_elsewhere(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not selects:
            other = sqlite3.connect(tmp_path / "app.db", isolation_level=None)
            other.execute("UPDATE zaikio_access_tokens SET version = 2, expires_at = datetime('now', '+1 hour')")
            other.close()
        selects.append(statement)

    event.listen(engine.sync_engine, "after_cursor_execute", refresh_elsewhere)
    found = await zaikio.get_access_token(bearer_id=token.bearer_id)

    assert (found.id, found.token) == (token.id, token.token)
    assert found.expires_in > 3000
    assert len(selects) == 2
    assert hub.count(grant_type="refresh_token") == 0
