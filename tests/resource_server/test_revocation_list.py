"""The Hub's list of revoked tokens, and Loom's events."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from fastapi import FastAPI

from tests.apps import small_app
from tests.data import KEY, some_access_token, some_client
from tests.inside import mark_revoked, parts_of
from tests.loom import deliver_until_taken
from tests.raw_hub import RawHub, drips, says, with_body
from tests.visitor import Visitor
from zaikio_oauth import AccessToken, InvalidTokenError, Settings, ZaikioOAuth
from zaikio_oauth.settings.retries_and_waits import REVOCATION_LIST_CLAIM as CLAIM
from zaikio_oauth.settings.retries_and_waits import REVOCATION_LIST_INTERVAL as EVERY
from zaikio_oauth.store.access_tokens import AccessTokenRepository
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.revoked_tokens import RevokedTokenRepository
from zaikio_oauth.store.stored_token import StoredToken
from zaikio_oauth.testing import LocalHub

WEBHOOK_SECRET = "shared-with-loom"
LIST = "/api/v1/revoked_access_tokens.json"


@pytest.fixture
async def zaikio(make_settings: Callable[..., Settings]) -> AsyncIterator[ZaikioOAuth]:
    """Yield an instance with a webhook for the client ``warehouse``."""
    client = some_client(webhook_secret=WEBHOOK_SECRET)
    async with ZaikioOAuth(make_settings(clients={"warehouse": client, "kiosk": {"client_id": "b"}})) as opened:
        yield opened


@pytest.fixture
async def token(visitor: Visitor, hub: LocalHub, zaikio: ZaikioOAuth) -> AccessToken:
    """Return a person's token."""
    hub.auto_consent(person_id=hub.people[0].id)
    await visitor.log_in()
    found = await zaikio.find_active_access_token(visitor.session["zaikio_access_token_id"])
    assert found is not None
    return found


def event(jti: str | None, name: str = "zaikio.revoked_access_token", **changes: Any) -> bytes:
    """Return an event in the form of the Hub's documentation."""
    body = {
        "id": "0f9a",
        "name": name,
        "subject": "Per/29b2",
        "timestamp": "2026-11-24T12:00:00Z",
        "version": "1.0",
        "payload": {"access_token_id": jti},
        "link": None,
        "received_at": "2026-11-24T12:00:00Z",
    }
    return json.dumps(body | changes).encode()


async def deliver(visitor: Visitor, body: bytes, *, secret: str = WEBHOOK_SECRET, path: str = "/zaikio/webhook") -> int:
    """Send an event as Loom does, and return the status of the response."""
    signature = hmac.new(secret.encode(), body, sha256).hexdigest()
    return await deliver_until_taken(visitor.app, body, {"X-Loom-Signature": signature}, path)


@pytest.mark.parametrize("name", ["zaikio.revoked_access_token", "directory.revoked_access_token"])
@pytest.mark.parametrize("path", ["/zaikio/webhook", "/zaikio/warehouse/webhook"])
async def test_an_event_revokes_a_token_immediately(visitor: Visitor, token: AccessToken, name: str, path: str) -> None:
    """The event has the Hub's current name or its former one. A repeated event has no further effect."""
    for _ in range(2):
        assert await deliver(visitor, event(token.jti, name), path=path) == 200
    assert (await visitor.get("/me")).status_code == 401


async def test_an_event_without_a_valid_signature_has_no_effect(visitor: Visitor, token: AccessToken) -> None:
    """The response is HTTP 401 for another secret, another body, a missing signature and a malformed one."""
    body = event(token.jti)
    right = hmac.new(WEBHOOK_SECRET.encode(), body, sha256).hexdigest()
    assert await deliver(visitor, body, secret="guessed") == 401
    for signature in ["", right[:-1], right.upper(), "ä" * 64, "0" * 64]:
        headers = {"X-Loom-Signature": signature.encode("latin-1")}
        answer = await visitor.app.post("/zaikio/webhook", content=body, headers=headers)
        assert answer.status_code == 401
    altered = await visitor.app.post("/zaikio/webhook", content=body + b" ", headers={"X-Loom-Signature": right})
    assert altered.status_code == 401
    assert (await visitor.app.post("/zaikio/webhook", content=body)).status_code == 401
    assert (await visitor.get("/me")).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (event("x", "zaikio.site_added"), 200),
        (event("unknown-token"), 200),
        (event(None), 400),
        (event("x" * 300), 400),
        (event("x", payload=None), 400),
        (b"", 400),
        (b"[]", 400),
        (b'{"name": 7}', 400),
        (b"\xff", 400),
        (b"[" * 50_000, 400),
        (b" " * 70_000, 413),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_every_other_event_has_no_effect(visitor: Visitor, token: AccessToken, body: bytes, status: int) -> None:
    """The signature is valid, but the event is of another kind or malformed. It never causes HTTP 500."""
    assert await deliver(visitor, body) == status
    assert (await visitor.get("/me")).status_code == 200


