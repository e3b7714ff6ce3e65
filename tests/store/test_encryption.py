"""Keys and ciphertexts."""

from __future__ import annotations

import pytest
from cryptography.fernet import InvalidToken

from tests.data import KEY, OTHER_KEY
from zaikio_oauth.store.encryption import Cipher
from zaikio_oauth.web.flow_cookie import flow_fernet


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    """So a new key is put in front, and the old one stays behind it until everything is re-encrypted."""
    old = Cipher([KEY]).encrypt("a text")
    rotated = Cipher([OTHER_KEY, KEY])

    assert rotated.decrypt(old) == "a text"
    assert not rotated.under_first_key(old)
    assert Cipher([OTHER_KEY]).decrypt(rotated.encrypt("a text")) == "a text"
    assert rotated.under_first_key(rotated.encrypt("a text"))


def test_what_no_key_fits_reads_as_nothing() -> None:
    """Also what is no ciphertext at all: cookies come from outside."""
    cipher = Cipher([KEY])

    for ciphertext in [Cipher([OTHER_KEY]).encrypt("x"), "", "gAAAA", "ä" * 200, cipher.encrypt("x")[:-3] + "abc"]:
        assert cipher.decrypt(ciphertext) is None
        assert not cipher.under_first_key(ciphertext)


def test_a_stored_token_is_never_accepted_as_a_cookie_nor_the_reverse() -> None:
    """Their keys are derived differently; each accepts every key of the list."""
    stored, cookie = Cipher([KEY]), flow_fernet([KEY])

    with pytest.raises(InvalidToken):
        cookie.decrypt(stored.encrypt("x"))
    assert stored.decrypt(cookie.encrypt(b"x").decode()) is None
    assert flow_fernet([OTHER_KEY, KEY]).decrypt(cookie.encrypt(b"x")) == b"x"
