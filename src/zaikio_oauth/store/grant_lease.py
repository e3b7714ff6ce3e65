"""The lease under which a grant is refreshed."""

from __future__ import annotations

from zaikio_oauth.errors import DecryptionError
from zaikio_oauth.store.access_tokens import AccessTokenRepository
from zaikio_oauth.store.leases import Lease, LeaseRepository
from zaikio_oauth.store.stored_token import StoredToken

__all__ = ["GrantLease"]


class GrantLease(Lease):
    """On PostgreSQL the statement that acquires it reads the grant as well, and the one that stores releases it."""

    def __init__(self, leases: LeaseRepository, access_tokens: AccessTokenRepository, known: StoredToken) -> None:
        """``known``: the grant as it was read before."""
        self.access_token_id: str = known.access_token.id
        super().__init__(leases, f"refresh:{self.access_token_id}")
        self._access_tokens = access_tokens
        self._known = known
        self._grant: StoredToken | None = None

    def take_grant(self) -> StoredToken | None:
        """Return the grant as it was when the lease was acquired, or not, a moment ago; the first time only."""
        grant, self._grant = self._grant, None
        return grant

    async def acquire(self) -> bool:
        """Acquire the lease as any other."""
        acquired = await super().acquire()
        if self.taken_over:
            # Its holder may have stored something since the grant was read.
            self._grant = None
        return acquired

    async def _create(self) -> bool:
        if not self._access_tokens.reads_with_lease:
            return await super()._create()
        self._grant = None
        try:
            acquired, self._grant = await self._access_tokens.acquire(self._known, self.key, self.holder)
        except DecryptionError:
            await self._repository.release(self.key, self.holder)
            raise
        return acquired
