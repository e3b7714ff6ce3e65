"""Column types: encrypted text, instants in UTC, and lists of scopes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import DateTime, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from zaikio_oauth.access_token import Secret
from zaikio_oauth.store.encryption import Cipher

__all__ = ["UNDECRYPTABLE", "EncryptedText", "UtcDateTime", "join_scopes", "split_scopes"]


class _Undecryptable:
    def __repr__(self) -> str:
        return "<undecryptable>"


UNDECRYPTABLE: Final = _Undecryptable()
"""The value of a column that no key decrypts. Whoever reads the row knows its id and raises DecryptionError."""


class EncryptedText(TypeDecorator[Any]):
    """Text that is encrypted in the database; what no key decrypts is read as UNDECRYPTABLE."""

    impl = Text
    cache_ok = True

    def __init__(self, cipher: Cipher) -> None:
        super().__init__()
        self.cipher = cipher

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Encrypt."""
        return None if value is None else self.cipher.encrypt(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | _Undecryptable | None:
        """Decrypt."""
        if value is None:
            return None
        plaintext = self.cipher.decrypt(value)
        return UNDECRYPTABLE if plaintext is None else Secret(plaintext)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant, aware in Python also on SQLite, which stores no offset."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; raises TypeError for a naive datetime."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise TypeError("a datetime without a time zone names no instant")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def join_scopes(scopes: Iterable[str]) -> str:
    """Return scopes as one searchable text, each between commas: ``,a,b,``."""
    return "," + "".join(f"{scope}," for scope in scopes)


def split_scopes(text: str) -> tuple[str, ...]:
    """Return the scopes of such a text."""
    return tuple(scope for scope in text.split(",") if scope)
