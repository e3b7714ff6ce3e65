"""What a person allows an app: the page that asks, and the grant that comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.datastructures import FormData, QueryParams
from starlette.requests import Request
from starlette.responses import Response

from zaikio_oauth.testing.local_hub.accounts import Accounts, is_true, without
from zaikio_oauth.testing.local_hub.directory import HubApp, HubOrganization, HubPerson
from zaikio_oauth.testing.local_hub.grants import Bearer
from zaikio_oauth.testing.local_hub.requested_scopes import RequestedScopes, ScopeError

if TYPE_CHECKING:
    from zaikio_oauth.testing.local_hub.hub import LocalHub

__all__ = ["ask_for_consent", "bearer_of", "consented"]

_NEW = "new"


def ask_for_consent(
    hub: LocalHub,
    accounts: Accounts,
    request: Request,
    query: QueryParams,
    *,
    app: HubApp,
    requested: RequestedScopes,
    person: HubPerson,
    **values: Any,
) -> Response:
    """The page; its form goes to where it was asked for."""
    organizations: list[HubOrganization] = []
    if requested.needs_organization:
        organizations = hub.organizations_of(person.id)
        if requested.organization_id:
            organizations = [each for each in organizations if each.id == requested.organization_id]
    details: Mapping[str, Any] = {
        "asker": request.url.path,
        "app": app,
        "requested": requested,
        "person": person,
        "organizations": organizations,
        "new_organization": query.get("organization[name]"),
        "may_create": requested.needs_organization and not requested.organization_id,
        "confirm_email": is_true(query, "prompt_email_confirmation"),
        "switch": urlencode([*without(query, "prompt"), ("prompt", "select_account")]),
    }
    return accounts.show(request, "consent.html", query, **{**details, **values})


def consented(
    hub: LocalHub, form: FormData, query: QueryParams, *, app: HubApp, requested: RequestedScopes, person: HubPerson
) -> tuple[Bearer, tuple[str, ...]]:
    """What the form grants, and for whom; raises ScopeError."""
    organization_id, plan = form.get("organization_id"), form.get("plan")
    if isinstance(plan, str) and plan:
        requested = _with_plan(requested, app, plan)
    chosen = organization_id if isinstance(organization_id, str) else None
    if requested.needs_organization and not (chosen or requested.organization_id):
        raise ScopeError("bearer_does_not_exist")
    if chosen == _NEW and (name := query.get("organization[name]")) and not requested.organization_id:
        kinds = tuple(query.getlist("organization[kinds][]"))
        chosen = hub.add_organization(name, person.id, query.get("organization[country_code]", "DE"), kinds).id
        person = hub.person(person.id) or person
    return bearer_of(hub, requested, person, chosen), hub.granted_part(requested.scopes)


def bearer_of(
    hub: LocalHub, requested: RequestedScopes, person: HubPerson | None, organization_id: str | None
) -> Bearer:
    """Whose token it becomes, when this person grants it for that organization; raises ScopeError."""
    if person is None or requested.person_id not in (None, person.id):
        raise ScopeError("unpermitted_bearer_id")
    if not requested.needs_organization:
        return Bearer("Person", person.id)
    chosen = requested.organization_id or organization_id or next(iter(dict(person.memberships)), "")
    roles = person.roles_in(chosen)
    if hub.organization(chosen) is None:
        raise ScopeError("bearer_does_not_exist")
    if roles is None:
        raise ScopeError("unpermitted_bearer_id")
    return Bearer("Organization", chosen, person.id, roles) if requested.on_behalf else Bearer("Organization", chosen)


def _with_plan(requested: RequestedScopes, app: HubApp, plan: str) -> RequestedScopes:
    if plan not in app.plans:
        raise ScopeError("There is no such plan.")
    scopes = tuple(
        f"{scope}.{plan}" if scope.startswith("subscription_create") and "." not in scope else scope
        for scope in requested.scopes
    )
    return replace(requested, scopes=scopes)
