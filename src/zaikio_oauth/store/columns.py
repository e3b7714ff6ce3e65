"""Column types: ciphertexts, instants in UTC, and lists of scopes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import DateTime, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from zaikio_oauth.access_token import Secret

__all__ = ["Ciphertext", "UtcDateTime", "join_scopes", "split_scopes"]


class Ciphertext(TypeDecorator[Any]):
    """Text that is shown nowhere, because logs and reports of errors contain rows."""

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = Text
    cache_ok: bool | None = True

    def process_result_value(self, value: str | None, dialect: Dialect) -> Secret | None:
        """Return a text whose ``repr`` shows nothing."""
        return None if value is None else Secret(value)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant, aware in Python also on SQLite, which stores no offset."""

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = DateTime(timezone=True)
    cache_ok: bool | None = True

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


@lru_cache(maxsize=1024)
def split_scopes(text: str) -> tuple[str, ...]:
    """Return the scopes of such a text, as one object for all tokens with the same ones."""
    return tuple(scope for scope in text.split(",") if scope)
