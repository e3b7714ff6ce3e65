"""A Celery app whose tasks use ``with_auth``; the broker is a folder. What it needs to know is in ``SYNC_ORDER``."""

from __future__ import annotations

import json
import os

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

from zaikio_oauth import BearerDoesNotExistError, Settings, ZaikioOAuth

order = json.loads(os.environ["SYNC_ORDER"])
folder = order["folder"]
app = Celery(broker="filesystem://", backend=f"file://{folder}/results")
app.conf.update(
    broker_transport_options={
        "data_folder_in": f"{folder}/queue",
        "data_folder_out": f"{folder}/queue",
        "control_folder": f"{folder}/control",
        "polling_interval": 0.1,
    },
    worker_max_tasks_per_child=order.get("tasks_per_child"),
    worker_proc_alive_timeout=30,
)
zaikio = ZaikioOAuth(Settings(**order["settings"]))


def token_of(organization: str) -> str:
    with zaikio.with_auth(bearer_type="Organization", bearer_id=organization) as token:
        return token.jti


# In the parent, which then forks.
before_the_fork = token_of(order["organizations"][0])


@app.task
def get(organization: str) -> tuple[int, str, str]:
    """Return the process, what its parent had, and the token's id."""
    return os.getpid(), before_the_fork, token_of(organization)


@app.task(soft_time_limit=1, throws=(SoftTimeLimitExceeded,))
def get_in_time(organization: str) -> str:
    """Exceed the time limit if the Hub is slow."""
    return token_of(organization)


@app.task(throws=(BearerDoesNotExistError,))
def get_of_nobody() -> None:
    """Fail with an error of ours."""
    token_of("nobody")
