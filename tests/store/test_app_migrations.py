"""A real app with models and an Alembic of its own in our database, put together as docs/how-to/alembic.md says."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.config import main as alembic
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from alembic import command
from tests.data import KEY
from zaikio_oauth import ConfigurationError, migrations
from zaikio_oauth.store import schema
from zaikio_oauth.store.database import Database

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "alembic.md").read_text()
OUR_FOLDER = ROOT / "alembic" / "versions"
HALFWAY = "zaikio_0004"

MODELS = """
import sqlalchemy as sa
from zaikio_oauth import migrations

target_metadata = sa.MetaData()
sa.Table("orders", target_metadata, sa.Column("id", sa.Integer, primary_key=True){more})
"""

# As in a new Rails app with the gem.
TABLE_OF_THE_GEM = """
CREATE TABLE zaikio_access_tokens (id varchar(36) PRIMARY KEY, bearer_type varchar NOT NULL, bearer_id varchar NOT NULL,
audience varchar NOT NULL, token varchar NOT NULL, refresh_token varchar, expires_at timestamp, scopes varchar NOT NULL,
requested_scopes varchar NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL)
"""


def blocks(section: str, language: str) -> list[str]:
    """Return the blocks in a section of the page."""
    after = PAGE.partition(f"({section})=")[2].partition("\n(alembic-")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", after, flags=re.DOTALL | re.MULTILINE)


class App:
    """An app with one model. Its Alembic either leaves our tables alone (``ignores``) or makes them (``includes``)."""

    def __init__(self, folder: Path, database_url: str, way: str) -> None:
        self.ini = folder / "alembic.ini"
        self.versions = folder / "migrations" / "versions"
        self._env = self.versions.parent / "env.py"
        self.url = database_url.replace("sqlite://", "sqlite+aiosqlite://")
        command.init(Config(self.ini), str(self.versions.parent), template="async")
        self._ini_template, self._template = self.ini.read_text(), self._env.read_text()
        self.choose(way)

    def choose(self, way: str) -> None:
        """Write ``alembic.ini`` and ``env.py`` for one of the two ways."""
        self.way, self.heads = way, "heads" if way == "includes" else "head"
        ini = re.sub(r"(?m)^sqlalchemy.url = .*", f"sqlalchemy.url = {self.url}", self._ini_template)
        if way == "includes":
            [documented] = blocks("alembic-includes", "ini")
            documented = documented.replace("zaikio_oauth:_alembic/versions", migrations.version_location())
            ini = re.sub(r"(?m)^(script_location|path_separator) = .*", "", ini).replace("[alembic]", documented)
        self.ini.write_text(ini)
        self.write_models()

    def write_models(self, more: str = "", own: str = "", replace: tuple[str, str] = ("", "")) -> None:
        """Write ``env.py`` with the model and the documented function, and perhaps with a function of its own."""
        (function,) = re.findall(r"(?ms)^def do_run_migrations.*", blocks(f"alembic-{self.way}", "python")[0])
        function = own + function.replace(*replace)
        env = re.sub(r"(?ms)^def do_run_migrations.*?\n\n\n", lambda _: function + "\n\n", self._template)
        # It would reconfigure the logging of the tests.
        env = env.replace("    fileConfig(config.config_file_name)", "    pass")
        self._env.write_text(env.replace("target_metadata = None", MODELS.format(more=more)))

    def alembic(self, *arguments: str) -> None:
        """Run the command ``alembic``."""
        alembic(argv=["--config", str(self.ini), *arguments])

    def autogenerate(self, message: str) -> str:
        """Return the content of the migration that Alembic has written into the app's folder."""
        before = self.files()
        self.alembic("revision", "--autogenerate", "-m", message)
        (new,) = self.files() - before
        return new.read_text()

    def files(self) -> set[Path]:
        """Return the app's migrations."""
        return set(self.versions.glob("*.py"))

    def ours(self, use: Callable[[Database], Coroutine[Any, Any, Any]]) -> Any:
        """Use the library's database, on an event loop of its own."""

        async def run() -> Any:
            database = Database(self.url, [KEY])
            try:
                return await use(database)
            finally:
                await database.aclose()

        return asyncio.run(run())

    def open(self, *, auto_migrate: bool = False) -> None:
        """Open it as the start of an app does, or ``zaikio-oauth check``."""
        self.ours(lambda database: database.open(auto_migrate=auto_migrate))

    def migrate(self) -> None:
        """Migrate as ``zaikio-oauth migrate`` does."""
        self.ours(lambda database: database.migrate())

    def execute(self, *statements: str) -> None:
        """Execute statements of somebody else."""

        async def run(database: Database) -> None:
            async with database.engine.connect() as connection:
                for statement in statements:
                    await connection.execute(text(statement))

        self.ours(run)

    def tables(self) -> set[str]:
        """Return all tables in the database."""

        async def run(database: Database) -> set[str]:
            async with database.engine.connect() as connection:
                return await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))

        return self.ours(run)

    def differences(self) -> list[Any]:
        """Return in what our tables differ from the code."""

        def compare(connection: Connection, database: Database) -> list[Any]:
            ours = schema.TABLE_NAMES - {schema.VERSION_TABLE}
            options = {"compare_type": True, "include_name": lambda name, kind, _: kind != "table" or name in ours}
            context = MigrationContext.configure(connection, opts=options)
            return list(compare_metadata(context, database.tables.metadata))

        async def run(database: Database) -> list[Any]:
            async with database.engine.connect() as connection:
                return await connection.run_sync(compare, database)

        return self.ours(run)


