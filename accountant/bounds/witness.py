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
from functools import cached_property
from typing import Final, cast

import numpy as np

from accountant.bounds.base import Setting
from accountant.numerics import InputError, Numbers, Precise, geometric_sum, log_power, rounded_text
from accountant.problem import exact_gap, exact_step_size
from accountant.shifts import restarts

#: Digits of the shifts, and by how much they are enlarged so that rounding cannot leave a distance open.
DIGITS: Final = 44
_ENLARGED: Final = 1 + Fraction(1, 10**40)
#: Natural logarithm below which a shift is written as this.
_SMALLEST: Final = -184_000.0
_SMALL: Final = "1e-79000"
#: Most visits to come after a restart: the steps of more are no number of a certificate.
_MOST_VISITS: Final = 2.0**50
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
    """Some placed points of a run, a window, and the shifts that bring their distance to zero by its end."""

    run: Run
    placed: tuple[Visits, ...]
    window: Window
    pieces: tuple[Piece, ...]

    def mu(self, ar: Precise) -> Numbers:
        """sqrt of the sum of the squared shifts over the noise, of exactly these shifts."""
        log_c = self.run.log_c(ar)
        total: Numbers = ar.asarray(0)[()]
        for piece in self.pieces:
            length = math.inf if piece.last is None else piece.last - piece.first
            a = ar.asarray(Fraction(piece.a))[()]
            total = total + a * a * geometric_sum(log_c, length, stride=2, arithmetic=ar)
        return ar.sqrt(ar.asarray(total / ar.asarray(self.run.variance)[()])[()])


@dataclass(frozen=True)
class Run:
    """A setting with its noise, and the distance at the start of unlearning if that is given: constants as exact fractions."""

    setting: Setting
    sigma: Fraction
    start_distance: Fraction | None = None

    @cached_property
    def gap(self) -> Fraction:
        """1 - c."""
        return max(exact_gap(self.setting.algorithm, self.setting.number.read), Fraction(0))

    @cached_property
    def _eta(self) -> Fraction:
        return exact_step_size(self.setting.algorithm, self.setting.number.read)

    @cached_property
    def variance(self) -> Fraction:
        """Of the noise of a step."""
        return 2 * self._eta * self.sigma**2

    @cached_property
    def _unit(self) -> Fraction:
        """What one point changes in a step on a batch of its own."""
        algorithm, read = self.setting.algorithm, self.setting.number.read
        longest = read(algorithm.problem.lipschitz) * read(algorithm.norm_class)
        return Fraction(algorithm.sensitivity_factor) * self._eta * longest

    @cached_property
    def diameter(self) -> Fraction | None:
        radius = self.setting.algorithm.radius
        return None if radius is None else 2 * self.setting.number.read(radius)

    @property
    def period(self) -> int:
        return self.setting.algorithm.steps_per_epoch

    def sensitivity(self, visits: Visits) -> Fraction:
        """How far apart a visit moves the two runs."""
        return self._unit * visits.count / visits.size

    def start(self, word: str) -> Fraction:
        """The distance at the start of a window that this word stands for."""
        return {"diameter": self.diameter, "given": self.start_distance}.get(word) or Fraction(0)

    def log_c(self, ar: Precise) -> Numbers:
        return 0.0 if self.gap == 0 else -math.inf if self.gap >= 1 else ar.log1p(-ar.asarray(self.gap)[()])

    def best(self, placed: Sequence[Visits], age: int, *, alone: bool) -> Case:
        """The case of the window that proves most, ``age`` steps after the request; in the arithmetic of the setting."""
        ar = cast(Precise, self.setting.arithmetic)
        windows = self.windows(placed, age, alone=alone)
        cases = [_case(_Arrivals(self, tuple(placed), window, age, ar)) for window in windows if window[0] != 0]
        if not cases:
            raise InputError("the settings prove nothing: no shifts bring the distance to zero")
        return min(cases, key=lambda case: float(ar.midpoint(ar.asarray(case.mu(ar)))))

    def windows(self, placed: Sequence[Visits], age: int, *, alone: bool) -> list[Window]:
        """The windows that may prove something about these points; ``alone``: there is one request."""
        if self.start_distance is not None:
            return [(age, "given")]
        epochs = float(self.setting.shared_epochs(np.array(float(age))))
        shared = None if epochs == math.inf else int(epochs) * self.period + age
        windows: list[Window] = []
        if not self.setting.starts_apart:
            if alone and shared is not None:
                windows.append((shared, "common"))
            elif self.gap > 0:
                windows.append((None, "common"))
        if self.diameter is None or not alone:
            return windows
        if shared is not None:
            windows.append((shared, "diameter"))
        if epochs >= 1:
            # Together the points move the runs apart as far as one point would that does all of it in one visit an epoch.
            ratio = min(self.diameter / sum(map(self.sensitivity, placed)), Fraction(10) ** 300)
            for visits in placed:
                last = age + visits.lag
                windows += [(last + number * self.period, "diameter") for number in self._restarts(float(ratio), last, epochs)]
        return windows

    def _restarts(self, ratio: float, last: int, epochs: float) -> list[int]:
        """Numbers of visits to come at which a start from the diameter may be cheapest; ``last``: steps after the last one."""
        numbers = restarts(
            ratio=np.array(ratio),
            log_q=self.period * math.log1p(-float(self.gap)) if self.gap < 1 else -math.inf,
            steps_per_epoch=self.period,
            visits=np.array(epochs),
            tail=np.array(float(last)),
        )
        return sorted({int(min(float(number), _MOST_VISITS)) for number in numbers})


