"""Warnings about settings that are accepted and yet look like mistakes."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.testclient import TestClient

from tests.data import KEY
from zaikio_oauth import ConfigurationError, Settings, ZaikioOAuth
from zaikio_oauth.settings.setting_warnings import setting_warnings


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what the library has logged; a thread of an earlier test may still log something else."""
    return [record for record in caplog.records if record.name == "zaikio_oauth"]


def test_scopes_with_the_hubs_former_name_are_found() -> None:
    """They are found once each, with and without a prefix, for every client. Similar names of other apps are ignored."""
    settings = Settings(
        encryption_keys=[KEY],
        clients={
            "a": {
                "client_id": "a",
                "default_scopes": ["directory.person.r", "zaikio.sites.r", "directory_app.x.r"],
                "organization_scopes": ["Org.directory.organization.r"],
            },
            "b": {"client_id": "b", "default_scopes": ["directory.person.r", "Per>Org.directory.machines.rw"]},
        },
    )
    ((key, line),) = setting_warnings(settings)
    assert key == "settings.former_scope"
    assert line.removeprefix("The Hub's own app is now called zaikio, not directory; rename ") == (
        "directory.person.r, Org.directory.organization.r, Per>Org.directory.machines.rw."
    )


def test_scopes_with_the_hubs_former_name_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The warning is one line, and it is logged when the settings are first needed."""
    client: dict[str, Any] = {"client_id": "a", "default_scopes": ["directory.person.r", "directory.sites.r"]}
    zaikio = ZaikioOAuth(Settings(encryption_keys=[KEY], clients={"a": client}))
    assert zaikio.settings is zaikio.settings
    assert [record.getMessage() for record in told(caplog)] == [
        "The Hub's own app is now called zaikio, not directory; rename directory.person.r, directory.sites.r."
    ]
    caplog.clear()
    client["default_scopes"] = ["zaikio.person.r"]
    assert ZaikioOAuth(Settings(encryption_keys=[KEY], clients={"a": client})).settings
    assert told(caplog) == []


MISSPELT = {
    "ZAIKIO_ENVIROMENT": "ZAIKIO_ENVIRONMENT",
    "zaikio_base_ulr": "ZAIKIO_BASE_URL",
    "ZAIKIO_ENCRYPTION_KEY": "ZAIKIO_ENCRYPTION_KEYS",
    "ZAIKIO_DATABASE": "ZAIKIO_DATABASE_URL",
    "ZAIKIO_CLIENT__MILL__CLIENT_ID": "ZAIKIO_CLIENTS__MILL__CLIENT_ID",
    "ZAIKIO_CLIENTS_MILL_CLIENT_SECRET": "ZAIKIO_CLIENTS__MILL__CLIENT_SECRET",
    "ZAIKIO_CLIENT_SECRET": "ZAIKIO_CLIENTS__<NAME>__CLIENT_SECRET",
    "ZAIKO_HOST": "ZAIKIO_HOST",
    "ZAIKIOO_DATABASE_URL": "ZAIKIO_DATABASE_URL",
    "ziakio_base_url": "ZAIKIO_BASE_URL",
    "ZAKIO_CLIENTS__MILL__CLIENT_ID": "ZAIKIO_CLIENTS__MILL__CLIENT_ID",
}
CLIENTS: dict[str, Any] = {"a": {"client_id": "a", "client_secret": "a"}}


@pytest.mark.parametrize(("name", "meant"), MISSPELT.items())
@pytest.mark.parametrize("in_file", [False, True])
def test_a_misspelt_variable_is_named_with_the_nearest_setting(
    name: str,
    meant: str,
    in_file: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is a warning when the settings are first needed, and part of the error if that is one; never with the value."""
    monkeypatch.chdir(tmp_path)
    if in_file:
        (tmp_path / ".env").write_text(f"{name}=swordfish\n")
    else:
        monkeypatch.setenv(name, "swordfish")
    assert ZaikioOAuth(Settings(encryption_keys=[KEY], clients=CLIENTS)).settings
    line = f"{name.upper()} is not a setting; did you mean {meant}?"
    assert [record.getMessage() for record in told(caplog)] == [line]

    with pytest.raises(ConfigurationError, match=re.escape(line)) as caught:
        Settings()
    assert "swordfish" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "ZAIKIO_TEST_POSTGRESQL_URL",
        "ZAIKIO_OF_THE_APP",
        "ZAIKIO_CACHE_TTL",
        "ENVIROMENT",
        "ZAIKO_SHOP",
        "ZAIKO_CLIENTS__MILL__NUMBER",
        "AUDIO_HOST",
        "ZAIKIOHUB_HOST",
        "ZAIKO",
    ],
)
def test_other_variables_are_left_alone(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An app may have variables of its own with our prefix, as long as they do not look like ours."""
    monkeypatch.setenv(name, "7")
    assert ZaikioOAuth(Settings(encryption_keys=[KEY], clients=CLIENTS)).settings
    assert told(caplog) == []


SAFE: dict[str, Any] = {
    "environment": "production",
    "encryption_keys": [KEY],
    "clients": CLIENTS,
    "base_url": "https://shop.example",
}


@pytest.mark.parametrize(
    ("changes", "beginning"),
    [
        ({"base_url": None}, "ZAIKIO_BASE_URL is not set"),
        ({"base_url": "http://shop.example"}, "ZAIKIO_BASE_URL is on http"),
        ({"host": "http://hub.example"}, "ZAIKIO_HOST is on http"),
        ({"clients": {"a": {"client_id": "a"}}}, "The default client a has no secret; set ZAIKIO_CLIENTS__A__CLIENT_"),
        ({"clients": CLIENTS | {"b": {"client_id": "b"}}}, None),
        ({}, None),
    ],
)
def test_what_is_unsafe_in_production_is_a_warning(
    changes: dict[str, Any], beginning: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Each thing is one line that says what to do, and elsewhere there is none."""
    assert ZaikioOAuth(Settings(**SAFE | changes)).settings
    lines = [record.getMessage() for record in told(caplog)]
    assert [line.startswith(beginning or "") for line in lines] == ([True] if beginning else [])
    caplog.clear()
    assert ZaikioOAuth(Settings(**SAFE | changes | {"environment": "sandbox"})).settings
    assert told(caplog) == []


class _OwnSession(SessionMiddleware):
    def __init__(self, app: Any) -> None:
        super().__init__(app, "secret", https_only=True)


@pytest.mark.parametrize(
    ("arguments", "environment", "warned"),
    [
        ((SessionMiddleware, "secret"), "production", True),
        ((SessionMiddleware, "secret", "session", None, "/", "lax", False), "production", True),
        ((SessionMiddleware, "secret", "session", None, "/", "lax", True), "production", False),
        ((_OwnSession,), "production", False),
        ((SessionMiddleware, "secret"), "sandbox", False),
    ],
)
def test_a_session_cookie_on_http_is_a_warning_when_the_app_starts(
    arguments: tuple[Any, ...], environment: str, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It says which argument to add, once, however many routers the app includes."""
    database_url = f"sqlite:///{tmp_path}/x.db"
    settings = Settings(**SAFE | {"environment": environment, "database_url": database_url})
    zaikio, app = ZaikioOAuth(settings), FastAPI()
    app.add_middleware(*arguments)
    app.include_router(zaikio.sessions_router, prefix="/zaikio")
    app.include_router(zaikio.connections_router, prefix="/zaikio")
    with TestClient(app):
        lines = [record.getMessage() for record in told(caplog) if "cookie" in record.getMessage()]
    line = "The session cookie is also sent on http; add https_only=True to the app's SessionMiddleware."
    assert lines == ([line] if warned else [])


class _RedisSessions:
    """A session of another package."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, *arguments: Any) -> None:
        await self.app(*arguments)


@pytest.mark.parametrize(
    ("middleware", "router", "warned"),
    [
        ((), "router", True),
        (((TrustedHostMiddleware, ["*"]),), "router", True),
        (((SessionMiddleware, "secret"), (TrustedHostMiddleware, ["*"])), "router", False),
        (((_RedisSessions,),), "router", False),
        ((), "webhook_router", False),
    ],
)
def test_an_app_without_a_session_is_a_warning_when_it_starts(
    middleware: tuple[tuple[Any, ...], ...],
    router: str,
    warned: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Otherwise the first visitor finds out. Another package's middleware counts, and a webhook needs no session."""
    zaikio, app = ZaikioOAuth(Settings(**SAFE | {"database_url": f"sqlite:///{tmp_path}/x.db"})), FastAPI()
    for arguments in middleware:
        app.add_middleware(*arguments)
    app.include_router(getattr(zaikio, router), prefix="/zaikio")
    with TestClient(app):
        keys = [vars(record)["zaikio_event"] for record in told(caplog) if "session" in record.getMessage()]
    assert keys.count("settings.no_session") == int(warned)
