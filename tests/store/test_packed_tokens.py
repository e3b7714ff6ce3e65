"""A token that nobody uses is kept as a few hundred bytes, and comes back as it was."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.rows import some_token
from tests.data import KEY, some_access_token
from zaikio_oauth import AccessToken, OnBehalfOf
from zaikio_oauth.access_token import Secret
from zaikio_oauth.errors import DecryptionError
from zaikio_oauth.store.encryption import Cipher, Place
from zaikio_oauth.store.packed_tokens import TokenPacking
from zaikio_oauth.store.stored_token import SealedRefreshToken, StoredToken

CIPHER = Cipher([KEY])
JWT = some_token("29b2", "1")


def stored(ciphertext: str | None = None, **changes: Any) -> StoredToken:
    """Return a row as it is read."""
    token = some_access_token(**{"token": JWT, **changes})
    sealed = None if ciphertext is None else SealedRefreshToken(CIPHER, token.id, ciphertext)
    token = token.model_copy(update={"refresh_token": sealed})
    return StoredToken(token, 3, datetime.now(UTC), None, None)


def packed_and_unpacked(value: StoredToken, key: str | None = None) -> StoredToken:
    """Return what comes back, with a dictionary of other tokens."""
    key = key or value.access_token.id
    packing = TokenPacking(CIPHER, [("other", stored(jti="other", token=some_token("29b2", "other")))])
    back, unpacked = packing.unpack(memoryview(packing.pack(key, value)))
    assert back == key
    return unpacked


TOKENS = [
    pytest.param(JWT, id="a JWT"),
    "an-opaque-token",
    "x" * 900,
    "",
    ".",
    "a.b.c",
    "..",
    "YQ==",
    "YQ",
    "YR",
    "YQ==.YQ==.YQ==",
    "a b\n",
    "+/+/",
    "ümläut.ß",
    "a.b.c.d.e",
]


@pytest.mark.parametrize("token", TOKENS)
def test_any_token_comes_back_as_it_was(token: str) -> None:
    """Base64 or not, spelt canonically or not, and the type that shows nothing of it."""
    back = packed_and_unpacked(stored(token=token)).access_token.token
    assert (back, type(back)) == (token, Secret)


@given(token=st.text(st.characters(codec="utf-8"), max_size=60) | st.from_regex(r"[\w=.-]{0,60}", fullmatch=True))
def test_whatever_the_token_is(token: str) -> None:
    """Nobody knows what the Hub's tokens look like tomorrow."""
    assert packed_and_unpacked(stored(token=token)).access_token.token == token


NOW = datetime(2026, 11, 30, 12, 0, 0, 123457, UTC)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"jti": None, "refresh_expires_at": None},
        {"expires_at": NOW, "created_at": NOW, "refresh_expires_at": NOW + timedelta(microseconds=1)},
        {"expires_at": datetime.max.replace(tzinfo=UTC), "created_at": datetime.min.replace(tzinfo=UTC)},
        {"bearer_type": "Organization", "delegated_from": "another"},
        {"on_behalf_of": OnBehalfOf(id="29b2", roles=("owner", "admin"))},
        {"scopes": (), "requested_scopes": ("zaikio.person.r", "mill.orders.rw")},
    ],
)
def test_every_field_comes_back_as_it_was(changes: dict[str, Any]) -> None:
    """Instants to the microsecond."""
    value = stored(**changes)
    assert packed_and_unpacked(value) == value
    assert packed_and_unpacked(value, key="a search").access_token.model_dump() == value.access_token.model_dump()


def test_what_only_we_know_comes_back() -> None:
    """Otherwise a token that is lost would be reported again, and one that cannot be renewed tried again."""
    value = StoredToken(stored().access_token, 7, NOW, NOW + timedelta(minutes=1), NOW + timedelta(minutes=2))
    assert packed_and_unpacked(value) == value


def test_every_field_is_known() -> None:
    """A new one has to be packed, too."""
    assert set(AccessToken.model_fields) == {
        *("id", "jti", "audience", "bearer_type", "bearer_id", "on_behalf_of", "scopes", "requested_scopes", "token"),
        *("refresh_token", "expires_at", "refresh_expires_at", "created_at", "delegated_from"),
    }
    assert StoredToken.__slots__ == ("access_token", "version", "issued_at", "renew_after", "lost_at")


def test_the_refresh_token_stays_sealed() -> None:
    """It is decrypted when it is needed, and an error is the same as before."""
    token = stored().access_token
    sealed = CIPHER.encrypt("the-secret", Place(token.id, "refresh_token"))
    assert packed_and_unpacked(stored(sealed)).access_token.refresh_token == "the-secret"
    broken = packed_and_unpacked(stored("no ciphertext of ours")).access_token
    assert broken.refreshable()
    with pytest.raises(DecryptionError):
        _ = broken.refresh_token
    assert packed_and_unpacked(stored(None)).access_token.refresh_token is None


MEMORY = """
import gc, resource, uuid
from functools import partial
from benchmarks.rows import some_token
from tests.store.test_packed_tokens import CIPHER, stored
from zaikio_oauth.store.encryption import Place
from zaikio_oauth.store.packed_tokens import TokenPacking
from zaikio_oauth.store.stored_token import StoredToken
from zaikio_oauth.store.token_cache import TokenCache
from zaikio_oauth.tokens.parts import MAX_TOKENS

def megabytes():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 1e6

cache = TokenCache(5, labels=StoredToken.labels, version=lambda: 1, packing=partial(TokenPacking, CIPHER),
                   max_entries=MAX_TOKENS)
def keep(number):
    for _ in range(number):
        token_id, jti, bearer_id = (str(uuid.uuid4()) for _ in range(3))
        sealed = CIPHER.encrypt("r" * 43, Place(token_id, "refresh_token"))
        value = stored(sealed, id=token_id, jti=jti, bearer_id=bearer_id, token=some_token(bearer_id, jti))
        cache.put(token_id, value, cache.reading())
    return token_id

first = keep(1)
gc.collect()
before = megabytes()
keep(99_999)
gc.collect()
print(megabytes() - before, cache.get(first) is not None)
"""


def test_100_000_tokens_fit_into_100_megabytes() -> None:
    """With a token of 900 letters and an encrypted refresh token each, as the operating system counts them."""
    ran = subprocess.run([sys.executable, "-c", MEMORY], check=True, capture_output=True, text=True)
    megabytes, first = ran.stdout.split()
    assert (float(megabytes) < 100, first) == (True, "True")
