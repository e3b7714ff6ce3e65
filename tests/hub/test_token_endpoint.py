"""The exact request of each grant type."""

from __future__ import annotations

from urllib.parse import parse_qsl

import httpx
import pytest

from tests.data import SECRET
from zaikio_oauth import ConfigurationError
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.hub.token_endpoint import TokenEndpoint
from zaikio_oauth.settings import ClientSettings

CONFIDENTIAL = ClientSettings.model_validate({"client_id": "the id", "client_secret": SECRET + ":&ä"})
PUBLIC = ClientSettings.model_validate({"client_id": "the id"})
REDIRECT_URI = "http://testserver/zaikio/sessions/approve"


class Recorder:
    """A transport that keeps the last request and responds with a token."""

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.request = request
        return httpx.Response(200, json={"access_token": "x", "refresh_token": "y", "expires_in": 60})

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.request.content.decode(), strict_parsing=True))


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def endpoint(recorder: Recorder):  # type: ignore[no-untyped-def]
    async with httpx.AsyncClient(transport=httpx.MockTransport(recorder)) as client:
        yield TokenEndpoint(HubHttp("http://hub.example", new_client=lambda: client))


CODE = {"grant_type": "authorization_code", "code": "c", "redirect_uri": REDIRECT_URI, "client_id": "the id"}


@pytest.mark.parametrize(
    ("client", "verifier", "expected"),
    [
        (CONFIDENTIAL, "v", CODE | {"client_secret": SECRET + ":&ä", "code_verifier": "v"}),
        (CONFIDENTIAL, None, CODE | {"client_secret": SECRET + ":&ä"}),
        (PUBLIC, "v", CODE | {"code_verifier": "v"}),
    ],
)
async def test_authorization_code(
    endpoint: TokenEndpoint, recorder: Recorder, client: ClientSettings, verifier: str | None, expected: dict[str, str]
) -> None:
    """The client secret is in the body (RFC 6749 §4.1.3), and so is the code verifier (RFC 7636 §4.5)."""
    response = await endpoint.authorization_code(client, code="c", redirect_uri=REDIRECT_URI, code_verifier=verifier)

    assert str(recorder.request.url) == "http://hub.example/oauth/access_token"
    assert recorder.form == expected
    assert "authorization" not in recorder.request.headers
    assert (response.token, response.refresh_token) == ("x", "y")


async def test_refresh_token_of_a_confidential_client(endpoint: TokenEndpoint, recorder: Recorder) -> None:
    """The client uses HTTP Basic, and both parts are form-encoded first (RFC 6749 §6 and §2.3.1)."""
    await endpoint.refresh_token(CONFIDENTIAL, refresh_token="r")

    assert recorder.form == {"grant_type": "refresh_token", "refresh_token": "r"}
    expected = httpx.BasicAuth("the+id", "a-client-secret-that-nobody-sees%3A%26%C3%A4")._auth_header
    assert recorder.request.headers["authorization"] == expected


async def test_refresh_token_of_a_non_confidential_client(endpoint: TokenEndpoint, recorder: Recorder) -> None:
    """The client id is in the body."""
    await endpoint.refresh_token(PUBLIC, refresh_token="r")

    assert recorder.form == {"grant_type": "refresh_token", "refresh_token": "r", "client_id": "the id"}
    assert "authorization" not in recorder.request.headers


async def test_client_credentials(endpoint: TokenEndpoint, recorder: Recorder) -> None:
    """The client uses HTTP Basic (RFC 6749 §4.4), and a refresh token in the response is ignored."""
    response = await endpoint.client_credentials(CONFIDENTIAL, scopes=["Org/1.a.b.r", "Org/1.c.d.w"])

    assert recorder.form == {"grant_type": "client_credentials", "scope": "Org/1.a.b.r,Org/1.c.d.w"}
    assert recorder.request.headers["authorization"].startswith("Basic ")
    assert (response.refresh_token, response.refresh_expires_at) == (None, None)


async def test_client_credentials_need_a_secret(endpoint: TokenEndpoint, recorder: Recorder) -> None:
    """The error is raised before any request."""
    with pytest.raises(ConfigurationError, match="without a secret"):
        await endpoint.client_credentials(PUBLIC, scopes=["Org/1.a.b.r"])

    assert not hasattr(recorder, "request")
