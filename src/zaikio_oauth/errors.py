"""What can go wrong, as types.

    ZaikioOAuthError
    ├── ConfigurationError         settings or wiring of the app are wrong; says what to change
    │   └── UnknownClientError     no client of that name is configured
    ├── OAuthError                 the Hub refused: code, description, status_code (RFC 6749 §5.2)
    │   ├── InvalidGrantError      the code or refresh token is spent, revoked or too old
    │   ├── InvalidScopesError     scopes that the bearer has not granted, or malformed ones
    │   └── BearerDoesNotExistError  the Hub knows no such person or organization
    ├── InvalidTokenError          a bearer token that came in is not to be trusted (RFC 6750 §3.1)
    ├── HubUnavailableError        no answer, 5xx or 429, also after retries; elapsed seconds
    ├── InvalidResponseError       an answer that is not what the protocol promises
    └── DecryptionError            no configured key fits a stored token; names the row's id

No message of these ever holds a token, a code, a secret or a key.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "BearerDoesNotExistError",
    "ConfigurationError",
    "DecryptionError",
    "HubUnavailableError",
    "InvalidGrantError",
    "InvalidResponseError",
    "InvalidScopesError",
    "InvalidTokenError",
    "OAuthError",
    "UnknownClientError",
    "ZaikioOAuthError",
]


class ZaikioOAuthError(Exception):
    """The root of every error that this library raises on purpose."""


class ConfigurationError(ZaikioOAuthError):
    """Raised when settings, or the way the app is put together, cannot work. Says what to change."""


class UnknownClientError(ConfigurationError):
    """Raised when a client is asked for that is not configured.

    ``name`` is the one asked for, ``known`` those that exist.
    """

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(known)
        known_names = ", ".join(self.known) or "none"
        super().__init__(f"There is no client named {name!r}; configured are: {known_names}.")


class OAuthError(ZaikioOAuthError):
    """Raised when the Hub refuses a request (RFC 6749 §5.2).

    ``code`` is the machine word (``invalid_client``), ``description`` the Hub's sentence if it gave
    one, ``status_code`` the HTTP status of the answer.
    """

    def __init__(self, code: str, description: str | None = None, status_code: int | None = None) -> None:
        self.code = code
        self.description = description
        self.status_code = status_code
        super().__init__(f"The Hub refused: {code}" + (f" ({description})" if description else ""))

    def __reduce__(self) -> tuple[type[OAuthError], tuple[str, str | None, int | None]]:
        return type(self), (self.code, self.description, self.status_code)


class InvalidGrantError(OAuthError):
    """Raised when a code, device code or refresh token is spent, revoked, too old or another client's."""


class InvalidScopesError(OAuthError):
    """Raised when these scopes are not given: not granted before, malformed, of several bearers, or not to delegate."""


class BearerDoesNotExistError(OAuthError):
    """Raised when a token is asked for a person or organization that the Hub does not know."""


class InvalidTokenError(ZaikioOAuthError):
    """Raised when a bearer token that came in is malformed, forged, expired, revoked or for another audience.

    ``code`` is ``invalid_token`` (RFC 6750 §3.1), ``description`` says what is wrong with it.
    """

    code = "invalid_token"

    def __init__(self, description: str) -> None:
        self.description = description
        super().__init__(description)


class HubUnavailableError(ZaikioOAuthError):
    """Raised when the Hub cannot be reached, fails (5xx) or asks to slow down (429), also after retries.

    ``elapsed`` is how many seconds were spent trying; ``retry_after`` how many seconds from now the
    Hub asked to wait, if it said so.
    """

    def __init__(self, reason: str, *, elapsed: float = 0.0, retry_after: float | None = None) -> None:
        self.reason = reason
        self.elapsed = elapsed
        self.retry_after = retry_after
        super().__init__(f"The Zaikio Hub is not available: {reason} (tried for {elapsed:.1f} s).")


class InvalidResponseError(ZaikioOAuthError):
    """Raised when the Hub answers with something that is not what the protocol promises."""


class DecryptionError(ZaikioOAuthError):
    """Raised when none of the configured encryption keys decrypts a stored token.

    ``access_token_id`` names the row. Nothing is deleted: put the missing key back behind the first one.
    """

    def __init__(self, access_token_id: str) -> None:
        self.access_token_id = access_token_id
        super().__init__(
            f"No key of ZAIKIO_ENCRYPTION_KEYS decrypts the access token {access_token_id}; "
            "append the key it was stored with."
        )
