"""The command ``zaikio-oauth``. How it ends, whatever happens, is in ``exit_status``."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Annotated, Any

from cryptography.fernet import Fernet

from zaikio_oauth.application import ZaikioOAuth
from zaikio_oauth.errors import ConfigurationError, ZaikioOAuthError
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.hub.revocation_endpoint import revoked_token_ids
from zaikio_oauth.settings import DatabaseSettings, Settings
from zaikio_oauth.settings.setting_warnings import setting_warnings
from zaikio_oauth.store.database import Database

try:
    import typer

    from zaikio_oauth.cli import connection_report, device_login, exit_status
except ModuleNotFoundError:  # pragma: no cover (shown by the packaging tests, in an environment without the extra)
    sys.exit("zaikio-oauth needs its extra: pip install 'zaikio_oauth[cli]'")

__all__ = ["main"]

app = typer.Typer(
    name="zaikio-oauth",
    help="Keys, database and a local Hub for zaikio_oauth. Settings are read from ZAIKIO_… variables.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of text.")]


@app.command("generate-key")
def generate_key() -> None:
    """Print a new key for ZAIKIO_ENCRYPTION_KEYS."""
    typer.echo(Fernet.generate_key().decode("ascii"))


@app.command()
def migrate() -> None:
    """Migrate the database of ZAIKIO_DATABASE_URL to the newest revision."""
    url = DatabaseSettings().database_url

    async def run() -> str:
        # A migration neither reads nor writes tokens, so any key will do.
        database = Database(url, [Fernet.generate_key().decode("ascii")])
        try:
            await database.migrate()
        finally:
            await database.aclose()
        return database.name

    typer.echo(f"{asyncio.run(run())} is up to date.")


@app.command()
def cleanup(as_json: AsJson = False) -> None:
    """Delete, in small batches, the tokens that can never be used again. For cron: 0 3 * * * zaikio-oauth cleanup."""

    async def run() -> int:
        async with ZaikioOAuth() as zaikio:
            return await zaikio.cleanup_access_tokens()

    deleted = asyncio.run(run())
    typer.echo(json.dumps({"deleted": deleted}) if as_json else f"{deleted} tokens deleted.")


@app.command("rotate-keys")
def rotate_keys(as_json: AsJson = False) -> None:
    """Re-encrypt what is not encrypted with the first key of ZAIKIO_ENCRYPTION_KEYS. May be stopped and run again."""

    async def run() -> int:
        async with ZaikioOAuth() as zaikio:
            return await zaikio.rotate_encryption_keys()

    count = asyncio.run(run())
    typer.echo(json.dumps({"re_encrypted": count}) if as_json else f"{count} tokens re-encrypted.")


@app.command()
def connections(
    client: Annotated[str | None, typer.Option(help="The name of the client; by default the default client.")] = None,
    bearer_type: Annotated[str, typer.Option(help="Organization or Person.")] = "Organization",
    as_json: Annotated[bool, typer.Option("--json", help="Print a list as JSON, with all fields.")] = False,
) -> None:
    """List who has connected the app, how healthy each connection is, and until when it can be refreshed."""
    asyncio.run(connection_report.show_connections(client, bearer_type, as_json=as_json))


@app.command("keep-alive")
def keep_alive(as_json: AsJson = False) -> None:
    """Refresh the connections that would die within two days. For cron: 0 2 * * * zaikio-oauth keep-alive.

    The exit status is 1 if some could not be refreshed.
    """
    if asyncio.run(connection_report.keep_alive(as_json=as_json)).failed:
        raise typer.Exit(1)


@app.command()
def check(as_json: AsJson = False) -> None:
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


@app.command()
def login(
    device: Annotated[bool, typer.Option("--device", help="Log in with another device (RFC 8628).")] = False,
    client: Annotated[str | None, typer.Option(help="The name of the client; by default the default client.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="A scope to ask for, instead of the client's. Repeatable.")
    ] = None,
) -> None:
    """Log in without a browser on this machine: scan a QR code, or enter a code elsewhere. The token is stored."""
    if not device:
        raise ConfigurationError("There is only one way to log in here: zaikio-oauth login --device")
    asyncio.run(device_login.log_in(client, scope))


@app.command()
def hub(
    port: Annotated[int, typer.Option(help="The port to listen on.", min=1, max=65535)] = 8001,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    app_url: Annotated[
        list[str] | None, typer.Option(help="The address of your app, for which callbacks are registered. Repeatable.")
    ] = None,
    prefix: Annotated[str, typer.Option(help="The prefix of zaikio_router in your app.")] = "/zaikio",
    people: Annotated[str | None, typer.Option(help="A JSON file with people and organizations.")] = None,
    auto_consent: Annotated[
        str | None, typer.Option(help="The id or e-mail address of the person who grants everything without a page.")
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="A file that keeps keys and grants, so that a restart logs nobody out.")
    ] = None,
) -> None:
    """Serve a local Hub that knows the clients of ZAIKIO_CLIENTS__… (if there are none: the client "warehouse")."""
    try:
        from zaikio_oauth.testing import serving  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"The local Hub needs {error.name}: pip install 'zaikio_oauth[cli,testing]'") from None
    files = {"people_file": people, "auto_consent": auto_consent, "state_file": state}
    serving.serve(host=host, port=port, app_urls=app_url, prefix=prefix, echo=typer.echo, **files)


def main() -> None:
    """Run the command of the command line, and exit."""
    # A command says itself what there is to say; without a handler Python would print the log as well.
    for name in ("zaikio_oauth", "stamina"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    sys.exit(exit_status.run(app, sys.argv[1:]))
