"""Tokens for workers: stored, or refreshed, or by client credentials, with one request for any number of callers.

The tests correspond to the predecessor's token tests and to its faults 1, 2, 7 and 10.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from tests.data import SECRET, some_access_token
from tests.inside import client_name_of, engine_of
from tests.visitor import Visitor
from zaikio_oauth import (
    AccessToken,
    BearerDoesNotExistError,
    ConfigurationError,
    HubUnavailableError,
    InvalidGrantError,
    InvalidResponseError,
    InvalidScopesError,
    OAuthError,
    Settings,
    UnknownClientError,
    ZaikioOAuth,
)
from zaikio_oauth.application import runtime_of
from zaikio_oauth.testing import HubOrganization, LocalHub


@pytest.fixture
def organization(hub: LocalHub) -> HubOrganization:
    """Return an organization that has granted ``zaikio.organization.r``."""
    organization = hub.organizations[0]
    hub.grant("warehouse-id", "Organization", organization.id, ["zaikio.organization.r"])
    return organization


@pytest.fixture
async def logged_in(visitor: Visitor, hub: LocalHub, zaikio: ZaikioOAuth) -> AccessToken:
    """Return a person's token that expires in 20 seconds."""
    hub.auto_consent(person_id=hub.people[0].id)
    hub.access_token_lifetime = 20
    await visitor.log_in()
    hub.access_token_lifetime = 3600
    token = await zaikio.find_active_access_token(visitor.session["zaikio_access_token_id"], valid_for=0)
    assert token is not None
    return token


async def rows(zaikio: ZaikioOAuth) -> int:
    """Return the number of stored tokens."""
    async with (await engine_of(zaikio)).connect() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM zaikio_access_tokens"))).scalar_one())


async def test_client_credentials_are_requested_once_and_then_found(
    zaikio: ZaikioOAuth, hub: LocalHub, organization: HubOrganization
) -> None:
    """The client's organization scopes are the default. The deprecated refresh token is not stored."""
    bearer: dict[str, Any] = {"bearer_type": "Organization", "bearer_id": organization.id}
    first = await zaikio.get_access_token(**bearer)
    second = await zaikio.get_access_token(**bearer, scopes=["Org.zaikio.organization.r"])
    found = await zaikio.find_usable_access_token(**bearer, requested_scopes=["zaikio.organization.r"])

    assert first == second == found
    assert (first.audience, first.bearer_id, first.refresh_token) == ("warehouse", organization.id, None)
    assert hub.count(grant_type="client_credentials") == 1


async def test_two_hundred_callers_cause_one_request(
    zaikio: ZaikioOAuth, hub: LocalHub, organization: HubOrganization
) -> None:
    """In the gem, eight callers without a stored token caused eight requests and eight rows."""
    hub.fail("client_credentials", latency=0.1, times=None)

    tokens = await asyncio.gather(
        *(zaikio.get_access_token(bearer_type="Organization", bearer_id=organization.id) for _ in range(200))
    )

    assert len({token.id for token in tokens}) == 1
    assert hub.count(grant_type="client_credentials") == 1
    assert await rows(zaikio) == 1


async def test_two_hundred_callers_cause_one_refresh(
    zaikio: ZaikioOAuth, hub: LocalHub, logged_in: AccessToken
) -> None:
    """All of them get the new token under the same id. In the gem, seven of eight lost their token (faults 1 and 2)."""
    hub.fail("refresh_token", latency=0.1, times=None)

    tokens = await asyncio.gather(*(zaikio.find_active_access_token(logged_in.id) for _ in range(200)))

    assert {token.id for token in tokens if token} == {logged_in.id}
    assert len({token.token for token in tokens if token}) == 1
    assert None not in tokens
    assert hub.count(grant_type="refresh_token") == 1
    assert await rows(zaikio) == 1


async def test_a_refresh_token_is_used_before_client_credentials(
    zaikio: ZaikioOAuth, hub: LocalHub, logged_in: AccessToken
) -> None:
    """This is the documented order of ``get_access_token``."""
    token = await zaikio.get_access_token(bearer_id=logged_in.bearer_id, scopes=["zaikio.person.r"])

    assert (token.id, token.token != logged_in.token) == (logged_in.id, True)
    assert hub.count(grant_type="refresh_token") == 1
    assert hub.count(grant_type="client_credentials") == 0


