"""Flows in the browser: one encrypted cookie for each, so that tabs do not disturb one another.

The name of a cookie follows from the state, so parallel starts never overwrite each other and a callback finds its own.
Old ones are deleted at each start, because servers reject requests whose headers are too large.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import fields, replace
from operator import attrgetter
from typing import NamedTuple

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from starlette.requests import Request
from starlette.responses import Response

from zaikio_oauth.access_token import Secret
from zaikio_oauth.web.flow import LIFETIME, Flow, started_long_ago
from zaikio_oauth.web.lost_flow import Cause

__all__ = ["FlowCookies", "flow_fernet"]

MAX_FLOWS = 10
"""As many tabs as a browser restores at once; new flows displace the oldest."""

MAX_BYTES = 6_000
"""What all flows together may take of a header line; nginx rejects lines over 8 KiB."""

MAX_COOKIE_BYTES = 4_096
"""What a browser keeps of one cookie: its name, its value and its attributes (RFC 6265 §6.1)."""

_NAME = "zaikio_flow_"
_FORMAT = 3
_PURPOSE = b"zaikio_oauth flow cookie"
_FIELDS = [field.name for field in fields(Flow)]
_values = attrgetter(*_FIELDS)


def flow_fernet(encryption_keys: Iterable[str]) -> MultiFernet:
    """Return the encryption of flow cookies, with keys derived from these.

    Derived, so that a ciphertext from the database is never accepted as a cookie, nor the reverse.
    """
    return MultiFernet([Fernet(_derived(key)) for key in encryption_keys])


def _derived(key: str) -> bytes:
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE)
    return base64.urlsafe_b64encode(derivation.derive(base64.urlsafe_b64decode(key)))


class _Cookie(NamedTuple):
    """A flow, and what the browser gets for it: a header, and so many bytes of each request to our paths."""

    flow: Flow
    name: str
    header: str
    size: int


class FlowCookies:
    """The flow cookies of one request. The browser sends them to ``path`` only."""

    def __init__(self, request: Request, fernet: MultiFernet, *, path: str, secure: bool) -> None:
        self._carried = request.cookies
        self._fernet = fernet
        self._path = path
        self._secure = secure
        self._last: _Cookie | None = None

    def find(self, host: str, approve_path: str, state: str) -> Flow | None:
        """Return the flow that this browser started with this state, at this Hub, for this route, even if expired."""
        flow = self._decrypted(self._carried.get(_name(host, approve_path, state), ""))
        if flow is None or (flow.host, flow.approve_path, flow.state) != (host, approve_path, state):
            return None
        return flow

    def why_not_found(self, host: str, approve_path: str, state: str, client_name: str) -> Cause:
        """Return why ``find`` has found nothing for a callback to this client."""
        carried = [name for name in self._carried if name.startswith(_NAME)]
        if _name(host, approve_path, state) in carried:
            return "unreadable_cookie"
        flows = (self._decrypted(self._carried[name]) for name in carried)
        found = next((flow for flow in flows if flow is not None and flow.state == state), None)
        if found is None:
            if started_long_ago(state):
                return "expired"
            return "other_browser" if carried else "no_cookie"
        if found.host != host:
            return "other_hub"
        return "other_client" if found.client_name != client_name else "other_route"

    def fitting(self, flow: Flow) -> Flow | None:
        """Return the flow with as much of what is optional as a cookie can hold, or None if the rest is too long.

        A browser drops a cookie that is too long, and the person could not log in.
        """
        shorter: Flow | None = flow
        while shorter is not None and self._too_long(shorter):
            shorter = shorter.shorter()
        return shorter

    def add(self, response: Response, flow: Flow) -> None:
        """Give this flow, which has to be ``fitting``, to the browser; delete those that have ended or are too many."""
        cookie = self._cookie(flow)
        self._make_room(response, cookie.name, cookie.size)
        response.headers.append("set-cookie", cookie.header)

    def delete(self, response: Response, flow: Flow) -> None:
        """Delete a flow that was completed."""
        self._delete(response, _name(flow.host, flow.approve_path, flow.state))

    def _too_long(self, flow: Flow) -> bool:
        return len(self._cookie(flow).header.encode("latin-1")) > MAX_COOKIE_BYTES

    def _cookie(self, flow: Flow) -> _Cookie:
        if self._last is None or self._last.flow is not flow:
            name = _name(flow.host, flow.approve_path, flow.state)
            # The padding would have the value quoted, and not every proxy reads quoted cookies.
            value = self._fernet.encrypt(_dump(flow).encode()).decode("ascii").rstrip("=")
            made = Response()
            made.set_cookie(
                name, value, max_age=LIFETIME, path=self._path, secure=self._secure, httponly=True, samesite="lax"
            )
            self._last = _Cookie(flow, name, made.headers["set-cookie"], _as_sent(name, value))
        return self._last

    def _make_room(self, response: Response, new: str, size: int) -> None:
        others = [name for name in self._carried if name.startswith(_NAME) and name != new]
        flows = {name: self._decrypted(self._carried[name]) for name in others}
        # Of those that started in the same second, the ones that the browser names last (RFC 6265 §5.4).
        oldest_first = sorted(others, key=lambda name: flow.started_at if (flow := flows[name]) else 0)
        for count, name in enumerate(reversed(oldest_first), start=2):
            flow = flows[name]
            size += _as_sent(name, self._carried[name])
            if flow is None or flow.expired() or count > MAX_FLOWS or size > MAX_BYTES:
                self._delete(response, name)

    def _delete(self, response: Response, name: str) -> None:
        response.delete_cookie(name, path=self._path, secure=self._secure, httponly=True, samesite="lax")

    def _decrypted(self, value: str) -> Flow | None:
        try:
            return _load(self._fernet.decrypt(value + "=" * (-len(value) % 4)).decode())
        except (InvalidToken, ValueError):
            # ValueError for what is no ASCII: anybody can put a cookie into a browser.
            return None


def _name(host: str, approve_path: str, state: str) -> str:
    # A state may contain what the name of a cookie may not, and may be of any length.
    digest = hashlib.sha256(f"{host}\0{approve_path}\0{state}".encode("utf-8", "surrogatepass"))
    return _NAME + digest.hexdigest()[:16]


def _as_sent(name: str, value: str) -> int:
    """Return what a cookie takes of the header ``Cookie``, in bytes (RFC 6265 §4.2.1)."""
    return len(f"{name}={value}; ".encode())


def _dump(flow: Flow) -> str:
    """Return the flow as a list without names, because it travels with every request to our paths."""
    return json.dumps([_FORMAT, *_values(flow)], separators=(",", ":"), ensure_ascii=False)


def _load(text: str) -> Flow | None:
    version, *values = json.loads(text)
    # Another version of ours may have encrypted it, with the same key.
    if version != _FORMAT:
        return None
    flow = Flow(**dict(zip(_FIELDS, values, strict=True)))
    return replace(
        flow,
        scopes=tuple(flow.scopes),
        code_verifier=flow.code_verifier and Secret(flow.code_verifier),
        parameters=tuple((name, value) for name, value in flow.parameters),
    )
