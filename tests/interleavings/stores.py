"""The store of these runs, twice: the library's own repositories with their SQL on a real SQLite, and a quick double.

Each statement is a step, complete in itself, as it is in autocommit. Most schedules run on the double, which takes
microseconds; ``test_stores.py`` runs the same schedules on both and compares every row, lease and answer.
"""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import create_engine, select
from sqlalchemy.pool import StaticPool

from tests.data import KEY, some_access_token
from tests.interleavings.virtual_loop import VirtualLoop
from zaikio_oauth import AccessToken
from zaikio_oauth.settings.retries_and_waits import RENEWAL_PAUSE
from zaikio_oauth.store.access_tokens import AccessTokenRepository, TokenSearch, _renew_after
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.ended_grants import EndedGrant, EndedGrantRepository
from zaikio_oauth.store.leases import Lease, LeaseRepository, _Holding
from zaikio_oauth.store.statements import Bound, Outcome, Statement
from zaikio_oauth.store.stored_token import StoredToken

__all__ = ["LEASE", "DoubleStore", "RealStore", "Store"]

LEASE = 1.0
"""How long the leases of these runs live, in virtual seconds."""

STATEMENT_PATIENCE = 0.05
"""How long a statement takes at most, so that a poll or two of another process fit in."""

Row = tuple[str, int, str, str | None, bool]
"""Id, version, token, refresh token, and whether it is revoked."""


class Store(Protocol):
    """What a run needs of a store."""

    def reset(self) -> str:
        """Empty it, add one grant that has to be refreshed, and return its key."""

    def access_tokens(self) -> AccessTokenRepository: ...

    def ended_grants(self) -> EndedGrantRepository: ...

    def leases(self) -> LeaseRepository: ...

    def rows(self) -> list[Row]: ...

    def held(self) -> list[tuple[str, str, int]]:
        """Return the leases: key, holder, beat."""


def expiring_grant() -> AccessToken:
    """Return a grant of an hour that has to be refreshed for whoever needs it for half a minute."""
    expires_at = datetime.now(UTC) + timedelta(seconds=20)
    return some_access_token(
        token="access-1",
        refresh_token="refresh-1",
        jti=None,
        expires_at=expires_at,
        created_at=expires_at - timedelta(hours=1),
    )


async def step(name: str) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    await loop.step(name, STATEMENT_PATIENCE)


# ── the real one ───────────────────────────────────────────────────────────────────────────────────


class SteppedStatements:
    """Runs each statement as a step of its own."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.stepping = True

    async def run(self, *statements: Statement, **_: Any) -> Outcome:
        return (await self.run_all(*statements))[-1]

    async def run_all(self, *statements: Statement) -> list[Outcome]:
        outcomes = []
        for each in statements:
            statement, values = each[:2] if isinstance(each, Bound) else (each, {})
            if self.stepping:
                await step(_named(statement))
            result = self._connection.execute(statement, values)
            outcomes.append(Outcome(result.all(), 0) if result.returns_rows else Outcome((), result.rowcount))
        return outcomes


def _named(statement: Any) -> str:
    # Not get_final_froms(), which compiles the statement each time.
    first = statement._raw_columns[0] if statement.is_select else statement
    table = getattr(first, "table", first)
    verb = next(verb for verb in ("select", "insert", "update", "delete") if getattr(statement, f"is_{verb}", False))
    return f"{verb} {table.name.removeprefix('zaikio_')}"


class RealStore:
    """A SQLite in memory, and the library's own repositories."""

    def __init__(self) -> None:
        self._database = Database("sqlite+aiosqlite:///:memory:", [KEY])
        engine = create_engine(
            "sqlite://", poolclass=StaticPool, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True
        )
        self._database.tables.metadata.create_all(engine)
        self._connection = connection = engine.connect()
        self._raw: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
        self._statements = SteppedStatements(connection)
        self._database.statements = self._statements  # type: ignore[assignment]
        self._reading = AccessTokenRepository(self._database)

    def reset(self) -> str:
        for table in self._database.tables.metadata.sorted_tables:
            self._raw.execute(f"DELETE FROM {table.name}")
        self._statements.stepping = False
        try:
            self.access_tokens().add(expiring_grant()).send(None)
        except StopIteration as added:
            return str(added.value.id)
        finally:
            self._statements.stepping = True
        raise AssertionError("add() waits for something else than its statements")

    def access_tokens(self) -> AccessTokenRepository:
        return AccessTokenRepository(self._database)

    def ended_grants(self) -> EndedGrantRepository:
        return EndedGrantRepository(self._database)

    def leases(self) -> LeaseRepository:
        return LeaseRepository(self._database, seconds=LEASE)

    def rows(self) -> list[Row]:
        table = self._database.tables.access_tokens
        found = self._connection.execute(select(table).order_by(table.c.id)).all()
        read = self._reading._stored_token
        kept = [(read(row), row.revoked_at is not None) for row in found]
        return [
            (row.access_token.id, row.version, row.access_token.token, row.access_token.refresh_token, revoked)
            for row, revoked in kept
        ]

    def held(self) -> list[tuple[str, str, int]]:
        return self._raw.execute("SELECT key, holder, beat FROM zaikio_leases ORDER BY key").fetchall()


