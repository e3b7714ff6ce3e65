"""No cookie of ours is so long that a browser would drop it: 4,096 bytes with its name and attributes (RFC 6265 §6.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest

from tests.apps import small_app
from tests.data import SECRET
from tests.versions import SESSION_IS_ALWAYS_SENT
from tests.visitor import Visitor, query_of
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub

LIMIT = 4096
EMOJI = "\N{PARTY POPPER}"


@pytest.fixture(autouse=True)
def consenting(hub: LocalHub) -> None:
    """The person grants all requested scopes."""
    hub.auto_consent(person_id=hub.people[0].id)


def cookie_sizes(response: httpx2.Response) -> list[int]:
    """Return the bytes of each cookie that a response sets."""
    return [len(cookie.encode()) for cookie in response.headers.get_list("set-cookie")]


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({"origin": "/" + "x" * 1023}, id="a long origin"),
        pytest.param({"origin": "/" + '"' * 1023}, id="quotes, which JSON escapes"),
        pytest.param({"origin": "/" + "ü" * 1023}, id="an origin that is longer in bytes"),
        pytest.param({"origin": "/" + EMOJI * 1023}, id="emoji"),
        pytest.param({"person[name]": EMOJI * 1000, "origin": "/page"}, id="prefilled emoji"),
        pytest.param({"login": '"' * 1024, "origin": "/" + "x" * 1000}, id="a long suggestion"),
        pytest.param({f"person[{letter}]": "x" * 200 for letter in "abcdefgh"}, id="many parameters"),
        pytest.param({"state": '"' * 255, "origin": "/" + "\x7e" * 1000}, id="a long state"),
        pytest.param({"lang": "\x01" * 1000, "origin": "/" + "x" * 1000}, id="control characters, six bytes in JSON"),
    ],
)
async def test_whatever_a_start_is_given_the_login_succeeds(visitor: Visitor, parameters: dict[str, str]) -> None:
    """What is optional and too long is left out."""
    started = await visitor.get("/zaikio/sessions/new", params=parameters)

    assert started.status_code == 302
    assert max(cookie_sizes(started)) <= LIMIT
    assert len(started.headers["location"]) < 8000
    state = query_of(started.headers["location"])["state"]
    assert parameters.get("state") in (None, state)
    answer = await visitor.get(await visitor.consent(started.headers["location"]))
    assert (answer.status_code, (await visitor.get("/me")).status_code) == (303, 200)


@pytest.fixture
async def visiting(make_settings: Callable[..., Settings]) -> AsyncIterator[Callable[[int], Visitor]]:
    """Yield a function that returns a visitor of an app whose scopes take so many bytes."""
    visitors: list[Visitor] = []

    def visit(size: int) -> Visitor:
        scopes = [f"an_app.scope_number_{number:05}.rw" for number in range(size // 33)]
        client = {"client_id": "warehouse-id", "client_secret": SECRET, "default_scopes": scopes}
        visitors.append(Visitor(small_app(ZaikioOAuth(make_settings(clients={"warehouse": client})))))
        return visitors[-1]

    yield visit
    for visitor in visitors:
        await visitor.aclose()


@pytest.mark.parametrize(
    ("size", "status", "prefilled", "origin"),
    [(1000, 302, True, True), (1600, 302, False, True), (2300, 302, False, False), (4000, 400, False, False)],
)
async def test_prefilled_data_goes_first_then_the_origin_then_the_request_is_refused(
    visiting: Callable[[int], Visitor], hub: LocalHub, size: int, status: int, prefilled: bool, origin: bool
) -> None:
    """A client's scopes cannot be left out. What is refused sets no cookie and does not reach the Hub."""
    visitor = visiting(size)
    parameters = {"person[name]": "x" * 700, "login": "anna@druck.example", "origin": "/" + "y" * 700}

    answer = await visitor.get("/zaikio/sessions/new", params=parameters)

    assert answer.status_code == status
    if status == 400:
        assert SESSION_IS_ALWAYS_SENT or "set-cookie" not in answer.headers
        assert answer.headers["cache-control"] == "no-store"
        return
    query = query_of(answer.headers["location"])
    assert max(cookie_sizes(answer)) <= LIMIT
    assert ("person[name]" in query, query["login"]) == (prefilled, "anna@druck.example")
    token = {"access_token": "t", "audiences": ["warehouse"], "bearer": {"id": "1", "type": "Person"}}
    hub.fail("authorization_code", status=200, body=token)
    answer = await visitor.get(f"/zaikio/sessions/approve?state={query['state']}&code=x")
    assert answer.headers["location"] == (parameters["origin"] if origin else "/")


