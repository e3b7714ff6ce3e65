"""Tokens for workers: stored, else refreshed, else by client credentials; one request however many want it.

Counterparts of the predecessor's token tests and of its faults 1, 2, 7 and 10.
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
    """An organization that has granted ``zaikio.organization.r`` before."""
    organization = hub.organizations[0]
    hub.grant("warehouse-id", "Organization", organization.id, ["zaikio.organization.r"])
    return organization


@pytest.fixture
async def logged_in(visitor: Visitor, hub: LocalHub, zaikio: ZaikioOAuth) -> AccessToken:
    """A person's token whose access expires in 20 seconds."""
    hub.auto_consent(person_id=hub.people[0].id)
    hub.access_token_lifetime = 20
    await visitor.log_in()
    hub.access_token_lifetime = 3600
    token = await zaikio.find_active_access_token(visitor.session["zaikio_access_token_id"], valid_for=0)
    assert token is not None
    return token


async def rows(zaikio: ZaikioOAuth) -> int:
    """How many tokens are stored."""
    async with (await engine_of(zaikio)).connect() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM zaikio_access_tokens"))).scalar_one())


async def test_client_credentials_are_asked_once_and_then_found(
    zaikio: ZaikioOAuth, hub: LocalHub, organization: HubOrganization
) -> None:
    """With the client's organization scopes where none are named; the deprecated refresh token is not kept."""
    bearer: dict[str, Any] = {"bearer_type": "Organization", "bearer_id": organization.id}
    first = await zaikio.get_access_token(**bearer)
    second = await zaikio.get_access_token(**bearer, scopes=["Org.zaikio.organization.r"])
    found = await zaikio.find_usable_access_token(**bearer, requested_scopes=["zaikio.organization.r"])

    assert first == second == found
    assert (first.audience, first.bearer_id, first.refresh_token) == ("warehouse", organization.id, None)
    assert hub.count(grant_type="client_credentials") == 1


async def test_two_hundred_cold_callers_cause_one_request(
    zaikio: ZaikioOAuth, hub: LocalHub, organization: HubOrganization
) -> None:
    """The gem made eight requests and eight rows of eight callers."""
    hub.fail("client_credentials", latency=0.1, times=None)

    tokens = await asyncio.gather(
        *(zaikio.get_access_token(bearer_type="Organization", bearer_id=organization.id) for _ in range(200))
    )

    assert len({token.id for token in tokens}) == 1
    assert hub.count(grant_type="client_credentials") == 1
    assert await rows(zaikio) == 1


async def test_two_hundred_callers_of_one_refresh_cause_one_request(
    zaikio: ZaikioOAuth, hub: LocalHub, logged_in: AccessToken
) -> None:
    """All get its token, under the same id; in the gem seven of eight lost theirs (faults 1 and 2)."""
    hub.fail("refresh_token", latency=0.1, times=None)

    tokens = await asyncio.gather(*(zaikio.find_active_access_token(logged_in.id) for _ in range(200)))

    assert {token.id for token in tokens if token} == {logged_in.id}
    assert len({token.token for token in tokens if token}) == 1
    assert None not in tokens
    assert hub.count(grant_type="refresh_token") == 1
    assert await rows(zaikio) == 1


async def test_a_live_refresh_token_is_used_before_client_credentials(
    zaikio: ZaikioOAuth, hub: LocalHub, logged_in: AccessToken
) -> None:
    """The order of ``get_access_token``."""
    token = await zaikio.get_access_token(bearer_id=logged_in.bearer_id, scopes=["zaikio.person.r"])

    assert (token.id, token.token != logged_in.token) == (logged_in.id, True)
    assert hub.count(grant_type="refresh_token") == 1
    assert hub.count(grant_type="client_credentials") == 0


async def test_a_dead_refresh_token_gives_way_to_client_credentials(
    zaikio: ZaikioOAuth, hub: LocalHub, logged_in: AccessToken
) -> None:
    """A worker goes on though the person's grant has ended."""
    hub.spend_refresh_tokens()

    token = await zaikio.get_access_token(bearer_id=logged_in.bearer_id)

    assert token.id != logged_in.id
    assert hub.count(grant_type="client_credentials") == 1
    again = await zaikio.get_access_token(bearer_id=logged_in.bearer_id)
    assert again == token
    assert hub.count(grant_type="refresh_token") == 1


