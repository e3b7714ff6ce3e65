"""``zaikio-oauth check``: every row that is right or wrong, and how to mend it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text, update

from tests.cli.forks import Case, Ended, Forks
from tests.cli.terminal import Terminal
from tests.cli.test_commands import environment, store_settings, stored
from tests.data import KEY, OTHER_KEY, SECRET
from tests.raw_hub import RawHub, says, with_body
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.revoked_tokens import RevokedTokenRepository
from zaikio_oauth.testing import LocalHub

ROWS = [
    "version",
    "settings",
    "variables",
    "base URL",
    "session cookie",
    "webhook secret",
    "database",
    "migrations",
    "encryption keys",
    "revocation list",
    "Hub",
    "clock",
    "clients",
]
PASSWORD = "swordfish"
WITH_SECRET = {"ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_SECRET": SECRET}
MISSPELT_OF_CLIENT = {"ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_SECRT": SECRET}


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Yield a process whose children run the command."""
    with Forks(tmp_path_factory.mktemp("check"), environment()) as started:
        yield started


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Yield the database of ``store_settings``, migrated."""
    opened = Database(f"sqlite+aiosqlite:///{tmp_path}/store.db", [KEY])
    await opened.open(auto_migrate=True)
    yield opened
    await opened.aclose()


class Checked:
    """What one run of the command has found."""

    def __init__(self, ended: Ended) -> None:
        self.ended = ended
        self.answer: dict[str, Any] = json.loads(ended.stdout)
        self.rows = self.answer["checks"]

    def of(self, name: str) -> list[tuple[str, str, str | None]]:
        """Return the status, what was found, and the remedy of each row of this name."""
        return [(row["status"], row["found"], row["remedy"]) for row in self.rows if row["name"] == name]

    def one(self, name: str) -> tuple[str, str, str]:
        ((status, found, remedy),) = self.of(name)
        return status, found, remedy or ""


async def check(forks: Forks, *runs: dict[str, str]) -> list[Checked]:
    """Run ``check --json`` with each of these settings, while the Hub of the test goes on."""
    cases = [Case(["check", "--json"], dict(settings)) for settings in runs]
    ended = await asyncio.to_thread(forks.run, *cases)
    for each in ended:
        assert "Traceback" not in each.stderr, each.stderr
        assert each.stdout.count("\n") == 1
        assert not any(secret in each.stdout + each.stderr for secret in (PASSWORD, KEY, OTHER_KEY, SECRET))
    return [Checked(each) for each in ended]


# ── all together ───────────────────────────────────────────────────────────────────────────────────


async def test_every_row_is_there_if_all_is_well(
    forks: Forks, tmp_path: Path, hub_url: str, hub: LocalHub, database: Database
) -> None:
    """Nothing is said on stderr, nothing is stored, and the Hub is asked for no grant."""
    await stored(tmp_path)
    settings = store_settings(tmp_path, ZAIKIO_HOST=hub_url, **WITH_SECRET)
    (checked,) = await check(forks, settings | {"ZAIKIO_CLIENTS__WAREHOUSE__WEBHOOK_SECRET": PASSWORD})

    assert (checked.ended.status, checked.ended.stderr, checked.answer["ok"]) == (0, "", True)
    assert [row["name"] for row in checked.rows] == ROWS
    assert {row["name"]: row["status"] for row in checked.rows if row["status"] != "ok"} == {
        "session cookie": "skipped",
        "revocation list": "skipped",
    }
    assert all(list(row) == ["name", "status", "found", "remedy"] for row in checked.rows)
    assert checked.one("encryption keys")[1] == "the first key decrypts 1 sampled token"
    assert f"{hub_url}, answered in 0." in checked.one("Hub")[1]
    assert sorted(request.path for request in hub.requests) == ["/api/v1/jwt_public_keys.json", "/oauth/access_token"]


async def test_no_failure_hides_another_one(forks: Forks, tmp_path: Path) -> None:
    """Each wrong variable has a row, and what does not depend on it is checked nevertheless."""
    bad = {
        "ZAIKIO_ENCRYPTION_KEYS": PASSWORD,
        "ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_ID": "",
        "ZAIKIO_CLIENTS__WAREHOUSE__NONSENSE": "x",
        "ZAIKIO_CACHE_TTL": "soon",
        "ZAIKIO_ENVIROMENT": "production",
    }
    wrong, hidden, everywhere, one = await check(
        forks,
        store_settings(tmp_path) | bad,
        store_settings(tmp_path) | {"ZAIKIO_CLIENTS": "nonsense", "ZAIKIO_ENCRYPTION_KEYS": ""},
        {
            "ZAIKIO_ENVIRONMENT": "moon",
            "ZAIKIO_DATABASE_URL": f"mysql://user:{PASSWORD}@host/db",
            "ZAIKIO_BASE_URL": "x",
        },
        store_settings(tmp_path) | {"ZAIKIO_CACHE_TTL": "soon", "ZAIKIO_CLIENTS__WAREHOUSE__WEBHOOK_SECRET": PASSWORD},
    )

    assert [found.split(" ")[0].rstrip(":") for _, found, _ in wrong.of("settings")] == [
        "ZAIKIO_ENCRYPTION_KEYS",
        "ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_ID",
        "ZAIKIO_CLIENTS__WAREHOUSE__NONSENSE",
        "ZAIKIO_CACHE_TTL",
    ]
    assert {status for status, _, _ in wrong.of("settings")} == {"failed"}
    assert all(remedy for _, _, remedy in wrong.of("settings"))
    assert wrong.one("variables") == (
        "warning",
        "ZAIKIO_ENVIROMENT is not a setting",
        "Did you mean ZAIKIO_ENVIRONMENT?",
    )
    assert [wrong.one(name)[0] for name in ("database", "Hub")] == ["failed", "failed"]
    assert wrong.ended.status == 2
    assert wrong.ended.stderr.startswith("zaikio-oauth: 6 checks failed: settings: ZAIKIO_ENCRYPTION_KEYS key 1 is not")
    assert wrong.ended.stderr.count("\n") == 1

    assert [found.split(" ")[0] for _, found, _ in hidden.of("settings")] == [
        "ZAIKIO_CLIENTS",
        "ZAIKIO_ENCRYPTION_KEYS",
    ]
    assert (len(one.of("settings")), one.one("webhook secret")[:2]) == (1, ("ok", "warehouse has one"))
    assert [row["name"] for row in everywhere.rows if row["status"] == "skipped"] == [
        "session cookie",
        "webhook secret",
        "database",
        "migrations",
        "encryption keys",
        "revocation list",
        "Hub",
        "clock",
        "clients",
    ]


async def test_warnings_are_no_failures(forks: Forks, tmp_path: Path, hub_url: str, database: Database) -> None:
    """The contract's warnings of production are rows, and the exit status stays 0."""
    settings = store_settings(tmp_path, ZAIKIO_HOST=hub_url, ZAIKIO_ENVIRONMENT="production", **WITH_SECRET)
    unsafe, on_http, scopes = await check(
        forks,
        settings,
        settings | {"ZAIKIO_BASE_URL": "http://app.example.com", "ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_SECRET": ""},
        store_settings(tmp_path, ZAIKIO_HOST=hub_url, **WITH_SECRET)
        | {"ZAIKIO_CLIENTS__WAREHOUSE__DEFAULT_SCOPES": "directory.person.r"},
    )

    assert (unsafe.ended.status, unsafe.ended.stderr, unsafe.answer["ok"]) == (0, "", True)
    assert unsafe.of("settings")[1][:2] == ("warning", "ZAIKIO_HOST is on http, where tokens can be read in transit")
    assert unsafe.one("base URL")[0] == "warning"
    assert unsafe.one("webhook secret")[0] == "warning"
    assert "ZAIKIO_BASE_URL is on http" in on_http.one("base URL")[1]
    assert on_http.of("settings")[2][1] == "The default client warehouse has no secret"
    assert scopes.of("settings")[1][2] == "Rename directory.person.r."


