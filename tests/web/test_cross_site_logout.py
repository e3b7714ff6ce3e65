"""Only this site logs a person out (OWASP, "Cross-Site Request Forgery Prevention": Fetch Metadata, then Origin)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.apps import small_app
from tests.versions import SESSION_IS_ALWAYS_SENT
from tests.visitor import Visitor
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub

ROUTES = [("DELETE", "/zaikio/session"), ("POST", "/zaikio/session/delete"), ("POST", "/zaikio/kiosk/session/delete")]


@pytest.fixture(autouse=True)
def consenting(hub: LocalHub) -> None:
    """The person grants all requested scopes."""
    hub.auto_consent(person_id=hub.people[0].id)


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, id="another site"),
        pytest.param({"Sec-Fetch-Site": "same-site", "Origin": "http://blog.testserver"}, id="a subdomain"),
        pytest.param({"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"}, id="a claimed origin"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, id="without Origin"),
        pytest.param({"Sec-Fetch-Site": ""}, id="an empty header"),
        pytest.param({"Sec-Fetch-Site": "same-origin, cross-site"}, id="two values"),
        pytest.param({"Origin": "https://evil.example"}, id="an older browser"),
        pytest.param({"Origin": "https://testserver"}, id="another scheme"),
        pytest.param({"Origin": "http://testserver:8080"}, id="another port"),
        pytest.param({"Origin": "http://testserver.evil.example"}, id="a longer name"),
        pytest.param({"Origin": "null"}, id="a sandboxed frame"),
        pytest.param({"Origin": "http://["}, id="nonsense"),
        pytest.param({"Origin": ""}, id="an empty origin"),
    ],
)
async def test_another_site_cannot_log_a_person_out(
    visitor: Visitor, hub: LocalHub, method: str, path: str, headers: dict[str, str]
) -> None:
    """The answer is 403, nothing is revoked, and the session is as before."""
    await visitor.log_in()
    before = visitor.session

    answer = await visitor.app.request(method, path, headers=headers)

    assert (answer.status_code, answer.headers["cache-control"]) == (403, "no-store")
    assert SESSION_IS_ALWAYS_SENT or "set-cookie" not in answer.headers
    assert visitor.session == before
    assert (await visitor.get("/me")).status_code == 200
    assert hub.count(path="/api/v1/revoked_access_tokens") == 0


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no browser"),
        pytest.param({"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"}, id="a form"),
        pytest.param({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, id="a form on a page without referrer"),
        pytest.param({"Sec-Fetch-Site": "none"}, id="the person themselves"),
        pytest.param({"Origin": "http://testserver"}, id="an older browser"),
        pytest.param({"Origin": "HTTP://TESTSERVER:80"}, id="the same origin in other words"),
    ],
)
async def test_this_site_can(visitor: Visitor, method: str, path: str, headers: dict[str, str]) -> None:
    """The person is logged out."""
    await visitor.log_in()

    assert (await visitor.app.request(method, path, headers=headers)).status_code == 303
    assert visitor.session == {}


@pytest.mark.parametrize(
    ("origin", "status"),
    [("https://shop.example", 303), ("https://shop.example:443", 303), ("http://testserver", 403)],
)
async def test_behind_a_proxy_the_public_address_counts(
    make_settings: Callable[..., Settings], origin: str, status: int
) -> None:
    """It is that of ``base_url``, without its path."""
    async with ZaikioOAuth(make_settings(base_url="https://shop.example/app")) as zaikio:
        visitor = Visitor(small_app(zaikio))
        assert (await visitor.app.delete("/zaikio/session", headers={"Origin": origin})).status_code == status
        await visitor.aclose()
