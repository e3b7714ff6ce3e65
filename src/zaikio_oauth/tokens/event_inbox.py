"""Each event of the Hub once, however often Loom delivers it, and to whichever process."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from zaikio_oauth.errors import HubUnavailableError
from zaikio_oauth.settings.retries_and_waits import EVENT_DEADLINE, EVENT_WAIT
from zaikio_oauth.store.handled_events import HandledEventRepository
from zaikio_oauth.store.leases import LeaseRepository
from zaikio_oauth.store.single_flight import SingleFlight, once_across_processes

__all__ = ["EventInbox"]

log = logging.getLogger("zaikio_oauth")


@dataclass(frozen=True, slots=True, eq=False)
class EventInbox:
    """Deals with events for one event loop: repeated deliveries share a call, processes share a lease.

    A process that dies in the middle of a call has not dealt with the event, and a later delivery calls again.
    """

    handled_events: HandledEventRepository
    leases: LeaseRepository
    flights: SingleFlight

    async def once(self, client_name: str, event_id: str, call: Callable[[], Awaitable[object]]) -> bool:
        """Call, unless that has been done for this event; return True if it is done now, and False if it has failed.

        A call that has begun is not cancelled if this is. Raises StoreUnavailableError.
        """
        digest = hashlib.sha256(f"{client_name}\0{event_id}".encode("utf-8", "surrogatepass")).hexdigest()
        if await self.handled_events.contains(digest):
            return True
        return await self.flights.run(("event", digest), lambda: self._once_across_processes(digest, event_id, call))

    async def _once_across_processes(self, digest: str, event_id: str, call: Callable[[], Awaitable[object]]) -> bool:
        try:
            return await once_across_processes(
                self.leases.lease(f"event:{digest}"),
                result=lambda: self._handled(digest),
                call=lambda: self._handle(digest, event_id, call),
                deadline=EVENT_WAIT,
            )
        except HubUnavailableError:
            log.warning(
                "The Hub's event %s is still being dealt with by another process.",
                event_id,
                extra={"zaikio_event": "webhook.elsewhere", "zaikio_event_id": event_id},
            )
            return False

    async def _handled(self, digest: str) -> Literal[True] | None:
        return True if await self.handled_events.contains(digest) else None

    async def _handle(self, digest: str, event_id: str, call: Callable[[], Awaitable[object]]) -> bool:
        try:
            # A shutdown waits for it.
            async with asyncio.timeout(EVENT_DEADLINE):
                await call()
        except Exception:
            log.exception(
                "The Hub's event %s was not dealt with, because the hook on_event has failed; Loom delivers it again.",
                event_id,
                extra={"zaikio_event": "hook.on_event_failed", "zaikio_event_id": event_id},
            )
            return False
        await self.handled_events.add(digest, f"The Hub's event {event_id}")
        return True
