"""Whether the rows of a table hold: epsilon under the claimed bound and under the tightest one known, and what would have done.

Verdicts: ``certified`` (the claimed bound proves the claim), ``wasteful`` (it does, and much less noise, or fewer epochs,
would do), ``certified-tighter`` (the claimed bound does not, the tightest one known does), ``fails``, ``unchecked`` (with the
reason). Rows with a request number are followed as streams, each request on what the requests before it left.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accountant.methods import METHODS, Method, Setup, Stream
from accountant.tables.claims import Claim, Claims
from accountant.tables.printed import digits
from accountant.validation import SMALLEST, InputError, number, shown

Floats = NDArray[np.float64]
#: Called with the rows done so far and the rows there are, 0 while the table is read for the first time.
Progress = Callable[[int, int], None]

VERDICTS: Final = ("certified", "certified-tighter", "fails", "wasteful", "unchecked")
#: Noise or epochs beyond what is needed, from which a row is called wasteful.
WASTEFUL: Final = 1.1
#: A printed sigma is taken to be right to twelve digits: whoever computed it rounds, too.
_ARITHMETIC: Final = 1 + 1e-12
#: Rows looked at together.
_CHUNK: Final = 20_000
#: Lists of requests in one table.
_MOST_LISTS: Final = 100_000
#: epsilon is printed with so many digits at least where its rounding counts; 0.5 or 1 are targets, not results.
_RESULT_DIGITS: Final = 3


class Checked(NamedTuple):
    """A row's verdict. None: not given, not proved, or not asked for.

    epsilon_achieved is under the claimed bound, epsilon_tightest under ``tightest``. sigma_needed and epochs_needed are the
    smallest that would have done under the claimed bound (epochs_needed of a request: after the requests before it), and
    sigma_tightest under the tightest one, for rows that the claimed bound does not certify. factor: given over needed.
    rounding: the row fails, but some number that rounds to the printed one would do.
    """

    row: int
    method: str
    verdict: str
    epsilon_claimed: float | None
    epsilon_achieved: float | None
    epsilon_tightest: float | None
    sigma_needed: float | None
    epochs_needed: float | None
    reason: str
    tightest: str
    list: str
    request: int | None
    sigma: float | None
    delta: float
    epochs: float | None
    sigma_tightest: float | None
    factor: float | None
    rounding: bool


@dataclass
class ListSummary:
    """A stream of requests in the table: whether all of it holds, and what its epochs come to."""

    list: str
    method: str
    tightest: str
    batch_size: int
    sigma: float
    epsilon: float
    first_row: int
    rows: int = 0
    #: Rows that the claimed bound, and the tightest one, certify.
    certified: int = 0
    certified_tightest: int = 0
    epochs: float = 0.0
    #: In all, had every request been answered with the fewest epochs under the tightest bound; None: not known.
    epochs_tightest: float | None = 0.0


@dataclass
class Summary:
    """Counts per verdict, and what was taken for granted."""

    rows: int = 0
    verdicts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VERDICTS, 0))
    rounding: int = 0
    lists: list[ListSummary] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return self.verdicts["fails"] > 0


class Verification:
    """Iterates over the checked rows, in the order of the table; ``summary`` is complete after the last.

    wasteful: factor of noise (or epochs) beyond what the claimed bound needs, from which a row is called so. The whole table is
    read once before anything is computed, so that a cell that is no number stops it at once.
    """

    def __init__(self, claims: Claims, *, wasteful: float = WASTEFUL, progress: Progress | None = None) -> None:
        self.claims = claims
        self.wasteful = number("wasteful", wasteful, at_least=1)
        self.progress = progress or (lambda done, total: None)
        self.summary = Summary(ignored=claims.ignored)
        self._lists: dict[Any, _List] = {}
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
            single = [at for at, claim in enumerate(chunk) if claim.request is None]
            self._singles(chunk, single, rows)
            self._requests(chunk, [at for at, claim in enumerate(chunk) if claim.request is not None], rows)
            for claim, row in zip(chunk, rows, strict=True):
                assert row is not None
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
            for at, row in zip(members, _check_single(claims, self.wasteful), strict=True):
                rows[at] = row

    # --- streams

    def _requests(self, chunk: Sequence[Claim], which: Iterable[int], rows: list[Checked | None]) -> None:
        members: dict[int, tuple[_List, list[int]]] = {}
        for at in which:
            claim = chunk[at]
            target = (_value(claim.sigma), _value(claim.epsilon), claim.delta)
            key = (id(claim.method), claim.setup, claim.unit, claim.list, *target)
            entry = self._lists.get(key)
            if entry is None or claim.request == 1:
                if len(self.summary.lists) >= _MOST_LISTS:
                    rows[at] = _unchecked(claim, f"there are more than {_MOST_LISTS} lists of requests in the table")
                    continue
                entry = self._lists[key] = _List(claim)
                self.summary.lists.append(entry.summary)
            members.setdefault(id(entry), (entry, []))[1].append(at)
        for entry, own in members.values():
            for at, row in zip(own, entry.check([chunk[at] for at in own], self.wasteful), strict=True):
                rows[at] = row


def verify(claims: Claims, *, wasteful: float = WASTEFUL, progress: Progress | None = None) -> tuple[list[Checked], Summary]:
    """All rows and the summary at once, for tables that fit in memory."""
    verification = Verification(claims, wasteful=wasteful, progress=progress)
    return list(verification), verification.summary


def _value(printed: Any) -> float | None:
    return None if printed is None else printed.value


def _read_as(claim: Claim) -> str:
    """What a row's claim rests on, in words."""
    setup = claim.setup
    names = [claim.method.name, *([claim.method.tightest] if claim.method.tightest != claim.method.name else [])]
    orders = [f"{name} with batches {setup.batches or METHODS[name].default_batches}" for name in names]
    return f"{', tightest known '.join(orders)}; reference {setup.reference}"


