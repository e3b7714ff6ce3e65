"""Cookies that others have put into the browser, too many of them, and old ones that come again."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable

import httpx2
import pytest
from fastapi import FastAPI

from tests.apps import small_app
from tests.inside import mark_revoked
from tests.visitor import BASE_URL, Visitor, query_of
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub


@pytest.fixture(autouse=True)
def consenting(hub: LocalHub) -> None:
    """The person grants all requested scopes."""
    hub.auto_consent(person_id=hub.people[0].id)


@pytest.fixture
async def attacker(app: FastAPI) -> AsyncIterator[Visitor]:
    """Yield the browser of somebody else."""
    visiting = Visitor(app)
    yield visiting
    await visiting.aclose()


def flow_cookies(visitor: Visitor) -> list[tuple[str, str]]:
    """Return the flow cookies of a browser."""
    return [(each.name, each.value or "") for each in visitor.app.cookies.jar if each.name.startswith("zaikio_flow_")]


async def test_tossed_cookies_do_not_stop_a_login(visitor: Visitor) -> None:
    """A neighbouring site can set cookies for ours: a hundred that look like flows are deleted, and the login works."""
    for number in range(100):
        visitor.app.cookies.set(
            f"zaikio_flow_{number:016x}", "gAAAA" + secrets.token_urlsafe(60), domain="testserver.local", path="/zaikio"
        )

    answer = await visitor.log_in(origin="/orders")

    assert answer.headers["location"] == "/orders"
    assert (await visitor.get("/me")).status_code == 200
    assert visitor.flows == []


async def test_a_tossed_flow_is_good_for_its_own_state_only(visitor: Visitor, attacker: Visitor, hub: LocalHub) -> None:
    """A genuine flow of the attacker's, under the name of the victim's, is no flow; nothing is sent to the Hub."""
    callback = await visitor.consent(await visitor.start())
    await attacker.start()
    ours = flow_cookies(visitor)[0][0]
    visitor.app.cookies.clear()
    visitor.app.cookies.set(ours, flow_cookies(attacker)[0][1], domain="testserver.local", path="/zaikio")

    await visitor.get(callback)

    assert (await visitor.get("/me")).status_code == 401
    assert hub.count(path="/oauth/access_token") == 0


async def test_a_flow_is_good_for_its_own_route_and_client_only(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """Its cookie under the name that another route, client or state would have is refused, without a request."""
    clients = make_settings().model_dump()["clients"]
    clients["kiosk"] |= {"organization_scopes": ["zaikio.organization.r"]}
    clients["warehouse"]["client_secret"] = make_settings().clients["warehouse"].client_secret
    places = [
        "/zaikio/sessions",
        "/zaikio/kiosk/sessions",
        "/zaikio/connections",
        "/zaikio/kiosk/connections",
        "/zaikio/warehouse/sessions",
    ]
    async with ZaikioOAuth(make_settings(clients=clients)) as zaikio:
        app = small_app(zaikio)
        for own in places[:3]:
            for other in places:
                visitor, somebody = Visitor(app), Visitor(app)
                started = await visitor.start(f"{own}/new", state="chosen")
                await somebody.start(f"{other}/new", state="chosen")
                name = flow_cookies(somebody)[0][0]
                visitor.app.cookies.set(name, flow_cookies(visitor)[0][1], domain="testserver.local", path="/zaikio")
                code = query_of(await visitor.consent(started))["code"]
                before = hub.count(path="/oauth/access_token")
                answer = await visitor.get(f"{other}/approve", params={"state": "chosen", "code": code})
                assert answer.status_code == 303
                assert hub.count(path="/oauth/access_token") - before == (own == other), (own, other)
                for each in (visitor, somebody):
                    await each.aclose()


async def test_a_hundred_started_logins_leave_a_handful(visitor: Visitor) -> None:
    """At once or one by one: the next start deletes what is too much, and the newest login works."""
    await asyncio.gather(*(visitor.start(origin=f"/page/{number}") for number in range(100)))
    last = await visitor.start(origin="/last")

    assert len(visitor.flows) <= 10
    assert sum(len(name) + len(value) for name, value in flow_cookies(visitor)) < 7_000
    assert (await visitor.get(await visitor.consent(last))).headers["location"] == "/last"


async def test_a_start_displaces_the_oldest_flow(visitor: Visitor, hub: LocalHub) -> None:
    """Twelve tabs that start in the same moment: the ten that were last can go on."""
    hub.auto_consent(person_id=hub.people[0].id)
    urls = [await visitor.start(force_login="true") for _ in range(12)]

    oldest, *_, newest = [await visitor.consent(url) for url in (urls[1], urls[2], urls[-1])]

    assert len(visitor.flows) == 10
    await visitor.get(oldest)
    assert (await visitor.get("/")).json()["error"]["code"] == "invalid_state"
    for callback in (newest, await visitor.consent(urls[2])):
        await visitor.get(callback)
        assert (await visitor.get("/me")).status_code == 200


async def test_a_session_that_was_kept_is_worth_nothing_after_the_logout(
    visitor: Visitor, attacker: Visitor, hub: LocalHub
) -> None:
    """Starlette's cookie cannot be taken back, so what it names is deleted and revoked: replaying it logs nobody in."""
    callback = await visitor.consent(await visitor.start())
    await visitor.get(callback)
    visitor.copy_cookies_to(attacker)
    assert (await attacker.get("/me")).status_code == 200

    await visitor.app.delete("/zaikio/session")

    assert (await attacker.get("/me")).status_code == 401
    await attacker.get(callback)
    assert (await attacker.get("/me")).status_code == 401
    assert hub.count(grant_type="authorization_code") == 1


