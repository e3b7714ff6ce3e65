"""Renewal ahead of time by real processes of an app, while people look at its pages."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from tests.faults.processes import BrowserOverHttp, Installation, installation
from tests.tokens.due_tokens import age, row
from zaikio_oauth import AccessToken, Settings, ZaikioOAuth


async def views(browsers: list[BrowserOverHttp], seconds: float) -> set[tuple[int, str | None]]:
    """Return what these browsers see within so many seconds, each of them page after page."""
    ends = asyncio.get_running_loop().time() + seconds
    seen: set[tuple[int, str | None]] = set()

    async def look(browser: BrowserOverHttp) -> None:
        while asyncio.get_running_loop().time() < ends:
            seen.add(await browser.page())

    await asyncio.gather(*(look(browser) for browser in browsers))
    return seen


async def at_all_processes(installed: Installation, left: float) -> tuple[list[BrowserOverHttp], AccessToken]:
    """Return a person's browser at each of three processes, and their token, which has so many seconds left."""
    processes = installed.start(3)
    first = await installed.log_in(processes[0])
    async with ZaikioOAuth(Settings(**installed.settings)) as zaikio:
        token = await zaikio.find_active_access_token(first.session["zaikio_access_token_id"])
        assert token is not None
        await age(zaikio, token, left=left)
    return [first, *(first.at(process) for process in processes[1:])], token


@pytest.mark.timeout(120)
async def test_processes_that_renew_ahead_of_time_make_one_request(database_url: str) -> None:
    """Three processes show pages with a token that is due: one refresh, every page is shown, and the token is new."""
    async with installation(database_url) as installed:
        browsers, token = await at_all_processes(installed, left=600)
        installed.hub.fail("refresh_token", latency=1, times=None)

        assert await views(browsers * 2, 3) == {(200, token.id)}

        assert installed.hub.count(grant_type="refresh_token") == 1
        async with ZaikioOAuth(Settings(**installed.settings)) as zaikio:
            assert (await row(zaikio, token)).version == 2


@pytest.mark.timeout(120)
async def test_no_view_fails_while_the_hub_is_down(database_url: str) -> None:
    """As long as the token lives, every page is shown, and the Hub gets one request a minute of all processes."""
    async with installation(database_url) as installed:
        installed.hub.fail("refresh_token", status=503, times=None)
        browsers, token = await at_all_processes(installed, left=20)

        assert await views(browsers * 2, 6) == {(200, token.id)}

        assert installed.hub.count(grant_type="refresh_token") == 1
        async with ZaikioOAuth(Settings(**installed.settings)) as zaikio:
            postponed = (await row(zaikio, token)).renew_after
        assert postponed and 30 < (postponed - datetime.now(UTC)).total_seconds() < 60
