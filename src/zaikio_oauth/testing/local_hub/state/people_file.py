"""The people and organizations that a JSON file describes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.testing.local_hub.state.directory import HubOrganization, HubPerson

__all__ = ["read_people_file"]

_Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,255}$")]
_Text = Annotated[str, Field(min_length=1)]
_Role = Literal["owner", "admin", "billing", "production", "purchasing", "sales"]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class _Organization(_Entry):
    id: _Id
    name: _Text
    country_code: _Text = "DE"
    kinds: list[_Text] = ["printer"]


class _Person(_Entry):
    id: _Id
    first_name: _Text
    name: _Text
    email: _Text
    locale: _Text = "en"
    memberships: dict[_Id, list[_Role]] = {}


class _File(_Entry):
    people: list[_Person] = Field(min_length=1)
    organizations: list[_Organization] | None = None


def read_people_file(
    path: Path, known: Iterable[HubOrganization]
) -> tuple[list[HubPerson], list[HubOrganization] | None]:
    """Return the people of the file, and its organizations; None if it names none and the ``known`` ones stay.

    Raises ConfigurationError, which says where in the file the mistake is.
    """
    file = _read(path)
    people = [
        HubPerson(
            each.id,
            each.first_name,
            each.name,
            each.email,
            each.locale,
            tuple((organization_id, tuple(roles)) for organization_id, roles in each.memberships.items()),
        )
        for each in file.people
    ]
    organizations = None
    if file.organizations is not None:
        organizations = [
            HubOrganization(each.id, each.name, each.country_code, tuple(each.kinds)) for each in file.organizations
        ]
    ids = [each.id for each in organizations or known]
    repeated = [name for name, count in Counter([person.id for person in people] + ids).items() if count > 1]
    strangers = [name for person in people for name, _ in person.memberships if name not in ids]
    if repeated:
        raise ConfigurationError(f"{path}: the id {repeated[0]} is there more than once")
    if strangers:
        raise ConfigurationError(f"{path}: memberships name {strangers[0]}, which is none of the organizations")
    return people, organizations


def _read(path: Path) -> _File:
    try:
        return _File.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        problems = [_problem(each) for each in error.errors(include_url=False, include_input=False)]
    raise ConfigurationError(f"{path}: {'; '.join(problems[:3])}{'; …' if len(problems) > 3 else ''}")


def _problem(detail: Any) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"]).removeprefix(".")
    if detail["type"] == "extra_forbidden":
        return f"{place} is not known"
    if detail["type"] == "missing":
        return f"{place} is missing"
    return f"{place}: {detail['msg']}" if place else detail["msg"]