async def test_client_credentials_are_used_after_a_failed_refresh(
    zaikio: ZaikioOAuth, hub: LocalHub, logged_in: AccessToken
) -> None:
    """A worker still gets a token after the person's grant has ended."""
    hub.spend_refresh_tokens()

    token = await zaikio.get_access_token(bearer_id=logged_in.bearer_id)

    assert token.id != logged_in.id
    assert hub.count(grant_type="client_credentials") == 1
    again = await zaikio.get_access_token(bearer_id=logged_in.bearer_id)
    assert again == token
    assert hub.count(grant_type="refresh_token") == 1


async def test_valid_for_fetches_a_token_that_is_valid_longer(
    zaikio: ZaikioOAuth, hub: LocalHub, organization: HubOrganization
) -> None:
    """A stored token that expires too soon is not returned."""
    hub.access_token_lifetime = 300
    bearer: dict[str, Any] = {"bearer_type": "Organization", "bearer_id": organization.id}
    short = await zaikio.get_access_token(**bearer)
    hub.access_token_lifetime = 3600

    assert (await zaikio.get_access_token(**bearer, valid_for=240)).id == short.id
    long = await zaikio.get_access_token(**bearer, valid_for=timedelta(minutes=10))
    assert long.expires_in > 3000
    assert (await zaikio.get_access_token(**bearer)).id == long.id


async def test_with_auth_runs_inside_around_auth(
    make_settings: Callable[..., Settings], hub: LocalHub, organization: HubOrganization
) -> None:
    """The hook surrounds each ``with_auth`` block, for a token that is found and for one that is passed in."""
    entered: list[str] = []

    @asynccontextmanager
    async def around_auth(access_token: AccessToken):  # type: ignore[no-untyped-def]
        entered.append(f"enter {access_token.bearer_id}")
        yield
        entered.append("leave")

    async with ZaikioOAuth(make_settings(), around_auth=around_auth) as zaikio:
        async with zaikio.with_auth(bearer_type="Organization", bearer_id=organization.id) as token:
            entered.append("body")
        async with zaikio.with_auth(token) as same:
            assert same is token

    assert entered == [f"enter {organization.id}", "body", "leave", f"enter {organization.id}", "leave"]


@pytest.mark.parametrize(
    ("bearer", "error", "message"),
    [
        (
            {"bearer_type": "organization", "bearer_id": "o"},
            ValueError,
            "has to be 'Person' or 'Organization', not 'org",
        ),
        ({"bearer_id": None}, TypeError, "bearer_id has to be a str, not NoneType"),
        ({"bearer_id": 7}, TypeError, "bearer_id has to be a str, not int"),
        ({"bearer_id": ""}, ValueError, "bearer_id may contain only"),
        ({"bearer_id": "x.zaikio.admin.rw,Per/y"}, ValueError, "bearer_id may contain only"),
        ({"bearer_id": "x" * 256}, ValueError, "bearer_id may contain only"),
        ({"bearer_id": "x\n"}, ValueError, "bearer_id may contain only"),
    ],
)
async def test_a_bearer_that_cannot_exist_is_named_before_the_hub_is_asked(
    zaikio: ZaikioOAuth, hub: LocalHub, bearer: dict[str, Any], error: type[Exception], message: str
) -> None:
    """It is a programming error, and an id with a comma would ask for further scopes."""
    with pytest.raises(error, match=message):
        await zaikio.get_access_token(**bearer)
    with pytest.raises(error, match=message):
        await zaikio.find_usable_access_token(**{"bearer_type": "Person"} | bearer)
    assert hub.count(path="/oauth/access_token") == 0


async def test_around_auth_may_be_a_sync_context_manager(make_settings: Callable[..., Settings]) -> None:
    """Its exit runs after the body, also if the body fails."""
    events: list[str] = []

    @contextmanager
    def around_auth(access_token: AccessToken) -> Iterator[None]:
        events.append(f"enter {access_token.id}")
        try:
            yield
        finally:
            events.append("leave")

    async with ZaikioOAuth(make_settings(), around_auth=around_auth) as zaikio:
        with pytest.raises(ValueError, match="the body"):
            async with zaikio.with_auth(some_access_token(id="7")) as token:
                events.append(token.id)
                raise ValueError("the body fails")

    assert events == ["enter 7", "7", "leave"]


async def test_with_auth_needs_a_token_or_a_bearer(zaikio: ZaikioOAuth) -> None:
    """The programming error is raised before any request."""
    with pytest.raises(TypeError, match="bearer_id="):
        async with zaikio.with_auth():
            raise AssertionError("unreachable")