async def test_a_file_that_is_not_in_this_folder_is_said(forks: Forks, tmp_path: Path) -> None:
    """It may be in another one. It is said where nothing is wrong, and of what is missing, not of what is misspelt."""
    right, wrong = await check(
        forks, store_settings(tmp_path), store_settings(tmp_path) | {"ZAIKIO_ENCRYPTION_KEYS": ""} | MISSPELT_OF_CLIENT
    )

    nowhere = f"; there is no .env in {forks.cwd}"
    assert right.one("settings")[1].endswith(f"; read from the environment{nowhere}")
    assert [row[1] for row in wrong.of("settings")] == [
        f"ZAIKIO_ENCRYPTION_KEYS is missing{nowhere}",
        "ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_SECRT is not a setting",
    ]
    assert wrong.of("settings")[0][2] == "Make one with: zaikio-oauth generate-key"


async def test_a_row_does_not_contradict_another_one(forks: Forks, tmp_path: Path) -> None:
    """A misspelt variable of a client is an error, so no warning about it follows."""
    right, wrong = await check(forks, store_settings(tmp_path), store_settings(tmp_path) | MISSPELT_OF_CLIENT)

    assert right.one("variables")[1] == "no ZAIKIO_… variable looks misspelt"
    assert wrong.one("settings")[2] == "Did you mean ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_SECRET?"
    assert wrong.one("variables")[:2] == ("ok", "no other ZAIKIO_… variable looks misspelt")