async def test_a_client_without_a_webhook_secret_has_no_webhook(visitor: Visitor) -> None:
    """The response is HTTP 404, as for an unknown client."""
    assert await deliver(visitor, event("x"), path="/zaikio/kiosk/webhook") == 404
    assert await deliver(visitor, event("x"), path="/zaikio/nobody/webhook") == 404


async def test_an_event_can_arrive_before_its_token_is_stored(database: Database) -> None:
    """Events can arrive in any order."""
    tokens = AccessTokenRepository(database)
    revocations = RevokedTokenRepository(database)
    await revocations.add(["early"])

    stored = await tokens.add(some_access_token(jti="early"))
    refreshed = await tokens.add(some_access_token(jti="other"))
    await tokens.replace(StoredToken(refreshed, 1, refreshed.created_at), refreshed.model_copy(update={"jti": "early"}))

    assert await tokens.get(stored.id) is None
    assert await tokens.get(refreshed.id) is None
    assert await revocations.contains("early")
    assert not await revocations.contains("late")


async def test_thousands_of_revoked_ids_are_written_in_batches(database: Database) -> None:
    """The number of parameters of a statement is limited."""
    tokens = AccessTokenRepository(database)
    revocations = RevokedTokenRepository(database)
    stored = await tokens.add(some_access_token(jti="number-2500"))

    revoked, lost = await revocations.add([f"number-{number}" for number in range(3000)])

    assert [len(revoked), len(lost)] == [1, 1]
    assert await tokens.get(stored.id) is None
    assert await revocations.add(["number-7"]) == ([], [])


async def test_the_list_is_claimed_for_minutes_and_due_after_an_hour(database: Database) -> None:
    """Only one of ten processes fetches it. One that ends meanwhile, or a clock that was wrong, costs only minutes."""
    repository = RevokedTokenRepository(database)
    now = datetime.now(UTC)

    async def claims(at: datetime) -> int:
        return sum(await asyncio.gather(*(repository.claim_list(at, CLAIM, EVERY) for _ in range(10))))

    assert await claims(now) == 1
    assert await claims(now + timedelta(minutes=4)) == 0
    assert await claims(now + timedelta(minutes=6)) == 1
    await repository.schedule_list(now + EVERY)
    assert await claims(now + timedelta(minutes=59)) == 0
    assert await claims(now + timedelta(minutes=61)) == 1
    assert await claims(now - timedelta(hours=3)) == 1


async def minutes_until_due(path: Path) -> float:
    """Return how many minutes from now the list is due, by what is in the database."""
    async with aiosqlite.connect(path) as connection, connection.execute("SELECT due_at FROM zaikio_schedule") as rows:
        ((due_at,),) = await rows.fetchall()
    return (datetime.fromisoformat(due_at).replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds() / 60


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it is true."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_short_command_does_not_put_the_list_off(
    make_settings: Callable[..., Settings], hub: LocalHub, tmp_path: Path
) -> None:
    """It ends while the list is on its way, so somebody else asks within minutes; who stores it asks in an hour."""
    hub.fail(LIST, latency=5)
    async with ZaikioOAuth(make_settings()):
        await asyncio.sleep(0.5)
    assert 3 < await minutes_until_due(tmp_path / "app.db") <= 5

    async with aiosqlite.connect(tmp_path / "app.db") as connection:
        await connection.execute("UPDATE zaikio_schedule SET due_at = '2020-01-01 00:00:00.000000'")
        await connection.commit()
    hub.clear_faults()
    async with ZaikioOAuth(make_settings()) as zaikio:
        await until(lambda: hub.count(path=LIST) > 0)
        await zaikio.verify_bearer_token(hub.mint_token("warehouse-id", hub.people[0].id, "zaikio.person.r"))
    assert 58 < await minutes_until_due(tmp_path / "app.db") <= 60


async def test_a_list_that_could_not_be_stored_is_fetched_again_soon(
    make_settings: Callable[..., Settings], hub: LocalHub, tmp_path: Path
) -> None:
    """A fault of the database between the response and storing it costs minutes, not an hour."""
    async with ZaikioOAuth(make_settings()) as zaikio:
        revocation_list = (await parts_of(zaikio)).revocation_list
        await revocation_list._ready.wait()
        async with aiosqlite.connect(tmp_path / "app.db") as connection:
            await connection.execute("UPDATE zaikio_schedule SET due_at = '2020-01-01 00:00:00.000000'")
            await connection.execute("ALTER TABLE zaikio_revocations RENAME TO gone")
            await connection.commit()
        hub.fail(LIST, body={"revoked_token_ids": ["some-id"]})
        await revocation_list._check()
    assert hub.count(path=LIST) == 2
    assert 3 < await minutes_until_due(tmp_path / "app.db") <= 5


