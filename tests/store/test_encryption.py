"""Keys and ciphertexts."""

from __future__ import annotations

import pytest
from cryptography.fernet import InvalidToken

from tests.data import KEY, OTHER_KEY
from zaikio_oauth.store.encryption import Cipher
from zaikio_oauth.web.flow_cookie import flow_fernet


def test_the_first_key_encrypts_and_every_key_decrypts() -> None:
    """A new key is put first, and the old key is kept until everything is encrypted again."""
    old = Cipher([KEY]).encrypt("a text")
    rotated = Cipher([OTHER_KEY, KEY])

    assert rotated.decrypt(old) == "a text"
    assert not rotated.under_first_key(old)
    assert Cipher([OTHER_KEY]).decrypt(rotated.encrypt("a text")) == "a text"
    assert rotated.under_first_key(rotated.encrypt("a text"))


def test_a_text_that_no_key_decrypts_is_none() -> None:
    """This includes texts that are not ciphertexts, because cookies come from outside."""
    cipher = Cipher([KEY])

    for ciphertext in [Cipher([OTHER_KEY]).encrypt("x"), "", "gAAAA", "ä" * 200, cipher.encrypt("x")[:-3] + "abc"]:
        assert cipher.decrypt(ciphertext) is None
        assert not cipher.under_first_key(ciphertext)


def test_stored_tokens_and_cookies_use_different_keys() -> None:
    """The two keys are derived differently from each configured key, so neither ciphertext is accepted as the other."""
    stored, cookie = Cipher([KEY]), flow_fernet([KEY])

    with pytest.raises(InvalidToken):
        cookie.decrypt(stored.encrypt("x"))
    assert stored.decrypt(cookie.encrypt(b"x").decode()) is None
    assert flow_fernet([OTHER_KEY, KEY]).decrypt(cookie.encrypt(b"x")) == b"x"
