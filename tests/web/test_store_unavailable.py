"""What a browser, Loom and another app see while the database cannot be used, and that a logout happens nevertheless."""

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from hashlib import sha256
from typing import Annotated

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI, Security

from tests.app_server import AppServer
from tests.apps import small_app
from tests.data import SECRET
from tests.environment.tcp_proxy import TcpProxy
from tests.loom import deliver_until_taken
from tests.visitor import Visitor, query_of
from zaikio_oauth import BearerToken, Settings, ZaikioOAuth
from zaikio_oauth.testing import HubApp, LocalHub

pytestmark = pytest.mark.postgresql

BROWSER = {"Accept": "text/html"}
WEBHOOK_SECRET = "a-secret-of-loom"


@pytest.fixture(autouse=True)
def consenting(hub: LocalHub) -> None:
    """The person grants all requested scopes."""
    hub.auto_consent(person_id=hub.people[0].id)


@pytest.fixture
def proxy(postgresql_url: str) -> Iterator[TcpProxy]:
    """Yield the way to the database, which can be interrupted."""
    with TcpProxy.to(postgresql_url) as proxy:
        yield proxy


@pytest.fixture
def settings(make_settings: Callable[..., Settings], proxy: TcpProxy, postgresql_url: str) -> Settings:
    """Return settings with that database, without a cache, and with a webhook."""
    client = {"client_id": "warehouse-id", "client_secret": SECRET, "webhook_secret": WEBHOOK_SECRET}
    client |= {"default_scopes": "zaikio.person.r", "organization_scopes": "zaikio.organization.r"}
    url = proxy.url(postgresql_url)
    return make_settings(database_url=url, cache_ttl=0, auto_migrate=True, clients={"warehouse": client})


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    """Return an app that also has an API of its own."""
    zaikio = ZaikioOAuth(settings)
    app = small_app(zaikio)

    @app.get("/api")
    async def api(token: Annotated[BearerToken, Security(zaikio.bearer_token)]) -> str:
        return token.subject_id

    return app


@pytest.fixture
async def visitor(app: FastAPI) -> AsyncIterator[Visitor]:
    """Yield a visitor who is logged in; the app runs."""
    async with app.router.lifespan_context(app):
        visitor = Visitor(app)
        await visitor.log_in()
        yield visitor
        await visitor.aclose()


def revocation(jti: str) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of the event that a token is revoked."""
    body = json.dumps({"id": "1", "name": "zaikio.revoked_access_token", "payload": {"access_token_id": jti}}).encode()
    signature = hmac.new(WEBHOOK_SECRET.encode(), body, sha256).hexdigest()
    return body, {"X-Loom-Signature": signature}


async def test_everybody_is_told_to_come_back(
    visitor: Visitor, hub: LocalHub, hub_url: str, proxy: TcpProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Pages and APIs get 503 with ``Retry-After``, Loom gets 503, and a page for everybody is shown. Then all is well."""
    bearer = hub.mint_token("warehouse-id", hub.people[0].id, "zaikio.person.r", issuer=hub_url)
    authorization = {"Authorization": f"Bearer {bearer}"}
    body, signed = revocation("some-jti")
    assert (await visitor.get("/api", headers=authorization)).status_code == 200
    proxy.refuse()

    for path, headers in [("/me", BROWSER), ("/me", {}), ("/api", authorization)]:
        answer = await visitor.get(path, headers=headers)
        assert answer.status_code == 503
        assert (answer.headers["retry-after"], answer.headers["cache-control"]) == ("10", "no-store")
    assert (await visitor.get("/maybe")).json() == "nobody"
    assert (await visitor.app.post("/zaikio/webhook", content=body, headers=signed)).status_code == 503
    assert (await visitor.get("/zaikio/sessions/new")).status_code == 302

    proxy.restore()
    assert (await visitor.get("/me", headers=BROWSER)).status_code == 200
    assert (await visitor.get("/api", headers=authorization)).status_code == 200
    assert await deliver_until_taken(visitor.app, body, signed) == 200
    assert "Traceback" not in caplog.text


async def test_a_page_does_not_wait_until_the_database_is_open(
    app: FastAPI, proxy: TcpProxy, postgresql_url: str
) -> None:
    """An app that is mounted in another one opens at its first request, while another process may be migrating."""
    visitor = Visitor(app)
    await visitor.app.post("/remember", json={"zaikio_access_token_id": "some-id"})
    migrating = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    await migrating.execute("BEGIN; CREATE TABLE zaikio_access_tokens (id text)")

    async def seconds_of(path: str) -> tuple[httpx2.Response, float]:
        started = time.monotonic()
        return await visitor.get(path), time.monotonic() - started

    (me, me_took), (maybe, maybe_took) = await asyncio.gather(seconds_of("/me"), seconds_of("/maybe"))
    await migrating.close()

    assert (me.status_code, me.headers["retry-after"], maybe.json()) == (503, "10", "nobody")
    assert 4 < me_took < 9
    assert 1 < maybe_took < 6
    for _ in range(100):
        if (await visitor.get("/me")).status_code == 401:
            break
        await asyncio.sleep(0.1)
    assert (await visitor.get("/me")).status_code == 401
    await visitor.aclose()


