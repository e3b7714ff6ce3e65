"""``zaikio-oauth connections`` and ``zaikio-oauth keep-alive``, run in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.cli.test_commands import COMMAND, environment, run, store_settings, stored
from tests.data import SECRET

NOW = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)
SOON = datetime.now(UTC) + timedelta(hours=3)
LATER = datetime.now(UTC) + timedelta(days=6)


async def connect(tmp_path: Path, bearer_id: str, **changes: object) -> None:
    await stored(tmp_path, **{"bearer_type": "Organization", "bearer_id": bearer_id, "created_at": NOW} | changes)


async def test_connections_are_a_table_for_people(tmp_path: Path) -> None:
    """Who, how healthy, since when and until when; and how many there are of each kind."""
    await connect(tmp_path, "b1475f65-236c-58b8-96e1-e1778b43beb7", refresh_expires_at=LATER)
    await connect(tmp_path, "c", refresh_expires_at=SOON)
    await connect(tmp_path, "d", refresh_expires_at=NOW)

    result = run("connections", **store_settings(tmp_path))

    assert (result.returncode, result.stderr) == (0, "")
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["bearer", "health", "connected", "refreshed", "until"],
        ["b1475f65-236c-58b8-96e1-e1778b43beb7", "ok", "2026-11-01", "-", f"{LATER:%Y-%m-%d}"],
        ["c", "ageing", "2026-11-01", "-", f"{SOON:%Y-%m-%d}"],
        ["d", "lost", "2026-11-01", "-", "2026-11-01"],
        ["3", "connections:", "1", "ok,", "1", "ageing,", "1", "lost"],
    ]
    assert max(map(len, result.stdout.splitlines())) <= 80


async def test_connections_are_json_for_programs(tmp_path: Path) -> None:
    """A list of objects with the fields of a Connection; times are in ISO 8601, and nothing is secret."""
    await connect(tmp_path, "b", refresh_expires_at=LATER)
    await connect(tmp_path, "c", refresh_token=None, refresh_expires_at=None)
    await stored(tmp_path)

    result = run("connections", "--json", **store_settings(tmp_path))
    persons = run("connections", "--json", "--bearer-type", "Person", **store_settings(tmp_path))

    first, second = json.loads(result.stdout)
    assert list(first) == [
        "access_token_id",
        "client_name",
        "bearer_type",
        "bearer_id",
        "scopes",
        "connected_at",
        "refreshed_at",
        "expires_at",
        "refresh_expires_at",
        "health",
    ]
    assert (first["bearer_id"], first["health"], first["refreshed_at"]) == ("b", "ok", None)
    assert datetime.fromisoformat(first["connected_at"]) == NOW
    assert datetime.fromisoformat(first["refresh_expires_at"]) == LATER
    assert (second["bearer_id"], second["refresh_expires_at"]) == ("c", None)
    assert [each["bearer_type"] for each in json.loads(persons.stdout)] == ["Person"]
    assert "secret" not in result.stdout + persons.stdout


async def test_no_connections_are_a_short_answer(tmp_path: Path) -> None:
    """Not an error: nobody has connected yet."""
    await stored(tmp_path)

    assert run("connections", **store_settings(tmp_path)).stdout == "0 connections\n"
    assert run("connections", "--json", **store_settings(tmp_path)).stdout == "[]\n"


async def test_the_table_can_be_cut_off(tmp_path: Path) -> None:
    """As by ``| head``: without a word."""
    await connect(tmp_path, "b")
    settings = environment(**store_settings(tmp_path))

    shell = f'{sys.executable} -c "{COMMAND[2]}" connections | head -0; echo ${{PIPESTATUS[0]}}'
    result = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, env=settings, check=False)

    assert result.stderr == ""


async def test_keep_alive_says_how_many_were_refreshed_and_which_were_not(tmp_path: Path, hub_url: str) -> None:
    """Each failure is one line, the rest goes on, and the exit status tells cron."""
    settings = store_settings(tmp_path, ZAIKIO_HOST=hub_url, ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_SECRET=SECRET)
    await connect(tmp_path, "healthy", refresh_expires_at=LATER)
    fine = [run("keep-alive", **settings), run("keep-alive", "--json", **settings)]
    # The Hub does not know their refresh tokens.
    await connect(tmp_path, "refused", refresh_expires_at=SOON)
    refused = run("keep-alive", **settings)
    await connect(tmp_path, "refused-too", refresh_expires_at=SOON)
    refused_as_json = run("keep-alive", "--json", **settings)

    assert [(each.returncode, each.stdout, each.stderr) for each in fine] == [
        (0, "0 connections refreshed.\n", ""),
        (0, '{"refreshed": 0, "failed": 0}\n', ""),
    ]
    assert (refused.returncode, refused.stdout) == (1, "0 connections refreshed, 1 failed.\n")
    assert refused.stderr.startswith("zaikio-oauth: warehouse: Organization/refused is not kept alive: The Hub ")
    assert refused.stderr.count("\n") == 1
    assert json.loads(refused_as_json.stdout) == {"refreshed": 0, "failed": 1}
    assert "secret" not in refused.stdout + refused.stderr + refused_as_json.stderr
