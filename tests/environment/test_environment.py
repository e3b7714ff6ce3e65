"""The environment of the tests: the server ends with the tests, and a run fails if a requirement is not met."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from tests.environment.postgresql import ExistingServer, PostgresqlServer

ROOT = Path(__file__).parents[2]
HOLDER = """
import time
from tests.environment.postgresql import PostgresqlServer

server = PostgresqlServer()
server.start()
print(server.url("postgres").rpartition(":")[2].partition("/")[0], server._folder, flush=True)
time.sleep(60)
"""


def listening(port: int) -> bool:
    """Return whether something accepts connections at the port."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


async def test_a_database_is_new_and_empty(postgresql_url: str) -> None:
    """It is on a real PostgreSQL server and belongs to this test only."""
    connection = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    try:
        assert (await connection.fetchval("SELECT version()")).startswith("PostgreSQL ")
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    finally:
        await connection.close()


def test_a_server_ends_with_the_process_that_started_it(postgresql_server: ExistingServer) -> None:
    """No server is left behind by a test run that is killed."""
    if not isinstance(postgresql_server, PostgresqlServer):
        pytest.skip("postgresql: the server is not ours")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as holder:
        assert holder.stdout is not None
        port, folder = holder.stdout.readline().split()
        try:
            assert listening(int(port))
            holder.kill()
            holder.wait(10)
            until = time.monotonic() + 15
            while listening(int(port)):
                assert time.monotonic() < until, "still there"
                time.sleep(0.05)
        finally:
            holder.kill()
            shutil.rmtree(folder, ignore_errors=True)


INNER = """
import pytest


@pytest.mark.browser
async def test_browser(page):
    pass


def test_other():
    pass
"""


def run_inner(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a separate test run that has no browser."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["tests.environment.plugin"]\n')
    (tmp_path / "test_inner.py").write_text(INNER)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\nmarkers =\n    browser\n    postgresql\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZAIKIO_", "PYTEST_", "COV_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_browser_tests_are_skipped_without_a_browser(tmp_path: Path) -> None:
    """A developer may not have a browser."""
    ran = run_inner(tmp_path)
    assert "1 passed, 1 skipped" in ran.stdout
    assert ran.returncode == 0


def test_a_required_browser_that_is_missing_fails_the_run(tmp_path: Path) -> None:
    """CI must have a browser."""
    ran = run_inner(tmp_path, ZAIKIO_TEST_REQUIRE="browser")
    assert "browser is required here, but no Chromium was found" in ran.stdout
    assert ran.returncode == 1


@pytest.mark.parametrize("arguments", [["-k", "other"], ["-k", "other", "-n", "2"]])
def test_a_run_fails_if_no_required_test_has_run(tmp_path: Path, arguments: list[str]) -> None:
    """All tests of the run have passed, but none of them was of the required kind."""
    ran = run_inner(tmp_path, *arguments, ZAIKIO_TEST_REQUIRE="browser")
    assert "browser: required, but no test with it has passed" in ran.stdout
    assert "1 passed" in ran.stdout
    assert ran.returncode == 1


def test_an_unknown_requirement_is_an_error(tmp_path: Path) -> None:
    """A typing error in the settings of CI must not disable the check."""
    ran = run_inner(tmp_path, ZAIKIO_TEST_REQUIRE="postgres")
    assert "ZAIKIO_TEST_REQUIRE may name postgresql, pgbouncer, browser, faketime, proxy" in ran.stderr
    assert ran.returncode == 4
