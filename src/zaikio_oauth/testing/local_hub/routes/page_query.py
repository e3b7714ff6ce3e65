"""The query of a page that asks a person something."""

from __future__ import annotations

from starlette.datastructures import QueryParams

__all__ = ["is_true", "without"]


def is_true(query: QueryParams, name: str) -> bool:
    """True if the parameter is ``true`` or ``1``."""
    return query.get(name) in ("true", "1")


def without(query: QueryParams, *names: str) -> list[tuple[str, str]]:
    """Return all parameters but these."""
    return [(name, value) for name, value in query.multi_items() if name not in names]
