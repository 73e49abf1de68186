"""Certificates that a run did without, made afterwards: as long as what they are made of is still there."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select, update

from accountant.ledger.backends import Following
from accountant.ledger.book import writing
from accountant.ledger.past import past_of
from accountant.ledger.schema import CLOSED, RUNS
from accountant.ledger.state import UNCERTIFIED
from accountant.ledger.worker import Worker


@dataclass(frozen=True, kw_only=True)
class Certified:
    """What became of a run without a certificate. run: its number. certificate: the digest; without: why there is none yet."""

    run: int
    certificate: str | None
    without: str | None


class Certifier(Worker):
    """A worker that makes up for what is missing."""

    def certify(self) -> tuple[Certified, ...]:
        """Finish what a crash left, then make the certificates that released runs did without."""
        self.recover()
        self.check_model()
        with self.database.reading() as connection:
            last = int(connection.scalar(select(func.max(RUNS.c.number)).where(RUNS.c.state.in_(CLOSED))) or -1)
            missing = select(RUNS.c.number).where(UNCERTIFIED).order_by(RUNS.c.number)
            runs = [int(number) for number in connection.scalars(missing)]
        return tuple(self._made_up_for(run, last) for run in runs)

    def _made_up_for(self, run: int, last: int) -> Certified:
        backend = self.backend()
        if isinstance(backend, Following):
            with self.database.reading() as connection:
                backend.follow(past_of(connection, until=run))
        elif run != last:
            # It is in the model, and that has gone on.
            gone = f"the model has gone on since, to run {last}: a certificate of that one holds for all requests before it"
            return Certified(run=run, certificate=None, without=gone)
        digest, why = self.certificate(run, backend)
        if digest is not None:
            with writing(self.database) as page:
                self.lease.check(page)
                page.append("certified", {"intent": run, "certificate": digest, "operator": self.operator})
                page.connection.execute(update(RUNS).where(RUNS.c.number == run).values(certificate=digest))
        return Certified(run=run, certificate=digest, without=why)
