"""RS256 signatures in the compact serialization (RFC 7515), and the RSA keys that made them (RFC 7517).

All that needs the JOSE library, which is not loaded before a bearer token or the Hub's keys come in.
"""

from __future__ import annotations

from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from zaikio_oauth.errors import InvalidTokenError
from zaikio_oauth.hub.syntax import MAX_TOKEN_LENGTH

__all__ = ["RSAKey", "Signed", "is_signed_with", "rsa_key", "signed_parts"]

Signed = jws.CompactSignature

_ALGORITHM: Final = "RS256"
_MIN_KEY_BITS, _MAX_KEY_BITS = 2048, 16384
"""RFC 7518 §3.3; with a longer key, a signature takes long to verify, and OpenSSL refuses it."""

_MAX_EXPONENT_LENGTH: Final = 11
"""64 bits in base64url."""


def _registry() -> jws.JWSRegistry:
    # Unknown header parameters are ignored, unless "crit" lists them (RFC 7515 §4).
    registry = jws.JWSRegistry(algorithms=[_ALGORITHM], strict_check_header=False)
    registry.max_header_length = MAX_TOKEN_LENGTH
    return registry


_REGISTRY: Final = _registry()


def signed_parts(token: str) -> Signed:
    """Return the parts of the token, unverified; raises InvalidTokenError unless its header says RS256."""
    if len(token) > MAX_TOKEN_LENGTH:
        raise InvalidTokenError("The token is too long.")
    try:
        signed = jws.extract_compact(token.encode("ascii"), registry=_REGISTRY)
        header = signed.headers()
        _REGISTRY.check_header(header)
    except (JoseError, ValueError, TypeError, RecursionError):
        raise InvalidTokenError("The token is not a JWT.") from None
    if header.get("alg") != _ALGORITHM:
        raise InvalidTokenError("The token is not signed with RS256.")
    return signed


def is_signed_with(key: RSAKey, signed: Signed) -> bool:
    """Return True if the signature is one of this key."""
    try:
        return jws.validate_compact(signed, key, registry=_REGISTRY)
    except (JoseError, ValueError):
        return False


def rsa_key(value: Any) -> RSAKey | None:
    """Return a published key with which RS256 signatures may be made, and None for any other."""
    if not isinstance(value, dict) or value.get("kty") != "RSA":
        return None
    if value.get("use", "sig") != "sig" or value.get("alg", _ALGORITHM) != _ALGORITHM:
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
