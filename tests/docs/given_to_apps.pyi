# What the reader of an example in a docstring has, for type checkers: scripts/check-types imports it into the example.
# The values are in docstring_reader.py, prepared_tokens.py and prepared_apps.py.
import asyncio
import logging
import os as os
import sys as sys
from typing import Annotated as Annotated
from typing import Protocol

import httpx as httpx
from alembic.runtime.environment import EnvironmentContext
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from fastapi import Depends as Depends
from fastapi import FastAPI
from fastapi import Request as Request
from fastapi import Security as Security
from fastapi.responses import RedirectResponse as RedirectResponse
from fastapi.templating import Jinja2Templates
from sqlalchemy import Connection as DatabaseConnection
from sqlalchemy import MetaData

from zaikio_oauth import *  # noqa: F403 (whatever is public)
from zaikio_oauth import AccessToken as AccessToken
from zaikio_oauth import DeviceAuthorization as DeviceAuthorization
from zaikio_oauth import migrations as migrations
from zaikio_oauth.access_token import Secret as Secret
from zaikio_oauth.settings.retries_and_waits import Deadline as Deadline

class Metrics(Protocol):
    def count(self, name: str, number: int) -> None: ...

access_token_id: str
app: FastAPI
client: httpx.AsyncClient
connection: DatabaseConnection
context: EnvironmentContext
device: DeviceAuthorization
key: str
log: logging.Logger
message: dict[str, str]
metadata: MetaData
metrics: Metrics
name: str
organization_id: str
person_id: str
queue: asyncio.Queue[str | None]
request: Request
scheduler: AsyncIOScheduler
stream: asyncio.StreamReader
subsystem: str
templates: Jinja2Templates
text: str
token: AccessToken
url: str

async def ask_to_connect_again(bearer_id: str) -> None: ...
def forget(bearer_id: str) -> None: ...
def reject(reason: str) -> None: ...
def retry_in(seconds: float) -> None: ...
def store(access_token_id: str) -> None: ...
