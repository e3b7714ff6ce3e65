"""Keys and ciphertexts."""

from __future__ import annotations

from tests.data import KEY, OTHER_KEY
from zaikio_oauth.store.encryption import Cipher


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


def test_what_is_sealed_for_one_purpose_opens_for_no_other() -> None:
    """A stored token cannot be passed off as a cookie."""
    stored, cookie = Cipher([KEY]), Cipher([KEY], purpose="cookie")

    assert cookie.decrypt(stored.encrypt("x")) is None
    assert stored.decrypt(cookie.encrypt("x")) is None
    assert Cipher([OTHER_KEY, KEY], purpose="cookie").decrypt(cookie.encrypt("x")) == "x"
