"""The device flow (RFC 8628): a device shows a code, a person lets it in elsewhere."""

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
    """A Hub that may be asked every second."""
    hub.device_interval = 1


async def soon(wanted: Callable[[], bool]) -> None:
    """Until it is so."""
    started = time.monotonic()
    while not wanted():
        assert time.monotonic() - started < 10
        await asyncio.sleep(0.02)


def polls(hub: LocalHub) -> int:
    return hub.count(grant_type=DEVICE_CODE)


async def test_what_a_person_has_to_be_shown(zaikio: ZaikioOAuth, hub_url: str) -> None:
    """RFC 8628 §3.2; the device code is nobody's business but ours."""
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
    """For the default client and its scopes; found without asking the Hub, and refreshed like any other."""
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
    """``with_client`` names the client, as everywhere."""
    async with configure(make_settings()) as zaikio:
        with zaikio.with_client("kiosk"):
            device = await start_device_authorization(scopes=["zaikio.person.r", "zaikio.sites.r"])
        hub.approve_device(device.user_code, PERSON_ID)
        token = await device.wait()
    assert (token.audience, token.scopes) == ("kiosk", ("zaikio.person.r", "zaikio.sites.r"))
    asked = next(made for made in hub.requests if made.path == AUTHORIZE)
    assert asked.client_id == "kiosk-id"


