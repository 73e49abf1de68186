"""Whether a ledger is what was written: every entry once, in one pass that holds a run and a request at a time.

Found is any single entry that was changed, removed, put in or swapped. Who may write to the database can also cut off the end
and make the rest fit, or write a whole other chain: a head that was kept elsewhere finds that, and so may the model's digest.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, select

from accountant.ledger.chain import KINDS, NOTHING, Entry, entry_digest
from accountant.ledger.database import Database, streamed
from accountant.ledger.replaying import Replay
from accountant.ledger.schema import ENTRIES, HEAD, RUNS, SAVED
from accountant.ledger.settings import Settings
from accountant.ledger.staging import certificate_path, digest_there
from accountant.ledger.state import model_digest
from accountant.numerics import InputError, MissingExtraError

#: Findings that are told.
_MOST: Final = 100
_UNREADABLE: Final = "not to be read"


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What ``verify`` found. findings: what is wrong, a sentence each, at most 100; none: all is as it was written.

    entries, requests, runs: how many were gone through. certificates: how many files were checked by the checker, of how many.
    head: NUMBER:DIGEST of the last entry.
    """

    findings: tuple[str, ...]
    entries: int
    requests: int
    runs: int
    certificates: int
    certificates_of: int
    head: str

    @property
    def valid(self) -> bool:
        return not self.findings

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        return {"valid": self.valid, **asdict(self), "findings": list(self.findings)}


class _EnoughError(Exception):
    """More findings than anybody reads."""


class _Findings(list[str]):
    def tell(self, sentence: str) -> None:
        self.append(sentence)
        if len(self) >= _MOST:
            raise _EnoughError


def verify(
    database: Database, settings: Settings, *, head: str | None = None, certificates: int | None = 0, files: bool = True
) -> Verified:
    """See :meth:`accountant.ledger.Ledger.verify`."""
    kept = None if head is None else _read_head(head)
    found = _Findings()
    checked, of, counts, last = 0, 0, Counts(), Entry(-1, 0, "", "", "", NOTHING)
    with database.reading() as connection:
        try:
            last = _chain(connection, found, kept, counts)
            _head(connection, found, last)
            if files:
                _model(connection, settings, found)
            checked, of = _certificates(connection, settings, found, most=certificates, files=files)
        except _EnoughError:
            found.append("and more: no further findings are listed")
    return Verified(
        findings=tuple(found),
        entries=counts.entries,
        requests=counts.requests,
        runs=counts.runs,
        certificates=checked,
        certificates_of=of,
        head=f"{last.number}:{last.digest}",
    )


@dataclass
class Counts:
    """How much was gone through."""

    entries: int = 0
    requests: int = 0
    runs: int = 0


def _chain(connection: Connection, found: _Findings, kept: tuple[int, str] | None, counts: Counts) -> Entry:
    """The entries, one by one, with what follows from them; returns the last one."""
    last = Entry(-1, 0, "", "", "", NOTHING)
    query = select(ENTRIES).order_by(ENTRIES.c.number)
    with closing(Replay(connection, found.tell)) as replay, closing(streamed(connection, query)) as rows:
        for row in rows:
            entry = Entry(*row)
            _follows(entry, last, found)
            if kept is not None and entry.number == kept[0] and entry.digest != kept[1]:
                found.tell(f"entry {entry.number} is not the one whose digest was kept: the chain was written anew")
            replay.take(entry)
            last, counts.entries = entry, counts.entries + 1
        replay.end()
    counts.requests, counts.runs = replay.requests, replay.runs
    if kept is not None and last.number < kept[0]:
        found.tell(f"the chain ends at entry {last.number}, and entry {kept[0]} was kept: what came after was cut off")
    if last.number < 0:
        found.tell("there are no entries")
    return last


def _follows(entry: Entry, last: Entry, found: _Findings) -> None:
    number = entry.number
    if number != last.number + 1:
        found.tell(f"entry {last.number + 1} is missing: entry {number} comes next")
    if entry.previous != last.digest:
        found.tell(f"entry {number} does not follow the one before it")
    if entry.digest != entry_digest(entry.previous, number, entry.time, entry.kind, entry.body):
        found.tell(f"entry {number} was changed: its digest is not that of its content")
    if entry.time < last.time:
        found.tell(f"entry {number} has an earlier time than the one before it")
    if entry.kind not in KINDS:
        found.tell(f"entry {number} is of a kind that nobody writes")


def _head(connection: Connection, found: _Findings, last: Entry) -> None:
    rows = connection.execute(select(HEAD)).all()
    if len(rows) != 1 or (rows[0].number, rows[0].digest, rows[0].time) != (last.number, last.digest, last.time):
        found.tell(f"the head is not entry {last.number}, the last one: entries were cut off or put in at the end")


def _model(connection: Connection, settings: Settings, found: _Findings) -> None:
    """The model file, which a run that is saved and not closed may or may not have replaced already."""
    should = {model_digest(connection), *connection.scalars(select(RUNS.c.digest).where(RUNS.c.state == SAVED))}
    there = _digest(Path(settings.model))
    if there not in should:
        what = _UNREADABLE if there == "" else "not there" if there is None else "another one"
        found.tell(f"model {settings.model} should be the file with the digest {min(map(str, should))[:16]}..., and is {what}")


def _certificates(
    connection: Connection, settings: Settings, found: _Findings, *, most: int | None, files: bool
) -> tuple[int, int]:
    """The files are there with their digests; ``most`` of them, the latest first, are checked by the checker."""
    query = select(RUNS.c.number, RUNS.c.certificate).where(RUNS.c.certificate.is_not(None)).order_by(RUNS.c.number.desc())
    checked = count = 0
    with closing(streamed(connection, query)) as rows:
        for number, digest in rows:
            count += 1
            if not files:
                continue
            path = certificate_path(Path(settings.certificates), digest)
            there = _digest(path)
            if there != digest:
                what = _UNREADABLE if there == "" else "not there" if there is None else "changed"
                found.tell(f"certificate {path} of run {number} is {what}")
            elif most is None or checked < most:
                checked += 1
                for reason in _refusals(path):
                    found.tell(f"certificate {path} of run {number} is refused by the checker: {reason}")
    return checked, count


def _digest(path: Path) -> str | None:
    """Of a file, None where none is, nothing where it cannot be read: that is a finding among others, and stops no search."""
    try:
        return digest_there(path)
    except InputError:
        return ""


def _refusals(path: Path) -> list[str]:
    """Why the checker, which stands alone, refuses a certificate; nothing where it does not."""
    try:
        from accountant.certificates import check
    except ImportError:
        raise MissingExtraError("checking certificates", "python-flint", "certify") from None
    try:
        for _ in check.check(path.read_bytes()):
            pass
    except (check.Refused, ValueError) as error:
        return [str(error)]
    return []


def _read_head(text: str) -> tuple[int, str]:
    number, _, digest = text.partition(":")
    if not (number.isascii() and number.isdigit() and len(digest) == 64 and not set(digest) - set("0123456789abcdef")):
        raise InputError(f"head must be NUMBER:DIGEST, as status shows it, got {text[:80]!r}")
    return int(number), digest
