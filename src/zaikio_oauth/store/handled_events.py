"""Which events of the Hub have been dealt with."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import delete, select

from zaikio_oauth.settings.retries_and_waits import EVENTS_KEPT
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.storing import Storing

__all__ = ["HandledEventRepository"]


class HandledEventRepository:
    """The rows of ``zaikio_handled_events``, which hold digests only."""

    def __init__(self, database: Database) -> None:
        self._statements = database.statements
        self._table = database.tables.handled_events
        self._insert = database.insert
        self._storing = Storing()

    async def contains(self, digest: str) -> bool:
        """Return True if the event has been dealt with."""
        statement = select(self._table.c.digest).where(self._table.c.digest == digest)
        return (await self._statements.run(statement)).first is not None

    async def add(self, digest: str, name: str) -> None:
        """Remember that the event, which the log calls ``name``, has been dealt with, as soon as that is possible."""
        now = datetime.now(UTC)
        insert = (
            self._insert(self._table)
            .values(digest=digest, handled_at=now)
            .on_conflict_do_nothing(index_elements=["digest"])
        )
        await self._storing.until_stored(name, lambda: self._statements.run(insert), expires_at=now + EVENTS_KEPT)

    async def delete_handled_before(self, instant: datetime) -> None:
        """Forget events that Loom no longer delivers."""
        await self._statements.run(delete(self._table).where(self._table.c.handled_at < instant))

    def close(self) -> None:
        """Try only a little longer to store what could not be stored yet, because the process is about to end."""
        self._storing.close()
