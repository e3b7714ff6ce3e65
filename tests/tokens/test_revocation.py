"""``revoke`` and logout: what is stored at that moment ends at the Hub, whoever holds what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import text

from tests.apps import small_app
from tests.data import OTHER_KEY
from tests.inside import engine_of
from tests.visitor import Visitor
from zaikio_oauth import AccessToken, HubUnavailableError, InvalidGrantError, Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub


def alive(hub: LocalHub) -> list[str]:
    """Return the ids of the tokens that the Hub still accepts, or whose refresh token it still accepts."""
    grants = hub.grants
    access = [issued.jti for issued in grants._tokens.values() if grants.find(issued.token)]
    refresh = [
        issued.jti
        for issued in grants._refresh_tokens.values()
        if grants.find_refresh_token(issued.refresh_token or "", issued.client_id)
    ]
    return access + refresh


async def logged_in(zaikio: ZaikioOAuth, hub: LocalHub, lifetime: float = 3600) -> tuple[Visitor, AccessToken]:
    """Return a visitor who is logged in, and their token, which lives so many seconds."""
    hub.auto_consent(person_id=hub.people[0].id)
    hub.access_token_lifetime = lifetime
    visitor = Visitor(small_app(zaikio))
    await visitor.log_in(force_login="true")
    hub.access_token_lifetime = 3600
    async with (await engine_of(zaikio)).connect() as connection:
        rows = await connection.execute(text("SELECT id FROM zaikio_access_tokens ORDER BY created_at DESC"))
        token_id = rows.scalars().first()
    assert visitor.session["zaikio_access_token_id"] == token_id
    token = await zaikio.find_active_access_token(token_id, valid_for=-1)
    assert token is not None
    return visitor, token


@pytest.fixture
async def elsewhere(make_settings: Callable[..., Settings], zaikio: ZaikioOAuth) -> AsyncIterator[ZaikioOAuth]:
    """Yield an object that shares the database, but no memory, as another process does."""
    async with ZaikioOAuth(make_settings()) as opened:
        yield opened


async def test_what_another_process_has_refreshed_is_revoked(
    zaikio: ZaikioOAuth, elsewhere: ZaikioOAuth, hub: LocalHub
) -> None:
    """The caller holds an old value, which the Hub also accepts until it expires."""
    visitor, token = await logged_in(zaikio, hub)
    await elsewhere.refresh(token)

    await zaikio.revoke(token)

    assert alive(hub) == []
    # The one by which it was refreshed: a token that still lives is revoked as it is.
    assert hub.count(grant_type="refresh_token") == 1
    assert await elsewhere.find_active_access_token(token.id) is None
    await visitor.aclose()


async def test_a_logout_revokes_what_another_process_has_refreshed(
    zaikio: ZaikioOAuth, elsewhere: ZaikioOAuth, hub: LocalHub
) -> None:
    """What this process has read before does not matter."""
    visitor, token = await logged_in(zaikio, hub)
    assert (await visitor.get("/me")).status_code == 200
    fresh = await elsewhere.refresh(token)

    await visitor.app.delete("/zaikio/session")

    assert fresh.jti in hub.grants.revoked()
    assert (await visitor.get("/me")).status_code == 401
    await visitor.aclose()


@pytest.mark.parametrize("by", ["revoke", "logout"])
async def test_a_grant_whose_token_has_expired_ends_too(zaikio: ZaikioOAuth, hub: LocalHub, by: str) -> None:
    """Its refresh token would live on for a week. What the Hub gives for it is revoked and never stored."""
    visitor, token = await logged_in(zaikio, hub, lifetime=0)
    assert alive(hub) == [token.jti]

    await (zaikio.revoke(token) if by == "revoke" else visitor.app.delete("/zaikio/session"))

    assert alive(hub) == []
    assert len(hub.grants.revoked()) == 1
    assert hub.count(grant_type="refresh_token") == 1
    assert await zaikio.find_active_access_token(token.id) is None
    await visitor.aclose()


async def test_a_refresh_token_that_the_hub_no_longer_accepts_needs_no_revocation(
    zaikio: ZaikioOAuth, hub: LocalHub
) -> None:
    """The grant has ended at the Hub already, so nothing has gone wrong."""
    visitor, token = await logged_in(zaikio, hub, lifetime=0)
    hub.spend_refresh_tokens()

    await zaikio.revoke(token)

    assert await zaikio.find_active_access_token(token.id, valid_for=-1) is None
    await visitor.aclose()


async def test_a_value_whose_grant_is_gone_is_revoked(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The caller holds it, and the Hub accepts it."""
    visitor, token = await logged_in(zaikio, hub)
    async with (await engine_of(zaikio)).connect() as connection:
        await connection.execute(text("DELETE FROM zaikio_access_tokens"))

    await zaikio.revoke(token)

    assert alive(hub) == []
    await visitor.aclose()


