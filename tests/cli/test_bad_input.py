"""Whatever is wrong with what a person types, sets or has on the disk: one clear line on stderr and exit status 2."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.forks import Case, Ended, Forks
from tests.cli.test_commands import COMMAND, environment, run
from tests.data import KEY, OTHER_KEY

PASSWORD = "swordfish"
COMMANDS = ["generate-key", "migrate", "cleanup", "rotate-keys", "check", "login", "hub", "connections", "keep-alive"]
WITH_DATABASE = ["migrate", "cleanup", "rotate-keys", "check", "connections", "keep-alive"]
DEEP = "[" * 100_000
GOOD: dict[str, str | bytes] = {
    "ZAIKIO_HOST": "http://127.0.0.1:9",
    "ZAIKIO_ENCRYPTION_KEYS": KEY,
    "ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_ID": "warehouse-id",
    "ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_SECRET": PASSWORD,
}


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Yield a process whose children run the command."""
    with Forks(tmp_path_factory.mktemp("bad_input"), environment()) as started:
        yield started


def complaint(ended: Ended, expected: str) -> str | None:
    """Return what is wrong with the end of a command that was given bad input."""
    said = ended.stdout + ended.stderr
    for wrong, found in {
        f"status {ended.status}": ended.status != 2,
        "more than one line": ended.stderr.count("\n") != 1 or not ended.stderr.endswith("\n"),
        "not ours": not ended.stderr.startswith("zaikio-oauth: "),
        "a traceback": "Traceback" in said,
        "a secret": any(secret in said for secret in (PASSWORD, KEY, OTHER_KEY)),
        "a control character": not ended.stderr.rstrip("\n").isprintable(),
        f"nothing of {expected!r}": expected not in ended.stderr,
    }.items():
        if found:
            return f"{wrong}: {ended.stderr[-600:]}"
    return None


def check_all(forks: Forks, cases: list[tuple[list[str | bytes], dict[str, str | bytes], str]]) -> None:
    """Run all cases, and name each one that does not end in one clear line."""
    ended = forks.run(*(Case(arguments, settings) for arguments, settings, _ in cases))
    complaints = {
        f"{arguments} {dict(itertools.islice(settings.items(), 1))}"[:200]: found
        for (arguments, settings, expected), end in zip(cases, ended, strict=True)
        if (found := complaint(end, expected))
    }
    assert not complaints, "\n".join(f"{case}\n    {found}" for case, found in complaints.items())


# ── arguments ──────────────────────────────────────────────────────────────────────────────────────


def test_unknown_commands_and_options(forks: Forks) -> None:
    """Every command says what it does not know, and where its help is."""
    check_all(
        forks,
        [
            ([word], {}, "No such command")
            for word in ("no-such-command", "Check", "migrate!", "../migrate", "ü", "%s%n", "[red]x[/red]")
        ]
        + [(["--no-such-option"], {}, "No such option"), (["-x", "check"], {}, "No such option")]
        + [([command, "--no-such-option"], {}, f"try: zaikio-oauth {command} --help") for command in COMMANDS]
        + [([command, "surplus"], {}, "unexpected extra argument") for command in COMMANDS]
        + [([command, "surplus", "more"], {}, "unexpected extra argument") for command in COMMANDS[:2]],
    )


def test_arguments_that_are_no_text(forks: Forks) -> None:
    """Bytes that are not UTF-8, line breaks and escape sequences are refused wherever they stand, and shown escaped."""
    check_all(
        forks,
        [
            ([*before, wrong], GOOD, f"Argument {len(before) + 1} is not text")
            for before in ([], ["check"], ["login", "--device", "--client"], ["hub", "--host"], ["hub", "--app-url"])
            for wrong in (b"\xff", b"a\xed\xa0\x80", b"a\nb", b"\x1b[31mred", b"a\x7f")
        ],
    )


