"""What a refresh changes of a grant, and when there is nothing to refresh."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.data import PERSON_ID, some_access_token
from tests.visitor import expiring_token
from zaikio_oauth import AccessToken, InvalidGrantError, ZaikioOAuth
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


async def test_a_refreshed_token_of_unknown_lifetime_lives_for_ten_minutes(
    zaikio: ZaikioOAuth, hub: LocalHub, token: AccessToken
) -> None:
    """Neither the response nor the opaque token says when it expires."""
    hub.fail("refresh_token", status=200, body={"access_token": "opaque", "refresh_token": "next"})

    assert 590 < seconds_from_now((await zaikio.refresh(token)).expires_at) <= 600


@pytest.mark.parametrize(
    "missing", [{"refresh_token": None}, {"refresh_expires_at": datetime.now(UTC) - timedelta(seconds=1)}]
)
async def test_a_grant_without_a_refresh_token_is_not_refreshed(
    zaikio: ZaikioOAuth, hub: LocalHub, missing: dict[str, object]
) -> None:
    """The error is that of a refused refresh token (RFC 6749 §5.2), and the Hub is not asked."""
    with pytest.raises(InvalidGrantError) as caught:
        await zaikio.refresh(some_access_token(id="x", **missing))

    assert caught.value.code == "invalid_grant"
    assert hub.count(path="/oauth/access_token") == 0


async def test_a_refresh_token_without_an_expiry_is_found(database: Database) -> None:
    """Nobody has said when it expires, so it may be good."""
    repository = AccessTokenRepository(database)
    stored = await repository.add(some_access_token(refresh_expires_at=None))

    found = await repository.find_refreshable(TokenSearch("warehouse", "Person", PERSON_ID, ("zaikio.person.r",)))

    assert found is not None
    assert found.access_token.id == stored.id
