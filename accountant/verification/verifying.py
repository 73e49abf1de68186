"""Whether the rows of a table hold: epsilon under the claimed bound and under the tightest one known, and what would have done.

Verdicts: ``certified`` (the claimed bound proves the claim), ``wasteful`` (it does, and much less noise, or fewer epochs,
would do), ``certified-tighter`` (the claimed bound does not, the tightest one known does), ``fails``, ``unchecked`` (with the
reason). Rows with a request number are followed as streams, each request on what the requests before it left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from accountant.numerics import InputError, Progress, number
from accountant.problem import Stepping
from accountant.questions import Setup
from accountant.verification.basis import Basis
from accountant.verification.claims import Claim, Claims, Unread
from accountant.verification.lists import RequestList
from accountant.verification.rows import check_rows
from accountant.verification.step_rows import check_step_rows
from accountant.verification.stepping import StepClaim
from accountant.verification.verdicts import PRECISE, WASTEFUL, Checked, Summary, checked, unchecked, unread, value_of

#: Rows looked at together.
_CHUNK: Final = 20_000
#: Rows of one kind that are judged before progress is told.
_BLOCK: Final = 5_000
#: Lists of requests in one table.
_MOST_LISTS: Final = 100_000


class Verification:
    """Iterates over the checked rows, in the order of the table; ``summary`` is complete after the last.

    wasteful: factor of noise (or epochs) beyond what the claimed bound needs, from which a row is called so. The whole table is
    read once before anything is computed, so that a file that is no table stops it at once; rows that are no claims are
    unchecked. digits: also give every row's numbers to so many digits (``Checked.precise``).
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
        #: Rows that are judged.
        self._judged_rows = 0
        #: Requests that are no claims: rows by request number (None: not known), and the last by the list that it may begin.
        self._unread: dict[int | None, list[int]] = {}
        self._begun: dict[str, int] = {}
        for _ in claims.table.lines():
            self.total += 1
            if self.total % _CHUNK == 0:
                self.progress(self.total, 0)

    def __iter__(self) -> Iterator[Checked]:
        claims = self.claims.read()
        basis = Basis()
        done = 0
        while chunk := list(islice(claims, _CHUNK)):
            rows: list[Checked | None] = [None] * len(chunk)
            owners: list[RequestList | None] = [None] * len(chunk)
            self._singles(chunk, rows)
            self._stepwise(chunk, rows)
            self._requests(chunk, rows, owners)
            for at, (claim, row) in enumerate(zip(chunk, rows, strict=True)):
                assert row is not None
                if self.digits is not None:
                    row = row._replace(precise=self._strings(claim, row, owners[at], self.digits))
                    self.progress(done + at + 1, self.total)
                self.summary.rows += 1
                self.summary.verdicts[row.verdict] += 1
                self.summary.rounding += row.rounding
                yield row
            basis.add(chunk)
            done += len(chunk)
            self._judged_rows = done
            self.progress(done, self.total)
        lacking = self.claims.lacking if self.summary.verdicts["unchecked"] == self.summary.rows else []
        self.summary.cells = self.claims.oddities.all()
        self.summary.assumed = [*lacking, *self.claims.readings, *basis.lines()]

    # --- single rows

    def _singles(self, chunk: Sequence[Claim | StepClaim | Unread], rows: list[Checked | None]) -> None:
        groups: dict[tuple[int, Setup, str], list[int]] = {}
        # The same setup is hashed once.
        known: dict[tuple[int, int, str], list[int]] = {}
        for at, claim in enumerate(chunk):
            if isinstance(claim, Unread):
                rows[at] = unread(claim)
            elif isinstance(claim, Claim) and claim.request is None:
                short = id(claim.method), id(claim.setup), claim.unit
                if short not in known:
                    known[short] = groups.setdefault((id(claim.method), claim.setup, claim.unit), [])
                known[short].append(at)
        self._judge(
            groups.values(), lambda members: self._judged([c for at in members if isinstance(c := chunk[at], Claim)]), rows
        )

    def _judge(
        self, groups: Iterable[list[int]], judged: Callable[[list[int]], list[Checked]], rows: list[Checked | None]
    ) -> None:
        """Fill in the rows of groups, and tell how many have been."""
        for members in groups:
            for begin in range(0, len(members), _BLOCK):
                block = members[begin : begin + _BLOCK]
                for at, row in zip(block, judged(block), strict=True):
                    rows[at] = row
                self._tell(len(block))

    def _tell(self, more: int) -> None:
        """So many more rows are judged. Many digits of a row take longer than all else, and are counted instead."""
        self._judged_rows += more
        if self.digits is None:
            self.progress(min(self._judged_rows, self.total), self.total)

    def _stepwise(self, chunk: Sequence[Claim | StepClaim | Unread], rows: list[Checked | None]) -> None:
        """Rows of fine-tuning, whose requests do not pile up: each stands for itself."""
        groups: dict[tuple[int, Stepping], list[int]] = {}
        for at, claim in enumerate(chunk):
            if isinstance(claim, StepClaim):
                groups.setdefault((id(claim.method), claim.algorithm), []).append(at)
        self._judge(
            groups.values(),
            lambda members: self._judged_steps([c for at in members if isinstance(c := chunk[at], StepClaim)]),
            rows,
        )

    def _judged_steps(self, claims: list[StepClaim]) -> list[Checked]:
        """Rows of one method and one algorithm; those whose numbers cannot be computed are unchecked."""
        try:
            return check_step_rows(claims, self.wasteful)
        except InputError as error:
            if len(claims) == 1:
                return [checked(claims[0], "unchecked", str(error))]
            return [row for claim in claims for row in self._judged_steps([claim])]

    def _judged(self, claims: list[Claim]) -> list[Checked]:
        """Rows of one method and one setup; those whose numbers cannot be computed are unchecked."""
        try:
            rows = check_rows(claims, self.wasteful)
            larger = [claim.larger for claim in claims if claim.larger is not None]
            if larger:
                ends = iter(check_rows(larger, self.wasteful))
                rows = [
                    row if claim.larger is None else _of_both(row, next(ends)) for claim, row in zip(claims, rows, strict=True)
                ]
            return rows
        except InputError as error:
            if len(claims) == 1:
                return [unchecked(claims[0], str(error))]
            return [row for claim in claims for row in self._judged([claim])]

    def _strings(
        self, claim: Claim | StepClaim | Unread, row: Checked, owner: RequestList | None, digits: int
    ) -> dict[str, str | None]:
        """The digits of a row, of its list, which it is a request of, or of rows by themselves."""
        from accountant.verification.precise import PreciseList, PreciseRows

        if isinstance(claim, Unread):
            return {**dict.fromkeys(PRECISE), "reason": row.reason}
        if isinstance(claim, StepClaim):
            return {**dict.fromkeys(PRECISE), "reason": f"{claim.method.name} of common steps is computed in doubles only"}
        if owner is None:
            return PreciseRows(digits).strings(claim, row)
        if owner.precise is None:
            owner.precise = PreciseList(owner.claimed, owner.best, digits)
        return owner.precise.strings(claim, row)

    # --- streams

    def _requests(
        self, chunk: Sequence[Claim | StepClaim | Unread], rows: list[Checked | None], owners: list[RequestList | None]
    ) -> None:
        members: dict[int, tuple[RequestList, list[Claim], list[int]]] = {}
        for at, claim in enumerate(chunk):
            if isinstance(claim, Unread):
                self._lost(claim.row, claim.request, claim.label)
                continue
            if isinstance(claim, StepClaim) or claim.request is None:
                continue
            if claim.sigma is None or claim.epsilon is None:
                self._lost(claim.row, claim.request, claim.list)
            entry = self._list_of(claim)
            if entry is None:
                rows[at] = unchecked(claim, f"there are more than {_MOST_LISTS} lists of requests in the table")
                continue
            _, claims, places = members.setdefault(id(entry), (entry, [], []))
            claims.append(claim)
            places.append(at)
        for entry, claims, places in members.values():
            for at, row in zip(places, entry.check(claims, self.wasteful, self._unread), strict=True):
                rows[at], owners[at] = row, entry
            self._tell(len(places))

    def _lost(self, row: int, request: int | None, label: str) -> None:
        """A request that cannot be checked may be the next of a list, or begin another that looks the same."""
        if "request" in self.claims.columns:
            rows = self._unread.setdefault(request, [])
            rows.append(row)
            if len(rows) > _MOST_LISTS:
                del rows[: len(rows) // 2]
            if request is None or request == 1:
                self._begun[label] = row

    def _list_of(self, claim: Claim) -> RequestList | None:
        """The list that a request belongs to; None where there are too many."""
        target = (value_of(claim.sigma), value_of(claim.epsilon), claim.delta)
        key = (id(claim.method), claim.setup, claim.unit, claim.list, *target)
        entry = self._lists.get(key)
        if entry is None or claim.request == 1:
            if len(self.summary.lists) >= _MOST_LISTS:
                return None
            entry = self._lists[key] = RequestList(claim)
            self.summary.lists.append(entry.summary)
        elif claim.request == 2 and (row := self._begun.get(claim.list, 0)) > entry.first.row:
            entry.doubts[claim.row] = (
                f"row {row} may begin this list and is unchecked, so what the requests before this one left is not known"
            )
        return entry


def _of_both(smaller: Checked, larger: Checked) -> Checked:
    """The verdict on a row that says a spread: at its smaller end, unless it depends on the end."""
    held = ("certified", "wasteful")
    if smaller.verdict in held or smaller.verdict == larger.verdict:
        return smaller
    reason = (
        f"{smaller.verdict} at the smaller end of what it says as a spread, {larger.verdict} at the larger: write one number "
        "for sigma and for epsilon"
    )
    return smaller._replace(verdict="unchecked", reason=reason, rounding=False)


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
