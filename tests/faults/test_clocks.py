"""Clocks that are wrong: the processes of one app have clocks an hour apart, and a clock steps by an hour."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.environment.plugin import unavailable
from tests.faults.processes import BrowserOverHttp, Installation, installation

HOUR = 3600


@pytest.fixture
def faketime() -> dict[str, str]:
    """Return the environment in which libfaketime changes the wall clock of a process, but not its monotonic one."""
    command = os.environ.get("ZAIKIO_TEST_FAKETIME") or unavailable("faketime", "it was not found")
    # The command knows where Debian keeps the library.
    told = subprocess.run([command, "-f", "+0", "env"], capture_output=True, text=True, check=True).stdout
    (preload,) = [line.partition("=")[2] for line in told.splitlines() if line.startswith("LD_PRELOAD=")]
    return {"LD_PRELOAD": preload, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1"}


@pytest.fixture
async def installed(postgresql_url: str) -> AsyncIterator[Installation]:
    """Yield an app without a process yet."""
    async with installation(postgresql_url) as installed:
        yield installed


def refused(installed: Installation) -> list[int]:
    """Return the statuses with which the Hub has refused a refresh: a token was sent that was used already."""
    return [
        made.status_code
        for made in installed.hub.requests
        if made.grant_type == "refresh_token" and made.status_code >= 400
    ]


async def renewed(installed: Installation, browser: BrowserOverHttp) -> None:
    """Fail unless the newest token that the Hub has issued to this person is soon stored."""
    async with asyncio.timeout(30):
        while len(issued := installed.issued(browser.person)) < 2 or issued[-1].jti not in await installed.stored():
            await asyncio.sleep(0.1)


async def test_clocks_are_an_hour_apart(installed: Installation, faketime: dict[str, str]) -> None:
    """Workers on three hosts want the same grant at once: all get it, and no refresh token is sent twice.

    It is the same with a token that is due and with the daily job, and an event is dealt with once. Pages are another
    matter: Starlette takes a session cookie for invalid whose time lies ahead of the host's clock.
    """
    (right,) = installed.start()
    (ahead,) = installed.start(**faketime, FAKETIME=f"+{HOUR}")
    (behind,) = installed.start(**faketime, FAKETIME=f"-{HOUR}")
    browser = await installed.log_in(right, lifetime=1)
    grant = browser.session["zaikio_access_token_id"]
    processes = (ahead, right, behind)
    hosts = [browser.at(process) for process in processes]
    due, dying = await installed.log_in_long_ago(right)
    await asyncio.sleep(1.2)
    installed.hub.fail("refresh_token", latency=0.5, times=None)

    for _ in range(2):
        worked = await asyncio.gather(*(host.work() for host in hosts for _ in range(5)))
        assert [each.get("id") for each in worked] == [grant] * 15
        worked = await asyncio.gather(*(due.at(process).work() for process in processes))
        assert [each.get("id") for each in worked] == [due.grant] * 3
    await asyncio.gather(*(dying.at(process).keep_alive() for process in processes))
    for host in hosts:
        await installed.delivered(host, "once")

    assert len(installed.issued(dying.person)) == 2
    assert installed.noted("once") == ["begun", "done"]
    assert refused(installed) == []
    # A host whose clock is ahead takes what another one got for expired, so it may refresh once more.
    assert 2 <= len(installed.issued(browser.person)) <= 4
    for process in (ahead, behind):
        newcomer = await installed.log_in(process)
        assert (await newcomer.page())[0] == 200


async def test_a_clock_steps_by_an_hour(installed: Installation, faketime: dict[str, str], tmp_path: Path) -> None:
    """It steps forward while the Hub is asked, then back: nobody is logged out, and nothing is sent twice."""
    clock = tmp_path / "clock"
    clock.write_text("+0")
    (process,) = installed.start(**faketime, FAKETIME_TIMESTAMP_FILE=str(clock))
    browser = await installed.log_in(process, lifetime=1)
    grant = browser.session["zaikio_access_token_id"]
    due, dying = await installed.log_in_long_ago(process)
    await asyncio.sleep(1.2)
    installed.hub.fail("refresh_token", latency=1, times=3)
    working, keeping = asyncio.create_task(browser.work()), asyncio.create_task(dying.keep_alive())
    assert await due.page() == (200, due.grant)
    await asyncio.sleep(0.5)
    await installed.delivered(browser, "once")
    clock.write_text(f"+{HOUR}")

    assert (await working).get("id") == grant
    await keeping
    assert (await working)["expires_in"] > HOUR - 60
    assert await browser.page() == (200, grant)
    for offset in (HOUR, -HOUR, 0):
        clock.write_text(f"{offset:+}")
        assert (await browser.work()).get("id") == grant
        assert (await due.work()).get("id") == due.grant
        await installed.delivered(browser, "once")
    await renewed(installed, due)
    await dying.keep_alive()
    await renewed(installed, dying)
    assert await dying.health() == "ok"
    assert installed.noted("once") == ["begun", "done"]
    assert refused(installed) == []