@pytest.fixture
def make_app(tmp_path: Path, database_url: str) -> Callable[[str], App]:
    """Return a function that makes the app, which migrates in one of the two ways."""
    return lambda way: App(tmp_path, database_url, way)


@pytest.fixture(autouse=True)
def our_folder_stays_as_it_is() -> Iterator[None]:
    """Nothing that an app does writes into the folder of our migrations."""
    before = {path: path.read_bytes() for path in OUR_FOLDER.glob("*.py")}
    yield
    assert {path: path.read_bytes() for path in OUR_FOLDER.glob("*.py")} == before


@pytest.mark.parametrize("first", ["ours", "theirs"])
@pytest.mark.parametrize("way", ["ignores", "includes"])
def test_an_app_migrates_beside_us(make_app: Callable[[str], App], way: str, first: str) -> None:
    """In both ways and orders: autogenerate sees the app's model only, and everybody finds the tables that they need."""
    app = make_app(way)
    steps = [lambda: app.open(auto_migrate=True), lambda: app.alembic("upgrade", app.heads)]
    for step in steps if first == "ours" else steps[::-1]:
        step()
    app.open()
    assert app.differences() == []

    created = app.autogenerate("Create orders")
    app.alembic("upgrade", app.heads)
    app.write_models(more=", sa.Column('note', sa.Text)")
    changed = app.autogenerate("Add a note")
    app.alembic("upgrade", app.heads)
    app.alembic("check")

    assert re.findall(r"op\.(\w+\('\w+')", created) == ["create_table('orders'", "drop_table('orders'"]
    assert re.findall(r"op\.(\w+\('\w+')", changed) == ["add_column('orders'", "drop_column('orders'"]
    assert "zaikio" not in created + changed
    assert re.search(r"(?m)^down_revision.* = None$", created)
    assert app.tables() | {schema.VERSION_TABLE} == schema.TABLE_NAMES | {"orders", "alembic_version"}

    [revision] = re.findall(r"(?m)^Revision ID: (\w+)", created)
    app.alembic("downgrade", revision)
    app.open()
    app.migrate()
    assert app.differences() == []


def test_either_of_us_continues_where_the_other_stopped(make_app: Callable[[str], App]) -> None:
    """What one has begun, the other completes, and what the app's Alembic has reverted we create again."""
    app = make_app("includes")
    app.alembic("upgrade", HALFWAY)
    app.open(auto_migrate=True)
    assert app.differences() == []
    app.alembic("upgrade", "heads")
    app.alembic("downgrade", "zaikio_oauth@base")
    # All of it is still in our version table.
    with pytest.raises(ConfigurationError, match="run: zaikio-oauth migrate"):
        app.open()
    app.migrate()
    assert app.differences() == []
    app.alembic("upgrade", "heads")
    app.alembic("downgrade", HALFWAY)
    app.open(auto_migrate=True)
    assert app.differences() == []

    app.ours(lambda database: ours_to(database, HALFWAY))
    app.alembic("upgrade", "heads")
    app.open()
    assert app.differences() == []


