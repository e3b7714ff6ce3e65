# What World gives each page, for type checkers: scripts/check-types imports it into each page.
from typing import Any

from starlette.testclient import TestClient as TestClient

from tests.data import ORGANIZATION_ID as ORGANIZATION_ID
from tests.data import PERSON_ID as PERSON_ID
from tests.visitor import Visitor as Visitor
from zaikio_oauth.testing import LocalHub

hub: LocalHub
hub_url: str

def log_in(client: Any, path: str = ..., person_id: str = ...) -> Any: ...
def setenv(name: str, value: str) -> None: ...
