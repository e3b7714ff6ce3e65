"""The published packages are complete, and the development dependencies are pinned without the place they come from."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = PROJECT["project"]["version"]
ASKED_FOR = {
    "aiosqlite",
    "alembic",
    "cryptography",
    "fastapi",
    "httpx",
    "itsdangerous",
    "pydantic-settings",
    "sqlalchemy",
}
PLUGIN = "_zaikio_oauth_pytest_plugin.py"
EXTRAS = ("asyncpg", "httpx2", "jinja2", "python_multipart", "segno", "typer", "uvicorn")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sdist and with the wheel that is made from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the unpacked wheel, like an installation without a source tree."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(built / f"zaikio_oauth-{VERSION}-py3-none-any.whl") as wheel:
        wheel.extractall(folder)
    return folder


def run(installed: Path, code: str, *without: str) -> subprocess.CompletedProcess[str]:
    """Run the code in a new process that imports our package from the unpacked wheel and cannot import ``without``."""
    prologue = f"import sys; sys.path.insert(0, {str(installed)!r}); sys.modules.update(dict.fromkeys({without!r}))\n"
    command = [sys.executable, "-I", "-c", prologue + code]
    # Otherwise coverage would measure that process and report the copy as untested.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    return subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True, check=False)


def files_of(folder: Path) -> set[str]:
    """Return the files of a folder in the repository, relative to the folder, without generated files."""
    kept = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix() for path in kept}


def test_the_wheel_contains_the_whole_package(installed: Path) -> None:
    """It contains the modules, the templates and the type marker, and no other files."""
    packed = files_of(installed / "zaikio_oauth")
    assert {name for name in packed if not name.startswith("_alembic/")} == files_of(ROOT / "src" / "zaikio_oauth")
    assert "py.typed" in packed
    top = {name.partition("/")[0] for name in files_of(installed)}
    assert top == {"zaikio_oauth", PLUGIN, f"zaikio_oauth-{VERSION}.dist-info"}
    described = files_of(installed / f"zaikio_oauth-{VERSION}.dist-info")
    assert described == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}


def test_the_wheel_contains_the_migrations(installed: Path) -> None:
    """It contains all files of ``alembic/``, and the library finds them there."""
    assert files_of(installed / "zaikio_oauth" / "_alembic") == files_of(ROOT / "alembic")
    found = run(installed, "from zaikio_oauth.store import schema; print(schema.directory())")
    assert found.stdout.strip() == str(installed / "zaikio_oauth" / "_alembic"), found.stderr
    # What users write into their alembic.ini.
    code = "from alembic.util import coerce_resource_to_filename as path; print(path('zaikio_oauth:_alembic/versions'))"
    found = run(installed, f"{code}; from zaikio_oauth import migrations; print(migrations.version_location())")
    assert found.stdout.split() == [str(installed / "zaikio_oauth" / "_alembic" / "versions")] * 2, found.stderr


def test_alembic_is_not_a_package() -> None:
    """With an ``__init__.py``, ``import alembic`` in the checkout would import our folder instead of the library."""
    assert list((ROOT / "alembic").rglob("__init__.py")) == []


def test_the_sdist_contains_the_checkout(built: Path) -> None:
    """Its users can read, test, check and demonstrate the library as in a checkout. It contains nothing generated."""
    with tarfile.open(built / f"zaikio_oauth-{VERSION}.tar.gz") as sdist:
        packed = {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}
    folders = (".ci", ".github", "alembic", "benchmarks", "demo_app", "docs", "scripts", "src", "tests")
    expected = {f"{folder}/{name}" for folder in folders for name in files_of(ROOT / folder)}
    expected = {name for name in expected if not re.search(r"\.db(-\w+)?$|^demo_app/\.data/", name)}
    expected |= {path.name for path in ROOT.glob("*.md")}
    expected |= {"LICENSE", "Makefile", "constraints.txt", "constraints-lowest.txt", "pyproject.toml"}
    expected |= {".gitignore", ".pre-commit-config.yaml", "PKG-INFO"}
    assert packed == expected


def test_the_version_is_in_one_place(installed: Path) -> None:
    """The place is pyproject.toml. The changelog has an entry for this version or for unreleased changes."""
    described = (installed / f"zaikio_oauth-{VERSION}.dist-info" / "METADATA").read_text()
    assert f"\nVersion: {VERSION}\n" in described
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## (\[?Unreleased\]?|\[?{re.escape(VERSION)}\]?)", changelog, flags=re.MULTILINE)
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    assert f'"{VERSION}"' not in source


def test_the_library_works_without_its_extras(installed: Path) -> None:
    """An app that imports the library needs only the runtime dependencies."""
    ran = run(installed, "from zaikio_oauth import *; import zaikio_oauth; print(zaikio_oauth.__file__)", *EXTRAS)
    assert ran.stdout.strip() == str(installed / "zaikio_oauth" / "__init__.py"), ran.stderr


def test_pytest_finds_the_plugin_without_any_extra(installed: Path) -> None:
    """pytest finds the plugin by the entry point of the wheel, and starts even if the fixtures cannot work."""
    code = "import pytest; sys.exit(pytest.main(['--version', '--version']))"
    ran = run(installed, code, *EXTRAS)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"  zaikio_oauth-{VERSION} at {installed / PLUGIN}" in (ran.stdout + ran.stderr).splitlines()


def test_the_command_names_its_missing_extra(installed: Path) -> None:
    """The message is one line without a traceback, as of everything that is to be put right."""
    ran = run(installed, "from zaikio_oauth.cli import main; main()", "typer")
    assert ran.returncode == 2
    assert ran.stderr == "zaikio-oauth: install the extra: pip install 'zaikio_oauth[cli]'\n"


@pytest.mark.parametrize(("command", "missing"), [("login --device", "segno"), ("check", "rich")])
def test_a_command_names_its_missing_extra_when_it_runs(installed: Path, command: str, missing: str) -> None:
    """Another package may have brought typer along, as fastapi[standard] does."""
    code = f"sys.argv[1:] = {command.split()!r}; from zaikio_oauth.cli import main; main()"
    ran = run(installed, code, missing)
    assert ran.returncode == 2
    assert ran.stderr == "zaikio-oauth: install the extra: pip install 'zaikio_oauth[cli]'\n"


def test_the_helpers_for_tests_name_their_missing_extra(installed: Path) -> None:
    """The last line of the traceback does, also where only logged_in_as is wanted."""
    ran = run(installed, "from zaikio_oauth.testing import logged_in_as", "jinja2")
    last = ran.stderr.splitlines()[-1]
    assert last == "ModuleNotFoundError: zaikio_oauth.testing needs jinja2: pip install 'zaikio_oauth[testing]'"
    assert ran.stderr.count("Traceback") == 1


# ── development dependencies ───────────────────────────────────────────────────────────────────────


def pins() -> dict[str, str]:
    """Return the constraints by normalized name."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines())
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines if line)}