def test_an_app_goes_back_to_the_first_way(make_app: Callable[[str], App], capsys: pytest.CaptureFixture[str]) -> None:
    """With the documented commands: the tables stay, and the app's Alembic works without our migrations."""
    app = make_app("includes")
    app.alembic("upgrade", "heads")
    app.autogenerate("Create orders")
    app.alembic("upgrade", "heads")

    app.choose("ignores")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        app.alembic("upgrade", "head")
    assert "Can't locate revision identified by 'zaikio_" in "".join(capsys.readouterr())
    app.choose("includes")

    app.alembic("revision", "-m", "Needs our tables", "--depends-on", "zaikio_oauth")
    app.alembic("upgrade", "heads")
    (dependent,) = {path for path in app.files() if "needs_our_tables" in path.name}
    dependent.write_text(re.sub(r"(?m)^(depends_on.*) = 'zaikio_oauth'$", r"\1 = None", dependent.read_text()))
    [commands] = blocks("alembic-back", "sh")
    assert commands.splitlines() == ["zaikio-oauth migrate", "alembic stamp zaikio_oauth@base"]
    app.migrate()
    app.alembic("stamp", "zaikio_oauth@base")
    app.choose("ignores")

    app.alembic("upgrade", app.heads)
    app.alembic("check")
    app.open()
    assert app.differences() == []
    assert app.tables() == schema.TABLE_NAMES | {"orders", "alembic_version"}
    app.write_models(more=", sa.Column('note', sa.Text)")
    assert "zaikio" not in app.autogenerate("Add a note")
    app.alembic("upgrade", app.heads)
    app.alembic("downgrade", "base")
    assert app.tables() == schema.TABLE_NAMES | {"alembic_version"}


async def ours_to(database: Database, revision: str) -> None:
    """Have the database as an older version of the library has left it."""

    def run(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(schema.directory()))
        config.attributes["connection"] = connection
        command.downgrade(config, revision)

    async with database.engine.connect() as connection:
        await connection.run_sync(run)


@pytest.mark.parametrize("way", ["ignores", "includes"])
def test_the_table_of_the_gem_is_told_of(make_app: Callable[[str], App], way: str) -> None:
    """Everything that would use it says what to do and changes nothing; a renamed table is in nobody's way."""
    app = make_app(way)
    app.execute(TABLE_OF_THE_GEM)
    uses: list[Callable[[], None]] = [app.open, lambda: app.open(auto_migrate=True), app.migrate]
    if way == "includes":
        uses.append(lambda: app.alembic("upgrade", "heads"))
    else:
        assert "zaikio" not in app.autogenerate("Create orders")
    for use in uses:
        with pytest.raises(
            ConfigurationError, match=r"zaikio_access_tokens that is not one .* lacks jti, .* gem"
        ) as it:
            use()
        assert "RENAME TO former_zaikio_access_tokens" in str(it.value)
        assert app.tables() - {"alembic_version"} == {"zaikio_access_tokens"}

    [statement] = blocks("alembic-gem", "sql")
    app.execute(statement.strip().rstrip(";"))
    app.migrate()
    app.alembic("upgrade", app.heads)
    assert app.differences() == []
    assert "former_zaikio_access_tokens" in app.tables()


