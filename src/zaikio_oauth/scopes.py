"""Scopes as the Hub writes them: ``APP.NAME.PERMISSION``, joined with commas, with an optional bearer prefix.

A *requested* scope may name its bearer: ``Org.zaikio.organization.r``, ``Org/<uuid>.…``, ``Per>Org.…`` (Hub
documentation, "Bearers and scopes"). A *granted* scope never does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from zaikio_oauth.errors import ConfigurationError

__all__ = [
    "bearer_prefix",
    "includes",
    "join",
    "missing",
    "normalize",
    "of_bearer",
    "of_others",
    "of_token",
    "parse",
    "prefix_of",
    "spellings",
    "unprefixed",
    "with_prefix",
]

_SEPARATOR = re.compile(r"[,\s]+")
_PREFIX = re.compile(r"\A(?P<prefix>(?:Per|Org)(?:/[^.>]+)?(?:>Org(?:/[^.>]+)?)?)\.(?P<scope>.+)\Z")
_PERMISSION_IMPLIED_BY = {"r": ("r", "rw"), "w": ("w", "rw")}


def parse(value: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return the scopes that a string or a list contains, in order and without duplicates; raises TypeError.

    Everything that takes scopes uses this function. The Hub separates them with commas, RFC 6749 §3.3 with spaces;
    both are understood, also inside a list, because no scope can contain either.
    """
    if value is None:
        return ()
    if isinstance(value, bytes) or not isinstance(value, Iterable):
        raise TypeError(f"scopes have to be a list or a string, not {type(value).__name__}")
    found: dict[str, None] = {}
    for part in [value] if isinstance(value, str) else value:
        if not isinstance(part, str):
            raise TypeError(f"a scope has to be a str, not {type(part).__name__}")
        found |= dict.fromkeys(scope for scope in _SEPARATOR.split(part) if scope)
    return tuple(found)


def join(scopes: Iterable[str]) -> str:
    """Return the scopes as one ``scope`` parameter, joined with commas as the Hub requires."""
    return ",".join(scopes)


def unprefixed(scope: str) -> str:
    """Return the scope without its bearer prefix: ``Org/<uuid>.zaikio.sites.r`` becomes ``zaikio.sites.r``."""
    match = _PREFIX.match(scope)
    return match["scope"] if match else scope


def prefix_of(scope: str) -> str:
    """Return the bearer prefix of the scope, such as ``Org/<uuid>``; empty if it has none."""
    match = _PREFIX.match(scope)
    return match["prefix"] if match else ""


def of_others(scopes: Iterable[str], *prefixes: str) -> tuple[str, ...]:
    """Return the scopes with a bearer prefix that is none of these."""
    return tuple(scope for scope in scopes if prefix_of(scope) not in ("", *prefixes))


def of_bearer(
    scopes: str | Iterable[str], bearer_type: str, bearer_id: str, *, on_behalf: bool = False
) -> tuple[str, ...]:
    """Return the scopes without prefix; raises ConfigurationError if one names another bearer than this.

    ``on_behalf``: a person acts for this organization, so the scopes may also say that.
    """
    parsed = parse(scopes)
    kind = bearer_prefix(bearer_type)
    prefixes = [kind, bearer_prefix(bearer_type, bearer_id)]
    if on_behalf:
        prefixes += [f"Per>{prefix}" for prefix in prefixes]
    if others := of_others(parsed, *prefixes):
        raise ConfigurationError(
            f"The scope {others[0]!r} is not one of {bearer_type}/{bearer_id}, for which it is asked; "
            f"write {unprefixed(others[0])!r}, or ask for the other bearer."
        )
    return tuple(dict.fromkeys(map(unprefixed, parsed)))


def bearer_prefix(bearer_type: str, bearer_id: str | None = None) -> str:
    """Return what precedes a scope: ``Org`` or ``Per``, or with an id ``Org/<uuid>``."""
    name = {"Organization": "Org", "Person": "Per"}[bearer_type]
    return f"{name}/{bearer_id}" if bearer_id else name


def with_prefix(scopes: Iterable[str], prefix: str) -> tuple[str, ...]:
    """Return each scope with this bearer prefix, which replaces the one that it may have."""
    return tuple(f"{prefix}.{unprefixed(scope)}" for scope in scopes)


def normalize(scopes: Iterable[str]) -> frozenset[str]:
    """Return the scopes in a form that can be compared: without prefix, with the present name of the Hub's own app.

    Until October 2023 the Hub's app was called ``directory``; ``directory.person.r`` and ``zaikio.person.r`` are the
    same permission.
    """
    bare = (unprefixed(scope) for scope in scopes)
    return frozenset(
        "zaikio." + scope.removeprefix("directory.") if scope.startswith("directory.") else scope for scope in bare
    )


def spellings(scope: str) -> tuple[str, ...]:
    """Return every scope that includes this one: for ``zaikio.y.r`` also ``zaikio.y.rw`` and ``directory.y.r``."""
    (bare,) = normalize([scope])
    name, _, permission = bare.rpartition(".")
    wider = [f"{name}.{each}" for each in _PERMISSION_IMPLIED_BY.get(permission, (permission,))]
    former = ["directory." + each.removeprefix("zaikio.") for each in wider if each.startswith("zaikio.")]
    return tuple(wider + former)


def of_token(scopes: str | Iterable[str]) -> tuple[str, ...]:
    """Return the scopes that a token needs; raises ConfigurationError for a bearer prefix, which a token's never have.

    Ignored, it would let in tokens of another bearer than the one it names.
    """
    wanted = parse(scopes)
    if others := of_others(wanted):
        raise ConfigurationError(
            f"The scopes of a token have no bearer prefix: write {unprefixed(others[0])!r} instead of {others[0]!r}, "
            "and check whose token it is."
        )
    return wanted


def missing(granted: Iterable[str], needed: str | Iterable[str]) -> tuple[str, ...]:
    """Return those of the ``needed`` scopes that ``granted`` does not include; raises what ``of_token`` does."""
    held = {unprefixed(scope) for scope in granted}
    return tuple(scope for scope in of_token(needed) if not held.intersection(spellings(scope)))


def includes(granted: Iterable[str], needed: str | Iterable[str]) -> bool:
    """Return True if ``granted`` includes every ``needed`` scope; ``rw`` includes ``r`` and ``w``."""
    return not missing(granted, needed)
