"""The event loop ends while the Hub is asked, and a process is forked while everything is open."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.processes import ROOT, Installation, clean_environment, installation
from zaikio_oauth.testing import HubApp

DELEGABLE = ["zaikio.delegations.rw", "zaikio.sites.r"]

ENDING = """
import asyncio, json, sys
from zaikio_oauth import Settings, ZaikioOAuth

order = json.loads(sys.argv[1])

async def main():
    zaikio = ZaikioOAuth(Settings(**order["settings"]))
    person, organization, parent, due = order["person"], order["organization"], order["parent"], order["due"]
    token = await zaikio.get_access_token(
        bearer_type="Organization", bearer_id=parent, scopes=["zaikio.delegations.rw", "zaikio.sites.r"]
    )
    calls = [
        zaikio.get_access_token(bearer_id=person),
        zaikio.get_access_token(bearer_type="Organization", bearer_id=organization),
        zaikio.delegate(token, client_id="setter-id", scopes=["zaikio.sites.r"]),
        zaikio.keep_alive(),
    ]
    assert await zaikio.get_access_token(bearer_id=due)
    main.tasks = [asyncio.create_task(call) for call in calls]
    await asyncio.sleep(1)

asyncio.run(main())
"""

FORKING = """
import asyncio, json, multiprocessing, sys
from zaikio_oauth import Settings, ZaikioOAuth

order = json.loads(sys.argv[1])
first, second, third, fourth = order["organizations"]
zaikio = ZaikioOAuth(Settings(**order["settings"]))
forking = multiprocessing.get_context("fork")
closed, used = forking.Event(), forking.Event()

async def token_of(organization):
    token = await zaikio.get_access_token(bearer_type="Organization", bearer_id=organization)
    return await zaikio.find_active_access_token(token.id)

def child():
    async def work():
        assert await token_of(first)
        assert await token_of(second)
        assert [each.bearer_id async for each in zaikio.connections()] == sorted((first, second))
        assert await zaikio.keep_alive() == 0
        used.set()
        await asyncio.to_thread(closed.wait, 30)
        assert await token_of(third)
    asyncio.run(work())

async def main():
    async with zaikio:
        assert await token_of(first)
        process = forking.Process(target=child)
        process.start()
        await asyncio.to_thread(used.wait, 30)
        for organization in (first, second, fourth):
            assert await token_of(organization)
    closed.set()
    await asyncio.to_thread(process.join)
    assert process.exitcode == 0, process.exitcode
    for organization in order["organizations"]:
        assert await token_of(organization)

asyncio.run(main())
"""

FORKING_IN_USE = """
import asyncio, json, multiprocessing, sqlite3, sys
from zaikio_oauth import ConfigurationError, Settings, ZaikioOAuth

order = json.loads(sys.argv[1])
zaikio = ZaikioOAuth(Settings(**order["settings"]))

def child():
    try:
        asyncio.run(zaikio.cleanup_access_tokens())
    except ConfigurationError as error:
        assert "forked" in str(error)
    else:
        raise AssertionError("no error")

async def main():
    async with zaikio:
        await zaikio.cleanup_access_tokens()
        other = sqlite3.connect(order["path"], isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(zaikio.cleanup_access_tokens())
        await asyncio.sleep(0.3)
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        await asyncio.to_thread(process.join)
        other.execute("ROLLBACK")
        assert await waiting == 0
        assert process.exitcode == 0, process.exitcode

asyncio.run(main())
"""


@pytest.fixture
async def installed(database_url: str) -> AsyncIterator[Installation]:
    """Yield an app without a process yet."""
    async with installation(database_url) as installed:
        yield installed


def organizations(installed: Installation, count: int, scopes: list[str]) -> list[str]:
    """Return the ids of new organizations that have granted these scopes."""
    owner = installed.hub.people[0].id
    added = [installed.hub.add_organization("Some Print", owner).id for _ in range(count)]
    for organization in added:
        installed.hub.grant("warehouse-id", "Organization", organization, scopes)
    return added


async def run(script: str, **order: Any) -> tuple[int | None, str]:
    """Run a script and return its exit status and what it wrote to stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "default",
        "-c",
        script,
        json.dumps(order),
        cwd=ROOT,
        env=clean_environment(),
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    return process.returncode, errors.decode()


async def test_a_script_ends_while_the_hub_is_asked(installed: Installation) -> None:
    """What the Hub gives is stored before the loop closes.

    It gives a token for a refresh, for one ahead of time, for the keep-alive, client credentials and a delegation.
    """
    (process,) = installed.start()
    installed.hub.apps.append(HubApp.for_client("plate-setter", "setter-id", "its-own-secret"))
    browser = await installed.log_in(process, lifetime=1)
    due, dying = await installed.log_in_long_ago(process)
    (organization,) = organizations(installed, 1, ["zaikio.organization.r"])
    (parent,) = organizations(installed, 1, DELEGABLE)
    await asyncio.sleep(1.2)
    for target in ("refresh_token", "client_credentials", "/oauth/delegate"):
        installed.hub.fail(target, latency=1.5, times=None)

    order = {"person": browser.person, "organization": organization, "parent": parent, "due": due.person}
    status, errors = await run(ENDING, settings=installed.settings, **order)

    assert (status, errors) == (0, "")
    for renewed in (browser, due, dying):
        assert await renewed.page() == (200, renewed.grant)
        assert len(installed.issued(renewed.person)) == 2
        assert installed.issued(renewed.person)[-1].jti in await installed.stored()
    worked = (await browser.get(f"/jobs/Organization/{organization}")).json()
    assert worked["jti"] == installed.issued(organization)[0].jti
    assert len(installed.issued(organization)) == 1
    assert {issued.jti for issued in installed.issued(parent)} <= await installed.stored()


async def test_a_process_forks_while_everything_is_open(installed: Installation) -> None:
    """The child works with connections of its own, those of the parent go on, and either may close first."""
    wanted = organizations(installed, 4, ["zaikio.organization.r"])

    status, errors = await run(FORKING, settings=installed.settings, organizations=wanted)

    assert "Traceback" not in errors
    assert status == 0
    assert [len(installed.issued(organization)) for organization in wanted] == [1, 1, 1, 1]
    assert {installed.issued(organization)[0].jti for organization in wanted} <= await installed.stored()


async def test_a_process_forks_while_sqlite_is_in_use(tmp_path: Path) -> None:
    """The child gets an error that says so, because it could lose what it stores; the parent goes on."""
    async with installation(f"sqlite:///{tmp_path}/app.db") as installed:
        status, errors = await run(FORKING_IN_USE, settings=installed.settings, path=f"{tmp_path}/app.db")

    assert "Traceback" not in errors
    assert status == 0
