"""The keys that a local Hub signs its tokens with, RS256."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey

__all__ = ["SigningKeys"]


class SigningKeys:
    """Signs with the newest key; publishes all of them, so that older tokens still verify."""

    def __init__(self) -> None:
        self._keys = [_new_key()]

    def rotate(self) -> None:
        """Sign with a new key from now on."""
        self._keys.insert(0, _new_key())

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A JWT of these claims."""
        key = self._keys[0]
        return jwt.encode({"alg": "RS256", "typ": "JWT", "kid": key.kid}, dict(claims), key, algorithms=["RS256"])

    def claims(self, token: str) -> Mapping[str, Any] | None:
        """The claims of a JWT that was signed here; None for anything else."""
        try:
            return jwt.decode(token, KeySet(list(self._keys)), algorithms=["RS256"]).claims
        except (JoseError, ValueError):
            return None

    def published(self) -> dict[str, Any]:
        """The public halves as a JWK set (RFC 7517)."""
        return {"keys": [key.as_dict(private=False) | {"alg": "RS256", "use": "sig"} for key in self._keys]}


def _new_key() -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": str(uuid.uuid4())}, private=True)