def test_a_settings_file_that_cannot_be_read_is_a_row(forks: Forks, tmp_path: Path) -> None:
    """The rest is checked without it."""
    file = forks.cwd / ".env"
    file.write_bytes(b"\xff")
    try:
        (ended,) = forks.run(Case(["check", "--json"], dict(store_settings(tmp_path))))
    finally:
        file.unlink()

    assert Checked(ended).one("settings")[:2] == ("failed", ".env is not text in UTF-8")


# ── the database ───────────────────────────────────────────────────────────────────────────────────


async def test_databases_that_cannot_be_used(forks: Forks, tmp_path: Path) -> None:
    """The kind of fault is named, no file is created, and what needs the database is skipped."""
    (tmp_path / "garbage.db").write_bytes(b"no database" * 1000)
    addresses = {
        f"sqlite:///{tmp_path}/garbage.db": "its file is damaged or is no database",
        f"sqlite:///{tmp_path}/new.db": f"there is no file {tmp_path}/new.db",
        f"sqlite:///{tmp_path}/\x1b[31mred.db": f"there is no file {tmp_path}/\\x1b[31mred.db",
        f"sqlite:///{tmp_path}/no/folder.db": "its file cannot be opened",
        "sqlite:///:memory:": "ZAIKIO_DATABASE_URL names a database in memory",
        f"postgresql://user:{PASSWORD}@127.0.0.1:1/db": "it cannot be reached",
        f"postgresql://user:{PASSWORD}@127.0.0.1:1/db?nonsense=1": "knows no parameter 'nonsense'",
    }
    runs = await check(forks, *(store_settings(tmp_path) | {"ZAIKIO_DATABASE_URL": address} for address in addresses))

    for checked, expected in zip(runs, addresses.values(), strict=True):
        status, found, remedy = checked.one("database")
        assert (status, expected in found, bool(remedy)) == ("failed", True, True), found
        assert ("server" in remedy) == found.endswith("cannot be reached"), "SQLite has none"
        skipped = [row["name"] for row in checked.rows if row["found"] == "needs a database that can be used"]
        assert skipped == ["migrations", "encryption keys", "revocation list"]
    assert not (tmp_path / "new.db").exists()


