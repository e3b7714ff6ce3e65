"""Which organizations have connected the app, and which of them must do it again?"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text

from tests.data import KEY, ORGANIZATION_ID, PERSON_ID, some_access_token, some_client, some_on_behalf_of
from tests.inside import engine_of, mark_revoked, parts_of
from zaikio_oauth import AccessToken, Connection, Settings, UnknownClientError, ZaikioOAuth
from zaikio_oauth.store.tables import Tables

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def zaikio(database_url: str) -> AsyncIterator[ZaikioOAuth]:
    """Yield an instance whose Hub cannot be reached, with the clients ``warehouse`` and ``kiosk``."""
    settings = Settings(
        host="http://127.0.0.1:9",
        database_url=database_url,
        encryption_keys=[KEY],
        clients={"warehouse": some_client(), "kiosk": {"client_id": "kiosk-id"}},
        auto_migrate=True,
        cache_ttl=0,
    )
    async with ZaikioOAuth(settings) as opened:
        yield opened


async def connect(zaikio: ZaikioOAuth, bearer_id: str = ORGANIZATION_ID, **changes: Any) -> AccessToken:
    """Store what an organization's connection gives."""
    token = some_access_token(**{"bearer_type": "Organization", "bearer_id": bearer_id, "jti": None} | changes)
    return await (await parts_of(zaikio)).access_tokens.add(token)


async def listed(zaikio: ZaikioOAuth, *arguments: Any, **named: Any) -> list[Connection]:
    return [connection async for connection in zaikio.connections(*arguments, **named)]


async def health(zaikio: ZaikioOAuth) -> dict[str, str]:
    return {connection.bearer_id: connection.health for connection in await listed(zaikio)}


async def test_a_connection_shows_everything_but_its_token(zaikio: ZaikioOAuth) -> None:
    """All fields of the contract, and nothing that must not be shown."""
    token = await connect(zaikio)

    (connection,) = await listed(zaikio)

    assert connection == Connection(
        access_token_id=token.id,
        client_name="warehouse",
        bearer_type="Organization",
        bearer_id=ORGANIZATION_ID,
        scopes=token.scopes,
        connected_at=token.created_at,
        refreshed_at=None,
        expires_at=token.expires_at,
        refresh_expires_at=token.refresh_expires_at,
        health="ok",
    )
    assert "secret" not in repr(connection)
    assert not hasattr(connection, "token")
    with pytest.raises(AttributeError):
        connection.health = "lost"  # type: ignore[misc]


DYING = {"refresh_expires_at": now() + 23 * HOUR}
DEAD = {"refresh_expires_at": now() - HOUR, "expires_at": now() - HOUR}
BY_CLIENT_CREDENTIALS = {"refresh_token": None, "refresh_expires_at": None}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, "ok", id="a week"),
        pytest.param({"refresh_expires_at": now() + 26 * HOUR}, "ok", id="more than a day"),
        pytest.param(DYING, "ageing", id="less than a day"),
        pytest.param(DYING | {"expires_at": now() - HOUR}, "ageing", id="less than a day, token expired"),
        pytest.param(DEAD, "lost", id="refresh token expired"),
        pytest.param({"refresh_expires_at": now() - HOUR}, "lost", id="refresh token expired, token lives"),
        pytest.param({"refresh_expires_at": None}, "ok", id="refreshable for who knows how long"),
        pytest.param(BY_CLIENT_CREDENTIALS, "ok", id="client credentials"),
        pytest.param(BY_CLIENT_CREDENTIALS | {"expires_at": now() - HOUR}, "ok", id="client credentials, expired"),
    ],
)
async def test_the_health_of_a_connection(zaikio: ZaikioOAuth, changes: dict[str, Any], expected: str) -> None:
    """It says whether somebody must connect again, soon or now."""
    await connect(zaikio, **changes)

    assert await health(zaikio) == {ORGANIZATION_ID: expected}


@pytest.mark.parametrize("refresh_expires_at", [now() + DAY * 7, None])
async def test_what_the_hub_has_refused_is_lost(zaikio: ZaikioOAuth, refresh_expires_at: datetime | None) -> None:
    """The access token may live on for a while, but cannot be renewed."""
    token = await connect(zaikio, refresh_expires_at=refresh_expires_at)
    parts = await parts_of(zaikio)
    stored = await parts.access_tokens.get(token.id)
    assert stored is not None
    assert await health(zaikio) == {ORGANIZATION_ID: "ok"}

    await parts.access_tokens.drop_refresh_token(stored)

    assert await health(zaikio) == {ORGANIZATION_ID: "lost"}


@pytest.mark.parametrize("changes", [{}, BY_CLIENT_CREDENTIALS], ids=["refreshable", "client credentials"])
async def test_what_the_hub_has_revoked_is_lost(zaikio: ZaikioOAuth, changes: dict[str, Any]) -> None:
    """The organization has removed the app at Zaikio."""
    await connect(zaikio, jti="revoked", **changes)

    await mark_revoked(zaikio, ["revoked"])

    assert await health(zaikio) == {ORGANIZATION_ID: "lost"}


