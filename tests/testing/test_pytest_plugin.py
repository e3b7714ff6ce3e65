"""The pytest plugin, in a pytest of an app's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.data import KEY

TEST_OF_AN_APP = """
import httpx2, pytest
from fastapi import Depends, FastAPI
from starlette.middleware.sessions import SessionMiddleware
from starlette.testclient import TestClient
from zaikio_oauth import current_access_token, zaikio_router

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key="secret")
app.include_router(zaikio_router, prefix="/zaikio")

@app.get("/me")
async def me(token=Depends(current_access_token)):
    return token.bearer_id

def test_logged_in(zaikio_logged_in_as):
    with TestClient(app) as client:
        zaikio_logged_in_as(client, "anna")
        assert client.get("/me").json() == "anna"

def test_hub(zaikio_hub, zaikio_hub_url):
    assert [app.name for app in zaikio_hub.apps] == ["mill"]
    assert httpx2.get(zaikio_hub_url + "/api/v1/roles").status_code == 200
    assert zaikio_hub.count(path="/api/v1/roles") == 1
"""


def test_an_apps_tests_get_a_hub_and_a_login(tmp_path: Path) -> None:
    """Without a line in their conftest."""
    (tmp_path / "test_app.py").write_text(TEST_OF_AN_APP)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ZAIKIO_", "PYTEST_"))} | {
        "ZAIKIO_ENVIRONMENT": "test",
        "ZAIKIO_HOST": "http://127.0.0.1:9",
        "ZAIKIO_DATABASE_URL": f"sqlite:///{tmp_path}/x.db",
        "ZAIKIO_ENCRYPTION_KEYS": KEY,
        "ZAIKIO_CLIENTS__MILL__CLIENT_ID": "mill-id",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert "2 passed" in result.stdout, result.stdout + result.stderr
