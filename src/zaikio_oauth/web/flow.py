"""Flow: a login or connection under way, from the authorization request to its response (RFC 6749 §4.1, RFC 7636).

Everything about it is here: its state and its code verifier, how long it lives, how often it is started again, and
which parameters of a request are passed on to the Hub.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal
from urllib.parse import urlencode

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import Secret

__all__ = [
    "LIFETIME",
    "Callback",
    "Flow",
    "generate_code_verifier",
    "generate_state",
    "hub_parameters",
    "possible_state",
    "s256_code_challenge",
    "started_long_ago",
    "usable_state",
]

LIFETIME = 600
"""The seconds after which a flow can no longer be completed."""

MAX_ATTEMPTS = 3
"""How often a flow is started again whose code the Hub does not accept."""

MAX_PARAMETERS_BYTES = 1500
"""How much of an address the parameters for the Hub may take; many servers accept no more than 8 KiB of it."""

Callback = Literal["sessions", "connections"]
"""The routes below which ``approve`` completes a flow."""

_HUB_PARAMETER = re.compile(
    r"\A(?:show_signup|force_login|prompt|prompt_email_confirmation|lang|login|signup"
    r"|(?:person|organization)(?:\[[a-z_]{1,40}\])+(?:\[\])?)\Z"
)
_CHOSEN_STATE = re.compile(r"\A[\x21-\x7e]{1,255}\Z")
_RETURNED_STATE = re.compile(r"\A[\x20-\x7e]{1,2000}\Z")
_STATE_WITH_TIME = re.compile(r"\A[A-Za-z0-9_-]{43}([0-9a-f]{8})\Z")


def generate_code_verifier() -> str:
    """Return a fresh ``code_verifier``: 43 URL-safe characters from 32 random octets (RFC 7636 §4.1)."""
    return Secret(secrets.token_urlsafe(32))


def s256_code_challenge(code_verifier: str) -> str:
    """Return ``BASE64URL(SHA256(ASCII(code_verifier)))`` without padding (RFC 7636 §4.2)."""
    digest = hashlib.sha256(code_verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def hub_parameters(query: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return those of a request's parameters that the Hub's authorization endpoint understands.

    Hub documentation, "Redirect flow". Prefilled data keeps its bracket notation, and is the first to be left out if
    there is too much. What is given several times is left out as well (RFC 6749 §3.1), unless it is a list.
    """
    known = [(name, value) for name, value in query if _HUB_PARAMETER.match(name)]
    times = Counter(name for name, _ in known)
    kept = tuple((name, value) for name, value in known if times[name] == 1 or name.endswith("[]"))
    while len(urlencode(kept)) > MAX_PARAMETERS_BYTES:
        kept = without_longest(kept)
    return kept


def without_longest(parameters: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return the parameters without the longest prefilled one, or if there is none without the longest one."""
    prefilled = [pair for pair in parameters if "[" in pair[0]]
    longest = max(prefilled or parameters, key=lambda pair: len(urlencode([pair])))
    return tuple(pair for pair in parameters if pair is not longest)


def generate_state() -> str:
    """Return a fresh ``state``: 43 URL-safe characters from 32 random octets (RFC 6749 §10.12), and the time.

    The browser drops the flow's cookie after ten minutes. The time lets the log tell a late callback from others.
    """
    return f"{secrets.token_urlsafe(32)}{int(time.time()):08x}"


def started_long_ago(state: str) -> bool:
    """Return True if a state that we made says that its flow has expired. Anybody may have written it."""
    match = _STATE_WITH_TIME.match(state)
    return match is not None and time.time() - int(match[1], 16) >= LIFETIME


def usable_state(state: str | None) -> str | None:
    """Return the state that an app has chosen, or None if it has not or if the state cannot be used."""
    return state if state is not None and _CHOSEN_STATE.match(state) else None


def possible_state(state: str | None) -> str | None:
    """Return the state of a callback, or None if nobody can have sent it to the Hub (RFC 6749 §A.5: ``1*VSCHAR``)."""
    return state if state is not None and _RETURNED_STATE.match(state) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """An authorization request (RFC 6749 §4.1.1) and what is needed to complete it.

    ``host`` is the Hub to which it was sent, for the client ``client_name``, which had this ``client_id`` then, and
    ``approve_path`` the path at which it ends, as the browser sees it. It is good for no other: a code must not be sent
    to another Hub or by another client (RFC 9700 §4.4, mix-up).
    ``chosen_state`` is True if the app chose ``state``. ``code_verifier`` is None only for a flow that the app started
    without us. ``started_at`` is in seconds since the epoch.
    """

    host: str
    client_name: str
    client_id: str
    approve_path: str
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str = field(default_factory=generate_state)
    code_verifier: str | None = field(default_factory=generate_code_verifier, repr=False)
    origin: str | None = None
    parameters: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    chosen_state: bool = False
    attempt: int = 0
    started_at: int = field(default_factory=lambda: int(time.time()))

    def started_again(self) -> Flow | None:
        """Return the same flow with fresh secrets, or None after three attempts."""
        if self.attempt >= MAX_ATTEMPTS:
            return None
        return replace(
            self,
            state=self.state if self.chosen_state else generate_state(),
            code_verifier=generate_code_verifier(),
            attempt=self.attempt + 1,
            started_at=int(time.time()),
        )

    @property
    def expires_at(self) -> datetime:
        """The instant after which the flow can no longer be completed."""
        return datetime.fromtimestamp(self.started_at, UTC) + timedelta(seconds=LIFETIME)

    def expired(self, now: float | None = None) -> bool:
        """Return True if the flow can no longer be completed; ``now`` is in seconds since the epoch."""
        return (time.time() if now is None else now) - self.started_at >= LIFETIME

    def shorter(self) -> Flow | None:
        """Return the flow without one thing that it can do without, or None if there is no more such thing.

        First prefilled data, the longest first, then the origin, then the other parameters for the Hub.
        """
        if self.origin and not any("[" in name for name, _ in self.parameters):
            return replace(self, origin=None)
        return replace(self, parameters=without_longest(self.parameters)) if self.parameters else None

    def parameter(self, name: str) -> str | None:
        """Return the value of one of the parameters for the Hub, or None."""
        return dict(self.parameters).get(name)

    @property
    def url(self) -> str:
        """The address of the Hub's authorization endpoint with every parameter of this request."""
        query = [
            ("client_id", self.client_id),
            ("redirect_uri", self.redirect_uri),
            ("response_type", "code"),
            ("scope", scope_rules.join(self.scopes)),
            ("state", self.state),
            # Only a flow that is started here is sent to the Hub, so it has a verifier.
            ("code_challenge", s256_code_challenge(self.code_verifier or "")),
            ("code_challenge_method", "S256"),
            *self.parameters,
        ]
        return f"{self.host}/oauth/authorize?{urlencode(query)}"
