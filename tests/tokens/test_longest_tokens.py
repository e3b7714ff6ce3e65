"""Callers who want a token for longer than the Hub's tokens live get the longest, for one request a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.tokens.due_tokens import (
    a_minute_later,
    age,
    nobody_remembers,
    organizations_token,
    persons_token,
)
from zaikio_oauth import AccessToken, ZaikioOAuth
from zaikio_oauth.testing import LocalHub

Way = Callable[[ZaikioOAuth, AccessToken], Awaitable[AccessToken | None]]
TWO_HOURS = 7200


async def by_id(zaikio: ZaikioOAuth, token: AccessToken) -> AccessToken | None:
    return await zaikio.find_active_access_token(token.id, valid_for=TWO_HOURS)


async def by_bearer(zaikio: ZaikioOAuth, token: AccessToken) -> AccessToken:
    bearer: dict[str, Any] = {"bearer_type": token.bearer_type, "bearer_id": token.bearer_id}
    return await zaikio.get_access_token(**bearer, valid_for=TWO_HOURS)


@pytest.mark.parametrize(
    ("way", "grant_type"),
    [(by_id, "refresh_token"), (by_bearer, "refresh_token"), (by_bearer, "client_credentials")],
)
async def test_the_hub_is_asked_once_a_minute_for_more_than_it_gives(
    way: Way, grant_type: str, processes: list[ZaikioOAuth], hub: LocalHub
) -> None:
    """Whoever asks in that minute, in either process, gets the token of that request."""
    make = persons_token if grant_type == "refresh_token" else organizations_token
    token = await make(processes[0], hub, left=3600)
    before = hub.count(grant_type=grant_type)

    first = await asyncio.gather(*(way(zaikio, token) for zaikio in processes for _ in range(10)))
    second = [await way(zaikio, token) for zaikio in processes for _ in range(3)]

    (longest,) = {each.token: each for each in [*first, *second] if each}.values()
    assert longest.token != token.token
    assert longest.expires_in > 3500
    assert hub.count(grant_type=grant_type) - before == 1

    await age(processes[0], longest, left=3540)
    await a_minute_later(processes)
    again = await asyncio.gather(*(way(zaikio, token) for zaikio in processes for _ in range(10)))
    assert len({each.token for each in again if each} | {longest.token}) == 2
    assert hub.count(grant_type=grant_type) - before == 2


async def test_whoever_wants_what_the_hub_can_give_gets_it(processes: list[ZaikioOAuth], hub: LocalHub) -> None:
    """That somebody else wants more does not keep a short token in use."""
    token = await persons_token(processes[0], hub, left=3600)
    assert await by_id(processes[0], token)
    await age(processes[0], token, left=1000)
    await nobody_remembers(processes)

    for zaikio in processes:
        found = await zaikio.find_active_access_token(token.id, valid_for=1200)
        assert found and found.expires_in > 3500
    assert hub.count(grant_type="refresh_token") == 2
