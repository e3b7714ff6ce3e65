"""The pytest plugin, in the test run of an app and in one that has nothing to do with this library."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data import KEY

EXTRA = ("httpx2", "jinja2", "python_multipart", "uvicorn")
HINT = "pip install 'zaikio_oauth[testing]'"
IMPORT_SECONDS = 0.03

TEST_OF_AN_APP = """
from collections.abc import Callable

import httpx2, pytest
from fastapi import Depends, FastAPI
from starlette.middleware.sessions import SessionMiddleware
from starlette.testclient import TestClient
from zaikio_oauth import current_access_token, zaikio_router
from zaikio_oauth.testing import HubServer, LocalHub

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key="secret")
app.include_router(zaikio_router, prefix="/zaikio")

@app.get("/me")
async def me(token=Depends(current_access_token)):
    return token.bearer_id

def test_logged_in(zaikio_logged_in_as: Callable[..., None]):
    with TestClient(app) as client:
        zaikio_logged_in_as(client, "anna")
        assert client.get("/me").json() == "anna"

def test_hub(zaikio_hub: LocalHub, zaikio_hub_server: HubServer, zaikio_hub_url: str):
    assert isinstance(zaikio_hub, LocalHub) and isinstance(zaikio_hub_server, HubServer)
    assert [app.name for app in zaikio_hub.apps] == ["mill"]
    assert httpx2.get(zaikio_hub_url + "/api/v1/roles").status_code == 200
    assert zaikio_hub.count(path="/api/v1/roles") == 1

class TestHubOfMyOwn:
    @pytest.fixture
    def zaikio_hub_server(self):
        with HubServer(LocalHub([])) as server:
            yield server

    def test_hub(self, zaikio_hub: LocalHub, zaikio_hub_url: str):
        assert zaikio_hub.apps == []
        assert httpx2.get(zaikio_hub_url + "/api/v1/roles").status_code == 200
"""

UNRELATED_TEST = """
import sys

def test_nothing_is_imported(pytestconfig):
    assert pytestconfig.pluginmanager.hasplugin("zaikio_oauth")
    assert "_zaikio_oauth_pytest_plugin" in sys.modules
    libraries = {name.partition(".")[0] for name, module in sys.modules.items() if module}
    ours = {"zaikio_oauth", "fastapi", "starlette", "pydantic", "sqlalchemy", "alembic", "httpx", "httpx2", "jinja2"}
    assert libraries & ours == set()
"""

TESTS_WITH_FIXTURES = """
def test_hub(zaikio_hub):
    pass

def test_logged_in(zaikio_logged_in_as):
    pass
"""


def run(
    folder: Path, test: str, *arguments: str, without: tuple[str, ...] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the test in its own pytest process, in which the modules ``without`` cannot be imported."""
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    (folder / "test_it.py").write_text(test)
    prologue = f"import sys; sys.modules.update(dict.fromkeys({without!r}))\n"
    code = prologue + "import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "-q", "-p", "no:cacheprovider", *arguments]
    # Otherwise our own coverage would measure that process as well.
    ours = ("ZAIKIO_", "PYTEST_", "COV")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | variables
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_an_apps_tests_can_use_a_hub_and_a_login(tmp_path: Path) -> None:
    """The fixtures need no line in conftest.py, and a test can replace the Hub with its own."""
    result = run(
        tmp_path,
        TEST_OF_AN_APP,
        ZAIKIO_ENVIRONMENT="test",
        ZAIKIO_HOST="http://127.0.0.1:9",
        ZAIKIO_DATABASE_URL=f"sqlite:///{tmp_path}/x.db",
        ZAIKIO_ENCRYPTION_KEYS=KEY,
        ZAIKIO_CLIENTS__MILL__CLIENT_ID="mill-id",
    )

    assert "3 passed" in result.stdout, result.stdout + result.stderr


# ── test runs that do not use the plugin ──────────────────────────────────────────────────────────


