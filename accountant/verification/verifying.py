"""Whether the rows of a table hold: epsilon under the claimed bound and under the tightest one known, and what would have done.

Verdicts: ``certified`` (the claimed bound proves the claim), ``wasteful`` (it does, and much less noise, or fewer epochs,
would do), ``certified-tighter`` (the claimed bound does not, the tightest one known does), ``fails``, ``unchecked`` (with the
reason). Rows with a request number are followed as streams, each request on what the requests before it left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from accountant.methods import METHODS
from accountant.numerics import Progress, number
from accountant.questions import Setup
from accountant.verification.claims import Claim, Claims
from accountant.verification.lists import RequestList
from accountant.verification.rows import check_rows
from accountant.verification.verdicts import WASTEFUL, Checked, Summary, unchecked, value_of

if TYPE_CHECKING:
    from accountant.verification.precise import PreciseRows


#: Rows looked at together.
_CHUNK: Final = 20_000
#: Lists of requests in one table.
_MOST_LISTS: Final = 100_000


class Verification:
    """Iterates over the checked rows, in the order of the table; ``summary`` is complete after the last.

    wasteful: factor of noise (or epochs) beyond what the claimed bound needs, from which a row is called so. The whole table is
    read once before anything is computed, so that a cell that is no number stops it at once. digits: also give every row's
    numbers to so many digits (``Checked.precise``).
    """

    def __init__(
        self, claims: Claims, *, wasteful: float = WASTEFUL, digits: int | None = None, progress: Progress | None = None
    ) -> None:
        self.claims = claims
        self.wasteful = number("wasteful", wasteful, at_least=1)
        self.progress = progress or (lambda done, total: None)
        self.digits = digits
        self.summary = Summary(ignored=claims.ignored)
        self._lists: dict[tuple[object, ...], RequestList] = {}
        self.total = 0
        for _ in claims:
            self.total += 1
            if self.total % _CHUNK == 0:
                self.progress(self.total, 0)

    def __iter__(self) -> Iterator[Checked]:
        claims = iter(self.claims)
        assumed: Counter[str] = Counter()
        done = 0
        while chunk := list(islice(claims, _CHUNK)):
            rows: list[Checked | None] = [None] * len(chunk)
            owners: list[RequestList | None] = [None] * len(chunk)
            single = [at for at, claim in enumerate(chunk) if claim.request is None]
            self._singles(chunk, single, rows)
            self._requests(chunk, [at for at, claim in enumerate(chunk) if claim.request is not None], rows, owners)
            for at, (claim, row) in enumerate(zip(chunk, rows, strict=True)):
                assert row is not None
                if self.digits is not None:
                    row = row._replace(precise=self._precise(owners[at], self.digits).strings(claim, row))
                    self.progress(done + at + 1, self.total)
                self.summary.rows += 1
                self.summary.verdicts[row.verdict] += 1
                self.summary.rounding += row.rounding
                assumed[_read_as(claim)] += 1
                yield row
            done += len(chunk)
            self.progress(done, self.total)
        self.summary.assumed = [*self.claims.readings, *assumed]

    # --- single rows

    def _singles(self, chunk: Sequence[Claim], which: Iterable[int], rows: list[Checked | None]) -> None:
        groups: dict[tuple[int, Setup, str], list[int]] = {}
        for at in which:
            claim = chunk[at]
            groups.setdefault((id(claim.method), claim.setup, claim.unit), []).append(at)
        for members in groups.values():
            claims = [chunk[at] for at in members]
            for at, row in zip(members, check_rows(claims, self.wasteful), strict=True):
                rows[at] = row

    def _precise(self, owner: RequestList | None, digits: int) -> PreciseRows:
        """What knows the digits of a row: of its list, which it is a request of, or of rows by themselves."""
        from accountant.verification.precise import PreciseList, PreciseRows

        if owner is None:
            return PreciseRows(digits)
        if owner.precise is None:
            owner.precise = PreciseList(owner.claimed, owner.best, digits)
        return owner.precise

    # --- streams

    def _requests(
        self, chunk: Sequence[Claim], which: Iterable[int], rows: list[Checked | None], owners: list[RequestList | None]
    ) -> None:
        members: dict[int, tuple[RequestList, list[int]]] = {}
        for at in which:
            claim = chunk[at]
            target = (value_of(claim.sigma), value_of(claim.epsilon), claim.delta)
            key = (id(claim.method), claim.setup, claim.unit, claim.list, *target)
            entry = self._lists.get(key)
            if entry is None or claim.request == 1:
                if len(self.summary.lists) >= _MOST_LISTS:
                    rows[at] = unchecked(claim, f"there are more than {_MOST_LISTS} lists of requests in the table")
                    continue
                entry = self._lists[key] = RequestList(claim)
                self.summary.lists.append(entry.summary)
            members.setdefault(id(entry), (entry, []))[1].append(at)
        for entry, own in members.values():
            for at, row in zip(own, entry.check([chunk[at] for at in own], self.wasteful), strict=True):
                rows[at], owners[at] = row, entry


def verify(
    claims: Claims, *, wasteful: float = WASTEFUL, digits: int | None = None, progress: Progress | None = None
) -> tuple[list[Checked], Summary]:
    """All rows and the summary at once, for tables that fit in memory.

    >>> from accountant.tables import builtin
    >>> rows, summary = verify(Claims(builtin("langevin").table()))
    >>> summary.verdicts["certified"], summary.verdicts["fails"], rows[0].verdict
    (26, 2, 'certified')
    """
    verification = Verification(claims, wasteful=wasteful, digits=digits, progress=progress)
    return list(verification), verification.summary


def _read_as(claim: Claim) -> str:
    """What a row's claim rests on, in words."""
    setup = claim.setup
    names = [claim.method.name, *([claim.method.tightest] if claim.method.tightest != claim.method.name else [])]
    orders = [f"{name} with batches {setup.batches or METHODS[name].default_batches}" for name in names]
    return f"{', tightest known '.join(orders)}; reference {setup.reference}"
