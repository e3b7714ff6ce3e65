"""``zaikio-oauth hub``: serves a local Hub until it is stopped."""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Callable, Iterable
from ipaddress import ip_address

import uvicorn

from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.settings import http_url
from zaikio_oauth.testing.local_hub import LocalHub

__all__ = ["serve"]

APP_URLS = ("http://localhost:8000", "http://127.0.0.1:8000")

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")


def serve(
    *,
    host: str,
    port: int,
    app_urls: Iterable[str] | None,
    prefix: str,
    echo: Callable[[str], object],
    **options: str | None,
) -> None:
    """Serve a Hub with the clients of the environment, until it is stopped. Raises ConfigurationError.

    ``options`` are those of LocalHub: ``people_file``, ``auto_consent`` and ``state_file``.
    """
    hub = LocalHub.configured([_app_url(url) for url in app_urls or ()] or APP_URLS, _path(prefix), **options)
    with _listening(host, port) as listening:
        echo(_welcome(hub, _url("localhost" if _is_every_address(host) else host, port)))
        config = uvicorn.Config(hub, log_level="warning", lifespan="off")
        uvicorn.Server(config).run(sockets=[listening])


def _welcome(hub: LocalHub, url: str) -> str:
    """Return where the Hub is, what to set in an app, and which apps it knows."""
    lines = [f"Local Hub: {url} (choose any account, no password needed)", f"In your app, set ZAIKIO_HOST={url}"]
    for app in hub.apps:
        lines += ["", f"{app.name}: client id {app.client_id}, with these callbacks:"]
        lines += [f"  {callback}" for callback in app.redirect_uris]
    return "\n".join([*lines, "", "Press Ctrl-C to stop."])


def _app_url(value: str) -> str:
    try:
        return http_url(value)
    except ValueError as error:
        raise ConfigurationError(f"--app-url {error}") from None


def _path(prefix: str) -> str:
    if not _PREFIX.fullmatch(prefix):
        raise ConfigurationError(f"--prefix {prefix!r} has to be the beginning of a path, such as /zaikio")
    return prefix


def _is_every_address(host: str) -> bool:
    """Return True for 0.0.0.0 and ::, which no browser can open."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _listening(host: str, port: int) -> socket.socket:
    # Opened here, because uvicorn would report an error in its own way.
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address, family=family, backlog=100)
    except (OSError, UnicodeError) as error:
        # No such name, or an address of another machine.
        elsewhere = isinstance(error, socket.gaierror | UnicodeError) or error.errno == errno.EADDRNOTAVAIL
    advice = (
        "; choose an address of this machine with --host"
        if elsewhere
        else ", perhaps because the port is taken; choose another one with --port"
    )
    raise ConfigurationError(f"The local Hub cannot listen on {_url(host, port)}{advice}.")
