"""The sessions of the browsers in which people use a local Hub's pages."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from hashlib import sha256

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

__all__ = ["BrowserSessions"]

_COOKIE = "local_hub_session"


class BrowserSessions:
    """Remembers which person is signed in in which browser. The cookie holds a random value only."""

    def __init__(self) -> None:
        self._csrf_secret = secrets.token_bytes(32)
        self._person_ids: dict[str, str] = {}

    def export(self) -> tuple[str, dict[str, str]]:
        """Return the secret of the forms, and who is signed in where."""
        return self._csrf_secret.hex(), dict(self._person_ids)

    def restore(self, csrf_secret: str, person_ids: Mapping[str, str]) -> None:
        """Go on with what was exported. Raises ValueError for a secret that was not."""
        self._csrf_secret = bytes.fromhex(csrf_secret)
        self._person_ids = dict(person_ids)

    def person_id(self, request: Request) -> str | None:
        """Return the id of the person who is signed in."""
        return self._person_ids.get(request.cookies.get(_COOKIE, ""))

    def sign_in(self, request: Request, person_id: str) -> None:
        """Sign the person in, in the session that the request belongs to."""
        self._person_ids[request.cookies[_COOKIE]] = person_id

    def ensure(self, request: Request) -> str:
        """Return the session that the request belongs to, or a new one."""
        return request.cookies.get(_COOKIE) or secrets.token_urlsafe(24)

    def keep(self, response: Response, session: str) -> None:
        """Set the cookie of the session."""
        response.set_cookie(_COOKIE, session, httponly=True, samesite="lax")

    def csrf_token(self, session: str) -> str:
        """Return the value that a form has to send back."""
        return hmac.new(self._csrf_secret, session.encode(), sha256).hexdigest()

    def sent(self, request: Request, form: FormData) -> bool:
        """True if the form was sent by one of the Hub's pages in this browser."""
        session = request.cookies.get(_COOKIE)
        # Tabs opened at the same instant overwrite each other's cookie. Then the browser's own header is the proof.
        if session and request.headers.get("sec-fetch-site") == "same-origin":
            return True
        token = form.get("csrf")
        given = token.encode() if isinstance(token, str) else b""
        return session is not None and hmac.compare_digest(self.csrf_token(session).encode(), given)
