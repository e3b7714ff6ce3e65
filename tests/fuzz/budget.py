"""How long a fuzzer runs: a fixed number of examples in the normal test run, as long as one likes in ``make fuzz``."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, settings

__all__ = ["Budget"]


@dataclass
class Budget:
    """The same examples each time, or random ones for ``seconds``."""

    seconds: float | None = None

    @property
    def seed(self) -> int:
        """Return 0 in the normal run, else another number each time."""
        return 0 if self.seconds is None else random.randrange(10**9)

    @classmethod
    def from_environment(cls) -> Budget:
        """Read ``ZAIKIO_TEST_FUZZ_SECONDS``, which ``make fuzz`` sets for each fuzzer."""
        seconds = os.environ.get("ZAIKIO_TEST_FUZZ_SECONDS")
        return cls(float(seconds) if seconds else None)

    def rounds(self, *, lives: int, steps: int = 50) -> Iterator[settings]:
        """Yield hypothesis's settings, once or until the time is over."""
        common = {
            "deadline": None,
            "database": None,
            "stateful_step_count": steps,
            "suppress_health_check": list(HealthCheck),
        }
        if self.seconds is None:
            phases = (Phase.generate, Phase.shrink)
            yield settings(**common, max_examples=lives, derandomize=True, phases=phases, print_blob=False)
            return
        ends = time.monotonic() + self.seconds
        while time.monotonic() < ends:
            yield settings(**common, max_examples=lives, derandomize=False, print_blob=True)

    def tell(self, what: str, counts: Mapping[str, int]) -> None:
        """Print what was done, in ``make fuzz``."""
        if self.seconds is not None:
            said = ", ".join(f"{number} {name}" for name, number in counts.items())
            sys.stdout.write(f"\n{what}: {said}\n")
