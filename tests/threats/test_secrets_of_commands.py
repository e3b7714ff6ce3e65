"""The command line shows no secret."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.data import KEY, OTHER_KEY, SECRET

WEBHOOK_SECRET, PASSWORD = "marked-webhook-secret-0002", "marked-database-password-0003"


def test_no_command_shows_a_secret(hub_url: str, tmp_path: Path) -> None:
    """Neither a command that works nor one that fails, on either output."""
    clients = {
        "ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_ID": "warehouse-id",
        "ZAIKIO_CLIENTS__WAREHOUSE__CLIENT_SECRET": SECRET,
        "ZAIKIO_CLIENTS__WAREHOUSE__WEBHOOK_SECRET": WEBHOOK_SECRET,
        "ZAIKIO_CLIENTS__WAREHOUSE__DEFAULT_SCOPES": "zaikio.person.r",
    }
    good = clients | {
        "ZAIKIO_HOST": hub_url,
        "ZAIKIO_ENCRYPTION_KEYS": f"{KEY},{OTHER_KEY}",
        "ZAIKIO_DATABASE_URL": f"sqlite:///{tmp_path}/store.db",
    }
    no_server = good | {"ZAIKIO_DATABASE_URL": f"postgresql://zaikio:{PASSWORD}@127.0.0.1:1/none"}
    bad_key = good | {"ZAIKIO_ENCRYPTION_KEYS": f"{KEY},marked-no-key-0004"}
    outside = {name: value for name, value in os.environ.items() if not name.startswith("ZAIKIO_")}
    runs = [(good, name) for name in ("migrate", "check")]
    runs += [(no_server, name) for name in ("check",)] + [(bad_key, "cleanup")]

    def run(environment: dict[str, str], name: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from zaikio_oauth.cli import main; main()", name]
        return subprocess.run(
            command, env=outside | environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )

    first, rest = runs[0], runs[1:]
    with ThreadPoolExecutor(4) as threads:
        done = [run(*first), *threads.map(lambda each: run(*each), rest)]

    assert [process.returncode for process in done[:2]] == [0, 0], done
    assert all(process.returncode for process in done[2:]), done
    shown = "".join(process.stdout + process.stderr for process in done)
    assert [secret for secret in (SECRET, WEBHOOK_SECRET, PASSWORD, KEY, OTHER_KEY) if secret in shown] == []
    assert "marked-no-key-0004" not in shown
