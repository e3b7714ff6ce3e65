"""Connecting an organization to the app, and subscribing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.apps import small_app
from tests.versions import SESSION_IS_ALWAYS_SENT
from tests.visitor import BASE_URL, Visitor, query_of
from zaikio_oauth import AccessToken, Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub


async def test_the_person_picks_the_organization(visitor: Visitor) -> None:
    """Every scope has the prefix ``Org.``, and the redirect URI is that of the connection."""
    query = query_of(await visitor.start("/zaikio/connections/new"))

    assert query["scope"] == "Org.zaikio.organization.r"
    assert query["redirect_uri"] == f"{BASE_URL}/zaikio/connections/approve"


async def test_the_app_can_choose_the_organization(visitor: Visitor) -> None:
    """Every scope has the prefix ``Org/<id>.``."""
    query = query_of(await visitor.start("/zaikio/warehouse/connections/new", organization_id="b147-5f65"))

    assert query["scope"] == "Org/b147-5f65.zaikio.organization.r"
    assert query["redirect_uri"] == f"{BASE_URL}/zaikio/warehouse/connections/approve"


@pytest.mark.parametrize("value", ["x.zaikio.admin.rw,Org/y", "a b", "a/b", "a>b", "ä", "x" * 65, "a\n"])
@pytest.mark.parametrize("name", ["organization_id", "plan", "app_name"])
async def test_a_parameter_cannot_add_scopes(visitor: Visitor, name: str, value: str) -> None:
    """A parameter that becomes part of a scope is rejected with HTTP 400 unless it is an id or a name."""
    answer = await visitor.get("/zaikio/subscriptions/new", params={name: value})

    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(f"{name} may contain only")
    assert SESSION_IS_ALWAYS_SENT or "set-cookie" not in answer.headers


async def test_a_connection_stores_a_token_and_logs_nobody_in(
    visitor: Visitor, hub: LocalHub, zaikio: ZaikioOAuth
) -> None:
    """A worker finds the token, and the session is not changed."""
    person = hub.people[0]
    organization = hub.organizations_of(person.id)[0]
    hub.auto_consent(person_id=person.id, organization_id=organization.id)

    answer = await visitor.log_in("/zaikio/connections/new", origin="/installed")

    assert answer.headers["location"] == "/installed"
    assert visitor.session == {}
    assert visitor.flows == []
    token = await zaikio.find_usable_access_token(
        bearer_type="Organization", bearer_id=organization.id, requested_scopes=["zaikio.organization.r"]
    )
    assert token is not None
    assert (token.organization, token.scopes) == (True, ("zaikio.organization.r",))


async def test_a_connection_does_not_change_who_is_logged_in(visitor: Visitor, hub: LocalHub) -> None:
    """The session is the same before and after the connection."""
    person = hub.people[0]
    hub.auto_consent(person_id=person.id, organization_id=hub.organizations_of(person.id)[0].id)
    await visitor.log_in()
    before = visitor.session

    await visitor.log_in("/zaikio/connections/new")

    assert visitor.session == before


async def test_a_client_without_organization_scopes_has_no_connections(visitor: Visitor) -> None:
    """Each of the paths returns HTTP 404."""
    for path in ["connections/new", "connections/approve", "subscriptions/new"]:
        assert (await visitor.get(f"/zaikio/kiosk/{path}")).status_code == 404, path


async def test_a_login_flow_cannot_end_as_a_connection(visitor: Visitor, hub: LocalHub) -> None:
    """A state is valid only on the route that it was started for."""
    hub.auto_consent(person_id=hub.people[0].id)
    callback = await visitor.consent(await visitor.start())

    await visitor.get(callback.replace("/sessions/", "/connections/"))

    assert (await visitor.get("/")).json()["error"]["code"] == "invalid_state"
    assert hub.count(path="/oauth/access_token") == 0


@pytest.mark.parametrize(
    ("parameters", "scope"),
    [
        ({}, "Org.subscription_create"),
        ({"plan": "free"}, "Org.subscription_create.free"),
        ({"app_name": "paper_mill"}, "Org.subscription_create_paper_mill"),
        ({"app_name": "paper_mill", "plan": "pro"}, "Org.subscription_create_paper_mill.pro"),
        ({"organization_id": "b147"}, "Org/b147.subscription_create"),
        ({"organization_id": "b147", "app_name": "mill", "plan": "pro"}, "Org/b147.subscription_create_mill.pro"),
        ({"organization_id": "", "plan": ""}, "Org.subscription_create"),
    ],
)
async def test_a_subscription_requests_its_scope(visitor: Visitor, parameters: dict[str, Any], scope: str) -> None:
    """The scope is that of the Hub documentation, "Subscription redirect flow", with the connection's redirect URI."""
    query = query_of(await visitor.start("/zaikio/subscriptions/new", **parameters))

    assert query["scope"] == scope
    assert query["redirect_uri"] == f"{BASE_URL}/zaikio/connections/approve"


async def test_a_subscription_ends_as_a_connection(visitor: Visitor, hub: LocalHub) -> None:
    """The flow runs from its start to the stored token and returns to the origin."""
    person = hub.people[0]
    hub.auto_consent(person_id=person.id, organization_id=hub.organizations_of(person.id)[0].id)

    answer = await visitor.log_in("/zaikio/subscriptions/new", plan="free", origin="/subscribed")

    assert answer.headers["location"] == "/subscribed"
    assert visitor.session == {}


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (f"{BASE_URL}/custom/callback", f"{BASE_URL}/custom/callback"),
        ("https://evil.example/callback", f"{BASE_URL}/zaikio/connections/approve"),
        ("http://testserver.evil.example/", f"{BASE_URL}/zaikio/connections/approve"),
        ("//evil.example", f"{BASE_URL}/zaikio/connections/approve"),
        ("http://[", f"{BASE_URL}/zaikio/connections/approve"),
    ],
)
async def test_a_subscription_returns_only_to_this_site(visitor: Visitor, given: str, used: str) -> None:
    """Any other redirect URI is ignored. The gem accepted any address, although the Hub knows only registered ones."""
    query = query_of(await visitor.start("/zaikio/subscriptions/new", redirect_uri=given))

    assert query["redirect_uri"] == used


async def test_a_hook_sees_the_organizations_token(make_settings: Callable[..., Settings], hub: LocalHub) -> None:
    """``after_approve`` receives the organization's token, so an app can record who has installed it."""
    seen: list[tuple[AccessToken, str | None]] = []
    person = hub.people[0]
    hub.auto_consent(person_id=person.id, organization_id=hub.organizations_of(person.id)[0].id)
    async with ZaikioOAuth(
        make_settings(), after_approve=lambda request, token, origin: seen.append((token, origin)) or "/hooked"
    ) as zaikio:
        visitor = Visitor(small_app(zaikio))
        answer = await visitor.log_in("/zaikio/connections/new", origin="/from")
        await visitor.aclose()

    assert answer.headers["location"] == "/hooked"
    assert [(token.organization, origin) for token, origin in seen] == [(True, "/from")]