async def test_the_newest_grant_counts(zaikio: ZaikioOAuth) -> None:
    """One connection per client and bearer; an organization that has connected again is not lost any more."""
    await connect(zaikio, created_at=now() - 3 * DAY)
    await connect(zaikio, created_at=now() - 2 * DAY, jti="old")
    newest = await connect(zaikio, created_at=now() - DAY, scopes=("zaikio.organization.r",))
    await connect(zaikio, created_at=now() - 5 * DAY)
    await mark_revoked(zaikio, ["old"])

    (connection,) = await listed(zaikio)

    assert (connection.access_token_id, connection.health) == (newest.id, "ok")
    assert connection.scopes == ("zaikio.organization.r",)


async def test_only_the_bearers_own_grants_of_that_client_are_listed(zaikio: ZaikioOAuth) -> None:
    """Neither other clients', nor what a person got on behalf of an organization, nor what was delegated."""
    await connect(zaikio, "organization")
    await connect(zaikio, "kiosk-organization", audience="kiosk")
    await connect(zaikio, PERSON_ID, bearer_type="Person")
    await connect(zaikio, "behalf", on_behalf_of=some_on_behalf_of())
    await connect(zaikio, "delegated", delegated_from="another")

    assert list(await health(zaikio)) == ["organization"]
    assert [each.bearer_id for each in await listed(zaikio, "kiosk")] == ["kiosk-organization"]
    assert [each.bearer_id for each in await listed(zaikio, bearer_type="Person")] == [PERSON_ID]
    with zaikio.with_client("kiosk"):
        assert list(await health(zaikio)) == ["kiosk-organization"]


async def test_what_cannot_be_listed(zaikio: ZaikioOAuth) -> None:
    """The errors say which clients and types there are, at the call."""
    with pytest.raises(UnknownClientError, match="warehouse"):
        zaikio.connections("no-such-client")
    with pytest.raises(ValueError, match="'Person' or 'Organization', not 'person'"):
        zaikio.connections(bearer_type="person")
    assert await listed(zaikio, "kiosk") == []


async def test_a_row_that_no_key_decrypts_is_listed(zaikio: ZaikioOAuth) -> None:
    """Nothing is decrypted, so a lost key hides no connection."""
    await connect(zaikio)
    async with (await engine_of(zaikio)).connect() as connection:
        await connection.execute(text("UPDATE zaikio_access_tokens SET token = 'garbage', refresh_token = 'garbage'"))

    assert await health(zaikio) == {ORGANIZATION_ID: "ok"}


# ── after a cleanup ────────────────────────────────────────────────────────────────────────────────


async def test_a_lost_connection_is_listed_after_its_token_was_deleted(zaikio: ZaikioOAuth) -> None:
    """The nightly cleanup deletes what can never be used again, but the support page still has to name it."""
    await connect(zaikio, "expired", **DEAD)
    await connect(zaikio, "revoked", jti="revoked", created_at=now() - DAY)
    await connect(zaikio, "healthy")
    await mark_revoked(zaikio, ["revoked"])
    before = await listed(zaikio)

    assert await zaikio.cleanup_access_tokens() == 2
    assert await zaikio.cleanup_access_tokens() == 0

    assert await health(zaikio) == {"expired": "lost", "revoked": "lost", "healthy": "ok"}
    assert await listed(zaikio) == before


async def test_a_lost_connection_that_was_replaced_is_forgotten(zaikio: ZaikioOAuth) -> None:
    """By a cleanup as well, so that it does not come back when the new grant has ended."""
    await connect(zaikio, "before the cleanup", **DEAD)
    await connect(zaikio, "after the cleanup", **DEAD)
    await zaikio.cleanup_access_tokens()
    again = await connect(zaikio, "after the cleanup", jti="again", refresh_token=None, refresh_expires_at=None)
    assert await health(zaikio) == {"before the cleanup": "lost", "after the cleanup": "ok"}

    await zaikio.cleanup_access_tokens()
    await (await parts_of(zaikio)).access_tokens.delete(again.id)

    assert await health(zaikio) == {"before the cleanup": "lost"}


async def test_a_token_by_client_credentials_replaces_a_lost_grant(zaikio: ZaikioOAuth) -> None:
    """It was obtained afterwards, so nobody has to connect; also if both are deleted in one cleanup."""
    await connect(zaikio, created_at=now() - 2 * DAY, **DEAD)
    await zaikio.keep_alive()
    await connect(zaikio, **BY_CLIENT_CREDENTIALS | {"expires_at": now() - timedelta(seconds=1)})

    assert await zaikio.cleanup_access_tokens() == 2

    assert await health(zaikio) == {}


