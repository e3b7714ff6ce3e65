"""A WSGI app whose requests use ``with_auth``, as gunicorn serves it. What it needs to know is in ``SYNC_ORDER``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from zaikio_oauth import Settings, ZaikioOAuth

order = json.loads(os.environ["SYNC_ORDER"])
zaikio = ZaikioOAuth(Settings(**order["settings"]))


def token_of(organization: str) -> str:
    with zaikio.with_auth(bearer_type="Organization", bearer_id=organization) as token:
        return token.jti


# In the parent, which then forks.
before_the_fork = token_of(order["organizations"][0])


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with the process and the id of the token for the organization that the path names."""
    answer = {"process": os.getpid(), "before": before_the_fork, "jti": token_of(environ["PATH_INFO"].strip("/"))}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
