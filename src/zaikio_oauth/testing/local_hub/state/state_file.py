"""The file in which a local Hub keeps what a restart must not lose."""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.testing.local_hub.state.directory import HubOrganization, HubPerson
from zaikio_oauth.testing.local_hub.state.grants import IssuedToken

__all__ = ["Snapshot", "StateFile"]

log = logging.getLogger("zaikio_oauth")


@dataclass(frozen=True, slots=True, repr=False)
class Snapshot:
    """What is kept: keys, grants, who is signed in at the Hub, and the people, some of whom have signed up there."""

    version: Literal[1]
    keys: list[dict[str, Any]]
    tokens: list[IssuedToken]
    refresh_tokens: list[str]
    revoked: dict[str, float]
    granted: list[tuple[str, str, str, list[str]]]
    csrf_secret: str
    signed_in: dict[str, str]
    people: list[HubPerson]
    organizations: list[HubOrganization]


_SNAPSHOT = TypeAdapter(Snapshot)


class StateFile:
    """Reads the file once, and replaces it whenever something has changed. Only its owner may read it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = b""

    def read(self) -> Snapshot | None:
        """Return what the file contains; None if there is none yet, or an empty one. Raises ConfigurationError."""
        try:
            content = self._path.read_bytes()
            return _SNAPSHOT.validate_json(content) if content else None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(f"{self._path}: {error.strerror}") from None
        except ValidationError:
            pass
        # Raised outside the handler: pydantic's error contains the tokens.
        raise self.unusable()

    def unusable(self) -> ConfigurationError:
        """Return the error for a file with other contents. It shows nothing of them."""
        return ConfigurationError(f"{self._path} is not a state file of this version of the local Hub; delete it")

    def write_first(self, snapshot: Snapshot) -> None:
        """Write the file; raises ConfigurationError if that is not possible."""
        try:
            self._write(_SNAPSHOT.dump_json(snapshot))
        except OSError as error:
            raise ConfigurationError(f"{self._path} cannot be written: {error.strerror}") from None

    def write(self, snapshot: Snapshot) -> None:
        """Write the file if something has changed. A failure is logged, because the Hub works without it."""
        content = _SNAPSHOT.dump_json(snapshot)
        if content == self._written:
            return
        try:
            self._write(content)
        except OSError as error:
            log.error(  # noqa: TRY400
                "The state of the local Hub cannot be written to %s: %s",
                self._path,
                error.strerror,
                extra={"zaikio_event": "local_hub.not_written"},
            )

    def _write(self, content: bytes) -> None:
        # A file that is renamed is there as a whole, whenever the process ends; mkstemp creates it with mode 0600.
        descriptor, beside = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            Path(beside).replace(self._path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
        self._written = content
