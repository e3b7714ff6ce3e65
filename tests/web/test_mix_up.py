"""A flow belongs to its ZaikioOAuth, its Hub, its client and its path (RFC 9700 §4.4, RFC 9207): no other takes its code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.apps import small_app
from tests.data import SECRET
from tests.visitor import BASE_URL, Visitor, query_of
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.testing import HubApp, HubServer, LocalHub

CLIENT = {"client_secret": SECRET, "default_scopes": ["zaikio.person.r"]}


@pytest.fixture
async def other_hub() -> AsyncIterator[tuple[LocalHub, str]]:
    """Yield another Hub, with an app of the same name, and its address."""
    hub = LocalHub(apps=[HubApp.for_client("warehouse", "other-id", SECRET, base_urls=[BASE_URL], prefix="/other")])
    hub.auto_consent(person_id=hub.people[0].id)
    with HubServer(hub) as server:
        yield hub, server.url


@pytest.fixture
async def visit(make_settings: Callable[..., Settings]) -> AsyncIterator[Callable[..., Any]]:
    """Yield a function that returns a visitor of an app with two ZaikioOAuth that have the same keys and database."""
    async with AsyncExitStack() as stack:

        async def both(client_id: str, host: str | None = None) -> Visitor:
            first = await stack.enter_async_context(ZaikioOAuth(make_settings()))
            clients = {"warehouse": CLIENT | {"client_id": client_id}}
            settings = make_settings(clients=clients, **({"host": host} if host else {}))
            second = await stack.enter_async_context(ZaikioOAuth(settings))
            app = small_app(first)
            app.include_router(second.router, prefix="/other")
            visitor = Visitor(app)
            stack.push_async_callback(visitor.aclose)
            return visitor

        yield both


@pytest.mark.parametrize(
    ("client_id", "elsewhere"),
    [("other-id", True), ("warehouse-id", True), ("other-id", False), ("warehouse-id", False)],
)
async def test_a_callback_for_one_is_not_taken_by_the_other(
    visit: Callable[..., Any],
    hub: LocalHub,
    other_hub: tuple[LocalHub, str],
    client_id: str,
    elsewhere: bool,
) -> None:
    """Neither the code nor its verifier goes anywhere, although the browser sends the cookie along."""
    hub.auto_consent(person_id=hub.people[0].id)
    visitor = await visit(client_id, other_hub[1] if elsewhere else None)
    callback = await visitor.consent(await visitor.start("/zaikio/sessions/new", state="mine"))
    # As a browser sends it if one of the prefixes is below the other, or if somebody has tossed it there.
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.app.cookies.jar)

    answer = await visitor.get(callback.replace("/zaikio/", "/other/"), headers={"Cookie": cookies})

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert (await visitor.get("/")).json()["error"]["code"] == "invalid_state"
    assert hub.count(path="/oauth/access_token") == other_hub[0].count(path="/oauth/access_token") == 0
    await visitor.get(callback)
    assert (await visitor.get("/me")).status_code == 200
    assert other_hub[0].count(path="/oauth/access_token") == 0


async def test_both_can_be_under_way_with_the_same_state(
    visit: Callable[..., Any], hub: LocalHub, other_hub: tuple[LocalHub, str]
) -> None:
    """Each code goes to the Hub from which it came."""
    hub.auto_consent(person_id=hub.people[0].id)
    visitor = await visit("other-id", other_hub[1])
    started = [await visitor.start(f"{prefix}/sessions/new", state="mine") for prefix in ("/zaikio", "/other")]
    for url in started:
        await visitor.get(await visitor.consent(url))

    assert hub.count(path="/oauth/access_token") == other_hub[0].count(path="/oauth/access_token") == 1


@pytest.mark.parametrize("change", ["client_id", "host", "client"])
async def test_a_flow_ends_when_what_it_was_started_for_is_gone(
    make_settings: Callable[..., Settings], hub: LocalHub, other_hub: tuple[LocalHub, str], change: str
) -> None:
    """A deployment in between may change the client or the Hub; the code is then nobody's."""
    hub.auto_consent(person_id=hub.people[0].id)
    client: dict[str, Any] = CLIENT | {"client_id": "warehouse-id"}
    new: dict[str, Any] = {
        "client_id": {"clients": {"warehouse": client | {"client_id": "another-id"}}},
        "host": {"host": other_hub[1]},
        "client": {"clients": {"renamed": client}},
    }[change]
    async with ZaikioOAuth(make_settings()) as zaikio:
        visitor = Visitor(small_app(zaikio))
        callback = await visitor.consent(await visitor.start())
        zaikio.configure(make_settings(**new))
        await visitor.get(callback)
        assert (await visitor.get("/")).json()["error"]["code"] == "invalid_state"
        await visitor.aclose()
    assert hub.count(path="/oauth/access_token") == other_hub[0].count(path="/oauth/access_token") == 0


@pytest.mark.parametrize(
    ("issuer", "accepted"),
    [
        ("{host}", True),
        ("{host}/", True),
        ("ZAI", True),
        ("https://evil.example", False),
        ("{host}.evil.example", False),
        ("{host}/evil", False),
        ("zai", False),
        ("", False),
        ("ZAI&iss=ZAI", False),
        ("ZAI&iss=https://evil.example", False),
    ],
)
@pytest.mark.parametrize("error", ["", "&error=server_error"])
async def test_the_issuer_of_a_response_is_checked(
    visitor: Visitor, hub: LocalHub, hub_url: str, issuer: str, accepted: bool, error: str
) -> None:
    """RFC 9207 §2.4, also for an error; one that is another server's does not end the flow."""
    hub.auto_consent(person_id=hub.people[0].id)
    callback = await visitor.consent(await visitor.start())

    await visitor.get(f"{callback}&iss={issuer.format(host=hub_url)}{error}")

    expected = (None if not error else "server_error") if accepted else "invalid_state"
    shown = (await visitor.get("/")).json()["error"]
    assert (shown and shown["code"]) == expected
    assert hub.count(path="/oauth/access_token") == (1 if accepted and not error else 0)
    if not accepted:
        await visitor.get(callback)
        assert (await visitor.get("/me")).status_code == 200


async def test_the_authorization_request_names_each_ones_own_client(visit: Callable[..., Any]) -> None:
    """Equal names of clients do not matter."""
    visitor = await visit("other-id")

    queries = [query_of(await visitor.start(f"{prefix}/sessions/new")) for prefix in ("/zaikio", "/other")]

    assert [(query["client_id"], query["redirect_uri"]) for query in queries] == [
        ("warehouse-id", f"{BASE_URL}/zaikio/sessions/approve"),
        ("other-id", f"{BASE_URL}/other/sessions/approve"),
    ]


async def test_a_cookie_under_the_name_of_another_flow_is_no_flow(visitor: Visitor, hub: LocalHub) -> None:
    """Its content says to which state it belongs."""
    hub.auto_consent(person_id=hub.people[0].id)
    callback = await visitor.consent(await visitor.start())
    (own,) = visitor.flows
    await visitor.start()
    (other,) = set(visitor.flows) - {own}
    swapped = {"Cookie": f"{own}={visitor.app.cookies[other]}"}

    await visitor.get(callback, headers=swapped)

    assert visitor.session["zaikio_oauth"]["error"]["code"] == "invalid_state"
    assert hub.count(path="/oauth/access_token") == 0
