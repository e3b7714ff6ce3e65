"""``lost``: from now on somebody has to log in or connect anew, told once per grant in all processes together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from tests.apps import small_app
from tests.data import some_access_token
from tests.inside import engine_of, mark_revoked, parts_of, settled
from tests.visitor import Visitor
from zaikio_oauth import AccessToken, InvalidGrantError, OAuthError, Settings, TokenEvent, ZaikioOAuth
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.tables import Tables
from zaikio_oauth.testing import LocalHub

HOUR = timedelta(hours=1)


class Processes:
    """Three instances on one database, which share neither tasks nor memory, and everything that they tell."""

    def __init__(self, opened: Sequence[ZaikioOAuth], events: list[TokenEvent]) -> None:
        self.opened = opened
        self.events = events

    @property
    def first(self) -> ZaikioOAuth:
        return self.opened[0]

    def told(self, kind: str) -> list[tuple[str | None, ...]]:
        """Return what was told of this kind: client, type and id of the bearer, id of the token."""
        return [
            (event.client_name, event.bearer_type, event.bearer_id, event.access_token_id)
            for event in self.events
            if event.kind == kind
        ]

    async def each(self, call: Callable[[ZaikioOAuth], Any]) -> list[Any]:
        """Let all of them do it at once, twice."""
        return await asyncio.gather(*(call(zaikio) for zaikio in [*self.opened, *self.opened]), return_exceptions=True)


@pytest.fixture
async def processes(
    make_settings: Callable[..., Settings], database: Database, database_url: str
) -> AsyncIterator[Processes]:
    events: list[TokenEvent] = []
    async with AsyncExitStack() as stack:
        settings = make_settings(database_url=database_url, cache_ttl=0)
        opened = [
            await stack.enter_async_context(ZaikioOAuth(settings, on_token_event=events.append)) for _ in range(3)
        ]
        yield Processes(opened, events)


async def log_in(zaikio: ZaikioOAuth, hub: LocalHub) -> AccessToken:
    hub.auto_consent(person_id=hub.people[0].id)
    visitor = Visitor(small_app(zaikio))
    await visitor.log_in(force_login="true")
    token = await zaikio.find_active_access_token(visitor.session["zaikio_access_token_id"], valid_for=0)
    await visitor.aclose()
    assert token is not None
    return token


async def change(zaikio: ZaikioOAuth, token: AccessToken, **values: Any) -> None:
    """Let the stored token be as if time had passed."""
    table = Tables().access_tokens
    async with (await engine_of(zaikio)).begin() as connection:
        await connection.execute(update(table).where(table.c.id == token.id).values(**values))


def named(token: AccessToken) -> tuple[str | None, ...]:
    return token.audience, token.bearer_type, token.bearer_id, token.id


async def expire(zaikio: ZaikioOAuth, token: AccessToken) -> None:
    await change(zaikio, token, expires_at=datetime.now(UTC) - HOUR)


async def test_a_refused_refresh_is_told_once(processes: Processes, hub: LocalHub) -> None:
    """Pages and workers of all processes are refused at once; later ones, and nightly jobs, tell nothing more."""
    token = await log_in(processes.first, hub)
    await expire(processes.first, token)
    hub.spend_refresh_tokens()

    assert set(await processes.each(lambda zaikio: zaikio.find_active_access_token(token.id))) == {None}
    await processes.each(lambda zaikio: zaikio.find_active_access_token(token.id))
    refused = await processes.each(lambda zaikio: zaikio.refresh(token))
    await processes.each(lambda zaikio: zaikio.keep_alive())
    await processes.each(lambda zaikio: zaikio.cleanup_access_tokens())

    assert {type(error) for error in refused} == {InvalidGrantError}
    assert processes.told("lost") == [named(token)]
    assert processes.told("refused") == [named(token)]


async def test_a_refresh_that_the_code_asks_for_is_told_at_once(processes: Processes, hub: LocalHub) -> None:
    """The access token lives, but whoever must have another one has to log in."""
    token = await log_in(processes.first, hub)
    hub.spend_refresh_tokens()

    with pytest.raises(InvalidGrantError):
        await processes.first.refresh(token)

    assert processes.told("lost") == [named(token)]


async def test_a_refusal_ahead_of_time_is_told_when_the_token_ends(processes: Processes, hub: LocalHub) -> None:
    """Until then nobody has to do anything."""
    token = await log_in(processes.first, hub)
    ends = datetime.now(UTC) + timedelta(minutes=5)
    await change(processes.first, token, expires_at=ends, updated_at=ends - HOUR)
    hub.spend_refresh_tokens()

    assert await processes.first.find_active_access_token(token.id)
    await settled(processes.first)
    await processes.each(lambda zaikio: zaikio.keep_alive())
    await processes.each(lambda zaikio: zaikio.cleanup_access_tokens())
    assert (len(processes.told("refused")), processes.told("lost")) == (1, [])
    await expire(processes.first, token)
    await processes.each(lambda zaikio: zaikio.find_active_access_token(token.id))

    assert processes.told("lost") == [named(token)]


@pytest.mark.parametrize(
    "seen_by",
    [
        lambda zaikio, token: zaikio.find_active_access_token(token.id),
        lambda zaikio, token: zaikio.get_access_token(bearer_id=token.bearer_id),
        lambda zaikio, _: zaikio.keep_alive(),
        lambda zaikio, _: zaikio.cleanup_access_tokens(),
    ],
    ids=["page", "worker", "keep_alive", "cleanup"],
)
async def test_a_refresh_token_that_has_died_is_told_once(
    processes: Processes, hub: LocalHub, seen_by: Callable[..., Any]
) -> None:
    """Whoever sees it first tells it."""
    token = await log_in(processes.first, hub)
    await change(
        processes.first, token, expires_at=datetime.now(UTC) - HOUR, refresh_expires_at=datetime.now(UTC) - HOUR
    )

    await processes.each(lambda zaikio: seen_by(zaikio, token))
    await processes.each(lambda zaikio: zaikio.cleanup_access_tokens())

    assert processes.told("lost") == [named(token)]


async def test_a_revocation_by_the_hub_is_told_once(processes: Processes, hub: LocalHub) -> None:
    """By its list and by the webhook, in every process; ``revoked`` says as well whose token it was."""
    token = await log_in(processes.first, hub)

    await processes.each(lambda zaikio: mark_revoked(zaikio, [token.jti or "", "of-somebody-else"]))
    await processes.each(lambda zaikio: zaikio.find_active_access_token(token.id))
    await processes.each(lambda zaikio: zaikio.cleanup_access_tokens())

    assert processes.told("lost") == [named(token)]
    assert processes.told("revoked") == [named(token)]


async def test_a_refused_grant_that_is_revoked_afterwards_is_told_once(processes: Processes, hub: LocalHub) -> None:
    """It was lost already."""
    token = await log_in(processes.first, hub)
    hub.spend_refresh_tokens()
    with pytest.raises(InvalidGrantError):
        await processes.first.refresh(token)

    await mark_revoked(processes.first, [token.jti or ""])

    assert processes.told("lost") == [named(token)]
    assert processes.told("revoked") == [named(token)]


async def test_what_the_app_itself_ends_is_not_lost(processes: Processes, hub: LocalHub) -> None:
    """A logout, and ``revoke()``, although the Hub lists the tokens as revoked afterwards."""
    hub.auto_consent(person_id=hub.people[0].id)
    visitor = Visitor(small_app(processes.first))
    await visitor.log_in()
    await visitor.app.post("/zaikio/session/delete")
    await visitor.aclose()
    await processes.first.revoke(await log_in(processes.first, hub))

    listed = hub.grants.revoked()
    assert len(listed) == 2
    await processes.each(lambda zaikio: mark_revoked(zaikio, listed))
    await processes.each(lambda zaikio: zaikio.cleanup_access_tokens())

    assert processes.told("lost") == []


@pytest.mark.parametrize(
    "changes",
    [{"refresh_token": None, "refresh_expires_at": None}, {"delegated_from": "parent"}],
    ids=["client credentials", "delegated"],
)
async def test_a_token_that_is_never_renewed_is_not_lost(processes: Processes, changes: dict[str, Any]) -> None:
    """It ends, and another one is requested when somebody needs it."""
    past = datetime.now(UTC) - HOUR
    token = some_access_token(**{"expires_at": past, "refresh_expires_at": past} | changes)
    stored = await (await parts_of(processes.first)).access_tokens.add(token)

    await processes.each(lambda zaikio: zaikio.find_active_access_token(stored.id))
    await processes.each(lambda zaikio: zaikio.keep_alive())
    await processes.each(lambda zaikio: zaikio.cleanup_access_tokens())

    assert processes.told("lost") == []


async def test_a_refusal_names_the_bearer(processes: Processes) -> None:
    """As far as they are known: a token by client credentials has no id before there is one."""
    with pytest.raises(OAuthError):
        await processes.first.get_access_token(bearer_type="Organization", bearer_id="nobody")

    assert processes.told("refused") == [("warehouse", "Organization", "nobody", None)]