async def test_a_longer_life_than_the_stored_one_is_fetched(
    zaikio: ZaikioOAuth, hub: LocalHub, organization: HubOrganization
) -> None:
    """``valid_for`` is what the job needs."""
    hub.access_token_lifetime = 300
    bearer: dict[str, Any] = {"bearer_type": "Organization", "bearer_id": organization.id}
    short = await zaikio.get_access_token(**bearer)
    hub.access_token_lifetime = 3600

    assert (await zaikio.get_access_token(**bearer, valid_for=240)).id == short.id
    long = await zaikio.get_access_token(**bearer, valid_for=timedelta(minutes=10))
    assert long.expires_in > 3000
    assert (await zaikio.get_access_token(**bearer)).id == long.id


async def test_with_auth_enters_around_auth(
    make_settings: Callable[..., Settings], hub: LocalHub, organization: HubOrganization
) -> None:
    """Around every body, for a found token and for one that is handed in."""
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
    """A programming error, said at once."""
    with pytest.raises(TypeError, match="bearer_id="):
        async with zaikio.with_auth():
            raise AssertionError("unreachable")


async def test_with_client_names_the_default_client_of_a_context(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """Of this task only; the gem's was per thread."""

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


async def test_a_client_that_is_not_configured_is_an_error(zaikio: ZaikioOAuth) -> None:
    """Not an empty answer."""
    with pytest.raises(UnknownClientError):
        await zaikio.get_access_token(bearer_id="x", client_name="nobody")
    with pytest.raises(UnknownClientError):
        await zaikio.find_usable_access_token(bearer_type="Person", bearer_id="x", client_name="nobody")


async def test_a_bearer_that_does_not_exist_is_an_error_with_a_name(zaikio: ZaikioOAuth) -> None:
    """The gem gave nil."""
    with pytest.raises(BearerDoesNotExistError) as caught:
        await zaikio.get_access_token(bearer_type="Organization", bearer_id="00000000-0000-0000-0000-000000000000")

    assert (caught.value.code, caught.value.status_code) == ("bearer_does_not_exist", 422)


async def test_scopes_that_were_not_granted_are_an_error_with_a_name(
    zaikio: ZaikioOAuth, organization: HubOrganization
) -> None:
    """The Hub's word for it comes along."""
    with pytest.raises(InvalidScopesError, match="ungranted_scope"):
        await zaikio.get_access_token(
            bearer_type="Organization", bearer_id=organization.id, scopes=["zaikio.machines.rw"]
        )


async def test_a_client_without_scopes_has_to_be_told_which(
    make_settings: Callable[..., Settings], organization: HubOrganization, hub: LocalHub
) -> None:
    """Before any request is made."""
    client = {"client_id": "warehouse-id", "client_secret": SECRET}
    async with ZaikioOAuth(make_settings(clients={"warehouse": client})) as zaikio:
        with pytest.raises(ConfigurationError, match="pass scopes="):
            await zaikio.get_access_token(bearer_type="Organization", bearer_id=organization.id)
    assert hub.count(path="/oauth/access_token") == 0


async def test_a_hub_that_answers_for_somebody_else_is_not_believed(
    zaikio: ZaikioOAuth, hub: LocalHub, organization: HubOrganization, logged_in: AccessToken
) -> None:
    """Neither when a token is fetched nor when one is refreshed."""
    body = {"access_token": "x", "expires_in": 60, "scope": "", "bearer": {"type": "Organization", "id": "another"}}
    hub.fail("client_credentials", body=body)
    with pytest.raises(InvalidResponseError, match="another bearer"):
        await zaikio.get_access_token(bearer_type="Organization", bearer_id=organization.id)
    hub.fail("refresh_token", body=body)
    with pytest.raises(InvalidResponseError, match="another bearer"):
        await zaikio.refresh(logged_in)
    assert await rows(zaikio) == 1


async def test_a_caller_that_is_cancelled_loses_nothing_for_the_others(
    zaikio: ZaikioOAuth, hub: LocalHub, logged_in: AccessToken
) -> None:
    """The browser that started the refresh goes away in the middle of it."""
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


async def test_a_refresh_that_everybody_has_left_is_still_kept(
    zaikio: ZaikioOAuth, hub: LocalHub, logged_in: AccessToken
) -> None:
    """The refresh token is spent, so the answer has to reach the store."""
    hub.fail("refresh_token", latency=0.2, times=None)
    only = asyncio.create_task(zaikio.find_active_access_token(logged_in.id))
    await asyncio.sleep(0.1)
    only.cancel()
    await asyncio.sleep(0.3)

    token = await zaikio.find_active_access_token(logged_in.id)

    assert token is not None
    assert hub.count(grant_type="refresh_token") == 1


async def test_a_logout_during_a_refresh_wins(zaikio: ZaikioOAuth, hub: LocalHub, logged_in: AccessToken) -> None:
    """What the Hub has just given is revoked again, and nobody gets it."""
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


async def test_what_a_refresh_leaves_out_stays(zaikio: ZaikioOAuth, hub: LocalHub, logged_in: AccessToken) -> None:
    """An answer without scope, bearer and refresh token made the gem lose the grant (fault 10)."""
    hub.fail("refresh_token", body={"access_token": "fresh", "expires_in": 3600})

    token = await zaikio.refresh(logged_in)

    assert token == logged_in.model_copy(
        update={"token": "fresh", "jti": None, "expires_at": token.expires_at},
    )


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 500}, HubUnavailableError),
        ({"broken_json": True}, InvalidResponseError),
        ({"body": {"expires_in": 3600}}, InvalidResponseError),
        ({"status": 400, "body": {"error": "invalid_client"}}, Exception),
    ],
)
async def test_a_refresh_that_fails_loses_nothing(
    zaikio: ZaikioOAuth, hub: LocalHub, logged_in: AccessToken, fault: dict[str, Any], error: type[Exception]
) -> None:
    """The row stays as it was, and the next try works."""
    hub.fail("refresh_token", **fault)
    with pytest.raises(error):
        await zaikio.refresh(logged_in)

    assert (await zaikio.refresh(logged_in)).id == logged_in.id


