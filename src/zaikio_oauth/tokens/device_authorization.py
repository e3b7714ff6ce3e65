"""A device without a browser of its own, which waits until a person has let it in elsewhere (RFC 8628)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.errors import HubUnavailableError, InvalidGrantError, InvalidResponseError, OAuthError
from zaikio_oauth.hub.device_endpoint import DeviceAuthorizationResponse
from zaikio_oauth.tokens.issuance import NOT_YET, Issuance

__all__ = ["DeviceAuthorization"]

SLOWER = 5.0
"""Seconds that are added to the interval at each ``slow_down`` (RFC 8628 §3.5)."""

LONGEST_PAUSE = 60.0
"""Seconds between two questions while the Hub does not answer, at most."""

log = logging.getLogger("zaikio_oauth")


class DeviceAuthorization:
    """What a person has to be shown, and ``wait()`` for what they decide (RFC 8628 §3.2, §3.4).

    Show ``user_code`` and ``verification_uri``; ``verification_uri_complete``, where the Hub gives one, has the code
    in it and makes a good QR code. All of it is worthless after ``expires_at`` (aware, UTC). ``interval`` is the
    seconds between two questions to the Hub.
    """

    def __init__(
        self,
        response: DeviceAuthorizationResponse,
        *,
        client_name: str,
        scopes: tuple[str, ...],
        issuance: Callable[[], Awaitable[Issuance]],
    ) -> None:
        self.client_name = client_name
        self.user_code = response.user_code
        self.verification_uri = response.verification_uri
        self.verification_uri_complete = response.verification_uri_complete
        self.expires_at: datetime = response.expires_at
        self.interval = response.interval
        self._device_code = response.device_code
        self._scopes = scopes
        self._issuance = issuance
        started = time.monotonic()
        self._deadline = started + (response.expires_at - response.received_at).total_seconds()
        self._next = started + self.interval
        self._pause = self.interval
        self._token: AccessToken | None = None
        self._failure: OAuthError | HubUnavailableError | InvalidResponseError | None = None
        self._trouble: HubUnavailableError | InvalidResponseError | None = None

    def __repr__(self) -> str:
        return (
            f"<DeviceAuthorization {self.client_name} at {self.verification_uri} until {self.expires_at:%H:%M:%S %Z}>"
        )

    async def wait(self) -> AccessToken:
        """The stored token, as soon as somebody has allowed it.

        Raises OAuthError, whose ``code`` is ``access_denied`` when the person cancelled and ``expired_token`` when
        nobody came in time; InvalidGrantError when the device code is spent; HubUnavailableError when the Hub did
        not answer until then; InvalidResponseError for an answer that is not what the protocol promises. May be
        cancelled and called again, also by several tasks: none of them loses the token for the others.
        """
        while self._token is None:
            if self._failure is not None:
                raise self._failure.with_traceback(None)
            now = time.monotonic()
            if now >= self._next:
                issuance = await self._issuance()
                await issuance.uninterrupted(lambda: self._ask(issuance), key=self)  # noqa: B023 (run at once)
            elif now >= self._deadline:
                self._failure = self._trouble or OAuthError("expired_token", "nobody has entered the code in time")
            else:
                await asyncio.sleep(min(self._next, self._deadline) - now)
        return self._token

    async def _ask(self, issuance: Issuance) -> None:
        try:
            self._token = await issuance.by_device_code(
                self.client_name, device_code=self._device_code, requested_scopes=self._scopes
            )
        except OAuthError as refusal:
            self._heard(refusal)
        except (HubUnavailableError, InvalidResponseError) as trouble:
            # §3.5: "unilaterally reduce their polling frequency".
            log.warning("The Hub could not be asked whether a device may come in: %s", trouble)
            self._trouble = trouble
            self._pause = min(self._pause * 2, max(LONGEST_PAUSE, self.interval))
            if isinstance(trouble, HubUnavailableError) and trouble.retry_after is not None:
                self._pause = max(self._pause, trouble.retry_after)
        self._next = time.monotonic() + self._pause

    def _heard(self, refusal: OAuthError) -> None:
        if refusal.code == "slow_down":
            self.interval += SLOWER
        if refusal.code in NOT_YET:
            self._trouble, self._pause = None, self.interval
        elif isinstance(refusal, InvalidGrantError) and self._trouble is not None:
            # The code was spent for an answer that did not arrive, or was none.
            self._failure = self._trouble
        else:
            self._failure = refusal
