"""``zaikio-oauth login --device`` in a terminal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import segno

from tests.cli.terminal import Terminal
from tests.cli.test_commands import COMMAND, environment, run
from tests.data import KEY, ORGANIZATION_ID, PERSON_ID, SECRET
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.errors import page_about
from zaikio_oauth.testing import LocalHub


@pytest.fixture
def settings(hub: LocalHub, hub_url: str, tmp_path: Path) -> dict[str, str]:
    """Return the environment variables of a device."""
    hub.device_interval = 1
    return {
        "ZAIKIO_HOST": hub_url,
        "ZAIKIO_DATABASE_URL": f"sqlite:///{tmp_path}/device.db",
        "ZAIKIO_ENCRYPTION_KEYS": KEY,
        "ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_ID": "warehouse-id",
        "ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_SECRET": SECRET,
        "ZAIKIO_CLIENTS__WAREHOUSE__DEFAULT_SCOPES": "zaikio.person.r",
        "ZAIKIO_CLIENTS__KIOSK__CLIENT_ID": "kiosk-id",
        "ZAIKIO_DEFAULT_CLIENT": "warehouse",
    }


@pytest.fixture
def terminal(settings: dict[str, str]) -> Iterator[Terminal]:
    with Terminal("login", "--device", **settings) as opened:
        yield opened


def drawn(code: segno.QRCode) -> list[str]:
    """Return the lines of a QR code in half blocks, with light modules drawn and a quiet zone of four modules."""
    size = code.symbol_size(border=4)[0]
    light = [[not module for module in row] for row in code.matrix_iter(border=4)]
    light += [[False] * size] * (size % 2)
    blocks = {(True, True): "█", (True, False): "▀", (False, True): "▄", (False, False): " "}
    return ["".join(blocks[pair] for pair in zip(*light[row : row + 2], strict=True)) for row in range(0, size, 2)]


async def test_a_person_enters_the_code_and_the_token_is_stored(
    terminal: Terminal, hub: LocalHub, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The QR code contains the URL with the code. Below it are the URL, the code as on the page, and a countdown."""
    user_code = terminal.wait_for(r"and enter  ([A-Z]{4} [A-Z]{4})\r")[1]
    url = terminal.wait_for(r"or open    (\S+)")[1]
    assert url == f"{settings['ZAIKIO_HOST']}/device"
    picture = re.findall(r"[█▀▄ ]{20,}", terminal.shown)
    as_given = user_code.replace(" ", "")
    assert picture == drawn(segno.make(f"{url}?user_code={as_given}", error="l", micro=False))

    terminal.wait_for(r"Waiting, (15:00|14:59) left")
    terminal.wait_for(r"Waiting, 14:5[0-8] left")
    hub.approve_device(user_code, PERSON_ID)
    terminal.wait_for(f"Logged in: Person/{PERSON_ID}\r\nfor warehouse, with zaikio.person.r; stored as ")
    assert terminal.end() == 0
    assert f'bearer_id="{PERSON_ID}"' in terminal.shown

    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    async with ZaikioOAuth(Settings()) as zaikio:
        found = await zaikio.find_usable_access_token(bearer_type="Person", bearer_id=PERSON_ID)
        assert found is not None
        assert found.id in terminal.shown
        for secret in (found.token, found.refresh_token or "", SECRET, KEY):
            assert secret not in terminal.shown


