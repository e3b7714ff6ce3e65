"""``zaikio-oauth login --device``: what a person sees in the terminal while the device waits."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import segno
import typer
from rich.console import Console, RenderableType
from rich.progress import Progress, ProgressColumn, Task
from rich.progress_bar import ProgressBar
from rich.table import Table

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.application import ZaikioOAuth
from zaikio_oauth.cli.exit_status import Failed
from zaikio_oauth.errors import OAuthError
from zaikio_oauth.tokens.device_authorization import DeviceAuthorization

__all__ = ["log_in"]

BAR_WIDTH = 30

_ENDED = {
    "access_denied": "Cancelled at Zaikio; nothing is stored.",
    "expired_token": "The code has expired. Run the command again for a new one.",
}


async def log_in(client_name: str | None, scopes: Iterable[str] | None, seconds: int | None) -> None:
    """Show the codes, wait, and say what is stored; raises what ``DeviceAuthorization.wait`` raises.

    ``seconds``: after how many it raises Failed; None waits until the code expires.
    """
    async with ZaikioOAuth() as zaikio:
        device = await zaikio.start_device_authorization(client_name, scopes)
        typer.echo(_instructions(device))
        typer.echo(_stored(await _wait(device, seconds)))


async def _wait(device: DeviceAuthorization, seconds: int | None) -> AccessToken:
    console = Console()
    ends = device.expires_at if seconds is None else min(device.expires_at, datetime.now(UTC) + timedelta(0, seconds))
    countdown = Progress(_TimeLeft(ends), console=console, transient=True, disable=not console.is_terminal)
    countdown.add_task("")
    try:
        with countdown:
            async with asyncio.timeout(seconds):
                return await device.wait()
    except TimeoutError:
        late = f"Nobody has allowed the login within {seconds} seconds. Run the command again for a new code."
        raise Failed(late) from None
    except OAuthError as error:
        ended = _ENDED.get(error.code)
        if ended is None:
            raise
        raise OAuthError(error.code, ended, error.status_code) from None


class _TimeLeft(ProgressColumn):
    """The time that is left to enter the code, and a bar that shrinks with it."""

    max_refresh = 0.5

    def __init__(self, ends: datetime) -> None:
        super().__init__()
        self._ends = ends
        self._lifetime = self._seconds_left()

    def render(self, task: Task) -> RenderableType:
        """Return one line that never breaks."""
        left = self._seconds_left()
        minutes, seconds = divmod(round(left), 60)
        line = Table.grid(padding=(0, 1))
        line.add_column(no_wrap=True, overflow="crop")
        line.add_column()
        line.add_row(f"Waiting, {minutes}:{seconds:02d} left", ProgressBar(self._lifetime or 1, left, width=BAR_WIDTH))
        return line

    def _seconds_left(self) -> float:
        return max((self._ends - datetime.now(UTC)).total_seconds(), 0.0)


def _instructions(device: DeviceAuthorization) -> str:
    """Return where to go and what to enter there, with a QR code for a phone."""
    return (
        f"\nScan this with your phone:\n\n{_qr_code(device, sys.stdout.encoding)}\n"
        f"or open    {device.verification_uri}\n"
        f"and enter  {_grouped(device.user_code)}\n\n"
        "Allow it only if that page shows the same code.\n"
    )


def _grouped(code: str) -> str:
    """Return the code as the Hub's page shows it, where two groups are easier to compare and to type."""
    return f"{code[:4]} {code[4:]}" if len(code) == 8 else code


def _qr_code(device: DeviceAuthorization, encoding: str | None) -> str:
    drawn = io.StringIO()
    code = segno.make(device.verification_uri_complete or device.verification_uri, error="l", micro=False)
    code.terminal(drawn, compact=True)
    try:
        drawn.getvalue().encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        # Colours instead of half blocks: larger, but every terminal has them.
        drawn = io.StringIO()
        code.terminal(drawn)
    return drawn.getvalue()


def _stored(token: AccessToken) -> str:
    bearer = f"{token.bearer_type}/{token.bearer_id}"
    scopes = ", ".join(token.scopes) or "no scope"
    lines = [f"Logged in: {bearer}", f"for {token.audience}, with {scopes}; stored as {token.id}."]
    if token.on_behalf_of:
        lines.append(f"Person/{token.on_behalf_of.id} acts on its behalf.")
    else:
        lines += [
            "Workers get it with",
            f'  async with with_auth(bearer_type="{token.bearer_type}",',
            f'                       bearer_id="{token.bearer_id}",',
            f'                       client_name="{token.audience}") as access_token: ...',
        ]
    return "\n".join(lines)
