"""The page about the command line, compared with the command."""

from __future__ import annotations

import re
from pathlib import Path

import typer.core
import typer.main

from tests.cli.test_check import ROWS
from zaikio_oauth.cli.commands import app

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "command-line.md").read_text()
COMMAND = typer.main.get_command(app)


def test_every_command_has_a_section_with_all_of_its_options() -> None:
    """And no section has an option that does not exist."""
    assert isinstance(COMMAND, typer.core.TyperGroup)
    sections = dict(re.findall(r"^## ([\w-]+)[^\n]*\n(.*?)(?=^## |^\(|\Z)", PAGE, flags=re.DOTALL | re.MULTILINE))
    assert sections.keys() - {"Exit"} == COMMAND.commands.keys()
    for name, command in COMMAND.commands.items():
        options = {option for parameter in command.params for option in parameter.opts}
        named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", sections[name]))
        assert named - {"--help"} == options - {"--help"}, name
    for parameter in COMMAND.params:
        assert parameter.opts[0] in PAGE


def test_every_row_of_check_is_explained() -> None:
    """In the order in which they are shown."""
    assert (
        re.findall(r"^\| `([\w ]+)` \|", PAGE[PAGE.index("| row |") :].partition("\n\n")[0], flags=re.MULTILINE) == ROWS
    )
