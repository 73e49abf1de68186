"""Beginning a ledger: the key, who has which rows, the folder, the database; all of them are made, or none.

While they are made a note beside the model says which; a process that is killed leaves it, and who begins next removes what it
names. A second file beside the model says to which ledger it belongs: of two, neither would know what the other has run.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from accountant._version import __version__
from accountant.ledger.backends import Row
from accountant.ledger.book import writing
from accountant.ledger.database import SQLITE, Clock, Database, url_of
from accountant.ledger.migrating import migrate
from accountant.ledger.schema import LEDGER
from accountant.ledger.settings import Settings
from accountant.ledger.staging import DamageError
from accountant.ledger.subjects import Key, Subjects, hashed
from accountant.numerics import InputError, atomic_file, locked_file, remove_unfinished, sync_folder

#: What SQLite has beside a database.
_SIDES = ("", "-wal", "-shm", "-journal")


def begin(
    database: str | PathLike[str],
    settings: Settings,
    ledger: str,
    *,
    model: str,
    subjects: Mapping[str, Sequence[Row]],
    operator: str,
    clock: Clock | None,
    instead: bool,
) -> None:
    """Make all that a ledger of this id needs; what was made goes again if one part of it cannot be.

    model: the digest of its file. instead: the model may have another ledger, which can run nothing from now on.
    """
    with _alone(settings.model_path):
        note = _Note(settings.model_path)
        note.tidy(database)
        try:
            create = _is_new(database)
            _check_no_other(settings.model_path, instead)
            note.write(ledger, _shown(database), _new_files(database, settings, create))
            key = Key.create(settings.key, ledger)
            known = hashed(key, subjects)
            Subjects.create(settings.subjects, ledger, known, dead=note.dead).close()
            Path(settings.certificates).mkdir(mode=0o700, parents=True, exist_ok=True)
            where = Database(database, create=create, clock=clock)
            try:
                _write_beginning(where, settings, model, ledger, key, len(known), operator)
            finally:
                where.close()
        except BaseException:
            note.undo()
            raise
        own(settings.model_path, ledger)
        note.remove()


def _check_no_other(model: Path, instead: bool) -> None:
    owner = owner_of(model)
    if owner is not None and not instead:
        raise InputError(
            f"model {model} has a ledger already (id {owner}): of two neither would know what the other has run; where that "
            "one is lost, accountant ledger init --instead makes this one its successor"
        )


@contextmanager
def _alone(model: Path) -> Iterator[None]:
    try:
        with locked_file(f"{model}.beginning", wait=0):
            yield
    except OSError as error:
        if error.errno == errno.EAGAIN:
            raise InputError(f"model {model} is being given a ledger by another process") from None
        raise InputError(f"{model.parent} cannot be written to: {error.strerror}") from None


class _Note:
    """What is being made, on the disk before it is. dead: ids of ledgers that never began."""

    def __init__(self, model: Path) -> None:
        self._path, self._owner = model.with_name(f".{model.name}.beginning"), _owner_path(model)
        self.dead: list[str] = []
        self._files: list[str] = []

    def tidy(self, database: str | PathLike[str]) -> None:
        """Remove what somebody who was killed left, but not yet the note. database: where a ledger is to be now."""
        for path in (self._path, self._owner):
            remove_unfinished(path)
        try:
            left = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return
        except ValueError:
            raise InputError(f"{self._path} cannot be read: remove it, and what a killed init left beside it") from None
        if "://" in left["db"] and left["db"] != _shown(database):
            raise InputError(
                f"db must be {left['db']}, where an init of this model was killed: whether its ledger has begun is to be seen "
                "there"
            )
        if not _has_begun(left["db"], database, left["ledger"]):
            self.dead, self._files = [*left["dead"], left["ledger"]], left["files"]
            _remove(self._files)
        self._files = []

    def write(self, ledger: str, database: str, files: list[str]) -> None:
        content = {"ledger": ledger, "dead": self.dead, "db": database, "files": files}
        _write(self._path, json.dumps(content))
        self._files = files

    def undo(self) -> None:
        _remove(self._files)
        self.remove()

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
        sync_folder(self._path.parent)


def _remove(files: Sequence[str]) -> None:
    for path in files:
        for end in _SIDES:
            Path(path + end).unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    with atomic_file(path, mode=0o600, sync=True, secret=True) as part:
        part.write_text(text)


def _shown(database: str | PathLike[str]) -> str:
    """An address without a password."""
    url = url_of(database)
    return str(url.database) if url.get_backend_name() == SQLITE else url.render_as_string(hide_password=True)


def _has_begun(left: str, database: str | PathLike[str], ledger: str) -> bool:
    """Whether the ledger of a note is there: killed was who began it after that."""
    if "://" not in left and not Path(left).exists():
        return False
    return _held(database if "://" in left else left) == ledger


def _held(address: str | PathLike[str]) -> str | None:
    """The id of the ledger in a database."""
    where = Database(address)
    try:
        return None if where.revision() is None else _id_in(where)
    finally:
        where.close()


def _id_in(database: Database) -> str | None:
    with database.reading() as connection:
        return connection.scalar(select(LEDGER.c.id))


def _new_files(database: str | PathLike[str], settings: Settings, create: bool) -> list[str]:
    """Those that are not there; InputError where there is a key."""
    if os.path.lexists(settings.key):
        raise InputError(f"key file {settings.key} is there already: the model has a ledger, or had one")
    new = [settings.key]
    new += [settings.subjects] if "://" not in settings.subjects and not os.path.lexists(settings.subjects) else []
    return [*new, _shown(database)] if create else new


def _is_new(database: str | PathLike[str]) -> bool:
    """Whether a SQLite file is to be made; InputError where one is there, and where a database holds a ledger."""
    url = url_of(database)
    if url.get_backend_name() != SQLITE:
        if _held(database) is not None:
            raise InputError(f"db {_shown(database)} holds a ledger already")
        return False
    path = str(url.database)
    if Path(path).exists():
        raise InputError(f"db {path} is there already: a ledger begins in a new file")
    return True


def _write_beginning(
    database: Database, settings: Settings, model: str, ledger: str, key: Key, subjects: int, operator: str
) -> None:
    # Tables without a ledger are those of somebody who was killed.
    if database.revision() is not None and _id_in(database) is not None:
        raise InputError(f"db {database.shown} holds a ledger already")
    database.check_durable()
    with database.writing() as connection:
        migrate(connection)
    with writing(database) as page:
        text = settings.to_json()
        page.connection.execute(insert(LEDGER), {"id": ledger, "settings": text, "key_check": key.check()})
        body: dict[str, Any] = {
            "ledger": ledger, "settings": settings.public, "key_check": key.check(), "model": model, "subjects": subjects,
            "version": __version__, "operator": operator,
        }  # fmt: skip
        page.append("begun", body)


# --- To which ledger a model belongs
def _owner_path(model: Path) -> Path:
    return model.with_name(f".{model.name}.ledger")


def owner_of(model: Path) -> str | None:
    """The id of the ledger that a model belongs to, as the file beside it says; None where there is none."""
    try:
        return _owner_path(model).read_text(errors="replace").strip()[:64] or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{_owner_path(model)} cannot be read: {error.strerror}") from None


def own(model: Path, ledger: str) -> None:
    """Say that a model belongs to a ledger."""
    _write(_owner_path(model), ledger + "\n")


def check_owner(model: Path, ledger: str) -> None:
    """DamageError where the model belongs to another ledger; where nothing is said, as after a restore, it is this one's."""
    owner = owner_of(model)
    if owner is None:
        own(model, ledger)
    elif owner != ledger:
        raise DamageError(
            f"model {model} belongs to another ledger (id {owner}, as {_owner_path(model).name} beside it says), and this is "
            f"ledger {ledger}: go on with the other one, or put back the model of this one"
        )
