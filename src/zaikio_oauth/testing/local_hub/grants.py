"""What a local Hub has handed out: codes and tokens. In memory, gone with the process."""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from zaikio_oauth.testing.local_hub.directory import ROLES, HubApp
from zaikio_oauth.testing.local_hub.signing_keys import SigningKeys

__all__ = ["Bearer", "Code", "Grants", "IssuedToken"]


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whose a token is, and who acts on behalf of that organization, with which roles."""

    type: str
    id: str
    person_id: str | None = None
    roles: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """As the JWT's ``sub`` says it."""
        behalf = f"Person/{self.person_id}>" if self.person_id else ""
        return f"{behalf}{self.type}/{self.id}"


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code and what it is bound to."""

    value: str = field(repr=False)
    client_id: str
    redirect_uri: str
    bearer: Bearer
    scopes: tuple[str, ...]
    code_challenge: str | None = field(repr=False)
    expires_at: float


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """An access token, with the refresh token that came with it."""

    token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    jti: str
    client_id: str
    audience: str
    bearer: Bearer
    scopes: tuple[str, ...]
    expires_at: float
    refresh_expires_at: float | None
    code: str | None = field(repr=False, default=None)
    delegated: bool = False


class Grants:
    """Issues, finds, spends and revokes. Safe to be asked from another thread than the Hub's."""

    def __init__(self, keys: SigningKeys, clock: Callable[[], float] = time.time) -> None:
        self.keys = keys
        self.clock = clock
        self.opaque_tokens = False
        self._lock = threading.RLock()
        self._codes: dict[str, Code] = {}
        self._spent_codes: set[str] = set()
        self._tokens: dict[str, IssuedToken] = {}
        self._refresh_tokens: dict[str, IssuedToken] = {}
        self._revoked: dict[str, float] = {}
        self._granted: dict[tuple[str, str, str], set[str]] = {}

    # --- codes ----------------------------------------------------------------------------------------

    def issue_code(
        self,
        app: HubApp,
        bearer: Bearer,
        scopes: tuple[str, ...],
        *,
        redirect_uri: str,
        code_challenge: str | None,
        lifetime: float,
    ) -> Code:
        """A new code for the browser to carry; its scopes count as granted by the bearer."""
        expires_at = self.clock() + lifetime
        value = secrets.token_urlsafe(24)
        code = Code(value, app.client_id, redirect_uri, bearer, scopes, code_challenge, expires_at)
        with self._lock:
            self._codes[code.value] = code
            self.grant(code.client_id, code.bearer, code.scopes)
        return code

    def take_code(self, value: str) -> Code | None:
        """The code, once; a second use revokes what the first one gave (RFC 6749 §4.1.2)."""
        with self._lock:
            if value in self._spent_codes:
                for issued in [each for each in self._tokens.values() if each.code == value]:
                    self.revoke(issued.jti)
                return None
            code = self._codes.pop(value, None)
            if code is None:
                return None
            self._spent_codes.add(value)
            return code if code.expires_at > self.clock() else None

    # --- tokens ---------------------------------------------------------------------------------------

    def issue(
        self,
        app: HubApp,
        bearer: Bearer,
        scopes: tuple[str, ...],
        *,
        issuer: str,
        lifetime: float,
        refresh_lifetime: float | None,
        code: str | None = None,
        audience: str | None = None,
        delegated: bool = False,
    ) -> IssuedToken:
        """A new access token, with a refresh token where it has a lifetime."""
        now, jti = self.clock(), str(uuid.uuid4())
        claims: dict[str, Any] = {
            "iss": "ZAI",
            "sub": bearer.subject,
            "aud": [audience or app.name],
            "jti": jti,
            "nbf": int(now) - 1,
            "exp": int(now + lifetime),
            "jku": f"{issuer}/api/v1/jwt_public_keys.json",
            "scope": list(scopes),
        }
        if bearer.person_id:
            claims["roles"] = sum(1 << ROLES.index(role) for role in bearer.roles)
        issued = IssuedToken(
            token=secrets.token_urlsafe(40) if self.opaque_tokens else self.keys.sign(claims),
            refresh_token=secrets.token_urlsafe(40) if refresh_lifetime else None,
            jti=jti,
            client_id=app.client_id,
            audience=audience or app.name,
            bearer=bearer,
            scopes=scopes,
            expires_at=now + lifetime,
            refresh_expires_at=now + refresh_lifetime if refresh_lifetime else None,
            code=code,
            delegated=delegated,
        )
        with self._lock:
            self._tokens[issued.token] = issued
            if issued.refresh_token:
                self._refresh_tokens[issued.refresh_token] = issued
        return issued

    def find_refresh_token(self, value: str, client_id: str) -> IssuedToken | None:
        """What this refresh token of that client belongs to, while it is good."""
        with self._lock:
            issued = self._refresh_tokens.get(value)
            if issued is None or issued.client_id != client_id or (issued.refresh_expires_at or 0) <= self.clock():
                return None
            return issued

    def take_refresh_token(self, value: str, client_id: str) -> IssuedToken | None:
        """The same, once."""
        with self._lock:
            issued = self.find_refresh_token(value, client_id)
            if issued is not None:
                del self._refresh_tokens[value]
            return issued

    def find(self, token: str) -> IssuedToken | None:
        """The token, while it is good."""
        with self._lock:
            issued = self._tokens.get(token)
            if issued is None or issued.jti in self._revoked or issued.expires_at <= self.clock():
                return None
            return issued

    # --- what was granted before ------------------------------------------------------------------------

    def grant(self, client_id: str, bearer: Bearer, scopes: tuple[str, ...]) -> None:
        """Remember that the bearer has granted these scopes to the app; acting on behalf grants nothing for later."""
        if bearer.person_id is not None:
            return
        with self._lock:
            self._granted.setdefault((client_id, bearer.type, bearer.id), set()).update(scopes)

    def granted(self, client_id: str, bearer: Bearer) -> set[str]:
        """What the bearer has granted to the app."""
        with self._lock:
            return set(self._granted.get((client_id, bearer.type, bearer.id), ()))

    # --- the end of tokens ------------------------------------------------------------------------------

    def bearer_of(self, jti: str) -> Bearer | None:
        """Whose token it is, good or not."""
        with self._lock:
            return next((issued.bearer for issued in self._tokens.values() if issued.jti == jti), None)

    def revoke(self, jti: str) -> None:
        """Revoke the token of that id, and the refresh token that came with it."""
        with self._lock:
            for issued in self._tokens.values():
                if issued.jti == jti:
                    self._revoked[jti] = issued.expires_at
                    self._refresh_tokens.pop(issued.refresh_token or "", None)

    def revoked(self) -> list[str]:
        """The ids that are revoked and would otherwise still be good."""
        with self._lock:
            return [jti for jti, expires_at in self._revoked.items() if expires_at > self.clock()]

    def spend_refresh_tokens(self) -> None:
        """No refresh token handed out so far works any more."""
        with self._lock:
            self._refresh_tokens.clear()

    def expire_access_tokens(self) -> None:
        """No access token handed out so far works any more."""
        with self._lock:
            ended: Mapping[str, IssuedToken] = self._tokens
            self._tokens = {token: replace(issued, expires_at=self.clock()) for token, issued in ended.items()}
