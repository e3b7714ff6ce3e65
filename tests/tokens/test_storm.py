"""Storms: many tasks in many real processes need the same token at once, and only one request is made to the Hub.

``ZAIKIO_TEST_REPETITIONS`` is the number of repetitions of each test (the release notes quote results for 20).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.data import KEY, some_client
from tests.visitor import expiring_token
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.settings.retries_and_waits import LEASE_SECONDS
from zaikio_oauth.store.database import Database
from zaikio_oauth.testing import LocalHub

ROOT = Path(__file__).parents[2]
REPETITIONS = int(os.environ.get("ZAIKIO_TEST_REPETITIONS", "2"))
TASKS = 25
PROCESSES = {"sqlite": 4, "postgresql": 8}


@pytest.fixture
def settings(make_settings: Callable[..., Settings], database: Database, database_url: str) -> dict[str, Any]:
    """Return settings for a migrated database as JSON values, which are passed to the processes."""
    settings = make_settings(database_url=database_url)
    return {
        "host": settings.host,
        "database_url": settings.database_url,
        "encryption_keys": [KEY],
        "clients": {"warehouse": some_client()},
    }


@pytest.fixture
async def zaikio(settings: dict[str, Any]) -> AsyncIterator[ZaikioOAuth]:
    """Yield an instance in the process of the test."""
    async with ZaikioOAuth(Settings(**settings)) as opened:
        yield opened


@pytest.fixture
def processes(database_url: str) -> int:
    return PROCESSES["sqlite" if "sqlite" in database_url else "postgresql"]


@contextmanager
def workers(count: int, **order: Any) -> Iterator[list[subprocess.Popen[str]]]:
    """Yield processes that are ready to start."""
    script = Path(__file__).with_name("storm_worker.py")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ZAIKIO_")}
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(script), json.dumps({"tasks": TASKS} | order)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=ROOT,
                    env=environment,
                )
            )
            for _ in range(count)
        ]
        stack.callback(lambda: [process.kill() for process in started])
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield started


def go(processes: list[subprocess.Popen[str]]) -> None:
    """Send the signal to each process."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def told(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the results of the process."""
    output, _ = process.communicate(timeout=60)
    return dict(json.loads(output))


@pytest.mark.parametrize("repetition", range(REPETITIONS))
async def test_a_storm_causes_one_refresh(
    zaikio: ZaikioOAuth, hub: LocalHub, settings: dict[str, Any], processes: int, repetition: int
) -> None:
    """All tasks of all processes get the token of one refresh, and nobody is logged out."""
    token = await expiring_token(zaikio, hub)
    hub.fail("refresh_token", latency=0.1, times=None)

    with workers(processes, settings=settings, token_id=token.id) as started:
        go(started)
        outcomes = [told(process) for process in started]

    assert [outcome["errors"] for outcome in outcomes] == [[]] * processes
    assert sum(outcome["got"] for outcome in outcomes) == processes * TASKS
    assert {jti for outcome in outcomes for jti in outcome["jtis"]} - {token.jti} != set()
    assert len({jti for outcome in outcomes for jti in outcome["jtis"]}) == 1
    assert {access_id for outcome in outcomes for access_id in outcome["ids"]} == {token.id}
    assert hub.count(grant_type="refresh_token") == 1


@pytest.mark.parametrize("repetition", range(REPETITIONS))
async def test_a_storm_causes_one_client_credentials_request(
    hub: LocalHub, settings: dict[str, Any], processes: int, repetition: int
) -> None:
    """The same holds if no token is stored yet."""
    organization = hub.organizations[0].id
    hub.grant("warehouse-id", "Organization", organization, ["zaikio.organization.r"])
    hub.fail("client_credentials", latency=0.1, times=None)
    wanted = {"bearer_type": "Organization", "bearer_id": organization}

    with workers(processes, settings=settings, wanted=wanted) as started:
        go(started)
        outcomes = [told(process) for process in started]

    assert [outcome["errors"] for outcome in outcomes] == [[]] * processes
    assert sum(outcome["got"] for outcome in outcomes) == processes * TASKS
    assert len({access_id for outcome in outcomes for access_id in outcome["ids"]}) == 1
    assert hub.count(grant_type="client_credentials") == 1


@pytest.mark.timeout(180)
@pytest.mark.parametrize("repetition", range(max(1, REPETITIONS // 2)))
async def test_a_killed_refresh_delays_the_others_only_briefly(
    zaikio: ZaikioOAuth, hub: LocalHub, settings: dict[str, Any], repetition: int
) -> None:
    """After ``kill -9`` during a request, another process continues when the lease expires after ten seconds."""
    token = await expiring_token(zaikio, hub)
    # The first request does not reach the Hub's grants, so the refresh token is still valid.
    hub.fail("refresh_token", latency=30, times=1)

    with (
        workers(1, settings=settings, token_id=token.id) as first,
        workers(1, settings=settings, token_id=token.id) as rest,
    ):
        go(first)
        await_request(hub)
        go(rest)
        first[0].kill()
        (outcome,) = [told(process) for process in rest]

    assert (outcome["errors"], outcome["got"], outcome["ids"]) == ([], TASKS, [token.id])
    assert outcome["seconds"] < LEASE_SECONDS + 3


def await_request(hub: LocalHub) -> None:
    """Wait until the Hub has received the request, that is, until the fault has been used."""
    deadline = time.monotonic() + 10
    while hub.faults.planned and time.monotonic() < deadline:
        time.sleep(0.02)
