"""Delegation: a token with some of the scopes of another one, for a subsystem (Hub documentation, "Delegation")."""

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
    """Return an organization's token that can be delegated."""
    hub.apps.append(HubApp.for_client("plate-setter", "setter-id", "its-own-secret"))
    hub.grant("warehouse-id", "Organization", ORGANIZATION_ID, SCOPES)
    return await zaikio.get_access_token(bearer_type="Organization", bearer_id=ORGANIZATION_ID, scopes=SCOPES)


async def test_a_subsystem_gets_a_token_with_fewer_scopes(
    zaikio: ZaikioOAuth, hub: LocalHub, parent: AccessToken
) -> None:
    """The token has the same bearer and the subsystem's audience, and is stored under its own id."""
    part = await zaikio.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])

    assert (part.audience, part.bearer_type, part.bearer_id) == ("plate-setter", "Organization", ORGANIZATION_ID)
    assert (part.scopes, part.requested_scopes) == (("zaikio.sites.r",), ("zaikio.sites.r",))
    assert (part.refresh_token, part.delegated_from) == (None, parent.id)
    assert part.id != parent.id
    assert await zaikio.find_active_access_token(part.id) == part
    assert parent.delegated_from is None


async def test_workers_still_get_the_parent_token(zaikio: ZaikioOAuth, parent: AccessToken) -> None:
    """A search finds the newest token, but only among those for our own audience."""
    await zaikio.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])
    found = await zaikio.get_access_token(
        bearer_type="Organization", bearer_id=ORGANIZATION_ID, scopes=["zaikio.sites.r"]
    )
    assert found == parent


async def test_a_delegated_token_is_only_given_by_its_id(
    make_settings: Callable[..., Settings], hub: LocalHub, parent: AccessToken
) -> None:
    """If the subsystem is one of our clients, it is not the client's own token: nobody could renew it."""
    clients = {name: {"client_id": f"{name}-id", "client_secret": SECRET} for name in ("warehouse", "setter")}
    hub.grant("setter-id", "Organization", ORGANIZATION_ID, ["zaikio.sites.r"])
    hub.apps[-1] = HubApp.for_client("setter", "setter-id", SECRET)
    wanted: dict[str, Any] = {"client_name": "setter", "bearer_type": "Organization", "bearer_id": ORGANIZATION_ID}
    async with ZaikioOAuth(make_settings(clients=clients)) as both:
        own = await both.get_access_token(**wanted, scopes=["zaikio.sites.r"])
        part = await both.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])
        assert part.audience == "setter"

        assert await both.find_usable_access_token(**wanted, requested_scopes=["zaikio.sites.r"]) == own
        assert await both.get_access_token(**wanted, scopes=["zaikio.sites.r"]) == own
        await both.revoke(own)
        assert await both.find_usable_access_token(**wanted) is None
        assert (await both.get_access_token(**wanted, scopes=["zaikio.sites.r"])).delegated_from is None
        assert await both.find_active_access_token(part.id) == part
        async with both.with_auth(part) as given:
            assert given == part


async def test_scope_prefixes_are_removed(zaikio: ZaikioOAuth, hub: LocalHub, parent: AccessToken) -> None:
    """The bearer is that of the parent token, so a scope does not need to name one."""
    part = await zaikio.delegate(parent, client_id="setter-id", scopes=[f"Org/{ORGANIZATION_ID}.zaikio.sites.r"])
    assert part.scopes == ("zaikio.sites.r",)


async def test_a_delegated_token_cannot_be_delegated(zaikio: ZaikioOAuth, hub: LocalHub, parent: AccessToken) -> None:
    """The error is raised before any request, for a token from the store and for a modified copy as well."""
    part = await zaikio.delegate(parent, client_id="warehouse-id", scopes=SCOPES)
    asked = hub.count(path=DELEGATE)
    stored = await zaikio.find_active_access_token(part.id)
    assert stored is not None
    for each in (part, stored, part.model_copy(update={"delegated_from": None})):
        with pytest.raises(InvalidScopesError) as caught:
            await zaikio.delegate(each, client_id="setter-id", scopes=["zaikio.sites.r"])
        assert caught.value.code == "delegation_access_token_cannot_delegate"
    assert hub.count(path=DELEGATE) == asked


async def test_an_expired_parent_is_refreshed_first(make_settings: Callable[..., Settings], hub: LocalHub) -> None:
    """The caller may have an old copy of the parent token."""
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


