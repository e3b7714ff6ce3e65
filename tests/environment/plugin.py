"""Fixtures for PostgreSQL and the browser. Without one of them, its tests are skipped, or fail if it is required."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from playwright.async_api import Page, async_playwright

from tests.data import KEY
from tests.environment.postgresql import ExistingServer, PostgresqlServer, PostgresqlUnavailable
from zaikio_oauth.store.database import Database

ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# What a test can need from outside, and the fixtures that imply it without a mark.
NEEDS = {
    "postgresql": {"postgresql_server", "postgresql_url"},
    "pgbouncer": {"pgbouncer_url"},
    "browser": {"page"},
    "faketime": {"faketime"},
    "proxy": set(),
}


def required() -> set[str]:
    """Return what must not be missing in this run, so that CI does not pass because tests were skipped."""
    return set(os.environ.get("ZAIKIO_TEST_REQUIRE", "").replace(",", " ").split())


def unavailable(what: str, reason: str) -> NoReturn:
    """Skip the test, or fail if ``ZAIKIO_TEST_REQUIRE`` names the missing thing."""
    if what in required():
        pytest.fail(f"{what} is required here, but {reason}", pytrace=False)
    pytest.skip(f"{what}: {reason}")


# ── requirements ───────────────────────────────────────────────────────────────────────────────────


def pytest_configure(config: pytest.Config) -> None:
    """Trust nobody, and count in the process that receives every report, which with xdist is the controller."""
    # Nothing outside this machine is ever called. Reading a system's certificates takes each HTTP client 50 ms.
    os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("nobody.pem"))
    if required() - NEEDS.keys():
        raise pytest.UsageError(f"ZAIKIO_TEST_REQUIRE may name {', '.join(NEEDS)}")
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        config.pluginmanager.register(Tried(), "zaikio-tried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Record in every test what it needs. The record is part of the test's report."""
    for item in items:
        for what, fixtures in NEEDS.items():
            if fixtures & set(getattr(item, "fixturenames", ())):
                item.add_marker(what)
            if item.get_closest_marker(what):
                item.user_properties.append(("needs", what))


class Tried:
    """Fails a run in which no test of a required kind has passed, for example because none was collected."""

    def __init__(self) -> None:
        self.passed: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the test if it has passed."""
        if report.when == "call" and report.passed:
            self.passed.update(str(what) for name, what in report.user_properties if name == "needs")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Change a success to a failure if a requirement is not met."""
        if required() - self.passed.keys() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Report the result of each requirement in one line."""
        for what in sorted(required()):
            if self.passed[what]:
                terminalreporter.write_line(f"{what}: required, and {self.passed[what]} tests with it passed")
            else:
                terminalreporter.write_line(f"ERROR {what}: required, but no test with it has passed", red=True)


# ── PostgreSQL ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[ExistingServer]:
    """Yield one server for each process of the test run, or the server that ``ZAIKIO_TEST_POSTGRESQL_URL`` names."""
    if existing := os.environ.get("ZAIKIO_TEST_POSTGRESQL_URL"):
        yield ExistingServer(existing)
        return
    with own_postgresql_server() as server:
        yield server


@contextmanager
def own_postgresql_server(**options: Any) -> Iterator[PostgresqlServer]:
    """Yield a server of one's own, which may be stopped; skip the test, or fail, if there can be none."""
    server = PostgresqlServer(**options)
    try:
        server.start()
    except PostgresqlUnavailable as error:
        unavailable("postgresql", str(error))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def postgresql_url(request: pytest.FixtureRequest, postgresql_server: ExistingServer) -> Iterator[str]:
    """Yield the URL of a new database, which is empty unless the test has the fixture ``database``, too."""
    migrated = request.getfixturevalue("migrated_postgresql") if "database" in request.fixturenames else None
    with _new_database(postgresql_server, template=migrated) as name:
        yield postgresql_server.url(name)


@contextmanager
def _new_database(server: ExistingServer, *, template: str | None = None) -> Iterator[str]:
    name = f"zaikio_test_{uuid.uuid4().hex}"
    _elsewhere(server.create_database(name, template))
    yield name
    if not isinstance(server, PostgresqlServer):  # The databases of our own server are removed with it.
        _elsewhere(server.drop_database(name))


# ── migrated databases ─────────────────────────────────────────────────────────────────────────────

# Migrating takes longer than most tests; what it does is tested where it is the topic.


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a SQLite file with all migrations, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "migrated.db"
    _elsewhere(_migrate(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_server: ExistingServer) -> Iterator[str]:
    """Yield the name of a PostgreSQL database with all migrations, to be used as a template."""
    with _new_database(postgresql_server) as name:
        _elsewhere(_migrate(postgresql_server.url(name)))
        yield name


async def _migrate(url: str) -> None:
    database = Database(url, [KEY])
    await database.open(auto_migrate=True)
    await database.aclose()


def _elsewhere(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run the coroutine in a thread, because it needs its own event loop and the test's may already be set."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, coroutine).result()


# ── the browser ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """Yield a page of a real Chromium with its own profile."""
    executable = os.environ.get("ZAIKIO_TEST_CHROMIUM")
    if not executable:
        unavailable("browser", "no Chromium was found (ZAIKIO_TEST_CHROMIUM)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=CHROMIUM_OPTIONS)
        context = await browser.new_context(locale="en-GB", viewport={"width": 1100, "height": 800})
        yield await context.new_page()
        await browser.close()


async def screenshot(page: Page, name: str) -> None:
    """Save a screenshot of the page as a test artifact."""
    ARTIFACTS.mkdir(exist_ok=True)
    await page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)
