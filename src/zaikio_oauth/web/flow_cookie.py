"""Started flows in the browser: one sealed cookie per flow, so that tabs do not disturb each other.

The name follows from the state, so parallel starts never overwrite each other and a callback finds
its own. Old ones are dropped at each new start: servers refuse requests whose headers grow too large.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.store.encryption import Cipher
from zaikio_oauth.web.flow import LIFETIME, AuthorizationRequest

__all__ = ["FlowCookies"]

MOST_FLOWS = 10
"""As many as a browser restores tabs in one go; the oldest give way to new ones."""

MOST_BYTES = 6_000
"""What all flows together may take of a header line; nginx refuses lines over 8 KiB."""

_NAME = "zaikio_flow_"
_FORMAT = 1


class FlowCookies:
    """Seals flows into cookies and finds them again. ``path`` is the only one that the browser sends them to."""

    def __init__(self, cipher: Cipher, *, path: str, secure: bool) -> None:
        self._cipher = cipher
        self._path = path
        self._secure = secure

    def find(self, request: Request, route: str, path_client: str | None, state: str) -> AuthorizationRequest | None:
        """The flow that this browser started for this route, client and state, if it is not over."""
        sealed = request.cookies.get(_name(route, path_client, state))
        flow = self._unseal(sealed) if sealed else None
        if flow is None or flow.over():
            return None
        started_for = (flow.route, flow.path_client, flow.state)
        return flow if started_for == (route, path_client, state) else None

    def put(self, request: Request, response: Response, flow: AuthorizationRequest) -> None:
        """Give the browser this flow, and take from it those that are over or too many."""
        # The padding would have the value quoted, and not every proxy reads quoted cookies.
        sealed = self._cipher.encrypt(_dump(flow)).rstrip("=")
        name = _name(flow.route, flow.path_client, flow.state)
        self._make_room(request, response, name, len(name) + len(sealed))
        response.set_cookie(
            name, sealed, max_age=LIFETIME, path=self._path, secure=self._secure, httponly=True, samesite="lax"
        )

    def drop(self, response: Response, flow: AuthorizationRequest) -> None:
        """Take a flow that was used from the browser."""
        self._delete(response, _name(flow.route, flow.path_client, flow.state))

    def _make_room(self, request: Request, response: Response, new: str, size: int) -> None:
        others = [name for name in request.cookies if name.startswith(_NAME) and name != new]
        flows = {name: self._unseal(request.cookies[name]) for name in others}
        newest_first = sorted(others, key=lambda name: flow.started_at if (flow := flows[name]) else 0, reverse=True)
        count = 1
        for name in newest_first:
            flow = flows[name]
            count += 1
            size += len(name) + len(request.cookies[name])
            if flow is None or flow.over() or count > MOST_FLOWS or size > MOST_BYTES:
                self._delete(response, name)

    def _delete(self, response: Response, name: str) -> None:
        response.delete_cookie(name, path=self._path, secure=self._secure, httponly=True, samesite="lax")

    def _unseal(self, sealed: str) -> AuthorizationRequest | None:
        opened = self._cipher.decrypt(sealed + "=" * (-len(sealed) % 4))
        return None if opened is None else _load(opened)


def _name(route: str, path_client: str | None, state: str) -> str:
    # A state may hold what a cookie's name may not, and may be as long as the caller likes.
    digest = hashlib.sha256("\0".join((route, path_client or "", state)).encode("utf-8", "surrogatepass"))
    return _NAME + digest.hexdigest()[:16]


def _dump(flow: AuthorizationRequest) -> str:
    """The flow as a short list: it travels with every request to our paths."""
    parts: list[Any] = [
        _FORMAT,
        flow.route,
        flow.client_name,
        flow.path_client,
        flow.redirect_uri,
        scope_rules.join(flow.scopes),
        flow.state,
        flow.code_verifier,
        flow.origin,
        flow.parameters,
        flow.chosen_state,
        flow.attempt,
        flow.started_at,
    ]
    return json.dumps(parts, separators=(",", ":"), ensure_ascii=False)


def _load(text: str) -> AuthorizationRequest | None:
    parts = json.loads(text)
    # Another version of ours may have sealed it, with the same key.
    if parts[0] != _FORMAT:
        return None
    _, route, client_name, path_client, redirect_uri, scopes, *rest = parts
    state, code_verifier, origin, parameters, chosen_state, attempt, started_at = rest
    return AuthorizationRequest(
        route=route,
        client_name=client_name,
        path_client=path_client,
        redirect_uri=redirect_uri,
        scopes=scope_rules.parse(scopes),
        state=state,
        code_verifier=code_verifier,
        origin=origin,
        parameters=tuple((name, value) for name, value in parameters),
        chosen_state=chosen_state,
        attempt=attempt,
        started_at=started_at,
    )
