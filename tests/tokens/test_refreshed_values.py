"""What a refresh changes of a grant, and when there is nothing to refresh."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from tests.data import PERSON_ID, some_access_token
from tests.inside import engine_of, mark_revoked, parts_of
from tests.visitor import expiring_token
from zaikio_oauth import AccessToken, InvalidGrantError, Settings, StoreUnavailableError, TokenEvent, ZaikioOAuth
from zaikio_oauth.settings.retries_and_waits import LEASE_TAKE_OVER_GRACE
from zaikio_oauth.store.access_tokens import AccessTokenRepository, TokenSearch
from zaikio_oauth.store.database import Database
from zaikio_oauth.testing import LocalHub


def seconds_from_now(instant: datetime | None) -> float:
    """Return how far away an instant is."""
    assert instant is not None
    return (instant - datetime.now(UTC)).total_seconds()


@pytest.fixture
async def token(zaikio: ZaikioOAuth, hub: LocalHub) -> AccessToken:
    """Return a person's token that has to be refreshed."""
    return await expiring_token(zaikio, hub)


async def test_a_refresh_renews_both_expiries(zaikio: ZaikioOAuth, hub: LocalHub, token: AccessToken) -> None:
    """The access token lives for another hour, and the new refresh token for another seven days."""
    fresh = await zaikio.refresh(token)

    assert 3500 < seconds_from_now(fresh.expires_at) <= 3600
    assert fresh.refresh_expires_at is not None
    assert token.refresh_expires_at is not None
    assert fresh.refresh_expires_at > token.refresh_expires_at
    assert 6.9 < seconds_from_now(fresh.refresh_expires_at) / 86400 <= 7
    assert await zaikio.find_active_access_token(token.id) == fresh


async def test_a_grant_is_refreshed_again_and_again(zaikio: ZaikioOAuth, hub: LocalHub, token: AccessToken) -> None:
    """Each refresh uses the refresh token that the one before has brought, which works once."""
    values = {token.token}
    for _ in range(3):
        token = await zaikio.refresh(token)
        values.add(token.token)

    assert len(values) == 4
    assert hub.count(grant_type="refresh_token") == 3


