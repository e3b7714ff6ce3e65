"""The RSA key pairs with which a local Hub signs its tokens (RS256)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

__all__ = ["KeyPairs"]


class KeyPairs:
    """Signs with the newest key and publishes all of them, so that older tokens can still be verified."""

    def __init__(self, keys: Iterable[RSAKey] | None = None) -> None:
        self._keys = [_new_key()] if keys is None else list(keys)

    def copy(self) -> KeyPairs:
        """Return the same key pairs; a new one of either is not shared."""
        return KeyPairs(self._keys)

    def export(self) -> list[dict[str, Any]]:
        """Return the key pairs, private parts included (RFC 7517)."""
        return [key.as_dict(private=True) for key in self._keys]

    def restore(self, exported: Iterable[dict[str, Any]]) -> None:
        """Replace the key pairs by exported ones. Raises ValueError if one is no key pair."""
        try:
            self._keys = [RSAKey.import_key(key) for key in exported] or self._keys
        except (JoseError, ValueError, TypeError, KeyError):
            # Not chained: the error may contain the key.
            raise ValueError("not a key pair") from None

    def rotate(self) -> None:
        """Sign with a new key from now on. The old ones remain published."""
        self._keys.insert(0, _new_key())

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return a JWT with these claims."""
        key = self._keys[0]
        return jwt.encode({"alg": "RS256", "typ": "JWT", "kid": key.kid}, dict(claims), key, algorithms=["RS256"])

    def published(self) -> dict[str, Any]:
        """Return the public keys as a JWK Set (RFC 7517 §5)."""
        return {"keys": [key.as_dict(private=False) | {"alg": "RS256", "use": "sig"} for key in self._keys]}


def _new_key() -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": str(uuid.uuid4())}, private=True)
