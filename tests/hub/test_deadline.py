"""A deadline is one, on every path to the Hub: for an answer that drips, for none, and for a process that stalled."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from tests.data import KEY, PERSON_ID, SECRET
from tests.raw_hub import RawHub, drips, says, with_body
from tests.visitor import expiring_token
from zaikio_oauth import HubUnavailableError, InvalidResponseError, Settings, ZaikioOAuth, ZaikioOAuthError
from zaikio_oauth.hub.http import HubHttp, RequestKind
from zaikio_oauth.hub.signing_keys import SigningKeys
from zaikio_oauth.testing import LocalHub

TOKEN = with_body(json.dumps({"access_token": "opaque", "expires_in": 3600}).encode())
DRIPPING_BODY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


async def silent(_: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def seconds_until_error(call: Awaitable[object]) -> tuple[float, ZaikioOAuthError | None]:
    """Return how long the call took, and the error that it raised."""
    started = time.monotonic()
    try:
        await call
    except ZaikioOAuthError as error:
        return time.monotonic() - started, error
    return time.monotonic() - started, None


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(silent, id="silent"),
        pytest.param(drips(TOKEN), id="headers drip"),
        pytest.param(drips(DRIPPING_BODY, every=0.01), id="body drips"),
        pytest.param(drips(with_body(b"", status="503 No").replace(b"h: 0", b"h: 9999")), id="error drips"),
    ],
)
async def test_a_call_ends_at_its_deadline(answer: Any) -> None:
    """It does, whatever kind of request it is, however the answer comes, and the error says how long it took."""
    async with RawHub(answer).serving() as raw:
        http = HubHttp(raw.url)
        ended = await asyncio.gather(
            *(seconds_until_error(http.request("POST", "/x", kind=kind, within=1.5)) for kind in RequestKind)
        )
        await http.aclose()

    for seconds, error in ended:
        assert isinstance(error, HubUnavailableError)
        assert 1.0 < seconds < 3
        assert abs(error.elapsed - seconds) < 0.2


async def test_an_attempt_of_an_idempotent_request_does_not_use_up_the_deadline() -> None:
    """One that drips or hangs is given up, and the next one may succeed."""
    async with RawHub(drips(TOKEN)).serving() as raw:
        http = HubHttp(raw.url, attempt_timeout=0.3)
        asking = asyncio.create_task(http.request("GET", "/x", kind=RequestKind.IDEMPOTENT, within=10))
        await asyncio.sleep(0.4)
        raw.default = says(TOKEN)
        assert (await asking).status_code == 200
        await http.aclose()
    assert len(raw.requests) >= 2


@pytest.mark.parametrize("kind", [RequestKind.REFRESH, RequestKind.CODE])
async def test_a_single_use_request_waits_for_its_answer(kind: RequestKind) -> None:
    """It is not given up before the deadline, and not sent a second time while the answer may still come."""
    async with RawHub(says(TOKEN, after=1)).serving() as raw:
        http = HubHttp(raw.url, attempt_timeout=0.2)
        assert (await http.request("POST", "/x", kind=kind, within=10)).status_code == 200
        await http.aclose()
    assert len(raw.requests) == 1


async def test_a_refresh_that_the_hub_performs_late_logs_nobody_out(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The Hub takes 13 seconds; nobody sends the refresh token again."""
    token = await expiring_token(zaikio, hub)
    hub.fail("refresh_token", latency=13)

    refreshed = await zaikio.refresh(token)

    assert refreshed.token != token.token
    assert hub.count(grant_type="refresh_token") == 1


@pytest.mark.parametrize("fault", [{"status": 502}, {"status": 503}, {"disconnect": True}])
async def test_a_refresh_is_tried_again_within_the_deadline(
    zaikio: ZaikioOAuth, hub: LocalHub, fault: dict[str, Any]
) -> None:
    """One bad gateway or broken connection is no reason to fail: the next call would send the same token anyway."""
    token = await expiring_token(zaikio, hub)
    hub.fail("refresh_token", **fault)

    assert (await zaikio.refresh(token)).token != token.token
    assert hub.count(grant_type="refresh_token") == 2


@pytest.mark.parametrize("kind", list(RequestKind))
async def test_an_answer_that_arrived_while_the_process_was_stopped_is_read(
    hub: LocalHub, hub_url: str, kind: RequestKind
) -> None:
    """The loop is blocked until long after the deadline. The answer lies in the socket."""
    hub.fail("/api/v1/roles", latency=0.7)
    http = HubHttp(hub_url, attempt_timeout=1)
    await http.request("GET", "/api/v1/jwt_public_keys.json", kind=kind)
    asyncio.get_running_loop().call_later(0.3, time.sleep, 2.2)

    assert (await http.request("GET", "/api/v1/roles", kind=kind, within=1.5)).status_code == 200

    await http.aclose()
    assert hub.count(path="/api/v1/roles") == 1


