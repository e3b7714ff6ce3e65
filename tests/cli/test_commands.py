"""The command ``zaikio-oauth``, run in its own process."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography.fernet import Fernet

from tests.data import KEY, OTHER_KEY, some_access_token
from zaikio_oauth import ConfigurationError
from zaikio_oauth.store import schema
from zaikio_oauth.store.access_tokens import AccessTokenRepository
from zaikio_oauth.store.database import Database

COMMAND = [
    sys.executable,
    "-c",
    "import sys; sys.argv[0] = 'zaikio-oauth'; from zaikio_oauth.cli import main; main()",
]


def environment(**settings: str) -> dict[str, str]:
    """Return an environment that has only the given settings of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZAIKIO_")}
    return kept | settings | {"NO_COLOR": "1", "TERM": "dumb"}


def run(*arguments: str, cwd: Path | None = None, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command and return the finished process."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env=environment(**settings),
        check=False,
    )


def test_generate_key_prints_a_key_and_nothing_else() -> None:
    """The output can be used in a script."""
    first, second = run("generate-key"), run("generate-key")

    Fernet(first.stdout.strip())
    assert (first.returncode, first.stderr, first.stdout.count("\n")) == (0, "", 1)
    assert first.stdout != second.stdout


async def test_migrate_creates_the_tables(database_url: str) -> None:
    """It needs only the database URL, and can be run again."""
    for _ in range(2):
        result = run("migrate", ZAIKIO_DATABASE_URL=database_url)
        assert (result.returncode, result.stderr) == (0, ""), result.stderr
        assert result.stdout.endswith("is up to date.\n")
    database = Database(database_url.replace("sqlite://", "sqlite+aiosqlite://"), [KEY])
    assert await schema.missing_columns(database.engine, database.tables) == ()
    await database.aclose()


@pytest.mark.parametrize(
    ("arguments", "settings", "line"),
    [
        (
            ["migrate"],
            {"ZAIKIO_DATABASE_URL": "mysql://user:swordfish@host/db"},
            "ZAIKIO_DATABASE_URL has to start with",
        ),
        (
            ["migrate"],
            {"ZAIKIO_DATABASE_URL": "postgresql://user:swordfish@127.0.0.1:1/db"},
            "The database postgresql+asyncpg://user:***@127.0.0.1:1/db cannot be used now: it cannot be reached; check",
        ),
        (["hub"], {"ZAIKIO_CLIENTS__A__CLIENT_ID": "id"}, "ZAIKIO_ENCRYPTION_KEYS is missing"),
        (["hub"], {"ZAIKIO_ENVIRONMENT": "production"}, "does not run in production"),
        (["hub", "--port", "many"], {}, "Invalid value for '--port'"),
        (["no-such-command"], {}, "No such command 'no-such-command'"),
        (["migrate", "--no-such-option"], {}, "No such option"),
    ],
)
def test_invalid_input_gets_one_line_and_status_2(arguments: list[str], settings: dict[str, str], line: str) -> None:
    """The output contains no traceback and no password."""
    result = run(*arguments, **settings)

    assert result.returncode == 2
    assert line in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert "swordfish" not in result.stdout + result.stderr


def store_settings(tmp_path: Path, **more: str) -> dict[str, str]:
    """Return the settings of an app whose Hub is unreachable."""
    return {
        "ZAIKIO_HOST": "http://127.0.0.1:9",
        "ZAIKIO_DATABASE_URL": f"sqlite:///{tmp_path}/store.db",
        "ZAIKIO_ENCRYPTION_KEYS": KEY,
        "ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_ID": "warehouse-id",
        **more,
    }