def wanted(requirements: list[str], extras: tuple[str, ...] = ()) -> Iterator[tuple[str, set[str]]]:
    """Yield the names and extras of the requirements that apply to this machine."""
    for requirement in map(Requirement, requirements):
        environments = [{"extra": extra} for extra in ("", *extras)]
        if requirement.marker is None or any(map(requirement.marker.evaluate, environments)):
            yield canonicalize_name(requirement.name), requirement.extras


def everything_installed() -> set[str]:
    """Return all dependencies of the project, its extras and its groups, including indirect ones."""
    project = PROJECT["project"]
    asked = [*PROJECT["build-system"]["requires"], *project["dependencies"]]
    asked += [line for extra in project["optional-dependencies"].values() for line in extra]
    asked += [line for group in PROJECT["dependency-groups"].values() for line in group if isinstance(line, str)]
    seen: dict[str, set[str]] = {"zaikio-oauth": set()}
    left = list(wanted(asked))
    while left:
        name, extras = left.pop()
        if name == "zaikio-oauth" or (name in seen and extras <= seen[name]):
            continue
        seen[name] = seen.get(name, set()) | extras
        left += wanted(metadata.requires(name) or [], tuple(seen[name]))
    return seen.keys() - {"zaikio-oauth"}


def test_constraints_are_plain_pins() -> None:
    """The file contains only names and versions. It does not say where a package comes from."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line)] == []
    assert not re.search(r"://|@|(^|\s)-", "\n".join(line for line in lines if not line.startswith("#")))
    assert not re.search(r"://|@", "\n".join(lines))


def test_constraints_cover_every_dependency() -> None:
    """Two environments that are made on different days are identical."""
    assert sorted(everything_installed() - pins().keys()) == []


def lowest(requirement: Requirement) -> str:
    """Return the lowest version that a requirement allows."""
    (bound,) = (each.version for each in requirement.specifier if each.operator == ">=")
    return bound


def test_the_lowest_versions_are_the_ones_that_are_tested() -> None:
    """``make test-lowest`` installs from constraints-lowest.txt exactly the lower bounds of pyproject.toml.

    After a change of a bound, ``scripts/test-matrix --pin`` writes it anew.
    """
    pinned: dict[tuple[str, bool], Version] = {}
    for line in (ROOT / "constraints-lowest.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        pin = Requirement(line)
        for newest in (False, True):
            if pin.marker is None or pin.marker.evaluate(python(newest)):
                pinned[canonicalize_name(pin.name), newest] = Version(str(pin.specifier).removeprefix("=="))
    project = PROJECT["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    bounds: dict[tuple[str, bool], Version] = {}
    for requirement in map(Requirement, [*project["dependencies"], *extras]):
        for newest in (False, True):
            if requirement.name != "zaikio_oauth" and (
                not requirement.marker or requirement.marker.evaluate(python(newest))
            ):
                key = canonicalize_name(requirement.name), newest
                bounds[key] = max(Version(lowest(requirement)), bounds.get(key, Version("0")))
    assert {key: pinned.get(key) for key in bounds} == bounds


def python(newest: bool) -> dict[str, str]:
    """Return the environment of a marker for the oldest or for the newest Python that we support."""
    version = "3.14" if newest else "3.11"
    return {"python_version": version, "python_full_version": f"{version}.9"}


def test_everything_that_is_imported_is_required() -> None:
    """The library names each package that it imports itself, so that its version is one that was tested."""
    distributions = metadata.packages_distributions()
    imported = {
        module.partition(".")[0]
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for module in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    foreign = imported - sys.stdlib_module_names - {"zaikio_oauth", "pytest", "_pytest"}
    extras = [line for extra in PROJECT["project"]["optional-dependencies"].values() for line in extra]
    required = {name for name, _ in wanted([*PROJECT["project"]["dependencies"], *extras])}
    missing = {name for name in foreign if not required & set(map(canonicalize_name, distributions.get(name, [])))}
    # Used if the app has it, at any version of its API, which is stable.
    assert missing == {"opentelemetry"}


def test_no_lock_file_and_no_index() -> None:
    """No file in the repository says where packages come from."""
    assert [name for name in ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock") if (ROOT / name).exists()] == []
    scripts = [path for path in (ROOT / "scripts").iterdir() if path.is_file()]
    build_files = [ROOT / "pyproject.toml", ROOT / "Makefile", ROOT / ".ci" / "run", *scripts]
    assert [path.name for path in build_files if re.search(r"index-url|find-links", path.read_text())] == []


def test_every_further_dependency_has_its_reason() -> None:
    """CONTRIBUTING.md gives the reason for each further runtime dependency."""
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    further = {name for name, _ in wanted(PROJECT["project"]["dependencies"])} - ASKED_FOR
    assert [name for name in sorted(further) if f"`{name}`" not in contributing] == []
