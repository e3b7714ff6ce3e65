"""Whether a command that the documentation shows would be understood: it is parsed, not carried out."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable

import typer.core
import typer.main
from packaging.requirements import Requirement

from tests.docs.pages import ROOT
from zaikio_oauth.cli.commands import app
from zaikio_oauth.settings import Settings

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def faults(script: str) -> list[str]:
    """Return what is wrong with the commands of a block, one line each."""
    found = []
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        while words and re.fullmatch(r"[A-Z_0-9]+=.*", words[0]):
            found += _assignment(words.pop(0))
        if not words:
            continue
        check = COMMANDS.get(words[0])
        found += [f"{words[0]}: tests/docs/commands.py does not know it"] if check is None else check(words[1:])
    return found


def _assignment(word: str) -> list[str]:
    name = word.partition("=")[0]
    known = {f"ZAIKIO_{field.upper()}" for field in Settings.model_fields}
    if not name.startswith("ZAIKIO_") or name in known or name.startswith(("ZAIKIO_CLIENTS__", "ZAIKIO_TEST_")):
        return []
    return [f"{name} is no setting"]


def _export(words: list[str]) -> list[str]:
    return [fault for word in words for fault in _assignment(word)]


def _pip(words: list[str]) -> list[str]:
    found = []
    for word in words[1:]:
        if word.startswith("-") or "/" in word:
            continue
        requirement = Requirement(word)
        if requirement.name.replace("-", "_") == PROJECT["name"]:
            found += [
                f"there is no extra {extra}" for extra in requirement.extras - PROJECT["optional-dependencies"].keys()
            ]
    return found


def _make(words: list[str]) -> list[str]:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    return [f"make {word}: no such target" for word in words if "=" not in word and word not in targets]


def _zaikio_oauth(words: list[str]) -> list[str]:
    command = typer.main.get_command(app)
    assert isinstance(command, typer.core.TyperGroup)
    if words[0].startswith("--"):
        options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        return [] if words[0] in options else [f"zaikio-oauth has no option {words[0]}"]
    if words[0] not in command.commands:
        return [f"zaikio-oauth has no command {words[0]}"]
    try:
        command.commands[words[0]].make_context(words[0], words[1:])
    except Exception as error:
        # typer brings a click of its own, whose exceptions cannot be named here.
        if not hasattr(error, "exit_code"):
            raise
        return [f"zaikio-oauth {shlex.join(words)}: {error}"] if error.exit_code else []
    return []


def _script(words: list[str]) -> list[str]:
    return [
        f"{word}: no such file"
        for word in words
        if word.startswith(("scripts/", "tests/")) and not (ROOT / word).exists()
    ]


def _python(words: list[str]) -> list[str]:
    if words[:2] == ["-m", "zaikio_oauth"]:
        return _zaikio_oauth(words[2:])
    if words[:2] == ["-m", "pip"]:
        return _pip(words[2:])
    return _script(words)


def _nice(words: list[str]) -> list[str]:
    return faults(shlex.join(words))


def _anything(words: list[str]) -> list[str]:
    return []


COMMANDS: dict[str, Callable[[list[str]], list[str]]] = {
    "pip": _pip,
    "make": _make,
    "zaikio-oauth": _zaikio_oauth,
    "export": _export,
    "python": _python,
    "python3": _python,
    ".venv/bin/python": _python,
    ".venv/bin/alembic": _anything,
    "alembic": _anything,
    "nice": _nice,
    "cd": _anything,
    "mkdir": _anything,
    "echo": _anything,
    "printf": _anything,
    ".": _anything,
    "pytest": _anything,
    "curl": _anything,
    "git": _anything,
    "uvicorn": _anything,
    "gunicorn": _anything,
    "celery": _anything,
    "opentelemetry-instrument": _anything,
}
