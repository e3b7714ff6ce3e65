"""The session of a person who is logged in, and the error of a login that failed.

The session is Starlette's signed cookie. The browser can read it, so it never contains a token, a secret or a key. It
is written only if somebody logs in or out or an error is stored or read, because the responses of parallel requests
overwrite each other's cookie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection, Request

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.web.messages import message, preferred_language

__all__ = ["ACCESS_TOKEN_ID", "PERSON_ID", "LoginError", "LoginSession", "login_error"]

ACCESS_TOKEN_ID = "zaikio_access_token_id"  # noqa: S105 (the name of a key)
PERSON_ID = "zaikio_person_id"
_ORIGIN = "origin"
_OURS = "zaikio_oauth"
_ERROR = "error"


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

    @property
    def message(self) -> str:
        """A sentence for the person, in English or German, in the language in which the login was started."""
        return message(self.code, self.language)


def login_error(request: Request) -> LoginError | None:
    """Return the error with which the last login or connection ended, once: reading it removes it.

    Returns None if there is none. Raises ConfigurationError if the app has no SessionMiddleware.

        @app.get("/")
        async def home(request: Request):
            error = login_error(request)
    """
    return LoginSession(request).pop_error()


class LoginSession:
    """Our part of a request's session; raises ConfigurationError if the app has no SessionMiddleware."""

    __slots__ = ("_connection", "_session")

    def __init__(self, connection: HTTPConnection) -> None:
        session: dict[str, Any] | None = connection.scope.get("session")
        if session is None:
            raise ConfigurationError(
                "zaikio_oauth needs a session; add to the app: "
                "app.add_middleware(SessionMiddleware, secret_key=…)  # from starlette.middleware.sessions"
            )
        self._connection = connection
        self._session = session

    @property
    def access_token_id(self) -> str | None:
        """The id of the access token of the person who is logged in, or None."""
        value = self._session.get(ACCESS_TOKEN_ID)
        return value if isinstance(value, str) else None

    @property
    def origin(self) -> Any:
        """What the app has stored as the path to return to. It may be anything."""
        return self._session.get(_ORIGIN)

    def log_in(self, token: AccessToken) -> None:
        """Remember who is logged in, after removing everything that belongs to another person.

        The token of an organization itself stands for no person, so it logs nobody in.
        """
        if token.person_id is None:
            return
        if self._session.get(PERSON_ID) not in (None, token.person_id):
            self._session.clear()
        self._session[ACCESS_TOKEN_ID] = token.id
        self._session[PERSON_ID] = token.person_id

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
        self._write({"code": error.code, "description": error.description, "language": error.language})

    def pop_error(self) -> LoginError | None:
        """Return the stored error and remove it."""
        error = self._read()
        if error is None:
            return None
        self._write(None)
        code, description, language = (error.get(name) for name in ("code", "description", "language"))
        return LoginError(str(code), description, language or preferred_language(self._connection))

    def remove_error(self) -> None:
        """Remove the error of an earlier attempt."""
        if self._read() is not None:
            self._write(None)

    def _read(self) -> dict[str, Any] | None:
        ours = self._session.get(_OURS)
        error = ours.get(_ERROR) if isinstance(ours, dict) else None
        return error if isinstance(error, dict) else None

    def _write(self, error: dict[str, Any] | None) -> None:
        # The session notices a change only if one of its own keys is set, so the nested part is replaced.
        before = self._session.get(_OURS)
        ours = {key: value for key, value in before.items() if key != _ERROR} if isinstance(before, dict) else {}
        if error:
            ours[_ERROR] = error
        if ours:
            self._session[_OURS] = ours
        else:
            self._session.pop(_OURS, None)