@dataclass(frozen=True)
class _Arrivals:
    """What arrives in a window: the differences that visits make, and the distance at its start."""

    run: Run
    placed: tuple[Visits, ...]
    window: Window
    age: int
    ar: Precise

    @property
    def limit(self) -> int | None:
        """The first step of the window, None for ever."""
        steps = self.window[0]
        return None if steps is None else steps - 1

    def ends(self) -> list[int]:
        """Steps with the last and the first visit to each batch, but those at the start of the window."""
        ends: set[int] = set()
        if self.run.gap < 1:
            for visits in self.placed:
                number = self._count(visits, self.limit)
                if number:
                    ends.add(self.age + visits.lag)
                    if number < math.inf:
                        ends.add(self.age + visits.lag + (int(number) - 1) * self.run.period)
        return sorted(end for end in ends if end != self.limit)

    def _count(self, visits: Visits, last: int | None) -> float:
        """Visits at steps <= last."""
        if last is None:
            return math.inf
        number, epochs = max((last - self.age - visits.lag) // self.run.period + 1, 0), self.run.setting.algorithm.learn_epochs
        return number if self.window[0] is None or epochs is None else min(number, epochs)

    def rise(self, first: int, last: int | None) -> Numbers:
        """What arrives at steps first <= r <= last, times c^r; with the start of the window if ``last`` is None."""
        run, ar = self.run, self.ar
        log_c, steps = run.log_c(ar), self.window[0]
        total: Numbers = ar.asarray(0)[()]
        for visits in self.placed:
            before = self._count(visits, first - 1)
            number = self._count(visits, self.limit if last is None else last) - before
            if number > 0:
                h = ar.asarray(run.sensitivity(visits))[()]
                at = self.age + visits.lag + before * run.period
                sum_ = geometric_sum(log_c, number, stride=run.period, arithmetic=ar)
                total = total + h * ar.exp(log_power(log_c, at)) * sum_
        start = run.start(self.window[1])
        if last is None and steps is not None and start:
            total = total + ar.asarray(start)[()] * ar.exp(log_power(log_c, steps))
        return total


def _case(arrivals: _Arrivals) -> Case:
    """The cheapest shifts for what arrives: a majorant by pooling, which joins pieces whose slopes grow away from the end."""
    ar, steps = arrivals.ar, arrivals.window[0]
    log_c = arrivals.run.log_c(ar)
    pieces: list[tuple[int, int | None, Numbers, Numbers]] = []
    first = 0
    for end in [*arrivals.ends(), None]:
        last = steps if end is None else end + 1
        length = math.inf if last is None else last - first
        spread = ar.exp(log_power(log_c, 2 * first)) * geometric_sum(log_c, length, stride=2, arithmetic=ar)
        piece = (first, last, arrivals.rise(first, end), spread)
        while pieces and not ar.surely_greater(pieces[-1][2] * piece[3], piece[2] * pieces[-1][3]):
            before = pieces.pop()
            piece = (before[0], piece[1], before[2] + piece[2], before[3] + piece[3])
        pieces.append(piece)
        first = last or 0
    written = [Piece(begin, last, _shift(rise, spread, begin, log_c, ar)) for begin, last, rise, spread in pieces]
    return Case(arrivals.run, arrivals.placed, arrivals.window, tuple(written))


def _shift(rise: Numbers, spread: Numbers, begin: int, log_c: Numbers, ar: Precise) -> str:
    """The shift at the first step of a piece, as a decimal that is no smaller."""
    a = ar.asarray(rise / spread * ar.exp(log_power(log_c, begin)))[()]
    # Smaller shifts are not written: a larger one is as good.
    small = bool(ar.midpoint(ar.log(a)) < _SMALLEST)
    return _SMALL if small and rise != 0 else rounded_text(ar.ends(a)[1] * _ENLARGED, DIGITS, up=True)
