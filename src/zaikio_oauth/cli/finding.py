"""Finding, a row of ``zaikio-oauth check``."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["Finding", "Status", "skipped", "told"]

Status = Literal["ok", "warning", "failed", "skipped"]


class Finding(NamedTuple):
    """What was looked at, how it is, what was found, and how to fix it. Nothing in it is secret."""

    name: str
    status: Status
    found: str
    remedy: str | None = None


def told(name: str, status: Status, text: str, remedy: str | None = None) -> Finding:
    """Return the finding of a message: what it says after the first semicolon is what to do.

    ``remedy``: what to do if the message does not say it.
    """
    found, _, advice = text.strip().partition("; ")
    advice = advice or remedy or ""
    return Finding(name, status, found.rstrip("."), advice[:1].upper() + advice[1:] or None)


def skipped(*names: str, why: str) -> list[Finding]:
    """Return the findings of what could not be looked at, all for the same reason."""
    return [Finding(name, "skipped", why) for name in names]
