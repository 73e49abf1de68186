"""What noisy steps prove that both runs share, whatever their loss: the string from the start, and blocks between clips.

A string of n steps pays for the distance at the start and for all that the steps themselves can move two models apart
(:mod:`accountant.shifts.moduli`). Where every step clips the model, a block of steps may start anywhere in the ball, and blocks
contract what was proved before (:mod:`accountant.curves.contraction`). Strings stop where they are cheapest: the rest is
post-processing. Of steps that change on the way (:class:`~accountant.problem.Stages`) the blocks are windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from accountant.curves import BlockCurve, Curve, EqualBlocks, GDPCurve, WindowBlocks, Windows
from accountant.numerics import Floats, InputError
from accountant.problem import (
    ConvexHoelder,
    ConvexNonsmooth,
    FineTuning,
    HoelderNonconvex,
    SmoothNonconvex,
    Stages,
    Stepping,
)
from accountant.shifts import (
    Clipped,
    Least,
    Modulus,
    Nonsmooth,
    Smooth,
    Span,
    best_clipped_mu,
    best_mu,
    best_shifts,
    chord_shifts,
    cuts_of,
    hoelder_modulus,
    least_chord,
    windows_of,
)

_SAFE: Final = 1 + 1e-13


def _clipped(algorithm: FineTuning | SmoothNonconvex) -> Clipped | None:
    if algorithm.gradient_clip is None:
        return None
    return Clipped(algorithm.rho, 2 * algorithm.step_size * algorithm.gradient_clip, algorithm.lost)


def _nonsmooth(algorithm: ConvexNonsmooth) -> Modulus:
    return Nonsmooth(algorithm.rho, 2 * algorithm.step_size * algorithm.lipschitz)


def _smooth(algorithm: SmoothNonconvex) -> Modulus:
    # Rounded up where decay and smoothness cancel: a step never maps everything to one point.
    growth = max(algorithm.step_size * (algorithm.smoothness - algorithm.weight_decay), -1 + 2.0**-53)
    smooth = Smooth(1 + growth, growth)
    clipped = _clipped(algorithm)
    return smooth if clipped is None else Least((smooth, clipped))


def _hoelder(algorithm: ConvexHoelder | HoelderNonconvex) -> Modulus:
    return hoelder_modulus(
        step_size=algorithm.step_size, rho=algorithm.rho, lost=algorithm.lost, constant=algorithm.hoelder_constant,
        exponent=algorithm.hoelder_exponent, convex=isinstance(algorithm, ConvexHoelder),
    )  # fmt: skip


#: The modulus of one noiseless step, by the kind of algorithm; None: no bound but the ball.
_MODULI: Final[dict[type[Stepping], Callable[..., Modulus | None]]] = {
    FineTuning: _clipped,
    ConvexNonsmooth: _nonsmooth,
    SmoothNonconvex: _smooth,
    ConvexHoelder: _hoelder,
    HoelderNonconvex: _hoelder,
}


class Witness(NamedTuple):
    """Shifts a_1 ... a_n, after which the runs have met, and distances z_1 ... z_n = 0: mu^2 = sum_k (a_k/sigma)^2.

    With a schedule sigma is each step's own: the question's times what the stage has of it.
    """

    shifts: tuple[float, ...]
    distances: tuple[float, ...]


@dataclass(frozen=True)
class CommonSteps:
    """The bound of one algorithm, from models ``start`` apart; stages: where step sizes and noise change on the way."""

    algorithm: Stepping
    start: float
    stages: Stages | None = None

    name = "optimal"
    source = "shifted interpolation with any modulus of continuity, and contraction between projections (docs/theory.md)"

    def check(self) -> None:
        """InputError where nothing bounds the distance at the start."""
        if not math.isfinite(self.start):
            raise InputError(
                "start_clip must be given (or model_clip, or a start_distance): nothing else bounds how far apart the two "
                "models are before the first step"
            )

    @cached_property
    def modulus(self) -> Modulus | None:
        return _MODULI[type(self.algorithm)](self.algorithm)

    @property
    def blocks(self) -> bool:
        """Whether the model is clipped in every step, so that blocks contract, of steps that change, too."""
        return math.isfinite(self.algorithm.diameter)

    @cached_property
    def _spans(self) -> tuple[Span, ...]:
        """The stages' moduli, which are affine."""
        assert self.stages is not None
        found = []
        for stage, algorithm in zip(self.stages.stages, self.stages.algorithms, strict=True):
            modulus = _MODULI[type(algorithm)](algorithm)
            if isinstance(modulus, Smooth):
                found.append(Span(stage.steps, modulus.log_c, 0.0, stage.noise))
            else:
                assert isinstance(modulus, Clipped)
                found.append(Span(stage.steps, modulus.log_rho, modulus.gap, stage.noise))
        return tuple(found)

    def chord(self, steps: Floats) -> tuple[Floats, Floats]:
        """log mu at sigma = 1 of the least chord of so many steps in all, no fewer than the schedule's own, and where it is."""
        assert self.stages is not None
        return least_chord(self._spans, self.start, np.maximum(steps - self.stages.fixed, 0.0))

    def curve(self, steps: Floats) -> Curve:
        """The curve after so many steps, (P,) or (1,); of single components at log mu = :meth:`log_first` - log sigma."""
        if not self.blocks or self.start == 0:
            return GDPCurve()
        if self.stages is not None:
            return WindowBlocks(
                np.maximum(steps, 1.0), lambda n: self.log_first(n)[:, None], self.log_block, splits=self._splits
            )
        # Without a modulus a block is as good as its last step, so that there are as many as steps.
        kind = EqualBlocks if self.modulus is None else BlockCurve
        return kind(np.maximum(steps, 1.0), lambda n: self.log_first(n)[:, None], self.log_block)

    def _splits(self, steps: int) -> list[Windows]:
        """Splits of so many steps of the schedule into windows with about equally much noise, few at first."""
        assert self.stages is not None
        if steps not in self._known:
            spans = self._spans_of(steps)
            self._known[steps] = [self._windows(spans, np.diff(cuts)) for cuts in cuts_of(spans, steps)]
        return self._known[steps]

    @cached_property
    def _known(self) -> dict[int, list[Windows]]:
        return {}

    def _spans_of(self, steps: int) -> list[Span]:
        """Those of so many steps in all, of known lengths."""
        assert self.stages is not None
        opened = steps - self.stages.fixed
        found = (span if span.steps is not None else span._replace(steps=opened) for span in self._spans)
        return [span for span in found if span.steps]

    def _windows(self, spans: list[Span], lengths: Floats) -> Windows:
        return Windows(lengths, np.array([log_mu for log_mu, _ in self._chords(spans, lengths)]))

    def _chords(self, spans: list[Span], lengths: Floats) -> Iterator[tuple[float, int]]:
        """log mu at sigma = 1 of each window, and after how many of its steps its string stops."""
        for place, window in enumerate(windows_of(spans, lengths)):
            log_mu, stop = least_chord(window, self.algorithm.diameter if place else self.start, np.zeros(1))
            yield float(log_mu[0]), int(stop[0])

    def stops(self, lengths: Floats) -> list[int]:
        """After how many of its steps the string of each window of the schedule stops."""
        return [stop for _, stop in self._chords(self._spans_of(int(lengths.sum())), lengths)]

    def log_first(self, steps: Floats) -> Floats:
        """log mu at sigma = 1 of the string from the start, of at most so many steps, (P,); +inf for no step from apart."""
        return self._log_string(self.start, steps, before_noise=False)

    def log_block(self, steps: Floats) -> Floats:
        """log mu at sigma = 1 of a block of so many steps from anywhere in the ball, (P,)."""
        return self._log_string(self.algorithm.diameter, steps, before_noise=self._clip_first)

    def tightness(self, steps: int) -> float | None:
        """1 where two Gaussian runs attain the string; None where no exact case is known."""
        if self.blocks or self.start == 0 or self.modulus is None:
            return None
        # Of one step, but for what convexity says of Hoelder gradients, which is not known to be attained.
        attained = not isinstance(self.algorithm, ConvexHoelder) or self.algorithm.hoelder_exponent == 0
        return 1.0 if (steps == 1 and attained) or isinstance(self.modulus, Smooth) else None

    def witness(self, steps: int) -> Witness:
        """The shifts of the string from the start, of at most so many steps; InputError where no modulus holds."""
        modulus, clip_first = self.modulus, self._clip_first
        if modulus is None:
            raise InputError("gradient_clip must be given for a witness: without it each step is a block of its own")
        if self.start == 0:
            return Witness((), ())
        if self.stages is not None:
            stop = self.chord(np.array([float(steps)]))[1]
            found, left = chord_shifts(self._spans, self.start, int(stop[0]))
            return Witness(tuple(found), tuple(left))
        start = self.start
        if clip_first and modulus.after(start) > self.algorithm.diameter:
            start = modulus.before(self.algorithm.diameter)
        left = []
        shifts = best_shifts(modulus, start, steps)[1]
        for a in shifts:
            start = max(modulus.after(start) - a, 0.0)
            left.append(start)
        return Witness(tuple(shifts), tuple(left))

    @property
    def _clip_first(self) -> bool:
        return isinstance(self.algorithm, FineTuning) and self.algorithm.clip_first

    def _log_string(self, start: float, steps: Floats, *, before_noise: bool) -> Floats:
        """``before_noise``: the start is a clipped model that gets its noise first."""
        with np.errstate(divide="ignore"):
            if start == 0:
                return np.full(steps.shape, -np.inf)
            if self.stages is not None:
                return self.chord(steps)[0]
            nothing = np.where(steps < 1, np.inf, 0.0)
            modulus, n = self.modulus, np.maximum(steps, 1.0)
            if self._clip_first:
                # The first clipped model of the string is at most the diameter apart, and so is what its first map makes of it.
                apart = (
                    start
                    if before_noise
                    else min(self.algorithm.diameter, math.inf if modulus is None else modulus.after(start))
                )
                return nothing + np.log(_after_noise(modulus, apart, n) * _SAFE)
            assert modulus is not None
            return nothing + np.log(best_mu(modulus, start, n) * _SAFE)


def _after_noise(modulus: Modulus | None, apart: float, n: Floats) -> Floats:
    """mu of strings whose first step is the noise alone, from ``apart``; (P,)."""
    if modulus is None:
        return np.full(n.shape, apart)
    assert isinstance(modulus, Clipped)
    if modulus.rho == 0 or apart <= modulus.gap:
        # One step is cheapest, or nearly.
        return np.full(n.shape, apart)
    # As if a map had made it of a distance a little smaller.
    return np.minimum(best_clipped_mu(modulus, modulus.before(apart), n), apart)