# ── the quick one ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Kept:
    token: AccessToken
    version: int
    updated: int
    issued_at: datetime
    renew_after: datetime | None = None
    revoked: bool = False
    lost: bool = False


class DoubleStore:
    """The same steps on dictionaries."""

    def __init__(self) -> None:
        self.kept: dict[str, _Kept] = {}
        self.leased: dict[str, _Holding] = {}
        self.updates = 0

    def reset(self) -> str:
        self.leased.clear()
        self.updates = 0
        grant = expiring_grant().model_copy(update={"id": "the-grant"})
        self.kept = {grant.id: _Kept(grant, 1, 0, grant.created_at)}
        return "the-grant"

    def access_tokens(self) -> AccessTokenRepository:
        return DoubleTokens(self)  # type: ignore[return-value]

    def ended_grants(self) -> EndedGrantRepository:
        return DoubleEnded(self)  # type: ignore[return-value]

    def leases(self) -> LeaseRepository:
        return DoubleLeases(self)

    def rows(self) -> list[Row]:
        return [
            (key, kept.version, kept.token.token, kept.token.refresh_token, kept.revoked)
            for key, kept in sorted(self.kept.items())
        ]

    def held(self) -> list[tuple[str, str, int]]:
        return [(key, lease.holder, lease.beat) for key, lease in sorted(self.leased.items())]


