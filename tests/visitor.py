"""A person's browser without a browser: one cookie jar for the app and one for the Hub."""

from __future__ import annotations

import base64
import json
import ssl
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
from starlette.types import ASGIApp

from tests.apps import small_app
from zaikio_oauth import AccessToken, ZaikioOAuth
from zaikio_oauth.testing import LocalHub

BASE_URL = "http://testserver"

NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of servers on this machine, which have no TLS: reading the certificates takes each client 30 ms."""


def query_of(url: str) -> dict[str, str]:
    """Return the parameters of a URL. A repeated parameter is an error, because the dictionary would hide it."""
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs), f"doubled parameters in {url}"
    return dict(pairs)


class Visitor:
    """A client that reaches the app by ASGI and the Hub by a real socket. It does not follow redirects."""

    def __init__(
        self, app: ASGIApp, *, base_url: str = BASE_URL, headers: dict[str, str] | None = None, root_path: str = ""
    ) -> None:
        transport = httpx2.ASGITransport(app=app, root_path=root_path)
        self.app = httpx2.AsyncClient(transport=transport, base_url=base_url, headers=headers)
        self.hub = httpx2.AsyncClient(verify=NO_CERTIFICATES)

    async def get(self, url: str, **options: Any) -> httpx2.Response:
        return await self.app.get(url, **options)

    async def start(self, path: str = "/zaikio/sessions/new", **parameters: Any) -> str:
        """Start a flow and return the URL to which the app redirects the browser."""
        response = await self.app.get(path, params=parameters)
        assert response.status_code == 302, response.text
        return response.headers["location"]

    async def consent(self, authorize_url: str) -> str:
        """Answer the Hub's page and return the URL to which the Hub redirects the browser."""
        response = await self.hub.get(authorize_url)
        assert response.status_code in (302, 303), response.text
        return response.headers["location"]

    async def log_in(self, path: str = "/zaikio/sessions/new", **parameters: Any) -> httpx2.Response:
        """Run the whole flow and return the response to the callback."""
        return await self.app.get(await self.consent(await self.start(path, **parameters)))

    @property
    def session(self) -> dict[str, Any]:
        """The part of the session cookie that the browser can read."""
        cookie = self.app.cookies.get("session", domain="testserver.local") or self.app.cookies.get("session")
        if not cookie or cookie == "null":
            return {}
        return json.loads(base64.b64decode(cookie.partition(".")[0]))

    @property
    def flows(self) -> list[str]:
        """The names of the browser's flow cookies."""
        return [cookie.name for cookie in self.app.cookies.jar if cookie.name.startswith("zaikio_flow_")]

    def copy_cookies_to(self, other: Visitor) -> None:
        """Give all cookies to another browser."""
        for cookie in self.app.cookies.jar:
            other.app.cookies.jar.set_cookie(cookie)

    async def aclose(self) -> None:
        await self.app.aclose()
        await self.hub.aclose()


async def expiring_token(zaikio: ZaikioOAuth, hub: LocalHub) -> AccessToken:
    """Return a person's token that has to be refreshed."""
    hub.auto_consent(person_id=hub.people[0].id)
    hub.access_token_lifetime = 20
    visitor = Visitor(small_app(zaikio))
    await visitor.log_in(force_login="true")
    hub.access_token_lifetime = 3600
    token = await zaikio.find_active_access_token(visitor.session["zaikio_access_token_id"], valid_for=0)
    await visitor.aclose()
    assert token is not None
    return token
