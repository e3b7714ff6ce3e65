"""The extra ``cli``: which packages it brings, and how the command ends without them."""

from __future__ import annotations

import sys
from typing import Final, NoReturn

__all__ = ["PACKAGES", "end_without_it"]

PACKAGES: Final = frozenset({"rich", "segno", "typer"})


def end_without_it() -> NoReturn:
    """Say which extra to install, as every error is said, and exit with the status for what is to be put right."""
    # Not in ``exit_status``, which needs the extra itself.
    print("zaikio-oauth: install the extra: pip install 'zaikio_oauth[cli]'", file=sys.stderr)  # noqa: T201
    sys.exit(2)
