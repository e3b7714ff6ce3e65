"""What ids, tokens and names of the Hub may look like, checked where they come in: in responses, JWTs and events.

Whatever passes can be stored in every database, sent in a header and written to a log.
"""

from __future__ import annotations

import re
from typing import Any, TypeGuard

__all__ = ["MAX_TOKEN_LENGTH", "is_bearer_id", "is_name", "is_scope", "is_token", "is_token_id"]

MAX_TOKEN_LENGTH = 16_384

_BEARER_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_TOKEN_ID = re.compile(r"[ -~]{1,255}")
_TOKEN = re.compile(r"[!-~]+")
_SCOPE = re.compile(r"[!#-\[\]-~]{1,255}")
_LONGEST_NAME = 255


def is_bearer_id(value: Any) -> TypeGuard[str]:
    """Return True for the id of a person or an organization. It becomes part of scopes and of logs."""
    return isinstance(value, str) and _BEARER_ID.fullmatch(value) is not None


def is_token_id(value: Any) -> TypeGuard[str]:
    """Return True for a ``jti`` (RFC 7519 §4.1.7): printable ASCII."""
    return isinstance(value, str) and _TOKEN_ID.fullmatch(value) is not None


def is_token(value: Any) -> TypeGuard[str]:
    """Return True for an access or refresh token: visible ASCII (RFC 6749 §A.12, §A.17; RFC 6750 §2.1)."""
    return isinstance(value, str) and len(value) <= MAX_TOKEN_LENGTH and _TOKEN.fullmatch(value) is not None


def is_scope(value: Any) -> TypeGuard[str]:
    """Return True for one scope (RFC 6749 §A.4)."""
    return isinstance(value, str) and _SCOPE.fullmatch(value) is not None


def is_name(value: Any) -> TypeGuard[str]:
    """Return True for the name of an app or a role: printable text, also with letters beyond ASCII."""
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()
