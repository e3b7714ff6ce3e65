"""What ``zaikio-oauth check`` finds in the settings."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.fernet import Fernet
from pydantic import field_validator

from zaikio_oauth.cli.finding import Finding, Status, told
from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.settings import Settings
from zaikio_oauth.settings.setting_warnings import setting_warnings
from zaikio_oauth.settings.settings import misspelt_variables
from zaikio_oauth.settings.variables import ENV_FILE, PREFIX

__all__ = ["NEEDS_CLIENTS", "Readable", "read_settings"]

NEEDS_CLIENTS = "needs the settings of the clients"

_ROWS = {
    "settings.misspelt_variable": "variables",
    "settings.no_base_url": "base URL",
    "settings.insecure_base_url": "base URL",
}
"""In which row a warning is, by its key; the others are among the settings."""

_STAND_INS: dict[str, Any] = {
    "database_url": "sqlite://",
    "environment": "development",
    "host": "http://localhost",
    "encryption_keys": [Fernet.generate_key()],
    "base_url": None,
    "cache_ttl": 0.0,
    "refresh_ahead": 0.0,
    "auto_migrate": None,
    "bearer_audiences": (),
}


class Readable(NamedTuple):
    """What the settings give, so that everything that does not depend on what is wrong with them can be checked.

    ``wrong``: the names of the settings that are wrong, for which there is a stand-in in ``settings``. Its clients are
    empty if they are wrong.
    """

    settings: Settings
    wrong: frozenset[str]
    findings: tuple[Finding, ...]


class _WithoutClients(Settings):
    """All settings but the clients: their variables, nested as they are, cannot be replaced by a stand-in."""

    clients: Any = None

    @field_validator("clients", mode="before")
    @classmethod
    def _client_names(cls, value: Any) -> Any:  # noqa: ARG003 (whatever it is)
        return {}


def read_settings() -> Readable:
    """Read the settings, and say of each what is wrong with it."""
    python = ".".join(map(str, sys.version_info[:3]))
    version = Finding("version", "ok", f"zaikio_oauth {metadata.version('zaikio_oauth')}, Python {python}")
    try:
        settings = Settings()
    except ConfigurationError as error:
        settings, wrong, lines = _readable(_lines(error))
        failed = map(_wrong, lines)
        others = any(" is not a setting" in line for line in lines)
        return Readable(settings, wrong, (version, *failed, *_what_is_right(settings, wrong, others=others)))
    return Readable(settings, frozenset(), (version, *_all(settings)))


def _lines(error: ConfigurationError) -> list[str]:
    """Return what is wrong with the settings, one line for each variable."""
    misspelt = misspelt_variables()
    return [line for line in map(str.strip, str(error).splitlines()[1:]) if line not in misspelt]


def _readable(lines: list[str]) -> tuple[Settings, frozenset[str], list[str]]:
    """Return what can be read, which settings are wrong, and all lines about them, of which some may be hidden yet."""
    wrong: set[str] = set()
    options: dict[str, Any] = {}
    for line in lines:
        if line.startswith(ENV_FILE):
            options["_env_file"] = None
        wrong.add(line.partition(" ")[0].rstrip(":").removeprefix(PREFIX).partition("__")[0].lower())
    stand_ins = {name: value for name, value in _STAND_INS.items() if name in wrong}
    kind = Settings if wrong.isdisjoint({"clients", "default_client"}) else _WithoutClients
    try:
        return kind(**stand_ins, **options), frozenset(wrong), lines
    except ConfigurationError as error:
        # A variable that is no JSON hides what is wrong with the others.
        more = [line for line in _lines(error) if line not in lines]
        if not more:
            raise
        return _readable(lines + more)


def _wrong(line: str) -> Finding:
    found = told("settings", "failed", line, "Correct or remove this variable.")
    # The file may be there, in another folder.
    where = "" if Path(ENV_FILE).is_file() or not found.found.endswith(" is missing") else f"; {_no_file()}"
    return found._replace(found=f"{found.found}{where}")


def _no_file() -> str:
    return f"there is no {ENV_FILE} in {Path.cwd()}"


def _what_is_right(settings: Settings, wrong: Iterable[str], *, others: bool) -> Iterator[Finding]:
    """Return the other findings; ``others``: variables that are no settings are among what is wrong already."""
    yield from _variables(misspelt_variables(), others=others)
    if "base_url" not in wrong:
        yield _base_url(settings)
    yield _session_cookie(settings)
    yield from _webhook_secrets(settings)


def _all(settings: Settings) -> Iterator[Finding]:
    warnings = [(_ROWS.get(each.key, "settings"), each.text) for each in setting_warnings(settings)]
    clients = ", ".join(
        f"{name} (default)" if name == settings.default_client and len(settings.clients) > 1 else name
        for name in settings.clients
    )
    where = f"the environment and {ENV_FILE}" if Path(ENV_FILE).is_file() else f"the environment; {_no_file()}"
    yield Finding("settings", "ok", f"{settings.environment}; clients: {clients}; read from {where}")
    yield from _of("settings", warnings)
    yield from _variables([text for name, text in warnings if name == "variables"])
    yield from _of("base URL", warnings) or [_base_url(settings)]
    yield _session_cookie(settings)
    yield from _webhook_secrets(settings)


def _of(name: str, warnings: Iterable[tuple[str, str]]) -> list[Finding]:
    return [told(name, "warning", text) for row, text in warnings if row == name]


def _variables(misspelt: Iterable[str], *, others: bool = False) -> list[Finding]:
    found = [told("variables", "warning", line) for line in misspelt]
    return found or [Finding("variables", "ok", f"no {'other ' if others else ''}{PREFIX}… variable looks misspelt")]


def _base_url(settings: Settings) -> Finding:
    return Finding("base URL", "ok", settings.base_url or "not set; taken from each request")


def _session_cookie(settings: Settings) -> Finding:
    """Return what the settings show about the session cookie, which belongs to the app."""
    if (settings.base_url or "").startswith("http:") and settings.environment != "production":
        seen = "must not have https_only=True, because the app is on http"
    else:
        seen = "needs https_only=True in production, where the app warns at start-up if it lacks it"
    return Finding("session cookie", "skipped", f"not among the settings; the app's SessionMiddleware {seen}")


def _webhook_secrets(settings: Settings) -> Iterator[Finding]:
    missing: Status = "warning" if settings.environment == "production" else "skipped"
    if not settings.clients:
        yield Finding("webhook secret", "skipped", NEEDS_CLIENTS)
    for name, client in settings.clients.items():
        count = len(client.webhook_secret)
        if count:
            several = "one" if count == 1 else f"{count}; remove the old ones once Loom uses the new one"
            yield Finding("webhook secret", "ok", f"{name} has {several}")
        else:
            yield Finding(
                "webhook secret",
                missing,
                f"{name} has none, so its webhook refuses events, and revocations are noticed within the hour",
                f"Set {PREFIX}CLIENTS__{name.upper()}__WEBHOOK_SECRET to the app's shared secret at the Hub.",
            )
