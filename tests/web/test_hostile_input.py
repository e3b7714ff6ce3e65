"""States, parameters and sessions of any content: refused or ignored, and never an error of ours."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from itsdangerous import TimestampSigner

from tests.apps import small_app
from tests.visitor import Visitor, query_of
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub

LONE_SURROGATE = "\ud800"
GARBAGE: list[Any] = [
    None,
    True,
    7,
    -1.5e300,
    10**400,
    "",
    "x",
    "\0",
    "a\0b",
    LONE_SURROGATE,
    f"/{LONE_SURROGATE}",
    "x" * 300,
    "a b",
    "a\r\nSet-Cookie: x=y",
    "virtual::" + LONE_SURROGATE,
    "virtual:warehouse:" + "\0",
    "ü",
    [],
    ["/x"],
    {},
    {"a": {"b": []}},
    {"error": "x"},
    {"error": {"code": None, "description": ["x"], "language": 7}},
    {"error": {"code": {"a": 1}, "description": LONE_SURROGATE, "language": LONE_SURROGATE}},
    {"error": {"code": "x" * 3000, "description": "\0" * 3000, "language": "d\0e"}},
    {"error": []},
    {"error": {}},
]


@pytest.fixture(autouse=True)
def consenting(hub: LocalHub) -> None:
    """The person grants all requested scopes."""
    hub.auto_consent(person_id=hub.people[0].id)


def give_session(visitor: Visitor, content: Any) -> None:
    """Give the browser a session with this content, signed as the app signs it."""
    data = b64encode(json.dumps(content).encode())
    value = TimestampSigner("session-secret-of-the-tests").sign(data).decode()
    visitor.app.cookies.clear()
    visitor.app.cookies.set("session", value, domain="testserver.local")


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        (b"x=\xff&y=\xc3\xbc", "x=%FF&y=%C3%BC"),
        (b"x=%ff&y={}|^`\"'<>[]", "x=%ff&y={}|^`\"'<>[]"),
    ],
)
async def test_a_page_view_may_have_any_bytes_in_its_query(zaikio: ZaikioOAuth, query: bytes, kept: str) -> None:
    """Servers pass on what is no UTF-8; the person is sent to the login, and back to the same address."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/me",
        "raw_path": b"/me",
        "query_string": query,
        "headers": [(b"host", b"testserver"), (b"accept", b"text/html")],
        "server": ("testserver", 80),
    }
    await small_app(zaikio)(scope, receive, send)

    assert sent[0]["status"] == 303
    assert query_of(dict(sent[0]["headers"])[b"location"].decode()) == {"origin": f"/me?{kept}"}


@pytest.mark.parametrize("key", ["zaikio_oauth", "origin", "zaikio_access_token_id", "zaikio_person_id"])
async def test_any_content_of_the_session_is_survived(visitor: Visitor, hub: LocalHub, key: str) -> None:
    """The app, or another library, may have written anything under our keys; nobody is logged in by it."""
    for garbage in GARBAGE:
        give_session(visitor, {key: garbage, "cart": ["paper"]})
        home = (await visitor.get("/")).json()
        assert set(home) == {"error"}, garbage
        for path, status in [("/me", 401), ("/maybe", 200), ("/zaikio/sessions/approve?code=x", 303)]:
            give_session(visitor, {key: garbage, "cart": ["paper"]})
            assert (await visitor.get(path)).status_code == status, (path, garbage)
        give_session(visitor, {key: garbage, "cart": ["paper"]})
        answer = await visitor.log_in()
        assert (answer.status_code, answer.headers["location"]) == (303, "/" if garbage != "/x" else "/x"), garbage
        assert (await visitor.get("/me")).status_code == 200, garbage
        give_session(visitor, {key: garbage, "cart": ["paper"]})
        assert (await visitor.app.delete("/zaikio/session")).status_code == 303, garbage
        assert visitor.session == {"cart": ["paper"]}, garbage


