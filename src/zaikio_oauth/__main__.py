"""``python -m zaikio_oauth`` is the command ``zaikio-oauth``."""

from zaikio_oauth.cli import main

main()
