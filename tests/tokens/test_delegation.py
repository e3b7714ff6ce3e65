"""A part of a token's permissions for a subsystem (Hub documentation, "Delegation")."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.data import ORGANIZATION_ID, PERSON_ID, SECRET
from tests.inside import mark_revoked
from zaikio_oauth import (
    AccessToken,
    ConfigurationError,
    InvalidGrantError,
    InvalidResponseError,
    InvalidScopesError,
    OAuthError,
    Settings,
    TokenEvent,
    UnknownClientError,
    ZaikioOAuth,
    configure,
    delegate,
)
from zaikio_oauth.testing import HubApp, LocalHub

DELEGATE = "/oauth/delegate"
SCOPES = ["zaikio.delegations.rw", "zaikio.sites.r", "zaikio.machines.r"]


@pytest.fixture
async def parent(zaikio: ZaikioOAuth, hub: LocalHub) -> AccessToken:
    """An organization's token that may be delegated."""
    hub.apps.append(HubApp.for_client("plate-setter", "setter-id", "its-own-secret"))
    hub.grant("warehouse-id", "Organization", ORGANIZATION_ID, SCOPES)
    return await zaikio.get_access_token(bearer_type="Organization", bearer_id=ORGANIZATION_ID, scopes=SCOPES)


async def test_a_subsystem_gets_a_part(zaikio: ZaikioOAuth, hub: LocalHub, parent: AccessToken) -> None:
    """Of the same bearer, for its own audience, stored under an id of its own."""
    part = await zaikio.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])

    assert (part.audience, part.bearer_type, part.bearer_id) == ("plate-setter", "Organization", ORGANIZATION_ID)
    assert (part.scopes, part.requested_scopes) == (("zaikio.sites.r",), ("zaikio.sites.r",))
    assert (part.refresh_token, part.delegated_from) == (None, parent.id)
    assert part.id != parent.id
    assert await zaikio.find_active_access_token(part.id) == part
    assert parent.delegated_from is None


async def test_the_parent_stays_what_workers_get(zaikio: ZaikioOAuth, parent: AccessToken) -> None:
    """The newest token wins, but only among those for our own audience."""
    await zaikio.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])
    found = await zaikio.get_access_token(
        bearer_type="Organization", bearer_id=ORGANIZATION_ID, scopes=["zaikio.sites.r"]
    )
    assert found == parent


async def test_a_subsystem_that_is_configured_here_finds_it_under_its_name(
    zaikio: ZaikioOAuth, hub: LocalHub, parent: AccessToken
) -> None:
    """Several clients of one process: the delegated token is the second one's."""
    part = await zaikio.delegate(parent, client_id="kiosk-id", scopes="zaikio.sites.r,zaikio.machines.r")
    found = await zaikio.find_usable_access_token(
        client_name="kiosk",
        bearer_type="Organization",
        bearer_id=ORGANIZATION_ID,
        requested_scopes=["zaikio.machines.r"],
    )
    assert found == part


async def test_prefixes_are_left_out(zaikio: ZaikioOAuth, hub: LocalHub, parent: AccessToken) -> None:
    """The bearer is the parent's, so a scope need not name one."""
    part = await zaikio.delegate(parent, client_id="setter-id", scopes=[f"Org/{ORGANIZATION_ID}.zaikio.sites.r"])
    assert part.scopes == ("zaikio.sites.r",)


async def test_a_delegated_token_is_never_delegated_again(
    zaikio: ZaikioOAuth, hub: LocalHub, parent: AccessToken
) -> None:
    """Told before the Hub is asked, also when it was read from the store, and whatever was made of it."""
    part = await zaikio.delegate(parent, client_id="warehouse-id", scopes=SCOPES)
    asked = hub.count(path=DELEGATE)
    stored = await zaikio.find_active_access_token(part.id)
    assert stored is not None
    for each in (part, stored, part.model_copy(update={"delegated_from": None})):
        with pytest.raises(InvalidScopesError) as caught:
            await zaikio.delegate(each, client_id="setter-id", scopes=["zaikio.sites.r"])
        assert caught.value.code == "delegation_access_token_cannot_delegate"
    assert hub.count(path=DELEGATE) == asked