async def stored(tmp_path: Path, **changes: object) -> None:
    """Store a token in the database of that app."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/store.db", [KEY])
    await database.open(auto_migrate=True)
    await AccessTokenRepository(database).add(some_access_token(**changes))
    await database.aclose()


async def test_cleanup_prints_the_number_of_deleted_tokens(tmp_path: Path) -> None:
    """It can be run by cron: 0 3 * * * zaikio-oauth cleanup."""
    await stored(tmp_path)
    await stored(tmp_path, expires_at=datetime.now(UTC) - timedelta(hours=1), refresh_token=None)

    results = [run("cleanup", **store_settings(tmp_path)) for _ in range(2)]

    assert [(result.returncode, result.stdout) for result in results] == [
        (0, "1 token deleted.\n"),
        (0, "0 tokens deleted.\n"),
    ]


async def test_rotate_keys_prints_the_number_of_re_encrypted_tokens(tmp_path: Path) -> None:
    """The new key is put before the old one. If no key decrypts a row, the error names it."""
    await stored(tmp_path)
    both = store_settings(tmp_path, ZAIKIO_ENCRYPTION_KEYS=f"{OTHER_KEY},{KEY}")

    assert run("rotate-keys", **both).stdout == "1 token re-encrypted.\n"
    assert run("rotate-keys", **both).stdout == "0 tokens re-encrypted.\n"
    lost = run("rotate-keys", **store_settings(tmp_path))
    assert lost.returncode == 2
    assert "No key of ZAIKIO_ENCRYPTION_KEYS decrypts the access token" in lost.stderr
    assert "Traceback" not in lost.stderr


async def test_the_output_may_be_json(tmp_path: Path, hub_url: str) -> None:
    """Each is one line."""
    await stored(tmp_path, expires_at=datetime.now(UTC) - timedelta(hours=1), refresh_token=None)
    settings = store_settings(tmp_path, ZAIKIO_HOST=hub_url)
    results = [run(command, "--json", **settings) for command in ("cleanup", "rotate-keys")]

    assert [result.returncode for result in results] == [0, 0]
    assert [result.stdout.count("\n") for result in results] == [1, 1]
    assert [json.loads(result.stdout) for result in results] == [{"deleted": 1}, {"re_encrypted": 0}]


def test_help_lists_every_command() -> None:
    """Each command is in the output."""
    result = run("--help")

    assert result.returncode == 0
    for command in (
        "generate-key",
        "migrate",
        "cleanup",
        "rotate-keys",
        "check",
        "login",
        "hub",
        "connections",
        "keep-alive",
    ):
        assert command in result.stdout


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "localhost")])  # noqa: S104
def test_hub_serves_a_local_hub_with_the_configured_clients(tmp_path: Path, host: str, shown: str) -> None:
    """It prints a URL that a browser can open, and its callbacks, and Ctrl-C stops it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"ZAIKIO_ENCRYPTION_KEYS": KEY, "ZAIKIO_CLIENTS__MILL__CLIENT_ID": "mill-id"}
    process = subprocess.Popen(
        [*COMMAND, "hub", "--host", host, "--port", str(port), "--app-url", "http://localhost:9000", "--prefix=/auth"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        env=environment(PYTHONUNBUFFERED="1", **settings),
    )
    try:
        assert process.stdout is not None
        said = "".join(iter(process.stdout.readline, "Press Ctrl-C to stop.\n"))
        url = f"http://{shown}:{port}"
        assert f"In your app, set ZAIKIO_HOST={url}\n" in said
        callbacks = "  http://localhost:9000/auth/sessions/approve\n  http://localhost:9000/auth/connections/approve\n"
        assert f"mill: client id mill-id, with these callbacks:\n{callbacks}" in said
        page = httpx2.HTTPTransport(retries=20)
        with httpx2.Client(transport=page) as client:
            assert re.search("mill-id", client.get(url).text)
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=10)
    assert "Traceback" not in rest


def test_hub_reports_a_port_that_is_in_use() -> None:
    """The error is one line with status 2."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("hub", "--port", str(port))

    assert result.returncode == 2
    assert result.stderr == (
        f"zaikio-oauth: The local Hub cannot listen on http://127.0.0.1:{port}, perhaps because the port is taken; "
        f"choose another one with --port. See {ConfigurationError().documentation}\n"
    )


@pytest.mark.parametrize("host", ["a..b", "192.0.2.1"])
def test_hub_reports_an_address_that_this_machine_does_not_have(host: str) -> None:
    """Another port would not help."""
    result = run("hub", "--host", host)

    assert result.returncode == 2
    assert "; choose an address of this machine with --host. See " in result.stderr
