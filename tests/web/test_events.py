"""``on_event``: every event of the Hub once, in all processes together, and again if it was not dealt with."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import httpx2
import pytest
from sqlalchemy import bindparam, text

from tests.app_server import AppServer
from tests.apps import small_app
from tests.data import KEY, ORGANIZATION_ID, some_client
from tests.docs.world import LOOM_SECRET
from tests.inside import client_name_of, engine_of
from tests.loom import deliver_until_taken
from zaikio_oauth import ConfigurationError, HubEvent, Settings, ZaikioOAuth
from zaikio_oauth.application import default
from zaikio_oauth.settings import ClientSettings
from zaikio_oauth.store.columns import UtcDateTime
from zaikio_oauth.testing import LocalHub

App = Callable[..., Any]


class Loom:
    """Delivers events to an app on a real socket."""

    def __init__(self, hub: LocalHub, server: AppServer) -> None:
        self._hub = hub
        self._url = f"{server.url}/zaikio/webhook"
        self._client = httpx2.AsyncClient(timeout=3)

    async def deliver(self, name: str = "zaikio.connection_changed", secret: str = LOOM_SECRET, **more: Any) -> int:
        """Return the status of the response, which comes within a second."""
        body, headers = self._hub.event(name, secret, **({"subject_id": ORGANIZATION_ID} | more))
        return (await self._client.post(self._url, content=body, headers=headers)).status_code

    async def deliver_until_taken(self, name: str = "zaikio.site_added", secret: str = LOOM_SECRET, **more: Any) -> int:
        """Deliver again after each 503, and return the status of the last response."""
        return await self.post(*self._hub.event(name, secret, **({"subject_id": ORGANIZATION_ID} | more)))

    async def post(self, body: bytes, headers: dict[str, str]) -> int:
        """Deliver this body, again after each 503."""
        return await deliver_until_taken(self._client, body, headers, self._url)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


@pytest.fixture
async def serve(
    make_settings: Callable[..., Settings], database_url: str, hub: LocalHub
) -> AsyncIterator[Callable[..., Awaitable[Loom]]]:
    """Yield a function that serves an app with this hook; each app shares the database, but no memory, with others."""
    async with AsyncExitStack() as stack:

        async def start(on_event: Any = None, **settings: Any) -> Loom:
            client = some_client(webhook_secret=settings.pop("webhook_secret", LOOM_SECRET))
            more = {"clients": {"warehouse": client}, "database_url": database_url, "auto_migrate": True} | settings
            server = AppServer(small_app(ZaikioOAuth(make_settings(**more), on_event=on_event)))
            await asyncio.to_thread(server.__enter__)

            stack.push_async_callback(asyncio.to_thread, server.__exit__, None, None, None)
            loom = Loom(hub, server)
            stack.push_async_callback(loom.aclose)
            return loom

        yield start


async def test_the_hook_hears_of_every_event(serve: Any) -> None:
    """With everything that Loom says of it; sync or async."""
    heard: list[HubEvent] = []
    loom = await serve(heard.append)

    async def also(event: HubEvent) -> None:
        heard.append(event)

    again = await serve(also)
    details = {"payload": {"reason": "moved"}, "link": "https://hub.example/x", "event_id": "first"}
    assert await loom.deliver_until_taken("zaikio.connection_changed", **details) == 200
    person = {"subject_type": "Person", "subject_id": "anna"}
    assert await again.deliver_until_taken("zaikio.site_added", event_id="second", **person) == 200

    first, second = heard
    assert (first.id, first.name, first.version) == ("first", "zaikio.connection_changed", "1.0")
    assert (first.subject_type, first.subject_id) == ("Organization", ORGANIZATION_ID)
    assert (first.payload, first.link) == ({"reason": "moved"}, "https://hub.example/x")
    assert first.timestamp is not None
    assert first.timestamp.utcoffset() == timedelta(0)
    assert (second.subject_type, second.subject_id, second.payload, second.link) == ("Person", "anna", {}, None)
    assert "moved" not in repr(first)
    assert "hub.example" not in repr(first)


async def test_an_event_is_dealt_with_once_in_all_processes(serve: Any) -> None:
    """Twenty events, each delivered three times at once and once more later, to two apps on one database."""
    heard: list[str] = []

    async def on_event(event: HubEvent) -> None:
        await asyncio.sleep(0.05)
        heard.append(event.id)

    looms = [await serve(on_event), await serve(on_event)]
    ids = [f"event-{number}" for number in range(20)]
    for some in (ids[:10], ids[10:]):
        deliveries = [looms[number % 2].deliver(event_id=each) for each in some for number in range(3)]
        assert set(await asyncio.gather(*deliveries)) <= {200, 503}
    while 503 in [await looms[number % 2].deliver(event_id=each) for number, each in enumerate(ids)]:
        await asyncio.sleep(0.2)

    assert sorted(heard) == sorted(ids)


async def test_two_clients_may_have_events_with_the_same_id(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """An id is one of the Hub's app, to which a secret belongs."""
    heard: list[str] = []
    clients = {
        "warehouse": some_client(webhook_secret="one"),
        "kiosk": {"client_id": "kiosk-id", "webhook_secret": "other"},
    }
    zaikio = ZaikioOAuth(make_settings(clients=clients), on_event=lambda event: heard.append(event.name))
    with AppServer(small_app(zaikio)) as server:
        for path, secret in (("webhook", "one"), ("kiosk/webhook", "other")):
            url = f"{server.url}/zaikio/{path}"
            while (status := await hub.fire_event(url, secret, secret, subject_id="a", event_id="same")) == 503:
                pass
            assert status == 200

    assert heard == ["one", "other"]


