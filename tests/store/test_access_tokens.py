"""The stored tokens, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from tests.data import OTHER_KEY, PERSON_ID, some_access_token, some_on_behalf_of
from tests.inside import replace_row
from zaikio_oauth import AccessToken, DecryptionError
from zaikio_oauth.settings.retries_and_waits import STATEMENT_DEADLINE
from zaikio_oauth.store.access_tokens import AccessTokenRepository, TokenSearch
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.stored_token import StoredToken
from zaikio_oauth.store.token_cache import TokenCache

SEARCH = TokenSearch("warehouse", "Person", PERSON_ID, ("zaikio.person.r",))
HALF_A_MINUTE = timedelta(seconds=30)


@pytest.fixture
def repository(database: Database) -> AccessTokenRepository:
    return AccessTokenRepository(database)


async def raw_rows(database: Database, table: str = "zaikio_access_tokens") -> list[dict[str, Any]]:
    """Return the rows of the table without the conversions of the column types."""
    async with database.engine.connect() as connection:
        return [dict(row._mapping) for row in await connection.execute(text(f"SELECT * FROM {table}"))]  # noqa: S608


async def test_a_token_is_read_as_it_was_stored(repository: AccessTokenRepository) -> None:
    """Every attribute is equal, datetimes are in UTC with microseconds, and the id is our own."""
    token = some_access_token(
        bearer_type="Organization",
        on_behalf_of=some_on_behalf_of(),
        delegated_from="6f0e1a6e-0c6b-4f0a-8d2e-2d4c0f1f5a11",
    )

    stored = await repository.add(token)
    found = await repository.get(stored.id)

    assert found is not None
    assert found.access_token == token.model_copy(update={"id": stored.id})
    assert found.access_token.expires_at.tzinfo is not None
    assert len(stored.id) == 36


def postgresql(database: Database) -> bool:
    """Return True if this is not SQLite."""
    return database.engine.dialect.name == "postgresql"


async def test_each_statement_is_built_once(database: Database, repository: AccessTokenRepository) -> None:
    """To build one takes several times as long as to send it, whichever token, bearer or scope it is about."""
    built: list[Any] = []
    event.listen(
        database.engine.sync_engine, "before_execute", lambda _connection, clause, *_values: built.append(clause)
    )

    async def everything(token: AccessToken) -> None:
        search = TokenSearch(token.audience, "Person", token.bearer_id, token.scopes)
        stored = await repository.add(token)
        assert await repository.find_usable(search, HALF_A_MINUTE)
        assert not await repository.find_longest(search, timedelta(hours=2))
        assert await repository.find_refreshable(search)
        row = await replace_row(repository, stored)
        assert row is not None
        await repository.postpone_renewal(row)
        await repository.drop_refresh_token(row)
        await repository.delete(stored.id)

    await everything(some_access_token())
    first = len(built)
    await everything(some_access_token(bearer_id="another", scopes=("mill.jobs.r",), requested_scopes=("mill.jobs.r",)))
    await everything(some_access_token(scopes=("press.jobs.r",), requested_scopes=("press.jobs.r",)))

    again = built[first:]
    assert len(again) == 2 * first
    # A search for another number of scopes is another statement.
    assert len({id(clause) for clause in again} - {id(clause) for clause in built[:first]}) == 3


async def test_an_issued_token_is_stored_after_a_temporary_failure(
    database: Database, repository: AccessTokenRepository
) -> None:
    """This applies to new and refreshed tokens, because the code or refresh token is used up."""
    stored = await repository.add(some_access_token())
    row = await repository.get(stored.id)
    assert row is not None

    async with database.engine.connect() as connection:
        await connection.execution_options(isolation_level="READ COMMITTED" if postgresql(database) else "SERIALIZABLE")
        lock = "LOCK TABLE zaikio_access_tokens" if postgresql(database) else "BEGIN IMMEDIATE"
        await connection.execute(text(lock))
        storing = asyncio.gather(
            repository.add(some_access_token(token="new")),
            repository.replace(row, stored.model_copy(update={"token": "refreshed"})),
        )
        # Longer than a statement may take.
        await asyncio.sleep(STATEMENT_DEADLINE + 1)
        assert not storing.done()
        await connection.rollback()
    added, replaced = await asyncio.wait_for(storing, 10)

    assert replaced is not None
    assert len(await raw_rows(database)) == 2
    for token_id, token in ((added.id, "new"), (stored.id, "refreshed")):
        found = await repository.get(token_id)
        assert found is not None
        assert found.access_token.token == token


async def test_the_database_contains_no_plain_secret(database: Database, repository: AccessTokenRepository) -> None:
    """Both tokens are encrypted with Fernet, and the ciphertexts of the same token differ."""
    await repository.add(some_access_token())
    await repository.add(some_access_token())

    first, second = await raw_rows(database)
    assert "the-secret" not in repr((first, second))
    assert first["token"].startswith("gAAAA")
    assert first["refresh_token"].startswith("gAAAA")
    assert first["token"] != second["token"]


async def test_an_unknown_id_finds_nothing(repository: AccessTokenRepository) -> None:
    """Ids come from cookies, so they can be any text."""
    for name in ["", "no-uuid", "x" * 5000, "'; DROP TABLE zaikio_access_tokens; --", "ä\u2028"]:
        assert await repository.get(name) is None


async def test_an_undecryptable_row_is_kept_and_raises_an_error(
    database: Database, repository: AccessTokenRepository
) -> None:
    """The error names the row, so a lost key does not look like an empty store."""
    stored = await repository.add(some_access_token())
    other = Database(str(database.engine.url.render_as_string(hide_password=False)), [OTHER_KEY])
    locked = AccessTokenRepository(other)
    try:
        with pytest.raises(DecryptionError, match=stored.id) as caught:
            await locked.get(stored.id)
        assert caught.value.access_token_id == stored.id
        assert await locked.find_usable(SEARCH, HALF_A_MINUTE) is None
    finally:
        await other.aclose()
    assert await repository.get(stored.id)


async def test_the_newest_matching_token_is_found(repository: AccessTokenRepository) -> None:
    """It is the token that was stored last, even if another one expires later."""
    now = datetime.now(UTC)
    await repository.add(some_access_token(created_at=now - timedelta(hours=2), expires_at=now + timedelta(days=1)))
    newest = await repository.add(some_access_token())
    await repository.add(some_access_token(created_at=now - timedelta(hours=1)))

    found = await repository.find_usable(SEARCH, HALF_A_MINUTE)

    assert found is not None
    assert found.access_token.id == newest.id


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"audience": "another_app"}, id="another client"),
        pytest.param({"bearer_id": "another"}, id="another person"),
        pytest.param({"bearer_type": "Organization"}, id="an organization of that id"),
        pytest.param({"requested_scopes": ("zaikio.sites.rw",)}, id="other scopes"),
        pytest.param({"requested_scopes": ("my_zaikio.person.r",)}, id="a scope that ends alike"),
        pytest.param({"requested_scopes": ("zaikio.person.ro",)}, id="a scope that begins alike"),
        pytest.param({"expires_at": datetime.now(UTC) + timedelta(seconds=29)}, id="too short a life"),
        pytest.param({"on_behalf_of": some_on_behalf_of()}, id="acting on behalf"),
    ],
)
async def test_a_token_that_does_not_match_is_not_found(
    repository: AccessTokenRepository, changes: dict[str, Any]
) -> None:
    """The client, the bearer, the requested scopes and the remaining lifetime must match."""
    await repository.add(some_access_token(**changes))

    assert await repository.find_usable(SEARCH, HALF_A_MINUTE) is None


@pytest.mark.parametrize(
    ("requested", "asked"),
    [
        (("Org/42.zaikio.sites.r",), ["Org.zaikio.sites.r"]),
        (("zaikio.sites.rw",), ["zaikio.sites.r"]),
        (("directory.person.r",), ["zaikio.person.r"]),
        (("zaikio.person.r",), ["directory.person.r"]),
        (("a.b.r", "c.d.r", "e.f.r"), ["e.f.r", "a.b.r"]),
        (("a.b_c.r",), ["a.b_c.r"]),
        (("a.b.r",), []),
    ],
)
async def test_requested_scopes_match_without_their_prefixes(
    repository: AccessTokenRepository, requested: tuple[str, ...], asked: list[str]
) -> None:
    """The search compares the requested scopes, not the granted ones."""
    from zaikio_oauth import scopes  # noqa: PLC0415

    bare = tuple(scopes.unprefixed(scope) for scope in requested)
    await repository.add(some_access_token(requested_scopes=bare, scopes=()))

    assert await repository.find_usable(SEARCH._replace(requested_scopes=tuple(asked)), HALF_A_MINUTE)


async def test_an_underscore_is_not_a_wildcard(repository: AccessTokenRepository) -> None:
    """``a.b_c.r`` does not match ``a.bxc.r``."""
    await repository.add(some_access_token(requested_scopes=("a.bxc.r",)))

    assert await repository.find_usable(SEARCH._replace(requested_scopes=("a.b_c.r",)), HALF_A_MINUTE) is None


async def test_a_refresh_updates_the_row_and_keeps_its_id(
    database: Database, repository: AccessTokenRepository
) -> None:
    """The gem inserted a new row and deleted the old one, so every session with the old id was logged out."""
    stored = await repository.add(some_access_token())
    before = await repository.get(stored.id)
    fresh = stored.model_copy(
        update={"token": "the-secret-next", "refresh_token": "the-secret-next-refresh", "jti": "2"}
    )

    replaced = await replace_row(repository, fresh)
    after = await repository.get(stored.id)

    assert before is not None
    assert replaced == after
    assert after is not None
    assert after.access_token == fresh
    assert after.version == before.version + 1
    assert len(await raw_rows(database)) == 1


async def test_a_refreshed_grant_becomes_the_newest(repository: AccessTokenRepository) -> None:
    """The time of the last refresh determines which token is the newest."""
    now = datetime.now(UTC)
    old = await repository.add(some_access_token(created_at=now - timedelta(days=2)))
    await repository.add(some_access_token(created_at=now - timedelta(days=1)))

    await replace_row(repository, old)
    found = await repository.find_usable(SEARCH, HALF_A_MINUTE)

    assert found is not None
    assert found.access_token.id == old.id


async def test_a_refresh_does_not_restore_a_deleted_token(
    database: Database, repository: AccessTokenRepository
) -> None:
    """A logout during the refresh is final."""
    stored = await repository.add(some_access_token())

    await repository.delete(stored.id)
    assert await replace_row(repository, stored) is None
    await repository.delete(stored.id)
    assert await raw_rows(database) == []


async def test_a_used_refresh_token_is_removed_only_from_an_unchanged_row(repository: AccessTokenRepository) -> None:
    """If another process has refreshed the token in the meantime, the new refresh token is kept."""
    stored = await repository.add(some_access_token())
    read = await repository.get(stored.id)
    assert read is not None
    await replace_row(repository, stored.model_copy(update={"refresh_token": "the-secret-next"}))

    await repository.drop_refresh_token(read)
    now = await repository.get(stored.id)
    assert now is not None
    assert now.access_token.refresh_token == "the-secret-next"

    await repository.drop_refresh_token(now)
    last = await repository.get(stored.id)
    assert last is not None
    assert (last.access_token.refresh_token, last.access_token.refreshable()) == (None, False)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        pytest.param({}, True, id="alive"),
        pytest.param({"expires_at": datetime.now(UTC) - timedelta(days=3)}, True, id="access token long expired"),
        pytest.param({"refresh_token": None}, False, id="none"),
        pytest.param({"refresh_expires_at": datetime.now(UTC) - timedelta(seconds=1)}, False, id="too old"),
    ],
)
async def test_only_a_valid_refresh_token_is_found(
    repository: AccessTokenRepository, changes: dict[str, Any], found: bool
) -> None:
    """The refresh token has its own expiry, which does not depend on that of the access token."""
    await repository.add(some_access_token(**changes))

    assert bool(await repository.find_refreshable(SEARCH)) is found


async def test_many_tokens_can_be_stored_concurrently(repository: AccessTokenRepository) -> None:
    """SQLite allows one writer at a time. The others wait and do not fail."""
    stored: list[AccessToken] = await asyncio.gather(*(repository.add(some_access_token()) for _ in range(40)))

    assert len({token.id for token in stored}) == 40


@pytest.mark.parametrize(
    ("requested", "asked", "found"),
    [
        ("mill.jobs.r", "mill.jobs.r", True),
        ("mill.jobs.r", "mill.Jobs.r", False),
        ("Mill.jobs.r", "mill.jobs.r", False),
        ("mill.j_bs.r", "mill.j_bs.r", True),
        ("mill.jobs.r", "mill.j_bs.r", False),
        ("mill.jobs.r", "mill.j%.r", False),
        ("mill.jobs.rw", "mill.jobs.r", True),
        ("mill.jobs.r", "jobs.r", False),
        ("mühle.jobs.r", "MÜHLE.jobs.r", False),
        ("mill.j\\bs.r", "mill.j\\bs.r", True),
    ],
)
async def test_scopes_are_compared_exactly(
    repository: AccessTokenRepository, requested: str, asked: str, found: bool
) -> None:
    """On both databases alike: with their case, without wildcards, and as a whole."""
    await repository.add(some_access_token(requested_scopes=(requested, "mill.other.r")))

    usable = await repository.find_usable(SEARCH._replace(requested_scopes=(asked,)), HALF_A_MINUTE)

    assert (usable is not None) == found


async def test_a_token_that_is_kept_takes_little_memory(database: Database) -> None:
    """What many have in common is one object; with an access token of 900 letters each takes less than 3 kB."""
    tokens = AccessTokenRepository(database)
    added = [
        await tokens.add(some_access_token(token="x" * 900, jti=str(number), bearer_id=str(number)))
        for number in range(200)
    ]
    first, second = [await tokens.get(token.id) for token in added[:2]]
    assert first is not None and second is not None
    shared = [
        (token.access_token.scopes, token.access_token.audience, token.access_token.bearer_type)
        for token in (first, second)
    ]
    assert all(one is other for one, other in zip(*shared, strict=True))
    assert first.access_token.model_copy(update={"id": "other"}).model_fields_set is not (
        second.access_token.model_fields_set
    )

    cache: TokenCache[StoredToken] = TokenCache(60, labels=StoredToken.labels)
    gc.collect()
    tracemalloc.start()
    for token in added:
        stored = await tokens.get(token.id)
        assert stored is not None
        cache.put(token.id, stored, cache.reading())
    del stored
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken / len(added) < 3_000
