"""What an operator and a nightly job need: which connections there are, keep-alive, cleanup, key rotation."""

from __future__ import annotations

from collections.abc import AsyncIterator

from zaikio_oauth.access_token import BearerType
from zaikio_oauth.tokens.connection import Connection
from zaikio_oauth.tokens.key_rotation import rotate_encryption_keys
from zaikio_oauth.tokens.runtime import Runtime

__all__ = ["Maintenance"]


class Maintenance:
    """The part of ``ZaikioOAuth`` that concerns all stored tokens."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def connections(
        self, client_name: str | None = None, bearer_type: BearerType = "Organization"
    ) -> AsyncIterator[Connection]:
        """Yield a Connection for each organization that has connected the app: its newest grant, lost ones too.

        ``client_name``: by default that of ``with_client``, else the default client. ``bearer_type``:
        ``"Organization"`` or ``"Person"``. They are read in pages, in the order of their ids, without decrypting
        anything; nothing is kept open between two of them. One that the app itself has revoked is not among them, nor
        a person's token on behalf of an organization. A lost one stays for 90 days, if it is an organization's, unless
        it connects again. Raises UnknownClientError, StoreUnavailableError, and ValueError for another ``bearer_type``.

            async for connection in connections():
                print(connection.bearer_id, connection.health, connection.connected_at)
            lost = [each.bearer_id async for each in connections("warehouse") if each.health == "lost"]
        """
        name = self._runtime.checked_client_name(client_name, bearer_type)
        return self._all_connections(name, bearer_type)

    async def _all_connections(self, client_name: str, bearer_type: BearerType) -> AsyncIterator[Connection]:
        after = ""
        while True:
            async with self._runtime.use() as parts:
                page = await parts.connections.page(client_name, bearer_type, after)
            if not page:
                return
            for connection in page:
                yield connection
            after = page[-1].bearer_id

    async def keep_alive(self) -> int:
        """Refresh the connections whose refresh token expires within two days; return how many were refreshed.

        Those of every client, of organizations and of persons, four at a time; for a daily job. One that fails is a
        warning and an event, and does not stop the others (Hub documentation, "Refresh").
        Raises StoreUnavailableError if they cannot be read.

            scheduler.add_job(keep_alive, "cron", hour=2)
            scheduler.add_job(cleanup_access_tokens, "cron", hour=3)
        """
        async with self._runtime.use() as parts:
            return (await parts.keep_alive.run()).refreshed

    async def cleanup_access_tokens(self) -> int:
        """Delete, in small batches, the tokens that can never be used again; return how many were deleted.

        Those that have ended unnoticed are first reported as lost. Raises StoreUnavailableError; what has been deleted
        by then stays deleted.

            scheduler.add_job(cleanup_access_tokens, "cron", hour=3)
        """
        async with self._runtime.use() as parts:
            return await parts.cleanup.run()

    async def rotate_encryption_keys(self) -> int:
        """Re-encrypt, in batches, what is not encrypted with the first key; return how many tokens were re-encrypted.

        May be stopped and started again. Raises StoreUnavailableError, and DecryptionError if no key decrypts a row,
        after all other rows have been re-encrypted.

            count = await rotate_encryption_keys()
        """
        async with self._runtime.use() as parts:
            return await rotate_encryption_keys(parts.access_tokens)
