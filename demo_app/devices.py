"""Devices that are waiting for a person to approve them."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass

from zaikio_oauth import AccessToken, DeviceAuthorization, OAuthError, start_device_authorization

__all__ = ["Devices", "Waiting"]

MOST = 100

_STATES = {"access_denied": "cancelled", "expired_token": "expired"}


@dataclass
class Waiting:
    """A device, and the task that waits for the outcome."""

    device: DeviceAuthorization
    outcome: asyncio.Task[AccessToken]

    @property
    def state(self) -> str:
        """``waiting``, ``connected``, ``cancelled``, ``expired`` or ``failed``."""
        if not self.outcome.done():
            return "waiting"
        if self.outcome.cancelled():
            return "failed"
        error = self.outcome.exception()
        if error is None:
            return "connected"
        return _STATES.get(error.code, "failed") if isinstance(error, OAuthError) else "failed"


class Devices:
    """The devices of one process, in memory, by a random ID. The oldest ones are dropped when there are too many."""

    def __init__(self) -> None:
        self._waiting: dict[str, Waiting] = {}

    async def start(self) -> str:
        """Start a device and return its ID; raises ZaikioOAuthError."""
        device = await start_device_authorization()
        device_id = secrets.token_urlsafe(24)
        self._waiting[device_id] = Waiting(device, asyncio.create_task(device.wait()))
        while len(self._waiting) > MOST:
            self.forget(next(iter(self._waiting)))
        return device_id

    def get(self, device_id: str | None) -> Waiting | None:
        """Return the device with this ID."""
        return self._waiting.get(device_id or "")

    def forget(self, device_id: str | None) -> None:
        """Stop waiting for this device; a token that is already stored remains stored."""
        if waiting := self._waiting.pop(device_id or "", None):
            waiting.outcome.cancel()

    async def aclose(self) -> None:
        """Stop waiting for all devices."""
        outcomes = [waiting.outcome for waiting in self._waiting.values()]
        for device_id in list(self._waiting):
            self.forget(device_id)
        await asyncio.gather(*outcomes, return_exceptions=True)
