"""Whether the Hub can be reached: how fast it answers, and what its clock shows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta

from zaikio_oauth.errors import InvalidResponseError
from zaikio_oauth.hub.http import HubHttp, RequestKind
from zaikio_oauth.hub.signing_keys import KEYS_PATH, rsa_keys
from zaikio_oauth.settings.retries_and_waits import CHECK_DEADLINE

__all__ = ["HubAnswer", "ask"]


@dataclass(frozen=True, slots=True)
class HubAnswer:
    """How many seconds it took the Hub to answer, and how far its clock is ahead of ours, if it says."""

    seconds: float
    clock_ahead: timedelta | None


async def ask(http: HubHttp) -> HubAnswer:
    """Fetch the Hub's signing keys, once; raises HubUnavailableError, InvalidResponseError for what no Hub answers.

    The difference between the clocks is exact to a second, plus the time that the answer took.
    """
    started = time.monotonic()
    response = await http.request("GET", KEYS_PATH, kind=RequestKind.IDEMPOTENT, within=CHECK_DEADLINE, once=True)
    if response.status_code >= 300:
        raise InvalidResponseError(f"it answers {response.status_code} where the Hub publishes its keys.")
    rsa_keys(response.body)
    ahead = response.date - response.received_at if response.date else None
    return HubAnswer(time.monotonic() - started, ahead)
