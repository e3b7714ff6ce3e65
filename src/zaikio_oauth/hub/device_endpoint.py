"""The device authorization endpoint, ``POST /oauth/device_authorizations/authorize`` (RFC 8628 §3.1, §3.2)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.errors import InvalidResponseError
from zaikio_oauth.hub.error_response import successful_body
from zaikio_oauth.hub.http import HubHttp, RequestKind
from zaikio_oauth.hub.token_response import instant_of
from zaikio_oauth.settings import ClientSettings

__all__ = ["DeviceAuthorizationResponse", "request_device_authorization"]

_PATH = "/oauth/device_authorizations/authorize"
_DEFAULT_INTERVAL = 5.0
"""RFC 8628 §3.2: "If no value is provided, clients MUST use 5 as the default"."""

_LONGEST_TEXT = 1024
"""Of characters; an address becomes a QR code, which cannot hold more than about twice as much."""

_SHORTEST_INTERVAL, _LONGEST_INTERVAL = 1.0, 300.0


@dataclass(frozen=True, slots=True)
class DeviceAuthorizationResponse:
    """A device authorization response (RFC 8628 §3.2); ``interval`` is in seconds."""

    device_code: str = field(repr=False)
    user_code: str = field(repr=False)
    verification_uri: str
    verification_uri_complete: str | None = field(repr=False)
    expires_at: datetime
    interval: float
    received_at: datetime


async def request_device_authorization(
    http: HubHttp, client: ClientSettings, *, scopes: Iterable[str]
) -> DeviceAuthorizationResponse:
    """Request the codes for a device of this client.

    Raises OAuthError and its subclasses, InvalidResponseError, HubUnavailableError.
    """
    data = {"client_id": client.client_id, "scope": scope_rules.join(scopes)}
    response = await http.request("POST", _PATH, data=data, kind=RequestKind.IDEMPOTENT)
    body = successful_body(response)
    if body.get("expires_in") is None:
        raise InvalidResponseError("The Hub's response does not say how long the device code lives.")
    complete = body.get("verification_uri_complete")
    return DeviceAuthorizationResponse(
        device_code=_text(body, "device_code"),
        user_code=_text(body, "user_code"),
        verification_uri=_address(body, "verification_uri"),
        verification_uri_complete=None if complete is None else _address(body, "verification_uri_complete"),
        expires_at=instant_of(body["expires_in"], response.received_at),
        interval=_interval(body.get("interval")),
        received_at=response.received_at,
    )


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    # It is shown to people, also in a terminal, where a control character could do anything.
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT or not value.isprintable():
        raise InvalidResponseError(f"The Hub's response has no {name}.")
    return value


def _address(body: Mapping[str, Any], name: str) -> str:
    value = _text(body, name)
    # It becomes a link on a page.
    if not value.startswith(("https://", "http://")):
        raise InvalidResponseError(f"The Hub's response has a {name} that is not a web address.")
    return value


def _interval(value: Any) -> float:
    try:
        seconds = float(_DEFAULT_INTERVAL if value is None else value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise InvalidResponseError("The Hub's response has an interval that is not a number.")
    return min(max(seconds, _SHORTEST_INTERVAL), _LONGEST_INTERVAL)
