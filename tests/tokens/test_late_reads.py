"""What is read while a grant is being given up is not believed afterwards, and readers do not wait for the writer."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.inside import mark_revoked
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

    def event() -> asyncio.Task[None]:
        return asyncio.create_task(mark_revoked(zaikio, [token.jti or ""]))

    await give_up_while_reading(zaikio, token, tmp_path / "app.db", event)

    assert await zaikio.find_active_access_token(token.id) is None


async def test_readers_do_not_wait_for_a_writer(zaikio: ZaikioOAuth, token: AccessToken, tmp_path: Path) -> None:
    """SQLite is in WAL mode: a page is served while another process writes, however long that takes."""
    with another_writer(tmp_path / "app.db", "BEGIN EXCLUSIVE"):
        started = time.monotonic()
        assert await zaikio.find_active_access_token(token.id) is not None
        assert time.monotonic() - started < 2