async def test_migrations_that_are_missing_or_too_new(forks: Forks, tmp_path: Path, database: Database) -> None:
    """Each kind has its remedy; what the app's own Alembic has made is right."""

    async def after(statement: str) -> tuple[str, str, str]:
        async with database.engine.connect() as connection:
            await connection.execute(text(statement))
        (checked,) = await check(forks, store_settings(tmp_path))
        return checked.one("migrations")

    ahead = await after("UPDATE zaikio_oauth_alembic_version SET version_num = 'zaikio_9999'")
    unmarked = await after("UPDATE zaikio_oauth_alembic_version SET version_num = 'zaikio_0002'")
    by_the_app = await after("DROP TABLE zaikio_oauth_alembic_version")
    behind = await after("ALTER TABLE zaikio_used_flows DROP COLUMN used_by")
    gem = await after("ALTER TABLE zaikio_access_tokens DROP COLUMN version")

    assert (ahead[0], ahead[2]) == ("warning", "Install that version here, too.")
    assert (unmarked[0], unmarked[2]) == ("warning", "Run: zaikio-oauth migrate")
    assert by_the_app == ("ok", "up to date: made by the app's own Alembic", "")
    assert (behind[0], behind[1].endswith("missing: zaikio_used_flows.used_by")) == ("failed", True)
    assert behind[2] == "Run: zaikio-oauth migrate"
    assert (gem[0], "The Ruby gem" in gem[1], gem[2].startswith("Rename the table")) == ("failed", True, True)


async def test_keys_that_do_not_decrypt_what_is_stored(forks: Forks, tmp_path: Path) -> None:
    """A lost key is found before a person meets it. A row is named, and how many were sampled."""
    await stored(tmp_path)
    await stored(tmp_path)
    lost, rotating, bad = await check(
        forks,
        *(store_settings(tmp_path, ZAIKIO_ENCRYPTION_KEYS=keys) for keys in (OTHER_KEY, f"{OTHER_KEY},{KEY}", "bad")),
    )

    status, found, remedy = lost.one("encryption keys")
    assert (status, found[:-36]) == ("failed", "no key decrypts 2 of 2 sampled tokens, the first of them ")
    assert remedy.startswith("Append the key under which they were stored to ZAIKIO_ENCRYPTION_KEYS.")
    assert rotating.one("encryption keys") == (
        "warning",
        "2 of 2 sampled tokens are not encrypted with the first key",
        "Run: zaikio-oauth rotate-keys, before you remove the other keys.",
    )
    assert bad.one("encryption keys")[:2] == ("skipped", "needs ZAIKIO_ENCRYPTION_KEYS")


async def test_a_list_of_revoked_tokens_that_nobody_fetches(forks: Forks, tmp_path: Path, database: Database) -> None:
    """If no process of the app has fetched it for hours, tokens that were revoked are still accepted."""
    now, schedule = datetime.now(UTC), database.tables.schedule
    await RevokedTokenRepository(database).claim_list(now, timedelta(minutes=5), timedelta(hours=1))
    (fresh,) = await check(forks, store_settings(tmp_path))
    await database.statements.run(update(schedule).values(due_at=now - timedelta(hours=4)))
    (old,) = await check(forks, store_settings(tmp_path))

    assert fresh.one("revocation list")[0] == "ok"
    assert old.one("revocation list")[:2] == ("warning", "last fetched about 5 hours ago")


# ── the Hub ────────────────────────────────────────────────────────────────────────────────────────


def at(moment: datetime) -> str:
    return f"Date: {format_datetime(moment, usegmt=True)}\r\n"


async def test_a_clock_that_differs_from_the_hubs(forks: Forks, tmp_path: Path, hub_url: str) -> None:
    """With more than half a minute tokens expire unnoticed. A Hub that says no time is no failure."""
    keys = httpx2.get(f"{hub_url}/api/v1/jwt_public_keys.json").content
    differences = [timedelta(0), timedelta(seconds=-90), timedelta(days=2), None]
    found = []
    async with RawHub().serving() as raw:
        for difference in differences:
            headers = "" if difference is None else at(datetime.now(UTC) + difference)
            raw.default = says(with_body(keys, headers=headers))
            (checked,) = await check(forks, store_settings(tmp_path, ZAIKIO_HOST=raw.url))
            found.append(checked.one("clock"))

    assert [status for status, _, _ in found] == ["ok", "warning", "warning", "skipped"]
    assert found[1][1].removesuffix(" s ahead of the Hub's") in {str(seconds) for seconds in range(88, 96)}
    assert found[2][1].endswith(" s behind the Hub's")


