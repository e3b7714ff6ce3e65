"""Processes on one database: two objects of this one, or what a process of its own needs to know."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data import KEY, some_client
from tests.tokens.due_tokens import two_processes
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.store.database import Database
from zaikio_oauth.testing import LocalHub


@pytest.fixture
async def processes(
    make_settings: Callable[..., Settings], database: Database, database_url: str
) -> AsyncIterator[list[ZaikioOAuth]]:
    """Yield two processes on one database."""
    async with two_processes(make_settings(database_url=database_url)) as both:
        yield both


@pytest.fixture
def organizations(hub: LocalHub) -> list[str]:
    """Return organizations that have granted access to the app."""
    added = [hub.add_organization("Some Print", hub.people[0].id).id for _ in range(3)]
    for organization in added:
        hub.grant("warehouse-id", "Organization", organization, ["zaikio.organization.r"])
    return added


@pytest.fixture
def order(request: pytest.FixtureRequest, hub_url: str, organizations: list[str], tmp_path: Path) -> dict[str, Any]:
    """Return what a process needs to know. Starting processes takes time, so a test names its database."""
    postgresql = request.param == "postgresql"
    database_url = request.getfixturevalue("postgresql_url") if postgresql else f"sqlite:///{tmp_path}/app.db"
    settings = {
        # A name, which an event loop looks up in another thread.
        "host": hub_url.replace("127.0.0.1", "localhost"),
        "database_url": database_url,
        "auto_migrate": True,
        "encryption_keys": [KEY],
        "clients": {"warehouse": some_client()},
    }
    return {"settings": settings, "organizations": organizations}