async def test_a_stall_is_no_reason_to_wait_for_ever(hub: LocalHub, hub_url: str) -> None:
    """If no answer came meanwhile, the call ends a moment after the loop goes on."""
    hub.fail("/api/v1/roles", latency=8)
    http = HubHttp(hub_url)
    asyncio.get_running_loop().call_later(0.3, time.sleep, 2)

    seconds, error = await seconds_until_error(http.request("GET", "/api/v1/roles", kind=RequestKind.REFRESH, within=1))

    await http.aclose()
    assert isinstance(error, HubUnavailableError)
    assert 2 < seconds < 5


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x"])
async def test_a_compressed_answer_is_not_unpacked(encoding: str) -> None:
    """It was not asked for, and it could unpack to any size."""
    body = with_body(b"{}", headers=f"Content-Encoding: {encoding}\r\n")
    async with RawHub(says(body)).serving() as raw:
        http = HubHttp(raw.url)
        with pytest.raises(InvalidResponseError, match="compressed"):
            await http.request("POST", "/x", kind=RequestKind.REFRESH)
        await http.aclose()
    assert b"Accept-Encoding: identity\r\n" in raw.requests[0]


async def test_cookies_of_the_hub_are_not_kept() -> None:
    """What the Hub sets in one person's request must not be sent in another's."""
    async with RawHub(says(with_body(b"{}", headers="Set-Cookie: session=anna; Path=/\r\n"))).serving() as raw:
        http = HubHttp(raw.url)
        for _ in range(2):
            await http.request("POST", "/x", kind=RequestKind.IDEMPOTENT)
        await http.aclose()
    assert b"anna" not in b"".join(raw.requests)


def settings_for(raw: RawHub, tmp_path: Path) -> Settings:
    """Return settings for a Hub that answers as it likes."""
    client = {"client_id": "warehouse-id", "client_secret": SECRET, "default_scopes": ["zaikio.person.r"]}
    return Settings(
        host=raw.url,
        database_url=f"sqlite:///{tmp_path}/raw.db",
        encryption_keys=[KEY],
        clients={"warehouse": client},
    )


async def test_every_call_of_an_app_ends_in_time(tmp_path: Path, hub: LocalHub) -> None:
    """That is 5 seconds for the keys and for a revocation, and at once for closing; the error says the truth."""
    async with RawHub().serving() as raw:
        zaikio = ZaikioOAuth(settings_for(raw, tmp_path))
        issued = {"access_token": "opaque", "expires_in": 900, "bearer": {"type": "Person", "id": PERSON_ID}}
        raw.default = says(with_body(json.dumps(issued).encode()))
        token = await zaikio.get_access_token(bearer_id=PERSON_ID)
        raw.default = drips(DRIPPING_BODY, every=0.02)
        raw.answers["/api/v1/jwt_public_keys.json"] = silent
        async with zaikio:
            keys, revocation = await asyncio.gather(
                seconds_until_error(zaikio.verify_bearer_token(hub.mint_token("warehouse-id", PERSON_ID, "a.b.r"))),
                seconds_until_error(zaikio.revoke(token)),
            )
            closing = time.monotonic()
        assert time.monotonic() - closing < 2

    for seconds, error in (keys, revocation):
        assert isinstance(error, HubUnavailableError)
        assert 4.5 < seconds < 8
        assert "tried for 5" in str(error)
        assert error.elapsed > 4.5


async def test_a_failure_that_is_kept_says_how_long_it_took(hub: LocalHub, hub_url: str) -> None:
    """Too many requests have been made for the keys, so nobody asks again now."""
    keys = "/api/v1/jwt_public_keys.json"
    hub.fail(keys, status=404, body={"errors": ["gone"]}, latency=0.15, times=None)
    http = HubHttp(hub_url)
    signing_keys = SigningKeys(http)
    token = hub.mint_token("warehouse-id", PERSON_ID, "a.b.r")

    errors = [(await seconds_until_error(signing_keys.claims(token)))[1] for _ in range(12)]

    await signing_keys.aclose()
    await http.aclose()
    assert hub.count(path=keys) < 12
    for error in errors:
        assert isinstance(error, HubUnavailableError)
        assert error.elapsed > 0.1
