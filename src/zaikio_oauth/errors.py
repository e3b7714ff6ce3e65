"""Everything that can go wrong, as types.

    ZaikioOAuthError
    ├── ConfigurationError         settings or wiring of the app are wrong; says what to change
    │   └── UnknownClientError     no client of that name is configured
    ├── OAuthError                 an error response of the Hub: code, description, status_code (RFC 6749 §5.2)
    │   ├── InvalidGrantError      the code or refresh token has been used or revoked, or has expired
    │   ├── InvalidScopesError     scopes are malformed, or the bearer has not granted them
    │   └── BearerDoesNotExistError  the Hub knows no such person or organization
    ├── InvalidTokenError          a bearer token in a request to the app is not valid (RFC 6750 §3.1)
    ├── HubUnavailableError        no response, a 5xx or a 429, even after retries; elapsed seconds
    ├── InvalidResponseError       a response of the Hub that the protocol does not allow
    ├── StoreUnavailableError      the database cannot be used now; says what kind of fault it is
    └── DecryptionError            no configured key decrypts a stored token; names the id of the row

No message of these ever contains a token, a code, a secret or a key. Each has a page in the documentation, whose
address is ``documentation`` and a note of the exception (PEP 678), so that tracebacks show it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

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
    "StoreUnavailableError",
    "UnknownClientError",
    "ZaikioOAuthError",
    "page_about",
]

_DOCUMENTATION = "https://zaikio-oauth.readthedocs.io"

# Codes that have a page of their own, ours and the Hub's.
_CODES = frozenset(
    {
        "access_denied",
        "bearer_does_not_exist",
        "delegation_access_token_cannot_delegate",
        "different_bearer_ids",
        "different_bearer_types",
        "expired_token",
        "insufficient_scope",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_response",
        "invalid_scope",
        "invalid_state",
        "invalid_token",
        "malformed_scope",
        "parent_has_no_delegation_permission",
        "scope_is_not_included_in_desired_scopes",
        "scope_was_not_granted_in_parent",
        "server_error",
        "slow_down",
        "temporarily_unavailable",
        "unauthorized_client",
        "ungranted_scope",
        "unpermitted_bearer_id",
        "unpermitted_scope",
        "unsupported_grant_type",
        "unsupported_response_type",
    }
)


def page_about(code: str) -> str:
    """Return the address of the page about an error code; all that are unknown here have one in common."""
    return _page(code if code in _CODES else "oauth_error")


def _page(name: str) -> str:
    return f"{_DOCUMENTATION}/reference/errors/{name}.html"


class ZaikioOAuthError(Exception):
    """The base of every error that this library raises on purpose.

    try:
        token = await get_access_token(bearer_type="Organization", bearer_id=organization_id)
    except ZaikioOAuthError as error:
        log.warning("No access token: %s (%s)", error, error.documentation)
    """

    _page_name = "index"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.add_note(f"See {self.documentation}")

    @property
    def documentation(self) -> str:
        """The address of the page about this error: its causes, and what to do."""
        return _page(self._page_name)

    def __reduce__(self) -> tuple[Callable[..., ZaikioOAuthError], tuple[Any, ...]]:
        # An exception would otherwise be unpickled by its constructor, with the message as its only argument.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[ZaikioOAuthError], arguments: tuple[Any, ...], state: dict[str, Any]) -> ZaikioOAuthError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(state)
    return error


class ConfigurationError(ZaikioOAuthError):
    """Raised when settings, or the way the app is put together, cannot work. The message says what to change.

    try:
        settings = Settings()
    except ConfigurationError as error:
        sys.exit(str(error))
    """

    _page_name = "configuration_error"


class UnknownClientError(ConfigurationError):
    """Raised when a client is named that is not configured.

    ``name`` is the one asked for, ``known`` the names that exist.

        try:
            with with_client(name): ...
        except UnknownClientError as error:
            print("choose one of", error.known)
    """

    _page_name = "unknown_client_error"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known: tuple[str, ...] = tuple(known)
        known_names = ", ".join(self.known) or "none"
        super().__init__(f"There is no client named {name!r}; the configured ones are: {known_names}.")


class OAuthError(ZaikioOAuthError):
    """Raised when the Hub answers with an error response (RFC 6749 §5.2).

    ``code`` is its ``error`` (``invalid_client``), ``description`` its ``error_description`` if there is one,
    ``status_code`` the HTTP status.

        try:
            token = await device.wait()
        except OAuthError as error:
            print("cancelled" if error.code == "access_denied" else error.description)
    """

    def __init__(self, code: str, description: str | None = None, status_code: int | None = None) -> None:
        self.code = code
        self.description = description
        self.status_code = status_code
        super().__init__(f"The Hub answered with an error: {code}" + (f" ({description})" if description else ""))

    @property
    def documentation(self) -> str:
        """The address of the page about this code."""
        return page_about(self.code)


class InvalidGrantError(OAuthError):
    """Raised when a code, device code or refresh token has been used or revoked, has expired, or is another client's.

    The person has to log in again, or the organization to connect again.

        try:
            token = await refresh(token)
        except InvalidGrantError:
            await ask_to_connect_again(token.bearer_id)
    """


class InvalidScopesError(OAuthError):
    """Raised when scopes are malformed, name several bearers, were never granted, or cannot be delegated.

    ``code`` is the Hub's word for it, such as ``ungranted_scope`` (Hub documentation, "Bearers and scopes").

        try:
            token = await get_access_token(bearer_id=person_id, scopes=["zaikio.sites.r"])
        except InvalidScopesError as error:
            print(error.code)
    """


class BearerDoesNotExistError(OAuthError):
    """Raised when the Hub does not know the person or organization for whom a token is requested.

    try:
        token = await get_access_token(bearer_type="Organization", bearer_id=organization_id)
    except BearerDoesNotExistError:
        forget(organization_id)
    """


class InvalidTokenError(ZaikioOAuthError):
    """Raised when a bearer token in a request to the app is malformed, forged, expired, revoked or for somebody else.

    ``code`` is ``invalid_token`` (RFC 6750 §3.1), ``description`` says what is wrong with it.

        try:
            token = await verify_bearer_token(text)
        except InvalidTokenError as error:
            reject(error.description)
    """

    code = "invalid_token"
    _page_name = "invalid_token"

    def __init__(self, description: str) -> None:
        self.description = description
        super().__init__(description)


class HubUnavailableError(ZaikioOAuthError):
    """Raised when the Hub cannot be reached, fails (5xx) or asks to slow down (429), even after retries.

    ``elapsed`` is how many seconds the attempts lasted; ``retry_after`` how many seconds from now the Hub asked to
    wait, or None.

        try:
            token = await get_access_token(bearer_id=person_id)
        except HubUnavailableError as error:
            retry_in(error.retry_after or 60)
    """

    _page_name = "hub_unavailable_error"

    def __init__(self, reason: str, *, elapsed: float = 0.0, retry_after: float | None = None) -> None:
        self.reason = reason
        self.elapsed = elapsed
        self.retry_after = retry_after
        super().__init__(f"The Zaikio Hub is not available: {reason} (tried for {elapsed:.1f} s).")


class InvalidResponseError(ZaikioOAuthError):
    """Raised when a response of the Hub is not what the protocol allows: broken JSON, no token, a wrong bearer.

    try:
        token = await refresh(token)
    except InvalidResponseError as error:
        log.error("%s", error)
    """

    _page_name = "invalid_response"


class StoreUnavailableError(ZaikioOAuthError):
    """Raised when the database cannot be used now: unreachable, locked, read-only, too slow, or refusing a statement.

    ``reason`` is the kind of fault, without anything that the database or its driver said, because that could hold a
    value or a password; ``elapsed`` is how many seconds the library tried; ``may_pass`` is False for what does not
    pass by itself, such as a missing table or a wrong password; ``database`` is its address without the password, if it
    could not even be opened. Nothing that the Hub has issued is lost by it.

        try:
            token = await get_access_token(bearer_id=person_id)
        except StoreUnavailableError as error:
            log.warning("Later: %s", error.reason)
    """

    _page_name = "store_unavailable_error"

    def __init__(self, reason: str, *, elapsed: float = 0.0, may_pass: bool = True, database: str = "") -> None:
        self.reason = reason
        self.elapsed = elapsed
        self.may_pass = may_pass
        self.database = database
        which = f"The database {database}" if database else "The database"
        tried = f" (tried for {elapsed:.1f} s)" if round(elapsed, 1) else ""
        super().__init__(f"{which} cannot be used now: {reason}{tried}.")


class DecryptionError(ZaikioOAuthError):
    """Raised when none of the configured encryption keys decrypts a stored token.

    ``access_token_id`` names the row. Nothing is deleted: add the missing key again, after the first one. A ciphertext
    is good for its own row and column only, so one that was copied elsewhere raises this too.

        try:
            await rotate_encryption_keys()
        except DecryptionError as error:
            print("cannot be decrypted:", error.access_token_id)
    """

    _page_name = "decryption_error"

    def __init__(self, access_token_id: str) -> None:
        self.access_token_id = access_token_id
        super().__init__(
            f"No key of ZAIKIO_ENCRYPTION_KEYS decrypts the access token {access_token_id}; "
            "append the key under which it was stored, or find out who has copied it there."
        )
