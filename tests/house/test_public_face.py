"""The public names, on which other people's code depends."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pydoc
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import zaikio_oauth
import zaikio_oauth.application
from tests.data import KEY
from zaikio_oauth import ZaikioOAuth

ROOT = Path(__file__).parents[2]

FACE = {
    "zaikio_oauth": [
        "AccessToken",
        "BearerDoesNotExistError",
        "BearerToken",
        "ClientSettings",
        "ConfigurationError",
        "Connection",
        "DecryptionError",
        "DeviceAuthorization",
        "HubEvent",
        "HubUnavailableError",
        "InvalidGrantError",
        "InvalidResponseError",
        "InvalidScopesError",
        "InvalidTokenError",
        "LoginError",
        "OAuthError",
        "OnBehalfOf",
        "Settings",
        "StoreUnavailableError",
        "TokenEvent",
        "UnknownClientError",
        "ZaikioAuth",
        "ZaikioOAuth",
        "ZaikioOAuthError",
        "bearer_token",
        "cleanup_access_tokens",
        "configure",
        "connections",
        "connections_router",
        "current_access_token",
        "delegate",
        "find_active_access_token",
        "find_usable_access_token",
        "get_access_token",
        "keep_alive",
        "login_error",
        "optional_access_token",
        "refresh",
        "revoke",
        "rotate_encryption_keys",
        "sessions_router",
        "start_device_authorization",
        "subscriptions_router",
        "verify_bearer_token",
        "webhook_router",
        "with_auth",
        "with_client",
        "zaikio_router",
    ],
    "zaikio_oauth.migrations": [
        "include_name",
        "process_revision_directives",
        "version_location",
    ],
    "zaikio_oauth.testing": [
        "HubApp",
        "HubOrganization",
        "HubPerson",
        "HubRequest",
        "HubServer",
        "LocalHub",
        "logged_in_as",
        "session_cookie",
    ],
}

MEMBERS = [name for name in FACE["zaikio_oauth"] if name[0].islower() and name not in ("login_error", "zaikio_router")]


@pytest.mark.parametrize("module", FACE)
def test_the_face_is_this_list(module: str) -> None:
    """``__all__`` is this list, it is sorted, and each name exists."""
    imported = importlib.import_module(module)
    assert imported.__all__ == sorted(imported.__all__)
    assert imported.__all__ == FACE[module]
    assert [name for name in imported.__all__ if not hasattr(imported, name)] == []


@pytest.mark.parametrize("module", FACE)
def test_nothing_else_looks_public(module: str) -> None:
    """Each name without an underscore at the start is in the list or is a module of ours."""
    imported = importlib.import_module(module)
    assert [name for name in FACE[module] if not hasattr(imported, name)] == []
    names = {name for name, value in vars(imported).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert names == set(FACE[module])


def test_type_checkers_see_what_is_imported() -> None:
    """Names are imported when they are used, from the modules from which a type checker imports them."""
    tree = ast.parse(Path(zaikio_oauth.__file__).read_text())
    (seen,) = (node for node in tree.body if isinstance(node, ast.If) and "not" not in ast.unparse(node.test))
    imports = [node for node in seen.body if isinstance(node, ast.ImportFrom)]
    origins = {alias.name: node.module or "" for node in imports for alias in node.names if alias.asname is None}
    members = {node.targets[0].id: node.value for node in seen.body if isinstance(node, ast.Assign)}  # type: ignore[attr-defined]
    assert origins.keys() | members.keys() == set(FACE["zaikio_oauth"])
    for name, module in origins.items():
        assert getattr(zaikio_oauth, name) is getattr(importlib.import_module(module), name)
    for name, value in members.items():
        member = value.attr  # type: ignore[attr-defined]
        assert getattr(zaikio_oauth, name) == getattr(zaikio_oauth.application.default, member)
    assert dir(zaikio_oauth) == FACE["zaikio_oauth"]
    with pytest.raises(AttributeError, match="has no attribute 'with_aut'"):
        zaikio_oauth.with_aut  # type: ignore[attr-defined]


@pytest.mark.parametrize("module", FACE)
def test_everything_on_it_is_explained(module: str) -> None:
    """Classes and functions have docstrings, and so do their public methods, including inherited ones of ours."""
    unexplained = []
    for name in FACE[module]:
        value = getattr(importlib.import_module(module), name)
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        unexplained += [] if inspect.getdoc(value) else [name]
        for member, method in inspect.getmembers(value, lambda m: inspect.isfunction(m) or isinstance(m, property)):
            code = method.fget if isinstance(method, property) else method
            ours = code.__module__.startswith("zaikio_oauth.") and not member.startswith("_")
            if ours and not inspect.getdoc(method):
                unexplained.append(f"{name}.{member}")
    assert unexplained == []


def test_every_error_is_one_of_ours() -> None:
    """``except ZaikioOAuthError`` catches every error that the library raises."""
    errors = [name for name in FACE["zaikio_oauth"] if name.endswith("Error") and name != "LoginError"]
    strangers = [name for name in errors if not issubclass(getattr(zaikio_oauth, name), zaikio_oauth.ZaikioOAuthError)]
    assert strangers == []


@pytest.mark.parametrize("name", MEMBERS)
def test_a_module_level_name_is_a_member_of_the_default_object(name: str) -> None:
    """There is one signature and one docstring, and no function that only forwards."""
    assert getattr(zaikio_oauth, name) == getattr(zaikio_oauth.application.default, name)


def test_the_router_is_a_member_too() -> None:
    """Its module-level name says which library the router belongs to."""
    assert zaikio_oauth.zaikio_router is zaikio_oauth.application.default.router


def test_configure_takes_what_the_class_takes() -> None:
    """Both accept the same settings and hooks, and the error names a misspelt one."""
    options = [
        "around_auth",
        "after_approve",
        "after_destroy",
        "on_error",
        "verify_state",
        "locale",
        "on_token_event",
        "engine_options",
    ]
    for make in (ZaikioOAuth, ZaikioOAuth().configure):
        assert make(None, **dict.fromkeys(options))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"do not take after_aprove$"):
            make(after_aprove=None)  # type: ignore[call-arg]
    assert [option for option in options if f"``{option}" not in (ZaikioOAuth.configure.__doc__ or "")] == []


def test_the_class_has_no_other_public_members() -> None:
    """Internal parts are not public members."""
    assert {name for name in dir(ZaikioOAuth()) if not name.startswith("_")} == {*MEMBERS, "router", "settings"}


def test_help_says_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """``help(with_auth)``, for example, describes the purpose and each argument, and contains an example."""
    for name in FACE["zaikio_oauth"]:
        value = getattr(zaikio_oauth, name)
        described = pydoc.render_doc(value, renderer=pydoc.plaintext)
        assert len(inspect.getdoc(value) or "") > 100, name
        if inspect.ismethod(value):
            arguments = inspect.signature(value).parameters.keys() - {"settings", "options"}
            assert [each for each in arguments if f"``{each}" not in described and each != "token"] == [], name
        if not name.endswith("_router"):
            assert re.search(r"^ {4,}.*\w\(|await |with |except |Depends|Security", described, re.MULTILINE), name


def test_a_script_can_import_it_without_any_setting() -> None:
    """The settings are read when they are first needed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ZAIKIO_")}
    command = [
        sys.executable,
        "-c",
        "import zaikio_oauth; print(zaikio_oauth.with_auth, repr(zaikio_oauth.ZaikioOAuth()))",
    ]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, "settings not read yet" in result.stdout) == (0, True), result.stderr


