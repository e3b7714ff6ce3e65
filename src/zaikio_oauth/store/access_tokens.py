"""The stored access tokens."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Row

from zaikio_oauth.access_token import AccessToken, SealedSecret, Secret, has_refresh_token
from zaikio_oauth.errors import DecryptionError
from zaikio_oauth.settings.retries_and_waits import RENEWAL_PAUSE
from zaikio_oauth.store.access_token_statements import AccessTokenStatements, Reencryption, TokenSearch
from zaikio_oauth.store.columns import join_scopes
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.encryption import Place
from zaikio_oauth.store.leases import Lease
from zaikio_oauth.store.statements import Outcome, Statement
from zaikio_oauth.store.stored_token import SealedRefreshToken, StoredToken, stored_token
from zaikio_oauth.store.storing import Storing

__all__ = ["AccessTokenRepository", "Reencrypted", "TokenSearch"]

T = TypeVar("T")

CIPHERTEXTS_AT_ONCE = 25
"""How many rows are re-encrypted before others have their turn: about 2 ms."""

ROWS_WRITTEN_AT_ONCE = 100
"""How many re-encrypted rows are in one statement: the database writes them while the next ones are encrypted."""


def _ignored(_access_token_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Reencrypted:
    """The result of one batch: its last id (None at the end), how many rows changed, which ones no key decrypts."""

    last: str | None
    changed: int
    undecryptable: tuple[str, ...]


class AccessTokenRepository:
    """The rows of ``zaikio_access_tokens``. Each call is complete in itself and holds no connection afterwards."""

    def __init__(self, database: Database, *, on_undecryptable: Callable[[str], object] = _ignored) -> None:
        """``on_undecryptable`` is called with the id of each row that a search passes over."""
        self._on_undecryptable = on_undecryptable
        self._statements = database.statements
        self._rows = AccessTokenStatements(database)
        # PostgreSQL only; on SQLite a statement takes no way over a network.
        self.reads_with_lease: bool = database.postgresql
        self._cipher = database.cipher
        self._storing = Storing()
        # The ids of rows that are being added, and that nobody has deleted meanwhile.
        self._adding: set[str] = set()

    async def add(self, token: AccessToken, valid_for: timedelta = timedelta(0)) -> AccessToken:
        """Store a new grant, which the caller wanted to be valid that long, and return it with its ``id``."""
        stored = token.model_copy(update={"id": str(uuid.uuid4())})
        values = {
            **_grant_values(stored),
            **self._token_values(stored),
            "renew_after": _renew_after(stored, valid_for),
            "version": 1,
            "created_at": stored.created_at,
            "updated_at": stored.created_at,
        }
        self._adding.add(stored.id)
        try:
            await self._until_stored(
                stored, lambda: self._statements.run(self._rows.add(values), self._rows.mark_revoked(stored.id))
            )
            if stored.id not in self._adding:
                # Found and revoked by somebody after the first attempt: a later one must not bring it back.
                await self.delete(stored.id)
        finally:
            self._adding.discard(stored.id)
        return stored

    async def get(self, access_token_id: str) -> StoredToken | None:
        """Return the row, or None if it does not exist or is revoked; raises DecryptionError."""
        row = (await self._statements.run(self._rows.get(access_token_id))).first
        return None if row is None else self._stored_token(row, sealed=True)

    async def acquire(self, known: StoredToken, key: str, holder: str) -> tuple[bool, StoredToken | None]:
        """Insert a lease, unless somebody holds it; return whether that has succeeded, and what ``get`` returns then.

        False and None if the row does not exist or is revoked; then the lease may have been inserted all the same.
        ``known``: the row as it was read before. What is still the same is not decrypted again.
        """
        row = (await self._statements.run(self._rows.acquire(known.access_token.id, key, holder))).first
        if row is None:
            return False, None
        # Without a new version it may have lost its refresh token, which the Hub has refused.
        kept = has_refresh_token(known.access_token) == (row.refresh_token is not None)
        unchanged = kept and row.version == known.version
        now = replace(known, renew_after=row.renew_after, lost_at=row.lost_at) if unchanged else None
        return row.acquired is not None, now or self._stored_token(row, sealed=True)

    async def find_usable(self, search: TokenSearch, valid_for: timedelta) -> StoredToken | None:
        """Return the newest token that is valid that long and whose requested scopes include these, or None.

        What no key decrypts is passed over, as if it were not there.
        """
        return await self._newest(*self._rows.newest("usable", search, valid_for), sealed=True)

    async def find_longest(self, search: TokenSearch, valid_for: timedelta) -> StoredToken | None:
        """Return the newest such token that lives, if the Hub has just shown that it gives none for longer, or None."""
        found = await self._newest(*self._rows.newest("longest", search), sealed=True)
        return found if found and found.will_do(valid_for) else None

    async def find_refreshable(self, search: TokenSearch) -> StoredToken | None:
        """Return the newest such token with a refresh token that has not expired, or None, likewise."""
        return await self._newest(*self._rows.newest("refreshable", search))

    async def replace(
        self,
        stored: StoredToken,
        token: AccessToken,
        valid_for: timedelta = timedelta(0),
        lease: Lease | None = None,
    ) -> StoredToken | None:
        """Replace a grant's token by the refreshed one and return the row; return None if it is gone or revoked.

        ``valid_for``: how long the caller wanted it to be valid. ``lease``: what is released with the same statement,
        if the database can.
        The id stays the same, so that every tab and job that holds it can go on. A row that is no longer as ``stored``
        stays as it is and is returned.
        """
        values = {
            **self._token_values(token),
            "renew_after": _renew_after(token, valid_for),
            "version": stored.version + 1,
            "updated_at": datetime.now(UTC),
        }

        async def write() -> StoredToken | None:
            if lease is None or not self.reads_with_lease:
                replace = self._rows.replace(token.id, stored.version, values)
            else:
                replace = self._rows.replace_and_release(token.id, stored.version, values, lease.key, lease.holder)
            replaced, marked = await self._statements.run_all(replace, self._rows.mark_revoked(token.id))
            if lease is not None:
                lease.released = self.reads_with_lease
            if replaced.first is None:
                return await self.get(token.id)
            return None if marked.rows else self._replaced(token, values)

        return await self._until_stored(token, write)

    async def postpone_renewal(self, stored: StoredToken) -> None:
        """Let no process renew this token ahead of time for RENEWAL_PAUSE; a row that has changed is left alone."""
        await self._statements.run(self._rows.postpone_renewal(stored.access_token.id, stored.version))

    async def drop_refresh_token(self, stored: StoredToken) -> bool:
        """Delete a refresh token that the Hub no longer accepts; return False if the row has changed since."""
        statement = self._rows.drop_refresh_token(stored.access_token.id, stored.version)
        return bool((await self._statements.run(statement)).rowcount)

    async def delete(self, access_token_id: str) -> StoredToken | None:
        """Delete the row, if it exists, and return what was in it at that moment, unless it was revoked.

        Raises DecryptionError if no key decrypts what has been deleted.
        """
        row = (await self._statements.run(self._rows.delete(access_token_id))).first
        self._adding.discard(access_token_id)
        return None if row is None or row.revoked_at is not None else self._stored_token(row)

    def close(self) -> None:
        """Try only a little longer to store what could not be stored yet, because the process is about to end."""
        self._storing.close()

    async def reencrypt(self, after: str, batch: int) -> Reencrypted:
        """Re-encrypt one batch of rows under the first key: those that follow the id ``after``, in order.

        A row that is refreshed at the same moment is skipped, because a refresh encrypts with the first key anyway.
        """
        rows = (await self._statements.run(self._rows.page(after, batch))).rows
        undecryptable: list[str] = []
        changed = 0
        writing: asyncio.Task[Outcome] | None = None
        try:
            for start in range(0, len(rows), ROWS_WRITTEN_AT_ONCE):
                new = await self._reencrypted(rows[start : start + ROWS_WRITTEN_AT_ONCE], undecryptable)
                changed += (await writing).rowcount if writing else 0
                writing = asyncio.create_task(self._statements.run(self._rows.reencrypt(new))) if new else None
                if writing:
                    # One who is cancelled meanwhile does not hear of its error.
                    writing.add_done_callback(lambda done: done.cancelled() or done.exception())
            changed += (await writing).rowcount if writing else 0
        finally:
            if writing:
                writing.cancel()
        return Reencrypted(rows[-1].id if rows else None, changed, tuple(undecryptable))

    async def _reencrypted(self, rows: Sequence[Row[Any]], undecryptable: list[str]) -> list[Reencryption]:
        new: list[Reencryption] = []
        for number, row in enumerate(rows):
            if number % CIPHERTEXTS_AT_ONCE == 0:
                await asyncio.sleep(0)
            token = self._cipher.rotated(row.token, Place(row.id, "token"))
            refresh = row.refresh_token and self._cipher.rotated(row.refresh_token, Place(row.id, "refresh_token"))
            if token is None or (refresh is None and row.refresh_token is not None):
                undecryptable.append(row.id)
            elif (token, refresh) != (row.token, row.refresh_token):
                new.append(Reencryption(row.id, row.version, token, refresh))
        return new

    async def _until_stored(self, token: AccessToken, write: Callable[[], Awaitable[T]]) -> T:
        expires_at = max(token.expires_at, token.refresh_expires_at or token.expires_at)
        return await self._storing.until_stored(f"Access token {token.id}", write, expires_at=expires_at)

    async def _newest(self, newest: Statement, newest_first: Statement, *, sealed: bool = False) -> StoredToken | None:
        # A lost key can make any number of rows unreadable, so all are read at once if the first one is.
        for statement in (newest, newest_first):
            for row in (rows := (await self._statements.run(statement)).rows):
                try:
                    return self._stored_token(row, sealed=sealed)
                except DecryptionError:
                    self._on_undecryptable(row.id)
            if not rows:
                break
        return None

    def _token_values(self, token: AccessToken) -> dict[str, Any]:
        """Return the columns that each refresh sets anew."""
        return {
            "jti": token.jti,
            "bearer_type": token.bearer_type,
            "bearer_id": token.bearer_id,
            "on_behalf_of": token.on_behalf_of.model_dump(mode="json") if token.on_behalf_of else None,
            "scopes": join_scopes(token.scopes),
            **self._encrypted(token.id, token.token, token.refresh_token),
            "expires_at": token.expires_at,
            "refresh_expires_at": token.refresh_expires_at,
            "lost_at": None,
        }

    def _replaced(self, token: AccessToken, values: dict[str, Any]) -> StoredToken:
        """Return the row with these values, which need not be read and decrypted."""
        if values["refresh_token"] is not None:
            sealed = SealedRefreshToken(self._cipher, token.id, values["refresh_token"])
            token = token.model_copy(update={"refresh_token": sealed})
        return StoredToken(token, values["version"], values["updated_at"], values["renew_after"])

    def _stored_token(self, row: Row[Any], *, sealed: bool = False) -> StoredToken:
        """Return the row as a value, its refresh token ``sealed`` if the caller hardly needs it.

        Raises DecryptionError.
        """
        secret = self._cipher.decrypt(row.token, Place(row.id, "token"))
        if secret is None:
            raise DecryptionError(row.id)
        refresh_secret: SealedSecret | Secret | None = None
        if row.refresh_token is not None:
            refresh_secret = SealedRefreshToken(self._cipher, row.id, row.refresh_token)
            refresh_secret = refresh_secret if sealed else refresh_secret.unsealed()
        return stored_token(row, secret, refresh_secret)

    def _encrypted(self, row_id: str, token: str, refresh_token: str | None) -> dict[str, str | None]:
        """Return the two columns that are encrypted."""
        return {
            "token": self._cipher.encrypt(token, Place(row_id, "token")),
            "refresh_token": refresh_token and self._cipher.encrypt(refresh_token, Place(row_id, "refresh_token")),
        }


def _renew_after(token: AccessToken, valid_for: timedelta) -> datetime | None:
    """Return until when the Hub is not asked again for a token that is valid that long, if it has not given one."""
    now = datetime.now(UTC)
    return None if token.valid_for(valid_for, now) else now + RENEWAL_PAUSE


def _grant_values(token: AccessToken) -> dict[str, Any]:
    """Return the columns that a refresh leaves alone."""
    return {
        "id": token.id,
        "audience": token.audience,
        "requested_scopes": join_scopes(token.requested_scopes),
        "delegated_from": token.delegated_from,
    }
