"""Somebody who can write to the database, but has no key, cannot give one person's token to another."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import DateTime, column, table, text, update

from tests.apps import small_app
from tests.data import KEY, OTHER_KEY
from tests.inside import engine_of
from tests.visitor import Visitor
from zaikio_oauth import DecryptionError, Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub

COPY = {
    "token of another person": "token = (SELECT token FROM zaikio_access_tokens WHERE id = :other)",
    "own refresh token as token": "token = refresh_token",
}
COPY_OF_REFRESH_TOKEN = {
    "refresh token of another person": (
        "refresh_token = (SELECT refresh_token FROM zaikio_access_tokens WHERE id = :other)"
    ),
    "own token as refresh token": "refresh_token = token",
}


async def logged_in(zaikio: ZaikioOAuth, hub: LocalHub, person: int) -> Visitor:
    hub.auto_consent(person_id=hub.people[person].id)
    visitor = Visitor(small_app(zaikio))
    await visitor.log_in(force_login="true")
    return visitor


async def copied(zaikio: ZaikioOAuth, hub: LocalHub, change: str) -> tuple[Visitor, Visitor, dict[str, str]]:
    """Log two people in, change the row of the second one, and return both with the ids of their rows."""
    victim, intruder = await logged_in(zaikio, hub, 0), await logged_in(zaikio, hub, 1)
    ids = {"own": intruder.session["zaikio_access_token_id"], "other": victim.session["zaikio_access_token_id"]}
    statement = text(f"UPDATE zaikio_access_tokens SET {change} WHERE id = :own")  # noqa: S608
    async with (await engine_of(zaikio)).begin() as connection:
        await connection.execute(statement, ids)
    return victim, intruder, ids


@pytest.mark.parametrize("change", COPY.values(), ids=COPY)
async def test_a_ciphertext_that_was_copied_is_an_error_that_names_the_row(
    change: str, make_settings: Callable[..., Settings], database_url: str, hub: LocalHub
) -> None:
    """The session whose row it is has to log in again, searches pass it over, and nobody else is touched."""
    async with ZaikioOAuth(make_settings(database_url=database_url, auto_migrate=True, cache_ttl=0)) as zaikio:
        victim, intruder, ids = await copied(zaikio, hub, change)

        with pytest.raises(DecryptionError) as caught:
            await zaikio.find_active_access_token(ids["own"])

        assert caught.value.access_token_id == ids["own"]
        assert (await intruder.get("/me")).status_code == 401
        assert await zaikio.find_usable_access_token(bearer_type="Person", bearer_id=hub.people[1].id) is None
        assert (await victim.get("/me")).json()["person"] == hub.people[0].id
        for visitor in (victim, intruder):
            await visitor.aclose()


@pytest.mark.parametrize("change", COPY_OF_REFRESH_TOKEN.values(), ids=COPY_OF_REFRESH_TOKEN)
async def test_a_copied_refresh_token_is_never_sent(
    change: str, make_settings: Callable[..., Settings], database_url: str, hub: LocalHub
) -> None:
    """It is decrypted when it is needed, and the row's own access token is good until then."""
    async with ZaikioOAuth(make_settings(database_url=database_url, auto_migrate=True, cache_ttl=0)) as zaikio:
        victim, intruder, ids = await copied(zaikio, hub, change)
        assert (await intruder.get("/me")).json()["person"] == hub.people[1].id
        found = await zaikio.find_active_access_token(ids["own"])
        assert found is not None
        with pytest.raises(DecryptionError) as caught:
            _ = found.refresh_token
        assert caught.value.access_token_id == ids["own"]
        with pytest.raises(DecryptionError) as caught:
            await zaikio.refresh(found)
        assert caught.value.access_token_id == ids["own"]

        async with (await engine_of(zaikio)).begin() as connection:
            aged = update(table("zaikio_access_tokens", column("id"), column("expires_at", DateTime(timezone=True))))
            await connection.execute(
                aged.where(column("id") == ids["own"]).values(expires_at=datetime.now(UTC) - timedelta(hours=1))
            )
        assert (await intruder.get("/me")).status_code == 401
        assert await zaikio.find_usable_access_token(bearer_type="Person", bearer_id=hub.people[1].id) is None
        # Nobody has spent the victim's.
        theirs = await zaikio.find_active_access_token(ids["other"])
        assert theirs is not None
        assert await zaikio.refresh(theirs) != theirs
        for visitor in (victim, intruder):
            await visitor.aclose()


async def test_a_rotation_does_not_make_a_copied_ciphertext_good(
    make_settings: Callable[..., Settings], database_url: str, hub: LocalHub
) -> None:
    """It re-encrypts every other row, and then names this one."""
    settings = {"database_url": database_url, "auto_migrate": True}
    async with ZaikioOAuth(make_settings(**settings)) as zaikio:
        victim, intruder, ids = await copied(zaikio, hub, COPY["token of another person"])
    async with ZaikioOAuth(make_settings(**settings, encryption_keys=[OTHER_KEY, KEY])) as zaikio:
        for _ in range(2):
            with pytest.raises(DecryptionError) as caught:
                await zaikio.rotate_encryption_keys()
            assert caught.value.access_token_id == ids["own"]
        with pytest.raises(DecryptionError):
            await zaikio.find_active_access_token(ids["own"])
        found = await zaikio.find_active_access_token(ids["other"])
    assert found is not None
    assert found.bearer_id == hub.people[0].id
    for visitor in (victim, intruder):
        await visitor.aclose()
