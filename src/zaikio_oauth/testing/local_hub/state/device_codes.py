"""The device codes that a local Hub has issued, and how people have answered them (RFC 8628). In memory only."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from zaikio_oauth.testing.local_hub.state.bearer import Bearer
from zaikio_oauth.testing.local_hub.state.directory import HubApp
from zaikio_oauth.testing.local_hub.state.requested_scopes import RequestedScopes

__all__ = ["DeviceCode", "DeviceCodes"]

# RFC 8628 §6.1: without vowels, so that no words are formed, and without easily confused characters.
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
_USER_CODE_LENGTH = 8
# RFC 8628 §3.5: "the interval MUST be increased by 5 seconds for this and all subsequent requests".
_SLOW_DOWN_SECONDS = 5.0


@dataclass(slots=True)
class DeviceCode:
    """A device code. ``answer`` is the bearer with the granted scopes, or ``access_denied``; None while pending."""

    value: str = field(repr=False)
    user_code: str = field(repr=False)
    app: HubApp
    requested: RequestedScopes
    expires_at: float
    interval: float
    asked_at: float | None = None
    answer: tuple[Bearer, tuple[str, ...]] | str | None = None


class DeviceCodes:
    """Issues, finds and answers device codes. Thread-safe: tests use it while the Hub is serving."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._codes: dict[str, DeviceCode] = {}

    def start(self, app: HubApp, requested: RequestedScopes, *, lifetime: float, interval: float) -> DeviceCode:
        """Issue a device code."""
        user_code = "".join(secrets.choice(_LETTERS) for _ in range(_USER_CODE_LENGTH))
        expires_at = self._clock() + lifetime
        code = DeviceCode(secrets.token_urlsafe(32), user_code, app, requested, expires_at, interval)
        with self._lock:
            self._codes[code.value] = code
        return code

    def waiting(self, user_code: str) -> DeviceCode | None:
        """Return the pending device code with this user code, however it is punctuated or capitalized."""
        typed = "".join(letter for letter in user_code.upper() if letter.isalnum())
        with self._lock:
            for code in self._codes.values():
                if code.user_code == typed and code.answer is None and code.expires_at > self._clock():
                    return code
        return None

    def answer(self, code: DeviceCode, answer: tuple[Bearer, tuple[str, ...]] | str) -> None:
        """Store the person's answer."""
        with self._lock:
            code.answer = answer

    def poll(self, value: str, client_id: str) -> tuple[Bearer, tuple[str, ...]] | str:
        """Consume the answer and return it; before that, return the error for the device (RFC 8628 §3.5)."""
        now = self._clock()
        with self._lock:
            code = self._codes.get(value)
            if code is None or code.app.client_id != client_id:
                return "invalid_grant"
            too_fast = code.asked_at is not None and now - code.asked_at < code.interval
            code.asked_at = now
            if code.expires_at <= now:
                return "expired_token"
            if too_fast:
                code.interval += _SLOW_DOWN_SECONDS
                return "slow_down"
            if code.answer is None:
                return "authorization_pending"
            del self._codes[value]
            return code.answer
