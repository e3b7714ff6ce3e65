"""Events of Loom, the Hub's event bus, as they arrive at an app's webhook."""

from __future__ import annotations

import hmac
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

__all__ = ["loom_event"]


def loom_event(
    name: str,
    secret: str,
    *,
    subject: str,
    payload: Mapping[str, Any],
    at: float,
    event_id: str | None = None,
    link: str | None = None,
) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of an event, signed with the secret that the app shares with Loom."""
    now = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    event = {
        "id": event_id or str(uuid.uuid4()),
        "name": name,
        "subject": subject,
        "timestamp": now,
        "version": "1.0",
        "payload": dict(payload),
        "link": link,
        "received_at": now,
    }
    body = json.dumps(event).encode()
    signature = hmac.new(secret.encode(), body, sha256).hexdigest()
    return body, {"Content-Type": "application/json", "X-Loom-Signature": signature}
