"""Who is logged in, as the session remembers it, and what went wrong if nobody is.

The session is Starlette's signed cookie: the browser can read it, so it never holds a token, a
secret or a key. It is written only where somebody logs in or out or an error is kept or read:
responses of parallel requests overwrite each other's cookie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection, Request

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.web.messages import language_of, message

__all__ = ["LoginError", "login_error"]

ACCESS_TOKEN_ID = "zaikio_access_token_id"  # noqa: S105 (a key's name)
PERSON_ID = "zaikio_person_id"
ORIGIN = "origin"
OURS = "zaikio_oauth"
_ERROR = "error"


@dataclass(frozen=True, slots=True)
class LoginError:
    """Why a login or connection failed: the ``code``, the Hub's ``description`` if any, and a ``message`` for people.

    ``code`` is one of ours (``invalid_state``, ``invalid_grant``, ``temporarily_unavailable``,
    ``invalid_response``) or the Hub's own (RFC 6749 §4.1.2.1). The description comes from outside:
    show it escaped, or only log it.
    """

    code: str
    description: str | None = None
    language: str | None = None

    @property
    def message(self) -> str:
        """A sentence for the person, English or German by the language that the login was started in."""
        return message(self.code, self.language)


def session_of(connection: HTTPConnection) -> dict[str, Any]:
    """The session; raises ConfigurationError when the app has no SessionMiddleware."""
    session: dict[str, Any] | None = connection.scope.get("session")
    if session is None:
        raise ConfigurationError(
            "zaikio_oauth needs a session; add to the app: "
            "app.add_middleware(SessionMiddleware, secret_key=…)  # from starlette.middleware.sessions"
        )
    return session


def login_error(request: Request) -> LoginError | None:
    """The error that the last login or connection ended with, once: reading it removes it."""
    session = session_of(request)
    kept = session.get(OURS)
    if not isinstance(kept, dict) or not isinstance(kept.get(_ERROR), dict):
        return None
    error = kept[_ERROR]
    _keep(session, None)
    code, description, language = (error.get(name) for name in ("code", "description", "language"))
    return LoginError(str(code), description, language or language_of(request))


def keep_error(request: Request, error: LoginError) -> None:
    """Remember the error until ``login_error`` reads it."""
    _keep(session_of(request), error)


def forget_error(request: Request) -> None:
    """Drop what an earlier attempt left."""
    session = session_of(request)
    if isinstance(session.get(OURS), dict) and _ERROR in session[OURS]:
        _keep(session, None)


def _keep(session: dict[str, Any], error: LoginError | None) -> None:
    # The session notices only when one of its own keys is set, so the nested part is always replaced.
    ours = {key: value for key, value in (session.get(OURS) or {}).items() if key != _ERROR}
    if error:
        ours[_ERROR] = {"code": error.code, "description": error.description, "language": error.language}
    if ours:
        session[OURS] = ours
    else:
        session.pop(OURS, None)


def access_token_id(connection: HTTPConnection) -> str | None:
    """The id of the session's access token."""
    value = session_of(connection).get(ACCESS_TOKEN_ID)
    return value if isinstance(value, str) else None


def log_in(request: Request, token: AccessToken) -> None:
    """Remember who is logged in; what belongs to another person who was before is dropped first."""
    session = session_of(request)
    if session.get(PERSON_ID) not in (None, token.person_id):
        session.clear()
    session[ACCESS_TOKEN_ID] = token.id
    session[PERSON_ID] = token.person_id


def log_out(request: Request) -> None:
    """Remove every key of ours; the app's own stay."""
    session = session_of(request)
    for key in (ACCESS_TOKEN_ID, PERSON_ID, ORIGIN, OURS):
        session.pop(key, None)
