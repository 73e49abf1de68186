"""Runs, phase by phase: intent, run, saved, in place, released, purged. Every phase is on the disk before the next begins.

A crash leaves a run in one of these states, which ``Worker.recover`` (worker.py) finishes: before ``saved`` the new model is
thrown away and the same requests run again, with fresh noise and an intent of their own; after it that very model is released,
and nothing runs.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Row as Record
from sqlalchemy import insert, select, update

from accountant._version import __version__
from accountant.ledger.backends import (
    Backend,
    Certifying,
    Following,
    Plan,
    Result,
    Row,
    RunFailedError,
    Stopping,
    checked_result,
)
from accountant.ledger.book import Page, writing
from accountant.ledger.chain import CLOSES, spans
from accountant.ledger.database import Database, DatabaseError
from accountant.ledger.guarding import guarded
from accountant.ledger.lease import Lease, LeaseLostError
from accountant.ledger.past import past_of
from accountant.ledger.schema import (
    DONE,
    ENTRIES,
    FAILED,
    RELEASED,
    REQUESTS,
    RUNNING,
    RUNS,
    SAVED,
    WAITING,
)
from accountant.ledger.settings import Settings
from accountant.ledger.staging import DamageError, copy_new, digest_there, discard, filed, place, sealed, staged_path
from accountant.ledger.state import model_digest
from accountant.ledger.subjects import Subjects, purge_digest
from accountant.numerics import InputError, UnreachableError


@dataclass(frozen=True)
class Waiting:
    """A request that a run answers."""

    number: int
    subject: str
    due: int
    urgent: bool


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run did. number: of its intent; requests: their numbers; certificate: its digest; without: why none."""

    number: int
    what: str
    requests: tuple[int, ...]
    steps: int
    statement: str
    epsilon: float | None
    delta: float | None
    certificate: str | None
    without: str | None


