"""Real processes that end, or are stopped, while they hold the lease of a refresh."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data import KEY, SECRET
from tests.environment.tcp_proxy import TcpProxy
from tests.inside import parts_of
from tests.visitor import expiring_token
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.settings.retries_and_waits import LEASE_SECONDS
from zaikio_oauth.testing import LocalHub

ROOT = Path(__file__).parents[2]


def start(script: str, settings: Settings, **order: Any) -> subprocess.Popen[str]:
    """Start one of the scripts beside this file."""
    plain = {
        "host": settings.host,
        "database_url": settings.database_url,
        "encryption_keys": [KEY],
        "clients": {
            "warehouse": {"client_id": "warehouse-id", "client_secret": SECRET, "default_scopes": ["zaikio.person.r"]}
        },
    }
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name(script)), json.dumps({"settings": plain} | order)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


async def until(condition: Callable[[], bool]) -> None:
    """Wait until this is true."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.mark.timeout(90)
async def test_a_lease_lives_as_long_as_the_refresh_that_a_script_left_behind(
    zaikio: ZaikioOAuth, hub: LocalHub
) -> None:
    """The loop that ends waits for the refresh, and nobody else spends its refresh token meanwhile."""
    token = await expiring_token(zaikio, hub)
    hub.fail("refresh_token", latency=LEASE_SECONDS + 3)
    with start("short_script.py", zaikio.settings, token_id=token.id) as script:
        await until(lambda: hub.faults.planned == 0)

        found = await zaikio.find_active_access_token(token.id)

        assert await asyncio.to_thread(script.wait, 20) == 0
    assert found is not None
    assert found.token != token.token
    assert hub.count(grant_type="refresh_token") == 1


@pytest.mark.timeout(90)
async def test_a_process_that_was_stopped_before_it_asked_finds_what_another_one_got(
    zaikio: ZaikioOAuth, hub: LocalHub, hub_url: str
) -> None:
    """It sends a refresh token that has been used meanwhile. The grant is good, and its caller stays logged in."""
    token = await expiring_token(zaikio, hub)
    with TcpProxy.to(hub_url) as network:
        behind = zaikio.settings.model_copy(update={"host": network.url(hub_url)})
        with start("storm_worker.py", behind, token_id=token.id, tasks=3) as stopped:
            try:
                assert stopped.stdin is not None
                assert stopped.stdout is not None
                assert await asyncio.to_thread(stopped.stdout.readline) == "ready\n"
                network.stall()
                await asyncio.to_thread(stopped.stdin.write, "\n")
                stopped.stdin.flush()
                leases = (await parts_of(zaikio)).issuance.leases
                while await leases.read(f"refresh:{token.id}") is None:
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.5)
                stopped.send_signal(signal.SIGSTOP)

                found = await zaikio.find_active_access_token(token.id)
                assert found is not None
                network.restore()
                stopped.send_signal(signal.SIGCONT)
                output, _ = await asyncio.to_thread(stopped.communicate, timeout=40)
            finally:
                stopped.kill()
    told = json.loads(output)

    assert (told["errors"], told["none"], told["got"], told["jtis"]) == ([], 0, 3, [found.jti])
    assert hub.count(grant_type="refresh_token") == 2
    assert await zaikio.find_active_access_token(token.id) == found
