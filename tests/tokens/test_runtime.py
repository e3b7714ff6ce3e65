"""What an event loop has open: it is opened once, and never closed while somebody uses it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data import ORGANIZATION_ID
from tests.inside import client_name_of, parts_of
from zaikio_oauth import ConfigurationError, Settings, ZaikioOAuth
from zaikio_oauth.access_token import DEFAULT_VALID_FOR
from zaikio_oauth.application import runtime_of
from zaikio_oauth.testing import LocalHub

BEARER: dict[str, Any] = {"bearer_type": "Organization", "bearer_id": ORGANIZATION_ID}


@pytest.fixture(autouse=True)
def granted(hub: LocalHub) -> None:
    """The organization has granted its scopes to the client."""
    hub.grant("warehouse-id", "Organization", ORGANIZATION_ID, ["zaikio.organization.r"])


async def soon(condition: Callable[[], bool]) -> None:
    """Wait until the condition is true."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_running_call_survives_the_exit_of_the_last_user(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """A worker without ``async with`` requests a token while the last ``async with`` ends."""
    zaikio = ZaikioOAuth(make_settings())
    hub.fail("client_credentials", latency=0.5)
    async with zaikio:
        calling = asyncio.create_task(zaikio.get_access_token(**BEARER))
        await soon(lambda: bool(runtime_of(zaikio)._opened) and hub.faults.planned == 0)

    assert (await calling).bearer_id == ORGANIZATION_ID
    assert runtime_of(zaikio)._opened == {}


@pytest.mark.parametrize("moment", range(0, 40, 2))
async def test_a_call_survives_an_exit_at_any_moment(
    make_settings: Callable[..., Settings], hub: LocalHub, moment: int
) -> None:
    """The last ``async with`` may end at any point between the first statement and the response."""
    zaikio = ZaikioOAuth(make_settings(cache_ttl=0))
    await zaikio.__aenter__()
    calling = asyncio.create_task(zaikio.get_access_token(**BEARER))
    for _ in range(moment):
        await asyncio.sleep(0.0005)
    await zaikio.__aexit__(None, None, None)

    assert (await calling).bearer_id == ORGANIZATION_ID
    async with zaikio:  # Closes what the call may have opened again.
        pass


async def test_one_user_stays_connected_when_another_leaves(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """Two lifespans, or a lifespan and a job, can share one instance."""
    zaikio = ZaikioOAuth(make_settings())
    async with zaikio:
        before = await parts_of(zaikio)
        async with zaikio:
            assert await parts_of(zaikio) is before
        assert await zaikio.get_access_token(**BEARER)
        assert await parts_of(zaikio) is before
    assert runtime_of(zaikio)._opened == {}


async def test_a_user_stays_connected_when_the_settings_change(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """New calls use the new settings, and the old connections are closed when their last user leaves."""
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
    gc.collect()  # An unclosed connection would emit a warning.


async def test_concurrent_calls_open_the_connections_once(make_settings: Callable[..., Settings]) -> None:
    """This holds even if the first call is cancelled."""
    zaikio = ZaikioOAuth(make_settings())
    first = asyncio.create_task(parts_of(zaikio))
    others = [asyncio.create_task(parts_of(zaikio)) for _ in range(20)]
    await asyncio.sleep(0)
    first.cancel()

    assert len({id(parts) for parts in await asyncio.gather(*others)}) == 1
    async with zaikio:
        pass


async def test_a_failed_start_is_cleaned_up_and_can_be_repeated(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """The database's folder is created after the first attempt. A warning about an unclosed connection fails the test."""
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


def test_invalid_settings_are_reported_and_read_again(
    monkeypatch: pytest.MonkeyPatch, make_settings: Callable[..., Settings]
) -> None:
    """The first call raises the error, and a variable that is set afterwards is used by the next call."""
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


def test_an_event_loop_leaves_nothing_open(make_settings: Callable[..., Settings]) -> None:
    """One process can run many short scripts one after the other."""
    zaikio = ZaikioOAuth(make_settings())
    for _ in range(10):
        assert asyncio.run(zaikio.find_active_access_token("nobody")) is None

    assert runtime_of(zaikio)._opened == {}
    assert not runtime_of(zaikio)._users