async def test_grants_that_are_refreshed_at_once_get_their_own_tokens(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """Only those who want the same grant share a request."""
    tokens = [await expiring_token(zaikio, hub) for _ in range(3)]

    fresh = await asyncio.gather(*(zaikio.refresh(token) for token in tokens))

    assert [token.id for token in fresh] == [token.id for token in tokens]
    assert len({token.token for token in fresh}) == 3


async def test_a_refreshed_token_of_unknown_lifetime_lives_for_ten_minutes(
    zaikio: ZaikioOAuth, hub: LocalHub, token: AccessToken
) -> None:
    """Neither the response nor the opaque token says when it expires."""
    hub.fail("refresh_token", status=200, body={"access_token": "opaque", "refresh_token": "next"})

    assert 590 < seconds_from_now((await zaikio.refresh(token)).expires_at) <= 600


async def test_scopes_are_those_of_the_last_response_that_named_some(
    zaikio: ZaikioOAuth, hub: LocalHub, token: AccessToken
) -> None:
    """The Hub may grant fewer than before, and a response without scopes changes none (RFC 6749 §5.1, §6)."""
    assert token.scopes != ("zaikio.orders.r",)
    hub.fail("refresh_token", status=200, body={"access_token": "a", "refresh_token": "b", "scope": "zaikio.orders.r"})
    fewer = await zaikio.refresh(token)
    hub.fail("refresh_token", status=200, body={"access_token": "c", "refresh_token": "d"})
    again = await zaikio.refresh(fewer)

    assert (fewer.scopes, again.scopes) == (("zaikio.orders.r",), ("zaikio.orders.r",))
    assert again.requested_scopes == token.requested_scopes
    assert await zaikio.find_active_access_token(token.id) == again


async def refusal(zaikio: ZaikioOAuth, token: AccessToken) -> tuple[str, str | None]:
    """Return code and description of the error with which a refresh ends."""
    with pytest.raises(InvalidGrantError) as caught:
        await zaikio.refresh(token)
    return caught.value.code, caught.value.description


async def test_a_grant_without_a_refresh_token_is_not_refreshed(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """One by client credentials has none. The error is that of a refused one (RFC 6749 §5.2); the Hub is not asked."""
    hub.grant("warehouse-id", "Person", PERSON_ID, ["zaikio.person.r"])
    token = await zaikio.get_access_token(bearer_id=PERSON_ID)

    assert await refusal(zaikio, token) == ("invalid_grant", "there is no refresh token, or it has expired")
    assert hub.count(grant_type="refresh_token") == 0


async def test_a_grant_that_is_gone_is_not_refreshed(zaikio: ZaikioOAuth, hub: LocalHub, token: AccessToken) -> None:
    """The error says so, and the Hub is not asked."""
    await zaikio.revoke(token)
    asked = hub.count(grant_type="refresh_token")

    code, description = await refusal(zaikio, token)

    assert (code, "logged out or revoked" in (description or "")) == ("invalid_grant", True)
    assert hub.count(grant_type="refresh_token") == asked


async def test_a_refresh_token_without_an_expiry_is_found(database: Database) -> None:
    """Nobody has said when it expires, so it may be good."""
    repository = AccessTokenRepository(database)
    stored = await repository.add(some_access_token(refresh_expires_at=None))

    found = await repository.find_refreshable(TokenSearch("warehouse", "Person", PERSON_ID, ("zaikio.person.r",)))

    assert found is not None
    assert found.access_token.id == stored.id


async def test_a_refused_refresh_is_refused_at_once(zaikio: ZaikioOAuth, hub: LocalHub, token: AccessToken) -> None:
    """Only a process from which the lease was taken waits for what another one may have got."""
    hub.spend_refresh_tokens()
    started = time.monotonic()

    with pytest.raises(InvalidGrantError):
        await zaikio.refresh(token)

    assert time.monotonic() - started < LEASE_TAKE_OVER_GRACE - 1


async def test_what_the_hub_issues_and_nobody_can_ever_store_is_revoked(
    zaikio: ZaikioOAuth, hub: LocalHub, token: AccessToken
) -> None:
    """The database refuses it for good, so nobody will ever hold it."""
    refuse = "CREATE TRIGGER r BEFORE UPDATE ON zaikio_access_tokens BEGIN SELECT RAISE(ABORT, 'no'); END"
    async with (await engine_of(zaikio)).connect() as connection:
        await connection.execute(text(refuse))

    with pytest.raises(StoreUnavailableError):
        await zaikio.refresh(token)

    assert hub.count(grant_type="refresh_token") == 1
    (revoked,) = hub.grants.revoked()
    assert revoked != token.jti


async def test_a_refusal_is_an_event(make_settings: Callable[..., Settings], hub: LocalHub) -> None:
    """The listener hears by which grant, of which client, and why."""
    events: list[TokenEvent] = []
    async with ZaikioOAuth(make_settings(), on_token_event=events.append) as zaikio:
        token = await expiring_token(zaikio, hub)
        hub.spend_refresh_tokens()
        await refusal(zaikio, token)

    (refused,) = [event for event in events if event.kind == "refused"]
    assert (refused.client_name, refused.grant_type, refused.error) == ("warehouse", "refresh_token", "invalid_grant")


async def test_what_was_read_of_a_revocation_is_believed_for_a_moment(make_settings: Callable[..., Settings]) -> None:
    """An API asks the database once for each token and ``cache_ttl``, also while it cannot be used."""
    async with ZaikioOAuth(make_settings(cache_ttl=60)) as zaikio:
        await mark_revoked(zaikio, ["revoked"])
        revocation_list = (await parts_of(zaikio)).revocation_list
        answers = [await revocation_list.contains(jti) for jti in ("revoked", "valid")]
        async with (await engine_of(zaikio)).connect() as connection:
            await connection.execute(text("ALTER TABLE zaikio_revocations RENAME TO elsewhere"))
        answers += [await revocation_list.contains(jti) for jti in ("revoked", "valid")]

    assert answers == [True, False, True, False]


async def test_a_revocation_at_the_hub_is_an_event(make_settings: Callable[..., Settings], hub: LocalHub) -> None:
    """It names the grant, so that an app can say that it is over."""
    hub.grant("warehouse-id", "Person", PERSON_ID, ["zaikio.person.r"])
    events: list[TokenEvent] = []
    async with ZaikioOAuth(make_settings(), on_token_event=events.append) as zaikio:
        token = await zaikio.get_access_token(bearer_id=PERSON_ID)
        await zaikio.revoke(token)

    assert [(event.kind, event.access_token_id) for event in events] == [("obtained", token.id), ("revoked", token.id)]
