"""The forms that a value may have in a variable."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

__all__ = ["http_url", "list_of", "text_only"]

_HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?|[0-9a-f.]*:[0-9a-f:.]*")
"""A name in ASCII (a domain with other characters is written as xn--…), or an address, also of IPv6."""


def list_of(value: Any) -> Any:
    """Return a comma-separated text or a JSON list as a list, and everything else unchanged."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            # Not chained: the decoder's error quotes the text, which may be a key.
            raise ValueError("is neither a comma-separated list nor a JSON list") from None
    return [part.strip() for part in value.split(",") if part.strip()]


def text_only(value: Any) -> Any:
    """Return the value; raises ValueError if a text in it cannot be sent, such as a byte that is not UTF-8."""
    texts = value if isinstance(value, tuple) else (value,)
    for text in texts:
        plain = text.get_secret_value() if isinstance(text, SecretStr) else text
        # Not chained: UnicodeEncodeError holds the text.
        if isinstance(plain, str) and ("\0" in plain or any("\ud800" <= each <= "\udfff" for each in plain)):
            raise ValueError("is not text in UTF-8")
    return value


def http_url(value: str) -> str:
    """Return the address of a host or an app without a slash at its end; raises ValueError if it is none."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username
        usable = usable and _HOST.fullmatch(parts.hostname or "") is not None
        # Reading the port is what validates it.
        usable = usable and (parts.port is None or parts.port > 0) and not parts.query and not parts.fragment
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("has to be an address such as https://app.example.com, without user, query or fragment")
    return value.rstrip("/")
