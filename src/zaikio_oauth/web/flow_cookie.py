"""Flows in the browser: one encrypted cookie for each, so that tabs do not disturb one another.

The name of a cookie follows from the state, so parallel starts never overwrite each other and a callback finds its own.
Old ones are deleted at each start, because servers reject requests whose headers are too large.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import astuple, fields, replace

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from starlette.requests import Request
from starlette.responses import Response

from zaikio_oauth.web.flow import LIFETIME, Callback, Flow

__all__ = ["FlowCookies", "flow_fernet"]

MAX_FLOWS = 10
"""As many tabs as a browser restores at once; new flows displace the oldest."""

MAX_BYTES = 6_000
"""What all flows together may take of a header line; nginx rejects lines over 8 KiB."""

_NAME = "zaikio_flow_"
_FORMAT = 2
_PURPOSE = b"zaikio_oauth flow cookie"


def flow_fernet(encryption_keys: Iterable[str]) -> MultiFernet:
    """Return the encryption of flow cookies, with keys derived from these.

    Derived, so that a ciphertext from the database is never accepted as a cookie, nor the reverse.
    """
    return MultiFernet([Fernet(_derived(key)) for key in encryption_keys])


def _derived(key: str) -> bytes:
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE)
    return base64.urlsafe_b64encode(derivation.derive(base64.urlsafe_b64decode(key)))


class FlowCookies:
    """The flow cookies of one request. The browser sends them to ``path`` only."""

    def __init__(self, request: Request, fernet: MultiFernet, *, path: str, secure: bool) -> None:
        self._carried = request.cookies
        self._fernet = fernet
        self._path = path
        self._secure = secure

    def find(self, callback: Callback, path_client: str | None, state: str) -> Flow | None:
        """Return the flow that this browser started for this route, client and state, unless it has expired."""
        flow = self._decrypted(self._carried.get(_name(callback, path_client, state), ""))
        if flow is None or flow.expired():
            return None
        started_for = (flow.callback, flow.path_client, flow.state)
        return flow if started_for == (callback, path_client, state) else None

    def add(self, response: Response, flow: Flow) -> None:
        """Give this flow to the browser, and delete those that have expired or are too many."""
        # The padding would have the value quoted, and not every proxy reads quoted cookies.
        value = self._fernet.encrypt(_dump(flow).encode()).decode("ascii").rstrip("=")
        name = _name_of(flow)
        self._make_room(response, name, len(name) + len(value))
        response.set_cookie(
            name, value, max_age=LIFETIME, path=self._path, secure=self._secure, httponly=True, samesite="lax"
        )

    def delete(self, response: Response, flow: Flow) -> None:
        """Delete a flow that was completed."""
        self._delete(response, _name_of(flow))

    def _make_room(self, response: Response, new: str, size: int) -> None:
        others = [name for name in self._carried if name.startswith(_NAME) and name != new]
        flows = {name: self._decrypted(self._carried[name]) for name in others}
        newest_first = sorted(others, key=lambda name: flow.started_at if (flow := flows[name]) else 0, reverse=True)
        for count, name in enumerate(newest_first, start=2):
            flow = flows[name]
            size += len(name) + len(self._carried[name])
            if flow is None or flow.expired() or count > MAX_FLOWS or size > MAX_BYTES:
                self._delete(response, name)

    def _delete(self, response: Response, name: str) -> None:
        response.delete_cookie(name, path=self._path, secure=self._secure, httponly=True, samesite="lax")

    def _decrypted(self, value: str) -> Flow | None:
        try:
            return _load(self._fernet.decrypt(value + "=" * (-len(value) % 4)).decode())
        except (InvalidToken, UnicodeError):
            return None


def _name_of(flow: Flow) -> str:
    return _name(flow.callback, flow.path_client, flow.state)


def _name(callback: Callback, path_client: str | None, state: str) -> str:
    # A state may contain what the name of a cookie may not, and may be of any length.
    digest = hashlib.sha256("\0".join((callback, path_client or "", state)).encode("utf-8", "surrogatepass"))
    return _NAME + digest.hexdigest()[:16]


def _dump(flow: Flow) -> str:
    """Return the flow as a list without names, because it travels with every request to our paths."""
    return json.dumps([_FORMAT, *astuple(flow)], separators=(",", ":"), ensure_ascii=False)


def _load(text: str) -> Flow | None:
    version, *values = json.loads(text)
    # Another version of ours may have encrypted it, with the same key.
    if version != _FORMAT:
        return None
    flow = Flow(**dict(zip((field.name for field in fields(Flow)), values, strict=True)))
    return replace(flow, scopes=tuple(flow.scopes), parameters=tuple((name, value) for name, value in flow.parameters))
