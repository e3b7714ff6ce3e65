"""Scopes in requests and in comparisons (Hub documentation, "Bearers and scopes")."""

from __future__ import annotations

import pytest

from zaikio_oauth import scopes


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        pytest.param("zaikio.person.r,zaikio.sites.rw", ("zaikio.person.r", "zaikio.sites.rw"), id="commas"),
        pytest.param("a.b.r c.d.w", ("a.b.r", "c.d.w"), id="spaces (RFC 6749 §3.3)"),
        pytest.param(" a.b.r , ,c.d.w ,", ("a.b.r", "c.d.w"), id="untidy"),
        pytest.param("a.b.r,a.b.r", ("a.b.r",), id="doubled"),
        pytest.param(["a.b.r", "c.d.w"], ("a.b.r", "c.d.w"), id="a list"),
        pytest.param("", (), id="empty"),
        pytest.param(None, (), id="not said"),
    ],
)
def test_scopes_are_parsed_with_any_separator(wire: object, expected: tuple[str, ...]) -> None:
    """The Hub uses commas, the RFC uses spaces, and JSON has a list."""
    assert scopes.parse(wire) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "prefixed",
    [
        "zaikio.sites.r",
        "Per.zaikio.sites.r",
        "Org.zaikio.sites.r",
        "Org/b1475f65-236c-58b8-96e1-e1778b43beb7.zaikio.sites.r",
        "Per/383663bc-149a-5b76-b50d-ee039046c12e.zaikio.sites.r",
        "Per>Org.zaikio.sites.r",
        "Per>Org/b1475f65-236c-58b8-96e1-e1778b43beb7.zaikio.sites.r",
    ],
)
def test_every_bearer_prefix_is_removed(prefixed: str) -> None:
    """Granted scopes have no prefix, so prefixes must not affect comparisons."""
    assert scopes.unprefixed(prefixed) == "zaikio.sites.r"


@pytest.mark.parametrize("scope", ["Organizer.plan.r", "Person.card.r", "Org", "Per"])
def test_an_app_name_that_starts_like_a_prefix_is_kept(scope: str) -> None:
    """``Organizer`` is an app, not the prefix ``Org``."""
    assert scopes.unprefixed(scope) == scope


def test_a_prefix_is_added_and_replaces_another() -> None:
    """``Org/<id>.`` selects the organization with that id, and ``Org.`` the one that the person selects."""
    asked = ["zaikio.organization.r", "Per.zaikio.sites.r"]

    assert scopes.with_prefix(asked, scopes.bearer_prefix("Organization", "42")) == (
        "Org/42.zaikio.organization.r",
        "Org/42.zaikio.sites.r",
    )
    assert scopes.with_prefix(asked, scopes.bearer_prefix("Person")) == (
        "Per.zaikio.organization.r",
        "Per.zaikio.sites.r",
    )


@pytest.mark.parametrize(
    ("held", "asked", "expected"),
    [
        pytest.param(["a.b.r", "a.c.r"], ["a.b.r"], True, id="one of two"),
        pytest.param(["a.b.r"], ["a.b.r", "a.c.r"], False, id="one too many"),
        pytest.param(["a.b.rw"], ["a.b.r", "a.b.w"], True, id="rw gives r and w"),
        pytest.param(["a.b.r"], ["a.b.rw"], False, id="r gives no rw"),
        pytest.param(["a.b.w"], ["a.b.r"], False, id="w gives no r"),
        pytest.param(["Org/42.a.b.r"], ["a.b.r"], True, id="a prefix held"),
        pytest.param(["directory.person.r"], ["zaikio.person.r"], True, id="the Hub's former name held"),
        pytest.param(["zaikio.person.rw"], ["directory.person.r"], True, id="the Hub's former name asked"),
        pytest.param(["my_directory.person.r"], ["zaikio.person.r"], False, id="another app's directory"),
        pytest.param([], [], True, id="nothing asked"),
        pytest.param(["x.subscription_create_app.free"], ["x.subscription_create_app.free"], True, id="no permission"),
    ],
)
def test_held_scopes_include_required_scopes(held: list[str], asked: list[str], expected: bool) -> None:
    """Every HTTP 403 and every look-up of a stored token depends on this comparison."""
    assert scopes.includes(held, asked) is expected
