"""The device flow (RFC 8628): a device shows a code, and a person enters it in a browser on another device."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.data import ORGANIZATION_ID, PERSON_ID, SECRET
from zaikio_oauth import (
    AccessToken,
    ConfigurationError,
    HubUnavailableError,
    InvalidGrantError,
    InvalidResponseError,
    InvalidScopesError,
    OAuthError,
    OnBehalfOf,
    Settings,
    TokenEvent,
    UnknownClientError,
    ZaikioOAuth,
    configure,
    start_device_authorization,
)
from zaikio_oauth.testing import LocalHub

AUTHORIZE = "/oauth/device_authorizations/authorize"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
TOKEN = "/oauth/access_token"


@pytest.fixture(autouse=True)
def quick(hub: LocalHub) -> None:
    """Let devices poll the Hub every second."""
    hub.device_interval = 1


async def soon(wanted: Callable[[], bool]) -> None:
    """Wait until the condition is true."""
    started = time.monotonic()
    while not wanted():
        assert time.monotonic() - started < 10
        await asyncio.sleep(0.02)


def polls(hub: LocalHub) -> int:
    return hub.count(grant_type=DEVICE_CODE)


async def test_the_start_returns_what_to_show_the_person(zaikio: ZaikioOAuth, hub_url: str) -> None:
    """It returns the values of RFC 8628 §3.2, and neither ``repr`` nor ``str`` contains a code."""
    device = await zaikio.start_device_authorization()

    assert len(device.user_code) == 8
    assert device.verification_uri == f"{hub_url}/device"
    assert device.verification_uri_complete == f"{hub_url}/device?user_code={device.user_code}"
    assert timedelta(minutes=14) < device.expires_at - datetime.now(UTC) <= timedelta(minutes=15)
    assert device.expires_at.tzinfo is UTC
    shown = repr(device) + str(device)
    assert device._device_code not in shown
    assert device.user_code not in shown


async def test_the_token_is_stored_for_workers(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The token has the default client and scopes, is found without a request to the Hub, and can be refreshed."""
    device = await zaikio.start_device_authorization()
    waiting = asyncio.create_task(device.wait())
    await soon(lambda: polls(hub) == 1)
    assert not waiting.done()
    hub.approve_device(device.user_code, PERSON_ID)
    token = await waiting

    assert (token.audience, token.bearer_type, token.bearer_id) == ("warehouse", "Person", PERSON_ID)
    assert (token.scopes, token.requested_scopes) == (("zaikio.person.r",), ("zaikio.person.r",))
    assert await zaikio.get_access_token(bearer_id=PERSON_ID) == token
    assert hub.count(grant_type="client_credentials") == 0
    refreshed = await zaikio.refresh(token)
    assert (refreshed.id, refreshed.token != token.token) == (token.id, True)


async def test_the_module_level_name_works_in_a_script(make_settings: Callable[..., Settings], hub: LocalHub) -> None:
    """``with_client`` selects the client, as it does for the other functions."""
    async with configure(make_settings()) as zaikio:
        with zaikio.with_client("kiosk"):
            device = await start_device_authorization(scopes=["zaikio.person.r", "zaikio.sites.r"])
        hub.approve_device(device.user_code, PERSON_ID)
        token = await device.wait()
    assert (token.audience, token.scopes) == ("kiosk", ("zaikio.person.r", "zaikio.sites.r"))
    asked = next(made for made in hub.requests if made.path == AUTHORIZE)
    assert asked.client_id == "kiosk-id"