async def test_an_address_to_return_to_that_is_too_long_is_refused(visitor: Visitor) -> None:
    """The Hub would answer that it is not registered, after the person has been there for nothing."""
    answer = await visitor.get("/zaikio/subscriptions/new", params={"redirect_uri": f"http://testserver/{'x' * 4000}"})

    assert answer.status_code == 400
    assert SESSION_IS_ALWAYS_SENT or "set-cookie" not in answer.headers


async def test_all_flows_together_fit_into_a_header_line(visitor: Visitor) -> None:
    """Servers reject a line of more than 8 KiB; the session and the app's cookies need some of it."""
    for number in range(30):
        url = await visitor.start(origin=f"/{number}" + "x" * (900 if number % 2 else 1))
        flows = [cookie for cookie in visitor.app.cookies.jar if cookie.name in visitor.flows]
        assert len("; ".join(f"{cookie.name}={cookie.value}" for cookie in flows)) <= 6_000
    assert (await visitor.get(await visitor.consent(url))).headers["location"].startswith("/29x")


TOKEN = {"access_token": "t", "token_type": "bearer", "audiences": ["warehouse"], "expires_in": 3600}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"error": "x", "error_description": EMOJI * 3000}, id="a description"),
        pytest.param({"error": "x" * 5000}, id="a code"),
        pytest.param({"error": EMOJI * 5000}, id="a code of emoji"),
        pytest.param(TOKEN | {"audiences": [EMOJI * 2000]}, id="an audience"),
        pytest.param(TOKEN | {"bearer": {"id": "1" * 6000, "type": "Person"}}, id="a person"),
        pytest.param(
            TOKEN
            | {"bearer": {"id": "1", "type": "Organization"}, "bearer_on_behalf_of": {"id": EMOJI * 900, "roles": []}},
            id="on behalf of",
        ),
        pytest.param(TOKEN | {"bearer": {"id": "1", "type": EMOJI * 3000}}, id="a type"),
        pytest.param(TOKEN | {"token_type": EMOJI * 3000}, id="a type of token"),
        pytest.param(TOKEN | {"expires_in": "9" * 6000}, id="a lifetime"),
    ],
)
async def test_whatever_the_hub_answers_the_session_stays_short(
    visitor: Visitor, hub: LocalHub, body: dict[str, Any]
) -> None:
    """The app's own part of the session survives, so the person is not logged out of it."""
    await visitor.app.post("/remember", json={"cart": "x" * 500})
    hub.fail("authorization_code", status=400 if "error" in body else 200, body=body, times=None)

    answer = await visitor.log_in(lang="de")

    assert answer.status_code == 303
    assert max(cookie_sizes(answer)) <= LIMIT - 500
    assert visitor.session["cart"] == "x" * 500
    error = (await visitor.get("/")).json()["error"]
    assert error["message"]
    assert len(error["description"] or "") < 800


@pytest.mark.parametrize("query", [{"error": "x", "error_description": EMOJI * 5000}, {"error": '"' * 5000}])
async def test_whatever_an_address_says_the_session_stays_short(visitor: Visitor, query: dict[str, str]) -> None:
    """A callback's error comes by way of the browser, with whatever ``lang`` the start was given."""
    state = query_of(await visitor.start(lang="x" * 900))["state"]

    answer = await visitor.get("/zaikio/sessions/approve", params={"state": state} | query)

    assert max(cookie_sizes(answer)) < 1500
    assert (await visitor.get("/")).json()["error"]["message"]
