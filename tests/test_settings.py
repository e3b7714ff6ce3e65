"""Settings from environment variables or from code, with error messages that say what to do."""

from __future__ import annotations

import json
import pickle
import re
import traceback
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic_settings import DotEnvSettingsSource

from tests.data import KEY, OTHER_KEY
from zaikio_oauth import ClientSettings, ConfigurationError, Settings, UnknownClientError
from zaikio_oauth.settings import DatabaseSettings, same_app
from zaikio_oauth.settings.setting_warnings import setting_warnings
from zaikio_oauth.testing import LocalHub

CLIENT = {"client_id": "id"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Set the required variables."""
    monkeypatch.setenv("ZAIKIO_ENCRYPTION_KEYS", KEY)
    monkeypatch.setenv("ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_ID", "warehouse-id")
    return monkeypatch


def test_only_a_key_and_a_client_are_required(environment: pytest.MonkeyPatch) -> None:
    """All other settings have defaults."""
    settings = Settings()

    assert (settings.environment, settings.host) == ("development", "http://hub.zaikio.test")
    assert settings.database_url == "sqlite+aiosqlite:///zaikio_oauth.db"
    assert (settings.base_url, settings.cache_ttl, settings.default_client) == (None, 5, "warehouse")
    assert settings.refresh_ahead == 900
    client = settings.client("warehouse")
    assert (client.client_id, client.confidential) == ("warehouse-id", False)
    assert (client.default_scopes, client.organization_scopes) == ((), ())


def test_every_setting_can_come_from_the_environment(environment: pytest.MonkeyPatch) -> None:
    """Lists of scopes and keys are separated by commas or are JSON."""
    for name, value in {
        "ENVIRONMENT": "sandbox",
        "HOST": "http://localhost:8001/",
        "DATABASE_URL": "postgresql://user:swordfish@host/name",
        "ENCRYPTION_KEYS": f"{KEY}, {OTHER_KEY}",
        "BASE_URL": "https://shop.example/app/",
        "CACHE_TTL": "0.5",
        "REFRESH_AHEAD": "60.5",
        "AUTO_MIGRATE": "true",
        "CLIENTS__WAREHOUSE__CLIENT_SECRET": "swordfish",
        "CLIENTS__WAREHOUSE__DEFAULT_SCOPES": "zaikio.person.r, zaikio.sites.rw",
        "CLIENTS__WAREHOUSE__ORGANIZATION_SCOPES": '["zaikio.organization.r"]',
        "CLIENTS__WAREHOUSE__WEBHOOK_SECRET": "swordfish",
        "CLIENTS__GOODS_CALL_OFF__CLIENT_ID": "12345",
        "CLIENTS__GOODS_CALL_OFF__CLIENT_SECRET": "",
        "DEFAULT_CLIENT": "goods_call_off",
    }.items():
        environment.setenv(f"ZAIKIO_{name}", value)

    settings = Settings()

    assert (settings.environment, settings.host) == ("sandbox", "http://localhost:8001")
    assert settings.database_url == "postgresql+asyncpg://user:swordfish@host/name"
    assert [key.get_secret_value() for key in settings.encryption_keys] == [KEY, OTHER_KEY]
    assert (settings.base_url, settings.cache_ttl, settings.auto_migrate) == ("https://shop.example/app", 0.5, True)
    assert settings.refresh_ahead == 60.5
    assert (list(settings.clients), settings.default_client) == (["warehouse", "goods_call_off"], "goods_call_off")
    warehouse, other = settings.clients.values()
    assert warehouse.default_scopes == ("zaikio.person.r", "zaikio.sites.rw")
    assert warehouse.organization_scopes == ("zaikio.organization.r",)
    assert (warehouse.confidential, other.confidential, other.client_id) == (True, False, "12345")
    assert "swordfish" not in f"{settings!r} {settings} {warehouse}"
    assert KEY not in repr(settings)


@pytest.mark.parametrize(
    ("environment_name", "host"),
    [
        ("development", "http://hub.zaikio.test"),
        ("test", "http://hub.zaikio.test"),
        ("staging", "https://hub.staging.zaikio.com"),
        ("sandbox", "https://hub.sandbox.zaikio.com"),
        ("production", "https://hub.zaikio.com"),
    ],
)
def test_each_environment_has_its_hub(environment_name: str, host: str) -> None:
    """The URLs are those of the Hub documentation, "Hosts"."""
    settings = Settings(environment=environment_name, encryption_keys=[KEY], clients={"a": CLIENT})

    assert settings.host == host


def test_several_clients_in_the_environment_need_a_default(environment: pytest.MonkeyPatch) -> None:
    """The environment has no order, so the error names the variable to set, and which clients there are."""
    environment.setenv("ZAIKIO_CLIENTS__KIOSK__CLIENT_ID", "kiosk-id")
    with pytest.raises(
        ConfigurationError,
        match="ZAIKIO_DEFAULT_CLIENT is missing; there are several clients, so set it to one of warehouse, kiosk",
    ):
        Settings()

    for written in ("kiosk", "KIOSK"):
        environment.setenv("ZAIKIO_DEFAULT_CLIENT", written)
        assert Settings().default_client == "kiosk"


def test_in_code_the_first_client_is_the_default(environment: pytest.MonkeyPatch) -> None:
    """A mapping has an order, also if the environment adds a client; what is set explicitly wins."""
    environment.delenv("ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_ID")
    clients = {"second": CLIENT, "first": CLIENT}
    assert Settings(clients=clients).default_client == "second"
    assert Settings(clients=clients, default_client="first").default_client == "first"
    environment.setenv("ZAIKIO_CLIENTS__ANOTHER__CLIENT_ID", "another-id")
    assert Settings(clients=clients).default_client == "second"
    environment.setenv("ZAIKIO_DEFAULT_CLIENT", "another")
    assert Settings(clients=clients).default_client == "another"


@pytest.mark.parametrize("keys", [KEY, KEY.encode(), [KEY], [KEY.encode()], (KEY,), json.dumps([KEY])])
def test_keys_are_accepted_in_every_common_form(keys: Any) -> None:
    """``Fernet.generate_key()`` returns bytes."""
    assert Settings(encryption_keys=keys, clients={"a": CLIENT}).encryption_keys[0].get_secret_value() == KEY


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgres://h/db", "postgresql+asyncpg://h/db"),
        ("postgresql+asyncpg://h/db?ssl=require", "postgresql+asyncpg://h/db?ssl=require"),
        ("sqlite:///file.db", "sqlite+aiosqlite:///file.db"),
        ("sqlite+aiosqlite://", "sqlite+aiosqlite://"),
    ],
)
def test_a_database_url_needs_no_driver(given: str, used: str) -> None:
    """The URLs are those that are common in ``DATABASE_URL``."""
    assert DatabaseSettings(database_url=given).database_url == used


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"encryption_keys": "swordfish"}, "ZAIKIO_ENCRYPTION_KEYS key 1 is not a Fernet key; make one with"),
    ({"encryption_keys": [KEY, "swordfish"]}, "ZAIKIO_ENCRYPTION_KEYS key 2 is not a Fernet key"),
    ({"encryption_keys": '["swordfish'}, "ZAIKIO_ENCRYPTION_KEYS is neither a comma-separated list nor a JSON list"),
    ({"encryption_keys": []}, "ZAIKIO_ENCRYPTION_KEYS: Tuple should have at least 1 item"),
    ({"encryption_keys": 7}, "ZAIKIO_ENCRYPTION_KEYS: "),
    ({"environment": "swordfish"}, "ZAIKIO_ENVIRONMENT: Input should be 'development', 'test'"),
    ({"host": "swordfish"}, "ZAIKIO_HOST has to be an address such as https://"),
    ({"host": "http://user:swordfish@host"}, "ZAIKIO_HOST has to be"),
    ({"base_url": "https://shop.example/?swordfish"}, "ZAIKIO_BASE_URL has to be"),
    ({"base_url": "https://shop.example:swordfish"}, "ZAIKIO_BASE_URL has to be"),
    ({"base_url": "https://["}, "ZAIKIO_BASE_URL has to be"),
    ({"database_url": "swordfish"}, "ZAIKIO_DATABASE_URL has to be an address such as postgresql://"),
    ({"database_url": "mysql://user:swordfish@host/db"}, "ZAIKIO_DATABASE_URL has to start with postgresql://"),
    ({"database_url": 7}, "ZAIKIO_DATABASE_URL: Input should be a valid string"),
    ({"cache_ttl": -1}, "ZAIKIO_CACHE_TTL: Input should be greater than or equal to 0"),
    ({"refresh_ahead": -1}, "ZAIKIO_REFRESH_AHEAD: Input should be greater than or equal to 0"),
    ({"refresh_ahead": "inf"}, "ZAIKIO_REFRESH_AHEAD: Input should be a finite number"),
    ({"cache_ttl": "swordfish"}, "ZAIKIO_CACHE_TTL: Input should be a valid number"),
    ({"clients": {}}, "ZAIKIO_CLIENTS: Dictionary should have at least 1 item"),
    ({"clients": {"a/b": CLIENT}}, "ZAIKIO_CLIENTS the client name 'a/b' cannot be part of a path"),
    ({"clients": {"a": {}}}, "ZAIKIO_CLIENTS__A__CLIENT_ID is missing; set it to the client id from the Hub"),
    ({"clients": {"a": {"client_id": ""}}}, "ZAIKIO_CLIENTS__A__CLIENT_ID: String should have at least 1 character"),
    (
        {"clients": {"a": CLIENT | {"client_secert": "swordfish"}}},
        "ZAIKIO_CLIENTS__A__CLIENT_SECERT is not a setting; did you mean ZAIKIO_CLIENTS__A__CLIENT_SECRET?",
    ),
    ({"clients": {"a": CLIENT | {"client_secret": {"swordfish": 1}}}}, "ZAIKIO_CLIENTS__A__CLIENT_SECRET: "),
    ({"default_client": "swordfish"}, "ZAIKIO_DEFAULT_CLIENT names no client; set it to one of a"),
    ({"default_client": 7}, "ZAIKIO_DEFAULT_CLIENT: Input should be a valid string"),
    ({"swordfish_setting": 1}, "ZAIKIO_SWORDFISH_SETTING is not a setting"),
]


@pytest.mark.parametrize(("changes", "line"), WRONG, ids=lambda value: str(value)[:60])
def test_an_error_names_the_variable_without_its_value(changes: dict[str, Any], line: str) -> None:
    """The message says what to do. The value appears neither in the message nor in the traceback."""
    with pytest.raises(ConfigurationError) as caught:
        Settings(**{"encryption_keys": [KEY], "clients": {"a": CLIENT}} | changes)

    assert line in str(caught.value)
    message = str(caught.value).replace("SWORDFISH_SETTING", "")
    assert "swordfish" not in message
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert "pydantic_core" not in "".join(traceback.format_exception(caught.value))


def test_all_errors_are_reported_at_once() -> None:
    """One message contains all errors, so they can be corrected together."""
    with pytest.raises(ConfigurationError) as caught:
        Settings(environment="x", cache_ttl=-1)

    assert str(caught.value).splitlines() == [
        "Settings of zaikio_oauth:",
        "  ZAIKIO_ENVIRONMENT: Input should be 'development', 'test', 'staging', 'sandbox' or 'production'",
        "  ZAIKIO_ENCRYPTION_KEYS is missing; make one with: zaikio-oauth generate-key",
        "  ZAIKIO_CLIENTS is missing; set at least ZAIKIO_CLIENTS__<NAME>__CLIENT_ID, with the client id from the Hub",
        "  ZAIKIO_CACHE_TTL: Input should be greater than or equal to 0",
    ]


def test_invalid_json_is_reported(environment: pytest.MonkeyPatch) -> None:
    """The message names the variable and does not contain its value."""
    environment.setenv("ZAIKIO_CLIENTS", '{"swordfish')

    with pytest.raises(ConfigurationError, match=r"ZAIKIO_CLIENTS is not valid JSON; set its parts") as caught:
        Settings()

    assert "swordfish" not in str(caught.value)


def test_an_unknown_client_error_lists_the_known_clients() -> None:
    """The exception has the attributes ``name`` and ``known``."""
    settings = Settings(encryption_keys=[KEY], clients={"a": CLIENT, "b": CLIENT})

    with pytest.raises(UnknownClientError, match="no client named 'c'; the configured ones are: a, b") as caught:
        settings.client("c")

    assert (caught.value.name, caught.value.known) == ("c", ("a", "b"))


@pytest.mark.parametrize(
    ("field", "scope", "message"),
    [
        (
            "default_scopes",
            "Org.zaikio.sites.r",
            "'Org.zaikio.sites.r' is not that person's; write 'zaikio.sites.r' in",
        ),
        ("default_scopes", "zaikio.person.r Org/1.zaikio.sites.r", "'Org/1.zaikio.sites.r' is not that person's"),
        ("default_scopes", "Per/1.zaikio.person.r", "'Per/1.zaikio.person.r' is not that person's"),
        ("default_scopes", "Org>Org.zaikio.sites.r", "'Org>Org.zaikio.sites.r' is not that person's"),
        ("organization_scopes", "Per.zaikio.sites.r", "'Per.zaikio.sites.r' names another bearer; write 'zaikio.sites"),
        ("organization_scopes", "Per>Org.zaikio.sites.r", "'Per>Org.zaikio.sites.r' names another bearer"),
        ("organization_scopes", "a.b.r,Org/1.zaikio.sites.r", "'Org/1.zaikio.sites.r' names another bearer"),
    ],
)
def test_scopes_of_another_bearer_are_named(field: str, scope: str, message: str) -> None:
    """In the settings of everything, and of one client in code. The route would replace the prefix or log nobody in."""
    client = {"client_id": "id", "client_secret": "swordfish", field: scope}
    with pytest.raises(ConfigurationError, match=re.escape(message)) as caught:
        ClientSettings(**client)
    assert f"  {field} are asked of the " in str(caught.value)
    with pytest.raises(ConfigurationError, match=re.escape(message)) as in_settings:
        Settings(encryption_keys=["no key"], clients={"warehouse": client})
    assert f"\n  ZAIKIO_CLIENTS__WAREHOUSE__{field.upper()} are asked of the " in str(in_settings.value)
    assert "\n  ZAIKIO_ENCRYPTION_KEYS key 1 " in str(in_settings.value)
    if field == "default_scopes":
        assert " in organization_scopes, or here" in str(caught.value)
        assert " in ZAIKIO_CLIENTS__WAREHOUSE__ORGANIZATION_SCOPES, or here" in str(in_settings.value)
    for each in (caught, in_settings):
        assert "swordfish" not in "".join(traceback.format_exception(each.value))


def test_scopes_may_repeat_their_bearer() -> None:
    """Or say that the person acts on behalf of an organization."""
    persons = ("zaikio.person.r", "Per.zaikio.sites.r")
    acting = ("Per>Org.zaikio.sites.r", "Per>Org/1.zaikio.machines.r")
    client = ClientSettings(client_id="id", default_scopes=persons, organization_scopes="Org.a.b.r c.d.r")
    assert (client.default_scopes, client.organization_scopes) == (persons, ("Org.a.b.r", "c.d.r"))
    assert ClientSettings(client_id="id", default_scopes=acting).default_scopes == acting


def test_a_client_in_code_is_checked_as_settings_are() -> None:
    """One error lists everything, and survives its way to another process."""
    with pytest.raises(ConfigurationError) as caught:
        ClientSettings(client_id="", secret="swordfish")
    lines = str(caught.value).splitlines()
    assert (lines[0], len(lines), "swordfish" in str(caught.value)) == ("Settings of a client:", 3, False)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_settings_cannot_be_changed() -> None:
    """They are read once and then frozen."""
    settings = Settings(encryption_keys=[Fernet.generate_key()], clients={"a": ClientSettings(client_id="id")})

    with pytest.raises(ValueError, match="frozen"):
        settings.environment = "production"


@pytest.mark.parametrize(
    ("audience", "client_name", "same"),
    [
        ("warehouse", "warehouse", True),
        ("ware-house", "ware_house", True),
        ("ware-house", "ware-house", True),
        ("ware_house", "ware-house", False),
        ("Warehouse", "warehouse", False),
        ("warehouse", "Warehouse", False),
        ("warehou\u017fe", "warehouse", False),
        ("warehouse/prod", "warehouse", False),
        ("warehouse ", "warehouse", False),
        ("warehouses", "warehouse", False),
        ("prod/warehouse", "warehouse", False),
        ("", "warehouse", False),
    ],
)
def test_an_audience_matches_the_client_of_the_same_app(audience: str, client_name: str, same: bool) -> None:
    """It is exact (RFC 7519 §4.1.3), but an underscore in a client's name may stand for a hyphen."""
    assert same_app(audience, client_name) is same


@pytest.mark.parametrize("value", ["partner, another_app", '["partner", "another_app"]'])
def test_bearer_audiences_are_a_list(environment: pytest.MonkeyPatch, value: str) -> None:
    """The list is comma-separated or JSON, and empty by default."""
    assert Settings().bearer_audiences == ()
    environment.setenv("ZAIKIO_BEARER_AUDIENCES", value)
    assert Settings().bearer_audiences == ("partner", "another_app")


# ── the file .env ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of the file ``.env`` in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".env"


def test_a_file_in_the_working_directory_is_read_and_the_environment_wins(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the environment replaces single variables, also nested ones. Variables of others are ignored."""
    env_file.write_text(
        f"ZAIKIO_ENCRYPTION_KEYS={KEY}\nZAIKIO_CLIENTS__WAREHOUSE__CLIENT_ID=of-the-file\n"
        "ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_SECRET=swordfish\nexport ZAIKIO_CACHE_TTL=7\n"
        "ZAIKIO_DATABASE_URL='sqlite:///file.db'\nDATABASE_URL=of-the-app\nZAIKIO_OF_THE_APP=1\n"
    )
    settings = Settings()
    assert (settings.client("warehouse").client_id, settings.cache_ttl) == ("of-the-file", 7)
    assert DatabaseSettings().database_url == settings.database_url == "sqlite+aiosqlite:///file.db"

    monkeypatch.setenv("ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_ID", "of-the-environment")
    warehouse = Settings(cache_ttl=9).client("warehouse")
    assert (warehouse.client_id, warehouse.confidential) == ("of-the-environment", True)
    assert (Settings(cache_ttl=9).cache_ttl, Settings().cache_ttl) == (9, 7)
    with env_file.open("a") as file:
        file.write("ZAIKIO_DEFAULT_CLIENT=second\n")
    assert Settings(clients={"first": CLIENT, "second": CLIENT}).default_client == "second"
    with pytest.raises(ConfigurationError, match="ZAIKIO_ENCRYPTION_KEYS is missing"):
        Settings(_env_file=None)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"ZAIKIO_ENCRYPTION_KEYS=swordfish", "ZAIKIO_ENCRYPTION_KEYS key 1 is not a Fernet key"),
        (b"ZAIKIO_CLIENTS={swordfish", "ZAIKIO_CLIENTS is not valid JSON"),
        (b"ZAIKIO_CLIENTS__A__CLIENT_SECRT=swordfish", "did you mean ZAIKIO_CLIENTS__A__CLIENT_SECRET?"),
        (b"ZAIKIO_HOST=swordfish\xff", ".env is not text in UTF-8"),
    ],
)
def test_an_error_in_the_file_is_reported_without_its_content(env_file: Path, content: bytes, line: str) -> None:
    """It is the same ConfigurationError as for the environment, also for migrations."""
    env_file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=re.escape(line)) as caught:
        Settings()
    assert "swordfish" not in "".join(traceback.format_exception(caught.value))


def test_the_file_is_parsed_once_at_a_start(env_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings, warnings and the local Hub need it; after a change it is parsed again."""
    parsed: list[Any] = []
    parse = DotEnvSettingsSource._static_read_env_file
    monkeypatch.setattr(
        DotEnvSettingsSource,
        "_static_read_env_file",
        staticmethod(lambda path, **options: parsed.append(path) or parse(path, **options)),
    )
    content = f"ZAIKIO_ENCRYPTION_KEYS={KEY}\nZAIKIO_CLIENTS__WAREHOUSE__CLIENT_ID=a\nZAIKIO_HOSTS=x\nOF_THE_APP=s\n"
    env_file.write_text(content)
    hub = LocalHub.configured()
    settings = Settings()
    assert [str(warning) for warning in setting_warnings(settings)]
    assert (settings.client("warehouse").client_id, hub.apps[0].client_id, len(parsed)) == ("a", "a", 1)

    env_file.write_text(content.replace("=a\n", "=another\n"))
    (tmp_path / "other").write_text(content.replace("=a\n", "=other\n"))
    assert Settings().client("warehouse").client_id == "another"
    assert Settings(_env_file=[tmp_path / "other"]).client("warehouse").client_id == "other"
    assert len(parsed) == 3


def test_a_folder_of_that_name_is_no_file(env_file: Path) -> None:
    """Some virtual environments are called ``.env``."""
    env_file.mkdir()
    assert Settings(encryption_keys=[KEY], clients={"a": CLIENT}).default_client == "a"
