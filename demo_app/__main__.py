"""``python -m demo_app``: run Bogenlager and a local Hub, without any settings."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from starlette.types import ASGIApp

from demo_app.app import create_app
from demo_app.generated import Generated, UnreadableFileError
from demo_app.servers import Port, serve
from zaikio_oauth import ConfigurationError, Settings
from zaikio_oauth.testing import LocalHub

DATA = Path(__file__).parent / ".data"
REAL_HUBS = ("staging", "sandbox", "production")


def main(arguments: list[str] | None = None) -> int:
    """Run the demo until Ctrl-C and return the exit status."""
    options = _options(arguments)
    logging.basicConfig(level=logging.WARNING, format="  %(levelname)s %(name)s: %(message)s")
    try:
        return asyncio.run(_run(options))
    except (ConfigurationError, UnreadableFileError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo_app", description="Bogenlager, the demo of zaikio_oauth.")
    parser.add_argument("--host", default="localhost", help="host name or address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port of the demo app (default: %(default)s)")
    parser.add_argument("--hub-port", type=int, default=8001, help="port of the local Hub (default: %(default)s)")
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path(os.environ.get("DEMO_DATA_DIR") or DATA),
        help="folder for the database and the generated secrets (default: DEMO_DATA_DIR, or else demo_app/.data)",
    )
    return parser.parse_args(arguments)


async def _run(options: argparse.Namespace) -> int:
    environment = {name.upper(): value for name, value in {**dotenv_values(".env"), **os.environ}.items() if value}
    file = options.data_dir / "generated.json"
    fresh = not file.exists()
    generated = Generated.kept_in(file)
    app_port = Port.first_free(options.host, options.port)
    hub_port = Port.first_free(options.host, options.hub_port) if _needs_local_hub(environment) else None
    settings = Settings(**_missing_settings(environment, generated, hub_port, options.data_dir))
    apps: list[tuple[ASGIApp, Port]] = [(create_app(settings, generated.session_secret), app_port)]
    if hub_port is not None:
        apps.append((LocalHub.for_settings(settings, base_urls=[app_port.url], prefix="/zaikio"), hub_port))

    def banner() -> None:
        print(_banner(settings, app_port, hub_port, file, fresh), flush=True)

    ran = await serve(apps, on_ready=banner)
    print("\n  Stopped." if ran else "\n  The demo could not start; see the reason above.", flush=True)
    return 0 if ran else 1


def _needs_local_hub(environment: Mapping[str, str]) -> bool:
    """True if the user has not named a Hub."""
    return "ZAIKIO_HOST" not in environment and environment.get("ZAIKIO_ENVIRONMENT", "").lower() not in REAL_HUBS


def _missing_settings(
    environment: Mapping[str, str], generated: Generated, hub_port: Port | None, data_dir: Path
) -> dict[str, Any]:
    """Return values for the settings that the environment does not set."""
    missing: dict[str, Any] = {}
    if "ZAIKIO_ENCRYPTION_KEYS" not in environment:
        missing["encryption_keys"] = [generated.encryption_key]
    if "ZAIKIO_DATABASE_URL" not in environment:
        missing["database_url"] = f"sqlite+aiosqlite:///{data_dir / 'bogenlager.db'}"
    if hub_port is not None:
        missing["host"] = hub_port.url
        # A real Hub would not know a generated client.
        if not any(name.startswith("ZAIKIO_CLIENTS") for name in environment):
            missing["clients"] = {
                "bogenlager": {  # the name of the app at the Hub
                    "client_id": generated.client_id,
                    "client_secret": generated.client_secret,
                    "default_scopes": ["zaikio.person.r"],
                    "organization_scopes": ["zaikio.organization.r"],
                }
            }
    return missing


def _banner(settings: Settings, app: Port, hub: Port | None, file: Path, fresh: bool) -> str:
    rows = [("Demo app", app.url + _moved(app))]
    if hub is not None:
        rows.append(("Local Hub", f"{hub.url}{_moved(hub)} (choose any account, no password needed)"))
    else:
        rows.append(("Hub", settings.host))
    database = Path(settings.database_url.partition(":///")[2])
    on_sqlite = settings.database_url.startswith("sqlite")
    rows.append(("Database", f"{_short(database)} (SQLite)" if on_sqlite else "PostgreSQL, from ZAIKIO_DATABASE_URL"))
    rows.append(("Generated" if fresh else "Reused", f"{_short(file)} (only you can read it)"))
    rows.append(("", "contains an encryption key, a session secret, a client ID and a client secret"))
    lines = ["", "  Bogenlager, the demo of zaikio_oauth", ""]
    lines += [f"  {name:<12}{value}" for name, value in rows]
    return "\n".join([*lines, "", "  Press Ctrl-C to stop.", ""])


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _moved(port: Port) -> str:
    return f" (port {port.wanted} is taken)" if port.moved else ""


if __name__ == "__main__":
    sys.exit(main())
