"""The Grafana dashboard of the documentation shows what the library really records."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import get_args, get_type_hints

import pytest

from tests.data import ORGANIZATION_ID
from tests.docs.pages import DOCS
from tests.tracing import recorded_metrics
from zaikio_oauth import Settings, TokenEvent, ZaikioOAuth, ZaikioOAuthError
from zaikio_oauth.testing import LocalHub

DASHBOARD = json.loads((DOCS / "how-to" / "dashboard.json").read_text())
LOG_LINES = (DOCS / "reference" / "log-lines.md").read_text()


def queries(source: str) -> Iterator[str]:
    """Yield the dashboard's queries to this kind of data source."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            if target["datasource"]["type"] == source:
                yield target["expr"]


async def attributes_of(make_settings: Callable[..., Settings], hub: LocalHub) -> dict[str, set[str]]:
    """Return the attributes of each metric, by the name that it has in Prometheus."""
    hub.grant("warehouse-id", "Organization", ORGANIZATION_ID, ["zaikio.organization.r"])
    async with ZaikioOAuth(make_settings()) as zaikio:
        await zaikio.get_access_token(bearer_type="Organization", bearer_id=ORGANIZATION_ID)
        with pytest.raises(ZaikioOAuthError):
            await zaikio.get_access_token(bearer_type="Organization", bearer_id="nobody")
    found: dict[str, set[str]] = {}
    for metric in recorded_metrics("zaikio_oauth"):
        points = metric.data.data_points
        name = re.sub(r"\W", "_", metric.name) + "_total"
        found[name] = {str(attribute) for point in points for attribute in point.attributes}
    return found


async def test_each_query_names_a_metric_and_attributes_that_exist(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """A panel without data would look like an app without trouble."""
    recorded = await attributes_of(make_settings, hub)
    assert recorded
    for query in queries("prometheus"):
        (name,) = re.findall(r"\w+_total", query)
        labels = re.findall(r"(\w+)=~?\"", query) + re.findall(r"by \((\w+)\)", query)
        assert set(labels) <= recorded[name], query
        assert set(re.findall(r'event="(\w+)"', query)) <= set(get_args(get_type_hints(TokenEvent)["kind"])), query


def test_each_log_query_names_keys_and_fields_that_exist() -> None:
    """They are those of the page of log lines."""
    for query in queries("loki"):
        for key in re.findall(r'zaikio_event="([\w.]+)"', query):
            assert f"### `{key}`" in LOG_LINES
        for field in re.findall(r"zaikio_\w+", query.replace("zaikio_oauth", "")):
            assert f"`{field}`" in LOG_LINES


def test_no_two_panels_overlap() -> None:
    """Grafana has 24 columns."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not taken & cells, panel["title"]
        taken |= cells
