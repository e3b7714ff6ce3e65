"""The names that other people's code is written against."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import zaikio_oauth
from zaikio_oauth import ZaikioOAuth

ROOT = Path(__file__).parents[2]

FACE = {
    "zaikio_oauth": [
        "AccessToken",
        "BearerDoesNotExistError",
        "BearerToken",
        "ClientSettings",
        "ConfigurationError",
        "DecryptionError",
        "DeviceAuthorization",
        "HubUnavailableError",
        "InvalidGrantError",
        "InvalidResponseError",
        "InvalidScopesError",
        "InvalidTokenError",
        "LoginError",
        "OAuthError",
        "OnBehalfOf",
        "Settings",
        "TokenEvent",
        "UnknownClientError",
        "ZaikioAuth",
        "ZaikioOAuth",
        "ZaikioOAuthError",
        "bearer_token",
        "cleanup_access_tokens",
        "configure",
        "connections_router",
        "current_access_token",
        "delegate",
        "find_active_access_token",
        "find_usable_access_token",
        "get_access_token",
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

FORWARDED = [
    "cleanup_access_tokens",
    "delegate",
    "find_active_access_token",
    "find_usable_access_token",
    "get_access_token",
    "refresh",
    "revoke",
    "rotate_encryption_keys",
    "start_device_authorization",
    "verify_bearer_token",
    "with_auth",
    "with_client",
]
MEMBERS = [
    *FORWARDED,
    "bearer_token",
    "connections_router",
    "current_access_token",
    "optional_access_token",
    "router",
    "sessions_router",
    "subscriptions_router",
    "webhook_router",
]


@pytest.mark.parametrize("module", FACE)
def test_the_face_is_this_list(module: str) -> None:
    """``__all__`` is the promised list, sorted, and each name is there."""
    imported = importlib.import_module(module)
    assert imported.__all__ == sorted(imported.__all__)
    assert imported.__all__ == FACE[module]
    assert [name for name in imported.__all__ if not hasattr(imported, name)] == []


@pytest.mark.parametrize("module", FACE)
def test_nothing_else_looks_public(module: str) -> None:
    """What is importable without an underscore is on the list, or a module of ours."""
    imported = importlib.import_module(module)
    names = {name for name, value in vars(imported).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert names == set(FACE[module])


@pytest.mark.parametrize("module", FACE)
def test_everything_on_it_is_explained(module: str) -> None:
    """Classes and functions have docstrings, and so have their public methods, those they inherit from us too."""
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
    """One ``except ZaikioOAuthError`` catches all that the library raises."""
    errors = [name for name in FACE["zaikio_oauth"] if name.endswith("Error") and name != "LoginError"]
    strangers = [name for name in errors if not issubclass(getattr(zaikio_oauth, name), zaikio_oauth.ZaikioOAuthError)]
    assert strangers == []


@pytest.mark.parametrize("name", FORWARDED)
def test_a_module_level_function_takes_what_the_member_takes(name: str) -> None:
    """It only forwards to the default object, so the two cannot differ."""
    member = inspect.signature(getattr(ZaikioOAuth, name)).parameters
    function = inspect.signature(getattr(zaikio_oauth, name)).parameters
    assert list(function.values()) == list(member.values())[1:]


def test_configure_takes_what_the_class_takes() -> None:
    """The same settings and hooks."""
    taken = list(inspect.signature(ZaikioOAuth.__init__).parameters.values())[1:]
    assert list(inspect.signature(zaikio_oauth.configure).parameters.values()) == taken


def test_an_object_has_the_members_that_are_promised(zaikio: ZaikioOAuth) -> None:
    """Several in one process, each used like the module."""
    assert [name for name in MEMBERS if not hasattr(zaikio, name)] == []


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_the_docs_import_what_exists(page: Path) -> None:
    """A reader who types an example off gets no ImportError."""
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("zaikio_oauth"):
                assert {alias.name for alias in node.names} <= set(FACE[node.module or ""])


def test_the_types_are_shown_in_full() -> None:
    """The file that mypy reads as a user's code mentions every public name."""
    words = set(re.findall(r"\w+", (ROOT / "tests" / "public_types" / "api.py").read_text()))
    assert [name for names in FACE.values() for name in names if name not in words] == []