def test_an_app_loads_only_what_it_uses(tmp_path: Path, migrated_sqlite: Path) -> None:
    """The JOSE library when a bearer token comes, the driver and the dialect of its own database, Alembic to migrate."""
    shutil.copy(migrated_sqlite, tmp_path / "store.db")
    script = f"""
import asyncio, sys
from zaikio_oauth import Settings, ZaikioOAuth, current_access_token, zaikio_router
from zaikio_oauth import InvalidTokenError

print(*sorted(set(sys.modules) & {{"aiosqlite", "stamina"}}))

async def main():
    clients = {{"warehouse": {{"client_id": "warehouse-id"}}}}
    settings = Settings(database_url="sqlite:///{tmp_path}/store.db", encryption_keys={KEY!r}, clients=clients)
    async with ZaikioOAuth(settings) as zaikio:
        print(*sorted(set(sys.modules) & {{"alembic", "joserfc", "httpx2", "asyncpg", "uvicorn",
            "sqlalchemy.dialects.postgresql", "zaikio_oauth.testing"}}))
        try:
            await zaikio.verify_bearer_token("e30.e30.e30")
        except InvalidTokenError:
            print("joserfc" in sys.modules)

asyncio.run(main())
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "\n\nTrue\n"), result.stdout + result.stderr


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda page: page.name
)
def test_the_docs_import_what_exists(page: Path) -> None:
    """An example that a reader copies raises no ImportError."""
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("zaikio_oauth"):
                modules = {name.rpartition(".")[2] for name in FACE if name.startswith(f"{node.module}.")}
                assert {alias.name for alias in node.names} <= modules.union(FACE[node.module or ""])


def test_the_types_are_shown_in_full() -> None:
    """The file that mypy reads in place of a user's code mentions every public name."""
    words = set(re.findall(r"\w+", (ROOT / "tests" / "public_types" / "api.py").read_text()))
    assert [name for names in FACE.values() for name in names if name not in words] == []