async def test_a_device_without_a_secret_can_refresh(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """A device is usually a non-confidential client."""
    device = await zaikio.start_device_authorization("kiosk")
    hub.approve_device(device.user_code, PERSON_ID)
    token = await device.wait()

    assert (await zaikio.refresh(token)).token != token.token


async def test_the_token_can_belong_to_an_organization(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The person selects the organization, and a worker finds the token by the organization's id."""
    device = await zaikio.start_device_authorization(scopes="Org.zaikio.organization.r")
    hub.approve_device(device.user_code, PERSON_ID, ORGANIZATION_ID)
    token = await device.wait()

    found = await zaikio.get_access_token(bearer_type="Organization", bearer_id=ORGANIZATION_ID)
    assert found == token


async def test_the_token_can_be_on_behalf_of_an_organization(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The token has the person's roles in the organization."""
    device = await zaikio.start_device_authorization(scopes=[f"Per>Org/{ORGANIZATION_ID}.zaikio.organization.r"])
    hub.approve_device(device.user_code, PERSON_ID)
    token = await device.wait()

    assert (token.bearer_id, token.requested_scopes) == (ORGANIZATION_ID, ("zaikio.organization.r",))
    assert token.on_behalf_of == OnBehalfOf(id=PERSON_ID, roles=("owner", "admin"))


async def test_polling_respects_the_interval(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The interval applies to the first request as well, so the Hub never returns ``slow_down``."""
    device = await zaikio.start_device_authorization()
    started = time.monotonic()
    waiting = asyncio.create_task(device.wait())
    await asyncio.sleep(0.8)
    assert polls(hub) == 0
    await soon(lambda: polls(hub) == 3)
    assert time.monotonic() - started >= 3
    assert device.interval == 1
    waiting.cancel()


async def test_slow_down_permanently_adds_five_seconds(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The interval of all later requests is longer (RFC 8628 §3.5)."""
    device = await zaikio.start_device_authorization()
    hub.fail(DEVICE_CODE, status=400, body={"error": "slow_down"})
    waiting = asyncio.create_task(device.wait())
    await soon(lambda: polls(hub) == 1)
    slowed = time.monotonic()
    await soon(lambda: device.interval == 6)
    hub.approve_device(device.user_code, PERSON_ID)
    await waiting

    assert (polls(hub), device.interval) == (2, 6)
    assert time.monotonic() - slowed >= 5.9


async def test_access_denied_is_raised_at_every_wait(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The Hub returns ``access_denied`` only once, and we do not poll again."""
    device = await zaikio.start_device_authorization()
    hub.deny_device(device.user_code)
    for _ in range(2):
        with pytest.raises(OAuthError) as caught:
            await device.wait()
        assert caught.value.code == "access_denied"
    assert polls(hub) == 1


async def test_an_expired_code_raises_expired_token(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The error comes from the Hub, or from our own clock if the Hub continues to return ``authorization_pending``."""
    hub.device_code_lifetime = 1
    device = await zaikio.start_device_authorization()
    with pytest.raises(OAuthError) as caught:
        await device.wait()
    assert caught.value.code == "expired_token"

    device = await zaikio.start_device_authorization()
    hub.fail(DEVICE_CODE, status=400, body={"error": "authorization_pending"}, times=None)
    with pytest.raises(OAuthError) as caught:
        await device.wait()
    assert (caught.value.code, caught.value.status_code) == ("expired_token", None)


async def test_an_unknown_code_raises_invalid_grant(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """This happens if another process has already used the code."""
    device = await zaikio.start_device_authorization()
    hub.device_codes._codes.clear()
    with pytest.raises(InvalidGrantError):
        await device.wait()


async def test_many_tasks_can_wait_for_one_device(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """Only one of them polls at a time, and all of them get the same token."""
    device = await zaikio.start_device_authorization()
    waiting = [asyncio.create_task(device.wait()) for _ in range(20)]
    await soon(lambda: polls(hub) == 1)
    hub.approve_device(device.user_code, PERSON_ID)
    tokens = await asyncio.gather(*waiting)

    assert len({token.id for token in tokens}) == 1
    assert polls(hub) == 2
    assert await device.wait() == tokens[0]


async def test_one_slow_down_is_applied_once_for_many_tasks(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The interval grows by five seconds, regardless of the number of waiting tasks."""
    device = await zaikio.start_device_authorization()
    hub.fail(DEVICE_CODE, status=400, body={"error": "slow_down"})
    waiting = [asyncio.create_task(device.wait()) for _ in range(5)]
    await soon(lambda: polls(hub) == 1)
    await asyncio.sleep(0.2)
    assert device.interval == 6
    for each in waiting:
        each.cancel()


async def test_a_cancelled_wait_loses_no_token(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """If the wait is cancelled while the Hub issues the token, the token is stored, and the next wait returns it."""
    device = await zaikio.start_device_authorization()
    hub.approve_device(device.user_code, PERSON_ID)
    hub.fail(DEVICE_CODE, latency=0.4)
    waiting = asyncio.create_task(device.wait())
    await asyncio.sleep(1.2)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    token = await asyncio.wait_for(device.wait(), 5)
    assert (token.bearer_id, polls(hub)) == (PERSON_ID, 1)


async def test_a_shutdown_loses_no_token(make_settings: Callable[..., Settings], hub: LocalHub) -> None:
    """The device code is used up, so a token that the Hub issues during the shutdown is stored."""
    async with ZaikioOAuth(make_settings()) as zaikio:
        device = await zaikio.start_device_authorization()
        hub.approve_device(device.user_code, PERSON_ID)
        hub.fail(DEVICE_CODE, latency=0.4)
        waiting = asyncio.create_task(device.wait())
        await asyncio.sleep(1.2)
        waiting.cancel()
    async with ZaikioOAuth(make_settings()) as zaikio:
        assert await zaikio.find_usable_access_token(bearer_type="Person", bearer_id=PERSON_ID)


def test_start_and_wait_can_use_different_event_loops(make_settings: Callable[..., Settings], hub: LocalHub) -> None:
    """A script can call ``asyncio.run`` twice."""
    zaikio = ZaikioOAuth(make_settings())
    device = asyncio.run(zaikio.start_device_authorization())
    hub.approve_device(device.user_code, PERSON_ID)
    assert asyncio.run(device.wait()).bearer_id == PERSON_ID


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"status": 500}, id="500"),
        pytest.param({"status": 429, "headers": {"RateLimit-Reset": "0"}}, id="429"),
        pytest.param({"broken_json": True}, id="broken JSON"),
        pytest.param({"status": 403, "body": "<h1>Forbidden</h1>"}, id="a proxy's page"),
        pytest.param({"disconnect": True}, id="a broken connection"),
    ],
)
async def test_a_failed_poll_does_not_end_the_wait(zaikio: ZaikioOAuth, hub: LocalHub, fault: dict[str, Any]) -> None:
    """The person can still enter the code, so the Hub is polled again after a longer pause."""
    device = await zaikio.start_device_authorization()
    hub.fail(DEVICE_CODE, **fault)
    waiting = asyncio.create_task(device.wait())
    await soon(lambda: polls(hub) >= 1)
    hub.approve_device(device.user_code, PERSON_ID)

    assert (await waiting).bearer_id == PERSON_ID
    assert device.interval == 1


async def test_an_outage_until_the_code_expires_raises_hub_unavailable(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The error is not ``expired_token``, because it is unknown whether the person entered the code."""
    hub.device_code_lifetime = 2
    device = await zaikio.start_device_authorization()
    hub.fail(DEVICE_CODE, status=500, times=None)
    with pytest.raises(HubUnavailableError):
        await device.wait()


async def test_a_pause_beyond_the_codes_lifetime_ends_the_wait(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """If ``RateLimit-Reset`` is later than the expiry of the code, the error is raised without another request."""
    hub.device_code_lifetime = 3
    device = await zaikio.start_device_authorization()
    hub.rate_limit(DEVICE_CODE, reset_in=120, times=None)
    started = time.monotonic()
    with pytest.raises(HubUnavailableError) as caught:
        await device.wait()
    assert time.monotonic() - started < 5
    assert caught.value.retry_after is not None
    assert polls(hub) == 1


async def test_an_invalid_token_response_is_reported(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The error describes the invalid response, and not the ``invalid_grant`` that follows because the code is used up."""
    device = await zaikio.start_device_authorization()
    body = {
        "access_token": "x",
        "expires_in": 60,
        "audiences": ["somebody-else"],
        "bearer": {"type": "Person", "id": "x"},
    }
    hub.fail(DEVICE_CODE, body=body)
    hub.device_codes._codes.clear()
    with pytest.raises(InvalidResponseError, match="somebody-else"):
        await device.wait()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"device_code": None}, "no device_code"),
        ({"device_code": ""}, "no device_code"),
        ({"user_code": None}, "no user_code"),
        ({"user_code": "AB\x1b[2JCD"}, "no user_code"),
        ({"verification_uri": None}, "no verification_uri"),
        ({"verification_uri": "javascript:alert(1)"}, "verification_uri that is not a web address"),
        ({"verification_uri_complete": "data:text/html,x"}, "verification_uri_complete that is not a web address"),
        ({"expires_in": None}, "how long"),
        ({"expires_in": "soon"}, "expiry"),
        ({"interval": "often"}, "interval"),
    ],
)
async def test_an_invalid_device_response_is_an_error(
    zaikio: ZaikioOAuth, hub: LocalHub, change: dict[str, Any], complaint: str
) -> None:
    """The error is raised at once, so no control characters reach a terminal and no script reaches a page."""
    body = {
        "device_code": "d",
        "user_code": "BCDFGHJK",
        "verification_uri": "https://hub.example/device",
        "expires_in": 900,
    }
    hub.fail(AUTHORIZE, body=body | change)
    with pytest.raises(InvalidResponseError, match=complaint):
        await zaikio.start_device_authorization()


async def test_optional_fields_have_defaults(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The interval is five seconds by default, and ``verification_uri_complete`` is optional (RFC 8628 §3.2)."""
    body = {"device_code": "d", "user_code": "X", "verification_uri": "https://hub.example/device", "expires_in": "900"}
    for given, interval in (({}, 5), ({"interval": "7"}, 7), ({"interval": 0}, 1)):
        hub.fail(AUTHORIZE, body=body | given)
        device = await zaikio.start_device_authorization()
        assert (device.interval, device.verification_uri_complete) == (interval, None)


async def test_a_rejected_start_raises_the_hubs_error(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The error has the Hub's code."""
    with pytest.raises(InvalidScopesError):
        await zaikio.start_device_authorization(scopes=["nonsense"])
    hub.apps.clear()
    with pytest.raises(OAuthError) as caught:
        await zaikio.start_device_authorization()
    assert caught.value.code == "invalid_client"
    hub.fail(AUTHORIZE, broken_json=True)
    with pytest.raises(InvalidResponseError):
        await zaikio.start_device_authorization()


async def test_a_start_without_scopes_or_client_is_an_error(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """The error is raised before any request."""
    client = {"client_id": "warehouse-id", "client_secret": SECRET}
    async with ZaikioOAuth(make_settings(clients={"warehouse": client})) as zaikio:
        with pytest.raises(ConfigurationError, match="pass scopes="):
            await zaikio.start_device_authorization()
        with pytest.raises(UnknownClientError):
            await zaikio.start_device_authorization("nobody")
    assert hub.count(path=AUTHORIZE) == 0


async def test_a_wait_has_one_event_and_logs_no_secret(
    make_settings: Callable[..., Settings], hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    """The event reports the token. ``authorization_pending`` is not an event."""
    caplog.set_level(logging.DEBUG)
    events: list[TokenEvent] = []
    async with ZaikioOAuth(make_settings(), on_token_event=events.append) as zaikio:
        device = await zaikio.start_device_authorization()
        waiting: Awaitable[AccessToken] = asyncio.create_task(device.wait())
        await soon(lambda: polls(hub) == 1)
        hub.approve_device(device.user_code, PERSON_ID)
        token = await waiting
    assert [(event.kind, event.grant_type) for event in events] == [("obtained", "device_code")]
    for secret in (device._device_code, device.user_code, token.token, token.refresh_token or "", SECRET):
        assert secret not in caplog.text
