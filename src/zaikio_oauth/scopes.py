"""Scopes as the Hub writes them: ``APP.NAME.PERMISSION``, joined with commas, with an optional bearer prefix.

A *requested* scope may say whose it is: ``Org.zaikio.organization.r``, ``Org/<uuid>.…``,
``Per>Org.…`` (Hub documentation, "Bearers and scopes"). A *granted* scope never does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["bearer_prefix", "includes", "join", "normalize", "parse", "spellings", "unprefixed", "with_prefix"]

_PREFIX = re.compile(r"\A(?P<prefix>(?:Per|Org)(?:/[^.>]+)?(?:>Org(?:/[^.>]+)?)?)\.(?P<scope>.+)\Z")
_PERMISSION_IMPLIED_BY = {"r": ("r", "rw"), "w": ("w", "rw")}


def parse(value: str | Iterable[str] | None) -> tuple[str, ...]:
    """The scopes of a wire value, in order and without duplicates.

    The Hub separates with commas, RFC 6749 §3.3 with spaces; both are understood, and so is a list.
    """
    if value is None:
        return ()
    parts = re.split(r"[,\s]+", value) if isinstance(value, str) else value
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def join(scopes: Iterable[str]) -> str:
    """The scopes as the Hub wants them in a request: joined with commas."""
    return ",".join(scopes)


def unprefixed(scope: str) -> str:
    """The scope without its bearer prefix: ``Org/<uuid>.zaikio.sites.r`` becomes ``zaikio.sites.r``."""
    match = _PREFIX.match(scope)
    return match["scope"] if match else scope


def bearer_prefix(bearer_type: str, bearer_id: str | None = None) -> str:
    """``Org``, ``Per``, or with an id ``Org/<uuid>``: what goes before a scope."""
    name = {"Organization": "Org", "Person": "Per"}[bearer_type]
    return f"{name}/{bearer_id}" if bearer_id else name


def with_prefix(scopes: Iterable[str], prefix: str) -> tuple[str, ...]:
    """Each scope under this bearer prefix; a prefix that a scope brings along is replaced."""
    return tuple(f"{prefix}.{unprefixed(scope)}" for scope in scopes)


def normalize(scopes: Iterable[str]) -> frozenset[str]:
    """Scopes for comparing: without prefix, the Hub's own app under its present name.

    Until October 2023 the Hub's app was called ``directory``; ``directory.person.r`` and
    ``zaikio.person.r`` are the same permission.
    """
    bare = (unprefixed(scope) for scope in scopes)
    return frozenset(
        "zaikio." + scope.removeprefix("directory.") if scope.startswith("directory.") else scope for scope in bare
    )


def spellings(scope: str) -> tuple[str, ...]:
    """Every stored scope that gives this permission: ``x.y.rw`` gives ``x.y.r``, ``directory`` is ``zaikio``."""
    (bare,) = normalize([scope])
    name, _, permission = bare.rpartition(".")
    wider = [f"{name}.{each}" for each in _PERMISSION_IMPLIED_BY.get(permission, (permission,))]
    former = ["directory." + each.removeprefix("zaikio.") for each in wider if each.startswith("zaikio.")]
    return tuple(wider + former)


def includes(held: Iterable[str], asked: Iterable[str]) -> bool:
    """Whether every asked scope is among the held ones, prefixes apart; ``rw`` includes ``r`` and ``w``."""
    have = {unprefixed(scope) for scope in held}
    return all(have.intersection(spellings(scope)) for scope in asked)
