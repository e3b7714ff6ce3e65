"""``zaikio-oauth login --device``: what a person sees in the terminal while the device waits."""

from __future__ import annotations

import asyncio
import io
import shutil
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import segno

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.application import ZaikioOAuth
from zaikio_oauth.errors import OAuthError
from zaikio_oauth.tokens.device_authorization import DeviceAuthorization

__all__ = ["log_in", "progress"]

WIDEST_BAR = 30

_ENDED = {
    "access_denied": "Cancelled at Zaikio; nothing is stored.",
    "expired_token": "The code is too old now. Run the command again for a new one.",
}


async def log_in(client_name: str | None, scopes: Iterable[str] | None, *, echo: Callable[[str], object]) -> None:
    """Show the codes, wait, and say what is stored; raises what ``DeviceAuthorization.wait`` raises."""
    async with ZaikioOAuth() as zaikio:
        device = await zaikio.start_device_authorization(client_name, scopes)
        echo(instructions(device, _qr_code(device, sys.stdout.encoding)))
        token = await _wait(device)
        echo(_stored(token))


def instructions(device: DeviceAuthorization, qr_code: str) -> str:
    """Where to go and what to enter there; a QR code for a telephone."""
    return (
        f"\nScan this with your telephone:\n\n{qr_code}\n"
        f"or open    {device.verification_uri}\n"
        f"and enter  {device.user_code}\n\n"
        "Allow it only if that page shows the same code.\n"
    )


def progress(left: float, whole: float, width: int) -> str:
    """One line that fits the terminal: a bar of the time that is left, in seconds, and the time itself."""
    left = max(left, 0.0)
    minutes, seconds = divmod(round(left), 60)
    text = f"Waiting, {minutes}:{seconds:02d} left"
    cells = min(WIDEST_BAR, width - len(text) - 4)
    if cells < 1:
        return text[: max(width - 1, 0)]
    full = round(cells * min(left / whole, 1.0)) if whole > 0 else 0
    return f"{text} [{'#' * full}{'.' * (cells - full)}]"


async def _wait(device: DeviceAuthorization) -> AccessToken:
    showing = asyncio.create_task(_show_progress(device)) if sys.stdout.isatty() else None
    try:
        return await device.wait()
    except OAuthError as refusal:
        ended = _ENDED.get(refusal.code)
        if ended is None:
            raise
        raise OAuthError(refusal.code, ended, refusal.status_code) from None
    finally:
        if showing is not None:
            showing.cancel()
            sys.stdout.write("\r\x1b[K")
            sys.stdout.flush()


async def _show_progress(device: DeviceAuthorization) -> None:
    whole = (device.expires_at - datetime.now(UTC)).total_seconds()
    while True:
        left = (device.expires_at - datetime.now(UTC)).total_seconds()
        line = progress(left, whole, shutil.get_terminal_size().columns)
        # Written over itself; the rest of a longer line is erased.
        sys.stdout.write(f"\r{line}\x1b[K")
        sys.stdout.flush()
        await asyncio.sleep(1)


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
        lines.append(f"Person/{token.on_behalf_of.id} acts on behalf of it.")
    else:
        lines += [
            "Workers get it by",
            f'  async with with_auth(bearer_type="{token.bearer_type}",',
            f'                       bearer_id="{token.bearer_id}",',
            f'                       client_name="{token.audience}") as access_token: ...',
        ]
    return "\n".join(lines)
