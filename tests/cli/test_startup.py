"""What a person types all the time starts at once: the version, the help, a new key, and Tab."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.cli.test_commands import environment
from tests.data import KEY

BASH = shutil.which("bash")
VERSION = f"zaikio_oauth {metadata.version('zaikio_oauth')}\n"

SLOW = [
    "aiosqlite",
    "alembic",
    "asyncio",
    "fastapi",
    "httpx",
    "pydantic_settings",
    "sqlalchemy",
    "starlette",
    "uvicorn",
]

WEB = ["fastapi", "httpx2", "joserfc", "starlette", "uvicorn", "sqlalchemy.dialects.postgresql"]

NAMES_WHAT_IT_HAS_IMPORTED = f"""
import atexit, sys
sys.argv[0] = "zaikio-oauth"
atexit.register(lambda: print(*sorted(set(sys.modules) & set({SLOW + WEB!r})), file=sys.stderr))
from zaikio_oauth.cli import main
main()
"""


def run_as_module(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zaikio_oauth", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)


@pytest.mark.parametrize("arguments", [["--version"], ["rotate-keys", "--help"], ["generate-key"]])
def test_a_command_that_needs_no_database_imports_none(arguments: list[str]) -> None:
    """Nor the web framework, nor what reads the settings."""
    command = [sys.executable, "-c", NAMES_WHAT_IT_HAS_IMPORTED, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)

    assert (result.returncode, result.stderr) == (0, "\n"), result.stderr


@pytest.mark.parametrize("command", ["cleanup", "rotate-keys", "connections", "keep-alive"])
def test_a_command_of_a_nightly_job_imports_no_web_framework(
    migrated_sqlite: Path, tmp_path: Path, command: str
) -> None:
    """Nor what only PostgreSQL, a bearer token or httpx2 needs."""
    store = shutil.copy(migrated_sqlite, tmp_path / "store.db")
    settings = environment(
        ZAIKIO_DATABASE_URL=f"sqlite:///{store}",
        ZAIKIO_ENCRYPTION_KEYS=KEY,
        ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_ID="warehouse-id",
    )
    script = [sys.executable, "-c", NAMES_WHAT_IT_HAS_IMPORTED, command]
    result = subprocess.run(script, capture_output=True, text=True, env=settings, check=False)

    assert result.returncode == 0, result.stderr
    imported = result.stderr.splitlines()[-1].split()
    assert "sqlalchemy" in imported
    assert set(imported) & set(WEB) == set()


def test_the_shell_completes_commands_without_a_database() -> None:
    """Each Tab starts the command, so a person waits for what it imports."""
    tab = {"_ZAIKIO_OAUTH_COMPLETE": "complete_bash", "COMP_WORDS": "zaikio-oauth connections --", "COMP_CWORD": "2"}
    command = [sys.executable, "-c", NAMES_WHAT_IT_HAS_IMPORTED]
    result = subprocess.run(command, capture_output=True, text=True, env=environment(**tab), check=False)

    assert (result.returncode, result.stderr) == (0, "\n"), result.stderr
    assert {"--client", "--bearer-type", "--json"} <= set(result.stdout.split())


@pytest.mark.skipif(BASH is None, reason="there is no bash")
def test_completion_in_a_real_shell(tmp_path: Path) -> None:
    """The script that --install-completion leaves in the home directory completes commands and values in bash."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    tab = "COMP_WORDS=(zaikio-oauth {}); COMP_CWORD={}; _zaikio_oauth_completion zaikio-oauth; echo ${{COMPREPLY[@]}}"
    script = "\n".join(
        [
            "zaikio-oauth --install-completion",
            'zaikio-oauth --show-completion | grep -c "_zaikio_oauth_completion"',
            'source "$HOME/.bashrc"',
            tab.format("ro", 1),
            tab.format("connections --bearer-type P", 3),
        ]
    )
    assert BASH is not None
    result = subprocess.run(
        [BASH, "--norc", "-c", script],
        capture_output=True,
        text=True,
        env=environment(HOME=str(tmp_path), PATH=path),
        check=False,
    )

    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    installed, *_, command, value = result.stdout.splitlines()
    assert re.match(r"bash completion installed in .*zaikio-oauth", installed)
    assert (command, value) == ("rotate-keys", "Person")


def test_the_package_is_the_command() -> None:
    """``python -m zaikio_oauth`` is for where no scripts are installed; it calls itself zaikio-oauth."""
    assert run_as_module("--version").stdout == VERSION
    wrong = run_as_module("migrate", "--no-such-option")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    # Older versions of typer leave the message to Click, which quotes the name.
    said = wrong.stderr.replace(" '--no-such-option'", ": --no-such-option")
    assert said == "zaikio-oauth: No such option: --no-such-option; try: zaikio-oauth migrate --help\n"
