"""The Hub's published signing keys (RFC 7517), and the claims of a JWT that one of them has signed (RFC 7519)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from zaikio_oauth.errors import InvalidResponseError, InvalidTokenError
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.hub.published_resource import PublishedResource

if TYPE_CHECKING:
    from zaikio_oauth.hub.compact_jws import RSAKey, Signed

__all__ = ["KEYS_PATH", "SigningKeys", "rsa_keys"]

KEYS_PATH = "/api/v1/jwt_public_keys.json"


class SigningKeys:
    """Verifies signatures of the Hub, RS256 only.

    A key that a token contains or points to (``jwk``, ``jku``, ``x5u``) is ignored.
    """

    def __init__(self, http: HubHttp, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._keys: PublishedResource[tuple[RSAKey, ...]] = PublishedResource(
            http, KEYS_PATH, rsa_keys, monotonic=monotonic
        )

    @property
    def fresh(self) -> object | None:
        """The keys by which a token is verified now, unless they have to be fetched; compare it by identity."""
        return self._keys.fresh

    async def claims(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a JWT with a valid signature. Nothing else about it is checked.

        Raises InvalidTokenError for anything else, HubUnavailableError if the keys cannot be fetched.
        """
        # Here, because most apps verify no bearer token and need no JOSE library.
        from zaikio_oauth.hub import compact_jws  # noqa: PLC0415

        signed = compact_jws.signed_parts(token)
        kid = signed.headers().get("kid")
        keys = await self._keys.get()
        if kid is not None and not any(key.kid == kid for key in keys):
            # The Hub rotates its keys without notice.
            keys = await self._keys.get_newer(keys)
        # A key without an id may be any; a token without one may be signed with any.
        fitting = [key for key in keys if kid is None or key.kid in (None, kid)]
        if not any(compact_jws.is_signed_with(key, signed) for key in fitting):
            raise InvalidTokenError("The signature is not the Hub's.")
        return _claims(signed)

    async def aclose(self) -> None:
        """Cancel a request under way."""
        await self._keys.aclose()


def _claims(signed: Signed) -> Mapping[str, Any]:
    try:
        claims = json.loads(signed.payload or b"")
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise InvalidTokenError("The token has no claims.")
    return claims


def rsa_keys(body: Any) -> tuple[RSAKey, ...]:
    """Return those of the published keys with which RS256 signatures may be made; raises InvalidResponseError."""
    from zaikio_oauth.hub.compact_jws import rsa_key  # noqa: PLC0415 (as above)

    listed = body.get("keys") if isinstance(body, dict) else None
    if not isinstance(listed, list):
        raise InvalidResponseError("The Hub's response is not a set of keys.")
    keys = tuple(key for each in listed if (key := rsa_key(each)) is not None)
    if not keys:
        raise InvalidResponseError("The Hub's set of keys has none for RS256.")
    return keys
