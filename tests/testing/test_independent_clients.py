"""Independent OAuth clients log in at the local Hub, so it does not only work with our own client.

The clients are Authlib and requests-oauthlib. Both use the consent form over a real socket.
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuthError
from oauthlib.oauth2 import InvalidGrantError
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from tests.data import SECRET
from tests.visitor import BASE_URL
from zaikio_oauth.testing import LocalHub

REDIRECT_URI = f"{BASE_URL}/zaikio/sessions/approve"
# The Hub separates scopes by commas, so a client passes them as one string.
SCOPE = "zaikio.person.r,zaikio.sites.r"


class Form(HTMLParser):
    """The first form of a page: its hidden fields, and its buttons by their labels."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.hidden: dict[str, str] = {}
        self.buttons: dict[str, dict[str, str]] = {}
        self._button: dict[str, str] | None = None
        self._forms = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self._forms += tag == "form"
        if self._forms > 1:
            return
        if tag == "input" and attributes.get("type") == "hidden":
            self.hidden[attributes["name"]] = attributes["value"]
        if tag == "button":
            self._button = {attributes["name"]: attributes["value"]} if "name" in attributes else {}

    def handle_data(self, data: str) -> None:
        if self._button is not None and data.strip():
            self.buttons[data.strip()] = self._button

    def handle_endtag(self, tag: str) -> None:
        if tag == "button":
            self._button = None


def answer_as_a_person(authorize_url: str, press: str = "Allow") -> str:
    """Choose Anna's account, press the button, and return the URL to which the Hub redirects the browser."""
    hub = "{0.scheme}://{0.netloc}".format(urlsplit(authorize_url))
    with httpx2.Client(base_url=hub, follow_redirects=False) as browser:
        account = Form(browser.get(authorize_url).text)
        chosen = browser.post("/session", data=account.hidden | account.buttons["Anna Möller"])
        consent = Form(browser.get(chosen.headers["location"]).text)
        answer = browser.post("/oauth/authorize", data=consent.hidden | consent.buttons[press])
    assert answer.status_code == 302
    return str(answer.headers["location"])


async def person_of(hub_url: str, token: dict[str, Any]) -> str:
    """Return the name of the person to whom the token belongs, as the Hub's API returns it."""
    async with httpx2.AsyncClient(base_url=hub_url) as client:
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        return str((await client.get("/api/v1/person", headers=headers)).json()["full_name"])


@pytest.mark.parametrize(("client_id", "secret"), [("warehouse-id", SECRET), ("kiosk-id", None)])
async def test_authlib_logs_in_and_refreshes(hub_url: str, hub: LocalHub, client_id: str, secret: str | None) -> None:
    """Confidential and non-confidential clients use PKCE, and a refresh token works once."""
    options: dict[str, Any] = {"code_challenge_method": "S256", "redirect_uri": REDIRECT_URI, "scope": SCOPE}
    if secret is None:
        options["token_endpoint_auth_method"] = "none"
    async with AsyncOAuth2Client(client_id, secret, **options) as client:
        verifier = "v" * 64
        url, state = client.create_authorization_url(f"{hub_url}/oauth/authorize", code_verifier=verifier)
        callback = answer_as_a_person(url)
        assert dict(parse_qsl(urlsplit(callback).query))["state"] == state
        endpoint = f"{hub_url}/oauth/access_token"
        token = await client.fetch_token(endpoint, authorization_response=callback, code_verifier=verifier)
        assert await person_of(hub_url, token) == "Anna Möller"
        assert token["scope"] == SCOPE

        fresh = await client.refresh_token(endpoint, refresh_token=token["refresh_token"])
        assert fresh["access_token"] != token["access_token"]
        with pytest.raises(OAuthError, match="invalid_grant"):
            await client.refresh_token(endpoint, refresh_token=token["refresh_token"])
        with pytest.raises(OAuthError, match="invalid_grant"):
            await client.fetch_token(endpoint, authorization_response=callback, code_verifier=verifier)


async def test_authlib_gets_client_credentials(hub_url: str, hub: LocalHub) -> None:
    """The organization has granted the scopes."""
    organization = hub.organizations[0]
    hub.grant("warehouse-id", "Organization", organization.id, ["zaikio.organization.r"])
    async with AsyncOAuth2Client("warehouse-id", SECRET) as client:
        scope = f"Org/{organization.id}.zaikio.organization.r"
        token = await client.fetch_token(f"{hub_url}/oauth/access_token", grant_type="client_credentials", scope=scope)
    assert (token["scope"], token["bearer"]) == (
        "zaikio.organization.r",
        {"id": organization.id, "type": "Organization"},
    )


async def test_authlib_receives_access_denied(hub_url: str) -> None:
    """The redirect contains the error and the state (RFC 6749 §4.1.2.1)."""
    async with AsyncOAuth2Client("warehouse-id", SECRET, redirect_uri=REDIRECT_URI, scope=SCOPE) as client:
        url, state = client.create_authorization_url(f"{hub_url}/oauth/authorize")
        answer = dict(parse_qsl(urlsplit(answer_as_a_person(url, press="Cancel")).query))

    assert answer == {"error": "access_denied", "error_description": "The person cancelled.", "state": state}


async def test_requests_oauthlib_logs_in_and_refreshes(
    hub_url: str, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This client uses HTTP Basic and no PKCE."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setenv("OAUTHLIB_RELAX_TOKEN_SCOPE", "1")
    with OAuth2Session("warehouse-id", redirect_uri=REDIRECT_URI, scope=SCOPE) as session:
        url, state = session.authorization_url(f"{hub_url}/oauth/authorize")
        callback = answer_as_a_person(url)
        assert dict(parse_qsl(urlsplit(callback).query))["state"] == state
        endpoint, basic = f"{hub_url}/oauth/access_token", HTTPBasicAuth("warehouse-id", SECRET)
        token = session.fetch_token(endpoint, authorization_response=callback, auth=basic)
        assert session.get(f"{hub_url}/api/v1/person").json()["full_name"] == "Anna Möller"
        fresh = session.refresh_token(endpoint, refresh_token=token["refresh_token"], auth=basic)
        assert fresh["access_token"] != token["access_token"]
        with pytest.raises(InvalidGrantError):
            session.refresh_token(endpoint, refresh_token=token["refresh_token"], auth=basic)
