"""What our routes answer with: nothing that a cache keeps, and no address of ours in a Referer."""

from __future__ import annotations

from fastapi import HTTPException, WebSocketException
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response

__all__ = ["not_found", "private", "redirect", "refusal", "refused"]

_POLICY_VIOLATION = 1008

_PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


def private(response: Response) -> Response:
    """The response, kept out of caches; its address (with code and state) goes to no other site."""
    response.headers.update(_PRIVATE)
    return response


def redirect(url: str, status_code: int = 303) -> Response:
    """A redirect; 303 also turns a DELETE or POST into a GET (RFC 9110 §15.4.4)."""
    return private(RedirectResponse(url, status_code=status_code))


def refused(status_code: int, detail: str) -> HTTPException:
    """An error to raise."""
    return HTTPException(status_code, detail, headers=dict(_PRIVATE))


def not_found(detail: str) -> HTTPException:
    """What is not configured is not there."""
    return refused(404, detail)


def refusal(
    connection: HTTPConnection, status_code: int, detail: str, headers: dict[str, str] | None = None
) -> HTTPException | WebSocketException:
    """An error for a dependency to raise; a WebSocket is closed before it opens (RFC 6455 §7.4.1)."""
    if connection.scope["type"] == "websocket":
        return WebSocketException(_POLICY_VIOLATION, detail)
    return HTTPException(status_code, detail, headers=headers)
