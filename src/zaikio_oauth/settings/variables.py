"""The variables ``ZAIKIO_…`` of the environment and of the file ``.env`` in the working directory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource

__all__ = [
    "ENV_FILE",
    "PREFIX",
    "EnvFile",
    "Environment",
    "Files",
    "misspelt",
    "nearest",
    "similar_variables",
    "value_of",
    "variables",
]

_NAME = "ZAIKIO"
PREFIX = f"{_NAME}_"
ENV_FILE = ".env"

Files = str | Path | Sequence[str | Path] | None
"""The files that are read like ``.env``."""

_SIMILARITY = 0.75
"""How much of a name has to be right, as ``difflib`` measures it."""

_SIMILARITY_OF_PREFIX = 0.8
"""One letter may be wrong, missing or too many, or two may have changed places: other products have names, too."""


class Environment(EnvSettingsSource):
    """The environment, in which JSON may also be nested too deeply to be read."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except RecursionError:
            # What pydantic-settings expects of a text that is no JSON.
            raise ValueError("is nested too deeply") from None


class EnvFile(Environment):
    """The file ``.env``, or others like it, in which there are also variables of others."""

    def __init__(self, settings_cls: type[BaseSettings], files: Files) -> None:
        self._variables = _parsed(files)
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name: value for name, value in self._variables.items() if value != "" and _is_ours(name)}


_last: tuple[object, Mapping[str, str | None]] = (None, {})
"""The variables that were parsed last, ours and those that look like ours, and the state of the files at that time."""


def _parsed(files: Files) -> Mapping[str, str | None]:
    """Return our variables in the files, and those that look like ours, in small letters.

    A start needs them several times and parses them once.
    """
    global _last  # noqa: PLW0603 (whoever replaces it at the same time has parsed the same)
    listed = [files] if isinstance(files, str | Path) else list(files or ())
    state = [_state(Path(file).expanduser().absolute()) for file in listed]
    known, found = _last
    if known != state:
        parsed = DotEnvSettingsSource(BaseSettings, env_file=listed).env_vars
        found = {name: value for name, value in parsed.items() if _is_ours(name) or _is_similar(name)}
        _last = (state, found)
    return found


def _state(file: Path) -> object:
    try:
        found = file.stat()
    except OSError:
        return (file, None)
    return (file, found.st_ino, found.st_size, found.st_mtime_ns)


def variables() -> frozenset[str]:
    """Return the names of our variables in the environment and in ``.env``, in capitals."""
    return frozenset(name.upper() for name in [*os.environ, *_in_file()] if _is_ours(name))


def similar_variables() -> frozenset[str]:
    """Return the names of all variables with a prefix that may be a misspelt ``ZAIKIO_``, in capitals."""
    return frozenset(name.upper() for name in [*os.environ, *_in_file()] if _is_similar(name))


def _is_ours(name: str) -> bool:
    return name.upper().startswith(PREFIX)


def _is_similar(name: str) -> bool:
    first = name.upper().partition("_")[0]
    if first == _NAME or abs(len(first) - len(_NAME)) > 1:
        return False
    return bool(get_close_matches(first, [_NAME], cutoff=_SIMILARITY_OF_PREFIX))


def value_of(name: str) -> str | None:
    """Return the value of a variable, from the environment or else from ``.env``."""
    return os.environ.get(name) or _in_file().get(name.lower())


def _in_file() -> Mapping[str, str | None]:
    try:
        return _parsed(ENV_FILE)
    except (OSError, UnicodeDecodeError):
        # That the file cannot be read is reported by the settings.
        return {}


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return that of the ``known`` names which is meant by a misspelt one; None if it resembles none of them."""
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=_SIMILARITY)), None)


def misspelt(names: Iterable[str], known: Iterable[str], of_clients: Iterable[str]) -> dict[str, str]:
    """Return the variables that look like misspelt ones, each with the one that is meant.

    ``known`` and ``of_clients``: the names, without prefix, of the settings, and of those of a client. What is wrong
    below ``ZAIKIO_CLIENTS__`` is left out, because it is an error. With a prefix that is misspelt the rest has to be
    right: it may be somebody else's.
    """
    known, parts = list(known), list(of_clients)
    found = {}
    for name in sorted(names):
        prefix, _, bare = name.partition("_")
        if prefix != _NAME:
            if bare in known or (bare.startswith("CLIENTS__") and bare.rpartition("__")[2] in parts):
                found[name] = PREFIX + bare
            continue
        if bare in known or bare.startswith("CLIENTS__"):
            continue
        if nested := _nested(bare, parts):
            found[name] = PREFIX + nested
        elif part := nearest(bare, parts):
            found[name] = f"{PREFIX}CLIENTS__<NAME>__{part}"
        elif meant := nearest(bare, known):
            found[name] = PREFIX + meant
    return found


def _nested(bare: str, parts: Iterable[str]) -> str | None:
    """Return the name of a setting of a client that is written with too few underscores, or in the singular."""
    for part in parts:
        before = bare.removesuffix(part)
        client = before.removeprefix("CLIENTS").removeprefix("CLIENT").strip("_")
        if client and bare.endswith(f"_{part}") and before.startswith(("CLIENTS_", "CLIENT_")):
            return f"CLIENTS__{client}__{part}"
    return None
