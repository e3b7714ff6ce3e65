"""Stored tokens that have to be renewed, and processes that do it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import update

from tests.apps import small_app
from tests.inside import engine_of, parts_of
from tests.visitor import Visitor
from zaikio_oauth import AccessToken, Settings, ZaikioOAuth
from zaikio_oauth.store.stored_token import StoredToken
from zaikio_oauth.testing import LocalHub


@asynccontextmanager
async def two_processes(settings: Settings, **options: Any) -> AsyncIterator[list[ZaikioOAuth]]:
    """Yield two objects that share a database but neither tasks nor memory, as two processes do."""
    async with ZaikioOAuth(settings, **options) as first, ZaikioOAuth(settings, **options) as second:
        yield [first, second]


async def age(zaikio: ZaikioOAuth, token: AccessToken, *, left: float, lifetime: float = 3600) -> None:
    """Let a stored token be one of that lifetime which has so many seconds left."""
    parts = await parts_of(zaikio)
    table = parts.access_tokens._rows._table
    expires_at = datetime.now(UTC) + timedelta(seconds=left)
    values = {"expires_at": expires_at, "updated_at": expires_at - timedelta(seconds=lifetime)}
    async with (await engine_of(zaikio)).begin() as connection:
        await connection.execute(update(table).where(table.c.id == token.id).values(values))
    parts.grants.forget(token.id)


async def let_refresh_token_die(zaikio: ZaikioOAuth, access_token_id: str, *, in_seconds: float) -> None:
    """Let the refresh token of this grant have so long to live, as if nobody had used it for days."""
    table = (await parts_of(zaikio)).access_tokens._rows._table
    values = {"refresh_expires_at": datetime.now(UTC) + timedelta(seconds=in_seconds)}
    async with (await engine_of(zaikio)).begin() as connection:
        await connection.execute(update(table).where(table.c.id == access_token_id).values(values))


async def row(zaikio: ZaikioOAuth, token: AccessToken) -> StoredToken:
    stored = await (await parts_of(zaikio)).access_tokens.get(token.id)
    assert stored is not None
    return stored


async def nobody_remembers(processes: list[ZaikioOAuth]) -> None:
    for zaikio in processes:
        cache = (await parts_of(zaikio)).grants.cache
        cache.drop(*cache._entries)


async def persons_token(zaikio: ZaikioOAuth, hub: LocalHub, *, left: float, lifetime: float = 3600) -> AccessToken:
    """Return the token of a new person who has logged in."""
    person = hub.add_person("Some", "Body", "somebody@example.com")
    hub.auto_consent(person_id=person.id)
    visitor = Visitor(small_app(zaikio))
    await visitor.log_in(force_login="true")
    token_id = visitor.session["zaikio_access_token_id"]
    await visitor.aclose()
    token = await zaikio.find_active_access_token(token_id, valid_for=0)
    assert token is not None
    await age(zaikio, token, left=left, lifetime=lifetime)
    return token


async def organizations_token(zaikio: ZaikioOAuth, hub: LocalHub, *, left: float) -> AccessToken:
    """Return a token by client credentials."""
    organization = hub.add_organization("Some Print", hub.people[0].id)
    hub.grant("warehouse-id", "Organization", organization.id, ["zaikio.organization.r"])
    token = await zaikio.get_access_token(bearer_type="Organization", bearer_id=organization.id)
    await age(zaikio, token, left=left)
    return token


async def a_minute_later(processes: list[ZaikioOAuth]) -> None:
    """Let the minute be over in which the Hub is not asked again."""
    parts = await parts_of(processes[0])
    async with (await engine_of(processes[0])).begin() as connection:
        await connection.execute(update(parts.access_tokens._rows._table).values(renew_after=datetime.now(UTC)))
    for zaikio in processes:
        failed_here = (await parts_of(zaikio)).tokens.renewals.failed_here
        failed_here.drop(*failed_here._entries)
    await nobody_remembers(processes)