async def test_a_list_that_drips_blocks_neither_requests_nor_the_shutdown(tmp_path: Path, hub: LocalHub) -> None:
    """They wait for the first list for a second and then go by what is stored; a revoked token stays revoked."""
    raw = RawHub()
    raw.answers[LIST] = drips(b"HTTP/1.1 200 OK\r\n\r\n")
    raw.answers["/api/v1/jwt_public_keys.json"] = says(with_body(json.dumps(hub.grants.keys.published()).encode()))
    minted = [hub.mint_token("warehouse-id", hub.people[0].id, "zaikio.person.r") for _ in range(11)]
    async with raw.serving():
        zaikio = ZaikioOAuth(
            Settings(
                host=raw.url,
                database_url=f"sqlite:///{tmp_path}/raw.db",
                encryption_keys=[KEY],
                clients={"warehouse": {"client_id": "warehouse-id", "webhook_secret": WEBHOOK_SECRET}},
            )
        )
        async with zaikio:
            started = time.monotonic()
            tokens = await asyncio.gather(*(zaikio.verify_bearer_token(text) for text in minted))
            assert time.monotonic() - started < 2
            await mark_revoked(zaikio, [tokens[0].jti])
            started = time.monotonic()
            with pytest.raises(InvalidTokenError, match="revoked"):
                await zaikio.verify_bearer_token(minted[0])
            assert time.monotonic() - started < 0.5
            started = time.monotonic()
        assert time.monotonic() - started < 1
    assert LIST in raw.paths()


async def test_tokens_on_the_list_are_rejected(
    make_settings: Callable[..., Settings], hub: LocalHub, visitor: Visitor, token: AccessToken, zaikio: ZaikioOAuth
) -> None:
    """A process fetches the list at its start if it is due, so no webhook is necessary."""
    assert token.jti
    hub.revoke(token.jti)
    revocation_list = (await parts_of(zaikio)).revocation_list
    assert not await revocation_list.fetch_if_due()
    repository = revocation_list._revoked_tokens
    await repository.schedule_list(datetime.now(UTC) - timedelta(seconds=1))

    assert await revocation_list.fetch_if_due()

    assert (await visitor.get("/me")).status_code == 401
    assert hub.count(path=LIST) == 2


@pytest.mark.parametrize("fault", [{"status": 500}, {"broken_json": True}, {"body": {"revoked_token_ids": None}}])
async def test_tokens_are_accepted_if_the_list_cannot_be_fetched(
    visitor: Visitor,
    hub: LocalHub,
    token: AccessToken,
    zaikio: ZaikioOAuth,
    caplog: pytest.LogCaptureFixture,
    fault: dict[str, Any],
) -> None:
    """The failure is logged, and the next attempt is within a few minutes."""
    revocation_list = (await parts_of(zaikio)).revocation_list
    repository = revocation_list._revoked_tokens
    await repository.schedule_list(datetime.now(UTC) - timedelta(seconds=1))
    hub.fail(LIST, times=None, **fault)

    assert not await revocation_list.fetch_if_due()

    assert "cannot be fetched; tokens are trusted as before" in caplog.text
    assert (await visitor.get("/me")).status_code == 200
    assert not await repository.claim_list(datetime.now(UTC) + timedelta(minutes=4), CLAIM, EVERY)
    assert await repository.claim_list(datetime.now(UTC) + timedelta(minutes=6), CLAIM, EVERY)


async def test_the_webhook_appears_in_the_openapi_schema(app: FastAPI) -> None:
    """The schema contains its path like that of every other route."""
    assert "/zaikio/{client_name}/webhook" in app.openapi()["paths"]
    assert small_app


def test_a_script_that_asks_about_no_bearer_token_ends_quietly(
    make_settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    """It never enters, so everything is closed by the end of its event loop, and the list was never needed."""
    zaikio = ZaikioOAuth(make_settings())

    asyncio.run(zaikio.cleanup_access_tokens())

    assert [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


async def test_nobody_waits_for_a_check_that_was_cancelled(
    make_settings: Callable[..., Settings], hub: LocalHub, hub_url: str
) -> None:
    """An app that cancels every other task at its end still verifies a last token."""
    zaikio = ZaikioOAuth(make_settings())
    parts = await parts_of(zaikio)
    assert parts.revocation_list._checking is not None
    parts.revocation_list._checking.cancel()
    async with asyncio.timeout(5):
        token = await zaikio.verify_bearer_token(hub.mint_token("warehouse-id", hub.people[0].id, "zaikio.person.r"))
    assert token.subject_id == hub.people[0].id
    async with zaikio:
        pass
