"""Whether the keys decrypt what is stored, by a sample."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy import insert, text

from tests.data import KEY, OTHER_KEY, some_access_token
from zaikio_oauth.store.access_tokens import AccessTokenRepository
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.key_sample import sample_keys


def with_keys(database: Database, *keys: str) -> Database:
    return Database(database.engine.url.render_as_string(hide_password=False), keys)


async def test_the_sample_tells_what_each_key_is_good_for(database: Database) -> None:
    """Under the first key, under another one, under none; and a ciphertext that was copied from another row."""
    tokens = [await AccessTokenRepository(database).add(some_access_token()) for _ in range(3)]
    rotating, lost = with_keys(database, OTHER_KEY, KEY), with_keys(database, OTHER_KEY)
    found = [await sample_keys(each, 100) for each in (database, rotating, lost)]
    for each in (rotating, lost):
        await each.aclose()
    async with database.engine.connect() as connection:
        copy = "UPDATE zaikio_access_tokens SET token = (SELECT token FROM zaikio_access_tokens WHERE id = :a) WHERE id = :b"
        await connection.execute(text(copy), {"a": tokens[0].id, "b": tokens[1].id})
    copied = await sample_keys(database, 100)

    assert [(each.size, len(each.undecryptable), each.under_other_keys) for each in found] == [
        (3, 0, 0),
        (3, 0, 3),
        (3, 3, 0),
    ]
    assert (copied.undecryptable, copied.under_other_keys) == ((tokens[1].id,), 0)


async def test_the_sample_is_small_and_random(database: Database) -> None:
    """However many rows there are, so many are read, each time others; a small table is read to the last row."""
    now = datetime.now(UTC)
    row = {"audience": "a", "bearer_type": "Person", "bearer_id": "b", "scopes": ",", "requested_scopes": ","}
    row |= {"token": "not ours", "version": 1, "expires_at": now, "created_at": now, "updated_at": now}
    rows = [row | {"id": str(uuid.uuid4())} for _ in range(300)]
    async with database.engine.connect() as connection:
        await connection.execute(insert(database.tables.access_tokens), rows)
    samples = [await sample_keys(database, 20) for _ in range(10)]

    assert {(each.size, len(set(each.undecryptable))) for each in samples} == {(20, 20)}
    assert len({name for each in samples for name in each.undecryptable}) > 60
    assert len(set((await sample_keys(database, 300)).undecryptable)) == 300
