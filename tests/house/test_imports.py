"""The directions of imports, checked for every import in the source."""

from __future__ import annotations

import ast
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "zaikio_oauth"
PYTEST_PLUGIN = ROOT / "src" / "_zaikio_oauth_pytest_plugin.py"
PACKAGE = "zaikio_oauth"
INIT = "__init__"

IMPORTERS = ("__import__", "import_module", "importlib.import_module")
VALUES = "errors scopes access_token settings"

# unit: (units it may import, foreign libraries it may import). A row names only rows above it, or one module of such a
# row.
TABLE: dict[str, tuple[str, str]] = {
    "errors": ("", ""),
    "scopes": ("errors", ""),
    "access_token": ("scopes", "pydantic"),
    "settings": ("errors scopes access_token", "cryptography pydantic pydantic_settings"),
    # Neither knows the other.
    "hub": (VALUES, "httpx joserfc stamina"),
    "store": (VALUES, "aiosqlite alembic cryptography sqlalchemy"),
    "resource_server": (f"{VALUES} hub store", "pydantic"),
    "tokens": (f"{VALUES} hub store resource_server", "opentelemetry"),
    "migrations": ("store", ""),
    # Never the database, and of the Hub only the events that it delivers.
    "web": (f"{VALUES} hub.event resource_server tokens", "cryptography fastapi starlette"),
    "application": (f"{VALUES} resource_server tokens web", "fastapi"),
    "httpx_auth": (f"{VALUES} tokens application", "httpx httpx2"),
    INIT: (f"{VALUES} hub.event resource_server tokens web application httpx_auth", ""),
    "testing": (
        f"{VALUES} tokens web application",
        "httpx httpx2 itsdangerous jinja2 joserfc pydantic python_multipart starlette uvicorn",
    ),
    # `migrate` and `check` need the database or the Hub alone, without a whole ZaikioOAuth.
    "cli": (f"{VALUES} hub store tokens application testing", "cryptography pydantic rich segno sqlalchemy typer"),
    "__main__": ("cli", ""),
}


def unit_of(path: Path, source: Path) -> str:
    """Return the unit of a file: a module at the top, or a package with everything in it."""
    return path.relative_to(source).with_suffix("").parts[0]


def imported_names(path: Path, source: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the absolute dotted name of every import of a file."""
    package = [PACKAGE, *path.relative_to(source).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *(node.module or "").split(".")]).rstrip(".")
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in IMPORTERS:
            yield from ((node.lineno, name.value) for name in node.args[:1] if isinstance(name, ast.Constant))


def complaints(source: Path) -> list[str]:
    """Return what the table does not allow."""
    units = {unit_of(path, source) for path in source.rglob("*.py")}
    found = [f"{unit} has no row in the table" for unit in sorted(units - TABLE.keys())]
    for path in sorted(source.rglob("*.py")):
        unit = unit_of(path, source)
        own, foreign = (set(names.split()) for names in TABLE.get(unit, ("", "")))
        for line, name in imported_names(path, source):
            library, *inner = name.split(".")
            if library == PACKAGE:
                # `from zaikio_oauth import X` means the unit X, or else a name that the package itself gives.
                target = inner[0] if inner and inner[0] in units else INIT
                allowed = own | {unit} | ({target} if ".".join(inner[:2]) in own else set())
            else:
                target = library
                allowed = foreign | sys.stdlib_module_names
            if target not in allowed:
                found.append(f"{path.relative_to(source)}:{line}: {unit} may not import {target}")
    return found


def test_imports_go_one_way() -> None:
    """The table allows every import in the source, including lazy imports, relative imports and those for types only."""
    assert complaints(SOURCE) == []


def test_the_table_goes_one_way() -> None:
    """A row names only rows above it, so there can be no cycle. Every row belongs to an existing unit."""
    above: set[str] = set()
    for unit, (own, _) in TABLE.items():
        assert {name.partition(".")[0] for name in own.split()} <= above, unit
        above.add(unit)
    assert above == {unit_of(path, SOURCE) for path in SOURCE.rglob("*.py")}


@pytest.mark.parametrize(
    ("file", "planted", "complaint"),
    [
        ("hub/http.py", "from zaikio_oauth.store import tables", "hub may not import store"),
        ("hub/http.py", "import fastapi", "hub may not import fastapi"),
        ("web/webhook.py", "from zaikio_oauth.hub import http", "web may not import hub"),
        ("web/session.py", "import sqlalchemy.orm", "web may not import sqlalchemy"),
        ("web/session.py", "from ..hub.http import HubHttp", "web may not import hub"),
        ("web/session.py", "from .. import hub", "web may not import hub"),
        ("errors.py", "from zaikio_oauth import AccessToken", "errors may not import __init__"),
        ("errors.py", "from . import AccessToken", "errors may not import __init__"),
        ("scopes.py", "import zaikio_oauth", "scopes may not import __init__"),
        ("tokens/token_manager.py", "import zaikio_oauth.application", "tokens may not import application"),
        ("tokens/token_manager.py", "import httpx", "tokens may not import httpx"),
        ("application.py", "from zaikio_oauth.testing import LocalHub", "application may not import testing"),
        ("scopes.py", "def late():\n    import httpx", "scopes may not import httpx"),
        (
            "errors.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from zaikio_oauth.settings import Settings",
            "errors may not import settings",
        ),
        (
            "errors.py",
            "import importlib\nimportlib.import_module('zaikio_oauth.scopes')",
            "errors may not import scopes",
        ),
        ("utilities.py", "", "utilities has no row in the table"),
    ],
)
def test_a_planted_violation_is_caught(tmp_path: Path, file: str, planted: str, complaint: str) -> None:
    """Each planted import causes one complaint."""
    copy = tmp_path / "source"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / file).open("a") as module:
        module.write(f"\n{planted}\n")
    new = [line for line in complaints(copy) if line not in complaints(SOURCE)]
    assert len(new) == 1
    assert new[0].endswith(complaint)


def test_the_demo_and_the_pytest_plugin_use_only_the_public_face() -> None:
    """They import ``zaikio_oauth`` and ``zaikio_oauth.testing`` and nothing below these two."""
    deeper = [
        f"{path.name}: {node.module}"
        for path in [*sorted((ROOT / "demo_app").rglob("*.py")), PYTEST_PLUGIN]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE)
        if node.module not in (PACKAGE, f"{PACKAGE}.testing")
    ]
    assert deeper == []
