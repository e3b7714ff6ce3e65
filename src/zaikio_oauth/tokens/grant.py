"""An answer of the Hub as a token to be stored, or as the next one of a grant. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.errors import InvalidResponseError
from zaikio_oauth.hub.token_response import TokenResponse
from zaikio_oauth.settings import same_app

__all__ = ["delegated_token", "new_token", "refreshed_token"]

UNTOLD_LIFETIME = timedelta(minutes=10)
"""How long a token is trusted whose answer said nothing of its expiry."""


def new_token(client_name: str, response: TokenResponse, requested_scopes: Iterable[str]) -> AccessToken:
    """An answer as a token to be stored; raises InvalidResponseError when it is not one for this client."""
    if response.bearer_type is None or response.bearer_id is None:
        raise InvalidResponseError("The Hub's answer does not say whose the token is.")
    if response.audiences and not any(same_app(audience, client_name) for audience in response.audiences):
        raise InvalidResponseError(
            f"The Hub's token is for {response.audiences[0]!r}, not for the client {client_name!r}; "
            "a client is to be named as its app is at the Hub."
        )
    return _stored(client_name, response, requested_scopes)


def delegated_token(
    parent: AccessToken, client_names: Iterable[str], client_id: str, response: TokenResponse, scopes: Iterable[str]
) -> AccessToken:
    """The part of a token that a subsystem gets, under that subsystem's audience.

    That is the name of the client of ours whose app it is, else the app's name, else its ``client_id``. Raises
    InvalidResponseError for a token of another bearer.
    """
    _same_bearer(parent, response, "a delegation")
    audience = next(iter(response.audiences), client_id)
    audience = next((name for name in client_names if same_app(audience, name)), audience)
    bearer = replace(
        response,
        bearer_type=parent.bearer_type,
        bearer_id=parent.bearer_id,
        on_behalf_of=response.on_behalf_of or parent.on_behalf_of,
        # Only the subsystem could authenticate with it, and the parent gives another token.
        refresh_token=None,
        refresh_expires_at=None,
    )
    return _stored(audience, bearer, scopes).model_copy(update={"delegated_from": parent.id})


def _stored(audience: str, response: TokenResponse, requested_scopes: Iterable[str]) -> AccessToken:
    now = datetime.now(UTC)
    requested = tuple(scope_rules.unprefixed(scope) for scope in requested_scopes)
    return AccessToken(
        id="",
        jti=response.jti,
        audience=audience,
        bearer_type=response.bearer_type or "",
        bearer_id=response.bearer_id or "",
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
    _same_bearer(old, response, "a refresh")
    changes: dict[str, Any] = {
        "jti": response.jti,
        "token": response.token,
        "expires_at": response.expires_at or datetime.now(UTC) + UNTOLD_LIFETIME,
    }
    if response.scopes is not None:
        changes["scopes"] = response.scopes
    if response.on_behalf_of is not None and (response.roles_told or old.on_behalf_of is None):
        changes["on_behalf_of"] = response.on_behalf_of
    if response.refresh_token is not None:
        changes["refresh_token"] = response.refresh_token
        changes["refresh_expires_at"] = response.refresh_expires_at
    return old.model_copy(update=changes)


def _same_bearer(old: AccessToken, response: TokenResponse, request: str) -> None:
    if response.bearer_id is not None and (response.bearer_type, response.bearer_id) != (
        old.bearer_type,
        old.bearer_id,
    ):
        raise InvalidResponseError(f"The Hub answered {request} with a token of another bearer.")
