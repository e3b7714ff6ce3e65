"""Events of the Hub as Loom, its event bus, delivers them: their signature and their content."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from zaikio_oauth.hub.syntax import is_token_id

__all__ = ["HubEvent", "has_valid_signature", "parse_event", "revoked_token_id"]

MAX_TEXT_LENGTH = 255

_REVOCATIONS = frozenset({"zaikio.revoked_access_token", "directory.revoked_access_token"})
_SUBJECT_TYPES = {"Org": "Organization", "Per": "Person"}


@dataclass(frozen=True, slots=True)
class HubEvent:
    """Something has happened at the Hub (Hub documentation, "Events").

    ``id`` is the same in each delivery. ``name`` is, for example, ``zaikio.revoked_access_token``. ``subject_type``
    is ``"Organization"``, ``"Person"`` or whatever else the Hub sends, ``subject_id`` the UUID. ``timestamp`` is when
    it happened (aware, UTC), ``version`` that of its format, ``payload`` its details, ``link`` the address of what it
    is about. What the Hub leaves out is None, and the payload empty. ``repr`` shows neither payload nor link, which may
    contain personal data.

        async def on_event(event: HubEvent) -> None:
            if event.name == "zaikio.connection_changed":
                await queue.put(event.subject_id)

        configure(on_event=on_event)
    """

    id: str
    name: str
    subject_type: str | None = None
    subject_id: str | None = None
    timestamp: datetime | None = None
    version: str | None = None
    payload: dict[str, Any] = field(default_factory=dict, repr=False, hash=False)
    link: str | None = field(default=None, repr=False)


def has_valid_signature(body: bytes, signature: str, secrets: Iterable[str]) -> bool:
    """Return True if ``X-Loom-Signature`` is the hex HMAC-SHA256 of the raw body (Hub documentation, "Revocation").

    Under any of the secrets, because there are two while one is being changed.
    """
    sent = signature.encode("utf-8", "surrogateescape")
    expected = [hmac.new(secret.encode(), body, sha256).hexdigest().encode() for secret in secrets]
    # All of them, so that the time does not say which one it was.
    return True in [hmac.compare_digest(sent, each) for each in expected]


def parse_event(body: bytes) -> HubEvent:
    """Return the event; raises ValueError for a body that is none.

    One without an id is identified by its body.
    """
    try:
        event = json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(event, dict) or (name := _text(event.get("name"))) is None:
        raise ValueError("not an event")
    subject_type, subject_id = _subject(event.get("subject"))
    payload = event.get("payload")
    return HubEvent(
        id=_text(event.get("id")) or sha256(body).hexdigest(),
        name=name,
        subject_type=subject_type,
        subject_id=subject_id,
        timestamp=_instant(event.get("timestamp")),
        version=_text(event.get("version")),
        payload=payload if isinstance(payload, dict) else {},
        link=_text(event.get("link"), longest=2000),
    )


def revoked_token_id(event: HubEvent) -> str | None:
    """Return the ``jti`` that an event says is revoked, or None for an event of another kind.

    Raises ValueError if it should name one and does not.
    """
    if event.name not in _REVOCATIONS:
        return None
    jti = event.payload.get("access_token_id")
    if not is_token_id(jti):
        raise ValueError("an event that names no token")
    return jti


def _text(value: object, *, longest: int = MAX_TEXT_LENGTH) -> str | None:
    """Return a text that can stand in a log line and in a database, or None."""
    return value if isinstance(value, str) and 0 < len(value) <= longest and value.isprintable() else None


def _subject(value: object) -> tuple[str | None, str | None]:
    kind, slash, subject_id = (_text(value) or "").partition("/")
    return (_SUBJECT_TYPES.get(kind, kind), subject_id) if slash and kind and subject_id else (None, None)


def _instant(value: object) -> datetime | None:
    try:
        instant = datetime.fromisoformat(_text(value) or "")
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):
        # Overflow: the first and the last day that there is, in another time zone.
        return None
