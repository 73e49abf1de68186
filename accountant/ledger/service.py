"""The ledger as users have it: made, opened, asked and worked on."""

from __future__ import annotations

import getpass
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, select

from accountant.ledger.adding import Added, Asked, checked_subjects, receive, refuse
from accountant.ledger.backends import Backend, Checking, Joining, Naming, Numbering, Row, backend_of
from accountant.ledger.beginning import begin, check_owner
from accountant.ledger.book import writing
from accountant.ledger.certifying import Certified, Certifier
from accountant.ledger.chain import Entry
from accountant.ledger.database import Clock, Database, streamed
from accountant.ledger.lease import leased
from accountant.ledger.outlook import Outlook, outlook_of
from accountant.ledger.reporting import REQUESTS_LISTED, Report, reported
from accountant.ledger.rotating import Rotated, current_key, rotate, settle
from accountant.ledger.schema import ENTRIES, LEDGER
from accountant.ledger.settings import Settings, absolute, beside
from accountant.ledger.staging import file_digest
from accountant.ledger.state import Status, status_of
from accountant.ledger.subjects import Key, Subjects, hashed
from accountant.ledger.verifying import Verified, verify
from accountant.ledger.worker import Processed
from accountant.numerics import InputError


class Ledger:
    """A ledger of deletion requests; a context manager that closes it.

    database: a SQLite file or a URL. read_only: for ``status``, ``entries`` and ``verify``, which need no key. places: where
    model, key, subjects, certificates and sign are now, if they have moved since ``create``. operator: who is recorded as
    acting; default the user of the system. clock: instead of the database's, microseconds since 1970.

    Raises InputError for a database that holds no ledger or one of a newer version, DatabaseError where it cannot be had.

    with Ledger("deletions.db") as ledger:
        ledger.add(["a17", "b02"])
        ledger.process()
    """

    def __init__(
        self,
        database: str | PathLike[str],
        *,
        read_only: bool = False,
        operator: str | None = None,
        clock: Clock | None = None,
        places: Mapping[str, str] | None = None,
    ) -> None:
        self._database = Database(database, read_only=read_only, clock=clock)
        self.operator = operator if operator is not None else _user()
        self._key: Key | None = None
        self._subjects: Subjects | None = None
        try:
            self._database.check_revision(read_only=read_only)
            with self._database.reading() as connection:
                row = connection.execute(select(LEDGER)).one_or_none()
            if row is None:
                raise InputError(f"db {self._database.shown} holds no ledger: accountant ledger init makes one")
            self.id = str(row.id)
            self.settings = Settings.from_json(row.settings).at(places or {})
        except BaseException:
            self._database.close()
            raise

    @classmethod
    def create(
        cls,
        database: str | PathLike[str],
        *,
        model: str | PathLike[str],
        subjects: Mapping[str, Sequence[Row]] | None = None,
        key: str | None = None,
        subjects_database: str | None = None,
        certificates: str | None = None,
        operator: str | None = None,
        clock: Clock | None = None,
        instead: bool = False,
        **settings: Any,
    ) -> Self:
        """A new ledger of a model, which is ``begun`` with the digest of its file.

        subjects: who has which rows, by name; default: those of the model, a subject each. key, subjects_database,
        certificates: files that are made now, and a folder; default beside the model, ending in .key, .subjects.db and
        .certificates. instead: the model may have another ledger, which this one replaces. settings: those of
        :class:`~accountant.ledger.Settings`, such as deadline in seconds and backend.
        """
        path = str(Path(model).resolve())
        if settings.get("sign") is not None:
            settings["sign"] = absolute(settings["sign"])
        chosen = Settings(
            model=path,
            key=absolute(key or beside(path, ".key")),
            subjects=absolute(subjects_database or beside(path, ".subjects.db")),
            certificates=absolute(certificates or beside(path, ".certificates")),
            **settings,
        )
        digest = file_digest(Path(path))
        backend = backend_of(chosen)
        if isinstance(backend, Checking):
            backend.check()
        if subjects is None:
            if not isinstance(backend, Naming):
                raise InputError(f"subjects must be given with backend {chosen.backend}: who has which rows")
            subjects = backend.subjects()
        if isinstance(backend, Numbering):
            backend.check_rows(row for rows in subjects.values() for row in rows)
        begin(
            database, chosen, secrets.token_hex(16), model=digest, subjects=subjects, clock=clock, instead=instead,
            operator=operator if operator is not None else _user(),
        )  # fmt: skip
        return cls(database, operator=operator, clock=clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all connections and of the key."""
        self._database.close()
        if self._subjects is not None:
            self._subjects.close()
        self._key = self._subjects = None

    def add(self, subjects: Sequence[str], *, urgent: bool = False, due: int | None = None) -> list[Added]:
        """Record a request for each of these subjects, in one transaction; one that is there already stays one.

        urgent: the next ``process`` acts at once. due: microseconds since 1970, default the deadline from now. Raises
        InputError, with nothing recorded, for a subject that is not known and for a due date that has passed.
        """
        names = checked_subjects(subjects)
        # Before anybody waits for this one.
        _, known = self.key, self._known()
        with writing(self._database) as page:
            # Not before: who is purged meanwhile is known to be, and the key may be another one.
            hashes = self._hashes(page.connection, names)
            rows, former = known.rows(hashes), known.formers(hashes)
            asked = [Asked(name, each, rows.get(each), former.get(each, ())) for name, each in zip(names, hashes, strict=True)]
            if due is None:
                # By the clock as it is: after one that ran ahead, times stay there, and a deadline must not.
                due = page.clock + int(self.settings.deadline * 1e6)
            elif due <= page.clock:
                ago = f"a time that has passed, {(page.clock - due) / 8.64e10:.1f} days ago"
                raise InputError(f"due must be in the future by the database's clock, got {ago}")
            return receive(page, asked, due=due, urgent=urgent, operator=self.operator)

    def status(self) -> Status:
        """What waits and when it is due, from the tables alone: no model is read."""
        return status_of(self._database)

    def report(self, *, requests: int = REQUESTS_LISTED) -> AbstractContextManager[Report]:
        """What an outsider is told, of one moment, while the block lasts; requests: how many of the last ones, and of runs."""
        return reported(self._database, requests)

    def outlook(self, backend: Backend | None = None) -> Outlook:
        """What waiting saves, and whether learning again is cheaper; reads the model through the backend, changes nothing."""
        return outlook_of(self._database, self.settings, backend_of(self.settings) if backend is None else backend)

    def process(
        self,
        backend: Backend | None = None,
        *,
        everything: bool = False,
        refit_when_cheaper: bool = False,
        at_most: int | None = None,
    ) -> Processed:
        """Finish what a crash left, then run what is due, if anything is: all that waits, in one run.

        backend: default that of the settings. everything: do not wait for the deadline. refit_when_cheaper: learn again
        instead, if that takes fewer steps, or no number of steps is enough. at_most: records in one run; default all. Raises
        BusyError where another worker is at it, DamageError where the files are not what the ledger says.
        """
        with self._working(backend) as worker:
            return worker.process(everything=everything, refit_when_cheaper=refit_when_cheaper, at_most=at_most)

    def refit(self, backend: Backend | None = None) -> Processed:
        """Learn again without the rows of all that waits, and from the start; the guarantees then begin anew."""
        with self._working(backend) as worker:
            return worker.refit()

    def join(self, change: Callable[[Path], object], subjects: Mapping[str, Sequence[Row]]) -> Processed:
        """Let records join: ``change`` gets the path of the model file and returns the model with them, which is saved.

        It may also return the path of a file that holds that model, which is copied: other trainers make one.

        subjects: who has which of the new rows, by name; none that the ledger knows already. What ``change`` raises is recorded
        and raised as RunFailedError.

        As in ``ledger.join(lambda path: PNSGDClassifier.load(path).learn_more(X, y, ids=["n1"]), {"n1": ["n1"]})``.
        """
        with self._working(None) as worker:
            return worker.join(change, hashed(self.key, subjects))

    def join_rows(
        self,
        features: Any,
        labels: Sequence[Any],
        subjects: Mapping[str, Sequence[Row]],
        *,
        ids: Sequence[Row],
        columns: Sequence[str] | None = None,
        epochs: int = 1,
    ) -> Processed:
        """Let records join by ``learn_more`` of the estimator: features (k, d), labels (k,), what each is called (k,).

        columns: what the features are called, if the model was fitted with names; subjects as for :meth:`join`. Raises
        InputError for a backend that learns elsewhere.
        """
        backend = backend_of(self.settings)
        if not isinstance(backend, Joining):
            raise InputError(f"backend {self.settings.backend} learns elsewhere: give the model that it made as model")
        return self.join(lambda _: backend.join(features, labels, ids=ids, columns=columns, epochs=epochs), subjects)

    def rotate_key(self, subjects: Mapping[str, Sequence[Row]] | None = None, *, lost: bool = False) -> Rotated:
        """A new key instead of the old one, which is gone then: see :mod:`accountant.ledger.rotating`.

        subjects: everybody whom the ledger knows, by name; those whom the model names need not be said. lost: the old key is
        gone, so everybody is known by his rows, which ``subjects`` must have then. Raises InputError, with nothing changed,
        where somebody is not named and while a run is not finished.
        """
        backend = backend_of(self.settings)
        names = {**(backend.subjects() if isinstance(backend, Naming) else {}), **(subjects or {})}
        with self._working(None) as worker:
            try:
                return rotate(
                    self._database, self.settings, worker.lease, self._known(), self.id, names=names, lost=lost,
                    operator=self.operator,
                )  # fmt: skip
            finally:
                self._key = None

    def certify(self) -> tuple[Certified, ...]:
        """Make the certificates that released runs did without, where it can be done still; says of each what became of it."""
        with self._working(None) as worker:
            return worker.certify()

    def refuse(self, subject: str, reason: str) -> int:
        """Record that a waiting request is refused, and why; returns its number."""
        if not reason:
            raise InputError("reason must say why the request is refused, got nothing")
        with writing(self._database) as page:
            (own,) = self._hashes(page.connection, [subject])
            hashes = [own, *self._known().formers([own]).get(own, ())]
            return refuse(page, subject, hashes, reason=reason, operator=self.operator)

    def entries(self, first: int = 0) -> Iterator[Entry]:
        """All entries from this number on, as they are stored, without checking them."""
        with self._database.reading() as connection:
            query = select(ENTRIES).where(ENTRIES.c.number >= first).order_by(ENTRIES.c.number)
            with closing(streamed(connection, query)) as rows:
                for row in rows:
                    yield Entry(*row)

    def verify(self, *, head: str | None = None, certificates: int | None = 0, model: bool = True) -> Verified:
        """Whether all is as it was written: the chain, what follows from it, the files. See :class:`Verified`.

        head: NUMBER:DIGEST that ``status`` gave before, which the chain must go through. certificates: how many to check with
        the checker, the latest first; None: all. model: whether the model's and certificates' files are to be read.
        """
        return verify(self._database, self.settings, head=head, certificates=certificates, files=model)

    @property
    def key(self) -> Key:
        """The key in force, read from its file."""
        with self._database.reading() as connection:
            return self._key_in(connection)

    def _key_in(self, connection: Connection) -> Key:
        """The key of this moment: another program may have replaced it since."""
        check = str(connection.scalar(select(LEDGER.c.key_check)))
        if self._key is None or self._key.check() != check:
            self._key = current_key(self.settings, self.id, check)
        settle(connection, self.settings, self._known(), self.id)
        return self._key

    def _hashes(self, connection: Connection, names: Sequence[str]) -> list[str]:
        key = self._key_in(connection)
        return [key.of(name) for name in names]

    def _known(self) -> Subjects:
        if self._subjects is None:
            self._subjects = Subjects.open(self.settings.subjects, self.id)
        return self._subjects

    @contextmanager
    def _working(self, backend: Backend | None) -> Iterator[Certifier]:
        """A worker that has the lease. A backend that is given stays the same object; else every run has a new one."""
        made: list[Backend] = [] if backend is None else [backend]

        def own() -> Backend:
            if not made:
                made.append(backend_of(self.settings))
            return made[0]

        with leased(self._database, self.settings, self.id) as lease:
            check_owner(self.settings.model_path, self.id)
            with self._database.reading() as connection:
                settle(connection, self.settings, self._known(), self.id)
            yield Certifier(self._database, self.settings, lease, self._known, own, self.operator)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
