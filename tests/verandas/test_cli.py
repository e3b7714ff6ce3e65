"""The command ``zaikio-oauth``, run as a person runs it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from cryptography.fernet import Fernet

from tests.data import KEY
from zaikio_oauth.store import migrations
from zaikio_oauth.store.database import Database

COMMAND = [sys.executable, "-c", "import sys; sys.argv[0] = 'zaikio-oauth'; from zaikio_oauth.cli import main; main()"]


def environment(**settings: str) -> dict[str, str]:
    """An environment with only these settings of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZAIKIO_")}
    return kept | settings | {"NO_COLOR": "1", "TERM": "dumb"}


def run(*arguments: str, cwd: Path | None = None, **settings: str) -> subprocess.CompletedProcess[str]:
    """The finished command."""
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
    """So that it can be used in a script."""
    first, second = run("generate-key"), run("generate-key")

    Fernet(first.stdout.strip())
    assert (first.returncode, first.stderr, first.stdout.count("\n")) == (0, "", 1)
    assert first.stdout != second.stdout


async def test_migrate_makes_the_database(database_url: str) -> None:
    """With the database's address alone; a second time there is nothing to do."""
    for _ in range(2):
        result = run("migrate", ZAIKIO_DATABASE_URL=database_url)
        assert (result.returncode, result.stderr) == (0, ""), result.stderr
        assert result.stdout.endswith("is up to date.\n")
    database = Database(database_url.replace("sqlite://", "sqlite+aiosqlite://"), [KEY])
    assert await migrations.missing_columns(database.engine, database.tables) == ()
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
            "cannot be used (ConnectionRefusedError); check ZAIKIO_DATABASE_URL",
        ),
        (["hub"], {"ZAIKIO_CLIENTS__A__CLIENT_ID": "id"}, "ZAIKIO_ENCRYPTION_KEYS is missing"),
        (["hub"], {"ZAIKIO_ENVIRONMENT": "production"}, "does not run in production"),
        (["hub", "--port", "many"], {}, "Invalid value for '--port'"),
        (["no-such-command"], {}, "No such command 'no-such-command'"),
        (["migrate", "--no-such-option"], {}, "No such option"),
    ],
)
def test_bad_input_is_one_clear_line_and_status_2(arguments: list[str], settings: dict[str, str], line: str) -> None:
    """No traceback, no password."""
    result = run(*arguments, **settings)

    assert result.returncode == 2
    assert line in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert "swordfish" not in result.stdout + result.stderr


def test_without_arguments_it_says_what_it_can_do() -> None:
    """Every command with a sentence."""
    result = run("--help")

    assert result.returncode == 0
    for command in ("generate-key", "migrate", "hub"):
        assert command in result.stdout


def test_hub_serves_a_local_hub_with_the_configured_clients(tmp_path: Path) -> None:
    """Its address and its callbacks are said; Ctrl-C ends it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"ZAIKIO_ENCRYPTION_KEYS": KEY, "ZAIKIO_CLIENTS__MILL__CLIENT_ID": "mill-id"}
    process = subprocess.Popen(
        [*COMMAND, "hub", "--port", str(port), "--app-url", "http://localhost:9000", "--prefix", "/auth"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        env=environment(PYTHONUNBUFFERED="1", **settings),
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline() + process.stdout.readline()
        url = f"http://127.0.0.1:{port}"
        assert f"set in your app: ZAIKIO_HOST={url}" in said
        assert "mill: client id mill-id, callbacks http://localhost:9000/auth/sessions/approve" in said
        page = httpx2.HTTPTransport(retries=20)
        with httpx2.Client(transport=page) as client:
            assert re.search("mill-id", client.get(url).text)
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=10)
    assert "Traceback" not in rest


def test_hub_says_when_its_port_is_taken() -> None:
    """One line, status 2."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = run("hub", "--port", str(taken.getsockname()[1]))

    assert result.returncode == 2
    assert "cannot listen on" in result.stderr
