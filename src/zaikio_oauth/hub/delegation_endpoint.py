"""The delegation endpoint, ``POST /oauth/delegate`` (Hub documentation, "Delegation")."""

from __future__ import annotations

from collections.abc import Iterable

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.hub.http import HubHttp, RequestKind
from zaikio_oauth.hub.token_response import TokenResponse, token_response

__all__ = ["delegate"]

_PATH = "/oauth/delegate"


async def delegate(http: HubHttp, *, token: str, client_id: str, scopes: Iterable[str]) -> TokenResponse:
    """Request a token for the app with that ``client_id``, with some of the scopes of ``token``.

    Raises OAuthError and its subclasses, InvalidResponseError, HubUnavailableError.
    """
    data = {"client_id": client_id, "delegate_access_scope": scope_rules.join(scopes)}
    return token_response(await http.request("POST", _PATH, data=data, bearer=token, kind=RequestKind.IDEMPOTENT))
