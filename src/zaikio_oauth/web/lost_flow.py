"""Why a callback belongs to no flow that can be completed, for the log. The visitor gets one general message."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

__all__ = ["REASONS", "Cause"]

Cause = Literal[
    "client_changed",
    "expired",
    "no_cookie",
    "no_state",
    "other_browser",
    "other_client",
    "other_hub",
    "other_issuer",
    "other_route",
    "unreadable_cookie",
    "used",
]

REASONS: MappingProxyType[Cause, str] = MappingProxyType(
    {
        "client_changed": "its client has been removed, or got another client_id, since the flow was started",
        "expired": "the flow was started more than 10 minutes ago",
        "no_cookie": "the browser has no flow cookie: it is another browser, it blocks cookies, or the flow has ended",
        "no_state": "the callback has no state, several, or one with characters that no state has",
        "other_browser": "the browser has only cookies of other flows: it is another browser, or the flow has ended",
        "other_client": "the flow was started for another client",
        "other_hub": "the flow was started at another Hub",
        "other_issuer": "the response says that it comes from another authorization server",
        "other_route": "the flow was started by another route, or below another prefix",
        "unreadable_cookie": "no encryption key decrypts the flow's cookie, or the cookie was changed",
        "used": "another callback has completed the flow",
    }
)
"""What the log says of each cause."""
