"""A process of the app is killed, stopped or ended while a person logs in, opens a page, or is worked for."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx2
import pytest

from tests.faults.processes import BrowserOverHttp, Installation, Process, installation
from zaikio_oauth.settings.retries_and_waits import LEASE_SECONDS

STOPPED = 15.0
"""Longer than a lease lives without its holder."""


@pytest.fixture
async def installed(postgresql_url: str) -> AsyncIterator[Installation]:
    """Yield an app on PostgreSQL without a process yet."""
    async with installation(postgresql_url) as installed:
        yield installed


@pytest.fixture
async def on_sqlite(tmp_path: Path) -> AsyncIterator[Installation]:
    """Yield an app on SQLite without a process yet."""
    async with installation(f"sqlite:///{tmp_path}/app.db") as installed:
        yield installed


async def asked(installed: Installation, *grant_types: str, latency: float) -> asyncio.Task[None]:
    """Slow the Hub down for the next request of each type; return a task that ends when it has been asked for all."""
    for grant_type in grant_types:
        installed.hub.fail(grant_type, latency=latency, times=1)

    async def wait() -> None:
        async with asyncio.timeout(10):
            while installed.hub.faults.planned:
                await asyncio.sleep(0.01)

    return asyncio.create_task(wait())


async def callback_of(installed: Installation, process: Process) -> tuple[BrowserOverHttp, str]:
    """Return a browser and the address to which the Hub has sent it back, after the person has consented."""
    browser = await installed.log_in(process)
    await browser.app.delete("/zaikio/session")
    return browser, await browser.consent(await browser.start(force_login="true"))


async def renewed(installed: Installation, browser: BrowserOverHttp, *, seconds: float = 30.0) -> None:
    """Fail unless this person's token is soon renewed, once, and stored."""
    async with asyncio.timeout(seconds):
        while len(issued := installed.issued(browser.person)) < 2 or issued[-1].jti not in await installed.stored():
            await asyncio.sleep(0.1)
    assert len(installed.issued(browser.person)) == 2


async def stopped(process: Process, browser: BrowserOverHttp) -> None:
    """Stop the process as a debugger does, or a host without memory."""
    process.send(signal.SIGSTOP)
    await asyncio.sleep(STOPPED)
    process.send(signal.SIGCONT)


async def blocked(process: Process, browser: BrowserOverHttp) -> None:
    """Block its event loop, as a ``time.sleep`` in the app does."""
    assert (await browser.at(process).get(f"/block/{STOPPED}")).status_code == 200


async def stands_still(
    installed: Installation, stand_still: Callable[[Process, BrowserOverHttp], Awaitable[None]]
) -> None:
    """The Hub's answers lie in the socket: the login succeeds, and the refresh is not lost, nor for another process."""
    first, second = await asyncio.to_thread(installed.start, 2)
    tab = await installed.log_in(first, lifetime=1)
    newcomer, callback = await callback_of(installed, first)
    due, dying = await installed.log_in_long_ago(first)
    elsewhere = tab.at(second)
    await asyncio.sleep(1.2)
    all_asked = await asked(installed, "authorization_code", *["refresh_token"] * 3, latency=1)
    approving, working = asyncio.create_task(newcomer.get(callback)), asyncio.create_task(tab.work())
    keeping = asyncio.create_task(dying.keep_alive())
    assert await due.page() == (200, due.grant)
    await all_asked
    delivering = asyncio.create_task(installed.deliver(dying, "stopped", seconds=0.5))
    while not installed.noted("stopped"):
        await asyncio.sleep(0.01)
    standing = asyncio.create_task(stand_still(first, tab))
    await asyncio.sleep(0.1)
    others = [asyncio.create_task(elsewhere.page()), asyncio.create_task(elsewhere.work())]
    keeping_elsewhere = asyncio.create_task(dying.at(second).keep_alive())
    assert await due.at(second).page() == (200, due.grant)
    await installed.delivered(elsewhere, "stopped")
    await standing

    grant = tab.session["zaikio_access_token_id"]
    assert (await approving).status_code == 303
    assert "zaikio_access_token_id" in newcomer.session
    assert (await working).get("id") == grant
    assert (await others[0])[0] in (200, 503)
    assert (await others[1]).get("id") == grant
    assert await elsewhere.page() == (200, grant)
    assert await tab.page() == (200, grant)
    assert len(installed.issued(tab.person)) == 2
    await renewed(installed, due)
    assert await due.page() == (200, due.grant)
    assert 1 in (await keeping, await keeping_elsewhere)
    await renewed(installed, dying)
    assert await dying.health() == "ok"
    # Nobody can know that the first one goes on, so the event is dealt with again, but not a third time.
    assert await delivering in (200, 503)
    async with asyncio.timeout(5):
        while len(installed.noted("stopped")) < 4:
            await asyncio.sleep(0.05)
    await installed.delivered(tab, "stopped")
    assert sorted(installed.noted("stopped")) == ["begun", "begun", "done", "done"]


