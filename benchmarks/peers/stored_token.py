"""What every store gives back, and what a page needs of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

__all__ = ["Token", "TokenStore"]


@dataclass(frozen=True, slots=True)
class Token:
    """A stored token that has been decrypted."""

    id: str
    bearer_type: str
    bearer_id: str
    scopes: str
    expires_at: datetime
    token: str


class TokenStore(Protocol):
    """A hand-written store of tokens."""

    async def open(self) -> None:
        """Connect to the database."""

    async def by_id(self, token_id: str) -> Token | None:
        """Return the token, if it is still valid."""

    async def by_bearer(self, bearer_type: str, bearer_id: str) -> Token | None:
        """Return the newest valid token of this bearer."""

    async def close(self) -> None:
        """Disconnect."""