class DoubleTokens:
    """Stands where ``AccessTokenRepository`` does."""

    reads_with_lease = False

    def __init__(self, store: DoubleStore) -> None:
        self._store = store

    async def add(self, token: AccessToken, valid_for: timedelta = timedelta(0)) -> AccessToken:
        stored = token.model_copy(update={"id": f"grant-{len(self._store.kept) + 1}"})
        await step("insert access_tokens")
        self._store.updates += 1
        renew_after = _renew_after(stored, valid_for)
        self._store.kept[stored.id] = _Kept(stored, 1, self._store.updates, stored.created_at, renew_after)
        await step("update access_tokens")
        return stored

    async def get(self, access_token_id: str) -> StoredToken | None:
        await step("select access_tokens")
        return self._stored(self._store.kept.get(access_token_id))

    async def find_usable(self, search: TokenSearch, valid_for: timedelta) -> StoredToken | None:
        await step("select access_tokens")
        return self._newest(kept for kept in self._store.kept.values() if kept.token.valid_for(valid_for))

    async def find_refreshable(self, search: TokenSearch) -> StoredToken | None:
        await step("select access_tokens")
        return self._newest(kept for kept in self._store.kept.values() if kept.token.refreshable())

    async def find_longest(self, search: TokenSearch, valid_for: timedelta) -> StoredToken | None:
        await step("select access_tokens")
        now = datetime.now(UTC)
        living = (kept for kept in self._store.kept.values() if kept.token.valid_for(timedelta(0), now))
        found = self._newest(kept for kept in living if kept.renew_after and kept.renew_after > now)
        return found if found and found.will_do(valid_for) else None

    async def replace(
        self,
        stored: StoredToken,
        token: AccessToken,
        valid_for: timedelta = timedelta(0),
        lease: Lease | None = None,
    ) -> StoredToken | None:
        await step("update access_tokens")
        kept, replaced = self._store.kept.get(token.id), None
        if kept is not None and kept.version == stored.version and not kept.revoked:
            self._store.updates += 1
            now, renew_after = datetime.now(UTC), _renew_after(token, valid_for)
            replaced = _Kept(token, kept.version + 1, self._store.updates, now, renew_after)
            self._store.kept[token.id] = replaced
        await step("update access_tokens")
        if replaced is None:
            await step("select access_tokens")
            return self._stored(self._store.kept.get(token.id))
        return self._stored(replaced)

    async def postpone_renewal(self, stored: StoredToken) -> None:
        await step("update access_tokens")
        kept = self._store.kept.get(stored.access_token.id)
        if kept is not None and kept.version == stored.version:
            until = datetime.now(UTC) + RENEWAL_PAUSE
            self._store.kept[stored.access_token.id] = replace(kept, renew_after=until)

    async def drop_refresh_token(self, stored: StoredToken) -> bool:
        await step("update access_tokens")
        kept = self._store.kept.get(stored.access_token.id)
        if unchanged := kept is not None and kept.version == stored.version:
            token = kept.token.model_copy(update={"refresh_token": None, "refresh_expires_at": None})
            self._store.kept[token.id] = replace(kept, token=token)
        return unchanged

    async def delete(self, access_token_id: str) -> StoredToken | None:
        await step("delete access_tokens")
        return self._stored(self._store.kept.pop(access_token_id, None))

    def _newest(self, found: Any) -> StoredToken | None:
        return self._stored(
            max((kept for kept in found if not kept.revoked), key=lambda kept: kept.updated, default=None)
        )

    def _stored(self, kept: _Kept | None) -> StoredToken | None:
        if kept is None or kept.revoked:
            return None
        return StoredToken(kept.token, kept.version, kept.issued_at, kept.renew_after)


class DoubleEnded:
    """Stands where ``EndedGrantRepository`` does. No grant of these runs ends by itself."""

    def __init__(self, store: DoubleStore) -> None:
        self._store = store

    async def lose(self, access_token_id: str, now: datetime) -> list[EndedGrant]:
        await step("update access_tokens")
        kept = self._store.kept.get(access_token_id)
        if kept is None or kept.lost or kept.token.refresh_token is not None:
            return []
        self._store.kept[access_token_id] = replace(kept, lost=True)
        return [EndedGrant(kept.token.id, kept.token.audience, kept.token.bearer_type, kept.token.bearer_id)]

    async def lose_over(self, now: datetime, search: TokenSearch | None = None) -> list[EndedGrant]:
        await step("update access_tokens")
        return []


class DoubleLeases(LeaseRepository):
    """The five statements of ``LeaseRepository`` on a dictionary."""

    def __init__(self, store: DoubleStore) -> None:
        self._store = store
        self.seconds = LEASE

    async def create(self, key: str, holder: str) -> bool:
        await step("insert leases")
        if key in self._store.leased:
            return False
        self._store.leased[key] = _Holding(holder, 0)
        return True

    async def read(self, key: str) -> _Holding | None:
        await step("select leases")
        return self._store.leased.get(key)

    async def change(self, key: str, seen: _Holding, to: _Holding) -> bool:
        await step("update leases")
        if self._store.leased.get(key) != seen:
            return False
        self._store.leased[key] = to
        return True

    async def renew(self, key: str, holder: str) -> bool:
        await step("update leases")
        lease = self._store.leased.get(key)
        if lease is None or lease.holder != holder:
            return False
        self._store.leased[key] = _Holding(holder, lease.beat + 1)
        return True

    async def release(self, key: str, holder: str) -> None:
        await step("delete leases")
        lease = self._store.leased.get(key)
        if lease is not None and lease.holder == holder:
            del self._store.leased[key]
