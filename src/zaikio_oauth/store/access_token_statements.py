"""The statements on single access tokens, built once: to build one takes several times as long as to run it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    String,
    Text,
    Update,
    and_,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.types import TypeEngine

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import BearerType
from zaikio_oauth.settings.retries_and_waits import RENEWAL_PAUSE
from zaikio_oauth.store.columns import join_scopes
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.statements import Bound

__all__ = ["AccessTokenStatements", "Reencryption", "TokenSearch"]

MOST_SEARCHES = 256
"""How many searches are kept. They differ by how many scopes are asked for, and how many spellings each of them has."""

Wanted = Literal["usable", "longest", "refreshable"]


class TokenSearch(NamedTuple):
    """Which token is wanted: of which client, of which bearer, with which scopes."""

    audience: str
    bearer_type: BearerType
    bearer_id: str
    requested_scopes: tuple[str, ...]


class Reencryption(NamedTuple):
    """The ciphertexts of a row under the first key, and the version of the row from which they were made."""

    id: str
    version: int
    token: str
    refresh_token: str | None


_REENCRYPTION: Final[dict[str, TypeEngine[Any]]] = {
    "id": String(),
    "version": BigInteger(),
    "token": Text(),
    "refresh_token": Text(),
}


def _of_arrays() -> FromClause:
    """Return the rows as PostgreSQL reads them: a parameter for each column."""
    arrays = [bindparam(f"new_{name}", type_=ARRAY(kind)) for name, kind in _REENCRYPTION.items()]
    columns = [Column(name, kind) for name, kind in _REENCRYPTION.items()]
    return func.unnest(*arrays).table_valued(*columns, name="new").render_derived()


def _of_json() -> FromClause:
    """Return the rows as SQLite reads them: one parameter for all, which may have no more than 32,766 of them."""
    each = func.json_each(bindparam("rows", type_=Text)).table_valued("value")
    return select(
        *(
            func.json_extract(each.c.value, f"$[{place}]", type_=kind).label(name)
            for place, (name, kind) in enumerate(_REENCRYPTION.items())
        )
    ).subquery("new")


class AccessTokenStatements:
    """Each method returns a statement that was built once, with the values of this call."""

    def __init__(self, database: Database) -> None:
        self._table = table = database.tables.access_tokens
        self._contains, self._postgresql = database.contains, database.postgresql
        column, revocations = table.c, database.tables.revocations
        this_row = column.id == bindparam("access_token_id")
        # The version makes it harmless to try again after a broken connection: if the row was replaced after all, it
        # may have been refreshed once more meanwhile.
        this_version = and_(this_row, column.version == bindparam("this_version"))
        known = select(revocations.c.jti).where(revocations.c.jti == column.jti)
        self._get = select(table).where(this_row, column.revoked_at.is_(None))
        # After a broken connection this is tried again, and the row may already exist.
        added = database.insert(table).on_conflict_do_nothing(index_elements=["id"])
        # The newest token wins, so what was found before for this bearer has to be looked up again.
        self._add = database.told(added, column.bearer_id)
        marked = update(table).where(this_row, known.exists()).returning(column.id)
        self._mark_revoked = database.told(marked, column.id)
        self._change = database.told(update(table).where(this_version), column.id)
        replaced = update(table).where(this_version, column.revoked_at.is_(None))
        self._replace = database.told(replaced.returning(column.id), column.id)
        if database.postgresql:
            self._acquire, self._replace_and_release = self._with_lease(database, this_row, replaced)
        self._delete = database.told(delete(table).where(this_row).returning(table), column.id)
        self._page = (
            select(column.id, column.version, column.token, column.refresh_token)
            .where(column.id > bindparam("after"))
            .order_by(column.id)
            .limit(bindparam("batch", type_=Integer))
        )
        self._reencrypt = self._reencrypting(_of_arrays() if database.postgresql else _of_json())
        self._newest: dict[tuple[Wanted, tuple[int, ...]], tuple[Select[Any], Select[Any]]] = {}

    def get(self, access_token_id: str) -> Bound:
        """Return the row, unless it is revoked."""
        return Bound(self._get, {"access_token_id": access_token_id})

    def add(self, values: dict[str, Any]) -> Bound:
        """Insert the row, unless it is there."""
        return Bound(self._add, values)

    def mark_revoked(self, access_token_id: str) -> Bound:
        """Mark the row and return its id if its token was revoked before it was stored: events arrive in any order."""
        return Bound(self._mark_revoked, {"access_token_id": access_token_id, "revoked_at": datetime.now(UTC)})

    def replace(self, access_token_id: str, version: int, values: dict[str, Any]) -> Bound:
        """Change the row if it has this version and is not revoked, and return its id."""
        return Bound(self._replace, {"access_token_id": access_token_id, "this_version": version, **values})

    def acquire(self, access_token_id: str, key: str, holder: str) -> Bound:
        """Insert the lease with this key, unless it exists; return the row as it is then, unless it is revoked.

        Its column ``acquired`` is not NULL if the lease was inserted. On PostgreSQL only.
        """
        lease = {"lease_key": key, "lease_holder": holder, "lease_acquired_at": datetime.now(UTC)}
        return Bound(self._acquire, {"access_token_id": access_token_id, **lease}, writes=True)

    def replace_and_release(
        self, access_token_id: str, version: int, values: dict[str, Any], key: str, holder: str
    ) -> Bound:
        """Do what ``replace`` does, and delete this holder's lease. On PostgreSQL only."""
        replaced = self.replace(access_token_id, version, values).values
        return Bound(self._replace_and_release, {**replaced, "lease_key": key, "lease_holder": holder})

    def _with_lease(
        self, database: Database, this_row: ColumnElement[bool], replaced: Update
    ) -> tuple[Select[Any], ReturningUpdate[Any]]:
        table, leases = self._table, database.tables.leases
        key, holder = bindparam("lease_key", type_=String), bindparam("lease_holder", type_=String)
        inserted = database.insert(leases).values(
            key=key,
            holder=holder,
            beat=0,
            acquired_at=bindparam("lease_acquired_at", type_=leases.c.acquired_at.type),
        )
        acquired = inserted.on_conflict_do_nothing(index_elements=["key"]).returning(leases.c.key).cte("acquired")
        # The lock has the row read as it is after the insertion: what another process has stored before it released
        # the lease is seen, although the statement began earlier.
        acquire = (
            select(table, acquired.c.key.label("acquired"))
            .select_from(table.outerjoin(acquired, true()))
            .where(this_row, table.c.revoked_at.is_(None))
            .with_for_update(of=table, key_share=True)
        )
        released = delete(leases).where(leases.c.key == key, leases.c.holder == holder).cte("released")
        replace = replaced.add_cte(released).returning(table.c.id)
        return acquire, database.told(replace, table.c.id)

    def postpone_renewal(self, access_token_id: str, version: int) -> Bound:
        """Change the row if it has this version."""
        values = {"renew_after": datetime.now(UTC) + RENEWAL_PAUSE}
        return Bound(self._change, {"access_token_id": access_token_id, "this_version": version, **values})

    def drop_refresh_token(self, access_token_id: str, version: int) -> Bound:
        """Change the row if it has this version."""
        # It ends now. A grant that never had a refresh token has no end of it, either.
        values = {"refresh_token": None, "refresh_expires_at": datetime.now(UTC)}
        return Bound(self._change, {"access_token_id": access_token_id, "this_version": version, **values})

    def delete(self, access_token_id: str) -> Bound:
        """Delete the row and return it."""
        return Bound(self._delete, {"access_token_id": access_token_id})

    def page(self, after: str, batch: int) -> Bound:
        """Return the ciphertexts, and the versions, of the rows that follow this id."""
        return Bound(self._page, {"after": after, "batch": batch})

    def reencrypt(self, rows: Sequence[Reencryption]) -> Bound:
        """Change the ciphertexts of all rows that still have these versions."""
        if not self._postgresql:
            return Bound(self._reencrypt, {"rows": json.dumps(rows)})
        columns = zip(*rows, strict=True)
        return Bound(
            self._reencrypt, {f"new_{name}": list(column) for name, column in zip(_REENCRYPTION, columns, strict=True)}
        )

    def _reencrypting(self, new: FromClause) -> Update:
        column = self._table.c
        return (
            update(self._table)
            .where(column.id == new.c.id, column.version == new.c.version)
            # One that the Hub no longer accepts is deleted without another version, and must not come back.
            .values(token=new.c.token, refresh_token=case((column.refresh_token.is_not(None), new.c.refresh_token)))
        )

    def newest(self, wanted: Wanted, search: TokenSearch, valid_for: timedelta = timedelta(0)) -> tuple[Bound, Bound]:
        """Return the newest row that fits, and then all of them, the newest first."""
        now = datetime.now(UTC)
        # Sorted, because their order means nothing, and so there are fewer different searches.
        scopes = sorted((scope_rules.spellings(scope) for scope in search.requested_scopes), key=len)
        kind = (wanted, tuple(map(len, scopes)))
        statements = self._newest.get(kind)
        if statements is None:
            statements = self._search(*kind)
            if len(self._newest) < MOST_SEARCHES:
                self._newest[kind] = statements
        values = {
            "audience": search.audience,
            "bearer_type": search.bearer_type,
            "bearer_id": search.bearer_id,
            "now": now + valid_for if wanted == "usable" else now,
            **{
                f"scope_{number}_{each}": join_scopes([spelling])
                for number, spellings in enumerate(scopes)
                for each, spelling in enumerate(spellings)
            },
        }
        return Bound(statements[0], values), Bound(statements[1], values)

    def _search(self, wanted: Wanted, spellings: tuple[int, ...]) -> tuple[Select[Any], Select[Any]]:
        column = self._table.c
        asked = (
            or_(
                *(
                    self._contains(column.requested_scopes, bindparam(f"scope_{number}_{each}", type_=Text))
                    for each in range(count)
                )
            )
            for number, count in enumerate(spellings)
        )
        newest = (
            select(self._table)
            .where(
                *(column[name] == bindparam(name) for name in ("audience", "bearer_type", "bearer_id")),
                self._is_wanted(wanted),
                column.revoked_at.is_(None),
                # A token with which a person acts for an organization is not the organization's own.
                column.on_behalf_of.is_(None),
                # A token that was delegated is a subsystem's, and cannot be renewed.
                column.delegated_from.is_(None),
                *asked,
            )
            .order_by(column.updated_at.desc())
        )
        return newest.limit(1), newest

    def _is_wanted(self, wanted: Wanted) -> ColumnElement[bool]:
        column, now = self._table.c, bindparam("now", type_=self._table.c.expires_at.type)
        if wanted == "usable":
            return column.expires_at > now
        if wanted == "longest":
            return and_(column.expires_at > now, column.renew_after > now)
        live = or_(column.refresh_expires_at.is_(None), column.refresh_expires_at > now)
        return and_(column.refresh_token.is_not(None), live)
