"""Bogenlager's own users, each of whom is a person at Zaikio."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from zaikio_oauth import AccessToken, current_access_token

__all__ = ["CurrentUser", "User", "Users"]


@dataclass(frozen=True)
class User:
    """What Bogenlager itself knows about a person."""

    person_id: str
    customer_number: int


@dataclass
class Users:
    """The users, in place of a table in a database."""

    by_person_id: dict[str, User] = field(default_factory=dict)

    def user_of(self, person_id: str) -> User:
        """Find the user who is this person at Zaikio, or create them."""
        return self.by_person_id.setdefault(person_id, User(person_id, 1001 + len(self.by_person_id)))


def current_user(request: Request, token: Annotated[AccessToken, Depends(current_access_token)]) -> User:
    """Return the user who is logged in."""
    users: Users = request.app.state.users
    return users.user_of(token.person_id or "")


CurrentUser = Annotated[User, Depends(current_user)]
