"""Rows that no key decrypts: whoever asks for a token gets another one, and the log names the row."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.data import ORGANIZATION_ID, OTHER_KEY, some_access_token
from tests.inside import parts_of
from zaikio_oauth import AccessToken, DecryptionError, Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub

WANTED: dict[str, Any] = {
    "bearer_type": "Organization",
    "bearer_id": ORGANIZATION_ID,
    "scopes": ["zaikio.organization.r"],
}


@pytest.fixture
async def with_another_key(make_settings: Callable[..., Settings], zaikio: ZaikioOAuth) -> AsyncIterator[ZaikioOAuth]:
    """Yield an object on the same database, whose key ``zaikio`` has lost."""
    async with ZaikioOAuth(make_settings(encryption_keys=[OTHER_KEY])) as opened:
        yield opened


async def stored(zaikio: ZaikioOAuth, **changes: Any) -> AccessToken:
    """Store an organization's token."""
    scopes = ("zaikio.organization.r",)
    bearer: dict[str, Any] = {"bearer_type": "Organization", "bearer_id": ORGANIZATION_ID}
    token = some_access_token(**bearer | {"scopes": scopes, "requested_scopes": scopes} | changes)
    return await (await parts_of(zaikio)).access_tokens.add(token)


def named(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged as an error."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


async def test_the_next_newest_row_is_given(
    zaikio: ZaikioOAuth, with_another_key: ZaikioOAuth, hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    """However many calls there are, each lost row is named once."""
    readable = await stored(zaikio, created_at=datetime.now(UTC) - timedelta(minutes=5))
    lost = [await stored(with_another_key) for _ in range(2)]
    async with ZaikioOAuth(zaikio.settings) as fresh:
        for _ in range(3):
            assert await fresh.get_access_token(**WANTED, valid_for=60) == readable
            assert await fresh.get_access_token(**WANTED, valid_for=120) == readable
        bearer = {name: WANTED[name] for name in ("bearer_type", "bearer_id")}
        assert await fresh.find_usable_access_token(**bearer) == readable

    assert len(named(caplog)) == 2
    assert all(any(each.id in message for message in named(caplog)) for each in lost)
    assert hub.count(path="/oauth/access_token") == 0


async def test_a_row_that_can_be_refreshed_is_refreshed(
    zaikio: ZaikioOAuth, with_another_key: ZaikioOAuth, hub: LocalHub
) -> None:
    """It comes after one that cannot be read."""
    over = datetime.now(UTC) - timedelta(minutes=1)
    older = datetime.now(UTC) - timedelta(minutes=5)
    readable = await stored(zaikio, expires_at=over, created_at=older)
    await stored(with_another_key, expires_at=over)
    hub.fail("refresh_token", body={"access_token": "fresh", "expires_in": 3600})

    found = await zaikio.get_access_token(**WANTED)

    assert (found.id, found.token) == (readable.id, "fresh")


async def test_client_credentials_are_the_last_way(
    zaikio: ZaikioOAuth, with_another_key: ZaikioOAuth, hub: LocalHub
) -> None:
    """A lost key locks no worker out."""
    await stored(with_another_key)
    hub.grant("warehouse-id", "Organization", ORGANIZATION_ID, ["zaikio.organization.r"])

    found = await zaikio.get_access_token(**WANTED)

    assert found.bearer_id == ORGANIZATION_ID
    assert hub.count(grant_type="client_credentials") == 1
    assert await zaikio.get_access_token(**WANTED) == found


async def test_who_asks_for_this_row_gets_the_error(zaikio: ZaikioOAuth, with_another_key: ZaikioOAuth) -> None:
    """There is no other one with this id."""
    lost = await stored(with_another_key)

    with pytest.raises(DecryptionError, match=lost.id):
        await zaikio.find_active_access_token(lost.id)
    with pytest.raises(DecryptionError, match=lost.id):
        await zaikio.refresh(lost)