def test_values_that_an_option_cannot_have(forks: Forks) -> None:
    """The option is named, and nothing is served."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        check_all(
            forks,
            [(["hub", "--port", wrong], {}, "'--port'") for wrong in ("many", "0", "-1", "65536", "1e3", "9" * 5000)]
            + [
                (["hub", "--app-url", wrong], {}, "--app-url")
                for wrong in (
                    "nonsense",
                    "",
                    "/",
                    "localhost:8000",
                    "ftp://localhost",
                    "http://",
                    "http://[",
                    "http://a:b",
                )
            ]
            + [
                (["hub", "--app-url", f"http://user:{PASSWORD}@localhost"], {}, "--app-url"),
                (["hub", "--app-url", "http://localhost?a"], {}, "--app-url"),
                (["hub", "--app-url", "http://localhost", "--app-url", "nonsense"], {}, "--app-url"),
            ]
            + [(["hub", "--prefix", wrong], {}, "--prefix") for wrong in ("zaikio", "/", "/a/", "//a", "/a b", "/{a}")]
            + [(["hub", "--port", port], {}, "cannot listen")]
            + [(["hub", "--host", wrong], {}, "cannot listen") for wrong in ("a..b", "1.2.3.4")]
            + [
                (["hub", option], {}, "requires an argument")
                for option in ("--port", "--host", "--app-url", "--prefix")
            ]
            + [(["hub"], {"ZAIKIO_ENVIRONMENT": "production"}, "does not run in production")]
            + [(["connections", "--bearer-type", "person"], GOOD, "'Person' or 'Organization', not 'person'")]
            + [(["connections", "--client", "nobody"], GOOD, "'nobody'")]
            + [
                (["login", "--device", "--timeout", wrong], GOOD, "'--timeout'")
                for wrong in ("0", "-1", "soon", "nan", "1e3", "86401", "9" * 5000)
            ]
            + [(["login"], GOOD, "login --device"), (["login", "--device", "--client", "nobody"], GOOD, "'nobody'")],
        )


# ── settings ───────────────────────────────────────────────────────────────────────────────────────


def test_settings_that_cannot_be_read(forks: Forks) -> None:
    """The variable is named, also if it is no text, or JSON that is nested too deeply."""
    wrong: dict[str, list[str | bytes]] = {
        "ZAIKIO_ENCRYPTION_KEYS": ["", "short", f"[{OTHER_KEY}", DEEP, b"\xff", f"{KEY},{PASSWORD}"],
        "ZAIKIO_CLIENTS": ["nonsense", DEEP, '{"a":' * 50_000, "[]", "7", b"\xff", '{"\\ud800": {"client_id": "x"}}'],
        "ZAIKIO_CLIENTS__WAREHOUSE": [DEEP, "7", b"\xff"],
        "ZAIKIO_CLIENTS__WAREHOUSE__DEFAULT_SCOPES": [DEEP, "[7]", b"\xff.a.r", '["\\ud800.a.r"]'],
        "ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_ID": ["", b"\xff"],
        "ZAIKIO_CLIENTS__WAREHOUSE__NONSENSE": [PASSWORD],
        "ZAIKIO_BEARER_AUDIENCES": [DEEP, "[7]", b"\xff"],
        "ZAIKIO_HOST": ["nonsense", "http://a b:x", f"http://user:{PASSWORD}@host", b"http://\xff"],
        "ZAIKIO_BASE_URL": ["nonsense", b"\xff"],
        "ZAIKIO_CACHE_TTL": ["soon", "nan", "-1", "9" * 5000, b"\xff"],
        "ZAIKIO_ENVIRONMENT": ["moon", b"\xff"],
        "ZAIKIO_AUTO_MIGRATE": ["perhaps"],
        "ZAIKIO_DATABASE_URL": ["nonsense", f"mysql://user:{PASSWORD}@host/db", b"\xff", f"://{PASSWORD}"],
    }
    check_all(
        forks,
        [
            (["check"], {name: value, **{k: v for k, v in GOOD.items() if k != name}}, name)
            for name, values in wrong.items()
            for value in values
        ],
    )


# ── the database ───────────────────────────────────────────────────────────────────────────────────


def test_a_database_that_cannot_be_used(forks: Forks, tmp_path: Path) -> None:
    """A file that is read-only, no database or cannot be opened, and a server that is not there."""
    read_only, garbage = tmp_path / "read_only.db", tmp_path / "garbage.db"
    sqlite3.connect(read_only).execute("CREATE TABLE other (id INTEGER)").connection.close()
    garbage.write_bytes(os.urandom(5000))
    addresses = [
        f"sqlite:///file:{read_only}?mode=ro&uri=true",
        f"sqlite:///{garbage}",
        f"sqlite:///{tmp_path}",
        f"sqlite:///{tmp_path}/no/such/folder/x.db",
        f"sqlite:///{tmp_path}/{'x' * 300}.db",
        f"postgresql://user:{PASSWORD}@127.0.0.1:1/db",
        f"postgresql://user:{PASSWORD}@/db?host=/no/such/folder",
    ]
    check_all(
        forks,
        [
            ([command], {"ZAIKIO_DATABASE_URL": address, **GOOD}, "The database ")
            for command in WITH_DATABASE
            for address in addresses
        ],
    )


def test_an_address_of_a_database_with_parameters_that_nobody_knows(forks: Forks, tmp_path: Path) -> None:
    """The parameter is named."""
    server = f"postgresql://user:{PASSWORD}@127.0.0.1:1/db"
    check_all(
        forks,
        [
            ([command], {"ZAIKIO_DATABASE_URL": address, **GOOD}, "nonsense")
            for command in WITH_DATABASE
            for address in (
                f"{server}?nonsense=1",
                f"{server}?pgbouncer=true&nonsense={PASSWORD}",
                f"sqlite:///{tmp_path}/x.db?nonsense=1",
            )
        ],
    )


def test_a_database_that_cannot_be_opened_leaves_no_thread_that_complains(forks: Forks, tmp_path: Path) -> None:
    """The thread of the driver has ended before the event loop does; twenty times in a row."""
    address: str | bytes = f"sqlite:///{tmp_path}/no/such/folder/x.db"
    check_all(forks, [(["migrate"], {"ZAIKIO_DATABASE_URL": address}, "The database ")] * 20)


# ── output and signals ─────────────────────────────────────────────────────────────────────────────


def test_output_that_cannot_be_written(forks: Forks) -> None:
    """A full disk is an error like any other."""
    (ended,) = forks.run(Case(["generate-key"], stdout=Path("/dev/full")))

    assert complaint(ended, "No space left on device") is None


@pytest.mark.parametrize("arguments", [["generate-key"], ["--help"]])
def test_a_reader_that_has_gone_ends_the_command_without_a_word(arguments: list[str]) -> None:
    """As in ``zaikio-oauth --help | head -1``; the status is that of a process which the signal has ended."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read() == ""
    # Rich, which prints the help, ends the process by itself, with 1.
    assert process.wait(30) in (128 + signal.SIGPIPE, 1)


