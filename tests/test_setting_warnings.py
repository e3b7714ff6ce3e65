"""Warnings about settings that are accepted and yet look like mistakes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.data import KEY
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.settings.setting_warnings import setting_warnings


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
    (line,) = setting_warnings(settings)
    assert line.removeprefix("The Hub's own app is now called zaikio, not directory; rename ") == (
        "directory.person.r, Org.directory.organization.r, Per>Org.directory.machines.rw."
    )


def test_scopes_with_the_hubs_former_name_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The warning is one line, and it is logged when the settings are first needed."""
    client: dict[str, Any] = {"client_id": "a", "default_scopes": ["directory.person.r", "directory.sites.r"]}
    zaikio = ZaikioOAuth(Settings(encryption_keys=[KEY], clients={"a": client}))
    assert zaikio.settings is zaikio.settings
    assert [record.getMessage() for record in caplog.records] == [
        "The Hub's own app is now called zaikio, not directory; rename directory.person.r, directory.sites.r."
    ]
    caplog.clear()
    client["default_scopes"] = ["zaikio.person.r"]
    assert ZaikioOAuth(Settings(encryption_keys=[KEY], clients={"a": client})).settings
    assert caplog.records == []
