"""A non-confidential client (RFC 6749 §2.1): an app without a client secret, on a desktop, a kiosk or a device."""

from __future__ import annotations

import pytest

from tests.data import ORGANIZATION_ID, PERSON_ID
from tests.visitor import BASE_URL, Visitor, query_of
from zaikio_oauth import ConfigurationError, ZaikioOAuth
from zaikio_oauth.testing import LocalHub

NEW = "/zaikio/kiosk/sessions/new"


async def test_the_client_logs_in_with_pkce_and_refreshes_without_a_secret(
    visitor: Visitor, hub: LocalHub, zaikio: ZaikioOAuth
) -> None:
    """The Hub requires PKCE of such a client, and the client sends its id in the request body."""
    hub.auto_consent(PERSON_ID)
    assert query_of(await visitor.start(NEW))["code_challenge_method"] == "S256"
    hub.access_token_lifetime = 20
    await visitor.log_in(NEW)
    hub.access_token_lifetime = 3600
    token = await zaikio.find_active_access_token(visitor.session["zaikio_access_token_id"])

    assert token is not None
    assert (token.audience, token.expires_in > 3000) == ("kiosk", True)
    assert hub.count(grant_type="refresh_token", client_id="kiosk-id") == 1


async def test_a_stolen_code_is_useless(visitor: Visitor, hub: LocalHub) -> None:
    """Without the browser that has the code verifier, no request is made to the Hub and nobody is logged in."""
    hub.auto_consent(PERSON_ID)
    callback = await visitor.consent(await visitor.start(NEW))
    thief = Visitor(visitor.app._transport.app)  # type: ignore[attr-defined]
    await thief.get(callback)
    assert "zaikio_person_id" not in thief.session
    assert hub.count(path="/oauth/access_token") == 0
    await thief.aclose()


async def test_the_hub_rejects_a_request_without_a_challenge(visitor: Visitor, hub: LocalHub) -> None:
    """So the tests above would fail for a login without PKCE."""
    hub.auto_consent(PERSON_ID)
    location = await visitor.start(NEW)
    parameters = {name: value for name, value in query_of(location).items() if not name.startswith("code_challenge")}
    answer = await visitor.hub.get(location.partition("?")[0], params=parameters)
    assert query_of(answer.headers["location"])["error"] == "invalid_request"
    assert answer.headers["location"].startswith(f"{BASE_URL}/zaikio/kiosk/sessions/approve")


@pytest.mark.parametrize(("bearer_type", "bearer_id"), [("Person", PERSON_ID), ("Organization", ORGANIZATION_ID)])
async def test_the_client_cannot_use_client_credentials(
    zaikio: ZaikioOAuth, hub: LocalHub, bearer_type: str, bearer_id: str
) -> None:
    """The error is raised before any request is made, and it says what to do instead."""
    with pytest.raises(ConfigurationError, match=f"'kiosk' has no secret .* {bearer_type}/{bearer_id} has to log in"):
        await zaikio.get_access_token(
            client_name="kiosk", bearer_type=bearer_type, bearer_id=bearer_id, scopes=["a.b.r"]
        )
    assert hub.requests == [made for made in hub.requests if made.path.startswith("/api/v1/revoked")]
