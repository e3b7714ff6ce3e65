"""The command ``zaikio-oauth``: its commands and options. How it ends, whatever happens, is in ``exit_status``.

What a command runs is imported by that command, so that the help, the version, a new key and a shell that completes a
word do not wait for the database and the web framework.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

from zaikio_oauth.cli import extra

try:
    import typer

    from zaikio_oauth.cli import exit_status
except ModuleNotFoundError:  # pragma: no cover (shown by the packaging tests, in an environment without the extra)
    extra.end_without_it()

from zaikio_oauth.errors import ConfigurationError

__all__ = ["main"]

T = TypeVar("T")

app = typer.Typer(
    name=exit_status.PROGRAM,
    help="Keys, database and a local Hub for zaikio_oauth. Settings are read from ZAIKIO_… variables and from .env.",
    epilog=exit_status.EXPLAINED,
    pretty_exceptions_enable=False,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of text.")]
Client = Annotated[str | None, typer.Option(help="The client; by default the default client.", metavar="NAME")]


def _run(command: Coroutine[Any, Any, T]) -> T:
    import asyncio

    return asyncio.run(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        typer.echo(f"zaikio_oauth {metadata.version('zaikio_oauth')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options before the name of a command."""


@app.command("generate-key")
def generate_key() -> None:
    """Print a new key for ZAIKIO_ENCRYPTION_KEYS."""
    from cryptography.fernet import Fernet

    typer.echo(Fernet.generate_key().decode("ascii"))


@app.command()
def migrate() -> None:
    """Migrate the database of ZAIKIO_DATABASE_URL to the newest revision. Safe to run from several places at once."""
    from zaikio_oauth.cli import maintenance_report

    _run(maintenance_report.migrate())


@app.command()
def check(as_json: AsJson = False) -> None:
    """Check the settings, the database, the keys and the Hub, and say how to fix what is wrong.

    Nothing is changed, and the Hub is asked for no token. Warnings do not count as failures.
    """
    from zaikio_oauth.cli import check_report

    _run(check_report.check(as_json=as_json))


@app.command()
def login(
    device: Annotated[bool, typer.Option("--device", help="Log in with another device (RFC 8628).")] = False,
    client: Client = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="A scope to ask for, instead of the client's. Repeatable.", metavar="SCOPE")
    ] = None,
    timeout: Annotated[
        int | None,
        typer.Option(
            help="Wait no longer than this; by default until the code expires.", min=1, max=86_400, metavar="SECONDS"
        ),
    ] = None,
) -> None:
    """Log in without a browser on this machine: scan a QR code, or enter a code elsewhere. The token is stored."""
    if not device:
        raise ConfigurationError("There is only one way to log in here: zaikio-oauth login --device")
    from zaikio_oauth.cli import device_login

    _run(device_login.log_in(client, scope, timeout))


@app.command()
def connections(
    client: Client = None,
    bearer_type: Annotated[
        str,
        typer.Option(help="Organization or Person.", metavar="TYPE", autocompletion=lambda: ["Organization", "Person"]),
    ] = "Organization",
    as_json: Annotated[bool, typer.Option("--json", help="Print a list as JSON, with all fields.")] = False,
) -> None:
    """List who has connected the app, how healthy each connection is, and until when it can be refreshed."""
    from zaikio_oauth.cli import connection_report

    _run(connection_report.show_connections(client, bearer_type, as_json=as_json))


@app.command("keep-alive")
def keep_alive(as_json: AsJson = False) -> None:
    """Refresh the connections that would otherwise end within two days. For cron: 0 2 * * * zaikio-oauth keep-alive.

    The exit status is 1 if some could not be refreshed.
    """
    from zaikio_oauth.cli import connection_report

    if _run(connection_report.keep_alive(as_json=as_json)).failed:
        raise typer.Exit(1)


@app.command()
def cleanup(as_json: AsJson = False) -> None:
    """Delete, in small batches, the tokens that can never be used again. For cron: 0 3 * * * zaikio-oauth cleanup."""
    from zaikio_oauth.cli import maintenance_report

    _run(maintenance_report.cleanup(as_json=as_json))


@app.command("rotate-keys")
def rotate_keys(as_json: AsJson = False) -> None:
    """Re-encrypt what is not encrypted with the first key of ZAIKIO_ENCRYPTION_KEYS. May be stopped and run again."""
    from zaikio_oauth.cli import maintenance_report

    _run(maintenance_report.rotate_keys(as_json=as_json))


@app.command()
def hub(
    port: Annotated[int, typer.Option(help="The port to listen on.", min=1, max=65535, metavar="PORT")] = 8001,
    host: Annotated[str, typer.Option(help="The address to listen on.", metavar="ADDRESS")] = "127.0.0.1",
    app_url: Annotated[
        list[str] | None, typer.Option(help="The address of your app, for its callbacks. Repeatable.", metavar="URL")
    ] = None,
    prefix: Annotated[str, typer.Option(help="The prefix of zaikio_router in your app.", metavar="PATH")] = "/zaikio",
    people: Annotated[
        str | None, typer.Option(help="A JSON file with people and organizations.", metavar="FILE")
    ] = None,
    auto_consent: Annotated[
        str | None,
        typer.Option(
            help="The id or e-mail address of the person who grants everything without a page.", metavar="PERSON"
        ),
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(help="A file that keeps keys and grants, so that a restart logs nobody out.", metavar="FILE"),
    ] = None,
) -> None:
    """Serve a local Hub that knows the clients of ZAIKIO_CLIENTS__… (if there are none: the client "warehouse")."""
    try:
        from zaikio_oauth.testing import serving
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"The local Hub needs {error.name}: pip install 'zaikio_oauth[cli,testing]'") from None
    files = {"people_file": people, "auto_consent": auto_consent, "state_file": state}
    serving.serve(host=host, port=port, app_urls=app_url, prefix=prefix, echo=typer.echo, **files)


def main() -> None:
    """Run the command of the command line, and exit."""
    # A command says itself what there is to say; without a handler Python would print the log as well.
    for name in ("zaikio_oauth", "stamina"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    try:
        sys.exit(exit_status.run(app, sys.argv[1:]))
    except ModuleNotFoundError as error:
        # Another package may have brought Typer along.
        if (error.name or "").partition(".")[0] not in extra.PACKAGES:
            raise
        extra.end_without_it()