async def test_a_shutdown_waits_for_a_token_of_a_cancelled_call(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """The Hub is about to issue the token. It is stored, so the next process finds it."""
    hub.fail("client_credentials", latency=0.3)
    async with ZaikioOAuth(make_settings()) as zaikio:
        leaving = asyncio.create_task(zaikio.get_access_token(**BEARER))
        await soon(lambda: hub.faults.planned == 0)
        leaving.cancel()
        await asyncio.wait([leaving])

    async with ZaikioOAuth(make_settings()) as restarted:
        assert await restarted.find_usable_access_token(**BEARER)
    assert hub.count(grant_type="client_credentials") == 1


async def test_all_is_closed_even_if_a_shutdown_is_interrupted(
    make_settings: Callable[..., Settings], hub: LocalHub, tmp_path: Path
) -> None:
    """Two configurations are open, and the first one still waits for its last call."""
    hub.fail("client_credentials", latency=1)
    zaikio = ZaikioOAuth(make_settings())
    await zaikio.__aenter__()
    calling = asyncio.create_task(zaikio.get_access_token(**BEARER))
    await soon(lambda: hub.faults.planned == 0)
    zaikio.configure(make_settings(database_url=f"sqlite:///{tmp_path}/second.db"))
    second = await parts_of(zaikio)
    closing = asyncio.create_task(zaikio.__aexit__(None, None, None))
    await asyncio.sleep(0.1)
    closing.cancel()
    await asyncio.wait([closing, calling])

    assert second.revocation_list._checking is not None
    assert second.revocation_list._checking.done()
    assert runtime_of(zaikio)._opened == {}


async def test_one_who_is_just_entering_is_not_left_without_connections(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """The last other user leaves while the new configuration is being opened."""
    zaikio = ZaikioOAuth(make_settings())
    await zaikio.__aenter__()
    zaikio.configure(make_settings(database_url=f"sqlite:///{tmp_path}/second.db"))
    entering = asyncio.create_task(zaikio.__aenter__())
    await asyncio.sleep(0)
    await zaikio.__aexit__(None, None, None)
    await entering

    assert len(next(iter(runtime_of(zaikio)._opened.values()))) >= 1
    await zaikio.__aexit__(None, None, None)
    assert runtime_of(zaikio)._opened == {}


async def test_with_client_belongs_to_the_configuration(make_settings: Callable[..., Settings]) -> None:
    """A name of the former settings says nothing about the new ones."""
    zaikio = ZaikioOAuth(make_settings())
    with zaikio.with_client("kiosk"):
        zaikio.configure(make_settings(clients={"mill": {"client_id": "id"}}))
        assert client_name_of(zaikio) == "mill"


async def test_a_device_stays_with_the_hub_that_issued_its_codes(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """A configuration that changes meanwhile must not send the device code to another Hub or client."""
    hub.device_interval = 1
    zaikio = ZaikioOAuth(make_settings())
    async with zaikio:
        device = await zaikio.start_device_authorization()
        zaikio.configure(make_settings(host="http://127.0.0.1:9", clients={"mill": {"client_id": "id"}}))
        hub.approve_device(device.user_code, hub.people[0].id)
        assert (await device.wait()).audience == "warehouse"


async def test_a_read_that_began_earlier_is_not_believed_under_the_lease(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """Another process stores its token while slow reads are under way here: the Hub is still asked only once."""
    async with ZaikioOAuth(make_settings()) as first, ZaikioOAuth(make_settings()) as second:
        parts = await parts_of(second)
        search = runtime_of(second).search(None, "Organization", ORGANIZATION_ID, None)

        async def read_too_early() -> None:
            await asyncio.sleep(0.3)

        async def keep_reading() -> None:
            while True:
                await parts.flights.run(
                    ("read", repr(search), DEFAULT_VALID_FOR, parts.grants.cache.reading()), read_too_early
                )

        reading = asyncio.create_task(keep_reading())
        await asyncio.sleep(0)
        hub.fail("client_credentials", latency=0.1)
        tokens = await asyncio.gather(first.get_access_token(**BEARER), second.get_access_token(**BEARER))
        reading.cancel()

    assert len({token.id for token in tokens}) == 1
    assert hub.count(grant_type="client_credentials") == 1
