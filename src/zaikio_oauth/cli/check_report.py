"""``zaikio-oauth check``: is everything there that the app needs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import typer

from zaikio_oauth.errors import ZaikioOAuthError
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.hub.revocation_endpoint import revoked_token_ids
from zaikio_oauth.settings import Settings
from zaikio_oauth.settings.setting_warnings import setting_warnings
from zaikio_oauth.store.database import Database

__all__ = ["check"]


def check(*, as_json: bool) -> None:
    """Check the settings, the database and its migrations, and whether the Hub can be reached."""
    found: dict[str, Any] = {
        "ok": False,
        "settings": None,
        "database": None,
        "hub": None,
        "warnings": [],
        "error": None,
    }

    def say(line: str) -> None:
        if not as_json:
            typer.echo(line)

    try:
        settings = Settings()
        clients = list(settings.clients)
        found["settings"] = {
            "environment": settings.environment,
            "clients": clients,
            "default_client": settings.default_client,
        }
        say(f"settings    ok: {settings.environment}, clients {', '.join(clients)}")
        for warning in setting_warnings(settings):
            found["warnings"].append(warning.text)
            say(f"            {warning.text}")
        found["database"] = asyncio.run(_check_database(settings))
        say(f"database    ok: {found['database']}, migrated")
        asyncio.run(_check_hub(settings))
        found["hub"] = settings.host
        say(f"Hub         ok: {settings.host}")
        found["ok"] = True
    except ZaikioOAuthError as error:
        found["error"] = str(error)
        raise
    finally:
        if as_json:
            typer.echo(json.dumps(found))


async def _check_database(settings: Settings) -> str:
    database = Database(settings.database_url, settings.plain_encryption_keys)
    try:
        await database.open(auto_migrate=False)
    finally:
        await database.aclose()
    return database.name


async def _check_hub(settings: Settings) -> None:
    http = HubHttp(settings.host)
    try:
        await revoked_token_ids(http)
    finally:
        await http.aclose()