async def test_a_callback_can_be_completed_later(visitor: Visitor, hub: LocalHub, proxy: TcpProxy) -> None:
    """The error is ``temporarily_unavailable``; the code is not used, so the page can be loaded again."""
    before = hub.count(grant_type="authorization_code")
    callback = await visitor.consent(await visitor.start(origin="/page"))
    proxy.refuse()

    answer = await visitor.get(callback)

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert (await visitor.get("/")).json()["error"]["code"] == "temporarily_unavailable"
    assert hub.count(grant_type="authorization_code") == before
    proxy.restore()
    assert (await visitor.get(callback)).headers["location"] == "/page"
    assert (await visitor.get("/me")).status_code == 200


async def test_a_callback_whose_flow_is_noted_twice_logs_in(
    visitor: Visitor, proxy: TcpProxy, postgresql_url: str
) -> None:
    """The connection breaks before the database can say that the flow is noted as used, so it is noted again."""
    await visitor.app.delete("/zaikio/session")
    callback = await visitor.consent(await visitor.start(origin="/page"))
    admin = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    await admin.execute(
        "CREATE FUNCTION slowly() RETURNS trigger AS 'BEGIN PERFORM pg_sleep(1); RETURN NEW; END' LANGUAGE plpgsql; "
        "CREATE TRIGGER slowly BEFORE INSERT ON zaikio_used_flows FOR EACH ROW EXECUTE FUNCTION slowly()"
    )
    noted = "SELECT count(*) FROM zaikio_used_flows"
    before = await admin.fetchval(noted)

    answering = asyncio.create_task(visitor.get(callback))
    while not await admin.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"):
        await asyncio.sleep(0.02)
    proxy.stall()
    while await admin.fetchval(noted) == before:
        await asyncio.sleep(0.02)
    proxy.cut()
    proxy.restore()

    assert (await answering).headers["location"] == "/page"
    assert (await visitor.get("/me")).status_code == 200
    await admin.close()


async def test_a_logout_happens_at_once_and_is_completed_later(
    visitor: Visitor, hub: LocalHub, proxy: TcpProxy
) -> None:
    """The session is cleared although nothing can be read; the token is revoked when the database is back."""
    proxy.refuse()
    started = time.monotonic()

    answer = await visitor.app.delete("/zaikio/session")

    assert (answer.status_code, answer.headers["location"], visitor.session) == (303, "/", {})
    assert time.monotonic() - started < 20
    proxy.restore()
    while not (revoked := [made for made in hub.requests if made.method == "POST" and "revoked" in made.path]):
        assert time.monotonic() - started < 60
        await asyncio.sleep(0.05)
    assert [made.status_code for made in revoked] == [201]


async def test_a_shutdown_does_not_wait_for_the_database(
    app: FastAPI, hub: LocalHub, proxy: TcpProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """A logout that is still waiting is given up, and the log names its token."""
    with AppServer(app) as server:
        hub.fail(
            "authorization_code",
            status=200,
            body={
                "access_token": "x",
                "refresh_token": "y",
                "expires_in": 3600,
                "bearer": {"id": "1", "type": "Person"},
            },
        )
        async with httpx2.AsyncClient(base_url=server.url, timeout=60) as browser:
            state = query_of((await browser.get("/zaikio/sessions/new")).headers["location"])["state"]
            await browser.get(f"/zaikio/sessions/approve?state={state}&code=x")
            token_id = (await browser.get("/me")).json()["id"]
            proxy.refuse()
            assert (await browser.delete("/zaikio/session")).status_code == 303
        started = time.monotonic()
    assert time.monotonic() - started < 20
    assert (
        f"Access token {token_id} was not revoked: the process ended before the database could be used again"
        in caplog.text
    )


async def test_a_shutdown_tries_once_more_to_log_out(app: FastAPI, hub: LocalHub, proxy: TcpProxy) -> None:
    """The database may be back since the last try, and nobody comes after the shutdown."""
    with AppServer(app) as server:
        hub.apps[0] = HubApp.for_client("warehouse", "warehouse-id", SECRET, base_urls=[server.url])
        async with httpx2.AsyncClient(base_url=server.url, timeout=60) as browser:
            async with httpx2.AsyncClient() as at_the_hub:
                start = await browser.get("/zaikio/sessions/new")
                back = (await at_the_hub.get(start.headers["location"])).headers["location"]
            await browser.get("/zaikio/sessions/approve", params=query_of(back))
            assert (await browser.get("/me")).status_code == 200
            proxy.refuse()
            assert (await browser.delete("/zaikio/session")).status_code == 303
            proxy.restore()
    revoked = [made.status_code for made in hub.requests if made.method == "POST" and "revoked" in made.path]
    assert revoked == [201]
