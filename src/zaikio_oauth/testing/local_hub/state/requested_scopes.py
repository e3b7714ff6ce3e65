"""The scopes of a request, parsed as the Hub does (Hub documentation, "Bearers and scopes")."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from zaikio_oauth.access_token import BearerType

__all__ = ["RequestedScopes", "ScopeError", "read_scopes", "scopes_of"]

_SCOPE = re.compile(
    r"\A(?:(?P<bearer>Per|Org)(?:/(?P<bearer_id>[^.,>\s]+))?(?P<behalf>>Org(?:/(?P<behalf_id>[^.,>\s]+))?)?\.)?"
    r"(?P<bare>(?:[a-z0-9_-]+\.[a-z0-9_]+\.(?:r|w|rw))|(?:subscription_create(?:_[a-z0-9_-]+?)?(?:\.[A-Za-z0-9_-]+)?))\Z"
)


class ScopeError(ValueError):
    """The Hub refuses the scopes. ``code`` is its error code, ``scope`` the scope that caused it."""

    def __init__(self, code: str, scope: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.scope = scope


@dataclass(frozen=True, slots=True)
class RequestedScopes:
    """The scopes of one bearer. ``person_id`` and ``organization_id`` are None unless the request names them."""

    bearer_type: BearerType
    person_id: str | None
    organization_id: str | None
    on_behalf: bool
    scopes: tuple[str, ...]

    @property
    def needs_organization(self) -> bool:
        """True if the token will belong to an organization."""
        return self.bearer_type == "Organization"

    @property
    def subscription(self) -> tuple[str | None, str | None] | None:
        """The app's name and the plan of a subscription, each None if left out; None if none is requested."""
        for scope in self.scopes:
            if scope.startswith("subscription_create"):
                head, _, plan = scope.partition(".")
                return head.removeprefix("subscription_create").lstrip("_") or None, plan or None
        return None


def scopes_of(value: str | Iterable[str]) -> tuple[str, ...]:
    """Return the scopes of a list, or of a text that separates them with commas or spaces.

    Raises ValueError for a scope with the prefix of a bearer, which only a request may have.
    """
    scopes = tuple(value.replace(",", " ").split()) if isinstance(value, str) else tuple(value)
    for scope in scopes:
        match = _SCOPE.match(scope)
        if match is not None and match["bearer"]:
            raise ValueError(f"the scope {scope!r} names a bearer, which only a request does; write {match['bare']!r}")
    return scopes


def read_scopes(text: str, desired: tuple[str, ...] | None) -> RequestedScopes:
    """Parse the comma-separated scopes of a request. Raises ScopeError."""
    bearers: set[tuple[BearerType, bool, str | None, str | None]] = set()
    bare = []
    for scope in text.split(","):
        match = _SCOPE.match(scope)
        if match is None or not _is_meaningful(match):
            raise ScopeError("malformed_scope", scope)
        organization = match["bearer"] == "Org" or bool(match["behalf"])
        person_id = match["bearer_id"] if match["bearer"] != "Org" else None
        organization_id = match["behalf_id"] if match["behalf"] else match["bearer_id"] if organization else None
        bearers.add((("Organization" if organization else "Person"), bool(match["behalf"]), person_id, organization_id))
        wanted = match["bare"]
        if desired is not None and wanted not in desired and not wanted.startswith("subscription_create"):
            raise ScopeError("scope_is_not_included_in_desired_scopes", wanted)
        bare.append(wanted)
    if len({bearer[:2] for bearer in bearers}) > 1:
        raise ScopeError("different_bearer_types")
    if len(bearers) > 1:
        raise ScopeError("different_bearer_ids")
    ((bearer_type, on_behalf, person_id, organization_id),) = bearers
    return RequestedScopes(bearer_type, person_id, organization_id, on_behalf, tuple(dict.fromkeys(bare)))


def _is_meaningful(match: re.Match[str]) -> bool:
    """True unless an organization acts on behalf of another, or a person subscribes."""
    if match["behalf"]:
        return match["bearer"] == "Per" and not match["bare"].startswith("subscription_create")
    return match["bearer"] == "Org" or not match["bare"].startswith("subscription_create")