async def test_a_device_that_has_no_secret_refreshes_without_one(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """A non-confidential client, the usual one for a device."""
    device = await zaikio.start_device_authorization("kiosk")
    hub.approve_device(device.user_code, PERSON_ID)
    token = await device.wait()

    assert (await zaikio.refresh(token)).token != token.token


async def test_it_may_be_for_an_organization(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The person picks it; the worker asks for it by its id."""
    device = await zaikio.start_device_authorization(scopes="Org.zaikio.organization.r")
    hub.approve_device(device.user_code, PERSON_ID, ORGANIZATION_ID)
    token = await device.wait()

    found = await zaikio.get_access_token(bearer_type="Organization", bearer_id=ORGANIZATION_ID)
    assert found == token


async def test_it_may_be_on_behalf_of_an_organization(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """With the roles that the person has there."""
    device = await zaikio.start_device_authorization(scopes=[f"Per>Org/{ORGANIZATION_ID}.zaikio.organization.r"])
    hub.approve_device(device.user_code, PERSON_ID)
    token = await device.wait()

    assert (token.bearer_id, token.requested_scopes) == (ORGANIZATION_ID, ("zaikio.organization.r",))
    assert token.on_behalf_of == OnBehalfOf(id=PERSON_ID, roles=("owner", "admin"))


async def test_the_hub_is_not_asked_more_often_than_it_says(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """Neither too soon after the start nor between two questions; so it never says ``slow_down``."""
    device = await zaikio.start_device_authorization()
    started = time.monotonic()
    waiting = asyncio.create_task(device.wait())
    await asyncio.sleep(0.8)
    assert polls(hub) == 0
    await soon(lambda: polls(hub) == 3)
    assert time.monotonic() - started >= 3
    assert device.interval == 1
    waiting.cancel()


async def test_slow_down_adds_five_seconds_for_good(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """RFC 8628 §3.5."""
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


async def test_a_person_who_cancels(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The Hub says it once, we say it as often as we are asked."""
    device = await zaikio.start_device_authorization()
    hub.deny_device(device.user_code)
    for _ in range(2):
        with pytest.raises(OAuthError) as caught:
            await device.wait()
        assert caught.value.code == "access_denied"
    assert polls(hub) == 1


async def test_a_code_that_nobody_entered_in_time(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """By the Hub's clock, or by ours where the Hub goes on saying that it waits."""
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


async def test_a_code_that_is_spent_or_unknown(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """As when two processes wait with one code."""
    device = await zaikio.start_device_authorization()
    hub.device_codes._codes.clear()
    with pytest.raises(InvalidGrantError):
        await device.wait()


async def test_many_tasks_may_wait_for_one_device(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """One question at a time; all of them get the one token."""
    device = await zaikio.start_device_authorization()
    waiting = [asyncio.create_task(device.wait()) for _ in range(20)]
    await soon(lambda: polls(hub) == 1)
    hub.approve_device(device.user_code, PERSON_ID)
    tokens = await asyncio.gather(*waiting)

    assert len({token.id for token in tokens}) == 1
    assert polls(hub) == 2
    assert await device.wait() == tokens[0]


async def test_a_slow_down_counts_once_for_many_tasks(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """However many of them hear it."""
    device = await zaikio.start_device_authorization()
    hub.fail(DEVICE_CODE, status=400, body={"error": "slow_down"})
    waiting = [asyncio.create_task(device.wait()) for _ in range(5)]
    await soon(lambda: polls(hub) == 1)
    await asyncio.sleep(0.2)
    assert device.interval == 6
    for each in waiting:
        each.cancel()


async def test_a_waiter_who_is_cancelled_loses_nothing(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """In the very moment in which the Hub gives the token: it is stored, and the next to wait gets it."""
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


async def test_a_shutdown_while_the_hub_gives_the_token_keeps_it(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """The device code is spent, so the answer has to reach the store."""
    async with ZaikioOAuth(make_settings()) as zaikio:
        device = await zaikio.start_device_authorization()
        hub.approve_device(device.user_code, PERSON_ID)
        hub.fail(DEVICE_CODE, latency=0.4)
        waiting = asyncio.create_task(device.wait())
        await asyncio.sleep(1.2)
        waiting.cancel()
    async with ZaikioOAuth(make_settings()) as zaikio:
        assert await zaikio.find_usable_access_token(bearer_type="Person", bearer_id=PERSON_ID)


def test_it_may_be_started_in_one_event_loop_and_waited_for_in_another(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """A script with two ``asyncio.run``."""
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
async def test_a_bad_answer_while_it_waits_is_not_the_end(
    zaikio: ZaikioOAuth, hub: LocalHub, fault: dict[str, Any]
) -> None:
    """The person may still come; the Hub is asked again, less often."""
    device = await zaikio.start_device_authorization()
    hub.fail(DEVICE_CODE, **fault)
    waiting = asyncio.create_task(device.wait())
    await soon(lambda: polls(hub) >= 1)
    hub.approve_device(device.user_code, PERSON_ID)

    assert (await waiting).bearer_id == PERSON_ID
    assert device.interval == 1


async def test_a_hub_that_stays_away_is_told_when_the_code_is_over(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """Not that nobody came, which nobody knows."""
    hub.device_code_lifetime = 2
    device = await zaikio.start_device_authorization()
    hub.fail(DEVICE_CODE, status=500, times=None)
    with pytest.raises(HubUnavailableError):
        await device.wait()


async def test_a_hub_that_asks_to_wait_longer_than_the_code_lives(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """It is not asked again, and nobody waits for it in vain."""
    hub.device_code_lifetime = 3
    device = await zaikio.start_device_authorization()
    hub.rate_limit(DEVICE_CODE, reset_in=120, times=None)
    started = time.monotonic()
    with pytest.raises(HubUnavailableError) as caught:
        await device.wait()
    assert time.monotonic() - started < 5
    assert caught.value.retry_after is not None
    assert polls(hub) == 1


async def test_an_answer_that_spent_the_code_is_told_for_what_it_was(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """Instead of the ``invalid_grant`` that comes after it."""
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
async def test_codes_that_will_not_do_are_an_error(
    zaikio: ZaikioOAuth, hub: LocalHub, change: dict[str, Any], complaint: str
) -> None:
    """Before anything is shown to anybody: no control character reaches a terminal, no script a page."""
    body = {
        "device_code": "d",
        "user_code": "BCDFGHJK",
        "verification_uri": "https://hub.example/device",
        "expires_in": 900,
    }
    hub.fail(AUTHORIZE, body=body | change)
    with pytest.raises(InvalidResponseError, match=complaint):
        await zaikio.start_device_authorization()


async def test_what_may_be_left_out(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """§3.2: five seconds by default, and no address with the code in it."""
    body = {"device_code": "d", "user_code": "X", "verification_uri": "https://hub.example/device", "expires_in": "900"}
    for given, interval in (({}, 5), ({"interval": "7"}, 7), ({"interval": 0}, 1)):
        hub.fail(AUTHORIZE, body=body | given)
        device = await zaikio.start_device_authorization()
        assert (device.interval, device.verification_uri_complete) == (interval, None)


async def test_a_start_that_the_hub_refuses(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """With the Hub's word for it."""
    with pytest.raises(InvalidScopesError):
        await zaikio.start_device_authorization(scopes=["nonsense"])
    hub.apps.clear()
    with pytest.raises(OAuthError) as caught:
        await zaikio.start_device_authorization()
    assert caught.value.code == "invalid_client"
    hub.fail(AUTHORIZE, broken_json=True)
    with pytest.raises(InvalidResponseError):
        await zaikio.start_device_authorization()


async def test_a_start_that_cannot_work(make_settings: Callable[..., Settings], hub: LocalHub) -> None:
    """Said before anything is asked."""
    client = {"client_id": "warehouse-id", "client_secret": SECRET}
    async with ZaikioOAuth(make_settings(clients={"warehouse": client})) as zaikio:
        with pytest.raises(ConfigurationError, match="pass scopes="):
            await zaikio.start_device_authorization()
        with pytest.raises(UnknownClientError):
            await zaikio.start_device_authorization("nobody")
    assert hub.count(path=AUTHORIZE) == 0


async def test_waiting_is_no_refusal_and_no_secret_is_logged(
    make_settings: Callable[..., Settings], hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    """One event when the token is there."""
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
