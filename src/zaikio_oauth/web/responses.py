"""The responses and errors of our routes and dependencies."""

from __future__ import annotations

import logging

from fastapi import HTTPException, WebSocketException
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response

from zaikio_oauth.settings.retries_and_waits import PAGE_RETRY_AFTER
from zaikio_oauth.web.return_address import PublicAddress

__all__ = ["connection_error", "http_error", "leave", "not_found", "private", "redirect", "unavailable"]

log = logging.getLogger("zaikio_oauth")

_POLICY_VIOLATION = 1008

_PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


def private(response: Response) -> Response:
    """Keep the response out of caches, and its address, which has code and state, out of the ``Referer`` header."""
    response.headers.update(_PRIVATE)
    return response


def redirect(url: str, status_code: int = 303) -> Response:
    """Return a redirect; 303 also turns a DELETE or POST into a GET (RFC 9110 §15.4.4)."""
    return private(RedirectResponse(url, status_code=status_code))


def leave(address: PublicAddress, target: str | Response | None, otherwise: str | None = None) -> Response:
    """Return the response of a hook, or a redirect to its path, or one to ``otherwise``, by default ``/``.

    A string that leads to another site is not followed: an app may have taken it from a request. Raises
    TypeError if the hook gave something else.
    """
    if isinstance(target, Response):
        return private(target)
    if target is not None and not isinstance(target, str):
        raise TypeError(f"a hook has to return a path, a Response or None, not {type(target).__name__}")
    path = address.target(target) if target else None
    if target and path is None:
        log.error(
            "A hook returned an address of another site as a string; to leave this one, return a Response.",
            extra={"zaikio_event": "hook.foreign_address"},
        )
    return redirect(path or otherwise or address.path("/"))


def http_error(status_code: int, detail: str) -> HTTPException:
    """Return an error for a route to raise."""
    return HTTPException(status_code, detail, headers=dict(_PRIVATE))


def not_found(detail: str) -> HTTPException:
    """Return a 404, for what is not configured."""
    return http_error(404, detail)


def unavailable(connection: HTTPConnection, detail: str) -> HTTPException | WebSocketException:
    """Return a 503 for a dependency to raise, with ``Retry-After``."""
    return connection_error(connection, 503, detail, {"Retry-After": str(PAGE_RETRY_AFTER)})


def connection_error(
    connection: HTTPConnection, status_code: int, detail: str, headers: dict[str, str] | None = None
) -> HTTPException | WebSocketException:
    """Return an error for a dependency to raise; a WebSocket is closed before it opens (RFC 6455 §7.4.1)."""
    if connection.scope["type"] == "websocket":
        return WebSocketException(_POLICY_VIOLATION, detail)
    return HTTPException(status_code, detail, headers={"Cache-Control": "no-store"} | (headers or {}))