def test_there_is_no_countdown_without_a_terminal(settings: dict[str, str], hub: LocalHub) -> None:
    """The output is the code and then the result, in ASCII if the encoding requires it."""
    process = subprocess.Popen(
        [*COMMAND, "login", "--device", "--client", "kiosk", "--scope", f"Per>Org/{ORGANIZATION_ID}.a.b.r"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(**settings) | {"PYTHONIOENCODING": "ascii", "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    said = b""
    while not (found := re.search(rb"and enter  ([A-Z]{4} [A-Z]{4})\n", said)):
        line = process.stdout.readline()
        assert line, said
        said += line
    hub.approve_device(found[1].decode(), PERSON_ID)
    rest, _ = process.communicate(timeout=30)
    said += rest

    assert process.returncode == 0
    assert b"Waiting" not in said
    assert f"Logged in: Organization/{ORGANIZATION_ID}\nfor kiosk, with a.b.r".encode() in said
    assert f"Person/{PERSON_ID} acts on its behalf.".encode() in said


def test_a_cancelled_login_is_reported(terminal: Terminal, hub: LocalHub) -> None:
    """The error is one line with status 2, and the countdown is removed."""
    hub.deny_device(terminal.wait_for(r"and enter  ([A-Z]{4} [A-Z]{4})")[1])

    assert terminal.end() == 2
    rest = "zaikio-oauth: The Hub answered with an error: access_denied (Cancelled at Zaikio; nothing is stored.)"
    assert terminal.shown.endswith(f"\x1b[2K{rest}; see {page_about('access_denied')}\r\n")


def test_an_expired_code_is_reported(settings: dict[str, str], hub: LocalHub) -> None:
    """The error says what to do."""
    hub.device_code_lifetime = 1
    result = run("login", "--device", **settings)

    assert result.returncode == 2
    assert "The code has expired. Run the command again for a new one." in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_wait_can_be_limited(settings: dict[str, str]) -> None:
    """A script that starts it does not have to wait for a quarter of an hour. The countdown shows the limit."""
    with Terminal("login", "--device", "--timeout", "2", **settings) as terminal:
        terminal.wait_for(r"Waiting, 0:0[12] left")

        assert terminal.end() == 2
    assert terminal.shown.endswith(
        "zaikio-oauth: Nobody has allowed the login within 2 seconds. Run the command again for a new code.\r\n"
    )


def test_a_code_that_expires_before_the_limit_ends_the_wait(settings: dict[str, str], hub: LocalHub) -> None:
    """The limit makes the wait shorter, never longer."""
    hub.device_code_lifetime = 1
    result = run("login", "--device", "--timeout", "30", **settings)

    assert (result.returncode, "The code has expired." in result.stderr) == (2, True)


def test_ctrl_c_ends_the_command_without_a_traceback(terminal: Terminal) -> None:
    """The exit status is 130, as is usual in a shell."""
    terminal.wait_for("Waiting")
    os.killpg(terminal.process.pid, signal.SIGINT)

    assert terminal.end() == 130
    assert "Traceback" not in terminal.shown


@pytest.mark.parametrize(
    ("arguments", "changes", "line"),
    [
        ([], {}, "There is only one way to log in here: zaikio-oauth login --device"),
        (
            ["--device", "--client", "nobody"],
            {},
            "There is no client named 'nobody'; the configured ones are: warehouse, kiosk.",
        ),
        (["--device", "--client", "kiosk"], {}, "The client 'kiosk' has no default scopes; pass"),
        (["--device", "--scope", "nonsense"], {}, "The Hub answered with an error: invalid_scope (malformed_scope)"),
        (["--device"], {"ZAIKIO_ENCRYPTION_KEYS": ""}, "ZAIKIO_ENCRYPTION_KEYS is missing"),
        (["--device"], {"ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_ID": "x"}, "The Hub answered with an error: invalid_client"),
    ],
)
def test_invalid_input_gets_one_clear_line(
    settings: dict[str, str], arguments: list[str], changes: dict[str, str], line: str
) -> None:
    """The exit status is 2, and no log message is printed."""
    result = run("login", *arguments, **settings | changes)

    assert (result.returncode, result.stdout) == (2, "")
    assert line in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) <= 2


@pytest.mark.parametrize("columns", [80, 30, 12])
def test_the_countdown_fits_the_terminal(settings: dict[str, str], columns: int) -> None:
    """Even in a narrow terminal it is one line, because a wrapped line could not be overwritten."""
    with Terminal("login", "--device", columns=columns, **settings) as terminal:
        terminal.wait_for("Waiting")
        time.sleep(1.2)
        countdown = terminal.read()[terminal.shown.index("Waiting") :]

    assert "\n" not in countdown
    assert countdown.count("Waiting") > 1
