"""Which bearer tokens have been verified, so that a token that comes again is not verified again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from datetime import datetime
from typing import Final, NamedTuple

from zaikio_oauth.hub.syntax import MAX_TOKEN_LENGTH
from zaikio_oauth.resource_server.bearer_token import BearerToken

__all__ = ["Published", "VerifiedTokens"]

MAX_ENTRIES = 10_000

NO_ROLES: Final = object()
"""Of a token that needs no names of roles."""


class Published(NamedTuple):
    """What the Hub published when a token was verified: the signing keys, and the names of the roles or NO_ROLES.

    The objects themselves, so that a new response of the Hub invalidates what was verified by the last one.
    """

    keys: object
    roles: object


class VerifiedTokens:
    """Keeps the content of verified tokens until they expire, by a digest; the least recently used go first.

    A token is kept only while the Hub's keys and roles are those by which it was verified. Revocation is not its
    concern.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[bytes, tuple[Published, BearerToken]] = OrderedDict()

    def get(self, token: str, published: Published, now: datetime) -> BearerToken | None:
        """Return the content of the token, or None if it has to be verified."""
        if len(token) > MAX_TOKEN_LENGTH:
            # It cannot be verified, and its digest would take long.
            return None
        digest = _digest(token)
        entry = self._entries.get(digest)
        if entry is None:
            return None
        by, content = entry
        same_roles = by.roles is NO_ROLES or by.roles is published.roles
        if by.keys is not published.keys or not same_roles or content.expires_at <= now:
            del self._entries[digest]
            return None
        self._entries.move_to_end(digest)
        return content

    def put(self, token: str, published: Published, content: BearerToken) -> None:
        """Keep the content of a token that was verified by these keys and roles."""
        self._entries[_digest(token)] = published, content
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)


def _digest(token: str) -> bytes:
    # The token itself is a secret, which is not kept.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
