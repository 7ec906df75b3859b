"""Users, their roles and tokens. A token is shown once; the store keeps its hash."""

from __future__ import annotations

import getpass
import hashlib
import hmac
import re
import secrets
import unicodedata
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tsloop.errors import ReviewForbiddenError, ReviewInvalidError, ReviewNotFoundError
from tsloop.review import tables
from tsloop.review.audit import note
from tsloop.review.database import Database, now_ms

__all__ = ["ROLES", "People", "User", "account_name", "require"]

ROLES = ("annotator", "reviewer", "admin")
"""Each may do what those before it may."""
MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who reviews."""

    name: str
    role: str

    def may(self, role: str) -> bool:
        """Whether the user has at least this role."""
        return ROLES.index(self.role) >= ROLES.index(role)


def require(user: User, role: str) -> None:
    """Raise `ReviewForbiddenError` where the user has less than this role."""
    if not user.may(role):
        raise ReviewForbiddenError(
            f"{user.name} is {user.role}; this needs the role {role}.",
            hint=f"An admin gives it: tsloop review user {user.name} --role {role}",
        )


def account_name() -> str:
    """The name of the account that runs this process."""
    try:
        return check_user_name(getpass.getuser())
    except (OSError, KeyError, ReviewInvalidError):
        return "reviewer"


def check_user_name(name: Any) -> str:
    """A name that can stand in records: letters of any script, digits, space and ``._@-``."""
    text = unicodedata.normalize("NFC", name).strip() if isinstance(name, str) else ""
    if not text or len(text) > MAX_NAME or re.search(r"[^\w .@-]", text):
        raise ReviewInvalidError(
            f"{ascii(name)[:80]} is no name of a user.",
            hint=f"Use up to {MAX_NAME} letters, digits, spaces and . _ @ -",
            field="name",
        )
    return text


class People:
    """The users of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[dict[str, Any]]:
        """Everybody, by name."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(tables.users).order_by(tables.users.c.name)).all()
        return [
            {
                "name": row.name,
                "role": row.role,
                "active": row.active,
                "has_token": row.token_sha256 is not None,
            }
            for row in rows
        ]

    def get(self, name: str) -> User | None:
        """An active user, or nobody."""
        with self._database.read() as connection:
            row = connection.execute(
                sa.select(tables.users).where(tables.users.c.name == name, tables.users.c.active)
            ).first()
        return User(row.name, row.role) if row else None

    def ensure(self, name: str, role: str) -> User:
        """The user of a name, made with a role where there is none yet.

        A user that was switched off is a `ReviewForbiddenError`.
        """
        name = check_user_name(name)
        if (found := self.get(name)) is not None:
            return found
        with self._database.write() as connection:
            row = {"name": name, "role": role, "active": True, "created_ms": now_ms()}
            if self._database.insert_missing(connection, tables.users, row):
                note(connection, name, "user made", detail={"name": name, "role": role})
        if (found := self.get(name)) is None:
            raise ReviewForbiddenError(f"The user {name} was switched off.")
        return found

    def put(self, by: User, name: str, role: str, *, active: bool = True) -> User:
        """Make or change a user. The last admin stays one."""
        require(by, "admin")
        name = check_user_name(name)
        if role not in ROLES:
            raise ReviewInvalidError(
                f"role: {role!r} must be one of {', '.join(ROLES)}.", field="role"
            )
        with self._database.write() as connection:
            others = connection.execute(
                sa.select(sa.func.count())
                .select_from(tables.users)
                .where(
                    tables.users.c.role == "admin",
                    tables.users.c.active,
                    tables.users.c.name != name,
                )
            ).scalar_one()
            if not others and (role != "admin" or not active) and by.name == name:
                raise ReviewForbiddenError(f"{name} is the last admin.", hint="Make another first.")
            row = {"name": name, "role": role, "active": active, "created_ms": now_ms()}
            if not self._database.insert_missing(connection, tables.users, row):
                connection.execute(
                    tables.users.update()
                    .where(tables.users.c.name == name)
                    .values(role=role, active=active)
                )
            note(connection, by.name, "user changed", detail={"name": name, "role": role})
        return User(name, role)

    def make_token(self, by: User, name: str) -> str:
        """A new token of a user; the one before it stops working."""
        require(by, "admin")
        token = secrets.token_urlsafe(32)
        with self._database.write() as connection:
            done = connection.execute(
                tables.users.update()
                .where(tables.users.c.name == name)
                .values(token_sha256=_hash(token))
            )
            if not done.rowcount:
                raise ReviewNotFoundError(f"There is no user {name!r}.")
            note(connection, by.name, "token made", detail={"name": name})
        return token

    def revoke_token(self, by: User, name: str) -> None:
        """The token of a user stops working, and so does every login by it."""
        require(by, "admin")
        with self._database.write() as connection:
            mine = tables.users.c.name == name
            done = connection.execute(tables.users.update().where(mine).values(token_sha256=None))
            if not done.rowcount:
                raise ReviewNotFoundError(f"There is no user {name!r}.")
            note(connection, by.name, "token revoked", detail={"name": name})

    def token_mark(self, name: str) -> str:
        """Tells one token of a user from the next, without telling the token; empty for none."""
        with self._database.read() as connection:
            held = connection.execute(
                sa.select(tables.users.c.token_sha256).where(tables.users.c.name == name)
            ).scalar()
        return _hash(held)[:16] if held else ""

    def by_token(self, token: str) -> User | None:
        """The active user whose token this is."""
        digest = _hash(token)
        with self._database.read() as connection:
            row = connection.execute(
                sa.select(tables.users).where(
                    tables.users.c.token_sha256 == digest, tables.users.c.active
                )
            ).first()
        if row is None or not hmac.compare_digest(row.token_sha256, digest):
            return None
        return User(row.name, row.role)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
