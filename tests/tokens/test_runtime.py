"""What an event loop has open: opened once, closed by one stack, never under somebody who is still using it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data import ORGANIZATION_ID
from tests.inside import parts_of
from zaikio_oauth import ConfigurationError, Settings, ZaikioOAuth
from zaikio_oauth.application import runtime_of
from zaikio_oauth.testing import LocalHub

BEARER: dict[str, Any] = {"bearer_type": "Organization", "bearer_id": ORGANIZATION_ID}


@pytest.fixture(autouse=True)
def granted(hub: LocalHub) -> None:
    """The organization has connected."""
    hub.grant("warehouse-id", "Organization", ORGANIZATION_ID, ["zaikio.organization.r"])


async def soon(condition: Callable[[], bool]) -> None:
    """Wait until it is true."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_call_under_way_is_not_cut_off_when_the_last_user_leaves(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """A worker that never enters asks the Hub while a request handler's ``async with`` ends."""
    zaikio = ZaikioOAuth(make_settings())
    hub.fail("client_credentials", latency=0.5)
    async with zaikio:
        calling = asyncio.create_task(zaikio.get_access_token(**BEARER))
        await soon(lambda: bool(runtime_of(zaikio)._opened) and hub.faults.planned == 0)

    assert (await calling).bearer_id == ORGANIZATION_ID
    assert runtime_of(zaikio)._opened == {}


@pytest.mark.parametrize("moment", range(0, 40, 2))
async def test_no_moment_of_a_call_is_cut_off(
    make_settings: Callable[..., Settings], hub: LocalHub, moment: int
) -> None:
    """The last user leaves at any point between the first statement and the answer."""
    zaikio = ZaikioOAuth(make_settings(cache_ttl=0))
    await zaikio.__aenter__()
    calling = asyncio.create_task(zaikio.get_access_token(**BEARER))
    for _ in range(moment):
        await asyncio.sleep(0.0005)
    await zaikio.__aexit__(None, None, None)

    assert (await calling).bearer_id == ORGANIZATION_ID
    async with zaikio:  # whatever the call has opened anew is closed with us
        pass


async def test_one_who_is_inside_stays_connected_when_another_leaves(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """Two lifespans, or a lifespan and a job, share one object."""
    zaikio = ZaikioOAuth(make_settings())
    async with zaikio:
        before = await parts_of(zaikio)
        async with zaikio:
            assert await parts_of(zaikio) is before
        assert await zaikio.get_access_token(**BEARER)
        assert await parts_of(zaikio) is before
    assert runtime_of(zaikio)._opened == {}


async def test_one_who_is_inside_stays_connected_when_the_configuration_changes(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """New calls use the new settings; the old connections are closed when the last user has left."""
    zaikio = ZaikioOAuth(make_settings())
    async with zaikio:
        before = await parts_of(zaikio)
        zaikio.configure(make_settings(database_url=f"sqlite:///{tmp_path}/second.db"))
        async with zaikio:
            after = await parts_of(zaikio)
            assert after is not before
            assert after.access_tokens._statements._engine.url.database.endswith("second.db")
        assert await before.access_tokens.get("nobody") is None
        assert await after.access_tokens.get("nobody") is None
    assert runtime_of(zaikio)._opened == {}
    gc.collect()  # a connection that was left open would warn


async def test_many_who_come_at_once_share_one_opening(make_settings: Callable[..., Settings]) -> None:
    """Also if the one who came first is cancelled."""
    zaikio = ZaikioOAuth(make_settings())
    first = asyncio.create_task(parts_of(zaikio))
    others = [asyncio.create_task(parts_of(zaikio)) for _ in range(20)]
    await asyncio.sleep(0)
    first.cancel()

    assert len({id(parts) for parts in await asyncio.gather(*others)}) == 1
    async with zaikio:
        pass


async def test_what_fails_halfway_is_closed_and_tried_again(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """The folder of the database appears after the first attempt; warnings of unclosed connections fail this test."""
    folder = tmp_path / "later"
    zaikio = ZaikioOAuth(make_settings(database_url=f"sqlite:///{folder}/store.db"))
    failures = await asyncio.gather(*(parts_of(zaikio) for _ in range(5)), return_exceptions=True)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        await zaikio.__aenter__()
    assert [type(failure) for failure in failures] == [ConfigurationError] * 5
    assert runtime_of(zaikio)._opened == {}
    gc.collect()

    folder.mkdir()
    async with zaikio:
        assert await zaikio.find_active_access_token("nobody") is None


def test_wrong_settings_are_said_at_the_first_call_and_read_again(
    monkeypatch: pytest.MonkeyPatch, make_settings: Callable[..., Settings]
) -> None:
    """A variable that is set after the first attempt counts."""
    zaikio = ZaikioOAuth()
    with pytest.raises(ConfigurationError, match="ZAIKIO_ENCRYPTION_KEYS is missing"):
        asyncio.run(zaikio.find_active_access_token("nobody"))

    given = make_settings()
    for name, value in {
        "ENCRYPTION_KEYS": ",".join(given.plain_encryption_keys),
        "CLIENTS__WAREHOUSE__CLIENT_ID": "id",
        "DATABASE_URL": given.database_url,
        "HOST": given.host,
    }.items():
        monkeypatch.setenv(f"ZAIKIO_{name}", value)
    assert asyncio.run(zaikio.find_active_access_token("nobody")) is None


def test_a_loop_that_ends_leaves_nothing_behind(make_settings: Callable[..., Settings]) -> None:
    """A thousand short scripts in one process, in short: ten."""
    zaikio = ZaikioOAuth(make_settings())
    for _ in range(10):
        assert asyncio.run(zaikio.find_active_access_token("nobody")) is None

    assert runtime_of(zaikio)._opened == {}
    assert not runtime_of(zaikio)._users


async def test_a_shutdown_waits_for_a_token_whose_caller_has_gone(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """The Hub is just issuing it; it is stored, and found by the next process."""
    hub.fail("client_credentials", latency=0.3)
    async with ZaikioOAuth(make_settings()) as zaikio:
        leaving = asyncio.create_task(zaikio.get_access_token(**BEARER))
        await soon(lambda: hub.faults.planned == 0)
        leaving.cancel()
        await asyncio.wait([leaving])

    async with ZaikioOAuth(make_settings()) as restarted:
        assert await restarted.find_usable_access_token(**BEARER)
    assert hub.count(grant_type="client_credentials") == 1
