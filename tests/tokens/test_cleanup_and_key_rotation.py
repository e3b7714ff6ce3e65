"""Cleanup and key rotation, on SQLite and on PostgreSQL (predecessor's faults 8 and 9)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy import event, text

from tests.data import KEY, OTHER_KEY, some_access_token
from tests.inside import mark_revoked, replace_row
from zaikio_oauth import DecryptionError, Settings, ZaikioOAuth
from zaikio_oauth.store.access_tokens import AccessTokenRepository
from zaikio_oauth.store.database import Database

PAST = datetime.now(UTC) - timedelta(minutes=1)
FUTURE = datetime.now(UTC) + timedelta(days=1)


def settings(database_url: str, *keys: str) -> Settings:
    client = {"client_id": "id", "client_secret": "secret"}
    return Settings(
        host="http://127.0.0.1:9",
        database_url=database_url,
        encryption_keys=keys or (KEY,),
        clients={"warehouse": client},
    )


@pytest.fixture
async def zaikio(database: Database, database_url: str) -> AsyncIterator[ZaikioOAuth]:
    async with ZaikioOAuth(settings(database_url)) as opened:
        yield opened


@pytest.fixture
def tokens(database: Database) -> AccessTokenRepository:
    return AccessTokenRepository(database)


@pytest.mark.parametrize(
    ("changes", "deleted"),
    [
        pytest.param({"expires_at": FUTURE}, 0, id="alive"),
        pytest.param(
            {"expires_at": FUTURE, "refresh_token": None, "refresh_expires_at": None}, 0, id="alive, no refresh"
        ),
        pytest.param({"expires_at": PAST, "refresh_expires_at": FUTURE}, 0, id="expired, refreshable"),
        pytest.param(
            {"expires_at": PAST, "refresh_expires_at": None}, 0, id="expired, refreshable for who knows how long"
        ),
        pytest.param({"expires_at": PAST, "refresh_expires_at": PAST}, 1, id="expired, refresh token too"),
        pytest.param({"expires_at": PAST, "refresh_token": None, "refresh_expires_at": None}, 1, id="expired for good"),
    ],
)
async def test_only_unusable_tokens_are_deleted(
    zaikio: ZaikioOAuth, tokens: AccessTokenRepository, changes: dict[str, Any], deleted: int
) -> None:
    """The gem deleted tokens by age alone, and kept client-credentials tokens for a week."""
    stored = await tokens.add(some_access_token(**changes))

    assert await zaikio.cleanup_access_tokens() == deleted
    assert bool(await tokens.get(stored.id)) is not bool(deleted)


async def test_revoked_tokens_are_deleted(zaikio: ZaikioOAuth, tokens: AccessTokenRepository) -> None:
    """A revoked token is deleted even if it has not expired."""
    await tokens.add(some_access_token(jti="gone"))
    await mark_revoked(zaikio, ["gone"])

    assert await zaikio.cleanup_access_tokens() == 1


async def test_many_tokens_are_deleted_in_batches(
    zaikio: ZaikioOAuth, tokens: AccessTokenRepository, database: Database
) -> None:
    """Other callers can read and write during the cleanup, because each statement deletes one batch."""
    useless = await tokens.add(some_access_token(expires_at=PAST, refresh_token=None))
    kept = await tokens.add(some_access_token())
    others = ", ".join(column.name for column in database.tables.access_tokens.c if column.name != "id")
    copy = (
        f"INSERT INTO zaikio_access_tokens (id, {others}) SELECT :prefix || id, {others}"
        " FROM zaikio_access_tokens WHERE refresh_token IS NULL"
    )
    async with database.engine.connect() as connection:
        for doubling in range(11):
            shorten = copy.replace(":prefix || id", f"substr('{doubling:x}' || id, 1, 36)")
            await connection.execute(text(shorten))
    assert useless

    reads = 0

    async def read() -> None:
        nonlocal reads
        while True:
            assert await tokens.get(kept.id)
            await replace_row(tokens, kept)
            reads += 1
            await asyncio.sleep(0.005)

    reading = asyncio.create_task(read())
    while not reads:
        await asyncio.sleep(0.001)
    deleted = await zaikio.cleanup_access_tokens()
    reading.cancel()
    await asyncio.wait([reading])

    assert deleted == 2048
    assert reads > 0
    assert await zaikio.cleanup_access_tokens() == 0


async def test_a_new_key_replaces_the_old_one(
    tokens: AccessTokenRepository, database: Database, database_url: str
) -> None:
    """The new key is put first, all tokens are encrypted again, and then the old key can be removed."""
    stored = [await tokens.add(some_access_token(refresh_token=refresh)) for refresh in ("again", None, "again")]
    async with ZaikioOAuth(settings(database_url, OTHER_KEY, KEY)) as rotating:
        assert await rotating.rotate_encryption_keys() == 3
        assert await rotating.rotate_encryption_keys() == 0
    async with ZaikioOAuth(settings(database_url, OTHER_KEY)) as rotated:
        for token in stored:
            assert await rotated.find_active_access_token(token.id) == token


async def test_an_interrupted_rotation_can_be_continued(
    tokens: AccessTokenRepository, database: Database, database_url: str
) -> None:
    """Rows that already use the new key are not encrypted again."""
    for _ in range(5):
        await tokens.add(some_access_token())
    rekeyed = Database(str(database.engine.url.render_as_string(hide_password=False)), [OTHER_KEY, KEY])
    first = await AccessTokenRepository(rekeyed).reencrypt("", 2)
    await rekeyed.aclose()
    assert (first.changed, bool(first.last)) == (2, True)

    async with ZaikioOAuth(settings(database_url, OTHER_KEY, KEY)) as rotating:
        assert await rotating.rotate_encryption_keys() == 3


async def test_a_batch_is_written_by_one_statement(tokens: AccessTokenRepository, database: Database) -> None:
    """However many rows it has, with and without refresh tokens; a row under the first key is not written."""
    for number in range(60):
        await tokens.add(some_access_token(refresh_token="again" if number % 3 else None))
    rekeyed = Database(str(database.engine.url.render_as_string(hide_password=False)), [OTHER_KEY, KEY])
    rotating = AccessTokenRepository(rekeyed)
    await rotating.add(some_access_token())
    sent: list[str] = []
    event.listen(
        rekeyed.engine.sync_engine, "before_cursor_execute", lambda _connection, _cursor, sql, *_: sent.append(sql)
    )

    done = await rotating.reencrypt("", 100)
    again = await rotating.reencrypt("", 100)
    await rekeyed.aclose()

    assert (done.changed, again.changed) == (60, 0)
    assert [statement.split()[0] for statement in sent] == ["SELECT", "UPDATE", "SELECT"]


async def test_an_undecryptable_row_does_not_stop_the_rotation(
    tokens: AccessTokenRepository, database: Database, database_url: str
) -> None:
    """All other rows are encrypted again. The row is kept, and the error names it."""
    stored = [await tokens.add(some_access_token()) for _ in range(3)]
    async with database.engine.connect() as connection:
        await connection.execute(
            text("UPDATE zaikio_access_tokens SET token = 'garbage' WHERE id = :id"), {"id": stored[0].id}
        )
    async with ZaikioOAuth(settings(database_url, OTHER_KEY, KEY)) as rotating:
        with pytest.raises(DecryptionError, match=stored[0].id):
            await rotating.rotate_encryption_keys()
    async with ZaikioOAuth(settings(database_url, OTHER_KEY)) as rotated:
        assert [bool(await rotated.find_active_access_token(token.id)) for token in stored[1:]] == [True, True]


async def test_a_rotation_does_not_undo_a_concurrent_refresh(tokens: AccessTokenRepository, database: Database) -> None:
    """The rotation must not overwrite the token that a refresh has just stored."""
    stored = [await tokens.add(some_access_token()) for _ in range(20)]
    rekeyed = Database(str(database.engine.url.render_as_string(hide_password=False)), [OTHER_KEY, KEY])
    rotating = AccessTokenRepository(rekeyed)

    async def refresh() -> None:
        for token in stored:
            await replace_row(rotating, token.model_copy(update={"token": "the-secret-next"}))

    await asyncio.gather(rotating.reencrypt("", 100), refresh())

    found = [await rotating.get(token.id) for token in stored]
    await rekeyed.aclose()
    assert {each.access_token.token for each in found if each} == {"the-secret-next"}


async def test_a_rotation_does_not_bring_back_a_dropped_refresh_token(
    tokens: AccessTokenRepository, database: Database
) -> None:
    """The Hub has refused it after the rotation has read the row."""
    # The rotation goes by id, so the last rows are dropped before it comes to them.
    ids = sorted([(await tokens.add(some_access_token())).id for _ in range(20)], reverse=True)
    rekeyed = Database(str(database.engine.url.render_as_string(hide_password=False)), [OTHER_KEY, KEY])
    rotating = AccessTokenRepository(rekeyed)
    refused = [await rotating.get(token_id) for token_id in ids]

    async def drop() -> None:
        for row in filter(None, refused):
            await rotating.drop_refresh_token(row)

    await asyncio.gather(rotating.reencrypt("", 100), drop())

    found = [await rotating.get(token_id) for token_id in ids]
    await rekeyed.aclose()
    assert {each.access_token.refresh_token for each in found if each} == {None}


async def test_a_scheduler_in_the_app_can_clean_up(zaikio: ZaikioOAuth, tokens: AccessTokenRepository) -> None:
    """The example in the documentation works with APScheduler."""
    await tokens.add(some_access_token(expires_at=PAST, refresh_token=None))
    scheduler = AsyncIOScheduler(timezone="UTC")
    scheduler.add_job(zaikio.cleanup_access_tokens, "interval", seconds=0.1)
    scheduler.start()
    await asyncio.sleep(0.6)
    scheduler.shutdown()

    assert await zaikio.cleanup_access_tokens() == 0
