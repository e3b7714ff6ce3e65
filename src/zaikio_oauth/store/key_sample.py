"""Whether the encryption keys decrypt what is stored, by a sample."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from zaikio_oauth.store.database import Database
from zaikio_oauth.store.encryption import Place

__all__ = ["KeySample", "sample_keys"]


@dataclass(frozen=True, slots=True)
class KeySample:
    """How many rows were read, which of them no key decrypts, and how many others are not under the first key."""

    size: int
    undecryptable: tuple[str, ...]
    under_other_keys: int


async def sample_keys(database: Database, size: int) -> KeySample:
    """Try the keys on at most ``size`` rows; raises StoreUnavailableError.

    Ids are random, so the rows that follow a random one in their order are a fair sample, and the database reads no
    others.
    """
    undecryptable, under_other_keys, rows = [], 0, await _rows(database, size)
    for row in rows:
        columns = {"token": row.token, "refresh_token": row.refresh_token}
        ciphertexts = {name: text for name, text in columns.items() if text is not None}
        if any(database.cipher.decrypt(text, Place(row.id, name)) is None for name, text in ciphertexts.items()):
            undecryptable.append(row.id)
        elif not all(map(database.cipher.under_first_key, ciphertexts.values())):
            under_other_keys += 1
    return KeySample(len(rows), tuple(undecryptable), under_other_keys)


async def _rows(database: Database, size: int) -> Sequence[Row[Any]]:
    column = database.tables.access_tokens.c
    statement = select(column.id, column.token, column.refresh_token).order_by(column.id)
    start = str(uuid.uuid4())
    rows = list((await database.statements.run(statement.where(column.id >= start).limit(size))).rows)
    if len(rows) < size:
        rows += (await database.statements.run(statement.where(column.id < start).limit(size - len(rows)))).rows
    return rows