async def test_a_grant_that_was_lost_after_a_short_lived_token_is_kept_as_lost(zaikio: ZaikioOAuth) -> None:
    """The token by client credentials, long expired, shows nothing about now."""
    await connect(zaikio, created_at=now() - 2 * DAY, **DEAD)
    await connect(zaikio, **BY_CLIENT_CREDENTIALS | {"expires_at": now() - HOUR, "created_at": now() - 2 * HOUR})

    assert await zaikio.cleanup_access_tokens() == 2

    assert await health(zaikio) == {ORGANIZATION_ID: "lost"}


async def test_what_the_app_itself_revokes_is_not_lost(zaikio: ZaikioOAuth) -> None:
    """It wanted to be disconnected, from all that there is of this organization, deleted by a cleanup or not."""
    first = await connect(zaikio, "deleted", **DEAD)
    await connect(zaikio, "another", **DEAD)
    await zaikio.cleanup_access_tokens()
    await connect(zaikio, "stored", created_at=now() - DAY, **DEAD)
    newest = await connect(zaikio, "stored", expires_at=now() - HOUR, refresh_token=None)
    await zaikio.keep_alive()

    await zaikio.revoke(first)
    await zaikio.revoke(newest)

    assert await health(zaikio) == {"another": "lost"}


async def test_a_person_who_was_lost_is_not_remembered(zaikio: ZaikioOAuth) -> None:
    """A person who has not come back logs in again; nothing about them is kept."""
    await connect(zaikio, PERSON_ID, bearer_type="Person", **DEAD)
    assert [each.health for each in await listed(zaikio, bearer_type="Person")] == ["lost"]

    assert await zaikio.cleanup_access_tokens() == 1

    assert await listed(zaikio, bearer_type="Person") == []


async def test_a_lost_connection_is_remembered_for_90_days(zaikio: ZaikioOAuth) -> None:
    """Then even the support page has forgotten it."""
    await connect(zaikio, **DEAD)
    await zaikio.cleanup_access_tokens()
    for days, expected in ((89, {ORGANIZATION_ID: "lost"}), (91, {})):
        lost_at = Tables().lost_connections.update().values(lost_at=now() - days * DAY)
        async with (await engine_of(zaikio)).connect() as connection:
            await connection.execute(lost_at)
        await zaikio.cleanup_access_tokens()
        assert await health(zaikio) == expected


# ── many of them ───────────────────────────────────────────────────────────────────────────────────


async def connect_many(zaikio: ZaikioOAuth, count: int) -> None:
    """Store this many connections, and an older grant of every third of these bearers."""
    tables, created = Tables(), now()
    row = {
        "audience": "warehouse",
        "bearer_type": "Organization",
        "scopes": ",zaikio.organization.r,",
        "requested_scopes": ",zaikio.organization.r,",
        "token": "x" * 1200,
        "refresh_token": "x" * 200,
        "version": 1,
        "expires_at": created + HOUR,
        "refresh_expires_at": created + 7 * DAY,
        "updated_at": created,
    }
    rows = [
        row | {"id": f"{kind}-{number:06}", "bearer_id": f"organization-{number:06}", "created_at": created - age}
        for kind, age, step in (("new", 0 * DAY, 1), ("old", DAY, 3))
        for number in range(0, count, step)
    ]
    async with (await engine_of(zaikio)).begin() as connection:
        await connection.execute(insert(tables.access_tokens), rows)


async def test_many_connections_are_read_in_pages(zaikio: ZaikioOAuth) -> None:
    """Each of 5,000 comes once, in order, and what is in memory does not grow with their number."""
    await connect_many(zaikio, 5_000)

    # A timer that is due earlier keeps the cancelled ones of our statements, and what these hold.
    asyncio.get_running_loop().call_later(3, str)
    tracemalloc.start()
    count, after, kept = 0, "", []
    async for connection in zaikio.connections():
        assert connection.bearer_id > after
        assert connection.access_token_id.startswith("new-")
        count, after = count + 1, connection.bearer_id
        if count in (750, 4_750):
            gc.collect()
            kept.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()

    assert count == 5_000
    # 4,000 of them would be three megabytes.
    assert kept[1] - kept[0] < 500_000


async def test_no_connection_to_the_database_is_held_between_two(
    zaikio: ZaikioOAuth, make_settings: Callable[..., Settings]
) -> None:
    """A loop that takes its time, or is left halfway, keeps nothing from others and stops no shutdown."""
    await connect_many(zaikio, 1_200)
    pool = (await engine_of(zaikio)).pool

    iterator = zaikio.connections()
    async for _ in iterator:
        assert pool.checkedout() == 0
        break
    changed = await connect(zaikio, "organization-000700", created_at=now() + HOUR)
    rest = [connection async for connection in iterator]

    assert len(rest) == 1_199
    # What was read before is not read again, and what comes later is as it is now.
    assert rest[699].access_token_id == changed.id