async def test_a_refresh_that_somebody_else_has_made_is_not_made_again(
    zaikio: ZaikioOAuth, hub: LocalHub, logged_in: AccessToken
) -> None:
    """A caller with a stale copy gets what is stored."""
    fresh = await zaikio.refresh(logged_in)

    assert await zaikio.refresh(logged_in) == fresh
    assert hub.count(grant_type="refresh_token") == 1


async def test_revoking_tells_the_hub_and_forgets(zaikio: ZaikioOAuth, hub: LocalHub, logged_in: AccessToken) -> None:
    """Forgotten also when the Hub cannot be told, which is an error that the caller sees."""
    await zaikio.revoke(logged_in)
    assert hub.grants.revoked() == [logged_in.jti]
    assert await zaikio.find_active_access_token(logged_in.id) is None
    hub.fail("/api/v1/revoked_access_tokens", status=500, times=None)
    with pytest.raises(HubUnavailableError):
        await zaikio.revoke(logged_in)


async def test_nobody_holds_a_connection_while_the_hub_is_asked(
    make_settings: Callable[..., Settings], hub: LocalHub, visitor: Visitor, logged_in: AccessToken
) -> None:
    """While one refresh takes its time, other look-ups go on."""
    hub.fail("refresh_token", latency=0.5)
    async with ZaikioOAuth(make_settings()) as zaikio:
        refreshing = asyncio.create_task(zaikio.find_active_access_token(logged_in.id))
        await asyncio.sleep(0.1)
        pool = (await engine_of(zaikio)).pool
        assert pool.checkedout() == 0
        assert await zaikio.find_active_access_token(logged_in.id, valid_for=0)
        assert not refreshing.done()
        await refreshing


def test_it_works_in_one_event_loop_after_another(
    make_settings: Callable[..., Settings], hub: LocalHub, organization: HubOrganization
) -> None:
    """A script that calls ``asyncio.run`` twice and never closes anything; warnings would fail this test."""
    zaikio = ZaikioOAuth(make_settings())

    async def job() -> str:
        async with zaikio.with_auth(bearer_type="Organization", bearer_id=organization.id) as token:
            return token.id

    assert asyncio.run(job()) == asyncio.run(job())
    assert hub.count(grant_type="client_credentials") == 1
    assert runtime_of(zaikio)._opened == {}
