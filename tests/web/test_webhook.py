"""``POST /webhook``: events of any content, connections that break off, and a database that is late."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from tests.app_server import AppServer
from tests.apps import small_app
from tests.data import SECRET
from tests.loom import deliver_until_taken
from tests.visitor import Visitor
from zaikio_oauth import Settings, ZaikioOAuth

WEBHOOK_SECRET = "a-secret-of-loom"


@pytest.fixture
def app(make_settings: Callable[..., Settings]) -> FastAPI:
    """Return an app with a webhook."""
    client = {"client_id": "warehouse-id", "client_secret": SECRET, "webhook_secret": WEBHOOK_SECRET}
    return small_app(ZaikioOAuth(make_settings(clients={"warehouse": client})))


def signed(body: bytes) -> dict[str, str]:
    """Return the signature of Loom."""
    return {"X-Loom-Signature": hmac.new(WEBHOOK_SECRET.encode(), body, sha256).hexdigest()}


def revocation(jti: Any, **more: Any) -> bytes:
    """Return the event that a token is revoked."""
    payload = {"access_token_id": jti}
    return json.dumps({"id": "1", "name": "zaikio.revoked_access_token", "payload": payload} | more).encode()


DEEP = b"[" * 20_000 + b"]" * 20_000


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(revocation("\ud800"), id="a lone surrogate"),
        pytest.param(revocation("a\0b"), id="NUL"),
        pytest.param(revocation("a\r\nb"), id="a line break"),
        pytest.param(revocation("x" * 256), id="a long id"),
        pytest.param(revocation(""), id="no id"),
        pytest.param(revocation(7), id="a number"),
        pytest.param(revocation(["x"]), id="a list"),
        pytest.param(b'{"name": "zaikio.revoked_access_token", "payload": ' + b"9" * 5000 + b"}", id="a giant number"),
        pytest.param(b'{"name": "x", "timestamp": ' + b"9" * 5000 + b"}", id="a giant number in another event"),
        pytest.param(b'{"name": "x", "payload": ' + DEEP + b"}", id="deep nesting"),
        pytest.param(b'{"name": "x"', id="cut off"),
        pytest.param(b'{"name": "\xff"}', id="no UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", id="a byte order mark"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"name": null}', id="no name"),
        pytest.param(b'{"name": "a\\nb"}', id="a line break in the name"),
        pytest.param(b'{"name": "' + b"x" * 256 + b'"}', id="a long name"),
    ],
)
async def test_a_signed_event_that_is_none_gets_400(app: FastAPI, body: bytes) -> None:
    """A good signature says who has sent it, not that it makes sense."""
    visitor = Visitor(app)

    answer = await visitor.app.post("/zaikio/webhook", content=body, headers=signed(body))

    assert (answer.status_code, answer.headers["cache-control"]) == (400, "no-store")
    await visitor.aclose()


async def test_wrong_signatures_are_one_warning_a_minute(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong secret is noticed, and whoever forges events cannot fill the log."""
    visitor = Visitor(app)
    for _ in range(5):
        answer = await visitor.app.post("/zaikio/webhook", content=revocation("x"), headers=signed(b"other"))
        assert answer.status_code == 401
    await visitor.aclose()

    warned = [record for record in caplog.records if vars(record).get("zaikio_event") == "webhook.wrong_signature"]
    assert [vars(record)["zaikio_client_name"] for record in warned] == ["warehouse"]
    assert "webhook_secret" in warned[0].getMessage()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"Content-Length: 1000\r\n\r\n{", id="in the body"),
        pytest.param(b"Content-Length: 1000\r\n\r\n", id="before the body"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", id="in a chunk"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n", id="with a chunk that is none"),
    ],
)
async def test_a_delivery_that_breaks_off_is_no_error_of_ours(
    app: FastAPI, caplog: pytest.LogCaptureFixture, head: bytes
) -> None:
    """There is no traceback, and the next delivery is received."""
    with AppServer(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /zaikio/webhook HTTP/1.1\r\nHost: x\r\n" + head)
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.write_eof()
        answered = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        async with httpx2.AsyncClient(base_url=server.url) as loom:
            body = revocation("some-jti")
            assert await deliver_until_taken(loom, body, signed(body)) == 200
    assert answered[9:12] in (b"", b"400")
    assert "Traceback" not in caplog.text
    assert [record for record in caplog.records if record.exc_info] == []


async def test_late_work_is_finished(app: FastAPI, tmp_path: Path) -> None:
    """The answer is 503 within a second, so that Loom delivers again; a shutdown waits for what is under way."""
    with AppServer(app) as server:
        async with httpx2.AsyncClient(base_url=server.url) as loom:
            body = revocation("some-jti")
            with closing(sqlite3.connect(tmp_path / "app.db", isolation_level=None)) as locking:
                locking.execute("BEGIN EXCLUSIVE")
                started = time.monotonic()
                answer = await loom.post("/zaikio/webhook", content=body, headers=signed(body))
                waited = time.monotonic() - started
                unlocking = asyncio.get_running_loop().run_in_executor(None, server.stop)
                await asyncio.sleep(0.5)
                locking.execute("COMMIT")
            await unlocking
    with closing(sqlite3.connect(tmp_path / "app.db")) as reading:
        stored = reading.execute("SELECT jti FROM zaikio_revocations").fetchall()
    assert (answer.status_code, waited < 1.5) == (503, True)
    assert ("some-jti",) in stored


async def test_a_late_failure_is_logged_once(app: FastAPI, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is an error of ours with its name, not "Task exception was never retrieved"."""
    with AppServer(app) as server, caplog.at_level(logging.INFO):
        async with httpx2.AsyncClient(base_url=server.url) as loom:
            body = revocation("some-jti")
            with closing(sqlite3.connect(tmp_path / "app.db", isolation_level=None)) as locking:
                locking.execute("BEGIN EXCLUSIVE")
                answer = await loom.post("/zaikio/webhook", content=body, headers=signed(body))
                locking.execute("DROP TABLE zaikio_revocations")
                locking.execute("COMMIT")
    assert answer.status_code == 503
    told = [record for record in caplog.records if "event of the Hub" in record.getMessage()]
    assert [(record.levelname, record.exc_info) for record in told] == [("WARNING", None)]
    assert "The database cannot be used now" in told[0].getMessage()
    assert "never retrieved" not in caplog.text
    assert "zaikio_revocations" not in caplog.text
