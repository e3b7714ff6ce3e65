"""The outside world as fixtures: PostgreSQL and a browser; what cannot be had is skipped, or fails where it is required."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

from tests.environment.postgresql import PostgresqlServer, PostgresqlUnavailable

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


def unavailable(what: str, reason: str) -> None:
    """Skip, or fail where ``ZAIKIO_TEST_REQUIRE`` names it: CI must not pass because it tried nothing."""
    if what in os.environ.get("ZAIKIO_TEST_REQUIRE", "").split(","):
        pytest.fail(f"{what} is required here, but {reason}")
    pytest.skip(f"{what}: {reason}")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """One server for each process of the test run."""
    try:
        server = PostgresqlServer()
        server.start()
    except PostgresqlUnavailable as error:
        unavailable("postgresql", str(error))
    yield server
    server.stop()


@pytest.fixture
def postgresql_url(postgresql_server: PostgresqlServer) -> str:
    """The address of a fresh, empty database."""
    name = f"test_{uuid.uuid4().hex}"
    with ThreadPoolExecutor(1) as thread:
        # In a thread: the test's own event loop may be set already, and this needs one of its own.
        thread.submit(asyncio.run, _create_database(postgresql_server, name)).result()
    return postgresql_server.url(name)


async def _create_database(server: PostgresqlServer, name: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(server.url("postgres").replace("+asyncpg", ""))
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A page of a real Chromium, with a profile of its own."""
    executable = os.environ.get("ZAIKIO_TEST_CHROMIUM")
    if not executable:
        unavailable("browser", "no Chromium was found (ZAIKIO_TEST_CHROMIUM)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=CHROMIUM_OPTIONS)
        context = await browser.new_context(locale="en-GB", viewport={"width": 1100, "height": 800})
        yield await context.new_page()
        await browser.close()


async def screenshot(page: Page, name: str) -> None:
    """Leave a picture of the page as a test artifact."""
    ARTIFACTS.mkdir(exist_ok=True)
    await page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)