def test_output_in_an_encoding_without_our_characters() -> None:
    """A terminal that knows only ASCII gets all of the help."""
    result = run("--help", PYTHONIOENCODING="ascii")

    assert (result.returncode, result.stderr) == (0, "")
    assert "rotate-keys" in result.stdout


def test_no_command_at_all_shows_the_help() -> None:
    """The exit status says that nothing was done."""
    result = run()

    assert (result.returncode, result.stderr) == (2, "")
    assert "generate-key" in result.stdout


@pytest.mark.parametrize("arguments", [["check"], ["hub", "--port", "{port}"]])
def test_ctrl_c_ends_a_command_that_waits(arguments: list[str], tmp_path: Path) -> None:
    """Without a traceback, while it waits for a Hub that does not answer, and while it serves one."""
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
        probe.close()
        settings = {
            **{name: str(value) for name, value in GOOD.items()},
            "ZAIKIO_HOST": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "ZAIKIO_DATABASE_URL": f"sqlite:///{tmp_path}/x.db",
        }
        assert run("migrate", **settings).returncode == 0
        process = subprocess.Popen(
            [*COMMAND, *(argument.format(port=free) for argument in arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(PYTHONUNBUFFERED="1", **settings),
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert process.stdout is not None
        if arguments == ["check"]:
            silent.settimeout(30)
            silent.accept()[0].detach()
        else:
            process.stdout.readline()
            time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)

    assert said == ""
    assert process.returncode in (130, -signal.SIGINT)


def test_a_defect_of_ours_stays_a_traceback() -> None:
    """What nobody typed or set is not hidden: the traceback is what a report needs."""
    code = "import sys, typer; from zaikio_oauth.cli import exit_status; app = typer.Typer()\n"
    code += "@app.command()\ndef broken() -> None:\n    raise KeyError('ours')\nsys.exit(exit_status.run(app, ['--']))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert (result.returncode, result.stderr.splitlines()[-1]) == (1, "KeyError: 'ours'")
