"""What one started login remembers until the Hub sends the browser back (RFC 6749 §4.1.1, RFC 7636)."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import urlencode

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.web.pkce import generate_code_verifier, s256_code_challenge

__all__ = ["AuthorizationRequest", "hub_parameters"]

LIFETIME = 600
"""Seconds after which a started flow is over."""

FRESH_STARTS = 3
"""How often a flow whose code fails is started anew."""

_HUB_PARAMETER = re.compile(
    r"\A(?:show_signup|force_login|prompt|prompt_email_confirmation|lang|login|signup"
    r"|(?:person|organization)(?:\[[a-z_]{1,40}\])+(?:\[\])?)\Z"
)
_STATE = re.compile(r"\A[\x21-\x7e]{1,255}\Z")
_LONGEST_PARAMETERS = 1024


def hub_parameters(query: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Those of a request's parameters that the Hub's authorize page understands; the rest is dropped.

    Hub documentation, "Redirect flow". Prefilled data keeps its bracket notation.
    """
    kept = tuple((name, value) for name, value in query if _HUB_PARAMETER.match(name))
    # They travel in a cookie: what would not fit there is left out, prefilled data first.
    while kept and sum(len(name) + len(value) for name, value in kept) > _LONGEST_PARAMETERS:
        bracketed = [pair for pair in kept if "[" in pair[0]]
        longest = max(bracketed or kept, key=lambda pair: len(pair[1]))
        kept = tuple(pair for pair in kept if pair is not longest)
    return kept


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """One authorization request on its way.

    ``route`` is the kind of callback it returns to (``sessions`` or ``connections``), ``path_client``
    the client's name if it stood in the path. ``chosen_state`` tells that the caller passed ``state``.
    """

    route: Literal["sessions", "connections"]
    client_name: str
    path_client: str | None
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str
    code_verifier: str | None = field(repr=False)
    origin: str | None = None
    parameters: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    chosen_state: bool = False
    attempt: int = 0
    started_at: int = 0

    @classmethod
    def start(
        cls,
        *,
        route: Literal["sessions", "connections"],
        client_name: str,
        path_client: str | None,
        redirect_uri: str,
        scopes: tuple[str, ...],
        origin: str | None = None,
        state: str | None = None,
        parameters: tuple[tuple[str, str], ...] = (),
    ) -> AuthorizationRequest:
        """A new one, with a fresh ``code_verifier``, and a fresh ``state`` unless the caller chose a usable one."""
        chosen = state is not None and bool(_STATE.match(state))
        return cls(
            route=route,
            client_name=client_name,
            path_client=path_client,
            redirect_uri=redirect_uri,
            scopes=scopes,
            state=state if chosen and state else secrets.token_urlsafe(32),
            code_verifier=generate_code_verifier(),
            origin=origin,
            parameters=parameters,
            chosen_state=chosen,
            started_at=int(time.time()),
        )

    def started_anew(self) -> AuthorizationRequest | None:
        """The same request once more, with fresh secrets; None after three fresh starts."""
        if self.attempt >= FRESH_STARTS:
            return None
        return replace(
            self,
            state=self.state if self.chosen_state else secrets.token_urlsafe(32),
            code_verifier=generate_code_verifier(),
            attempt=self.attempt + 1,
            started_at=int(time.time()),
        )

    def over(self, now: float | None = None) -> bool:
        """Whether it is too old to be answered; ``now`` in seconds since the epoch."""
        return (time.time() if now is None else now) - self.started_at >= LIFETIME

    def parameter(self, name: str) -> str | None:
        """The value that the start was given for one of the Hub's parameters."""
        return dict(self.parameters).get(name)

    def url(self, host: str, client_id: str) -> str:
        """Where the browser is sent: the Hub's authorization endpoint with every parameter."""
        query = [
            ("client_id", client_id),
            ("redirect_uri", self.redirect_uri),
            ("response_type", "code"),
            ("scope", scope_rules.join(self.scopes)),
            ("state", self.state),
            *_code_challenge(self.code_verifier),
            *self.parameters,
        ]
        return f"{host}/oauth/authorize?{urlencode(query)}"


def _code_challenge(code_verifier: str | None) -> list[tuple[str, str]]:
    # Only a request that the app made without us has no verifier, and that one is not sent again.
    if code_verifier is None:
        return []
    return [("code_challenge", s256_code_challenge(code_verifier)), ("code_challenge_method", "S256")]
