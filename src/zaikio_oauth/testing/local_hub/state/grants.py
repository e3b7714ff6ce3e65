"""The authorization codes and tokens that a local Hub has issued, and the scopes that were granted."""

from __future__ import annotations

import secrets
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from zaikio_oauth.testing.local_hub.state.bearer import Bearer
from zaikio_oauth.testing.local_hub.state.directory import ROLES, HubApp
from zaikio_oauth.testing.local_hub.state.key_pairs import KeyPairs

__all__ = ["Code", "Grants", "IssuedToken"]


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code with everything it is bound to."""

    value: str = field(repr=False)
    client_id: str
    redirect_uri: str
    bearer: Bearer
    scopes: tuple[str, ...]
    code_challenge: str | None = field(repr=False)
    expires_at: float


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """An access token and the refresh token that was issued with it."""

    token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    jti: str
    client_id: str
    bearer: Bearer
    scopes: tuple[str, ...]
    expires_at: float
    refresh_expires_at: float | None
    code: str | None = field(repr=False, default=None)
    delegated: bool = False


class Grants:
    """Issues, finds, consumes and revokes codes and tokens. Thread-safe: tests use it while the Hub is serving."""

    def __init__(self, clock: Callable[[], float], keys: KeyPairs | None = None) -> None:
        self.keys: KeyPairs = KeyPairs() if keys is None else keys.copy()
        self.clock = clock
        self.opaque_tokens = False
        self._lock = threading.RLock()
        self._codes: dict[str, Code] = {}
        self._spent_codes: set[str] = set()
        self._tokens: dict[str, IssuedToken] = {}
        self._refresh_tokens: dict[str, IssuedToken] = {}
        self._revoked: dict[str, float] = {}
        self._granted: dict[tuple[str, str, str], set[str]] = {}

    # --- authorization codes ------------------------------------------------------------------------------

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
        """Issue an authorization code. Its scopes count as granted by the bearer from now on."""
        expires_at = self.clock() + lifetime
        value = secrets.token_urlsafe(24)
        code = Code(value, app.client_id, redirect_uri, bearer, scopes, code_challenge, expires_at)
        with self._lock:
            self._codes[code.value] = code
            self.grant(code.client_id, code.bearer, code.scopes)
        return code

    def take_code(self, value: str) -> Code | None:
        """Consume the code and return it. A second use revokes all tokens issued based on it (RFC 6749 §4.1.2)."""
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

    # --- tokens -------------------------------------------------------------------------------------------

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
        delegated: bool = False,
    ) -> IssuedToken:
        """Issue an access token, and a refresh token if ``refresh_lifetime`` is given."""
        now, jti = self.clock(), str(uuid.uuid4())
        claims: dict[str, Any] = {
            "iss": "ZAI",
            "sub": bearer.subject,
            "aud": [app.name],
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
        """Return the token that this refresh token of that client was issued with, while it is valid."""
        with self._lock:
            issued = self._refresh_tokens.get(value)
            if issued is None or issued.client_id != client_id or (issued.refresh_expires_at or 0) <= self.clock():
                return None
            return issued

    def take_refresh_token(self, value: str, client_id: str) -> IssuedToken | None:
        """Consume the refresh token and return the token that it was issued with."""
        with self._lock:
            issued = self.find_refresh_token(value, client_id)
            if issued is not None:
                del self._refresh_tokens[value]
            return issued

    def find(self, token: str) -> IssuedToken | None:
        """Return the access token, while it is valid."""
        with self._lock:
            issued = self._tokens.get(token)
            if issued is None or issued.jti in self._revoked or issued.expires_at <= self.clock():
                return None
            return issued

    # --- what survives a restart --------------------------------------------------------------------------

    def export(
        self,
    ) -> tuple[list[IssuedToken], list[str], dict[str, float], list[tuple[str, str, str, list[str]]]]:
        """Return the tokens that can still be used, the unused refresh tokens, the revoked ones, and what was granted.

        Authorization codes are left out: a login that is under way starts again.
        """
        with self._lock:
            now = self.clock()
            usable = [value for value, issued in self._refresh_tokens.items() if (issued.refresh_expires_at or 0) > now]
            tokens = [
                issued for issued in self._tokens.values() if issued.expires_at > now or issued.refresh_token in usable
            ]
            granted = [(*key, sorted(scopes)) for key, scopes in self._granted.items()]
            return tokens, usable, {jti: at for jti, at in self._revoked.items() if at > now}, granted

    def restore(
        self,
        tokens: Iterable[IssuedToken],
        refresh_tokens: Collection[str],
        revoked: Mapping[str, float],
        granted: Iterable[tuple[str, str, str, list[str]]],
    ) -> None:
        """Go on with what was exported."""
        with self._lock:
            self._tokens = {issued.token: issued for issued in tokens}
            self._refresh_tokens = {
                issued.refresh_token: issued
                for issued in self._tokens.values()
                if issued.refresh_token and issued.refresh_token in refresh_tokens
            }
            self._revoked = dict(revoked)
            self._granted = {(client_id, kind, name): set(scopes) for client_id, kind, name, scopes in granted}

    # --- granted scopes -----------------------------------------------------------------------------------

    def grant(self, client_id: str, bearer: Bearer, scopes: tuple[str, ...]) -> None:
        """Remember that the bearer has granted these scopes to the app.

        A person who acts on behalf of an organization does not grant anything in its name.
        """
        if bearer.person_id is not None:
            return
        with self._lock:
            self._granted.setdefault((client_id, bearer.type, bearer.id), set()).update(scopes)

    def granted(self, client_id: str, bearer: Bearer) -> set[str]:
        """Return the scopes that the bearer has granted to the app."""
        with self._lock:
            return set(self._granted.get((client_id, bearer.type, bearer.id), ()))

    # --- revocation and expiry ----------------------------------------------------------------------------

    def bearer_of(self, jti: str) -> Bearer | None:
        """Return the bearer of the access token with this id, valid or not."""
        with self._lock:
            return next((issued.bearer for issued in self._tokens.values() if issued.jti == jti), None)

    def revoke(self, jti: str) -> None:
        """Revoke the access token with this id and the refresh token that was issued with it."""
        with self._lock:
            for issued in self._tokens.values():
                if issued.jti == jti:
                    self._revoked[jti] = issued.expires_at
                    self._refresh_tokens.pop(issued.refresh_token or "", None)

    def revoked(self) -> list[str]:
        """Return the ids of the revoked access tokens that have not expired."""
        with self._lock:
            return [jti for jti, expires_at in self._revoked.items() if expires_at > self.clock()]

    def spend_refresh_tokens(self) -> None:
        """Invalidate all refresh tokens issued so far."""
        with self._lock:
            self._refresh_tokens.clear()

    def expire_access_tokens(self) -> None:
        """Let all access tokens issued so far expire now."""
        with self._lock:
            now = self.clock()
            self._tokens = {token: replace(issued, expires_at=now) for token, issued in self._tokens.items()}
