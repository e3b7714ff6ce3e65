"""Where everything is, and what all apps have in common. Imports nothing of the library or its peers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "SCOPES", "SESSION_SECRET", "Place"]

CLIENT_ID, CLIENT_SECRET = "warehouse-id", "a-secret-of-the-benchmark"
SESSION_SECRET = "the-secret-of-the-sessions"
SCOPES = ("zaikio.person.r", "zaikio.sites.rw")


@dataclass(frozen=True)
class Place:
    """The Hub, the database, and the key of what is encrypted in it, which is made anew for each run.

    While a rotation is measured there are two keys, with a space between them.
    """

    hub_url: str
    database_url: str
    key: str

    def as_text(self) -> str:
        """Return it for the command line of another process."""
        return json.dumps(asdict(self))
