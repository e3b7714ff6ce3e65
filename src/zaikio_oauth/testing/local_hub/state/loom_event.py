"""Events of Loom, the Hub's event bus, as they arrive at an app's webhook."""

from __future__ import annotations

import hmac
import json
import uuid
from datetime import UTC, datetime
from hashlib import sha256

from zaikio_oauth.testing.local_hub.state.bearer import Bearer

__all__ = ["revoked_access_token_event"]


def revoked_access_token_event(
    jti: str, bearer: Bearer | None, secret: str, *, name: str, at: float
) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of the event for a revoked access token, signed with the app's shared secret."""
    now = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    subject = f"{'Per' if bearer.type == 'Person' else 'Org'}/{bearer.id}" if bearer else f"Per/{uuid.uuid4()}"
    event = {
        "id": str(uuid.uuid4()),
        "name": name,
        "subject": subject,
        "timestamp": now,
        "version": "1.0",
        "payload": {"access_token_id": jti},
        "link": None,
        "received_at": now,
    }
    body = json.dumps(event).encode()
    signature = hmac.new(secret.encode(), body, sha256).hexdigest()
    return body, {"Content-Type": "application/json", "X-Loom-Signature": signature}
