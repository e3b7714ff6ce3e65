"""Keys and ciphertexts."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet, InvalidToken

from tests.data import KEY, OTHER_KEY
from zaikio_oauth.store.encryption import Cipher, Place
from zaikio_oauth.web.flow_cookie import flow_fernet

HERE = Place("6f0e1a6e-0c6b-4f0a-8d2e-2d4c0f1f5a11", "token")


def test_the_first_key_encrypts_and_every_key_decrypts() -> None:
    """A new key is put first, and the old key is kept until everything is encrypted again."""
    old = Cipher([KEY]).encrypt("a text", HERE)
    rotated = Cipher([OTHER_KEY, KEY])

    assert rotated.decrypt(old, HERE) == "a text"
    assert not rotated.under_first_key(old)
    assert Cipher([OTHER_KEY]).decrypt(rotated.encrypt("a text", HERE), HERE) == "a text"
    assert rotated.under_first_key(rotated.encrypt("a text", HERE))


def test_a_text_that_no_key_decrypts_is_none() -> None:
    """This includes texts that are not ciphertexts, because cookies come from outside."""
    cipher = Cipher([KEY])

    for ciphertext in [
        Cipher([OTHER_KEY]).encrypt("x", HERE),
        "",
        "gAAAA",
        "ä" * 200,
        cipher.encrypt("x", HERE)[:-3] + "abc",
    ]:
        assert cipher.decrypt(ciphertext, HERE) is None
        assert not cipher.under_first_key(ciphertext)


def test_stored_tokens_and_cookies_use_different_keys() -> None:
    """The two keys are derived differently from each configured key, so neither ciphertext is accepted as the other."""
    stored, cookie = Cipher([KEY]), flow_fernet([KEY])

    with pytest.raises(InvalidToken):
        cookie.decrypt(stored.encrypt("x", HERE))
    assert stored.decrypt(cookie.encrypt(b"x").decode(), HERE) is None
    assert flow_fernet([OTHER_KEY, KEY]).decrypt(cookie.encrypt(b"x")) == b"x"


@pytest.mark.parametrize(
    "elsewhere",
    [Place(HERE.row, "refresh_token"), Place("another row", "token"), Place(HERE.row + "\0token", ""), Place("", "")],
)
def test_a_ciphertext_is_good_for_its_own_place_only(elsewhere: Place) -> None:
    """This includes places whose names, put together, begin alike."""
    cipher = Cipher([KEY])

    assert cipher.decrypt(cipher.encrypt("x", HERE), HERE) == "x"
    assert cipher.decrypt(cipher.encrypt("x", HERE), elsewhere) is None
    assert cipher.decrypt(cipher.encrypt("x", elsewhere), HERE) is None


def test_a_ciphertext_without_a_place_is_none() -> None:
    """Whoever has a key, but not our code, could have written it."""
    assert Cipher([KEY]).decrypt(Fernet(KEY).encrypt(b"x").decode(), HERE) is None