async def test_with_client_sets_the_default_client(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The default applies to the current task only. In the gem it applied to the thread."""

    async def other_task() -> str:
        await asyncio.sleep(0)
        return client_name_of(zaikio)

    outside = asyncio.create_task(other_task())
    with zaikio.with_client("kiosk"):
        assert client_name_of(zaikio) == "kiosk"
        assert await outside == "warehouse"
        with pytest.raises(ConfigurationError, match="'kiosk' has no secret"):
            await zaikio.get_access_token(bearer_id=hub.people[0].id)
    assert client_name_of(zaikio) == "warehouse"
    with pytest.raises(UnknownClientError, match="warehouse, kiosk"), zaikio.with_client("nobody"):
        raise AssertionError("unreachable")
    assert hub.count(path="/oauth/access_token") == 0


async def test_an_unknown_client_is_an_error(zaikio: ZaikioOAuth) -> None:
    """Both functions raise the error, and neither returns an empty result."""
    with pytest.raises(UnknownClientError):
        await zaikio.get_access_token(bearer_id="x", client_name="nobody")
    with pytest.raises(UnknownClientError):
        await zaikio.find_usable_access_token(bearer_type="Person", bearer_id="x", client_name="nobody")


async def test_an_unknown_bearer_has_its_own_error(zaikio: ZaikioOAuth) -> None:
    """The gem returned nil."""
    with pytest.raises(BearerDoesNotExistError) as caught:
        await zaikio.get_access_token(bearer_type="Organization", bearer_id="00000000-0000-0000-0000-000000000000")

    assert (caught.value.code, caught.value.status_code) == ("bearer_does_not_exist", 422)


async def test_ungranted_scopes_have_their_own_error(zaikio: ZaikioOAuth, organization: HubOrganization) -> None:
    """The message contains the Hub's error code."""
    with pytest.raises(InvalidScopesError, match="ungranted_scope"):
        await zaikio.get_access_token(
            bearer_type="Organization", bearer_id=organization.id, scopes=["zaikio.machines.rw"]
        )


async def test_a_client_without_scopes_needs_them_as_an_argument(
    make_settings: Callable[..., Settings], organization: HubOrganization, hub: LocalHub
) -> None:
    """The error is raised before any request."""
    client = {"client_id": "warehouse-id", "client_secret": SECRET}
    async with ZaikioOAuth(make_settings(clients={"warehouse": client})) as zaikio:
        with pytest.raises(ConfigurationError, match="pass scopes="):
            await zaikio.get_access_token(bearer_type="Organization", bearer_id=organization.id)
    assert hub.count(path="/oauth/access_token") == 0


async def test_a_token_for_another_bearer_is_rejected(
    zaikio: ZaikioOAuth, hub: LocalHub, organization: HubOrganization, logged_in: AccessToken
) -> None:
    """This applies to a new token and to a refreshed one."""
    body = {"access_token": "x", "expires_in": 60, "scope": "", "bearer": {"type": "Organization", "id": "another"}}
    hub.fail("client_credentials", body=body)
    with pytest.raises(InvalidResponseError, match="another bearer"):
        await zaikio.get_access_token(bearer_type="Organization", bearer_id=organization.id)
    hub.fail("refresh_token", body=body)
    with pytest.raises(InvalidResponseError, match="another bearer"):
        await zaikio.refresh(logged_in)
    assert await rows(zaikio) == 1


async def test_a_cancelled_caller_does_not_affect_the_others(
    zaikio: ZaikioOAuth, hub: LocalHub, logged_in: AccessToken
) -> None:
    """The caller that started the refresh is cancelled during the request, and the other one gets the token."""
    hub.fail("refresh_token", latency=0.3, times=None)
    first = asyncio.create_task(zaikio.find_active_access_token(logged_in.id))
    await asyncio.sleep(0.1)
    second = asyncio.create_task(zaikio.find_active_access_token(logged_in.id))
    await asyncio.sleep(0.05)
    first.cancel()

    token = await second

    assert token is not None
    assert token.token != logged_in.token
    assert hub.count(grant_type="refresh_token") == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_refresh_without_any_caller_left_is_stored(
    zaikio: ZaikioOAuth, hub: LocalHub, logged_in: AccessToken
) -> None:
    """The refresh token is used up, so the new token is stored although the caller was cancelled."""
    hub.fail("refresh_token", latency=0.2, times=None)
    only = asyncio.create_task(zaikio.find_active_access_token(logged_in.id))
    await asyncio.sleep(0.1)
    only.cancel()
    await asyncio.sleep(0.3)

    token = await zaikio.find_active_access_token(logged_in.id)

    assert token is not None
    assert hub.count(grant_type="refresh_token") == 1


async def test_a_logout_during_a_refresh_ends_the_grant(
    zaikio: ZaikioOAuth, hub: LocalHub, logged_in: AccessToken
) -> None:
    """The token that the Hub has just issued is revoked, and no caller gets it."""
    hub.fail("refresh_token", latency=0.3)
    refreshing = asyncio.create_task(zaikio.refresh(logged_in))
    await asyncio.sleep(0.1)
    hub.fail("/api/v1/revoked_access_tokens", status=403, body={"errors": ["not now"]})
    with pytest.raises(OAuthError):
        await zaikio.revoke(logged_in)

    with pytest.raises(InvalidGrantError):
        await refreshing
    assert await rows(zaikio) == 0
    assert len(hub.grants.revoked()) == 1


async def test_values_missing_from_a_refresh_response_are_kept(
    zaikio: ZaikioOAuth, hub: LocalHub, logged_in: AccessToken
) -> None:
    """A response without scope, bearer and refresh token made the gem lose the grant (fault 10)."""
    hub.fail("refresh_token", body={"access_token": "fresh", "expires_in": 3600})

    token = await zaikio.refresh(logged_in)

    assert token == logged_in.model_copy(
        update={"token": "fresh", "jti": None, "expires_at": token.expires_at},
    )


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 429, "headers": {"Retry-After": "3600"}}, HubUnavailableError),
        ({"broken_json": True}, InvalidResponseError),
        ({"body": {"expires_in": 3600}}, InvalidResponseError),
        ({"status": 400, "body": {"error": "invalid_client"}}, Exception),
    ],
)
async def test_a_failed_refresh_keeps_the_grant(
    zaikio: ZaikioOAuth, hub: LocalHub, logged_in: AccessToken, fault: dict[str, Any], error: type[Exception]
) -> None:
    """The stored token is unchanged, and the next attempt succeeds."""
    hub.fail("refresh_token", **fault)
    with pytest.raises(error):
        await zaikio.refresh(logged_in)

    assert (await zaikio.refresh(logged_in)).id == logged_in.id