def _unchecked(claim: Claim, reason: str, **known: Any) -> Checked:
    return _row(claim, "unchecked", reason, **known)


def _row(claim: Claim, verdict: str, reason: str, **known: Any) -> Checked:
    per_epoch = claim.method.steps_per_epoch(claim.setup)
    epochs = None if claim.count is None else claim.steps / per_epoch
    values: dict[str, Any] = dict.fromkeys(
        ("epsilon_achieved", "epsilon_tightest", "sigma_needed", "epochs_needed", "sigma_tightest", "factor")
    )
    return Checked(
        row=claim.row,
        method=claim.method.name,
        verdict=verdict,
        epsilon_claimed=_value(claim.epsilon),
        reason=reason,
        tightest=claim.method.tightest,
        list=claim.list,
        request=claim.request,
        sigma=_value(claim.sigma),
        delta=claim.delta,
        epochs=epochs,
        **(values | {"rounding": False} | known),
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _tolerant(ask: Callable[..., Floats], **question: Floats) -> Floats:
    """``ask(**question)`` for arrays (P,); NaN for the rows that have no answer."""
    size = next(iter(question.values())).size
    result = np.full(size, np.nan)

    def fill(start: int, stop: int) -> None:
        try:
            result[start:stop] = ask(**{name: values[start:stop] for name, values in question.items()})
        except InputError:
            if stop - start > 1:
                middle = (start + stop) // 2
                fill(start, middle)
                fill(middle, stop)

    if size:
        fill(0, size)
    return result


def _check_single(claims: list[Claim], wasteful: float) -> list[Checked]:
    """Rows of one method and one setup."""
    method, setup, unit = claims[0].method, claims[0].setup, claims[0].unit
    try:
        method.check(setup)
    except InputError as error:
        return [_unchecked(claim, str(error)) for claim in claims]
    rows: list[Checked | None] = [None] * len(claims)
    complete = []
    for at, claim in enumerate(claims):
        lacking = [name for name in ("sigma", "epsilon") if getattr(claim, name) is None]
        if claim.count is None and method.family not in ("retrain",) and method.name != "dp":
            lacking.append(unit)
        if lacking:
            rows[at] = _lacking(claim, lacking)
        else:
            complete.append(at)
    if complete:
        some = [claims[at] for at in complete]
        for at, row in zip(complete, _judge(method, setup, unit, some, wasteful), strict=True):
            rows[at] = row
    return [row for row in rows if row is not None]


def _lacking(claim: Claim, lacking: list[str]) -> Checked:
    """A row that does not say enough: the number that it leaves out, where that is one."""
    known: dict[str, Any] = {}
    method, setup = claim.method, claim.setup
    given = {name: np.array([printed.value]) for name in ("sigma", "epsilon") if (printed := getattr(claim, name)) is not None}
    given["delta"] = np.array([claim.delta])
    if len(lacking) == 1:
        if lacking[0] == claim.unit:
            fewest = float(_tolerant(lambda **q: method.fewest(setup, **q, unit=claim.unit), **given)[0])
            if math.isfinite(fewest):
                known["epochs_needed"] = fewest if claim.unit == "epochs" else fewest / method.steps_per_epoch(setup)
        else:
            given["steps"] = np.array([claim.steps])
            name = {"sigma": "sigma_needed", "epsilon": "epsilon_achieved"}[lacking[0]]
            known[name] = _finite(float(_tolerant(lambda **q: getattr(method, lacking[0])(setup, **q), **given)[0]))
    return _unchecked(claim, f"the row has no {' and no '.join(lacking)}", **known)


def _judge(method: Method, setup: Setup, unit: str, claims: list[Claim], wasteful: float) -> list[Checked]:
    """Rows of one method and one setup that say all of sigma, epsilon and their length."""
    sigma = np.array([claim.sigma.value for claim in claims if claim.sigma is not None])
    target = np.array([claim.epsilon.value for claim in claims if claim.epsilon is not None])
    delta, steps = np.array([claim.delta for claim in claims]), np.array([claim.steps for claim in claims])
    best = METHODS[method.tightest]

    def reached(noise: Floats, rows: NDArray[np.intp]) -> Floats:
        return _tolerant(lambda **q: method.epsilon(setup, **q), sigma=noise, delta=delta[rows], steps=steps[rows])

    every = np.arange(sigma.size)
    achieved = reached(sigma, every)
    holds = achieved <= target
    near = np.flatnonzero(~holds & (achieved <= target * (1 + 1e-9) + 1e-300))
    holds[near] = reached(sigma[near] * _ARITHMETIC, near) <= target[near]
    tight = achieved.copy()
    if best is not method:
        tight = np.fmin(tight, _tolerant(lambda **q: best.epsilon(setup, **q), sigma=sigma, delta=delta, steps=steps))
    known = {"epsilon": target, "delta": delta}
    needed = _tolerant(lambda **q: method.sigma(setup, **q), **known, steps=steps)
    fewest = _tolerant(lambda **q: method.fewest(setup, **q, unit=unit), sigma=sigma, **known)
    if unit == "steps":
        fewest = fewest / method.steps_per_epoch(setup)
    below = np.flatnonzero(~holds)
    noise_below = {name: values[below] for name, values in known.items()}
    tightest_needed = _tolerant(lambda **q: best.sigma(setup, **q), **noise_below, steps=steps[below])
    by_row = dict(zip(below.tolist(), tightest_needed.tolist(), strict=True))
    by_rounding = _by_rounding(claims, below, reached)
    rows = []
    for at, claim in enumerate(claims):
        numbers = {
            "epsilon_achieved": _finite(achieved[at]),
            "epsilon_tightest": _finite(tight[at]),
            "sigma_needed": _finite(needed[at]),
            "epochs_needed": _finite(fewest[at]),
            "sigma_tightest": _finite(by_row.get(at, math.nan)),
            "factor": _finite(sigma[at] / needed[at]) if needed[at] > 0 else None,
        }
        verdict, reason = _verdict(claim, best, holds=bool(holds[at]), numbers=numbers, wasteful=wasteful)
        if at in by_rounding:
            reason += f"; only because of rounding: {by_rounding[at]}"
        rows.append(_row(claim, verdict, reason, rounding=at in by_rounding, **numbers))
    return rows


def _by_rounding(claims: list[Claim], below: NDArray[np.intp], reached: Callable[..., Floats]) -> dict[int, str]:
    """Rows that some number which rounds to the printed one would certify, with that number in words."""
    found: dict[int, str] = {}
    if not below.size:
        return found
    noise = np.array([printed.high for at in below.tolist() if (printed := claims[at].sigma) is not None])
    for at, value in zip(below.tolist(), reached(noise, below).tolist(), strict=True):
        sigma, epsilon = claims[at].sigma, claims[at].epsilon
        assert sigma is not None
        assert epsilon is not None
        if value <= epsilon.value:
            found[at] = f"sigma up to {sigma.high:.10g} prints the same and would do"
        elif epsilon.digits >= _RESULT_DIGITS and value <= epsilon.high:
            found[at] = f"sigma up to {sigma.high:.10g} and epsilon up to {epsilon.high:.10g} print the same and would do"
    return found


def _verdict(
    claim: Claim, best: Method, *, holds: bool, numbers: dict[str, Any], wasteful: float
) -> tuple[str, str]:
    method = claim.method
    epsilon, sigma = _value(claim.epsilon), claim.sigma
    assert epsilon is not None
    assert sigma is not None
    achieved, tight, needed = numbers["epsilon_achieved"], numbers["epsilon_tightest"], numbers["sigma_needed"]
    if holds:
        if method.family != "retrain" and needed and sigma.low > wasteful * needed:
            if needed <= SMALLEST:
                return "wasteful", "any noise at all would do"
            return "wasteful", f"sigma = {digits(needed, 5)} would do, {digits(sigma.value / needed, 3, down=True)} times less"
        return "certified", ""
    says = f"{method.name} proves nothing here" if achieved is None else f"{method.name} gives epsilon = {digits(achieved, 5)}"
    if needed is not None and needed > 0:
        says += f" and needs sigma = {digits(needed, 5)}"
    if best is method:
        return "fails", says
    if tight is not None and tight <= epsilon:
        return "certified-tighter", f"{says}; {best.name} gives epsilon = {digits(tight, 5)}"
    tightest = "proves nothing either" if tight is None else f"gives epsilon = {digits(tight, 5)}"
    if numbers["sigma_tightest"]:
        tightest += f" and needs sigma = {digits(numbers['sigma_tightest'], 5)}"
    return "fails", f"{says}; {best.name} {tightest}"


def _counted(value: float, unit: str) -> str:
    return f"{shown(value)} {unit.removesuffix('s') if value == 1 else unit}"


# --- lists


class _List:
    """One stream of a table: the claimed method and the tightest one follow it, and the tightest one also plans it anew."""

    def __init__(self, first: Claim) -> None:
        self.first = first
        self._due = 1
        self.refusal: str | None = None
        sigma, epsilon = _value(first.sigma), _value(first.epsilon)
        self.summary = ListSummary(
            list=first.list,
            method=first.method.name,
            tightest=first.method.tightest,
            batch_size=int(first.setup.algorithm.batch_size),
            sigma=sigma or 0.0,
            epsilon=epsilon or 0.0,
            first_row=first.row,
        )
        self.claimed: Stream | None = None
        self.best: Stream | None = None
        self.planned: Stream | None = None
        lacking = [name for name in ("sigma", "epsilon") if getattr(first, name) is None]
        if lacking:
            self.refusal = f"the list has no {' and no '.join(lacking)}"
            return
        assert sigma is not None
        assert epsilon is not None
        known: dict[str, Any] = {"sigma": sigma, "epsilon": epsilon, "delta": first.delta, "unit": first.unit}
        best, setup = METHODS[first.method.tightest], first.setup
        try:
            self.claimed = first.method.stream(first.setup, **known)
            self.best = self.claimed if best is first.method else best.stream(setup, **known)
            self.planned = best.stream(setup, **known)
        except InputError as error:
            self.refusal = str(error)

    def check(self, claims: list[Claim], wasteful: float) -> list[Checked]:
        """The next rows of the list."""
        self.summary.rows += len(claims)
        if self.refusal is not None:
            return [_unchecked(claim, self.refusal) for claim in claims]
        good: list[Claim] = []
        for claim in claims:
            if claim.request != self._due:
                self.refusal = f"request {claim.request} comes where request {self._due} of its list should"
            elif claim.count is None:
                self.refusal = f"request {claim.request} of the list has no {claim.unit}"
            if self.refusal is not None:
                break
            good.append(claim)
            self._due += 1
        rows = self._followed(good, wasteful) if good else []
        reason = self.refusal or ""
        return rows + [_unchecked(claim, reason) for claim in claims[len(rows) :]]

    def _followed(self, claims: list[Claim], wasteful: float) -> list[Checked]:
        assert self.claimed is not None
        assert self.best is not None
        counts = np.array([float(claim.count or 0) for claim in claims])
        points = np.array([float(claim.points) for claim in claims])
        try:
            claimed = self.claimed.follow(counts, points)
            tightest = claimed if self.best is self.claimed else self.best.follow(counts, points)
        except InputError as error:
            self.refusal = str(error)
            return []
        scale = 1.0 if claims[0].unit == "epochs" else 1.0 / claims[0].method.steps_per_epoch(claims[0].setup)
        self._plan(points, scale)
        rows = []
        for at, claim in enumerate(claims):
            epsilon = self.summary.epsilon
            achieved, needed = float(claimed.epsilon[at]), float(claimed.needed[at])
            tight = min(achieved, float(tightest.epsilon[at]))
            holds = achieved <= epsilon * _ARITHMETIC
            factor = float(counts[at]) / needed if needed > 0 and math.isfinite(needed) else None
            numbers = {
                "epsilon_achieved": _finite(achieved),
                "epsilon_tightest": _finite(tight),
                "epochs_needed": _finite(needed * scale),
                "factor": factor,
            }
            verdict, reason = self._verdict(claim, holds, numbers, needed, wasteful)
            self.summary.certified += holds
            self.summary.certified_tightest += tight <= epsilon * _ARITHMETIC
            self.summary.epochs += float(counts[at]) * scale
            rows.append(_row(claim, verdict, reason, **numbers))
        return rows

    def _verdict(
        self, claim: Claim, holds: bool, numbers: dict[str, Any], needed: float, wasteful: float
    ) -> tuple[str, str]:
        count, unit = float(claim.count or 0), claim.unit
        if holds:
            if count > wasteful * needed:
                return "wasteful", f"{_counted(needed, unit)} would do"
            return "certified", "" if count <= needed else f"{_counted(needed, unit)} would do"
        method, best = claim.method.name, claim.method.tightest
        achieved, tight = numbers["epsilon_achieved"], numbers["epsilon_tightest"]
        says = f"{method} proves nothing here" if achieved is None else f"{method} gives epsilon = {digits(achieved, 5)}"
        wants = f"needs {_counted(needed, unit)}" if math.isfinite(needed) else f"no number of {unit} would do"
        says += f" and {wants}"
        if tight is not None and tight <= self.summary.epsilon and best != method:
            return "certified-tighter", f"{says}; {best} gives epsilon = {digits(tight, 5)}"
        if best != method:
            says += f"; {best} " + ("proves nothing either" if tight is None else f"gives epsilon = {digits(tight, 5)}")
        return "fails", says

    def _plan(self, points: Floats, scale: float) -> None:
        if self.summary.epochs_tightest is None or self.planned is None:
            return
        try:
            self.summary.epochs_tightest += scale * sum(self.planned.request(int(count)) for count in points.tolist())
        except InputError:
            self.summary.epochs_tightest = None
