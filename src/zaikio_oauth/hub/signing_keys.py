"""The Hub's published signing keys (RFC 7517), and the claims of a JWT that one of them has signed (RFC 7519)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from zaikio_oauth.errors import InvalidResponseError, InvalidTokenError
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.hub.published_resource import PublishedResource

__all__ = ["KEYS_PATH", "SigningKeys", "rsa_keys"]

KEYS_PATH = "/api/v1/jwt_public_keys.json"
_ALGORITHM = "RS256"
_MAX_TOKEN_LENGTH = 16 * 1024
_MIN_KEY_BITS, _MAX_KEY_BITS = 2048, 16384
"""RFC 7518 §3.3; with a longer key, a signature takes long to verify, and OpenSSL refuses it."""


_MAX_EXPONENT_LENGTH = 11
"""64 bits in base64url."""


class SigningKeys:
    """Verifies signatures of the Hub, RS256 only.

    A key that a token contains or points to (``jwk``, ``jku``, ``x5u``) is ignored.
    """

    def __init__(self, http: HubHttp, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._keys: PublishedResource[tuple[RSAKey, ...]] = PublishedResource(
            http, KEYS_PATH, rsa_keys, monotonic=monotonic
        )
        # Unknown header parameters are ignored, unless "crit" lists them (RFC 7515 §4).
        self._registry = jws.JWSRegistry(algorithms=[_ALGORITHM], strict_check_header=False)
        self._registry.max_header_length = _MAX_TOKEN_LENGTH

    async def claims(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a JWT with a valid signature. Nothing else about it is checked.

        Raises InvalidTokenError for anything else, HubUnavailableError if the keys cannot be fetched.
        """
        signed = self._signed(token)
        kid = signed.headers().get("kid")
        keys = await self._keys.get()
        if kid is not None and not any(key.kid == kid for key in keys):
            # The Hub rotates its keys without notice.
            keys = await self._keys.get_newer(keys)
        # A key without an id may be any; a token without one may be signed with any.
        fitting = [key for key in keys if kid is None or key.kid in (None, kid)]
        if not any(self._signed_with(key, signed) for key in fitting):
            raise InvalidTokenError("The signature is not the Hub's.")
        return _claims(signed)

    async def aclose(self) -> None:
        """Cancel a request under way."""
        await self._keys.aclose()

    def _signed(self, token: str) -> jws.CompactSignature:
        """Return the parts of the token, unverified; raises InvalidTokenError unless its header says RS256."""
        if len(token) > _MAX_TOKEN_LENGTH:
            raise InvalidTokenError("The token is too long.")
        try:
            signed = jws.extract_compact(token.encode("ascii"), registry=self._registry)
            header = signed.headers()
            self._registry.check_header(header)
        except (JoseError, ValueError, TypeError, RecursionError):
            raise InvalidTokenError("The token is not a JWT.") from None
        if header.get("alg") != _ALGORITHM:
            raise InvalidTokenError("The token is not signed with RS256.")
        return signed

    def _signed_with(self, key: RSAKey, signed: jws.CompactSignature) -> bool:
        try:
            return jws.validate_compact(signed, key, registry=self._registry)
        except (JoseError, ValueError):
            return False


def _claims(signed: jws.CompactSignature) -> Mapping[str, Any]:
    try:
        claims = json.loads(signed.payload or b"")
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise InvalidTokenError("The token has no claims.")
    return claims


def rsa_keys(body: Any) -> tuple[RSAKey, ...]:
    """Return those of the published keys with which RS256 signatures may be made; raises InvalidResponseError."""
    listed = body.get("keys") if isinstance(body, dict) else None
    if not isinstance(listed, list):
        raise InvalidResponseError("The Hub's response is not a set of keys.")
    keys = tuple(key for each in listed if (key := _rsa_key(each)) is not None)
    if not keys:
        raise InvalidResponseError("The Hub's set of keys has none for RS256.")
    return keys


def _rsa_key(value: Any) -> RSAKey | None:
    if not isinstance(value, dict) or value.get("kty") != "RSA":
        return None
    if value.get("use", "sig") != "sig" or value.get("alg", "RS256") != "RS256":
        return None
    # Only the members of the public key; nothing else that is published with it matters for signatures.
    public = {name: value[name] for name in ("kty", "n", "e", "kid") if isinstance(value.get(name), str)}
    try:
        # Checked here because the library only warns of short keys.
        if not _MIN_KEY_BITS <= len(public["n"]) * 6 <= _MAX_KEY_BITS + 6 or len(public["e"]) > _MAX_EXPONENT_LENGTH:
            return None
        return RSAKey.import_key(public)
    except (JoseError, ValueError, KeyError):
        return None
