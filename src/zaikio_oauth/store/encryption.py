"""Fernet under the first of several keys, for what lies in the database and in the browser."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

__all__ = ["Cipher"]


class Cipher:
    """Encrypts under the first key, decrypts with any (as ``MultiFernet``; itsdangerous orders its keys the other way).

    ``keys`` are URL-safe base64 Fernet keys. With a ``purpose`` the keys are derived from them, so that
    what is sealed for one purpose opens for no other.
    """

    def __init__(self, keys: Iterable[str], purpose: str | None = None) -> None:
        fernets = [Fernet(key if purpose is None else _derived(key, purpose)) for key in keys]
        self._first = fernets[0]
        self._all = MultiFernet(fernets)

    def encrypt(self, plaintext: str) -> str:
        """The ciphertext, URL-safe text."""
        return self._all.encrypt(plaintext.encode()).decode("ascii")

    def decrypt(self, ciphertext: str) -> str | None:
        """The plaintext; None when no key fits."""
        try:
            return self._all.decrypt(ciphertext.encode()).decode()
        except (InvalidToken, UnicodeError):
            return None

    def under_first_key(self, ciphertext: str) -> bool:
        """Whether the ciphertext needs no re-encryption."""
        try:
            self._first.decrypt(ciphertext.encode())
        except (InvalidToken, UnicodeError):
            return False
        return True


def _derived(key: str, purpose: str) -> bytes:
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode())
    return base64.urlsafe_b64encode(derivation.derive(base64.urlsafe_b64decode(key)))
