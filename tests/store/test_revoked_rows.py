"""A row that was revoked is not written any more, and the log of the database has no values."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from tests.data import some_access_token
from zaikio_oauth.store.access_tokens import AccessTokenRepository
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.ended_grants import EndedGrantRepository
from zaikio_oauth.store.revoked_tokens import RevokedTokenRepository


@pytest.fixture
def repository(database: Database) -> AccessTokenRepository:
    return AccessTokenRepository(database)


async def raw_row(database: Database) -> dict[str, Any]:
    """Return the only row, without the conversions of the column types."""
    async with database.engine.connect() as connection:
        return dict((await connection.execute(text("SELECT * FROM zaikio_access_tokens"))).one()._mapping)


async def test_a_refresh_does_not_write_to_a_row_that_was_revoked_meanwhile(
    database: Database, repository: AccessTokenRepository
) -> None:
    """The Hub's next token, which has an id that nobody has revoked, would bring the grant back to life."""
    stored = await repository.add(some_access_token())
    held = await repository.get(stored.id)
    assert held is not None
    await RevokedTokenRepository(database).add({stored.jti or ""})
    before = await raw_row(database)

    refreshed = stored.model_copy(update={"jti": "the-next-one", "token": "next", "refresh_token": "next"})
    assert await repository.replace(held, refreshed) is None

    after = await raw_row(database)
    assert before["revoked_at"] is not None
    assert after | {"revoked_at": None} == before | {"revoked_at": None}
    assert await repository.get(stored.id) is None


async def test_the_databases_own_log_has_no_values(
    database: Database, repository: AccessTokenRepository, caplog: pytest.LogCaptureFixture
) -> None:
    """Operators turn SQLAlchemy's log on to see the statements; what was in them stays out of it, as out of errors."""
    with caplog.at_level(logging.INFO, "sqlalchemy.engine"):
        stored = await repository.add(some_access_token())
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("sqlalchemy")]

    assert any("INSERT INTO zaikio_access_tokens" in line for line in lines)
    shown = "".join(lines)
    assert [value for value in (stored.id, stored.jti, stored.bearer_id, "gAAAA") if value and value in shown] == []


async def test_no_more_rows_are_deleted_than_one_batch(database: Database, repository: AccessTokenRepository) -> None:
    """A statement that deletes a million rows would hold them all until its end."""
    past = datetime.now(UTC) - timedelta(hours=1)
    for _ in range(5):
        await repository.add(some_access_token(expires_at=past, refresh_token=None, refresh_expires_at=None))

    ended = EndedGrantRepository(database)
    now = datetime.now(UTC)
    deleted = [await ended.delete_in(window, now) async for window in ended.windows(now, size=2)]

    assert [count for count in deleted if count] == [2, 2, 1]