async def test_a_session_is_worth_nothing_after_a_revocation(
    visitor: Visitor, zaikio: ZaikioOAuth, hub: LocalHub
) -> None:
    """The Hub says that the token is revoked: neither the session, nor its refresh token, nor the callback works."""
    callback = await visitor.consent(await visitor.start())
    await visitor.get(callback)
    token = await zaikio.find_active_access_token(visitor.session["zaikio_access_token_id"])
    assert token is not None

    await mark_revoked(zaikio, [token.jti or ""])

    assert (await visitor.get("/me")).status_code == 401
    await visitor.get(callback)
    assert (await visitor.get("/me")).status_code == 401
    assert await zaikio.find_active_access_token(token.id, valid_for=4000) is None
    assert hub.count(grant_type="refresh_token") == 0


async def test_a_login_has_a_session_of_its_own(visitor: Visitor) -> None:
    """Session fixation: an id of a grant that was planted before the login is replaced by that of the login."""
    await visitor.app.post(
        "/remember", json={"zaikio_access_token_id": "planted", "zaikio_person_id": "mallory", "cart": 7}
    )

    await visitor.log_in()

    assert visitor.session["zaikio_access_token_id"] != "planted"
    assert visitor.session["zaikio_person_id"] != "mallory"
    assert "cart" not in visitor.session


async def test_a_cookie_of_any_size_is_no_error(app: FastAPI) -> None:
    """Neither is one that is cut off, doubled, empty, or full of control characters."""
    values = ["x" * 100_000, "", '"', "gAAAA", "gAAAA" * 900, "%00", "a=b=c", "é" * 50, "\x7f", "null", "e30="]
    for value in values:
        for name in ("session", "zaikio_flow_0123456789abcdef"):
            header = [(b"cookie", f"{name}={value}; {name}={value}".encode("latin-1", "replace"))]
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(transport=transport, base_url=BASE_URL) as browser:
                for path in ("/zaikio/sessions/new", "/zaikio/sessions/approve?state=x&code=y", "/me", "/maybe"):
                    assert (await browser.get(path, headers=header)).status_code < 500, (path, name, value[:20])
