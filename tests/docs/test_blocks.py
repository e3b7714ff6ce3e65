"""Every block of code in the README and the documentation is run."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Callable
from configparser import ConfigParser
from io import StringIO
from pathlib import Path

import pytest
import yaml
from dotenv import dotenv_values

from tests.docs import commands
from tests.docs.pages import PYTHON, Block, blocks, name_of, pages
from tests.docs.world import World


def dotenv(text: str) -> None:
    """Parse a file ``.env``, in which each variable is a setting."""
    for name, value in dotenv_values(stream=StringIO(text)).items():
        sh(f"export {name}={shlex.quote(value or '')}")


def ini(text: str) -> None:
    """Parse a file such as ``alembic.ini``."""
    ConfigParser().read_string(text)


def sh(text: str) -> None:
    """Parse commands."""
    assert commands.faults(text) == []


def crontab(text: str) -> None:
    """Parse the lines of a crontab."""
    for line in text.splitlines():
        *when, command = line.split(maxsplit=5)
        assert len(when) == 5
        sh(command)


# Of the languages that are not run here, a test of their page runs or validates them.
PARSERS: dict[str, Callable[[str], object]] = {
    "sh": sh,
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
    "dotenv": dotenv,
    "ini": ini,
    "crontab": crontab,
}
# What readers have already is not run: their Rails app.
NO_CODE = {"text", "ruby"}
RUN_ELSEWHERE: dict[str, str] = {
    "caddyfile": "tests/docs/test_proxies.py",
    "html": "tests/docs/test_single_page_app.py",
    "nginx": "tests/docs/test_proxies.py",
    "sql": "tests/store/test_app_migrations.py",
}


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_each_block_of_python_runs(page: Path, request: pytest.FixtureRequest) -> None:
    """A reader may copy what is on a page, from top to bottom."""
    python = [block for block in blocks(page) if block.language in PYTHON]
    if not python:
        return
    world: World = request.getfixturevalue("world")
    for block in python:
        world.run(block)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_each_other_block_is_understood(page: Path) -> None:
    """Commands have the arguments that they are given; files are well-formed; no block is in an unknown language."""
    for block in blocks(page):
        if block.language in PYTHON | NO_CODE | RUN_ELSEWHERE.keys() or block.language.startswith("{"):
            continue
        assert block.language in PARSERS, f"{name_of(page)}:{block.line}: which language is this?"
        PARSERS[block.language](block.code)


def test_a_block_is_found_wherever_it_stands(tmp_path: Path) -> None:
    """In a list, in a directive, and in a comment that readers do not see."""
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- given\nx = 1\n-->\n\n- a list\n\n  ```python\n  y = x\n\n  z = y\n  ```\n\n<!-- then\nassert z == 1\n-->\n"
    )
    assert blocks(page) == [
        Block(page, 1, "given", "x = 1\n"),
        Block(page, 7, "python", "y = x\n\nz = y\n"),
        Block(page, 13, "then", "assert z == 1\n"),
    ]