async def test_an_address_where_there_is_no_hub(forks: Forks, tmp_path: Path, hub_url: str) -> None:
    """Whatever answers there, or nothing: the address is named, and it takes three seconds at most."""
    answers = [with_body(b"<html>", status="404 Not Found"), with_body(b"<html>"), with_body(b"{}", status="503 Busy")]
    found = []
    async with RawHub().serving() as raw:
        for answer in [*answers, None]:
            raw.default = says(answer or b"", after=0 if answer else 30)
            started = time.monotonic()
            (checked,) = await check(forks, store_settings(tmp_path, ZAIKIO_HOST=raw.url))
            found.append((checked.one("Hub"), time.monotonic() - started))
        url = raw.url

    assert [row[1] for row, _ in found] == [
        f"{url}: it answers 404 where the Hub publishes its keys",
        f"{url}: The Hub's response is not a set of keys",
        f"{url}: it answered 503",
        f"{url}: no response in time",
    ]
    assert {row[0] for row, _ in found} == {"failed"}
    assert max(seconds for _, seconds in found) < 15


async def test_clients_that_the_hub_does_not_accept(
    forks: Forks, tmp_path: Path, hub_url: str, database: Database
) -> None:
    """A wrong secret or id is found before a person meets it. A Hub that does not say is no failure."""
    settings = store_settings(tmp_path, ZAIKIO_HOST=hub_url, ZAIKIO_DEFAULT_CLIENT="warehouse", **WITH_SECRET)
    settings |= {"ZAIKIO_CLIENTS__KIOSK__CLIENT_ID": "kiosk-id", "ZAIKIO_CLIENTS__MILL__CLIENT_ID": "nobody"}
    (checked,) = await check(forks, settings)
    (wrong,) = await check(forks, settings | {"ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_SECRET": PASSWORD})

    assert [row[:2] for row in checked.of("clients")] == [
        ("ok", "the Hub accepts the client id and secret of warehouse"),
        ("ok", "the Hub accepts the client id of kiosk"),
        ("failed", "the Hub does not accept the client id of mill"),
    ]
    assert wrong.of("clients")[0][0] == "failed"
    assert "ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_SECRET" in (wrong.of("clients")[0][2] or "")


# ── in a terminal ──────────────────────────────────────────────────────────────────────────────────


async def test_in_a_pipe_each_row_is_a_line(forks: Forks, tmp_path: Path) -> None:
    """So that it can be searched, however long it is; the last line counts, and stderr is complete."""
    (ended,) = await asyncio.to_thread(forks.run, Case(["check"], dict(store_settings(tmp_path))))

    *lines, summary = ended.stdout.splitlines()
    assert [line[9:24].strip() for line in lines] == ROWS
    assert summary == "4 ok, 2 failed, 7 skipped"
    assert "\x1b" not in ended.stdout
    assert max(map(len, lines)) > 100
    assert ended.stderr.startswith("zaikio-oauth: 2 checks failed: database: there is no file ")


@pytest.mark.parametrize(("columns", "colours"), [(80, True), (50, False)])
async def test_in_a_terminal_it_is_a_table(tmp_path: Path, columns: int, colours: bool) -> None:
    """It fits, the remedy has a line of its own, and without colours nothing is lost."""
    with Terminal("check", columns=columns, colours=colours, **store_settings(tmp_path)) as terminal:
        assert terminal.end() == 2
        shown = terminal.shown.rpartition("\x1b[2K")[2]

    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).replace("\r", "").splitlines()
    assert ("\x1b[32mok" in shown) == colours
    assert any(line.lstrip().startswith("→ Run: zaikio-oauth migrate") for line in lines)
    assert max(map(len, lines)) <= columns
    assert lines[-2:] == ["4 ok, 2 failed, 7 skipped", "zaikio-oauth: 2 checks failed"]
