"""The fixtures: both kinds of database, the local Hub on a real socket, an app, and a visitor."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from tests.apps import small_app
from tests.data import KEY, SECRET, some_client
from tests.fuzz.budget import Budget
from tests.visitor import BASE_URL, Visitor
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.store.database import Database
from zaikio_oauth.testing import HubApp, HubServer, LocalHub

pytest_plugins = ["tests.environment.plugin"]


def pytest_sessionstart() -> None:
    """Refuse to run where the tests, and the processes that they start, would read a developer's own ``.env``."""
    if Path(".env").is_file():
        pytest.exit("The tests would read the file .env of this directory; move it elsewhere.", returncode=2)


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the developer's own settings from the environment."""
    for name in os.environ:
        if name.startswith("ZAIKIO_") and not name.startswith("ZAIKIO_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database: a SQLite file, then a database on a real PostgreSQL server."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    return request.getfixturevalue("postgresql_url")


@pytest.fixture
async def database(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[Database]:
    """Yield the store in that database, with all migrations."""
    if database_url.startswith("sqlite"):
        shutil.copy(request.getfixturevalue("migrated_sqlite"), database_url.removeprefix("sqlite:///"))
    database = Database(database_url.replace("sqlite://", "sqlite+aiosqlite://"), [KEY])
    await database.open(auto_migrate=False)
    yield database
    await database.aclose()


@pytest.fixture(scope="session")
def keys() -> LocalHub:
    """Return a Hub whose keys those of the tests share, because new ones take a moment to make."""
    return LocalHub(environment="test")


@pytest.fixture
def hub(keys: LocalHub) -> LocalHub:
    """Return a Hub with the clients ``warehouse`` (with a secret) and ``kiosk`` (without)."""
    return LocalHub(
        keys_of=keys,
        apps=[
            HubApp.for_client("warehouse", "warehouse-id", SECRET, base_urls=[BASE_URL]),
            HubApp.for_client("kiosk", "kiosk-id", None, base_urls=[BASE_URL]),
        ],
    )


@pytest.fixture
def hub_url(hub: LocalHub) -> Iterator[str]:
    """Yield the URL of that Hub on a real socket."""
    with HubServer(hub) as server:
        yield server.url


@pytest.fixture
def make_settings(hub_url: str, tmp_path: Path, migrated_sqlite: Path) -> Callable[..., Settings]:
    """Return a function that makes settings for that Hub with SQLite. Its arguments replace single settings."""
    shutil.copy(migrated_sqlite, tmp_path / "app.db")

    def make(**changes: Any) -> Settings:
        values: dict[str, Any] = {
            "host": hub_url,
            "database_url": f"sqlite:///{tmp_path}/app.db",
            "encryption_keys": [KEY],
            "clients": {
                "warehouse": some_client(),
                "kiosk": {"client_id": "kiosk-id", "default_scopes": ["zaikio.person.r"]},
            },
        }
        return Settings(**values | changes)

    return make


@pytest.fixture
async def zaikio(make_settings: Callable[..., Settings]) -> AsyncIterator[ZaikioOAuth]:
    """Yield an open ZaikioOAuth with those settings."""
    async with ZaikioOAuth(make_settings()) as opened:
        yield opened


@pytest.fixture
def app(zaikio: ZaikioOAuth) -> FastAPI:
    """Return a small app that uses it."""
    return small_app(zaikio)


@pytest.fixture
async def visitor(app: FastAPI) -> AsyncIterator[Visitor]:
    """Yield a visitor of that app."""
    visiting = Visitor(app)
    yield visiting
    await visiting.aclose()


@pytest.fixture
def budget() -> Budget:
    """Return how long a fuzzer runs."""
    return Budget.from_environment()
