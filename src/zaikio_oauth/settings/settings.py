"""Settings, given in code, or read from the environment (``ZAIKIO_…``) or the file ``.env``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from cryptography.fernet import Fernet
from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from zaikio_oauth.access_token import DEFAULT_REFRESH_AHEAD, Secret
from zaikio_oauth.errors import ConfigurationError, UnknownClientError
from zaikio_oauth.settings.client_settings import ClientSettings, InvalidClient
from zaikio_oauth.settings.values import http_url, list_of, text_only
from zaikio_oauth.settings.variables import (
    ENV_FILE,
    PREFIX,
    EnvFile,
    Environment,
    Files,
    misspelt,
    nearest,
    similar_variables,
    variables,
)

__all__ = ["DatabaseSettings", "Settings", "misspelt_variables"]

_HOSTS = {
    "development": "http://hub.zaikio.test",
    "test": "http://hub.zaikio.test",
    "staging": "https://hub.staging.zaikio.com",
    "sandbox": "https://hub.sandbox.zaikio.com",
    "production": "https://hub.zaikio.com",
}
_DRIVERS = {"postgres": "postgresql+asyncpg", "postgresql": "postgresql+asyncpg", "sqlite": "sqlite+aiosqlite"}
_CLIENT_NAME = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9_.-]*\Z")


_files: ContextVar[Files] = ContextVar("_files")
"""The files for the settings that are being made, because pydantic-settings asks the class, not the object."""


class DatabaseSettings(BaseSettings):
    """The settings that are needed to reach the database, and no others, for migrations.

    Raises ConfigurationError, which names each variable and what is wrong with it, never a secret.
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        validate_default=True,
    )

    database_url: Annotated[str, AfterValidator(Secret)] = Field(
        default="sqlite+aiosqlite:///zaikio_oauth.db", repr=False, exclude=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (pydantic-settings passes them by name)
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the arguments, then the environment, then the file ``.env``."""
        in_code = InitSettingsSource(settings_cls, cls._by_order(init_settings()))
        return init_settings, Environment(settings_cls), EnvFile(settings_cls, _files.get()), in_code

    @classmethod
    def _by_order(cls, values: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG003 (for subclasses)
        """Return the defaults that follow from the order of the values in code."""
        return {}

    def __init__(self, **values: Any) -> None:
        """Read the environment and ``.env``; ``values`` given here take precedence."""
        files = _files.set(values.pop("_env_file", ENV_FILE))
        try:
            super().__init__(**values)
        except ValidationError as error:
            problems = [_problem(detail) for detail in _details(error)]
        except SettingsError as error:
            problems = [_unreadable(str(error))]
        except OSError as error:
            problems = [f".env cannot be read: {error.strerror}"]
        except UnicodeDecodeError:
            problems = [".env is not text in UTF-8"]
        else:
            return
        finally:
            _files.reset(files)
            # A tool that reports an error shows the locals of this frame.
            values.clear()
        problems += misspelt_variables()
        # Raised outside the handlers: pydantic's errors contain the input, secrets included.
        raise ConfigurationError("Settings of zaikio_oauth:\n" + "\n".join(f"  {line}" for line in problems))

    @field_validator("database_url", mode="before")
    @classmethod
    def _async_driver(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        scheme, separator, rest = value.partition("://")
        if not separator:
            raise ValueError("has to be an address such as postgresql://user:password@host/name or sqlite:///file.db")
        driver = _DRIVERS.get(scheme, scheme)
        if driver not in _DRIVERS.values():
            raise ValueError("has to start with postgresql:// or sqlite:// (drivers: asyncpg, aiosqlite)")
        return f"{driver}://{rest}"

    @field_validator("*")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return text_only(value)

    @property
    def sqlite(self) -> bool:
        """True if the database is SQLite."""
        return self.database_url.startswith("sqlite")


class Settings(DatabaseSettings):
    """Everything that can be set, in code or with its ``ZAIKIO_…`` variable (nested names are joined with ``__``).

    Variables are those of the environment and of the file ``.env`` in the working directory; the environment wins.
    ``Settings(_env_file=None)`` reads no file.

    ``environment``: ``development``, ``test``, ``staging``, ``sandbox`` or ``production``; decides the Hub.
    ``host``: another Hub, such as ``http://localhost:8001``.
    ``database_url``: a URL for SQLAlchemy; ``sqlite:///file.db`` or ``postgresql://user:password@host/name``.
    ``encryption_keys``: Fernet keys; the first one encrypts, all of them decrypt.
    ``clients``: ClientSettings by name.
    ``default_client``: the client that is used where none is named; by default the only one or, in code, the first one.
    Required if several are configured by the environment, whose order means nothing.
    ``base_url``: the public address of the app, for redirect URIs behind a proxy.
    ``cache_ttl``: the seconds for which a process may use what it has read while it cannot notice changes; 0 uses
    nothing that was read before.
    ``refresh_ahead``: the seconds before its expiry at which a token is renewed in the background while callers still
    use it; at most half of its lifetime. 0 means that it is renewed only when it must be.
    ``auto_migrate``: True if start-up should run the migrations; by default only on SQLite.
    ``bearer_audiences``: apps whose tokens ``bearer_token`` accepts, besides those for the clients; ``*`` accepts
    every app to which the Hub has granted a scope of ours.

    Raises ConfigurationError, which names each variable and what is wrong with it, never a secret.

        settings = Settings(environment="sandbox", base_url="https://app.example.com")  # the rest from the environment
        configure(settings)
    """

    environment: Literal["development", "test", "staging", "sandbox", "production"] = "development"
    host: str = ""
    encryption_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(min_length=1)
    clients: dict[str, ClientSettings] = Field(min_length=1)
    default_client: str = ""
    base_url: str | None = None
    cache_ttl: float = Field(default=5.0, ge=0, allow_inf_nan=False)
    refresh_ahead: float = Field(default=DEFAULT_REFRESH_AHEAD.total_seconds(), ge=0, allow_inf_nan=False)
    auto_migrate: bool | None = None
    bearer_audiences: Annotated[tuple[str, ...], NoDecode] = ()

    @classmethod
    def _by_order(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        clients = values.get("clients")
        return {"default_client": next(iter(clients))} if isinstance(clients, Mapping) and clients else {}

    def __init__(self, **values: Any) -> None:
        """Read the environment and ``.env``; ``values`` given here take precedence."""
        # Repeated so that type checkers see that every value may come from the environment.
        try:
            super().__init__(**values)
        finally:
            values.clear()

    @field_validator("encryption_keys", mode="before")
    @classmethod
    def _keys(cls, value: Any) -> Any:
        listed = list_of(value.decode("ascii", "replace") if isinstance(value, bytes) else value)
        if not isinstance(listed, list | tuple):
            return listed
        return [key.decode("ascii", "replace") if isinstance(key, bytes) else key for key in listed]

    @field_validator("encryption_keys")
    @classmethod
    def _fernet_keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for position, key in enumerate(value, start=1):
            try:
                Fernet(key.get_secret_value())
            except ValueError:
                raise ValueError(
                    f"key {position} is not a Fernet key; make one with: zaikio-oauth generate-key"
                ) from None
        return value

    @field_validator("bearer_audiences", mode="before")
    @classmethod
    def _audiences(cls, value: Any) -> Any:
        return list_of(value)

    @field_validator("host")
    @classmethod
    def _host_of_environment(cls, value: str, info: Any) -> str:
        return http_url(value) if value else _HOSTS.get(info.data.get("environment", ""), "")

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str | None) -> str | None:
        return None if value is None else http_url(value)

    @field_validator("clients")
    @classmethod
    def _client_names(cls, value: dict[str, ClientSettings]) -> dict[str, ClientSettings]:
        for name in value:
            if not _CLIENT_NAME.match(name):
                raise ValueError(f"the client name {name!r} cannot be part of a path; use letters, digits, _ and -")
        return value

    @field_validator("default_client", mode="before")
    @classmethod
    def _default_client(cls, value: Any, info: Any) -> Any:
        clients = info.data.get("clients")
        if not clients or not isinstance(value, str):
            return value
        if not value and len(clients) > 1:
            raise ValueError(f"is missing; there are several clients, so set it to one of {', '.join(clients)}")
        # The environment gives the names of clients in lower case.
        for name in (value, value.lower()) if value else clients:
            if name in clients:
                return name
        raise ValueError(f"names no client; set it to one of {', '.join(clients)}")

    @property
    def ahead(self) -> timedelta:
        """``refresh_ahead`` as a ``timedelta``."""
        # As much as a timedelta holds; half of a token's lifetime is less in any case.
        return timedelta(seconds=min(self.refresh_ahead, timedelta.max.total_seconds() / 2))

    @property
    def plain_encryption_keys(self) -> tuple[str, ...]:
        """The encryption keys in plain text. Never show or log them."""
        return tuple(Secret(key.get_secret_value()) for key in self.encryption_keys)

    def client(self, name: str) -> ClientSettings:
        """Return the client of that name; raises UnknownClientError."""
        try:
            return self.clients[name]
        except KeyError:
            raise UnknownClientError(name, self.clients) from None


def misspelt_variables() -> tuple[str, ...]:
    """Return a line about each variable that looks like a misspelt setting."""
    settings, of_clients = ([field.upper() for field in kind.model_fields] for kind in (Settings, ClientSettings))
    found = misspelt(variables() | similar_variables(), settings, of_clients)
    return tuple(f"{name} is not a setting; did you mean {meant}?" for name, meant in found.items())


def _did_you_mean(location: list[str]) -> str:
    kind = ClientSettings if len(location) > 1 else Settings
    meant = nearest(location[-1].lower(), kind.model_fields)
    return f"; did you mean {_variable([*location[:-1], meant])}?" if meant else ""


def _variable(location: list[str]) -> str:
    return PREFIX + "__".join(location).upper()


_MISSING = {
    "encryption_keys": "is missing; make one with: zaikio-oauth generate-key",
    "client_id": "is missing; set it to the client id from the Hub",
    "clients": "is missing; set at least ZAIKIO_CLIENTS__<NAME>__CLIENT_ID, with the client id from the Hub",
}


def _unreadable(message: str) -> str:
    """Return one line about a variable that should be JSON and is not."""
    field = re.search(r'field "(\w+)"', message)
    variable = PREFIX + (field[1].upper() if field else "…")
    return f"{variable} is not valid JSON; set its parts one by one instead, as in {variable}__<NAME>__CLIENT_ID"


def _details(error: ValidationError) -> Iterator[Mapping[str, Any]]:
    for detail in error.errors(include_url=False, include_input=False):
        of_client = detail.get("ctx", {}).get("error")
        if isinstance(of_client, InvalidClient):
            yield from ({**each, "loc": (*detail["loc"], *each["loc"])} for each in of_client.details)
        else:
            yield detail


def _problem(detail: Mapping[str, Any]) -> str:
    """Return one line about one variable."""
    location = [str(part) for part in detail["loc"]]
    variable = _variable(location)
    if detail["type"] == "missing":
        return f"{variable} {_MISSING[location[-1]]}"
    if detail["type"] == "extra_forbidden":
        return f"{variable} is not a setting{_did_you_mean(location)}"
    message = detail["msg"].removeprefix("Value error, ")
    if location[-1] == "default_scopes":
        # A client in code has fields, this one has variables.
        there = _variable([*location[:-1], "organization_scopes"])
        message = message.replace(" in organization_scopes,", f" in {there},")
    return f"{variable} {message}" if detail["type"] == "value_error" else f"{variable}: {message}"
