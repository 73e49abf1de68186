"""Who has which rows, and the key under which the ledger knows them: both apart from the ledger, and from each other.

    keyed hash = HMAC-SHA256(key, "subject" 00 ledger's id 00 what the subject is called)

Who has the ledger alone can tell of nobody whether he is in it; who has the key, too, can ask of one whom he can name.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, Table, delete, func, insert, inspect, select, update

from accountant.ledger.backends import Row
from accountant.ledger.database import Database, in_parts
from accountant.ledger.schema import ANNOUNCED, APART, FORMER, ORIGIN, REKEYED, ROTATION, SUBJECTS
from accountant.numerics import InputError, all_bytes

#: Bytes of a key.
_KEY: Final = 32
#: Rows that are put in by one statement.
_AT_ONCE: Final = 10_000


class Key:
    """The key of a ledger; it shows itself to nobody."""

    def __init__(self, secret: bytes, ledger: str) -> None:
        self._secret, self._ledger = secret, ledger.encode()

    def __repr__(self) -> str:
        return "Key(...)"

    def __reduce__(self) -> str:
        raise TypeError("a key is not copied to other processes: read its file there")

    @classmethod
    def create(cls, path: str, ledger: str) -> Key:
        """A new key in a new file of mode 0600, 64 hexadecimal digits."""
        secret = secrets.token_bytes(_KEY)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(handle, "w") as file:
                file.write(secret.hex() + "\n")
                file.flush()
                os.fsync(handle)
        except FileExistsError:
            raise InputError(f"key file {path} is there already: the model has a ledger, or had one") from None
        except OSError as error:
            raise InputError(f"key file {path} cannot be made: {error.strerror}") from None
        return cls(secret, ledger)

    @classmethod
    def read(cls, path: str, ledger: str, check: str) -> Key:
        """The key of a ledger from its file; InputError, which repeats nothing of it, for any other."""
        content = all_bytes("key", path, 1024)
        try:
            secret = bytes.fromhex(content.decode("ascii"))
        except ValueError:
            secret = b""
        if len(secret) != _KEY:
            raise InputError(f"key file {path} must hold {2 * _KEY} hexadecimal digits, got something else")
        key = cls(secret, ledger)
        if not hmac.compare_digest(key.check(), check):
            raise InputError(f"key file {path} holds the key of another ledger")
        return key

    def check(self) -> str:
        """What the ledger keeps to know its key again."""
        return self._of(b"ledger")

    def of(self, subject: str) -> str:
        """The keyed hash of a subject, 64 hexadecimal digits."""
        return self._of(b"subject", subject.encode("utf-8", "surrogatepass"))

    def _of(self, purpose: bytes, *parts: bytes) -> str:
        return hmac.new(self._secret, b"\0".join([purpose, self._ledger, *parts]), hashlib.sha256).hexdigest()


class Subjects:
    """The database of who has which rows: keyed hash of a subject to a list of rows."""

    def __init__(self, address: str, *, create: bool = False) -> None:
        self.database = Database(address, name="subjects", create=create and "://" not in address, journal="DELETE")

    @classmethod
    def create(
        cls, address: str, ledger: str, known: Iterable[tuple[str, Sequence[Row]]], *, dead: Sequence[str] = ()
    ) -> Subjects:
        """A new one. known: keyed hashes with their rows. dead: ids of ledgers that never began, whose subjects may go."""
        made = cls(address, create=True)
        with made.database.writing() as connection:
            APART.create_all(connection)
            if connection.scalar(select(ORIGIN.c.ledger)) in dead:
                for table in APART.sorted_tables:
                    connection.execute(delete(table))
            if connection.scalar(select(func.count()).select_from(ORIGIN)):
                raise InputError(f"subjects {made.database.shown} belong to another ledger")
            connection.execute(insert(ORIGIN), {"ledger": ledger})
            _insert(connection, known)
        return made

    @classmethod
    def open(cls, address: str, ledger: str) -> Subjects:
        """That of a ledger; InputError where it is another's."""
        found = cls(address)
        with found.database.reading() as connection:
            complete = inspect(connection).has_table(ROTATION.name)
            if connection.scalar(select(ORIGIN.c.ledger)) != ledger:
                raise InputError(f"subjects {found.database.shown} belong to another ledger")
        if not complete:
            with found.database.writing() as connection:
                APART.create_all(connection)
        return found

    def close(self) -> None:
        self.database.close()

    def announce(self, known: Iterable[tuple[str, Sequence[Row]]]) -> None:
        """Those that are about to join, instead of others that were."""
        with self.database.writing() as connection:
            connection.execute(delete(ANNOUNCED))
            _insert(connection, known, ANNOUNCED)

    def admit_announced(self) -> None:
        """They have joined. To be called again at will."""
        with self.database.writing() as connection:
            new = select(ANNOUNCED).where(ANNOUNCED.c.subject.not_in(select(SUBJECTS.c.subject)))
            connection.execute(insert(SUBJECTS).from_select(["subject", "rows"], new))
            connection.execute(delete(ANNOUNCED))

    def forget_announced(self) -> None:
        """They have not."""
        with self.database.reading() as connection:
            some = connection.scalar(select(func.count()).select_from(ANNOUNCED))
        if some:
            with self.database.writing() as connection:
                connection.execute(delete(ANNOUNCED))

    def rows(self, subjects: Sequence[str]) -> dict[str, list[Row]]:
        """The rows of those that are there, as they are hashed now or were when their requests came."""
        with self.database.reading() as connection:
            return self._found(connection, subjects)

    def count(self) -> int:
        """How many there are."""
        with self.database.reading() as connection:
            return int(connection.scalar(select(func.count()).select_from(SUBJECTS)) or 0)

    def formers(self, subjects: Sequence[str]) -> dict[str, list[str]]:
        """The keyed hashes under which these have asked before the key was replaced, and wait."""
        found: dict[str, list[str]] = {}
        with self.database.reading() as connection:
            for some in in_parts(subjects):
                for former, subject in connection.execute(select(FORMER).where(FORMER.c.subject.in_(some))):
                    found.setdefault(subject, []).append(former)
        return found

    def everything(self) -> list[tuple[str, list[Row]]]:
        """All of them, with their rows."""
        with self.database.reading() as connection:
            return [(subject, json.loads(rows)) for subject, rows in connection.execute(select(SUBJECTS))]

    def purge(self, subjects: Sequence[str]) -> None:
        """Remove these, overwrite where they were, and give the space back; who is not there is gone already."""
        with self.database.writing() as connection:
            gone = [*subjects, *_now(connection, subjects).values()]
            for some in in_parts(gone):
                connection.execute(delete(SUBJECTS).where(SUBJECTS.c.subject.in_(some)))
                connection.execute(delete(FORMER).where(FORMER.c.subject.in_(some)))
        self.database.vacuum(SUBJECTS.name, FORMER.name)

    # --- Where the key is replaced
    def key_checks(self) -> dict[str, bool]:
        """Of which key the hashes are (True), and are perhaps to be (False); nothing: of the first one."""
        with self.database.reading() as connection:
            return {check: bool(done) for check, done in connection.execute(select(ROTATION))}

    def stage(self, check: str, successors: Mapping[str, str]) -> None:
        """What every keyed hash will be under the key with this check; nothing changes yet."""
        with self.database.writing() as connection:
            connection.execute(delete(REKEYED))
            # Until then they are of the key that they are of.
            connection.execute(delete(ROTATION).where(ROTATION.c.done.is_(False)))
            values = [{"subject": subject, "successor": new} for subject, new in sorted(successors.items())]
            for at in range(0, len(values), _AT_ONCE):
                connection.execute(insert(REKEYED), values[at : at + _AT_ONCE])
            connection.execute(insert(ROTATION), {"key_check": check, "done": False})

    def rekey(self, check: str, waiting: Iterable[str]) -> None:
        """Change all hashes to what was staged for this key. waiting: those of requests that are not answered yet, which keep
        theirs. To be called again at will: what is done, or is of another key, stays."""
        if self.key_checks().get(check) is not False:
            return
        with self.database.writing() as connection:
            # Alone on PostgreSQL, too.
            connection.execute(select(ORIGIN).with_for_update()).one()
            mine = connection.scalar(select(ROTATION.c.done).where(ROTATION.c.key_check == check))
            if mine is not False:
                return
            _keep_formers(connection, waiting)
            both = select(REKEYED.c.successor, SUBJECTS.c.rows).join(SUBJECTS, SUBJECTS.c.subject == REKEYED.c.subject)
            connection.execute(insert(SUBJECTS).from_select(["subject", "rows"], both))
            connection.execute(delete(SUBJECTS).where(SUBJECTS.c.subject.in_(select(REKEYED.c.subject))))
            connection.execute(delete(REKEYED))
            connection.execute(delete(ROTATION).where(ROTATION.c.key_check != check))
            connection.execute(update(ROTATION).values(done=True))
        self.database.vacuum(SUBJECTS.name, FORMER.name, REKEYED.name)

    @staticmethod
    def _found(connection: Connection, subjects: Sequence[str]) -> dict[str, list[Row]]:
        now = _now(connection, subjects)
        stored: dict[str, list[Row]] = {}
        for some in in_parts([*subjects, *now.values()]):
            query = select(SUBJECTS.c.subject, SUBJECTS.c.rows).where(SUBJECTS.c.subject.in_(some))
            stored |= {subject: json.loads(rows) for subject, rows in connection.execute(query)}
        named = ((subject, now.get(subject, subject)) for subject in subjects)
        return {subject: stored[current] for subject, current in named if current in stored}


