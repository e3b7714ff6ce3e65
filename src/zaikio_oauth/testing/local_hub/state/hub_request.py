"""A request that a local Hub has answered."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HubRequest"]


@dataclass(frozen=True, slots=True)
class HubRequest:
    """A request that was answered, without its secrets. ``at`` is ``time.monotonic()``."""

    method: str
    path: str
    grant_type: str | None
    status_code: int
    at: float
    client_id: str | None = None
