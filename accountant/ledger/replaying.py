"""The tables that follow from the entries, made again from them while these go by, and compared row by row."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection, func, select

from accountant.ledger.chain import CLOSES, Entry, canonical_text, spans
from accountant.ledger.database import streamed
from accountant.ledger.schema import (
    DONE,
    FAILED,
    LEDGER,
    REFUSED,
    RELEASED,
    REQUESTS,
    RUNNING,
    RUNS,
    SAVED,
    WAITING,
)
from accountant.ledger.settings import Settings
from accountant.ledger.subjects import purge_digest

#: States of a run and of its requests.
_OF_REQUESTS: Final = {RUNNING: RUNNING, SAVED: SAVED, RELEASED: RELEASED, DONE: RELEASED}


class Replay:
    """Takes the entries in their order. tell: is called with every finding."""

    def __init__(self, connection: Connection, tell: Callable[[str], None]) -> None:
        self._connection, self._tell = connection, tell
        self.requests = self.runs = self._refused = self._in_runs = 0
        self._stored = streamed(connection, select(REQUESTS).order_by(REQUESTS.c.number))
        #: The open run, by the body of its intent, its state, and the model as the last closed one left it.
        self._run: dict[str, Any] | None = None
        self._state, self._model, self._after = "", "", ""
        self._closed: dict[str, object] = {}
        #: Certificates that a run got after it was closed.
        self._late: dict[int, str] = {}
        #: Of the key, as entries and as the table have it.
        self._check = self._stored_check = ""

    def close(self) -> None:
        """Let go of the rows that were not read."""
        self._stored.close()

    def take(self, entry: Entry) -> None:
        """The next entry."""
        try:
            body = json.loads(entry.body)
            if entry.kind == "received":
                self._received(entry, body)
            else:
                handler = getattr(self, f"_{entry.kind}_entry", None)
                if handler is not None:
                    handler(entry, body)
        except (ValueError, KeyError, TypeError, AttributeError):
            self._tell(f"entry {entry.number} cannot be read")

    def end(self) -> None:
        """After the last one: nothing more may be in the tables."""
        extra = next(self._stored, None)
        if extra is not None:
            self._tell(f"requests holds request {extra.number}, which no entry received")
        if self._run is not None:
            self._compare_run(self._state)
        for number in self._late:
            self._tell(f"runs holds a certificate of run {number} that no entry made")
        if self._stored_check != self._check:
            self._tell("ledger holds the check of another key than its entries")
        count = self._connection.scalar(select(func.count()).select_from(RUNS))
        if count != self.runs:
            self._tell(f"runs holds {count} runs, and the entries have {self.runs}")
        states = {WAITING: 0, REFUSED: 0}
        alone = select(REQUESTS.c.state, func.count()).where(REQUESTS.c.run.is_(None)).group_by(REQUESTS.c.state)
        states |= {state: int(number) for state, number in self._connection.execute(alone)}
        should = {WAITING: self.requests - self._refused - self._in_runs, REFUSED: self._refused}
        if states != should:
            self._tell(f"requests without a run are {states}, and by the entries {should}")

    def _received(self, entry: Entry, body: dict[str, Any]) -> None:
        self.requests += 1
        row = next(self._stored, None)
        should = (entry.number, body["subject"], body["points"], entry.time, body["due"], body["urgent"])
        if row is None:
            self._tell(f"requests lacks request {entry.number}")
        elif tuple(row)[:6] != should:
            self._tell(f"requests holds request {row.number} otherwise than entry {entry.number} received it")

    def _begun_entry(self, entry: Entry, body: dict[str, Any]) -> None:
        rows = self._connection.execute(select(LEDGER)).all()
        if entry.number != 0 or len(rows) != 1:
            self._tell(f"entry {entry.number} begins a ledger in the middle of one")
            return
        row = rows[0]
        self._model, self._check = body["model"], body["key_check"]
        public = canonical_text(Settings.from_json(row.settings).public)
        self._stored_check = row.key_check
        if (row.id, public) != (body["ledger"], canonical_text(body["settings"])):
            self._tell("ledger holds other settings than entry 0 began with")

    def _rotated_entry(self, entry: Entry, body: dict[str, Any]) -> None:
        if body["old"] != self._check:
            self._tell(f"entry {entry.number} replaced another key than the one before it left")
        self._check = body["new"]

    def _certified_entry(self, entry: Entry, body: dict[str, Any]) -> None:
        if self._late.pop(body["intent"], None) != body["certificate"]:
            self._tell(f"entry {entry.number} certified another run than runs holds, or one that was certified before")

    def _refused_entry(self, entry: Entry, body: dict[str, Any]) -> None:
        self._refused += 1
        state = self._connection.scalar(select(REQUESTS.c.state).where(REQUESTS.c.number == body["request"]))
        if state != REFUSED:
            self._tell(f"entry {entry.number} refused request {body['request']}, which is {state}")

    def _intent_entry(self, entry: Entry, body: dict[str, Any]) -> None:
        if self._run is not None:
            self._tell(f"entry {entry.number} begins a run before the one of entry {self._run['number']} has ended")
        if body["before"] != self._model:
            self._tell(f"entry {entry.number} begins with another model than the one before it left")
        self._run, self._state = {**body, "number": entry.number}, RUNNING
        self.runs += 1

    def _run_entry(self, entry: Entry, body: dict[str, Any]) -> None:
        self._same(entry, body, RUNNING)

    def _saved_entry(self, entry: Entry, body: dict[str, Any]) -> None:
        if self._same(entry, body, RUNNING):
            self._state, self._after = SAVED, body["after"]
            self._closed = {"digest": body["after"], "saved": entry.number}

    def _failed_entry(self, entry: Entry, body: dict[str, Any]) -> None:
        if body["intent"] is not None and self._same(entry, body, RUNNING):
            self._compare_run(FAILED)
            self._run = None

    def _close_entry(self, entry: Entry, body: dict[str, Any]) -> None:
        run = self._run
        if not self._same(entry, body, SAVED) or run is None:
            return
        if CLOSES.get(run["what"]) != entry.kind or body["after"] != self._after:
            self._tell(f"entry {entry.number} closes another run than the one that was saved")
        self._model = self._after
        self._state = RELEASED if run["count"] else DONE
        self._closed |= {"certificate": body["certificate"], "closed": entry.time}
        if not run["count"]:
            self._compare_run(DONE)
            self._run = None

    _released_entry = _refit_entry = _joined_entry = _close_entry

    def _purged_entry(self, entry: Entry, body: dict[str, Any]) -> None:
        run = self._run
        if not self._same(entry, body, RELEASED) or run is None:
            return
        hashes = self._connection.scalars(select(REQUESTS.c.subject).where(REQUESTS.c.run == run["number"]))
        if body["count"] != run["count"] or body["subjects"] != purge_digest(hashes):
            self._tell(f"entry {entry.number} purged other subjects than those of its run")
        self._compare_run(DONE)
        self._run = None

    def _same(self, entry: Entry, body: dict[str, Any], state: str) -> bool:
        """Whether the entry is of the run that is open, in this state."""
        if self._run is None or body["intent"] != self._run["number"] or self._state != state:
            self._tell(f"entry {entry.number} ({entry.kind}) does not follow from what ran before it")
            return False
        return True

    def _compare_run(self, state: str) -> None:
        """The tables' row of the open run, and its requests."""
        run = self._run
        assert run is not None
        number = run["number"]
        row = self._connection.execute(select(RUNS).where(RUNS.c.number == number)).one_or_none()
        should = {"digest": None, "saved": None, "certificate": None, "closed": None, **self._closed}
        self._closed = {}
        if (
            row is None
            or row.what != run["what"]
            or row.state != state
            or any(getattr(row, key) != value for key, value in should.items() if key != "certificate")
        ):
            self._tell(f"runs holds run {number} otherwise than its entries")
        elif row.certificate != should["certificate"]:
            if should["certificate"] is not None or row.certificate is None:
                self._tell(f"runs holds run {number} otherwise than its entries")
            else:
                # To be made afterwards, by an entry that comes.
                self._late[number] = row.certificate
        if state == FAILED:
            return
        self._in_runs += run["count"]
        query = select(REQUESTS.c.number, REQUESTS.c.state).where(REQUESTS.c.run == number).order_by(REQUESTS.c.number)
        asked = self._connection.execute(query).all()
        if spans([each.number for each in asked]) != run["requests"] or len(asked) != run["count"]:
            self._tell(f"requests of run {number} are others than its entry began with")
        if {each.state for each in asked} - {_OF_REQUESTS[state]}:
            self._tell(f"requests of run {number} are not all {_OF_REQUESTS[state]}")
