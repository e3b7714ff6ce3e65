"""``POST /oauth/delegate``: a part of a token's permissions for a subsystem's app (Hub documentation, "Delegation")."""

from __future__ import annotations

from collections.abc import Iterable

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.hub.token_response import TokenResponse, token_response

__all__ = ["delegate"]

_PATH = "/oauth/delegate"


async def delegate(
    http: HubHttp, *, token: str, client_id: str, scopes: Iterable[str], deadline: float = 30.0
) -> TokenResponse:
    """A token for the app with that ``client_id``; raises OAuthError and its kinds, HubUnavailableError."""
    data = {"client_id": client_id, "delegate_access_scope": scope_rules.join(scopes)}
    answer = await http.request("POST", _PATH, data=data, bearer=token, deadline=deadline, repeatable=True)
    return token_response(answer)