async def test_a_parent_that_has_expired_is_refreshed_first(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """The caller's copy may be old."""
    hub.device_interval = 1
    hub.access_token_lifetime = 20
    async with configure(make_settings()) as zaikio:
        device = await zaikio.start_device_authorization(scopes=SCOPES)
        hub.approve_device(device.user_code, PERSON_ID)
        old = await device.wait()
        hub.access_token_lifetime = 3600
        part = await delegate(old, client_id="kiosk-id", scopes=["zaikio.sites.r"])
        assert (part.bearer_id, part.expires_in > 3000) == (PERSON_ID, True)
        assert hub.count(grant_type="refresh_token") == 1


async def test_the_roles_of_who_acts_come_along(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """On behalf stays on behalf."""
    hub.device_interval = 1
    device = await zaikio.start_device_authorization(scopes=[f"Per>Org/{ORGANIZATION_ID}.{each}" for each in SCOPES])
    hub.approve_device(device.user_code, PERSON_ID)
    acting = await device.wait()
    part = await zaikio.delegate(acting, client_id="kiosk-id", scopes=["zaikio.sites.r"])
    assert part.on_behalf_of == acting.on_behalf_of


@pytest.mark.parametrize(
    ("granted", "wanted", "code"),
    [
        (["zaikio.sites.r"], ["zaikio.sites.r"], "parent_has_no_delegation_permission"),
        (SCOPES, ["zaikio.person.r"], "scope_was_not_granted_in_parent"),
        (SCOPES, ["sites"], "malformed_scope"),
        (SCOPES, [], "malformed_scope"),
    ],
)
async def test_a_delegation_that_the_hub_refuses(
    zaikio: ZaikioOAuth, hub: LocalHub, granted: list[str], wanted: list[str], code: str
) -> None:
    """With the Hub's word for it; the parent goes on."""
    hub.grant("warehouse-id", "Organization", ORGANIZATION_ID, granted)
    bearer: dict[str, Any] = {"bearer_type": "Organization", "bearer_id": ORGANIZATION_ID}
    parent = await zaikio.get_access_token(**bearer, scopes=granted)
    with pytest.raises(InvalidScopesError) as caught:
        await zaikio.delegate(parent, client_id="kiosk-id", scopes=wanted)

    assert caught.value.code == code
    assert await zaikio.get_access_token(**bearer, scopes=granted) == parent


async def test_a_subsystem_that_does_not_exist(zaikio: ZaikioOAuth, parent: AccessToken) -> None:
    """The Hub's refusal, as it is."""
    with pytest.raises(OAuthError) as caught:
        await zaikio.delegate(parent, client_id="nobody", scopes=["zaikio.sites.r"])
    assert caught.value.code == "invalid_client"


async def test_a_parent_that_was_revoked_delegates_nothing(
    zaikio: ZaikioOAuth, hub: LocalHub, parent: AccessToken
) -> None:
    """At the Hub: 401. Here: it is no longer stored."""
    hub.revoke(parent.jti or "")
    with pytest.raises(OAuthError) as caught:
        await zaikio.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])
    assert caught.value.status_code == 401
    await mark_revoked(zaikio, [parent.jti or ""])
    with pytest.raises(InvalidGrantError, match="no longer stored"):
        await zaikio.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])


async def test_only_a_client_with_a_secret_delegates(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """Said before anything is asked."""
    hub.device_interval = 1
    device = await zaikio.start_device_authorization("kiosk", scopes=SCOPES)
    hub.approve_device(device.user_code, PERSON_ID)
    token = await device.wait()
    with pytest.raises(ConfigurationError, match="'kiosk' has no secret"):
        await zaikio.delegate(token, client_id="warehouse-id", scopes=["zaikio.sites.r"])
    assert hub.count(path=DELEGATE) == 0


async def test_a_client_that_is_configured_no_more_delegates_nothing(
    make_settings: Callable[..., Settings], hub: LocalHub, parent: AccessToken
) -> None:
    """The app has given it up; its name is in the error."""
    client = {"client_id": "other-id", "client_secret": SECRET}
    async with ZaikioOAuth(make_settings(clients={"other": client})) as zaikio:
        with pytest.raises(UnknownClientError, match="warehouse"):
            await zaikio.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])