async def test_a_refresh_is_not_repeated_for_an_old_copy(
    zaikio: ZaikioOAuth, hub: LocalHub, logged_in: AccessToken
) -> None:
    """A caller with an old copy of the token gets the stored one."""
    fresh = await zaikio.refresh(logged_in)

    assert await zaikio.refresh(logged_in) == fresh
    assert hub.count(grant_type="refresh_token") == 1


async def test_revoking_informs_the_hub_and_deletes_the_token(
    zaikio: ZaikioOAuth, hub: LocalHub, logged_in: AccessToken
) -> None:
    """If the Hub cannot be informed, the error is raised to the caller."""
    await zaikio.revoke(logged_in)
    assert hub.grants.revoked() == [logged_in.jti]
    assert await zaikio.find_active_access_token(logged_in.id) is None
    hub.fail("/api/v1/revoked_access_tokens", status=500, times=None)
    with pytest.raises(HubUnavailableError):
        await zaikio.revoke(logged_in)


async def test_no_connection_is_held_during_a_request_to_the_hub(
    make_settings: Callable[..., Settings], hub: LocalHub, visitor: Visitor, logged_in: AccessToken
) -> None:
    """Other look-ups succeed during a slow refresh."""
    hub.fail("refresh_token", latency=0.5)
    async with ZaikioOAuth(make_settings()) as zaikio:
        refreshing = asyncio.create_task(zaikio.find_active_access_token(logged_in.id))
        await asyncio.sleep(0.1)
        pool = (await engine_of(zaikio)).pool
        assert pool.checkedout() == 0
        assert await zaikio.find_active_access_token(logged_in.id, valid_for=0)
        assert not refreshing.done()
        await refreshing


def test_one_instance_works_in_several_event_loops(
    make_settings: Callable[..., Settings], hub: LocalHub, organization: HubOrganization
) -> None:
    """A script can call ``asyncio.run`` twice and close nothing. A warning would fail the test."""
    zaikio = ZaikioOAuth(make_settings())

    async def job() -> str:
        async with zaikio.with_auth(bearer_type="Organization", bearer_id=organization.id) as token:
            return token.id

    assert asyncio.run(job()) == asyncio.run(job())
    assert hub.count(grant_type="client_credentials") == 1
    assert runtime_of(zaikio)._opened == {}
