# As in given_to_apps.pyi, for the examples of zaikio_oauth.testing, whose readers write the tests of an app.
import httpx as httpx
from fastapi import FastAPI
from playwright.sync_api import BrowserContext
from starlette.testclient import TestClient

from zaikio_oauth import Settings as Settings
from zaikio_oauth import configure as configure
from zaikio_oauth.testing import *  # noqa: F403 (whatever is public)
from zaikio_oauth.testing import LocalHub as LocalHub

app: FastAPI
app_url: str
client: TestClient
context: BrowserContext
hub: LocalHub
organization_id: str
person_id: str
settings: Settings
