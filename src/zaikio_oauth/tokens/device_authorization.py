"""A device without a browser that waits until a person has authorized it elsewhere (RFC 8628)."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import datetime

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.errors import (
    HubUnavailableError,
    InvalidGrantError,
    InvalidResponseError,
    OAuthError,
    StoreUnavailableError,
)
from zaikio_oauth.hub.device_endpoint import DeviceAuthorizationResponse
from zaikio_oauth.settings.retries_and_waits import DEVICE_LONGEST_PAUSE, DEVICE_SLOW_DOWN
from zaikio_oauth.tokens.issuance import DEVICE_PENDING, Issuance
from zaikio_oauth.tokens.runtime import Runtime

__all__ = ["DeviceAuthorization"]

log = logging.getLogger("zaikio_oauth")


class DeviceAuthorization:
    """The codes to show to a person, and ``wait()`` for their decision (RFC 8628 §3.2, §3.4).

    Show ``user_code`` and ``verification_uri``. ``verification_uri_complete``, if it is not None, contains the code and
    makes a good QR code. The codes expire at ``expires_at`` (aware, UTC). ``interval`` is the number of seconds between
    two requests to the Hub.

        device = await start_device_authorization(client_name="kiosk")
        print(f"Open {device.verification_uri} and enter {device.user_code}")
        access_token = await device.wait()
    """

    def __init__(
        self, response: DeviceAuthorizationResponse, *, client_name: str, scopes: tuple[str, ...], runtime: Runtime
    ) -> None:
        self.client_name = client_name
        self.user_code: str = response.user_code
        self.verification_uri: str = response.verification_uri
        self.verification_uri_complete: str | None = response.verification_uri_complete
        self.expires_at: datetime = response.expires_at
        self.interval: float = response.interval
        self._device_code = response.device_code
        self._scopes = scopes
        # The codes are good only at the Hub and for the client that issued them, whatever is configured later.
        self._runtime, self._configuration = runtime, runtime.configuration
        started = time.monotonic()
        self._deadline = started + (response.expires_at - response.received_at).total_seconds()
        self._next = started + self.interval
        self._pause = self.interval
        self._token: AccessToken | None = None
        self._failure: OAuthError | HubUnavailableError | InvalidResponseError | StoreUnavailableError | None = None
        self._last_fault: HubUnavailableError | InvalidResponseError | None = None

    def __repr__(self) -> str:
        return (
            f"<DeviceAuthorization {self.client_name} at {self.verification_uri} until {self.expires_at:%H:%M:%S %Z}>"
        )

    async def wait(self) -> AccessToken:
        """Wait for the person's decision and return the stored token.

        Raises OAuthError, whose ``code`` is ``access_denied`` if the person cancelled and ``expired_token`` if nobody
        entered the code in time; InvalidGrantError if the device code has been used; HubUnavailableError if the Hub
        did not answer until the codes expired; InvalidResponseError for a response that the protocol does not allow;
        StoreUnavailableError if the token could not be stored.
        May be cancelled and called again, also by several tasks: none of them loses the token for the others.
        """
        while self._token is None:
            if self._failure is not None:
                raise self._failure.with_traceback(None)
            now = time.monotonic()
            if now >= self._next:
                async with self._runtime.use(self._configuration) as parts:
                    issuance = parts.issuance
                    await parts.flights.run(self, lambda: self._poll(issuance))  # noqa: B023 (called at once)
            elif now >= self._deadline:
                self._failure = self._last_fault or OAuthError("expired_token", "nobody has entered the code in time")
            else:
                await asyncio.sleep(min(self._next, self._deadline) - now)
        return self._token

    async def _poll(self, issuance: Issuance) -> None:
        try:
            self._token = await issuance.device_code(
                self.client_name, device_code=self._device_code, requested_scopes=self._scopes
            )
        except OAuthError as error:
            self._handle(error)
        except StoreUnavailableError as error:
            # The code has been used, and what it was used for could not be stored as long as there was use in it.
            self._failure = error
        except (HubUnavailableError, InvalidResponseError) as fault:
            # §3.5: "unilaterally reduce their polling frequency".
            log.warning(
                "The Hub cannot be asked whether a device has been authorized: %s",
                fault,
                extra={"zaikio_event": "device.unavailable", "zaikio_client_name": self.client_name},
            )
            self._last_fault = fault
            self._pause = min(self._pause * 2, max(DEVICE_LONGEST_PAUSE, self.interval))
            if isinstance(fault, HubUnavailableError) and fault.retry_after is not None:
                self._pause = max(self._pause, fault.retry_after)
        self._next = time.monotonic() + self._pause

    def _handle(self, error: OAuthError) -> None:
        if error.code == "slow_down":
            self.interval += DEVICE_SLOW_DOWN
        if error.code in DEVICE_PENDING:
            self._last_fault, self._pause = None, self.interval
        elif isinstance(error, InvalidGrantError) and self._last_fault is not None:
            # The code was used for a response that did not arrive, or that was none.
            self._failure = self._last_fault
        else:
            self._failure = error
