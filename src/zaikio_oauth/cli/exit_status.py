"""How a command ends: what went wrong in one line on stderr, and an exit status."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from io import TextIOWrapper

import typer

from zaikio_oauth.errors import ConfigurationError, ZaikioOAuthError

__all__ = ["EXPLAINED", "PROGRAM", "Failed", "printable", "run"]

PROGRAM = "zaikio-oauth"

INVALID = 2
INTERRUPTED = 128 + signal.SIGINT
PIPE_BROKEN = 128 + getattr(signal, "SIGPIPE", 13)
"""A shell reports the death by a signal in this way. Windows has no SIGPIPE."""

EXPLAINED = (
    "Exit status: 0 if all is well; 1 if keep-alive could not refresh every connection; 2 if there is something to put "
    "right, which one line on stderr names; 130 after Ctrl-C."
)
"""For the help."""

_COMPLETION = "_ZAIKIO_OAUTH_COMPLETE"

# Typer brings its own copy of Click, or needs Click, depending on its version; only this error is found in both.
_ClickException: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)


class Failed(Exception):
    """Ends the command with this line on stderr and status 2."""


def run(app: typer.Typer, arguments: Sequence[str]) -> int:
    """Run the command and return its exit status.

    Everything that a person can do something about is one line on stderr and status 2: each ZaikioOAuthError, wrong
    commands, options and arguments, and files that cannot be read or written. Ctrl-C is 130. If nobody reads the
    output any more (``| head``), the command ends without a word. A defect of ours stays a traceback.
    """
    try:
        status = _invoke(app, arguments)
        sys.stdout.flush()
    except (ZaikioOAuthError, Failed, _ClickException, OSError) as error:
        if isinstance(error, BrokenPipeError):
            _discard_output()
            return PIPE_BROKEN
        return _say(_message(error))
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    return status


def _invoke(app: typer.Typer, arguments: Sequence[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        # A terminal that does not know a character shows its number.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for position, argument in enumerate(arguments, start=1):
        if not argument.isprintable():
            raise ConfigurationError(f"Argument {position} is not text: {argument!r}")
    command = typer.main.get_command(app)
    if _COMPLETION in os.environ:
        # The shell asks how a word may go on. It exits.
        command.main(prog_name=PROGRAM)
    try:
        # Not command.main(), which draws a box around errors.
        with command.make_context(PROGRAM, list(arguments) or ["--help"]) as context:
            command.invoke(context)
    except typer.Exit as ended:
        return ended.exit_code if arguments else INVALID
    return 0


def _message(error: Exception) -> str:
    if isinstance(error, _ClickException):
        message = error.format_message()  # type: ignore[attr-defined]
        context = getattr(error, "ctx", None)
        return f"{message.rstrip('.')}; try: {context.command_path} --help" if context else message
    if isinstance(error, OSError):
        # str(error) would begin with a number.
        return ": ".join(part for part in (error.filename, error.strerror or type(error).__name__) if part)
    if isinstance(error, ZaikioOAuthError):
        message = str(error)
        return f"{message}{' See' if message.endswith('.') else '; see'} {error.documentation}"
    return str(error)


def _say(message: str) -> int:
    """Print the message on stderr, and return the status."""
    lines = "; ".join(line.strip() for line in message.splitlines() if line.strip()).replace(":; ", ": ")
    try:
        print(f"{PROGRAM}: {printable(lines)}", file=sys.stderr, flush=True)  # noqa: T201
        # What could not be written is still in the buffer, and Python tries again at its end.
        sys.stdout.flush()
    except OSError:
        _discard_output()
    return INVALID


def printable(text: str) -> str:
    """Return the text with escapes for what comes from outside and would move the cursor or break the line."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _discard_output() -> None:
    """Let Python flush what is left to nowhere, instead of complaining at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
