"""Another key for a ledger: subjects are called otherwise from then on, and only requests that wait are known under both names.

Entries stay as they are, under the old key: without it they tell nobody anything. In this order, each of them on the disk
before the next begins, so that whoever comes after a crash finds the old key in force, or goes on:

    KEY.new     the new key
    staged      in the database of subjects, what every keyed hash will be
    rotated     the entry, and the key's check with it: from here on the new key is the key
    rekeyed     the hashes are what was staged; requests that wait keep theirs, with what they lead to
    KEY         is the new one; the old one is gone
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select, update

from accountant.ledger.backends import Row
from accountant.ledger.book import writing
from accountant.ledger.database import Database
from accountant.ledger.lease import Lease
from accountant.ledger.schema import DONE, ENTRIES, FAILED, LEDGER, RELEASED, REQUESTS, RUNS, WAITING
from accountant.ledger.settings import Settings
from accountant.ledger.staging import DamageError
from accountant.ledger.state import OPEN
from accountant.ledger.subjects import Key, Subjects
from accountant.numerics import InputError, sync_folder


@dataclass(frozen=True, kw_only=True)
class Rotated:
    """What became of a key. entry: number of the entry; subjects: that are called otherwise now; waiting: requests among theirs
    that stay known; answered: that nobody can look up by name any more. key: the file.
    """

    entry: int
    subjects: int
    waiting: int
    answered: int
    key: str


def current_key(settings: Settings, ledger: str, check: str) -> Key:
    """The key in force, which a crash may have left in the file of the next one."""
    try:
        return Key.read(settings.key, ledger, check)
    except InputError:
        with suppress(InputError):
            return Key.read(_next(settings), ledger, check)
        raise


def settle(connection: Connection, settings: Settings, subjects: Subjects, ledger: str) -> str:
    """Finish what a crash left of a new key, as far as it was recorded; returns the check of the key in force.

    DamageError where the subjects are of another moment than the ledger.
    """
    check = str(connection.scalar(select(LEDGER.c.key_check)))
    subjects.rekey(check, _open_hashes(connection) if check in subjects.key_checks() else ())
    of = [each for each, done in subjects.key_checks().items() if done]
    first = str(connection.scalar(select(ENTRIES.c.body).where(ENTRIES.c.number == 0)) or "")
    if of != [check] and (of or f'"key_check":"{check}"' not in first):
        when = "after" if of else "before"
        raise DamageError(
            f"subjects {settings.subjects} are from {when} the key was replaced, and this ledger is not: "
            "restore both of the same moment"
        )
    _put_in_place(settings, ledger, check)
    return check


def _put_in_place(settings: Settings, ledger: str, check: str) -> None:
    staged = Path(_next(settings))
    if staged.exists():
        # One that never came into force stays until the next is made; who may not write beside it leaves it, too.
        with suppress(InputError, OSError):
            Key.read(os.fspath(staged), ledger, check)
            os.replace(staged, settings.key)
            sync_folder(staged.parent)


def rotate(
    database: Database, settings: Settings, lease: Lease, subjects: Subjects, ledger: str, *,
    names: Mapping[str, Sequence[Row]], lost: bool, operator: str,
) -> Rotated:  # fmt: skip
    """A new key in the place of the one in force. names: what everybody is called who is known, with his rows, by which he is
    found where the key is lost; else nobody's rows are needed. Raises InputError, with nothing changed, where one is missing.
    """
    with database.reading() as connection:
        check = settle(connection, settings, subjects, ledger)
        if connection.scalar(select(func.count()).select_from(RUNS).where(RUNS.c.state.not_in((DONE, FAILED)))):
            raise InputError("key cannot be replaced while a run is not finished: accountant ledger process finishes it")
    old = None if lost else Key.read(settings.key, ledger, check)
    called = _called(subjects.everything(), names, old)
    staged = _next(settings)
    Path(staged).unlink(missing_ok=True)
    new = Key.create(staged, ledger)
    sync_folder(Path(staged).parent)
    subjects.stage(new.check(), {hashed: new.of(name) for hashed, name in called.items()})
    with writing(database) as page:
        lease.check(page)
        count = select(func.count()).select_from(REQUESTS)
        waiting, received = (
            int(page.connection.scalar(each) or 0) for each in (count.where(REQUESTS.c.state == WAITING), count)
        )
        body: dict[str, Any] = {
            "old": check, "new": new.check(), "subjects": len(called), "waiting": waiting, "answered": received - waiting,
            "lost": lost, "operator": operator,
        }  # fmt: skip
        entry = page.append("rotated", body).number
        page.connection.execute(update(LEDGER).values(key_check=new.check()))
    with database.reading() as connection:
        settle(connection, settings, subjects, ledger)
    return Rotated(entry=entry, subjects=len(called), waiting=waiting, answered=received - waiting, key=settings.key)


def _next(settings: Settings) -> str:
    return f"{settings.key}.new"


def _open_hashes(connection: Connection) -> list[str]:
    """Of requests that are not answered, or whose purge is still to come."""
    unpurged = select(RUNS.c.number).where(RUNS.c.state == RELEASED)
    query = select(REQUESTS.c.subject).where(REQUESTS.c.state.in_(OPEN) | REQUESTS.c.run.in_(unpurged))
    return [str(hashed) for hashed in connection.scalars(query)]


def _called(known: Sequence[tuple[str, Sequence[Row]]], names: Mapping[str, Sequence[Row]], old: Key | None) -> dict[str, str]:
    """Keyed hashes of all who are known, with their names."""
    if old is not None:
        by_hash = {old.of(name): name for name in names}
        found = {hashed: by_hash[hashed] for hashed, _ in known if hashed in by_hash}
    else:
        by_row = {row: name for name, rows in names.items() for row in rows}
        found = {}
        for hashed, rows in known:
            whose = {by_row.get(row) for row in rows}
            name = whose.pop()
            if not whose and name is not None:
                found[hashed] = name
        if len(set(found.values())) < len(found):
            raise InputError(
                "subjects must say of every row whose it is, got one name for the rows of two whom the ledger knows"
            )
    missing = len(known) - len(found)
    if missing:
        by = "by their rows" if old is None else "by name"
        raise InputError(
            f"subjects must name everybody whom the ledger knows, got {len(found)} of {len(known)} {by}: nothing was changed"
        )
    return found
