"""Who is sent to the login: a person who navigates to a page, not a script that fetches one and not a prefetch.

Fetch Metadata and ``Sec-Purpose`` are as browsers send them; Turbo and htmx as they do where there is no Fetch Metadata.
"""

from __future__ import annotations

import pytest

from tests.visitor import Visitor

PAGE = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
TURBO = {"Accept": "text/html, application/xhtml+xml"}
PREFETCHES = [
    pytest.param({"Sec-Fetch-Mode": "navigate", "Sec-Purpose": "prefetch"}, id="Chromium's prefetch"),
    pytest.param({"Sec-Fetch-Mode": "navigate", "Sec-Purpose": "prefetch;prerender"}, id="Chromium's prerender"),
    pytest.param({"Sec-Purpose": "prefetch;anonymous-client-ip"}, id="a private prefetch proxy"),
    pytest.param({"Purpose": "prefetch"}, id="Safari's and an older Chromium's"),
    pytest.param({"X-Moz": "prefetch"}, id="an older Firefox's"),
    pytest.param({"X-Sec-Purpose": "prefetch"}, id="Turbo's, when the pointer is over a link"),
    pytest.param({"X-Purpose": "preview"}, id="a preview of Safari"),
]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="a browser without Fetch Metadata"),
        pytest.param({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, id="a page"),
        pytest.param({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, id="a page in a frame"),
        pytest.param({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"}, id="a link on another site"),
        pytest.param(
            {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-User": "?1", "X-Requested-With": "x.y"}, id="a web view"
        ),
    ],
)
async def test_a_navigation_is_sent_to_the_login(visitor: Visitor, headers: dict[str, str]) -> None:
    """The person comes back to where they were."""
    answer = await visitor.get("/me?x=1", headers=PAGE | headers)

    assert (answer.status_code, answer.headers["location"]) == (303, "/zaikio/sessions/new?origin=%2Fme%3Fx%3D1")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(TURBO | {"Sec-Fetch-Mode": "same-origin"}, id="Turbo"),
        pytest.param(TURBO | {"Sec-Fetch-Mode": "same-origin", "Turbo-Frame": "orders"}, id="a frame of Turbo"),
        pytest.param(TURBO | {"X-Turbo-Request-Id": "8d1b"}, id="Turbo on http"),
        pytest.param({"Sec-Fetch-Mode": "cors", "HX-Request": "true"}, id="htmx"),
        pytest.param({"HX-Request": "true", "HX-Boosted": "true"}, id="htmx on http"),
        pytest.param({"X-Requested-With": "XMLHttpRequest"}, id="jQuery on http"),
        pytest.param({"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, id="an image"),
        pytest.param({"Sec-Fetch-Mode": "websocket"}, id="a WebSocket"),
        pytest.param({"Sec-Fetch-Mode": ""}, id="something unknown"),
        *PREFETCHES,
    ],
)
async def test_everything_else_gets_401(visitor: Visitor, headers: dict[str, str]) -> None:
    """A script would follow the redirect to another site, and a login that nobody wanted would be under way."""
    answer = await visitor.get("/me", headers=PAGE | headers)

    assert (answer.status_code, answer.headers["cache-control"]) == (401, "no-store")
    assert visitor.flows == []


@pytest.mark.parametrize("headers", PREFETCHES)
@pytest.mark.parametrize("path", ["sessions/new", "connections/new", "subscriptions/new", "kiosk/sessions/new"])
async def test_a_prefetched_link_to_the_login_starts_nothing(
    visitor: Visitor, path: str, headers: dict[str, str]
) -> None:
    """Otherwise a whole login could happen before anybody has clicked."""
    answer = await visitor.get(f"/zaikio/{path}", headers=PAGE | headers)

    assert (answer.status_code, answer.headers["cache-control"]) == (401, "no-store")
    assert visitor.flows == []