def test_a_migration_of_the_app_never_lands_in_our_folder(tmp_path: Path) -> None:
    """Not the first one, not one without autogenerate, and not one that asks for it."""
    app = App(tmp_path, f"sqlite:///{tmp_path}/app.db", "includes")
    app.alembic("revision", "-m", "The first one")
    app.alembic("revision", "-m", "The second one", "--depends-on", "zaikio_oauth")
    (labelled,) = {path for path in app.files() if "second" in path.name}
    assert re.search(r"(?m)^depends_on.* = 'zaikio_oauth'$", labelled.read_text())
    for arguments in (["--head", "zaikio_oauth@head"], ["--version-path", str(OUR_FOLDER), "--head", "base"]):
        with pytest.raises(SystemExit):
            app.alembic("revision", "-m", "Into ours", *arguments)
    app.alembic("revision", "-m", "A third one", "--head", "base", "--version-path", str(app.versions))
    assert len(app.files()) == 3

    with pytest.raises(ConfigurationError, match=r"migrations of an app: 1a2b3c\. Move them"):
        schema._check_revisions(["zaikio_0001", "1a2b3c"])


def test_filters_of_the_app_can_be_added(tmp_path: Path) -> None:
    """The two functions on the page combine ours with those of the app."""

    def app_with(way: str, function: str) -> App:
        (tmp_path / way).mkdir()
        app = App(tmp_path / way, f"sqlite:///{tmp_path}/{way}.db", way)
        [own] = [each for each in blocks(f"alembic-{way}", "python") if each.startswith(f"def {function}")]
        app.write_models(own=own + "\n\n", replace=(f"{function}=migrations.{function}", f"{function}={function}"))
        app.migrate()
        app.alembic("upgrade", app.heads)
        return app

    app = app_with("ignores", "include_name")
    app.execute("CREATE TABLE spatial_ref_sys (id integer)", "CREATE TABLE former (id integer)")
    assert re.findall(r"op\.drop_table\('(\w+)'", app.autogenerate("Create orders")) == ["former", "orders"]

    app = app_with("includes", "process_revision_directives")
    app.alembic("revision", "-m", "Empty")
    assert app.files() == set()
    assert "create_table('orders'" in app.autogenerate("Create orders")


def test_their_alembic_waits_for_its_turn(tmp_path: Path, postgresql_url: str) -> None:
    """While an instance of the app migrates at its start, the app's Alembic waits, and then finds everything there."""
    app = App(tmp_path, postgresql_url, "includes")
    upgrading = threading.Thread(target=app.alembic, args=("upgrade", "heads"))

    async def migrate_slowly(database: Database) -> None:
        async with database.engine.execution_options(isolation_level="READ COMMITTED").begin() as connection:
            await connection.execute(schema.TURN)
            upgrading.start()
            while not (await connection.execute(text("SELECT 1 FROM pg_locks WHERE NOT granted"))).all():
                await asyncio.sleep(0.02)
            await connection.run_sync(database.tables.metadata.create_all)

    app.ours(migrate_slowly)
    upgrading.join()
    assert app.differences() == []
    assert app.tables() | {schema.VERSION_TABLE} == schema.TABLE_NAMES | {"alembic_version"}


def test_the_migrations_can_be_written_as_sql(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], postgresql_url: str
) -> None:
    """For administrators who run SQL themselves: ``alembic upgrade heads --sql`` needs no database."""
    app = App(tmp_path, postgresql_url, "includes")
    capsys.readouterr()
    app.alembic("upgrade", "heads", "--sql")
    written = re.sub(r"(?m)^--.*", "", capsys.readouterr().out)
    app.execute(*[part for part in written.split(";") if part.strip() not in ("", "BEGIN", "COMMIT")])
    app.open()
    assert app.differences() == []


def test_the_commands_work_as_the_page_says(tmp_path: Path) -> None:
    """The commands themselves, each a process, with Alembic's own ``env.py`` and logging."""
    app = App(tmp_path, f"sqlite:///{tmp_path}/app.db", "includes")
    env = app.versions.parent / "env.py"
    env.write_text(env.read_text().replace("    pass\n", "    fileConfig(config.config_file_name)\n"))
    app.migrate()
    [commands] = blocks("alembic-includes", "sh")
    for line in commands.splitlines():
        arguments = re.findall(r'"[^"]*"|\S+', line)[1:]
        command_line = [sys.executable, "-m", "alembic", *(each.strip('"') for each in arguments)]
        ran = subprocess.run(command_line, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
    assert app.tables() == schema.TABLE_NAMES | {"orders", "alembic_version"}
    app.open()
