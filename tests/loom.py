"""Loom, the Hub's event bus, as an app sees it: an event that is not taken is delivered again."""

from __future__ import annotations

from collections.abc import Mapping

import httpx2

__all__ = ["deliver_until_taken"]

DELIVERIES = 20


async def deliver_until_taken(
    client: httpx2.AsyncClient, body: bytes, headers: Mapping[str, str], url: str = "/zaikio/webhook"
) -> int:
    """Return the status of the first response that is not 503, which an app on a busy machine may give, too."""
    for _ in range(DELIVERIES):
        status = (await client.post(url, content=body, headers=headers)).status_code
        if status != 503:
            break
    return status