async def test_a_process_is_asked_to_end(installed: Installation) -> None:
    """After SIGTERM the login and the refresh under way succeed, and then the process ends without a complaint."""
    first, second = await asyncio.to_thread(installed.start, 2)
    tab = await installed.log_in(first, lifetime=1)
    newcomer, callback = await callback_of(installed, first)
    due, dying = await installed.log_in_long_ago(first)
    await asyncio.sleep(1.2)
    all_asked = await asked(installed, "authorization_code", *["refresh_token"] * 3, latency=2)
    approving, viewing = asyncio.create_task(newcomer.get(callback)), asyncio.create_task(tab.page())
    keeping = asyncio.create_task(dying.keep_alive())
    assert await due.page() == (200, due.grant)
    assert await installed.deliver(dying, "late", seconds=3) == 503
    await all_asked
    first.send(signal.SIGTERM)

    grant = tab.session["zaikio_access_token_id"]
    assert (await approving).status_code == 303
    assert "zaikio_access_token_id" in newcomer.session
    assert await viewing == (200, grant)
    await asyncio.to_thread(first.end, None)
    assert "Traceback" not in first.said
    assert "never" not in first.said
    assert await tab.at(second).page() == (200, grant)
    assert (await newcomer.at(second).page())[0] == 200
    assert len(installed.issued(tab.person)) == 2
    assert await keeping == 1
    assert await dying.at(second).health() == "ok"
    await renewed(installed, due, seconds=1)
    await installed.delivered(dying.at(second), "late")
    assert installed.noted("late") == ["begun", "done"]


async def killed_while_the_hub_is_asked(installed: Installation) -> None:
    """After ``kill -9`` while the Hub is asked, another process refreshes, and the person can log in there; renewals and events go on."""
    first, second = await asyncio.to_thread(installed.start, 2)
    tab = await installed.log_in(first, lifetime=1)
    newcomer, callback = await callback_of(installed, first)
    due, dying = await installed.log_in_long_ago(first)
    await asyncio.sleep(1.2)
    all_asked = await asked(installed, "authorization_code", *["refresh_token"] * 3, latency=60)
    requests = [asyncio.create_task(newcomer.get(callback)), asyncio.create_task(tab.page())]
    requests.append(asyncio.create_task(dying.get("/keep-alive")))
    assert await due.page() == (200, due.grant)
    assert await installed.deliver(due, "killed", seconds=60) == 503
    await all_asked
    first.end(signal.SIGKILL)
    cut = await asyncio.gather(*requests, return_exceptions=True)

    assert all(isinstance(error, httpx2.HTTPError) for error in cut)
    elsewhere, grant, killed = tab.at(second), tab.session["zaikio_access_token_id"], time.monotonic()
    assert await due.at(second).page() == (200, due.grant)
    keeping = asyncio.create_task(dying.at(second).keep_alive())
    delivering = asyncio.create_task(installed.delivered(due.at(second), "killed"))
    while (page := await elsewhere.page()) != (200, grant):
        assert page[0] == 503
        assert time.monotonic() - killed < LEASE_SECONDS + 10
    assert len(installed.issued(tab.person)) == 2
    again = newcomer.at(second)
    reloaded = await again.get(callback.replace(first.url, second.url))
    assert (reloaded.status_code, again.session.get("zaikio_access_token_id")) == (303, None)
    installed.hub.auto_consent(person_id=newcomer.person)
    await again.log_in(force_login="true")
    assert (await again.page())[0] == 200
    await renewed(installed, due)
    assert await keeping == 1
    assert await dying.at(second).health() == "ok"
    await delivering
    assert installed.noted("killed") == ["begun", "begun", "done"]


async def killed_after_the_hub_has_answered(installed: Installation) -> None:
    """Nobody else knows what the Hub gave it, so that person has to log in again; there is no error page."""
    first, second = await asyncio.to_thread(installed.start, 2)
    tab = await installed.log_in(first, lifetime=1)
    due, _ = await installed.log_in_long_ago(first)
    await asyncio.sleep(1.2)
    hub_asked = await asked(installed, *["refresh_token"] * 2, latency=0.5)
    viewing = asyncio.create_task(tab.page())
    assert await due.page() == (200, due.grant)
    await hub_asked
    first.send(signal.SIGSTOP)
    while installed.hub.count(grant_type="refresh_token") < 2:
        await asyncio.sleep(0.02)
    first.end(signal.SIGKILL)
    await asyncio.gather(viewing, return_exceptions=True)

    elsewhere = tab.at(second)
    killed = time.monotonic()
    while (page := await elsewhere.page())[0] == 503:
        assert time.monotonic() - killed < LEASE_SECONDS + 20
    assert page[0] == 401
    # The token that was due lives on until it expires.
    assert await due.at(second).page() == (200, due.grant)
    installed.hub.auto_consent(person_id=tab.person)
    await elsewhere.log_in(force_login="true")
    assert (await elsewhere.page())[0] == 200


async def test_a_process_stands_still_for_15_seconds(installed: Installation, on_sqlite: Installation) -> None:
    """It is stopped, or its event loop is blocked: nobody loses a grant, in no process, and an event is dealt with."""
    await asyncio.gather(stands_still(installed, stopped), stands_still(on_sqlite, blocked))


async def test_a_process_is_killed(installed: Installation, on_sqlite: Installation) -> None:
    """Whoever can be saved is, by another process, and nobody sees an error page."""
    await asyncio.gather(killed_while_the_hub_is_asked(on_sqlite), killed_after_the_hub_has_answered(installed))