def _now(connection: Connection, subjects: Sequence[str]) -> dict[str, str]:
    """Of keyed hashes from before the key was replaced, what they are now."""
    found: dict[str, str] = {}
    for some in in_parts(subjects):
        found |= {row.former: row.subject for row in connection.execute(select(FORMER).where(FORMER.c.former.in_(some)))}
    return found


def _keep_formers(connection: Connection, waiting: Iterable[str]) -> None:
    """Of requests that wait, what their hashes lead to under the next key."""
    before = {row.former: row.subject for row in connection.execute(select(FORMER))}
    successors = {row.subject: row.successor for row in connection.execute(select(REKEYED))}
    connection.execute(delete(FORMER))
    values = [{"former": old, "subject": successors.get(before.get(old, old))} for old in waiting]
    values = [value for value in values if value["subject"] is not None]
    for at in range(0, len(values), _AT_ONCE):
        connection.execute(insert(FORMER), values[at : at + _AT_ONCE])


def purge_digest(subjects: Iterable[str]) -> str:
    """SHA-256 of keyed hashes, sorted, a line each: what the entry of a purge holds."""
    whole = hashlib.sha256()
    for subject in sorted(subjects):
        whole.update(subject.encode() + b"\n")
    return whole.hexdigest()


def hashed(key: Key, known: Mapping[str, Sequence[Row]]) -> list[tuple[str, Sequence[Row]]]:
    """Subjects by name as their keyed hashes; InputError for one without rows, and for rows of two subjects."""
    seen: set[Row] = set()
    for subject, rows in known.items():
        if not rows:
            raise InputError(f"subjects must have a row each, got none for {subject!r}")
        twice = [row for row in rows if row in seen]
        seen.update(rows)
        if twice or len(set(rows)) < len(rows):
            raise InputError(f"subjects must have rows of their own, got row {twice[0] if twice else rows[0]!r} twice")
    return [(key.of(subject), rows) for subject, rows in known.items()]


def _insert(connection: Connection, known: Iterable[tuple[str, Sequence[Row]]], table: Table = SUBJECTS) -> None:
    values = [{"subject": subject, "rows": json.dumps(list(rows))} for subject, rows in known]
    # Without an order nobody can tell who is who from the place in the file.
    values.sort(key=lambda value: value["subject"])
    for at in range(0, len(values), _AT_ONCE):
        connection.execute(insert(table), values[at : at + _AT_ONCE])
