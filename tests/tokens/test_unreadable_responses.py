"""A response that cannot be read, although the Hub has done what it was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.apps import small_app
from tests.visitor import Visitor
from zaikio_oauth import InvalidResponseError, Settings, ZaikioOAuth
from zaikio_oauth.testing import HubServer, LocalHub


def garbling(hub: LocalHub, garbled: list[str]) -> Any:
    """Return the Hub behind something that replaces its response to each of these grant types once."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await hub(scope, receive, send)
            return
        before = hub.count()
        answer: list[Any] = []

        async def keep(message: Any) -> None:
            answer.append(message)

        await hub(scope, receive, keep)
        grant_type = hub.requests[-1].grant_type if hub.count() > before else None
        if grant_type in garbled:
            garbled.remove(grant_type)
            answer = [
                {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]},
                {"type": "http.response.body", "body": b"<html>Everything is fine</html>"},
            ]
        for message in answer:
            await send(message)

    return app


async def test_an_unreadable_response_for_a_spent_refresh_token_ends_the_grant(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """The page that asked gets 503. Nobody can get another token for this grant, so the next one has to log in."""
    with HubServer(garbling(hub, ["refresh_token"])) as server:
        async with ZaikioOAuth(make_settings(host=server.url)) as zaikio:
            hub.auto_consent(person_id=hub.people[0].id)
            hub.access_token_lifetime = 0
            visitor = Visitor(small_app(zaikio))
            await visitor.log_in()
            token_id = visitor.session["zaikio_access_token_id"]
            hub.access_token_lifetime = 3600

            assert (await visitor.get("/me")).status_code == 503
            assert (await visitor.get("/me")).status_code == 401
            assert await zaikio.find_active_access_token(token_id) is None
            assert hub.count(grant_type="refresh_token") == 2
            # A worker goes on by client credentials.
            worker = await zaikio.get_access_token(bearer_id=hub.people[0].id)
            assert worker.id != token_id
            await visitor.aclose()


async def test_an_unreadable_response_to_client_credentials_is_tried_again_by_the_next_caller(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """Nothing was used up for it."""
    organization = hub.organizations[0].id
    hub.grant("warehouse-id", "Organization", organization, ["zaikio.organization.r"])
    with HubServer(garbling(hub, ["client_credentials"])) as server:
        async with ZaikioOAuth(make_settings(host=server.url)) as zaikio:
            with pytest.raises(InvalidResponseError):
                await zaikio.get_access_token(bearer_type="Organization", bearer_id=organization)
            found = await zaikio.get_access_token(bearer_type="Organization", bearer_id=organization)
            assert found.bearer_id == organization
