"""Witnesses: the shifts that prove a mu, few enough numbers to be checked by somebody else.

Steps are counted from the end: r = 0 is the last step, and what arrives at step r still contracts by c^r. In to-come
coordinates t(r) = sum_{s <= r} c^(2s) and S(r) = sum of c^s times what arrives at steps s <= r, the cheapest shifts are the
least concave majorant of the points (t, S); within a piece the shift of step r is a c^(r - first). Along visits to one batch S
is convex in t, so only the first and the last of them, and the whole window, can be vertices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from accountant.numerics import InputError, Precise, geometric_sum, log_power, rounded_text
from accountant.problem import ADJACENCIES, decimal, exact_gap, exact_step_size
from accountant.questions import UnlearningAccountant

#: Digits of the shifts, and by how much they are enlarged so that rounding cannot leave a distance open.
DIGITS: Final = 44
_ENLARGED: Final = 1 + Fraction(1, 10**40)
#: Natural logarithm below which a shift is written as this.
_SMALLEST: Final = -184_000.0
_SMALL: Final = "1e-79000"
#: Steps of a window, None for ever, and what the distance is at its start.
Window = tuple[int | None, str]


@dataclass(frozen=True)
class Visits:
    """Deleted points of one batch: ``count`` of them in a batch of ``size``, last visited ``lag`` steps before the request."""

    lag: int
    count: int
    size: int


@dataclass(frozen=True)
class Piece:
    """Shifts a c^(r - first) for first <= r < last, None for ever; ``a`` is a decimal."""

    first: int
    last: int | None
    a: str


@dataclass(frozen=True)
class Case:
    """Some placed points, a window, and the shifts that bring their distance to zero by its end."""

    placed: tuple[Visits, ...]
    window: Window
    pieces: tuple[Piece, ...]


class Run:
    """The constants of a run as exact fractions, and what follows from them in any arithmetic."""

    def __init__(self, accountant: UnlearningAccountant, *, sigma: Fraction, start_distance: Fraction | None) -> None:
        algorithm, problem = accountant.algorithm, accountant.algorithm.problem
        self.accountant, self.algorithm, self.sigma, self.start_distance = accountant, algorithm, sigma, start_distance
        self.eta = exact_step_size(algorithm)
        self.gap = max(exact_gap(algorithm), Fraction(0))
        self.unit = Fraction(ADJACENCIES[problem.adjacency].factor) * self.eta * decimal(problem.lipschitz)
        self.variance = 2 * self.eta * sigma**2
        self.period = algorithm.steps_per_epoch
        self.sizes = [int(size) for size in algorithm.batch_sizes(algorithm.all_positions()).tolist()]
        self.epochs = algorithm.learn_epochs
        self.diameter = None if algorithm.radius is None else 2 * decimal(algorithm.radius)

    def log_c(self, ar: Precise) -> Any:
        return 0.0 if self.gap == 0 else float("-inf") if self.gap >= 1 else ar.log1p(-ar.asarray(self.gap)[()])

    def mu(self, pieces: Sequence[Piece], ar: Precise) -> Any:
        """sqrt of the sum of the squared shifts over the noise, of exactly these shifts."""
        log_c = self.log_c(ar)
        total: Any = ar.asarray(0)[()]
        for piece in pieces:
            length = float("inf") if piece.last is None else piece.last - piece.first
            a = ar.asarray(Fraction(piece.a))[()]
            total = total + a * a * geometric_sum(log_c, length, stride=2, arithmetic=ar)
        return ar.sqrt(ar.asarray(total / ar.asarray(self.variance)[()])[()])

    def case(self, placed: Sequence[Visits], window: Window, age: int, ar: Precise) -> Case:
        """The cheapest shifts for these points, ``age`` steps after their request."""
        log_c, steps = self.log_c(ar), window[0]
        start = {"diameter": self.diameter, "given": self.start_distance}.get(window[1]) or Fraction(0)

        def count(visits: Visits, last: int | None) -> float:
            """Visits at steps <= last."""
            if last is None:
                return float("inf")
            number = max((last - age - visits.lag) // self.period + 1, 0)
            return number if steps is None or self.epochs is None else min(number, self.epochs)

        def rise(first: int, last: int | None, whole: bool) -> Any:
            """What arrives at steps first <= r <= last, times c^r; with the start of the window if it is ``whole``."""
            total: Any = ar.asarray(0)[()]
            for visits in placed:
                before = count(visits, first - 1)
                number = count(visits, last) - before
                if number > 0:
                    h = ar.asarray(self.unit * visits.count / visits.size)[()]
                    at = age + visits.lag + before * self.period
                    own = geometric_sum(log_c, number, stride=self.period, arithmetic=ar)
                    total = total + h * ar.exp(log_power(log_c, at)) * own
            if whole and steps is not None and start:
                total = total + ar.asarray(start)[()] * ar.exp(log_power(log_c, steps))
            return total

        ends: set[int] = set()
        limit = None if steps is None else steps - 1
        if self.gap < 1:
            for visits in placed:
                number = count(visits, limit)
                if number:
                    ends.add(age + visits.lag)
                    if number < float("inf"):
                        ends.add(age + visits.lag + (int(number) - 1) * self.period)
        if steps == 0:
            return Case(tuple(placed), window, ())
        vertices: list[int | None] = [*sorted(end for end in ends if end != limit), None]
        # A majorant by pooling: pieces whose slopes grow away from the end are joined.
        pieces: list[tuple[int, int | None, Any, Any]] = []
        first = 0
        for end in vertices:
            last = steps if end is None else end + 1
            length = float("inf") if last is None else last - first
            own = rise(first, limit if end is None else end, end is None)
            spread = ar.exp(log_power(log_c, 2 * first)) * geometric_sum(log_c, length, stride=2, arithmetic=ar)
            piece = (first, last, own, spread)
            while pieces and not ar.surely_greater(pieces[-1][2] * piece[3], piece[2] * pieces[-1][3]):
                before = pieces.pop()
                piece = (before[0], piece[1], before[2] + piece[2], before[3] + piece[3])
            pieces.append(piece)
            first = last or 0
        written = []
        for begin, last, own, spread in pieces:
            a = ar.asarray(own / spread * ar.exp(log_power(log_c, begin)))[()]
            # Smaller shifts are not written: a larger one is as good.
            small = bool(ar.midpoint(ar.log(a)) < _SMALLEST)
            text = _SMALL if small and own != 0 else rounded_text(ar.ends(a)[1] * _ENLARGED, DIGITS, up=True)
            written.append(Piece(begin, last, text))
        return Case(tuple(placed), window, tuple(written))

    def windows(self, placed: Sequence[Visits], age: int, *, alone: bool) -> list[Window]:
        """The windows that may prove something about these points; ``alone``: there is one request."""
        if self.start_distance is not None:
            return [(age, "given")]
        reference = self.accountant.reference
        learned = None if self.epochs is None else self.epochs * self.period + age
        found: list[Window] = []
        if not self.accountant.starts_apart:
            if not alone or learned is None:
                found += [(None, "common")] if self.gap > 0 else []
            else:
                found.append((learned, "common"))
        if self.diameter is None or not alone:
            return found
        limit = learned
        if isinstance(reference, int):
            short = reference * self.period + age % self.period
            limit = short if limit is None else min(short, limit)
        if limit is not None:
            found.append((limit, "diameter"))
        for visits in placed:
            for number in self._restarts(visits, age):
                at = age + visits.lag + number * self.period
                if limit is None or at <= limit:
                    found.append((at, "diameter"))
        return found

    def _restarts(self, visits: Visits, age: int) -> list[int]:
        """Numbers of visits to come at which a start from the diameter may be cheapest (see ``shifts/cyclic.py``)."""
        assert self.diameter is not None
        ratio = float(min(self.diameter / (self.unit * visits.count / visits.size), Fraction(10) ** 300))
        log_q = self.period * math.log1p(-float(self.gap)) if self.gap < 1 else -math.inf
        if log_q == 0:
            refill = ratio
        else:
            short = ratio * math.expm1(log_q)
            refill = math.log1p(short) / log_q if short > -1 and math.isfinite(log_q) else 0.0
        wanted = [0.0, 1.0, refill - 2 * (visits.lag + age) / self.period, refill + 2 / self.period - 1]
        near = {max(int(min(x, 2.0**50)) + extra, 0) for x in wanted for extra in (-1, 0, 1, 2)}
        return sorted(number for number in near if self.epochs is None or number < self.epochs)

    def best(self, placed: Sequence[Visits], age: int, ar: Precise, *, alone: bool) -> Case:
        """The case of the window that proves most."""
        cases = [self.case(placed, window, age, ar) for window in self.windows(placed, age, alone=alone)]
        usable = [case for case in cases if case.window[0] != 0]
        if not usable:
            raise InputError("the settings prove nothing: no shifts bring the distance to zero")
        return min(usable, key=lambda case: float(ar.midpoint(ar.asarray(self.mu(case.pieces, ar)))))
