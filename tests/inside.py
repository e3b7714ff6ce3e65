"""The open connections of a ZaikioOAuth, for the few tests that look at internals."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from zaikio_oauth import AccessToken, ZaikioOAuth
from zaikio_oauth.application import runtime_of
from zaikio_oauth.store.access_tokens import AccessTokenRepository
from zaikio_oauth.store.stored_token import StoredToken
from zaikio_oauth.tokens.blocking_portal import portal
from zaikio_oauth.tokens.parts import Parts


async def parts_of(zaikio: ZaikioOAuth) -> Parts:
    """Return the parts of the running event loop."""
    async with runtime_of(zaikio).use() as parts:
        return parts


async def engine_of(zaikio: ZaikioOAuth) -> Any:
    """Return SQLAlchemy's engine."""
    return (await parts_of(zaikio)).access_tokens._statements._engine


async def mark_revoked(zaikio: ZaikioOAuth, jtis: Collection[str]) -> None:
    """Do what the webhook does after a valid event."""
    await (await parts_of(zaikio)).revocation_list.add(jtis)


async def replace_row(tokens: AccessTokenRepository, token: AccessToken) -> StoredToken | None:
    """Store this token as a refresh of the row that has its id, as it is now."""
    row = await tokens.get(token.id)
    return await tokens.replace(row or StoredToken(token, 1, token.created_at), token)


def client_name_of(zaikio: ZaikioOAuth) -> str:
    """Return the default client of the current context."""
    return runtime_of(zaikio).client_name


async def settled(zaikio: ZaikioOAuth) -> None:
    """Wait until nothing goes on in the background of this event loop."""
    await runtime_of(zaikio).background._tasks.wait()
    await (await parts_of(zaikio)).flights.drain()


@contextmanager
def open_for_sync_code(zaikio: ZaikioOAuth) -> Iterator[ZaikioOAuth]:
    """Close what sync code has opened with it, which otherwise stays open as long as the process."""
    portal.call(zaikio.__aenter__)
    try:
        yield zaikio
    finally:
        portal.call(lambda: zaikio.__aexit__(None, None, None))