@pytest.mark.parametrize("without", [(), EXTRA, ("zaikio_oauth",)], ids=["with all", "no extra", "broken"])
def test_an_unrelated_run_imports_nothing_of_ours(tmp_path: Path, without: tuple[str, ...]) -> None:
    """Neither the library nor its dependencies are imported, so pytest starts even if some of them are missing."""
    result = run(tmp_path, UNRELATED_TEST, without=without)

    assert "1 passed" in result.stdout, result.stdout + result.stderr


def test_the_coverage_of_an_unrelated_run_is_unchanged(tmp_path: Path) -> None:
    """The measured lines are the same, even in a library that we import."""
    pytest.importorskip("pytest_cov")
    (tmp_path / "tiny.py").write_text("import itsdangerous\n\ndef signer():\n    return itsdangerous.Signer('key')\n")
    test = "import tiny\n\ndef test_signer():\n    assert tiny.signer()\n"
    executed = []
    for plugin in ((), ("-p", "no:zaikio_oauth")):
        report = tmp_path / f"report-{len(executed)}.json"
        result = run(tmp_path, test, *plugin, "--cov=tiny", "--cov=itsdangerous", f"--cov-report=json:{report}")
        assert "1 passed" in result.stdout, result.stdout + result.stderr
        files = json.loads(report.read_text())["files"]
        executed.append({name: file["executed_lines"] for name, file in files.items()})

    with_plugin, without_plugin = executed
    assert with_plugin == without_plugin
    assert with_plugin["tiny.py"] == [1, 3, 4]
    assert [lines for name, lines in with_plugin.items() if name.endswith("/itsdangerous/signer.py") and lines]


def test_an_unrelated_run_is_not_slowed_down() -> None:
    """The plugin takes only a few milliseconds to import after pytest."""
    command = [sys.executable, "-X", "importtime", "-c", "import pytest, _zaikio_oauth_pytest_plugin"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    seconds = []
    for _ in range(3):  # One run may be slow on a busy machine, but hardly all three.
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        line = re.search(r"\| +(\d+) \| +_zaikio_oauth_pytest_plugin$", ran.stderr, flags=re.MULTILINE)
        assert line, ran.stderr
        seconds.append(int(line[1]) / 1_000_000)

    assert min(seconds) < IMPORT_SECONDS


# ── test runs without the extra ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("without", "missing"),
    [
        (EXTRA, ["python_multipart", "jinja2"]),
        (("jinja2",), ["jinja2", "jinja2"]),
        (("uvicorn",), ["uvicorn", "uvicorn"]),
        (("python_multipart",), ["python_multipart"]),  # Only the Hub parses forms.
    ],
    ids=["all", "jinja2", "uvicorn", "python_multipart"],
)
def test_a_fixture_names_a_missing_package(tmp_path: Path, without: tuple[str, ...], missing: list[str]) -> None:
    """The message is one line with the command that installs it, without a traceback."""
    result = run(tmp_path, TESTS_WITH_FIXTURES, without=without)

    # In CI pytest repeats the line, after the name of the test, in its summary.
    said = [line for line in result.stdout.splitlines() if line.endswith(HINT) and not line.startswith("ERROR ")]
    assert said == [f"The fixtures of zaikio_oauth need {name}: {HINT}" for name in missing], result.stdout
    assert result.returncode == pytest.ExitCode.TESTS_FAILED
    assert "ModuleNotFoundError" not in result.stdout
    assert "_zaikio_oauth_pytest_plugin" not in result.stdout


def test_an_import_error_of_our_own_has_a_traceback(tmp_path: Path) -> None:
    """The message about the extra is not shown, because its installation would not help."""
    result = run(tmp_path, TESTS_WITH_FIXTURES, without=("zaikio_oauth.testing",))

    assert "ModuleNotFoundError" in result.stdout
    assert HINT not in result.stdout
