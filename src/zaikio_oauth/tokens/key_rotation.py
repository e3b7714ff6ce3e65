"""Re-encrypts the stored tokens after a new encryption key has been added."""

from __future__ import annotations

from collections.abc import Callable

from zaikio_oauth.errors import DecryptionError
from zaikio_oauth.store.access_tokens import AccessTokenRepository

__all__ = ["rotate_encryption_keys"]

BATCH = 500
"""Rows in one statement."""


def _ignored(_changed: int, _last: str) -> None: ...


async def rotate_encryption_keys(
    access_tokens: AccessTokenRepository, *, on_batch: Callable[[int, str], object] = _ignored
) -> int:
    """Re-encrypt, in batches, what is not encrypted with the first key; return how many tokens were re-encrypted.

    ``on_batch`` hears after each batch of how many they are so far, and of the id of the last row that was read.
    May be stopped and started again at any time. Raises DecryptionError if no key decrypts a row, after all other rows
    have been re-encrypted.
    """
    changed, after = 0, ""
    undecryptable: list[str] = []
    while True:
        batch = await access_tokens.reencrypt(after, BATCH)
        changed += batch.changed
        undecryptable += batch.undecryptable
        if batch.last is None:
            break
        after = batch.last
        on_batch(changed, after)
    if undecryptable:
        raise DecryptionError(undecryptable[0])
    return changed
