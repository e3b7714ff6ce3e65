"""What a request says about itself is not believed, and nothing of it becomes a line of its own in a header or a log."""

from __future__ import annotations

import hmac
import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from typing import Any

import httpx2
import pytest

from tests.apps import small_app
from tests.data import some_client
from tests.visitor import Visitor, query_of
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub

EVIL = {
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Port": "81",
    "X-Original-URL": "//evil.example/",
    "X-Rewrite-URL": "//evil.example/",
    "X-Host": "evil.example",
    "Forwarded": "host=evil.example;proto=https",
    "Origin": "https://evil.example",
    "Referer": "https://evil.example/",
}
INJECTED = [
    "\r\nSet-Cookie: a=b",
    "\n\nHTTP/1.1 200 OK",
    "\x00",
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m",
    "\u2028",
    "\u202e",
    "\u0085",
]
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return every line that we have logged, and every field of them."""
    records = [record for record in caplog.records if record.name == "zaikio_oauth"]
    fields = [str(value) for record in records for name, value in vars(record).items() if name.startswith("zaikio_")]
    return [record.getMessage() for record in records] + fields


@pytest.fixture(autouse=True)
def consenting(hub: LocalHub) -> None:
    """The person grants all requested scopes."""
    hub.auto_consent(person_id=hub.people[0].id)


@pytest.fixture
async def zaikio(make_settings: Callable[..., Settings]) -> AsyncIterator[ZaikioOAuth]:
    """Yield an instance with a webhook."""
    client = some_client(webhook_secret="shared")
    async with ZaikioOAuth(make_settings(clients={"warehouse": client})) as opened:
        yield opened


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "testserver@evil.example",
        "testserver\\@evil.example",
        "testserver#@evil.example",
        "",
        "[",
        "testserver:99999",
        "a b",
        "testserver%0d%0aX: y",
    ],
)
async def test_a_host_header_changes_nothing_with_a_base_url(make_settings: Callable[..., Settings], host: str) -> None:
    """Neither the address of the callback, nor the cookie's path, nor where a login returns to."""
    async with ZaikioOAuth(make_settings(base_url="https://shop.example/app")) as zaikio:
        visitor = Visitor(small_app(zaikio))
        query = {"origin": f"https://{host}/x"}
        started = await visitor.get("/zaikio/sessions/new", headers=EVIL | {"Host": host}, params=query)
        page = await visitor.get("/me", headers=EVIL | {"Host": host, "Accept": "text/html"})
        await visitor.aclose()

    assert query_of(started.headers["location"])["redirect_uri"] == "https://shop.example/app/zaikio/sessions/approve"
    assert "Path=/app/zaikio;" in started.headers["set-cookie"]
    assert page.headers["location"] == "/app/zaikio/sessions/new?origin=%2Fapp%2Fme"


async def test_forwarded_headers_are_the_servers_business(visitor: Visitor) -> None:
    """Without ``base_url`` the server says what the address is; headers that anybody can send are not read by us."""
    started = await visitor.get("/zaikio/sessions/new", headers=EVIL)

    assert query_of(started.headers["location"])["redirect_uri"] == "http://testserver/zaikio/sessions/approve"
    assert "Secure" not in started.headers["set-cookie"]


async def test_the_hub_refuses_an_address_that_a_host_header_made(visitor: Visitor) -> None:
    """Without ``base_url`` a forged ``Host`` gives a redirect URI that is not registered, so no code is issued."""
    started = await visitor.get("/zaikio/sessions/new", headers={"Host": "evil.example"})
    answer = await visitor.hub.get(started.headers["location"])

    assert query_of(started.headers["location"])["redirect_uri"] == "http://evil.example/zaikio/sessions/approve"
    assert answer.status_code == 400
    assert "location" not in answer.headers


def requests_with(text: str) -> list[dict[str, Any]]:
    """Return a request for each place in which a visitor can put a text."""
    start, approve = "/zaikio/sessions/new", "/zaikio/sessions/approve"
    names = ["origin", "state", "lang", "login", "prompt", "person[name]", "organization[kinds][]"]
    made: list[dict[str, Any]] = [{"url": start, "params": {name: f"x{text}y"}} for name in names]
    made += [{"url": approve, "params": {name: f"x{text}y"}} for name in ("state", "error", "code", "iss")]
    made += [{"url": approve, "params": {"error": "server_error", "error_description": f"x{text}y"}}]
    made += [{"url": f"/zaikio/{httpx2.QueryParams({'n': f'a{text}b'})!s}/sessions/new".replace("n=", "")}]
    latin = f"x{text}y".encode("latin-1", "replace").replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")
    headers = ("Accept-Language", "Cookie", "Referer", "X-Loom-Signature", "Authorization", "User-Agent")
    made += [{"url": start, "headers": [(name.encode(), latin)]} for name in headers]
    return made


@pytest.mark.parametrize("text", INJECTED, ids=ascii)
async def test_a_request_adds_no_line_to_a_header_or_the_log(
    visitor: Visitor, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """Line ends, escape sequences and other control characters are encoded, dropped or refused, never a 500."""
    with caplog.at_level(logging.DEBUG, "zaikio_oauth"):
        answers = [await visitor.app.get(**request) for request in requests_with(text)]
        for state in [await visitor.start()] * 1:
            query = {"state": query_of(state)["state"], "error": "server_error", "error_description": f"x{text}y"}
            answers.append(await visitor.get("/zaikio/sessions/approve", params=query))
        body = json.dumps({"name": f"zaikio{text}", "payload": {"access_token_id": f"a{text}b"}, "id": text}).encode()
        signed = {"X-Loom-Signature": hmac.new(b"shared", body, sha256).hexdigest()}
        answers += [await visitor.app.post("/zaikio/webhook", content=body, headers=each) for each in (signed, {})]

    assert [answer.status_code for answer in answers if answer.status_code >= 500] == []
    assert {value for answer in answers for value in answer.headers.values() if CONTROL.search(value)} == set()
    assert {answer.headers.get("a") for answer in answers} == {None}
    assert [text for text in logged(caplog) if CONTROL.search(text)] == []


@pytest.mark.parametrize("text", INJECTED, ids=ascii)
async def test_the_hub_adds_no_line_to_the_log(
    visitor: Visitor, hub: LocalHub, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """Nor does what the Hub answers: an id, a scope, an audience, an error."""
    token = {"access_token": "opaque", "audiences": ["warehouse"], "expires_in": 3600, "scope": "zaikio.person.r"}
    bodies: list[tuple[int, Any]] = [
        (200, token | {"bearer": {"type": "Person", "id": f"29b2{text}x"}}),
        (200, token | {"bearer": {"type": "Person", "id": "29b2"}, "scope": f"a.b.r,{text}"}),
        (200, token | {"bearer": {"type": "Person", "id": "29b2"}, "audiences": [f"x{text}"]}),
        (200, token | {"bearer": {"type": f"Person{text}", "id": "29b2"}}),
        (400, {"error": f"invalid{text}", "error_description": f"x{text}"}),
        (401, {"errors": [f"x{text}"]}),
    ]
    with caplog.at_level(logging.DEBUG, "zaikio_oauth"):
        for status, body in bodies:
            hub.fail("authorization_code", status=status, body=body)
            answer = await visitor.log_in()
            assert answer.status_code == 303
            hub.clear_faults()

    assert [text for text in logged(caplog) if CONTROL.search(text)] == []
