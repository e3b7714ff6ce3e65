"""A callback that belongs to no flow: the visitor reads one general message, and the log says which cause it was."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, get_args

import pytest

from tests.apps import small_app
from tests.data import OTHER_KEY, SECRET
from tests.visitor import Visitor, query_of
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.errors import page_about
from zaikio_oauth.testing import HubServer, LocalHub
from zaikio_oauth.web.flow import LIFETIME
from zaikio_oauth.web.lost_flow import REASONS, Cause

GENERAL = "Diese Anmeldung ist abgelaufen oder wurde in einem anderen Browser begonnen. Bitte versuchen Sie es erneut."


@pytest.fixture
async def visitor(make_settings: Callable[..., Settings], hub: LocalHub) -> AsyncIterator[Visitor]:
    """Yield a German visitor of an app that can be configured anew, as by a deployment."""
    hub.auto_consent(person_id=hub.people[0].id)
    async with ZaikioOAuth(make_settings()) as zaikio:
        visiting = Visitor(small_app(zaikio), headers={"Accept-Language": "de"})
        visiting.configure = lambda **changes: zaikio.configure(make_settings(**changes))  # type: ignore[attr-defined]
        yield visiting
        await visiting.aclose()


def cookies_of(visitor: Visitor) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.app.cookies.jar)}


async def without_state(visitor: Visitor, callback: str) -> None:
    await visitor.get(callback.partition("?")[0])


async def with_two_states(visitor: Visitor, callback: str) -> None:
    await visitor.get(f"{callback}&state=another")


async def without_cookies(visitor: Visitor, callback: str) -> None:
    visitor.app.cookies.clear()
    await visitor.get(callback)


async def in_another_browser(visitor: Visitor, callback: str) -> None:
    visitor.app.cookies.clear()
    await visitor.start()
    await visitor.get(callback)


async def after_ten_minutes(visitor: Visitor, callback: str) -> None:
    """The browser has dropped the cookie; only the state says how old the flow is."""
    visitor.app.cookies.clear()
    state = query_of(callback)["state"]
    await visitor.get(callback.replace(state, f"{state[:-8]}{int(time.time()) - LIFETIME:08x}"))


async def after_a_key_was_removed(visitor: Visitor, callback: str) -> None:
    visitor.configure(encryption_keys=[OTHER_KEY])  # type: ignore[attr-defined]
    await visitor.get(callback)


async def after_the_client_was_changed(visitor: Visitor, callback: str) -> None:
    client = {"client_id": "another-id", "client_secret": SECRET, "default_scopes": ["zaikio.person.r"]}
    visitor.configure(clients={"warehouse": client})  # type: ignore[attr-defined]
    await visitor.get(callback)


async def after_the_hub_was_changed(visitor: Visitor, callback: str) -> None:
    with HubServer(LocalHub()) as other:
        visitor.configure(host=other.url)  # type: ignore[attr-defined]
        await visitor.get(callback)


async def for_another_client(visitor: Visitor, callback: str) -> None:
    await visitor.get(callback.replace("/zaikio/", "/zaikio/kiosk/"))


async def to_another_route(visitor: Visitor, callback: str) -> None:
    await visitor.get(callback.replace("/sessions/", "/connections/"))


async def from_another_server(visitor: Visitor, callback: str) -> None:
    await visitor.get(f"{callback}&iss=https://hub.example")


CALLBACKS: list[tuple[Callable[[Visitor, str], Any], Cause]] = [
    (without_state, "no_state"),
    (with_two_states, "no_state"),
    (without_cookies, "no_cookie"),
    (in_another_browser, "other_browser"),
    (after_ten_minutes, "expired"),
    (after_a_key_was_removed, "unreadable_cookie"),
    (after_the_client_was_changed, "client_changed"),
    (after_the_hub_was_changed, "other_hub"),
    (for_another_client, "other_client"),
    (to_another_route, "other_route"),
    (from_another_server, "other_issuer"),
]


@pytest.mark.parametrize(("send", "cause"), CALLBACKS)
async def test_the_log_says_why_a_login_died(
    visitor: Visitor, caplog: pytest.LogCaptureFixture, send: Callable[[Visitor, str], Any], cause: Cause
) -> None:
    """In English and with a key, while the visitor reads the general message in German. Neither shows the state."""
    callback = await visitor.consent(await visitor.start())

    await send(visitor, callback)

    (line,) = [record for record in caplog.records if getattr(record, "zaikio_event", None) == "login.failed"]
    assert (line.zaikio_error, line.zaikio_cause) == ("invalid_state", cause)  # type: ignore[attr-defined]
    page = page_about("invalid_state")
    assert line.getMessage() == f"A login or connection ended in invalid_state: {REASONS[cause]}; see {page}"
    assert line.zaikio_documentation == page  # type: ignore[attr-defined]
    assert query_of(callback)["state"] not in caplog.text
    error = (await visitor.get("/")).json()["error"]
    assert (error["code"], error["message"]) == ("invalid_state", GENERAL)


async def test_below_another_prefix_is_another_route(
    make_settings: Callable[..., Settings], hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    """A browser sends the cookie only below its own prefix, unless one prefix is within the other."""
    hub.auto_consent(person_id=hub.people[0].id)
    async with ZaikioOAuth(make_settings()) as zaikio:
        app = small_app(zaikio)
        app.include_router(zaikio.router, prefix="/zaikio/with/in")
        visitor = Visitor(app)
        callback = await visitor.consent(await visitor.start())
        await visitor.get(callback.replace("/zaikio/", "/zaikio/with/in/"))
        await visitor.aclose()

    told = [record for record in caplog.records if record.name == "zaikio_oauth"]
    assert [getattr(record, "zaikio_cause", None) for record in told] == ["other_route"]


@pytest.mark.parametrize("keep_session", [True, False])
async def test_a_callback_that_comes_again_is_no_failure(
    visitor: Visitor, caplog: pytest.LogCaptureFixture, keep_session: bool
) -> None:
    """Its flow was used. The person is sent on, and the log says so at the level INFO."""
    callback = await visitor.consent(await visitor.start())
    kept = cookies_of(visitor)
    await visitor.get(callback)
    if keep_session:
        kept["Cookie"] += f"; session={visitor.app.cookies['session']}"

    with caplog.at_level(logging.INFO, "zaikio_oauth"):
        await visitor.get(callback, headers=kept)

    (line,) = [record for record in caplog.records if getattr(record, "zaikio_event", None) == "login.repeated"]
    assert (line.levelname, line.zaikio_cause) == ("INFO", "used")  # type: ignore[attr-defined]
    assert (await visitor.get("/")).json()["error"] is None


async def test_a_person_who_cancels_is_in_the_log_but_is_no_warning(
    visitor: Visitor, hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    """A login that somebody ends on purpose can be told from one that fails."""
    hub.auto_cancel()

    with caplog.at_level(logging.INFO, "zaikio_oauth"):
        await visitor.log_in()

    assert [(record.levelname, record.zaikio_event) for record in caplog.records if record.name == "zaikio_oauth"] == [  # type: ignore[attr-defined]
        ("INFO", "login.cancelled")
    ]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"error": "invalid_client"}, "invalid_client: without a description"),
        ({"error": "invalid_grant"}, "invalid_grant: the Hub has not accepted the code of any attempt"),
    ],
)
async def test_a_failure_without_a_description_is_in_english(
    visitor: Visitor, hub: LocalHub, caplog: pytest.LogCaptureFixture, body: dict[str, str], reason: str
) -> None:
    """The message in the visitor's language stays out of the log."""
    hub.fail("authorization_code", status=400, body=body, times=None)
    answer = await visitor.log_in()
    while answer.status_code == 302:
        answer = await visitor.get(await visitor.consent(answer.headers["location"]))

    (line,) = [record for record in caplog.records if getattr(record, "zaikio_event", None) == "login.failed"]
    assert line.getMessage() == f"A login or connection ended in {reason}; see {page_about(reason.partition(':')[0])}"
    assert (await visitor.get("/")).json()["error"]["message"] not in caplog.text


def test_every_cause_has_a_test() -> None:
    """A new one needs a row above."""
    assert {cause for _, cause in CALLBACKS} | {"used"} == set(REASONS) == set(get_args(Cause))
    assert list(REASONS) == sorted(REASONS)