async def test_on_behalf_of_is_kept(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The delegated token contains the same person with the same roles."""
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
async def test_a_rejected_delegation_raises_the_hubs_error(
    zaikio: ZaikioOAuth, hub: LocalHub, granted: list[str], wanted: list[str], code: str
) -> None:
    """The error has the Hub's code, and the parent token still works."""
    hub.grant("warehouse-id", "Organization", ORGANIZATION_ID, granted)
    bearer: dict[str, Any] = {"bearer_type": "Organization", "bearer_id": ORGANIZATION_ID}
    parent = await zaikio.get_access_token(**bearer, scopes=granted)
    with pytest.raises(InvalidScopesError) as caught:
        await zaikio.delegate(parent, client_id="kiosk-id", scopes=wanted)

    assert caught.value.code == code
    assert await zaikio.get_access_token(**bearer, scopes=granted) == parent


async def test_an_unknown_subsystem_raises_the_hubs_error(zaikio: ZaikioOAuth, parent: AccessToken) -> None:
    """The error has the Hub's code ``invalid_client``."""
    with pytest.raises(OAuthError) as caught:
        await zaikio.delegate(parent, client_id="nobody", scopes=["zaikio.sites.r"])
    assert caught.value.code == "invalid_client"


async def test_a_revoked_parent_cannot_be_delegated(zaikio: ZaikioOAuth, hub: LocalHub, parent: AccessToken) -> None:
    """The Hub returns HTTP 401. Once the revocation is known here, the parent token is no longer stored."""
    hub.revoke(parent.jti or "")
    with pytest.raises(OAuthError) as caught:
        await zaikio.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])
    assert caught.value.status_code == 401
    await mark_revoked(zaikio, [parent.jti or ""])
    with pytest.raises(InvalidGrantError, match="no longer stored"):
        await zaikio.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])


async def test_only_a_confidential_client_can_delegate(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The error is raised before any request."""
    hub.device_interval = 1
    device = await zaikio.start_device_authorization("kiosk", scopes=SCOPES)
    hub.approve_device(device.user_code, PERSON_ID)
    token = await device.wait()
    with pytest.raises(ConfigurationError, match="'kiosk' has no secret"):
        await zaikio.delegate(token, client_id="warehouse-id", scopes=["zaikio.sites.r"])
    assert hub.count(path=DELEGATE) == 0


async def test_a_removed_client_cannot_delegate(
    make_settings: Callable[..., Settings], hub: LocalHub, parent: AccessToken
) -> None:
    """The error names the client that is no longer in the settings."""
    client = {"client_id": "other-id", "client_secret": SECRET}
    async with ZaikioOAuth(make_settings(clients={"other": client})) as zaikio:
        with pytest.raises(UnknownClientError, match="warehouse"):
            await zaikio.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])


BEARER = {"type": "Organization", "id": ORGANIZATION_ID}


@pytest.mark.parametrize(
    ("answer", "audience"),
    [
        ({"audiences": ["Plate-Setter"]}, "Plate-Setter"),
        ({"audiences": ["Kiosk"]}, "Kiosk"),
        ({"audiences": ["kiosk"]}, "kiosk"),
        ({"audiences": []}, "setter-id"),
        ({}, "setter-id"),
        ({"bearer": None}, "setter-id"),
        ({"refresh_token": "the-subsystems"}, "setter-id"),
    ],
)
async def test_missing_fields_of_the_response_have_defaults(
    zaikio: ZaikioOAuth, hub: LocalHub, parent: AccessToken, answer: dict[str, Any], audience: str
) -> None:
    """The audience defaults to the client id and the bearer to the parent's. A refresh token is never stored."""
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
async def test_an_invalid_response_is_not_stored(
    zaikio: ZaikioOAuth, hub: LocalHub, parent: AccessToken, fault: dict[str, Any], error: type[Exception]
) -> None:
    """The error has a type, and the next attempt succeeds."""
    hub.fail(DELEGATE, **fault)
    with pytest.raises(error):
        await zaikio.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])
    assert await zaikio.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])


async def test_a_temporary_failure_is_retried(zaikio: ZaikioOAuth, hub: LocalHub, parent: AccessToken) -> None:
    """A delegation uses up nothing, so the request can be repeated."""
    hub.fail(DELEGATE, status=503)
    assert await zaikio.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])
    assert hub.count(path=DELEGATE) == 2


async def test_a_cancelled_delegation_is_stored_and_has_an_event(
    make_settings: Callable[..., Settings], hub: LocalHub, parent: AccessToken
) -> None:
    """The Hub has issued the token, so it is stored. There is one event for it and one for the rejected request."""
    events: list[TokenEvent] = []
    async with ZaikioOAuth(make_settings(), on_token_event=events.append) as zaikio:
        hub.fail(DELEGATE, latency=1.5)
        leaving = asyncio.create_task(zaikio.delegate(parent, client_id="kiosk-id", scopes=["zaikio.sites.r"]))
        await asyncio.sleep(0.75)
        leaving.cancel()
        with pytest.raises(InvalidScopesError):
            await zaikio.delegate(parent, client_id="kiosk-id", scopes=["zaikio.person.r"])
    told = [(event.kind, event.client_name, event.grant_type, event.error) for event in events]
    assert sorted(told, key=str) == [
        ("obtained", "kiosk", "delegation", None),
        ("refused", "warehouse", "delegation", "scope_was_not_granted_in_parent"),
    ]


async def test_revoking_a_delegated_token_keeps_the_parent(
    zaikio: ZaikioOAuth, hub: LocalHub, parent: AccessToken
) -> None:
    """Each of the two tokens is revoked separately."""
    part = await zaikio.delegate(parent, client_id="setter-id", scopes=["zaikio.sites.r"])
    await zaikio.revoke(part)
    assert hub.grants.revoked() == [part.jti]
    assert await zaikio.find_active_access_token(parent.id) == parent
    with pytest.raises(InvalidGrantError):
        await zaikio.refresh(part)