async def test_a_logout_never_loses_a_race_against_a_refresh(
    zaikio: ZaikioOAuth, elsewhere: ZaikioOAuth, hub: LocalHub
) -> None:
    """Whichever is first, nothing that the Hub has issued lives on."""
    pairs = [await logged_in(zaikio, hub, lifetime=20) for _ in range(12)]

    async def later(seconds: float, visitor: Visitor) -> None:
        await asyncio.sleep(seconds)
        await visitor.app.delete("/zaikio/session")

    outcomes = await asyncio.gather(
        *(elsewhere.refresh(token) for _, token in pairs),
        *(later(number * 0.008, visitor) for number, (visitor, _) in enumerate(pairs)),
        return_exceptions=True,
    )

    unexpected = [each for each in outcomes if isinstance(each, Exception) and not isinstance(each, InvalidGrantError)]
    assert unexpected == []
    fresh = {token.jti for token in outcomes if isinstance(token, AccessToken)}
    assert fresh.isdisjoint(alive(hub))
    assert {issued.jti for issued in hub.grants._refresh_tokens.values()} == set()
    for visitor, _ in pairs:
        await visitor.aclose()


async def test_a_row_that_no_key_decrypts_is_deleted_by_a_logout(
    make_settings: Callable[..., Settings], zaikio: ZaikioOAuth, hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says that its token cannot be revoked."""
    visitor, token = await logged_in(zaikio, hub)
    async with ZaikioOAuth(make_settings(encryption_keys=[OTHER_KEY])) as without_the_key:
        other = Visitor(small_app(without_the_key))
        await other.app.post("/remember", json={"zaikio_access_token_id": token.id})
        assert (await other.app.delete("/zaikio/session")).status_code == 303
        await other.aclose()
    await visitor.aclose()

    async with (await engine_of(zaikio)).connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM zaikio_access_tokens"))).scalar_one() == 0
    assert f"Access token {token.id} is deleted, but cannot be revoked at the Hub" in caplog.text


async def test_a_logout_that_the_hub_does_not_take_is_in_the_log(
    zaikio: ZaikioOAuth, hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    """The person is logged out, and the warning names the grant."""
    visitor, token = await logged_in(zaikio, hub)
    hub.fail("/api/v1/revoked_access_tokens", status=400, body={"error": "invalid_request"}, times=None)

    assert (await visitor.app.delete("/zaikio/session")).status_code == 303

    await visitor.aclose()
    assert f"Access token {token.id} is no longer stored, but was not revoked at the Hub" in caplog.text


async def test_revoking_ends_within_its_deadline(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The caller hears of a Hub that does not answer; the grant is deleted, and the revocation goes on."""
    visitor, token = await logged_in(zaikio, hub, lifetime=0)
    hub.fail("refresh_token", latency=6)

    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(HubUnavailableError):
        await zaikio.revoke(token)
    assert loop.time() - started < 8
    assert await zaikio.find_active_access_token(token.id) is None

    for _ in range(50):
        if hub.grants.revoked():
            break
        await asyncio.sleep(0.1)
    assert alive(hub) == []
    await visitor.aclose()
