"""``zaikio-oauth connections`` and ``zaikio-oauth keep-alive``: what a support desk and a nightly job read."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, cast

import typer

from zaikio_oauth.access_token import BearerType
from zaikio_oauth.cli.progress import progress
from zaikio_oauth.errors import ZaikioOAuthError
from zaikio_oauth.tokens.connection import Connection
from zaikio_oauth.tokens.keep_alive import KeptAlive
from zaikio_oauth.tokens.maintenance import Maintenance
from zaikio_oauth.tokens.runtime import Runtime

__all__ = ["keep_alive", "show_connections"]

WIDTHS = {"bearer": 36, "health": 6, "connected": 10, "refreshed": 10, "until": 10}
WIDTH = sum(WIDTHS.values()) + 2 * (len(WIDTHS) - 1)


async def show_connections(client_name: str | None, bearer_type: str, *, as_json: bool) -> None:
    """Print each connection as it is read, so that any number of them fits."""
    runtime = Runtime()
    async with runtime.entered():
        try:
            # It checks the type.
            connections = Maintenance(runtime).connections(client_name, cast("BearerType", bearer_type))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        await (_json_list(connections) if as_json else _table(connections))


async def _json_list(connections: AsyncIterator[Connection]) -> None:
    before = "["
    async for connection in connections:
        typer.echo(f"{before}{json.dumps(asdict(connection), default=_iso)}", nl=False)
        before = ",\n "
    typer.echo("[]" if before == "[" else "]")


def _iso(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"not JSON: {type(value).__name__}")


async def _table(connections: AsyncIterator[Connection]) -> None:
    counted: Counter[str] = Counter()
    narrow = sys.stdout.isatty() and shutil.get_terminal_size().columns < WIDTH
    async for connection in connections:
        if not counted and not narrow:
            typer.echo(_line(*WIDTHS))
        counted[connection.health] += 1
        bearer, *cells = _cells(connection)
        typer.echo(f"{bearer}\n  {_described(cells)}" if narrow else _line(bearer, *cells))
    total = counted.total()
    parts = ", ".join(f"{counted[health]} {health}" for health in ("ok", "ageing", "lost") if counted[health])
    typer.echo(f"{total} connection{'' if total == 1 else 's'}{': ' if parts else ''}{parts}")


def _cells(connection: Connection) -> tuple[str, ...]:
    return (
        connection.bearer_id,
        connection.health,
        _day(connection.connected_at),
        _day(connection.refreshed_at),
        _day(connection.refresh_expires_at or connection.expires_at),
    )


def _described(cells: Sequence[str]) -> str:
    """Return all but the bearer in one line, without the column that a narrow terminal has no room for."""
    health, connected, _, until = cells
    return f"{health}, {connected} to {until}"


def _line(*cells: str) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS.values(), strict=True)).rstrip()


def _day(instant: datetime | None) -> str:
    return f"{instant:%Y-%m-%d}" if instant else "-"


async def keep_alive(*, as_json: bool) -> KeptAlive:
    """Refresh what would soon expire, and print how many were refreshed; each failure is a line on stderr."""

    def complain(connection: Connection, error: ZaikioOAuthError) -> None:
        whose = f"{connection.client_name}: {connection.bearer_type}/{connection.bearer_id}"
        typer.echo(f"zaikio-oauth: {whose} is not kept alive: {error}", err=True)

    async with Runtime().entered() as parts:
        with progress("Refreshing connections", as_json=as_json) as advance:
            kept = await parts.keep_alive.run(on_failure=complain, on_refreshed=advance)
    if as_json:
        typer.echo(json.dumps({"refreshed": kept.refreshed, "failed": kept.failed}))
    else:
        failed = f", {kept.failed} failed" if kept.failed else ""
        connections = f"{kept.refreshed} connection{'' if kept.refreshed == 1 else 's'}"
        typer.echo(f"{connections} refreshed{failed}.")
    return kept
