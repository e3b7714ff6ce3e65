"""What our routes answer with: nothing that a cache keeps, and no address of ours in a Referer."""

from __future__ import annotations

from fastapi import HTTPException
from starlette.responses import RedirectResponse, Response

__all__ = ["not_found", "private", "redirect", "refused"]

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
