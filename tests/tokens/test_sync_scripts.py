"""Scripts of sync code, which end, fork and are interrupted."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.processes import ROOT, clean_environment
from tests.tokens.due_tokens import age
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub

JOBS = Path(__file__).with_name("sync_jobs.py")


def run(name: str, order: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run one of the scripts. Every warning is an error, also those about what nobody has closed."""
    command = [sys.executable, "-W", "error", str(JOBS), name, json.dumps(order)]
    return subprocess.run(
        command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("name", "order", "output", "requests"),
    [
        ("plain", "sqlite", "", 1),
        ("goes_on_in_threads", "sqlite", "worked", 2),
        ("bodies_last_longer", "sqlite", "left", 1),
        ("forks", "sqlite", "", 3),
        ("forks", "postgresql", "", 3),
        ("forks_several", "postgresql", "", 1),
        ("forks_while_locks_are_held", "sqlite", "", 1),
    ],
    indirect=["order"],
)
def test_a_script_ends_without_a_word(
    name: str, output: str, requests: int, order: dict[str, Any], hub: LocalHub
) -> None:
    """Its exit status is 0, nothing is on stderr, and the Hub was asked once for each organization."""
    ended = run(name, order)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, output, "")
    assert hub.count(grant_type="client_credentials") == requests


@pytest.mark.parametrize(
    ("name", "order"),
    [("ends_while_the_hub_is_asked", "sqlite"), ("is_interrupted", "postgresql")],
    indirect=["order"],
)
def test_a_script_that_ends_while_the_hub_is_asked_stores_what_it_gets(
    name: str, order: dict[str, Any], hub: LocalHub
) -> None:
    """The interpreter waits for it, and the next script finds it."""
    hub.fail("client_credentials", latency=2)
    ended = run(name, order)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")

    assert run("plain", order).returncode == 0
    assert hub.count(grant_type="client_credentials") == 1


@pytest.mark.parametrize("order", ["sqlite"], indirect=True)
async def test_a_renewal_ahead_of_time_is_stored_although_the_script_has_ended(
    order: dict[str, Any], organizations: list[str], hub: LocalHub
) -> None:
    """The script gets the token that it has at once and ends; its successor has the new one."""
    wanted = {"bearer_type": "Organization", "bearer_id": organizations[0]}
    async with ZaikioOAuth(Settings(**order["settings"] | {"cache_ttl": 0})) as zaikio:
        token = await zaikio.get_access_token(**wanted)
        await age(zaikio, token, left=300)
        hub.fail("client_credentials", latency=1.5)
        ended = await asyncio.to_thread(run, "plain", order)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")

        assert (await zaikio.get_access_token(**wanted)).token != token.token
    assert hub.count(grant_type="client_credentials") == 2