async def test_a_hook_that_raises_is_called_again(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Loom gets a 503 and delivers again; the log names the event and shows the error, but not the payload."""
    heard: list[str] = []

    def on_event(event: HubEvent) -> None:
        heard.append(event.id)
        if len(heard) == 1:
            raise RuntimeError("the app's database is away")

    loom = await serve(on_event)
    delivery = {"event_id": "e-1", "payload": {"email": "anna@example.com"}}
    assert await loom.deliver(**delivery) == 503
    assert [await loom.deliver_until_taken(**delivery) for _ in range(2)] == [200, 200]

    assert heard == ["e-1", "e-1"]
    assert "The Hub's event e-1 was not dealt with" in caplog.text
    assert "the app's database is away" in caplog.text
    assert "anna@example.com" not in caplog.text


async def test_a_hook_that_blocks_is_late_too(serve: Any) -> None:
    """One that is not async keeps the app from answering in time; Loom delivers again, and nothing is done twice."""
    heard: list[str] = []

    def on_event(event: HubEvent) -> None:
        time.sleep(1.2)
        heard.append(event.id)

    loom = await serve(on_event)
    assert await loom.deliver(event_id="blocks") == 503
    assert await loom.deliver_until_taken(event_id="blocks") == 200
    assert heard == ["blocks"]


async def test_a_hook_that_is_cancelled_is_called_again(serve: Any) -> None:
    """Whatever the app has cancelled, it is no error of the request."""
    heard: list[str] = []

    async def on_event(event: HubEvent) -> None:
        heard.append(event.id)
        if len(heard) == 1:
            raise asyncio.CancelledError

    loom = await serve(on_event)
    assert await loom.deliver(event_id="cancelled") == 503
    assert await loom.deliver_until_taken(event_id="cancelled") == 200
    assert len(heard) == 2


async def test_a_hook_uses_the_client_that_has_got_the_event(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """Where it names none itself."""
    used: list[str] = []
    clients = {"warehouse": some_client(), "kiosk": {"client_id": "kiosk-id", "webhook_secret": "other"}}
    zaikio = ZaikioOAuth(make_settings(clients=clients), on_event=lambda event: used.append(client_name_of(zaikio)))
    with AppServer(small_app(zaikio)) as server:
        url = f"{server.url}/zaikio/kiosk/webhook"
        assert await hub.fire_event(url, "zaikio.site_added", "other", subject_id=ORGANIZATION_ID) == 200
    assert used == ["kiosk"]


async def test_the_example_in_the_docs_works(example: Callable[..., dict[str, Any]], hub: LocalHub) -> None:
    """An organization that leaves is noticed, and one that stays is kept, also if the Hub cannot be asked."""
    names = example("how-to/events.md")
    names["customers"].update([ORGANIZATION_ID, "gone"])
    hub.grant("warehouse-id", "Organization", ORGANIZATION_ID, ["zaikio.organization.r"])

    async with default:
        app = httpx2.AsyncClient(transport=httpx2.ASGITransport(names["app"]), base_url="http://testserver")

        async def deliver(organization: str) -> int:
            body, headers = hub.event("zaikio.connection_changed", LOOM_SECRET, subject_id=organization)
            return (await app.post("/zaikio/webhook", content=body, headers=headers)).status_code

        assert await deliver(ORGANIZATION_ID) == 200
        hub.fail("client_credentials", status=400, body={"error": "temporarily_unavailable"}, times=1)
        assert await deliver("gone") == 503
        assert names["customers"] == {ORGANIZATION_ID, "gone"}
        assert await deliver("gone") == 200
        assert names["customers"] == {ORGANIZATION_ID}
        await app.aclose()


async def test_a_late_call_is_not_made_again(serve: Any) -> None:
    """Loom does not wait for it, and hears at its next delivery that it is done."""
    heard: list[str] = []

    async def on_event(event: HubEvent) -> None:
        await asyncio.sleep(1.5)
        heard.append(event.id)

    loom = await serve(on_event)
    started = time.monotonic()
    assert await loom.deliver(event_id="slow") == 503
    assert time.monotonic() - started < 1.2
    assert await loom.deliver(event_id="slow") == 503
    while not heard:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    assert await loom.deliver_until_taken(event_id="slow") == 200
    assert heard == ["slow"]


async def test_a_shutdown_waits_for_a_late_call(make_settings: Callable[..., Settings], hub: LocalHub) -> None:
    """What has begun is finished and remembered, so that a restart does not do it twice."""
    heard: list[str] = []

    async def on_event(event: HubEvent) -> None:
        await asyncio.sleep(1.2)
        heard.append(event.id)

    settings = make_settings(clients={"warehouse": some_client(webhook_secret=LOOM_SECRET)})
    for status in (503, 200):
        with AppServer(small_app(ZaikioOAuth(settings, on_event=on_event))) as server:
            url = f"{server.url}/zaikio/webhook"
            assert await hub.fire_event(url, "x", LOOM_SECRET, subject_id="a", event_id="late") == status
    assert heard == ["late"]


async def test_a_revocation_is_applied_and_then_heard_of(
    serve: Any, make_settings: Callable[..., Settings], database_url: str
) -> None:
    """Also one that names itself by no id; each is dealt with once."""
    heard: list[str] = []
    loom = await serve(lambda event: heard.append(event.payload["access_token_id"]))

    for jti in ("one", "two"):
        assert await loom.deliver_until_taken("zaikio.revoked_access_token", payload={"access_token_id": jti}) == 200
    body = json.dumps({"name": "zaikio.revoked_access_token", "payload": {"access_token_id": "three"}}).encode()
    for _ in range(2):
        signature = hmac.new(LOOM_SECRET.encode(), body, sha256).hexdigest()
        assert await loom.post(body, {"X-Loom-Signature": signature}) == 200

    assert heard == ["one", "two", "three"]
    async with ZaikioOAuth(make_settings(database_url=database_url)) as zaikio:
        async with (await engine_of(zaikio)).connect() as connection:
            stored = await connection.execute(text("SELECT jti FROM zaikio_revocations ORDER BY jti"))
            assert stored.scalars().all() == ["one", "three", "two"]


async def test_without_a_hook_an_event_is_only_in_the_log(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """By its name; nothing is stored."""
    loom = await serve()
    with caplog.at_level(logging.INFO, "zaikio_oauth"):
        assert await loom.deliver_until_taken(payload={"name": "private"}) == 200

    assert "The Hub's event zaikio.site_added has no effect" in caplog.text
    assert "private" not in caplog.text


@pytest.mark.parametrize(
    "given", [["new", "old"], "new,old", '["new", "old"]', ["", "new", "old"], ("old", "new")], ids=repr
)
async def test_two_secrets_count_while_one_is_being_changed(serve: Any, given: Any) -> None:
    """In whichever way they are given, and no other."""
    heard: list[str] = []
    loom = await serve(lambda event: heard.append(event.id), webhook_secret=given)

    secrets = ("old", "new", "other", "new,old", "")
    statuses = [await loom.deliver_until_taken(secret=secret, event_id=secret) for secret in secrets]

    assert statuses == [200, 200, 401, 401, 401]
    assert heard == ["old", "new"]


def test_secrets_of_loom_are_not_shown() -> None:
    """Neither by the settings nor by what is wrong with them."""
    client = ClientSettings(client_id="a", webhook_secret=["hidden-1", "hidden-2"])
    assert "hidden" not in repr(client) + str(client) + client.model_dump_json()
    with pytest.raises(ConfigurationError) as caught:
        Settings(clients={"a": {"client_id": "a", "webhook_secret": ["hid\0den", 7]}}, encryption_keys=["x"])
    assert "hid" not in str(caught.value)


async def test_an_event_is_forgotten_after_two_days(
    serve: Any, make_settings: Callable[..., Settings], database_url: str
) -> None:
    """Loom delivers again for hours, so the cleanup deletes what is older."""
    loom = await serve(lambda event: None)
    for event_id in ("old", "young"):
        await loom.deliver_until_taken(event_id=event_id)
    age = text(
        "UPDATE zaikio_handled_events SET handled_at = :at "
        "WHERE digest = (SELECT min(digest) FROM zaikio_handled_events)"
    ).bindparams(bindparam("at", datetime.now(UTC) - timedelta(days=2, minutes=1), type_=UtcDateTime))
    async with ZaikioOAuth(make_settings(database_url=database_url)) as zaikio:
        async with (await engine_of(zaikio)).connect() as connection:
            await connection.execute(age)
        await zaikio.cleanup_access_tokens()
        async with (await engine_of(zaikio)).connect() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM zaikio_handled_events"))).scalar_one() == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_an_event_whose_process_was_killed_is_not_lost(
    serve: Any, hub: LocalHub, hub_url: str, database_url: str
) -> None:
    """``kill -9`` in the middle of the hook: another process notices within seconds, and deals with the event."""
    heard: list[str] = []
    environment = {
        "ZAIKIO_HOST": hub_url,
        "ZAIKIO_DATABASE_URL": database_url,
        "ZAIKIO_ENCRYPTION_KEYS": KEY,
        "ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_ID": "warehouse-id",
        "ZAIKIO_CLIENTS__WAREHOUSE__WEBHOOK_SECRET": LOOM_SECRET,
    }
    loom = await serve(lambda event: heard.append(event.id))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.web.event_app", stdout=subprocess.PIPE, env=os.environ | environment
    )
    assert child.stdout is not None
    url = (await child.stdout.readline()).decode().strip()
    try:
        assert await hub.fire_event(url, "x", LOOM_SECRET, subject_id="a", event_id="e-1") == 503
        assert (await child.stdout.readline()).strip() == b"called"
    finally:
        child.kill()
        await child.wait()

    deadline = time.monotonic() + 30
    while await loom.deliver(event_id="e-1") == 503:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.5)
    assert heard == ["e-1"]