BEARER = {"type": "Organization", "id": ORGANIZATION_ID}


@pytest.mark.parametrize(
    ("answer", "audience"),
    [
        ({"audiences": ["Plate-Setter"]}, "Plate-Setter"),
        ({"audiences": ["Kiosk"]}, "kiosk"),
        ({"audiences": []}, "setter-id"),
        ({}, "setter-id"),
        ({"bearer": None}, "setter-id"),
        ({"refresh_token": "the-subsystems"}, "setter-id"),
    ],
)
async def test_what_an_answer_leaves_out(
    zaikio: ZaikioOAuth, hub: LocalHub, parent: AccessToken, answer: dict[str, Any], audience: str
) -> None:
    """The client id where the audience has no name; the parent's bearer; and no refresh token in any case."""
    hub.fail(DELEGATE, body={"access_token": "opaque", "expires_in": 60, "bearer": BEARER} | answer)
    part = await zaikio.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])
    assert (part.audience, part.bearer_id, part.refresh_token) == (audience, ORGANIZATION_ID, None)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"body": {"access_token": "x", "bearer": BEARER | {"id": "another"}}}, InvalidResponseError),
        ({"body": {"expires_in": 60}}, InvalidResponseError),
        ({"broken_json": True}, InvalidResponseError),
        ({"status": 404, "body": "<h1>Not found</h1>"}, InvalidResponseError),
        ({"status": 422, "body": {"errors": {"scopes": ["ungranted_scope"]}}}, InvalidScopesError),
    ],
)
async def test_an_answer_that_will_not_do_is_not_stored(
    zaikio: ZaikioOAuth, hub: LocalHub, parent: AccessToken, fault: dict[str, Any], error: type[Exception]
) -> None:
    """A typed error, and the next try works."""
    hub.fail(DELEGATE, **fault)
    with pytest.raises(error):
        await zaikio.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])
    assert await zaikio.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])


async def test_a_hub_that_fails_for_a_moment_is_asked_again(
    zaikio: ZaikioOAuth, hub: LocalHub, parent: AccessToken
) -> None:
    """A delegation spends nothing, so it may be repeated."""
    hub.fail(DELEGATE, status=503)
    assert await zaikio.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])
    assert hub.count(path=DELEGATE) == 2


async def test_a_caller_who_goes_away_and_what_is_told(
    make_settings: Callable[..., Settings], hub: LocalHub, parent: AccessToken
) -> None:
    """What the Hub has given is stored; one event for it, one for a refusal."""
    events: list[TokenEvent] = []
    async with ZaikioOAuth(make_settings(), on_token_event=events.append) as zaikio:
        hub.fail(DELEGATE, latency=0.3)
        leaving = asyncio.create_task(zaikio.delegate(parent, client_id="kiosk-id", scopes=["zaikio.sites.r"]))
        await asyncio.sleep(0.15)
        leaving.cancel()
        with pytest.raises(InvalidScopesError):
            await zaikio.delegate(parent, client_id="kiosk-id", scopes=["zaikio.person.r"])
    told = [(event.kind, event.client_name, event.grant_type, event.error) for event in events]
    assert sorted(told, key=str) == [
        ("obtained", "kiosk", "delegation", None),
        ("refused", "warehouse", "delegation", "scope_was_not_granted_in_parent"),
    ]


async def test_revoking_a_part_leaves_the_parent(zaikio: ZaikioOAuth, hub: LocalHub, parent: AccessToken) -> None:
    """Each is revoked by itself."""
    part = await zaikio.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])
    await zaikio.revoke(part)
    assert hub.grants.revoked() == [part.jti]
    assert await zaikio.find_active_access_token(parent.id) == parent
    with pytest.raises(InvalidGrantError):
        await zaikio.refresh(part)
