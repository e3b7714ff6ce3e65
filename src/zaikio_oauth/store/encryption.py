"""Fernet encryption under the first of several keys, bound to the place where the ciphertext is stored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from zaikio_oauth.access_token import Secret

__all__ = ["Cipher", "Place"]

_FORMAT = "\x01"


class Place(NamedTuple):
    """The row, by its id, and the column in which a ciphertext is stored."""

    row: str
    column: str


class Cipher:
    """Encrypts under the first key and decrypts with any, as ``MultiFernet`` does (itsdangerous orders keys reversely).

    ``keys`` are URL-safe base64 Fernet keys. Fernet has no associated data, so the place is part of the plaintext: who
    can write to the database cannot give one row's token to another.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        fernets = [Fernet(key) for key in keys]
        self._first, self._others = fernets[0], fernets[1:]
        self._all = MultiFernet(fernets)

    def encrypt(self, plaintext: str, place: Place) -> str:
        """Return a ciphertext for this place, as URL-safe text."""
        return self._all.encrypt((_bound_to(place) + plaintext).encode()).decode("ascii")

    def decrypt(self, ciphertext: str, place: Place) -> Secret | None:
        """Return the plaintext, or None if no key decrypts it or if it was made for another place."""
        try:
            plaintext = Secret(self._all.decrypt(ciphertext.encode()).decode())
        except (InvalidToken, UnicodeError):
            return None
        bound_to = _bound_to(place)
        return Secret(plaintext[len(bound_to) :]) if plaintext.startswith(bound_to) else None

    def rotated(self, ciphertext: str, place: Place) -> str | None:
        """Return the ciphertext under the first key, the same one if it is already; None as ``decrypt``."""
        # Most of them are under another key when this is called, and to try the first one in vain takes half as long.
        for fernet in self._others:
            try:
                plaintext = fernet.decrypt(ciphertext.encode())
            except InvalidToken:
                continue
            bound = plaintext.startswith(_bound_to(place).encode())
            return self._first.encrypt(plaintext).decode("ascii") if bound else None
        return None if self.decrypt(ciphertext, place) is None else ciphertext

    def under_first_key(self, ciphertext: str) -> bool:
        """Return True if the ciphertext needs no re-encryption."""
        try:
            self._first.decrypt(ciphertext.encode())
        except (InvalidToken, UnicodeError):
            return False
        return True


def _bound_to(place: Place) -> str:
    # With their lengths, so that no two places begin alike.
    return _FORMAT + "".join(f"{len(name)}:{name}" for name in place)
