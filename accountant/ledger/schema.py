"""The tables, for SQLAlchemy. What makes them in a database are the migrations; a test holds both against each other.

``entries`` is the ledger. ``head`` (its last entry), ``requests`` and ``runs`` follow from it and are there to be quick;
``verify`` compares them. Times are microseconds since 1970, UTC. No table holds what a subject or a record is called.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer, MetaData, String, Table, Text, text

#: The version of the tables that this program reads and writes, and those that it can bring up to it.
REVISION: Final = "0001"
OLDER: Final[tuple[str, ...]] = ()
#: States of a request and of a run.
WAITING, RUNNING, SAVED, RELEASED, REFUSED = "waiting", "running", "saved", "released", "refused"
#: Of a run only: closed and purged, or come to nothing.
DONE, FAILED = "done", "failed"
#: Of a run whose model is in its place.
CLOSED: Final = (RELEASED, DONE)

_BIG = BigInteger().with_variant(Integer, "sqlite")
METADATA: Final = MetaData()

LEDGER: Final = Table(
    "ledger",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("settings", Text, nullable=False),
    Column("key_check", String(64), nullable=False),
)
ENTRIES: Final = Table(
    "entries",
    METADATA,
    Column("number", _BIG, primary_key=True, autoincrement=False),
    Column("time", _BIG, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("body", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
)
#: One row; who locks it writes the next entry. held: what the clock said when it was first behind; null: it is not.
HEAD: Final = Table(
    "head",
    METADATA,
    Column("one", Integer, CheckConstraint("one = 1"), primary_key=True, autoincrement=False),
    Column("number", _BIG, nullable=False),
    Column("time", _BIG, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("held", _BIG),
)
#: number: of the entry that received it. run: number of the last intent that has it.
REQUESTS: Final = Table(
    "requests",
    METADATA,
    Column("number", _BIG, primary_key=True, autoincrement=False),
    Column("subject", String(64), nullable=False),
    Column("points", Integer, nullable=False),
    Column("received", _BIG, nullable=False),
    Column("due", _BIG, nullable=False),
    Column("urgent", Boolean, nullable=False),
    Column("state", String(8), nullable=False),
    Column("run", _BIG),
    Index("requests_by_state", "state", "due"),
    Index("requests_by_run", "run", "number"),
    Index("requests_by_subject", "subject"),
    # Nobody is asked for twice at the same time, whatever a program believes.
    Index(
        "requests_open",
        "subject",
        unique=True,
        sqlite_where=text("state NOT IN ('released', 'refused')"),
        postgresql_where=text("state NOT IN ('released', 'refused')"),
    ),
)
#: number: of its intent. saved: number of that entry. closed: when the closing entry was made. digest: of the new model.
RUNS: Final = Table(
    "runs",
    METADATA,
    Column("number", _BIG, primary_key=True, autoincrement=False),
    Column("what", String(8), nullable=False),
    Column("state", String(8), nullable=False),
    Column("digest", String(64)),
    Column("certificate", String(64)),
    Column("saved", _BIG),
    Column("closed", _BIG),
    Index("runs_by_state", "state"),
)
#: One row. holder: a random token, null where nobody works; who: for people.
LEASE: Final = Table(
    "lease",
    METADATA,
    Column("one", Integer, CheckConstraint("one = 1"), primary_key=True, autoincrement=False),
    Column("holder", String(32)),
    Column("host", String(80)),
    Column("who", Text),
    Column("since", _BIG),
    Column("expires", _BIG),
)

#: Of another database, which lives apart: rows as a JSON list, under the subject's keyed hash.
APART: Final = MetaData()
SUBJECTS: Final = Table(
    "subjects",
    APART,
    Column("subject", String(64), primary_key=True),
    Column("rows", Text, nullable=False),
)
#: Of records that are about to join.
ANNOUNCED: Final = Table(
    "announced",
    APART,
    Column("subject", String(64), primary_key=True),
    Column("rows", Text, nullable=False),
)
ORIGIN: Final = Table("origin", APART, Column("ledger", String(32), primary_key=True))
#: Keyed hashes from before the key was replaced, of requests that are not answered yet, and what they are now.
FORMER: Final = Table(
    "former",
    APART,
    Column("former", String(64), primary_key=True),
    Column("subject", String(64), nullable=False, index=True),
)
#: Of a key that is being replaced: every keyed hash and what it will be.
REKEYED: Final = Table(
    "rekeyed",
    APART,
    Column("subject", String(64), primary_key=True),
    Column("successor", String(64), nullable=False),
)
#: One row: which key the hashes are of, once the ledger's has been replaced; not done: what ``rekeyed`` is to lead to.
ROTATION: Final = Table(
    "rotation",
    APART,
    Column("key_check", String(64), primary_key=True),
    Column("done", Boolean, nullable=False),
)