@pytest.mark.postgresql
async def test_an_impossible_id_never_reaches_the_database(
    make_settings: Callable[..., Settings], postgresql_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """PostgreSQL would refuse a NUL, and a lone surrogate cannot be encoded."""
    async with ZaikioOAuth(make_settings(database_url=postgresql_url, auto_migrate=True)) as zaikio:
        visitor = Visitor(small_app(zaikio))
        for garbage in GARBAGE:
            give_session(visitor, {"zaikio_access_token_id": garbage})
            assert (await visitor.get("/me")).status_code == 401, garbage
            give_session(visitor, {"zaikio_access_token_id": garbage})
            assert (await visitor.app.delete("/zaikio/session")).status_code == 303, garbage
        await visitor.aclose()
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


@pytest.mark.parametrize(
    "state",
    ["ä", "%C3%A4", "%00", "a%00b", "%0d%0aX:y", "%F0%9F%8E%89", "%ED%A0%80", "%FF", "%7F", "", "x" * 3000, "\u200b"],
)
async def test_an_impossible_state_is_no_states_of_the_app(
    make_settings: Callable[..., Settings], hub: LocalHub, state: str
) -> None:
    """RFC 6749 §A.5 allows printable ASCII; the hook, which may compare in constant time, never sees anything else."""
    seen: list[str] = []
    async with ZaikioOAuth(make_settings(), verify_state=lambda request, state: seen.append(state) or True) as zaikio:
        visitor = Visitor(small_app(zaikio))
        answer = await visitor.get(f"/zaikio/sessions/approve?state={quote(state, safe='%')}&code=x")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert (await visitor.get("/")).json()["error"]["code"] == "invalid_state"
        await visitor.aclose()
    assert seen == []
    assert hub.count(path="/oauth/access_token") == 0


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ("lang=de&lang=en", {}),
        ("lang=de&lang=de", {}),
        ("login=a&login=b&prompt=none", {"prompt": "none"}),
        ("person[name]=a&person[name]=b", {}),
        ("show_signup=true&show_signup=true", {}),
    ],
)
async def test_a_doubled_parameter_is_ignored(visitor: Visitor, query: str, sent: dict[str, str]) -> None:
    """The Hub would refuse a request in which one occurs twice (RFC 6749 §3.1)."""
    response = await visitor.get(f"/zaikio/sessions/new?{query}")

    parameters = query_of(response.headers["location"])
    names = {pair.partition("=")[0] for pair in query.split("&")}
    assert {name: parameters[name] for name in names & parameters.keys()} == sent


async def test_a_doubled_language_is_that_of_the_browser(visitor: Visitor) -> None:
    """The parameter counts as not given."""
    response = await visitor.get("/zaikio/sessions/new?lang=de&lang=en", headers={"Accept-Language": "fr"})

    assert query_of(response.headers["location"])["lang"] == "fr"


async def test_doubled_parameters_of_ours_are_not_guessed(visitor: Visitor) -> None:
    """A state or an origin that is given twice is none; what becomes part of a scope is refused."""
    url = (await visitor.get("/zaikio/sessions/new?state=a&state=b&origin=/a&origin=/b")).headers["location"]
    answer = await visitor.get(await visitor.consent(url))
    doubled = [
        await visitor.get(f"/zaikio/subscriptions/new?{name}=a&{name}=b")
        for name in ("organization_id", "plan", "app_name")
    ]
    returning = await visitor.start("/zaikio/subscriptions/new?redirect_uri=http://testserver/a&redirect_uri=/b")

    assert re.fullmatch(r"[A-Za-z0-9_-]{43}[0-9a-f]{8}", query_of(url)["state"])
    assert answer.headers["location"] == "/"
    assert [response.status_code for response in doubled] == [400, 400, 400]
    assert query_of(returning)["redirect_uri"] == "http://testserver/zaikio/connections/approve"


@pytest.mark.parametrize("description", ["line\r\nbreak", "\x1b[31mred\x1b[0m", "\u202ebidi", "nul\0", "\u2028"])
@pytest.mark.parametrize("by_the_hub", [False, True])
async def test_control_characters_never_reach_a_log_line(
    visitor: Visitor, hub: LocalHub, caplog: pytest.LogCaptureFixture, description: str, by_the_hub: bool
) -> None:
    """An attacker could otherwise write lines of their own, or colour those of others."""
    if by_the_hub:
        body = {"error": "server_error", "error_description": description}
        hub.fail("authorization_code", status=400, body=body, times=None)
        await visitor.log_in()
    else:
        state = query_of(await visitor.start())["state"]
        query = {"state": state, "error": "server_error", "error_description": description}
        await visitor.get("/zaikio/sessions/approve", params=query)

    assert (await visitor.get("/")).json()["error"]["code"] == "server_error"
    lines = [record.getMessage() for record in caplog.records if record.name == "zaikio_oauth"]
    assert [line for line in lines if not line.isprintable()] == []
    assert any("ended in server_error" in line for line in lines)
