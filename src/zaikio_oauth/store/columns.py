"""A column whose text is encrypted at rest."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from zaikio_oauth.store.encryption import Cipher

__all__ = ["UNDECRYPTABLE", "EncryptedText"]


class _Undecryptable:
    """What a column holds that no key fits. The row's reader knows the id and raises DecryptionError."""

    def __repr__(self) -> str:
        return "<undecryptable>"


UNDECRYPTABLE: Final = _Undecryptable()


class EncryptedText(TypeDecorator[Any]):
    """A text column that is encrypted in the database; what cannot be decrypted reads as UNDECRYPTABLE."""

    impl = Text
    cache_ok = True

    def __init__(self, cipher: Cipher) -> None:
        super().__init__()
        self.cipher = cipher

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Encrypt on the way in."""
        return None if value is None else self.cipher.encrypt(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | _Undecryptable | None:
        """Decrypt on the way out."""
        if value is None:
            return None
        plaintext = self.cipher.decrypt(value)
        return UNDECRYPTABLE if plaintext is None else plaintext
