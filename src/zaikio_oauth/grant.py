"""An answer of the Hub as a token to be stored, or as the next one of a grant. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.errors import InvalidResponseError
from zaikio_oauth.hub.token_response import TokenResponse

__all__ = ["new_token", "refreshed_token"]

UNTOLD_LIFETIME = timedelta(minutes=10)
"""How long a token is trusted whose answer said nothing of its expiry."""


def _same_app(audience: str, client_name: str) -> bool:
    # A variable's name has neither capitals nor hyphens, the Hub's app may.
    return audience.casefold().replace("-", "_") == client_name.casefold().replace("-", "_")


def new_token(client_name: str, response: TokenResponse, requested_scopes: Iterable[str]) -> AccessToken:
    """An answer as a token to be stored; raises InvalidResponseError when it is not one for this client."""
    if response.bearer_type is None or response.bearer_id is None:
        raise InvalidResponseError("The Hub's answer does not say whose the token is.")
    if response.audiences and not any(_same_app(audience, client_name) for audience in response.audiences):
        raise InvalidResponseError(
            f"The Hub's token is for {response.audiences[0]!r}, not for the client {client_name!r}; "
            "a client is to be named as its app is at the Hub."
        )
    now = datetime.now(UTC)
    requested = tuple(scope_rules.unprefixed(scope) for scope in requested_scopes)
    return AccessToken(
        id="",
        jti=response.jti,
        audience=client_name,
        bearer_type=response.bearer_type,
        bearer_id=response.bearer_id,
        on_behalf_of=response.on_behalf_of,
        scopes=requested if response.scopes is None else response.scopes,
        requested_scopes=requested,
        token=response.token,
        refresh_token=response.refresh_token,
        expires_at=response.expires_at or now + UNTOLD_LIFETIME,
        refresh_expires_at=response.refresh_expires_at,
        created_at=now,
    )


def refreshed_token(old: AccessToken, response: TokenResponse) -> AccessToken:
    """The grant's next token; what the answer leaves out stays as it was (RFC 6749 §5.1, §6)."""
    if response.bearer_id is not None and (response.bearer_type, response.bearer_id) != (
        old.bearer_type,
        old.bearer_id,
    ):
        raise InvalidResponseError("The Hub answered a refresh with a token of another bearer.")
    changes: dict[str, Any] = {
        "jti": response.jti,
        "token": response.token,
        "expires_at": response.expires_at or datetime.now(UTC) + UNTOLD_LIFETIME,
    }
    if response.scopes is not None:
        changes["scopes"] = response.scopes
    if response.on_behalf_of is not None:
        changes["on_behalf_of"] = response.on_behalf_of
    if response.refresh_token is not None:
        changes["refresh_token"] = response.refresh_token
        changes["refresh_expires_at"] = response.refresh_expires_at
    return old.model_copy(update=changes)
