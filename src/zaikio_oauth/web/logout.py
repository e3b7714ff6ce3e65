"""Giving up a grant that nobody holds any longer: deleted and revoked, as soon as the database can be used."""

from __future__ import annotations

import asyncio
import logging

from zaikio_oauth.errors import StoreUnavailableError
from zaikio_oauth.settings.retries_and_waits import FIRST_LOGOUT_RETRY, LOGOUT_DEADLINE, LONGEST_LOGOUT_RETRY
from zaikio_oauth.tokens.runtime import Runtime

__all__ = ["Logout"]

log = logging.getLogger("zaikio_oauth")


class Logout:
    """Deletes grants and revokes their tokens at the Hub, in tasks that are completed even after their request."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def now(self, access_token_id: str) -> None:
        """Give up the grant. What has not been done after a few seconds goes on in the background."""
        await asyncio.wait([self._runtime.background.start(self._once(access_token_id))], timeout=LOGOUT_DEADLINE)

    def later(self, access_token_id: str) -> None:
        """Give up the grant in the background."""
        self._runtime.background.start(self._once(access_token_id))

    async def _once(self, access_token_id: str) -> None:
        if not await self._succeeds(access_token_id):
            log.warning(
                "Access token %s will be revoked as soon as the database can be used again.",
                access_token_id,
                extra={"zaikio_event": "revocation.postponed", "zaikio_access_token_id": access_token_id},
            )
            self._runtime.background.start(self._until_it_succeeds(access_token_id))

    async def _until_it_succeeds(self, access_token_id: str) -> None:
        pause, going_on = FIRST_LOGOUT_RETRY, True
        while going_on:
            # Also at the end, when the pause is cut short: the database may be back since the last try.
            going_on = await self._runtime.background.pause(pause)
            if await self._succeeds(access_token_id):
                log.info(
                    "Access token %s has been revoked, now that the database can be used again.",
                    access_token_id,
                    extra={"zaikio_event": "revocation.caught_up", "zaikio_access_token_id": access_token_id},
                )
                return
            pause = min(2 * pause, LONGEST_LOGOUT_RETRY)
        log.warning(
            "Access token %s was not revoked: the process ended before the database could be used again.",
            access_token_id,
            extra={"zaikio_event": "revocation.given_up", "zaikio_access_token_id": access_token_id},
        )

    async def _succeeds(self, access_token_id: str) -> bool:
        """Return False if it has to be tried again."""
        try:
            async with self._runtime.use() as parts:
                await parts.revocation.log_out(access_token_id)
        except StoreUnavailableError:
            return False
        except Exception:
            log.exception(
                "Access token %s cannot be revoked.",
                access_token_id,
                extra={"zaikio_event": "revocation.failed", "zaikio_access_token_id": access_token_id},
            )
        return True
