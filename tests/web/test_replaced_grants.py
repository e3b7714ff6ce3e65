"""The grant whose place another one takes in a session: nobody holds it any longer, so it is revoked."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest

from tests.app_server import AppServer
from tests.apps import small_app
from tests.visitor import Visitor, query_of
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub, logged_in_as


@pytest.fixture(autouse=True)
def consenting(hub: LocalHub) -> None:
    """The person grants all requested scopes."""
    hub.auto_consent(person_id=hub.people[0].id)


async def revoked_at(hub_url: str) -> list[str]:
    """Return the ids that the Hub lists as revoked."""
    async with httpx2.AsyncClient() as client:
        return (await client.get(f"{hub_url}/api/v1/revoked_access_tokens")).json()["revoked_token_ids"]


def revocations(hub: LocalHub) -> int:
    """Return how many requests for the revocation of a token the Hub has answered."""
    return len([made for made in hub.requests if made.method == "POST" and "revoked" in made.path])


@pytest.mark.parametrize("second", ["the same person", "another person", "another client"])
async def test_a_second_login_revokes_the_first(
    make_settings: Callable[..., Settings], hub: LocalHub, hub_url: str, second: str
) -> None:
    """Whoever logs in twice in one browser and logs out leaves nothing usable behind, here or at the Hub."""
    async with ZaikioOAuth(make_settings()) as zaikio:
        visitor = Visitor(small_app(zaikio))
        await visitor.log_in()
        first = await zaikio.find_active_access_token(visitor.session["zaikio_access_token_id"])
        if second == "another person":
            hub.auto_consent(person_id=hub.people[1].id)
        path = "/zaikio/kiosk/sessions/new" if second == "another client" else "/zaikio/sessions/new"
        await visitor.log_in(path, force_login="true")
        assert (await visitor.get("/me")).status_code == 200
        await visitor.aclose()
    # Leaving has waited for it.
    async with ZaikioOAuth(make_settings()) as zaikio:
        assert first is not None
        assert await zaikio.find_active_access_token(first.id) is None
    assert await revoked_at(hub_url) == [first.jti]


async def test_a_shutdown_waits_until_it_is_revoked(
    make_settings: Callable[..., Settings], hub: LocalHub, hub_url: str
) -> None:
    """The second login does not wait for the Hub, which takes a second here."""
    token = {"bearer": {"id": "29b2", "type": "Person"}, "audiences": ["warehouse"], "expires_in": 3600}
    hub.fail("/api/v1/revoked_access_tokens", latency=1.0, times=None)
    with AppServer(small_app(ZaikioOAuth(make_settings()))) as server:
        async with httpx2.AsyncClient(base_url=server.url, timeout=30) as browser:
            for number in range(2):
                hub.fail("authorization_code", status=200, body=token | {"access_token": f"token-{number}"})
                state = query_of((await browser.get("/zaikio/sessions/new")).headers["location"])["state"]
                await browser.get(f"/zaikio/sessions/approve?state={state}&code=x")
        before = revocations(hub)
    assert (before, revocations(hub)) == (0, 1)


async def test_a_connection_replaces_nothing(visitor: Visitor, hub: LocalHub, hub_url: str) -> None:
    """An organization's grant belongs to the app's workers, not to the session."""
    await visitor.log_in()
    person = hub.people[0]
    hub.auto_consent(person_id=person.id, organization_id=hub.organizations_of(person.id)[0].id)

    await visitor.log_in("/zaikio/connections/new")

    assert (await visitor.get("/me")).status_code == 200
    assert await revoked_at(hub_url) == []


async def test_a_virtual_login_is_replaced_as_well(make_settings: Callable[..., Settings], hub_url: str) -> None:
    """It is nothing that could be revoked."""
    async with ZaikioOAuth(make_settings(environment="test")) as zaikio:
        visitor = Visitor(small_app(zaikio))
        logged_in_as(visitor.app, "anna")
        assert (await visitor.get("/me")).status_code == 200
        await visitor.log_in()
        assert (await visitor.get("/me")).json()["person"] != "anna"
        await visitor.aclose()
    assert await revoked_at(hub_url) == []
