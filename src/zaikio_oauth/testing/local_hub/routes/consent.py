"""The page on which a person grants an app what it requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import FormData, QueryParams
from starlette.requests import Request
from starlette.responses import Response

from zaikio_oauth.testing.local_hub.pages import Pages
from zaikio_oauth.testing.local_hub.routes.page_query import is_true, without
from zaikio_oauth.testing.local_hub.state.bearer import Bearer, bearer_for
from zaikio_oauth.testing.local_hub.state.directory import HubApp, HubOrganization, HubPerson
from zaikio_oauth.testing.local_hub.state.hub_state import HubState
from zaikio_oauth.testing.local_hub.state.requested_scopes import RequestedScopes, ScopeError

__all__ = ["ConsentPage"]

_NEW = "new"


class ConsentPage:
    """The page and what its form grants. It serves the authorization endpoint and the device flow."""

    def __init__(self, state: HubState, pages: Pages) -> None:
        self._state = state
        self._pages = pages

    def show(
        self,
        request: Request,
        query: QueryParams,
        *,
        app: HubApp,
        requested: RequestedScopes,
        person: HubPerson,
        **values: Any,
    ) -> Response:
        """Return the page. Its form is posted to the path of the request."""
        organizations: list[HubOrganization] = []
        if requested.needs_organization:
            organizations = self._state.organizations_of(person.id)
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
        return self._pages.show_form(request, "consent.html", query, **{**details, **values})

    def granted(
        self, form: FormData, query: QueryParams, *, app: HubApp, requested: RequestedScopes, person: HubPerson
    ) -> tuple[Bearer, tuple[str, ...]]:
        """Return the bearer and the scopes that the form grants. Raises ScopeError."""
        organization_id, plan = form.get("organization_id"), form.get("plan")
        if isinstance(plan, str) and plan:
            requested = _with_plan(requested, app, plan)
        chosen = organization_id if isinstance(organization_id, str) else None
        if requested.needs_organization and not (chosen or requested.organization_id):
            raise ScopeError("bearer_does_not_exist")
        if chosen == _NEW and (name := query.get("organization[name]")) and not requested.organization_id:
            kinds = tuple(query.getlist("organization[kinds][]"))
            country_code = query.get("organization[country_code]", "DE")
            chosen = self._state.add_organization(name, person.id, country_code, kinds).id
            person = self._state.person(person.id) or person
        return bearer_for(self._state, requested, person, chosen), self._state.granted_part(requested.scopes)


def _with_plan(requested: RequestedScopes, app: HubApp, plan: str) -> RequestedScopes:
    if plan not in app.plans:
        raise ScopeError("There is no such plan.")
    scopes = tuple(
        f"{scope}.{plan}" if scope.startswith("subscription_create") and "." not in scope else scope
        for scope in requested.scopes
    )
    return replace(requested, scopes=scopes)