class Phases:
    """What a worker does, one phase after the other; the parts are put together in :mod:`accountant.ledger.service`."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        lease: Lease,
        subjects: Callable[[], Subjects],
        backend: Callable[[], Backend],
        operator: str,
    ) -> None:
        self.database, self.settings, self.lease, self.operator = database, settings, lease, operator
        self._subjects, self.backend = subjects, backend

    @property
    def model(self) -> Path:
        return self.settings.model_path

    def rows(self, requests: Sequence[Waiting]) -> list[Row]:
        """The rows of these requests; DamageError where their subjects are not there, though nothing released them."""
        known = self._subjects().rows([request.subject for request in requests])
        lost = [request.number for request in requests if request.subject not in known]
        if lost:
            raise DamageError(
                f"subjects {self.settings.subjects} hold no rows for request {lost[0]}, which waits: restore it from a backup"
            )
        return [row for request in requests for row in known[request.subject]]

    def check_model(self) -> str:
        """The digest of the model before a run; DamageError where the file is not the one that the ledger left."""
        with self.database.reading() as connection:
            should = model_digest(connection)
        if digest_there(self.model) != should:
            raise DamageError(
                f"model {self.model} is not the file that this ledger left (SHA-256 {should[:16]}...): it is damaged, was "
                "changed by somebody else, or belongs to another ledger; put the right one back"
            )
        return should

    def carry_out(self, what: str, requests: Sequence[Waiting], plan: Plan, act: Callable[[], Result]) -> Run:
        """A whole run, from its intent on; RunFailedError, recorded, where it comes to nothing."""
        before = self.check_model()
        self._signing_key()
        intent = self._intend(what, requests, plan, before)
        staged = staged_path(self.model, intent)
        try:
            began = time.monotonic()
            result = checked_result(plan if what == "unlearn" else None, guarded(self.lease, act, self.settings.timeout))
            self._ran(intent, result, time.monotonic() - began)
            after = self._save(result, staged)
        except BaseException as error:
            self._stop()
            if isinstance(error, DatabaseError | LeaseLostError) or not isinstance(error, Exception):
                # Not to be recorded now: who works next finds the run as it is.
                raise
            self.fail(intent, reason_of(error))
            raise RunFailedError(reason_of(error)) from error
        self._saved(intent, what, result, before, after)
        return self.close(intent)

    def _stop(self) -> None:
        """Nothing goes on of a run that is given up."""
        backend = self.backend()
        if isinstance(backend, Stopping):
            backend.stop()

    def told(self, *, and_run: int | None = None) -> Backend:
        """The backend, which knows now what ran before; and_run: with this run, which is saved."""
        backend = self.backend()
        if isinstance(backend, Following):
            with self.database.reading() as connection:
                backend.follow(past_of(connection, and_run=and_run))
        return backend

    def _intend(self, what: str, requests: Sequence[Waiting], plan: Plan, before: str) -> int:
        numbers = [request.number for request in requests]
        with writing(self.database) as page:
            self.lease.check(page)
            body = {
                "what": what, "requests": spans(numbers), "count": len(numbers), "plan": plan.to_dict(), "before": before,
                "backend": self.settings.backend, "declared": self.backend().declared, "version": __version__,
                "operator": self.operator,
            }  # fmt: skip
            intent = page.append("intent", body).number
            page.connection.execute(insert(RUNS), {"number": intent, "what": what, "state": RUNNING})
            self._move(page, numbers, state=RUNNING, run=intent)
        return intent

    def _ran(self, intent: int, result: Result, seconds: float) -> None:
        with writing(self.database) as page:
            self.lease.check(page)
            page.append("run", {"intent": intent, "steps": result.steps, "seconds": round(seconds, 3)})

    def _save(self, result: Result, staged: Path) -> str:
        made = result.model
        # A file that is a model already, as of records that join.
        save = partial(copy_new, made) if isinstance(made, Path) else partial(self.backend().save, made)
        guarded(self.lease, lambda: save(staged), self.settings.timeout)
        if not staged.is_file():
            raise RunFailedError("the backend saved no model where it was told to")
        return sealed(staged)

    def _saved(self, intent: int, what: str, result: Result, before: str, after: str) -> None:
        with writing(self.database) as page:
            self.lease.check(page)
            body = {
                "intent": intent, "steps": result.steps, "before": before, "after": after, "statement": result.statement,
                "assumptions": list(result.assumptions), "epsilon": result.epsilon, "delta": result.delta,
            }  # fmt: skip
            saved = page.append("saved", body).number
            page.connection.execute(update(RUNS).where(RUNS.c.number == intent).values(state=SAVED, digest=after, saved=saved))
            page.connection.execute(update(REQUESTS).where(REQUESTS.c.run == intent).values(state=SAVED))

    def close(self, intent: int) -> Run:
        """What comes after ``saved``: the model in its place, certificate, release, purge; to be called again at will."""
        with self.database.reading() as connection:
            run = connection.execute(select(RUNS).where(RUNS.c.number == intent)).one()
            saved = json.loads(connection.scalar(select(ENTRIES.c.body).where(ENTRIES.c.number == run.saved)) or "{}")
            asked = select(REQUESTS.c.number, REQUESTS.c.subject).where(REQUESTS.c.run == intent).order_by(REQUESTS.c.number)
            requests = [(int(number), str(subject)) for number, subject in connection.execute(asked)]
        certificate, without = run.certificate, None
        if run.state == SAVED:
            self._put_in_place(intent, saved)
            if run.what == "join":
                # Before the entry says so; again after a crash.
                self._subjects().admit_announced()
            began = time.monotonic()
            certificate, without = self._certify(intent, run.what)
            body = {"certificate": certificate, "without": without, "seconds": round(time.monotonic() - began, 3)}
            self._release(run, saved, body, RELEASED if requests else DONE)
        self._purge(intent, [subject for _, subject in requests])
        return Run(
            number=intent,
            what=run.what,
            requests=tuple(number for number, _ in requests),
            steps=saved["steps"],
            statement=saved["statement"],
            epsilon=saved["epsilon"],
            delta=saved["delta"],
            certificate=certificate,
            without=without,
        )

    def _put_in_place(self, intent: int, saved: Mapping[str, Any]) -> None:
        staged, now = staged_path(self.model, intent), digest_there(self.model)
        if now == saved["after"]:
            discard(staged)
            return
        if now not in (None, saved["before"]) or digest_there(staged) != saved["after"]:
            raise DamageError(
                f"run {intent} saved a model (SHA-256 {saved['after'][:16]}...) that is neither at {self.model} nor at "
                f"{staged}: it is damaged, or was changed by somebody else; put one of both back"
            )
        self.lease.prolong()
        place(staged, self.model)

    def _certify(self, intent: int, what: str) -> tuple[str | None, str | None]:
        """The digest of the certificate, or why there is none."""
        backend = self.told(and_run=intent)
        return self.certificate(intent, backend) if what == "unlearn" else (None, "nothing was unlearned in this run")

    def certificate(self, intent: int, backend: Backend) -> tuple[str | None, str | None]:
        """The same, of a backend that has been told what ran; RunFailedError where only the disk stands in the way."""
        if not isinstance(backend, Certifying):
            return None, f"backend {self.settings.backend} makes no certificates"
        key, folder = self._signing_key(), Path(self.settings.certificates)
        part = folder / f".run{intent}.json"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # With what is left of an earlier try.
            discard(part)
            guarded(self.lease, lambda: backend.certify(self.model, part, key), self.settings.timeout)
            return filed(part, folder), None
        except RunFailedError as error:
            return None, str(error)
        except (DatabaseError, LeaseLostError):
            raise
        except Exception as error:
            disk = error if isinstance(error, OSError) else error.__cause__ or error.__context__
            if isinstance(error, OSError | InputError) and isinstance(disk, OSError):
                # As of a full disk: to be tried again.
                raise RunFailedError(f"the certificate of run {intent} cannot be written: {disk.strerror}") from error
            # Nobody waits for a release because there is a fault in what writes certificates.
            return None, str(error) if isinstance(error, InputError) else reason_of(error)

    def _signing_key(self) -> Path | None:
        """The file of the key that signs; DamageError where it is gone: nothing is to be released without it."""
        if self.settings.sign is None:
            return None
        key = Path(self.settings.sign)
        if not os.access(key, os.R_OK):
            raise DamageError(f"sign key file {key} cannot be read, and nothing is released without a signature: put it back")
        return key

    def _release(self, run: Record[Any], saved: Mapping[str, Any], certified: Mapping[str, Any], state: str) -> None:
        intent = run.number
        with writing(self.database) as page:
            self.lease.check(page)
            body = {"intent": intent, **certified, **{name: saved[name] for name in ("after", "statement", "epsilon", "delta")}}
            page.append(CLOSES[run.what], body)
            values = {"state": state, "certificate": certified["certificate"], "closed": page.now}
            page.connection.execute(update(RUNS).where(RUNS.c.number == intent).values(**values))
            page.connection.execute(update(REQUESTS).where(REQUESTS.c.run == intent).values(state=RELEASED))

    def _purge(self, intent: int, hashes: Sequence[str]) -> None:
        """Who has which rows is forgotten before the entry says so."""
        if not hashes:
            return
        self._subjects().purge(hashes)
        with writing(self.database) as page:
            self.lease.check(page)
            body = {"intent": intent, "count": len(hashes), "subjects": purge_digest(hashes), "operator": self.operator}
            page.append("purged", body)
            page.connection.execute(update(RUNS).where(RUNS.c.number == intent).values(state=DONE))

    def fail(self, intent: int, reason: str) -> None:
        """Record that a run came to nothing: its requests wait again, and nothing of it is left."""
        with writing(self.database) as page:
            self.lease.check(page)
            page.append("failed", {"intent": intent, "reason": reason})
            page.connection.execute(update(RUNS).where(RUNS.c.number == intent).values(state=FAILED))
            page.connection.execute(update(REQUESTS).where(REQUESTS.c.run == intent).values(state=WAITING, run=None))
        discard(staged_path(self.model, intent))

    @staticmethod
    def _move(page: Page, numbers: Sequence[int], **values: object) -> None:
        for first, last in spans(list(numbers)):
            page.connection.execute(update(REQUESTS).where(REQUESTS.c.number.between(first, last)).values(**values))


def reason_of(error: BaseException) -> str:
    """Why, for an entry: in full where it is known to hold no identifier, else only the kind of error."""
    if isinstance(error, UnreachableError | RunFailedError):
        return str(error)
    return f"{type(error).__name__}, whose message may name somebody and is not kept"
