"""Proof Key for Code Exchange (RFC 7636): the verifier and its S256 challenge."""

from __future__ import annotations

import base64
import hashlib
import secrets

__all__ = ["generate_code_verifier", "s256_code_challenge"]


def generate_code_verifier() -> str:
    """A fresh ``code_verifier``: 43 URL-safe characters from 32 random octets (RFC 7636 §4.1)."""
    return secrets.token_urlsafe(32)


def s256_code_challenge(code_verifier: str) -> str:
    """``BASE64URL(SHA256(ASCII(code_verifier)))`` without padding (RFC 7636 §4.2)."""
    digest = hashlib.sha256(code_verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
