"""``python -m tests.soak 10 [seed]``: a soak of ten minutes. Exits with 1 if a promise was broken."""

import asyncio
import random
import sys

from tests.soak.soak import soak

minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
sys.stdout.write(f"seed {seed}\n")
report = asyncio.run(soak(minutes * 60, seed=seed))
sys.stdout.write(f"{report}\n")
sys.exit(bool(report.wrong))
