"""The session of a person who is logged in, and the error of a login that failed.

The session is Starlette's signed cookie. The browser can read it, so it never contains a token, a secret or a key. It
is written only if somebody logs in or out or an error is stored or read, because the responses of parallel requests
overwrite each other's cookie.
"""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.tokens.virtual_token import VirtualGrant
from zaikio_oauth.web.messages import is_language, message, preferred_language

__all__ = [
    "ACCESS_TOKEN_ID",
    "MAX_VIRTUAL_ID_LENGTH",
    "PERSON_ID",
    "LoginError",
    "LoginSession",
    "insecure_cookie",
    "lacks_session",
    "login_error",
    "session_of",
]

ACCESS_TOKEN_ID = "zaikio_access_token_id"  # noqa: S105 (the name of a key)
PERSON_ID = "zaikio_person_id"
_ORIGIN = "origin"
_OURS = "zaikio_oauth"
_ERROR = "error"

MAX_DESCRIPTION_BYTES = 768
"""How long a description may be in the session, which is JSON in ASCII; base64 adds a third. The app needs room too."""

MAX_VIRTUAL_ID_LENGTH = 512

_ID = re.compile(r"\A[A-Za-z0-9_-]{1,255}\Z")
_CODE = re.compile(r"\A[\x20-\x21\x23-\x5b\x5d-\x7e]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class LoginError:
    """Why a login or a connection failed.

    ``code`` is one of ours (``invalid_state``, ``invalid_grant``, ``temporarily_unavailable``, ``invalid_response``)
    or the Hub's own (RFC 6749 §4.1.2.1). ``description`` is the Hub's, if it gave one; it comes from outside, so escape
    it if you show it. ``message`` is a sentence for the person.

        error = login_error(request)
        if error is not None:
            return templates.TemplateResponse(request, "login.html", {"message": error.message})
    """

    code: str
    description: str | None = None
    language: str | None = None

    @classmethod
    def of(cls, code: object, description: object, language: object) -> LoginError:
        """Return an error whose parts come from outside, in the characters (RFC 6749 §4.1.2.1) and length allowed."""
        if not isinstance(code, str) or not _CODE.match(code):
            code, description = "invalid_response", "The Hub's error code is malformed."
        return cls(code, _readable(description), language if is_language(language) else None)

    @property
    def message(self) -> str:
        """A sentence for the person, in English or German, in the language in which the login was started."""
        return message(self.code, self.language)


def _is_access_token_id(value: str) -> bool:
    # The session is signed, but the app writes into it too, and not everything can be asked of a database.
    return _ID.match(value) is not None or (
        len(value) <= MAX_VIRTUAL_ID_LENGTH and value.isprintable() and VirtualGrant.parse(value) is not None
    )


def _readable(description: object) -> str | None:
    """Return a description without control characters, no longer than the session has room for."""
    if not isinstance(description, str):
        return None
    readable, size = "", 0
    for char in description:
        if not char.isprintable():
            continue
        size += len(json.dumps(char)) - 2
        if size > MAX_DESCRIPTION_BYTES:
            break
        readable += char
    return readable or None


def login_error(request: Request) -> LoginError | None:
    """Return the error with which the last login or connection ended, once: reading it removes it.

    Returns None if there is none. Raises ConfigurationError if the app has no SessionMiddleware.

        @app.get("/")
        async def home(request: Request):
            error = login_error(request)
            return {"failed": error.message if error else None}
    """
    return LoginSession(request).pop_error()


def lacks_session(app: Starlette) -> bool:
    """Return True if none of the app's own middleware seems to make a session."""
    return not any("session" in getattr(each.cls, "__name__", "session").lower() for each in app.user_middleware)


def insecure_cookie(app: Starlette) -> bool:
    """Return True if the app's own SessionMiddleware lets the browser send the session on http."""
    for middleware in app.user_middleware:
        if isinstance(middleware.cls, type) and issubclass(middleware.cls, SessionMiddleware):
            given = inspect.signature(middleware.cls).bind_partial(app, *middleware.args, **middleware.kwargs)
            given.apply_defaults()
            # A subclass may decide by itself.
            return not given.arguments.get("https_only", True)
    return False


def session_of(connection: HTTPConnection) -> dict[str, Any]:
    """Return the session of a request; raises ConfigurationError if the app has no SessionMiddleware."""
    if "session" not in connection.scope:
        raise ConfigurationError(
            "zaikio_oauth needs a session; add to the app: "
            "app.add_middleware(SessionMiddleware, secret_key=…)  # from starlette.middleware.sessions"
        )
    # The property has the response say that it varies with the cookie (RFC 9110 §12.5.5).
    return connection.session


class LoginSession:
    """Our part of a request's session; raises ConfigurationError if the app has no SessionMiddleware."""

    __slots__ = ("_connection", "_session")

    def __init__(self, connection: HTTPConnection) -> None:
        self._connection = connection
        self._session = session_of(connection)

    @property
    def access_token_id(self) -> str | None:
        """The id of the access token of the person who is logged in, or None."""
        value = self._session.get(ACCESS_TOKEN_ID)
        return value if isinstance(value, str) and _is_access_token_id(value) else None

    @property
    def origin(self) -> Any:
        """What the app has stored as the path to return to. It may be anything."""
        return self._session.get(_ORIGIN)

    def log_in(self, token: AccessToken) -> str | None:
        """Remember who is logged in, after removing everything that belongs to another person.

        Return the id of the access token whose place this one takes, or None. The token of an organization itself
        stands for no person, so it logs nobody in.
        """
        if token.person_id is None:
            return None
        replaced = self.access_token_id
        if self._session.get(PERSON_ID) not in (None, token.person_id):
            self._session.clear()
        self._session[ACCESS_TOKEN_ID] = token.id
        self._session[PERSON_ID] = token.person_id
        return replaced if replaced != token.id else None

    def copy(self) -> tuple[dict[str, Any], object]:
        """Return what ``restore`` needs to undo everything that happens from now on."""
        return dict(self._session), getattr(self._session, "modified", None)

    def restore(self, copied: tuple[dict[str, Any], object]) -> None:
        """Undo all changes since ``copy``, so that no cookie is sent for them."""
        content, modified = copied
        self._session.clear()
        self._session.update(content)
        if modified is not None:
            # Starlette sends the cookie if anything was written, even if it is the same again.
            self._session.modified = modified  # type: ignore[attr-defined]

    def log_out(self) -> None:
        """Remove every key of ours; the app's own stay."""
        for key in (ACCESS_TOKEN_ID, PERSON_ID, _ORIGIN, _OURS):
            self._session.pop(key, None)

    def end_flow(self) -> None:
        """Remove the origin and the error of an earlier attempt."""
        self._session.pop(_ORIGIN, None)
        self.remove_error()

    def store_error(self, error: LoginError) -> None:
        """Store the error until ``pop_error`` reads it."""
        # The session notices a change only if one of its own keys is set, so the nested part is replaced as a whole.
        told = {"code": error.code, "description": error.description, "language": error.language}
        self._session[_OURS] = {_ERROR: told}

    def pop_error(self) -> LoginError | None:
        """Return the stored error and remove it."""
        error = self._read()
        if error is None:
            return None
        del self._session[_OURS]
        language = error.get("language")
        if not is_language(language):
            language = preferred_language(self._connection)
        return LoginError.of(error.get("code"), error.get("description"), language)

    def remove_error(self) -> None:
        """Remove the error of an earlier attempt."""
        if self._read() is not None:
            del self._session[_OURS]

    def _read(self) -> dict[str, Any] | None:
        ours = self._session.get(_OURS)
        error = ours.get(_ERROR) if isinstance(ours, dict) else None
        return error if isinstance(error, dict) else None
