"""What a worker does when it is called: finish what a crash left, then what is due."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import select

from accountant.ledger.backends import Admitting, Numbering, Plan, Refitting, Result, Row, RunFailedError
from accountant.ledger.book import Page, writing
from accountant.ledger.chain import canonical_text
from accountant.ledger.database import DatabaseError
from accountant.ledger.guarding import guarded
from accountant.ledger.lease import LeaseLostError
from accountant.ledger.past import certifying, measured
from accountant.ledger.schema import ENTRIES, FAILED, RELEASED, REQUESTS, RUNNING, RUNS, SAVED, WAITING
from accountant.ledger.staging import discard, discard_folders, staged_path
from accountant.ledger.when import acts, estimated_seconds, latest_start, refit_cheaper
from accountant.ledger.working import Phases, Run, Waiting, reason_of
from accountant.numerics import InputError, UnreachableError, integer

#: Failed runs whose files are looked for.
_LAST: Final = 20


@dataclass(frozen=True, kw_only=True)
class Processed:
    """What ``process`` did. finished: runs that a crash had left; run: the new one, None where nothing was due; runs: all new
    ones, where ``at_most`` made several.

    waiting: requests that wait still. plan: what all of them would take now, None where none wait; parts: in so many runs, of
    the first of which the plan is. start: when a run must begin at the latest (microseconds since 1970).
    """

    finished: tuple[Run, ...]
    run: Run | None
    waiting: int
    plan: Plan | None = None
    start: int | None = None
    runs: tuple[Run, ...] = ()
    parts: int = 1


def _one(finished: tuple[Run, ...], run: Run) -> Processed:
    return Processed(finished=finished, run=run, runs=(run,), waiting=0)


class Worker(Phases):
    """A worker that has the lease."""

    def process(self, *, everything: bool = False, refit_when_cheaper: bool = False, at_most: int | None = None) -> Processed:
        """Finish, then run all that waits, if it is due, urgent or ``everything`` is asked for.

        refit_when_cheaper: learn again instead, where that takes fewer steps, or no number of steps is enough. at_most: records
        in one run, as of more some backends have no certificate; a request of more has a run of its own.

        What the backend refuses or fails at is recorded, and raised as RunFailedError; its own error is the cause of that.
        """
        if at_most is not None:
            integer("at_most", at_most, at_least=1)
        finished = self.recover()
        waiting, now = self._waiting()
        if not waiting:
            return Processed(finished=finished, run=None, waiting=0)
        self.check_model()
        rows = self.rows(waiting)
        parts = self._parts(waiting, at_most)
        try:
            plan = self._plan(parts[0])
        except RunFailedError as error:
            if not (refit_when_cheaper and isinstance(error.__cause__, UnreachableError)):
                raise
            plan = None
        earliest = min(request.due for request in waiting)
        seconds = None if plan is None else self._seconds(plan, len(parts))
        start = latest_start(earliest, seconds=seconds, margin=self.settings.margin, floor=self.settings.floor)
        urgent = sum(request.urgent for request in waiting)
        if not (everything or acts(now, earliest_due=earliest, urgent=urgent, start=start)):
            return Processed(finished=finished, run=None, waiting=len(waiting), plan=plan, start=start, parts=len(parts))
        if plan is None or (refit_when_cheaper and self._refit_cheaper(plan.steps * len(parts), rows)):
            runs = [self._refit(waiting)]
        else:
            runs = [self._unlearn(parts[0], plan), *(self._unlearn(part, self._plan(part)) for part in parts[1:])]
        return Processed(
            finished=finished, run=runs[-1], runs=tuple(runs), waiting=0, plan=plan, start=start, parts=len(parts)
        )  # fmt: skip

    def _parts(self, waiting: Sequence[Waiting], at_most: int | None) -> list[list[Waiting]]:
        """Requests in their order, in parts of so many records."""
        if at_most is None:
            return [list(waiting)]
        known, count = self._subjects().rows([request.subject for request in waiting]), 0
        parts: list[list[Waiting]] = [[]]
        for request in waiting:
            points = len(known[request.subject])
            if parts[-1] and count + points > at_most:
                parts.append([])
                count = 0
            parts[-1].append(request)
            count += points
        return parts

    def _plan(self, waiting: Sequence[Waiting]) -> Plan:
        rows = self.rows(waiting)
        return self._planned(lambda: self.told().plan(rows))

    def _unlearn(self, waiting: Sequence[Waiting], plan: Plan) -> Run:
        return self.carry_out("unlearn", waiting, plan, partial(self._run, plan, self.rows(waiting)))

    def refit(self) -> Processed:
        """Finish, then learn again without the rows of all that waits."""
        finished = self.recover()
        waiting, _ = self._waiting()
        self.check_model()
        return _one(finished, self._refit(waiting))

    def join(self, change: Callable[[Path], object], subjects: Sequence[tuple[str, Sequence[Row]]]) -> Processed:
        """Finish, then put in the place of the model what ``change`` makes of it; these subjects are in it then."""
        finished = self.recover()
        self.check_model()
        backend, known = self.backend(), self._subjects()
        if isinstance(backend, Admitting):
            backend.check_join()
        if isinstance(backend, Numbering):
            backend.check_rows(row for _, rows in subjects for row in rows)
        there = known.rows([subject for subject, _ in subjects])
        if there:
            raise InputError(
                f"subjects must be new to the ledger, got {len(there)} that it knows: ask for their rows to be removed first"
            )
        known.announce(subjects)
        count = sum(len(rows) for _, rows in subjects)
        statement = f"{count} {'record' if count == 1 else 'records'} joined. What held of earlier requests goes on to hold."
        plan = Plan(points=0, steps=0, sigma=None, epsilon=0.0, delta=0.0)

        def act() -> Result:
            return Result(model=change(self.model), steps=0, statement=statement)

        return _one(finished, self.carry_out("join", [], plan, act))

    def recover(self) -> tuple[Run, ...]:
        """Finish the runs that a crash left, in their order, and remove what is left of others."""
        with self.database.reading() as connection:
            left = select(RUNS).where(RUNS.c.state.in_((RUNNING, SAVED, RELEASED))).order_by(RUNS.c.number)
            runs = [(int(run.number), str(run.what), str(run.state)) for run in connection.execute(left)]
            failed = select(RUNS.c.number).where(RUNS.c.state == FAILED).order_by(RUNS.c.number.desc()).limit(_LAST)
            old = [int(number) for number in connection.scalars(failed)]
        # Of a worker that was killed: no command of its goes on.
        discard_folders(self.model)
        for number in old:
            discard(staged_path(self.model, number))
        finished = [run for number, what, state in runs for run in self._recovered(number, what, state)]
        # Of insertions that came to nothing.
        self._subjects().forget_announced()
        return tuple(finished)

    def _recovered(self, number: int, what: str, state: str) -> list[Run]:
        if state != RUNNING:
            return [self.close(number)]
        waiting, _ = self._waiting(number)
        self.fail(number, "it was interrupted before the new model was saved: the same requests run again, with fresh noise")
        self.check_model()
        if what == "refit":
            return [self._refit(waiting)]
        if what != "unlearn":
            return []
        return [self._unlearn(waiting, self._plan(waiting))]

    def _run(self, plan: Plan, rows: Sequence[Row]) -> Result:
        return self.backend().run(plan, rows)

    def _refit_cheaper(self, steps: int, rows: Sequence[Row]) -> bool:
        """Where the backend can, and knows what it takes."""
        backend = self.told()
        if not isinstance(backend, Refitting):
            return False
        try:
            refit = guarded(self.lease, lambda: backend.plan_refit(rows), self.settings.timeout)
        except RunFailedError:
            return False
        return refit_cheaper(steps, refit.steps)

    def _seconds(self, plan: Plan, runs: int) -> float | None:
        """How long so many runs of this plan take, certificate and all, as it says itself and as earlier ones took."""
        with self.database.reading() as connection:
            ran, certificate = measured(connection, "unlearn"), certifying(connection)
        one = estimated_seconds(plan.steps, planned=plan.seconds, measured=ran, certificate=certificate)
        return None if one is None else one * runs

    def _refit(self, waiting: Sequence[Waiting]) -> Run:
        backend = self.told()
        if not isinstance(backend, Refitting):
            raise InputError(
                f"backend must be one that can learn again for refit, got {self.settings.backend}, which was begun without "
                "(of a command --refit-run says how)"
            )
        rows = self.rows(waiting)
        plan = self._planned(lambda: backend.plan_refit(rows))
        return self.carry_out("refit", waiting, plan, lambda: backend.refit(plan, rows))

    def _planned(self, call: Callable[[], Plan]) -> Plan:
        """A plan; what is refused is recorded, once, and raised."""
        try:
            plan = guarded(self.lease, call, self.settings.timeout)
        except (DatabaseError, LeaseLostError):
            raise
        except Exception as error:
            with writing(self.database) as page:
                self.lease.check(page)
                self._refused(page, {"intent": None, "reason": reason_of(error)})
            raise RunFailedError(reason_of(error)) from error
        if not isinstance(plan, Plan):
            raise RunFailedError(f"the backend must return a Plan, got {type(plan).__name__}")
        return plan

    @staticmethod
    def _refused(page: Page, body: dict[str, object]) -> None:
        """Not once more where nothing has changed since, as when a timer tries again every hour."""
        last = page.connection.execute(select(ENTRIES.c.kind, ENTRIES.c.body).where(ENTRIES.c.number == page.last)).one()
        if tuple(last) != ("failed", canonical_text(body)):
            page.append("failed", body)

    def _waiting(self, run: int | None = None) -> tuple[list[Waiting], int]:
        """The requests that wait, or those of a run, in their order, and the time."""
        which = REQUESTS.c.state == WAITING if run is None else REQUESTS.c.run == run
        columns = (REQUESTS.c.number, REQUESTS.c.subject, REQUESTS.c.due, REQUESTS.c.urgent)
        with self.database.reading() as connection:
            query = select(*columns).where(which).order_by(REQUESTS.c.number)
            found = [
                Waiting(int(number), subject, int(due), bool(urgent))
                for number, subject, due, urgent in connection.execute(query)
            ]
            return found, self.database.now(connection)
