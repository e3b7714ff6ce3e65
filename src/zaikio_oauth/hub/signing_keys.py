"""The Hub's published keys (RFC 7517), and the claims of a JWT that one of them has signed (RFC 7519)."""

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
from zaikio_oauth.hub.published import Published

__all__ = ["Jwks"]

_PATH = "/api/v1/jwt_public_keys.json"
_ALGORITHM = "RS256"
_LONGEST_TOKEN = 16 * 1024
_LEAST_BITS = 2048
"""RFC 7518 §3.3."""


class Jwks:
    """Verifies what the Hub has signed, with RS256 and nothing else.

    A key that a token brings along or points to (``jwk``, ``jku``, ``x5u``) is never looked at.
    """

    def __init__(self, http: HubHttp, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._keys: Published[tuple[RSAKey, ...]] = Published(http, _PATH, _rsa_keys, monotonic=monotonic)
        # Header parameters that are not understood are ignored, unless "crit" lists them (RFC 7515 §4).
        self._registry = jws.JWSRegistry(algorithms=[_ALGORITHM], strict_check_header=False)
        self._registry.max_header_length = _LONGEST_TOKEN

    async def claims(self, token: str) -> Mapping[str, Any]:
        """The claims of a JWT with a good signature; nothing else of it is checked.

        Raises InvalidTokenError for any other text, HubUnavailableError when the keys cannot be had.
        """
        signed = self._signed(token)
        kid = signed.headers().get("kid")
        keys = await self._keys.get()
        if kid is not None and not any(key.kid == kid for key in keys):
            # The Hub changes its keys unannounced.
            keys = await self._keys.get_newer(keys)
        # Keys without an id may be any; a token without one may be signed with any.
        fitting = [key for key in keys if kid is None or key.kid in (None, kid)]
        if not any(self._signed_with(key, signed) for key in fitting):
            raise InvalidTokenError("The signature is not the Hub's.")
        return _claims(signed)

    async def aclose(self) -> None:
        """Give up a request under way."""
        await self._keys.aclose()

    def _signed(self, token: str) -> jws.CompactSignature:
        """The token's parts, unverified; raises InvalidTokenError unless it says that it is signed with RS256."""
        if len(token) > _LONGEST_TOKEN:
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


def _rsa_keys(body: Any) -> tuple[RSAKey, ...]:
    """Those of the published keys that may have signed with RS256."""
    listed = body.get("keys") if isinstance(body, dict) else None
    if not isinstance(listed, list):
        raise InvalidResponseError("The Hub's answer is not a set of keys.")
    keys = tuple(key for each in listed if (key := _rsa_key(each)) is not None)
    if not keys:
        raise InvalidResponseError("The Hub's set of keys has none for RS256.")
    return keys


def _rsa_key(value: Any) -> RSAKey | None:
    if not isinstance(value, dict) or value.get("kty") != "RSA":
        return None
    if value.get("use", "sig") != "sig" or value.get("alg", "RS256") != "RS256":
        return None
    # Only what makes the public key: anything else that is published with it says nothing about signatures.
    public = {name: value[name] for name in ("kty", "n", "e", "kid") if isinstance(value.get(name), str)}
    try:
        # Small ones first: the library only warns of them.
        if len(public["n"]) * 6 < _LEAST_BITS:
            return None
        return RSAKey.import_key(public)
    except (JoseError, ValueError, KeyError):
        return None
