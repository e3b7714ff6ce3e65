"""Fernet encryption under the first of several keys."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

__all__ = ["Cipher"]


class Cipher:
    """Encrypts under the first key and decrypts with any, as ``MultiFernet`` does (itsdangerous orders keys reversely).

    ``keys`` are URL-safe base64 Fernet keys.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        fernets = [Fernet(key) for key in keys]
        self._first = fernets[0]
        self._all = MultiFernet(fernets)

    def encrypt(self, plaintext: str) -> str:
        """Return the ciphertext, as URL-safe text."""
        return self._all.encrypt(plaintext.encode()).decode("ascii")

    def decrypt(self, ciphertext: str) -> str | None:
        """Return the plaintext, or None if no key decrypts it."""
        try:
            return self._all.decrypt(ciphertext.encode()).decode()
        except (InvalidToken, UnicodeError):
            return None

    def under_first_key(self, ciphertext: str) -> bool:
        """Return True if the ciphertext needs no re-encryption."""
        try:
            self._first.decrypt(ciphertext.encode())
        except (InvalidToken, UnicodeError):
            return False
        return True
