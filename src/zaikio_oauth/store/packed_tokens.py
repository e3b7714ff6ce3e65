"""TokenPacking: a stored token as a few hundred bytes, for as long as nobody uses it."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from zaikio_oauth.access_token import Secret
from zaikio_oauth.store.columns import join_scopes
from zaikio_oauth.store.encryption import Cipher
from zaikio_oauth.store.stored_token import SealedRefreshToken, StoredToken, stored_token

__all__ = ["TokenPacking"]

_DICTIONARY: Final = 3_000
_WINDOW_BITS: Final = -12
"""A window of 4 KiB, into which the dictionary and a token fit. A larger one takes more time."""

_LENGTHS: Final = struct.Struct("<III")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_Spelling = Literal["base64", "padded", "text"]
_BASE64: Final[tuple[_Spelling, ...]] = ("base64", "padded")


class _Columns(NamedTuple):
    """The columns of a row without its secrets; the instants are the last ones."""

    id: str
    jti: str | None
    audience: str
    bearer_type: str
    bearer_id: str
    on_behalf_of: dict[str, Any] | None
    scopes: str
    requested_scopes: str
    delegated_from: str | None
    version: int
    expires_at: Any
    refresh_expires_at: Any
    created_at: Any
    updated_at: Any
    renew_after: Any
    lost_at: Any


_FIRST_INSTANT: Final = _Columns._fields.index("expires_at")


class _Parts(NamedTuple):
    """What becomes the bytes of a token."""

    description: bytes
    """As JSON: the key, the columns, the spelling of each piece of the token, that of the refresh token."""

    alike: memoryview
    """What is much the same in many tokens: of a JWT, its header and its claims."""

    random: memoryview
    """The signature of a JWT; another token as a whole."""

    refresh_token: memoryview


class TokenPacking:
    """Packs tokens. What they have in common with the samples, by their keys, is not repeated in each of them.

    Most of a token is base64, which takes a third more than the bytes that it stands for.
    """

    def __init__(self, cipher: Cipher, samples: Iterable[tuple[str, StoredToken]]) -> None:
        self._cipher = cipher
        parts = (_parts(*sample) for sample in samples)
        self._dictionary = b"".join(part for each in parts for part in (each.description, each.alike))[-_DICTIONARY:]

    def pack(self, key: str, value: StoredToken) -> bytes:
        """Return the token, and the key under which it is kept, as bytes."""
        parts = _parts(key, value)
        deflate = zlib.compressobj(wbits=_WINDOW_BITS, memLevel=5, zdict=self._dictionary)
        return b"".join(
            (
                _LENGTHS.pack(len(parts.description), len(parts.random), len(parts.refresh_token)),
                parts.random,
                parts.refresh_token,
                deflate.compress(parts.description),
                deflate.compress(parts.alike),
                deflate.flush(),
            )
        )

    def unpack(self, packed: memoryview) -> tuple[str, StoredToken]:
        """Return the key and the token."""
        length, *lengths = _LENGTHS.unpack_from(packed)
        random, refresh_token, deflated = _cut(packed[_LENGTHS.size :], lengths)
        inflate = zlib.decompressobj(wbits=_WINDOW_BITS, zdict=self._dictionary)
        description, alike = _cut(memoryview(inflate.decompress(deflated)), [length])
        key, columns, spellings, refresh_spelling = json.loads(bytes(description))
        instants = map(_instant, columns[_FIRST_INSTANT:])
        row = _Columns(*columns[:_FIRST_INSTANT], *instants)
        *pieces, _ = _cut(alike, [size for _, size in spellings[:-1]])
        spelt = (_text(piece, spelling) for piece, (spelling, _) in zip([*pieces, random], spellings, strict=True))
        sealed = None
        if refresh_spelling is not None:
            sealed = SealedRefreshToken(self._cipher, row.id, _text(refresh_token, refresh_spelling))
        return key, stored_token(row, Secret(".".join(spelt)), sealed)


def _microseconds(instant: datetime | None) -> int | None:
    """Return them since 1970: exactly, and for every year, as no float can."""
    return None if instant is None else (instant - _EPOCH) // _MICROSECOND


def _instant(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + microseconds * _MICROSECOND


def _parts(key: str, value: StoredToken) -> _Parts:
    token = value.access_token
    columns = _Columns(
        id=token.id,
        jti=token.jti,
        audience=token.audience,
        bearer_type=token.bearer_type,
        bearer_id=token.bearer_id,
        on_behalf_of=token.on_behalf_of.model_dump(mode="json") if token.on_behalf_of else None,
        scopes=join_scopes(token.scopes),
        requested_scopes=join_scopes(token.requested_scopes),
        delegated_from=token.delegated_from,
        version=value.version,
        expires_at=_microseconds(token.expires_at),
        refresh_expires_at=_microseconds(token.refresh_expires_at),
        created_at=_microseconds(token.created_at),
        updated_at=_microseconds(value.issued_at),
        renew_after=_microseconds(value.renew_after),
        lost_at=_microseconds(value.lost_at),
    )
    spelt = [_bytes(Secret(piece)) for piece in token.token.split(".")]
    sealed = vars(token)["refresh_token"]
    refresh_token, refresh_spelling = _bytes(Secret(sealed.ciphertext)) if sealed else (memoryview(b""), None)
    spellings = [(spelling, len(piece)) for piece, spelling in spelt]
    return _Parts(
        description=json.dumps([key, columns, spellings, refresh_spelling]).encode(),
        alike=memoryview(b"".join(piece for piece, _ in spelt[:-1])),
        random=spelt[-1][0],
        refresh_token=refresh_token,
    )


# Everything secret is a view or a Secret, whose repr shows nothing of it.


def _cut(data: memoryview, lengths: Iterable[int]) -> list[memoryview]:
    """Return pieces of these lengths, and the rest."""
    pieces = []
    for length in lengths:
        pieces.append(data[:length])
        data = data[length:]
    return [*pieces, data]


def _bytes(text: Secret) -> tuple[memoryview, _Spelling]:
    try:
        decoded = memoryview(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        return memoryview(text.encode()), "text"
    for spelling in _BASE64:
        if _text(decoded, spelling) == text:
            return decoded, spelling
    return memoryview(text.encode()), "text"


def _text(data: memoryview, spelling: _Spelling) -> Secret:
    if spelling == "text":
        return Secret(data, "utf-8")
    text = Secret(base64.urlsafe_b64encode(data), "ascii")
    return text if spelling == "padded" else Secret(text.rstrip("="))
