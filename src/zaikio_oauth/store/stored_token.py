"""StoredToken: a row of the access tokens as a value."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from zaikio_oauth.access_token import AccessToken, OnBehalfOf, SealedSecret, Secret
from zaikio_oauth.errors import DecryptionError
from zaikio_oauth.store.columns import split_scopes
from zaikio_oauth.store.encryption import Cipher, Place

__all__ = ["SealedRefreshToken", "StoredToken", "stored_token"]

_FIELDS: Final = set(AccessToken.model_fields)


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A row: the token as callers see it, and what only we need to know.

    ``version``: each refresh increments it. ``issued_at``: when this token was obtained, at the login or by the last
    refresh. ``renew_after``: until then the Hub is not asked for another one while this one will do, because it was
    asked in vain a moment ago: it failed, gave no token that is valid longer, or none that an API accepts. ``lost_at``:
    when it was told that it cannot be renewed.
    """

    access_token: AccessToken
    version: int
    issued_at: datetime
    renew_after: datetime | None = None
    lost_at: datetime | None = None

    def labels(self, key: str) -> tuple[str | None, ...]:
        """Return what it is dropped from a cache by, in which it is kept under this key."""
        token = self.access_token
        # A newer token of the bearer changes only what a search finds.
        return (token.jti,) if key == token.id else (token.id, token.bearer_id, token.jti)

    def due(self, ahead: timedelta, now: datetime | None = None) -> bool:
        """Return True if it expires within ``ahead``, has lived half of its life, and may be renewed again."""
        now = now or datetime.now(UTC)
        return now >= self.due_at(ahead) and not self.postponed(now)

    def due_at(self, ahead: timedelta) -> datetime:
        """Return when it becomes ``due``, unless its renewal is postponed."""
        expires_at = self.access_token.expires_at
        return expires_at - min(ahead, (expires_at - self.issued_at) / 2)

    def will_do(self, valid_for: timedelta, now: datetime | None = None) -> bool:
        """Return True if it is valid that long, or lives and is the longest that the Hub gives."""
        now = now or datetime.now(UTC)
        token = self.access_token
        if token.valid_for(valid_for, now):
            return True
        longest = token.expires_at - self.issued_at <= valid_for and self.postponed(now)
        return longest and token.valid_for(timedelta(0), now)

    def postponed(self, now: datetime | None = None) -> bool:
        """Return True if the Hub is not asked for another one yet."""
        return self.renew_after is not None and self.renew_after > (now or datetime.now(UTC))


class SealedRefreshToken(SealedSecret):
    """A refresh token as its row has it."""

    __slots__ = ("_cipher", "_row_id", "ciphertext")

    def __init__(self, cipher: Cipher, row_id: str, ciphertext: str) -> None:
        self._cipher, self._row_id, self.ciphertext = cipher, row_id, ciphertext

    def unsealed(self) -> Secret:
        """Return the secret; raises DecryptionError."""
        secret = self._cipher.decrypt(self.ciphertext, Place(self._row_id, "refresh_token"))
        if secret is None:
            raise DecryptionError(self._row_id)
        return secret


def stored_token(row: Any, token: Secret, refresh_token: SealedSecret | Secret | None) -> StoredToken:
    """Return a row as a value: with its secrets, which are not taken from its columns."""
    # What many tokens have in common is one object, because a process may keep many of them.
    access_token = _constructed(
        id=row.id,
        jti=row.jti,
        audience=sys.intern(row.audience),
        bearer_type="Person" if row.bearer_type == "Person" else "Organization",
        bearer_id=row.bearer_id,
        on_behalf_of=OnBehalfOf(**row.on_behalf_of) if row.on_behalf_of else None,
        scopes=split_scopes(row.scopes),
        requested_scopes=split_scopes(row.requested_scopes),
        token=token,
        refresh_token=refresh_token,
        expires_at=row.expires_at,
        refresh_expires_at=row.refresh_expires_at,
        created_at=row.created_at,
        delegated_from=row.delegated_from,
    )
    return StoredToken(access_token, row.version, row.updated_at, row.renew_after, row.lost_at)


def _constructed(**values: Any) -> AccessToken:
    """Return a token of values that were validated when they were stored, as unpickling does.

    This is the hot path, and ``model_construct`` looks for the aliases and defaults of each field.
    """
    token = AccessToken.__new__(AccessToken)
    state = {"__pydantic_fields_set__": _FIELDS, "__pydantic_extra__": None, "__pydantic_private__": None}
    token.__setstate__({"__dict__": values, **state})
    return token
