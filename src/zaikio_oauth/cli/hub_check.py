"""What ``zaikio-oauth check`` finds at the Hub. It is asked for nothing: no grant, no token."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from zaikio_oauth.cli.finding import Finding, skipped, told
from zaikio_oauth.cli.settings_check import NEEDS_CLIENTS, Readable
from zaikio_oauth.errors import HubUnavailableError, InvalidResponseError, OAuthError
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.hub.reachability import HubAnswer, ask
from zaikio_oauth.hub.token_endpoint import TokenEndpoint
from zaikio_oauth.settings import ClientSettings
from zaikio_oauth.settings.retries_and_waits import CHECK_DEADLINE

__all__ = ["check_hub"]

CLOCK_TOLERANCE = timedelta(seconds=30)
"""A token is refreshed half a minute before it expires. With a larger difference it expires unnoticed."""

_AFTER_IT = ("clock", "clients")


async def check_hub(readable: Readable) -> list[Finding]:
    """Return what is found, each answer within three seconds."""
    if wrong := readable.wrong & {"environment", "host"}:
        variables = " and ".join(f"ZAIKIO_{name.upper()}" for name in sorted(wrong))
        return skipped("Hub", *_AFTER_IT, why=f"needs {variables}")
    host = readable.settings.host
    http = HubHttp(host)
    try:
        answer = await ask(http)
        reached = Finding("Hub", "ok", f"{host}, answered in {answer.seconds:.2f} s")
        return [reached, _clock(answer), *await _clients(http, readable)]
    except (HubUnavailableError, InvalidResponseError) as error:
        reason = error.reason if isinstance(error, HubUnavailableError) else str(error).rstrip(".")
        return [
            Finding("Hub", "failed", f"{host}: {reason}", _advice(host)),
            *skipped(*_AFTER_IT, why="needs the Hub"),
        ]
    finally:
        await http.aclose()


def _advice(host: str) -> str:
    if host.endswith(".test") or "localhost" in host or "127.0.0.1" in host:
        return "Start a local Hub (zaikio-oauth hub) and set ZAIKIO_HOST to its address, or set ZAIKIO_ENVIRONMENT."
    return (
        "Check ZAIKIO_ENVIRONMENT and ZAIKIO_HOST, and whether this machine may reach that address (proxy, firewall)."
    )


def _clock(answer: HubAnswer) -> Finding:
    ahead = answer.clock_ahead
    if ahead is None:
        return Finding("clock", "skipped", "the Hub does not say what time it is")
    seconds = round(abs(ahead).total_seconds())
    if abs(ahead) <= CLOCK_TOLERANCE:
        return Finding("clock", "ok", f"differs from the Hub's by {seconds} s" if seconds else "the same as the Hub's")
    return Finding(
        "clock",
        "warning",
        f"{seconds} s {'behind' if ahead > timedelta(0) else 'ahead of'} the Hub's",
        "Synchronize this machine's clock (NTP): tokens seem to expire too early or too late.",
    )


async def _clients(http: HubHttp, readable: Readable) -> list[Finding]:
    clients = readable.settings.clients
    if not clients:
        return skipped("clients", why=NEEDS_CLIENTS)
    endpoint = TokenEndpoint(http)
    return await asyncio.gather(*(_client(endpoint, name, client) for name, client in clients.items()))


async def _client(endpoint: TokenEndpoint, name: str, client: ClientSettings) -> Finding:
    what = "client id and secret" if client.confidential else "client id"
    try:
        await endpoint.authenticate(client, within=CHECK_DEADLINE)
    except OAuthError as error:
        if error.code not in ("invalid_client", "unauthorized_client"):
            return Finding("clients", "skipped", f"the Hub does not say whether it accepts {name} ({error.code})")
        variable = f"ZAIKIO_CLIENTS__{name.upper()}__"
        remedy = f"Copy {variable}CLIENT_ID and {variable}CLIENT_SECRET from the app's page at the Hub."
        return Finding("clients", "failed", f"the Hub does not accept the {what} of {name}", remedy)
    except (HubUnavailableError, InvalidResponseError) as error:
        return told("clients", "skipped", f"the Hub does not say whether it accepts {name}: {error}")
    return Finding("clients", "ok", f"the Hub accepts the {what} of {name}")
