"""Events of the Hub as Loom, its event bus, delivers them: their signature and their content."""

from __future__ import annotations

import hmac
import json
from hashlib import sha256

from zaikio_oauth.hub.syntax import is_token_id

__all__ = ["has_valid_signature", "revoked_token_id"]

_REVOCATIONS = frozenset({"zaikio.revoked_access_token", "directory.revoked_access_token"})


def has_valid_signature(body: bytes, signature: str, secret: str) -> bool:
    """Return True if ``X-Loom-Signature`` is the hex HMAC-SHA256 of the raw body (Hub documentation, "Revocation")."""
    expected = hmac.new(secret.encode(), body, sha256).hexdigest()
    return hmac.compare_digest(signature.encode("utf-8", "surrogateescape"), expected.encode())


def revoked_token_id(body: bytes) -> str | None:
    """Return the ``jti`` that an event says is revoked, or None for an event of another kind.

    Raises ValueError for a body that is not an event.
    """
    try:
        event = json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(event, dict) or not isinstance(event.get("name"), str):
        raise ValueError("not an event")  # noqa: TRY004 (the request is wrong, not the type of an argument)
    if event["name"] not in _REVOCATIONS:
        return None
    payload = event.get("payload")
    jti = payload.get("access_token_id") if isinstance(payload, dict) else None
    if not is_token_id(jti):
        raise ValueError("an event that names no token")
    return jti
