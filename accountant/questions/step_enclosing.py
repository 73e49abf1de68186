"""Answers about common steps to any number of digits: strings of affine moduli in closed form, and chains of blocks.

How many steps a string takes and into which blocks they are split was found in doubles; what is enclosed is what these prove.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from accountant.curves import GDPCurve, Mixture, PrivacyCurve, chained, contracted_in
from accountant.numerics import SMALLEST, Enclosure, InputError, Numbers, Precise, refined_root, settle
from accountant.problem import ConvexHoelder, ConvexNonsmooth, FineTuning, HoelderNonconvex, Read, Stage, Stepping
from accountant.questions.step_accountant import StepAccountant
from accountant.questions.stepping import StepOutcome
from accountant.shifts import Clipped, Least, Smooth, best_stop, clipped_mu, smooth_clipped, windows_of


def enclose_steps(
    accountant: StepAccountant,
    unknown: str,
    exact: dict[str, Fraction],
    *,
    digits: int,
    arithmetic: str,
    read: Read,
    steps: int | None,
    start_distance: float | None,
) -> Enclosure:
    """``unknown`` ("sigma", "epsilon" or "delta") from the two others, exact numbers; steps >= 1, or as a schedule has them.

    InputError for Rényi divergences, and for losses that are not smooth, whose best shifts are a search of doubles.
    """
    if unknown == "rdp":
        raise InputError("rdp is not enclosed for common steps: ask for sigma, epsilon or delta")
    if isinstance(accountant.algorithm, ConvexNonsmooth | ConvexHoelder | HoelderNonconvex):
        raise InputError(
            f"{accountant.algorithm.name} steps have no closed form: their shifts are searched in doubles, "
            "which is all there is"
        )
    outcome = accountant.ask(
        unknown,  # type: ignore[arg-type]
        **{name: float(value) for name, value in exact.items()},
        steps=steps,
        start_distance=start_distance,
    )
    for reason in outcome.refusals.values():
        raise InputError(reason)
    answer, split = float(np.asarray(outcome.answer)), outcome.split

    if unknown == "delta" and answer < SMALLEST:
        raise InputError(f"delta is below {SMALLEST:g}: blocks make it fall super-exponentially, and its digits say nothing")

    def evaluate(ar: Precise, bits: int) -> Numbers:
        given = {name: ar.asarray(value)[()] for name, value in exact.items()}
        string = _Strings(accountant.algorithm, outcome, start_distance, ar, read)
        if len(split) == 1:
            mixture = Mixture(ar.asarray([0]), ar.log(ar.asarray([[string.first(split[0])]])), GDPCurve())
            return PrivacyCurve(mixture, ar, bits).answer(unknown, given, answer)
        mus = string.blocks(split)
        return _chain(unknown, given, mus, answer, ar, bits)

    return settle(evaluate, digits, arithmetic)


class _Strings:
    """mu of strings at sigma = 1 in some arithmetic."""

    def __init__(
        self, algorithm: Stepping, outcome: StepOutcome, start_distance: float | None, ar: Precise, read: Read
    ) -> None:
        self.algorithm, self.ar, self.bound, self.read = algorithm, ar, outcome.bound, read
        self.known: dict[tuple[bool, int], Numbers] = {}

        def exact(name: str) -> Fraction:
            value = getattr(algorithm, name, None)
            return Fraction(0) if value is None else read(value)

        size = self.size = exact("step_size")
        self.rho, self.gap = 1 - size * exact("weight_decay"), 2 * size * exact("gradient_clip")
        self.c = self.rho + size * exact("smoothness")
        self.diameter = 2 * exact("model_clip") if algorithm.model_clip is not None else None
        apart = [] if self.diameter is None else [self.diameter]
        if start_distance is not None:
            apart.append(read(start_distance))
        elif algorithm.start_clip is not None:
            apart.append(exact("start_clip") * (1 if algorithm.start == "centre" else 2))
        self.start = min(apart)

    def first(self, steps: int) -> Numbers:
        return self._string(self.start, steps, False)

    def blocks(self, split: tuple[int, ...]) -> list[Numbers]:
        """mu of every block of a split."""
        stages = self.bound.stages
        if stages is None:
            return [self.first(split[0]), *(self.block(length) for length in split[1:])]
        assert self.diameter is not None
        lengths = np.array(split, dtype=np.float64)
        windows = windows_of(stages.of(sum(split)), lengths)
        starts = [self.start, *[self.diameter] * (len(split) - 1)]
        return [self._changing(*each) for each in zip(windows, starts, self.bound.stops(lengths), strict=True)]

    def block(self, steps: int) -> Numbers:
        assert self.diameter is not None
        return self._string(self.diameter, steps, True)

    def _string(self, start: Fraction, steps: int, block: bool) -> Numbers:
        if (block, steps) not in self.known:
            self.known[block, steps] = self._mu(start, steps, block)
        return self.known[block, steps]

    def _mu(self, start: Fraction, steps: int, block: bool) -> Numbers:
        ar, modulus = self.ar, self.bound.modulus
        if self.bound.stages is not None:
            stop = int(self.bound.chord(np.array([float(steps)]))[1][0])
            return self._changing(self.bound.stages.stages, start, stop)
        if isinstance(self.algorithm, FineTuning) and self.algorithm.clip_first:
            assert self.diameter is not None
            apart = start
            if not block:
                apart = self.diameter if modulus is None else min(self.diameter, self.rho * start + self.gap)
            if modulus is None or self.rho == 0 or apart <= self.gap:
                return ar.asarray(apart)[()]
            start = (apart - self.gap) / self.rho
        if isinstance(modulus, Smooth):
            first = 0
        elif isinstance(modulus, Clipped):
            # The best number of steps, and none after it.
            low = max(math.floor(min(best_stop(modulus, float(start)), float(steps))), 1)
            first = steps = min(
                (low, min(low + 1, steps)), key=lambda n: float(clipped_mu(modulus, float(start), np.array(float(n))))
            )
        else:
            assert isinstance(modulus, Least)
            smooth, clipped = modulus.moduli
            assert isinstance(smooth, Smooth)
            assert isinstance(clipped, Clipped)
            first = int(smooth_clipped(smooth, clipped, float(start), np.array(float(steps)))[1])
        moved, squares = self._sum(self.rho, first), self._sum(self.rho**2, first)
        reached = self._power(self.rho, first) * start + moved * self.gap
        # Waiting steps, of slope c: in units of what they make of a distance.
        waiting = self._sum(1 / self.c**2, steps - first) / self.c**2 if steps > first else ar.asarray(0)[()]
        return reached / ar.sqrt(squares + waiting)

    def _changing(self, stages: Sequence[Stage], start: Fraction, stop: int) -> Numbers:
        """The chord of stages to step ``stop``; every chord holds, whichever it is."""
        ar = self.ar
        reached, noise, left = ar.asarray(start)[()], ar.asarray(0)[()], stop
        for stage in stages:
            n = left if stage.steps is None else min(stage.steps, left)
            size, nu = self.read(stage.step_size), self.read(stage.noise)
            rate = 1 + (self.c - self.rho) / self.size * size - (1 - self.rho) / self.size * size
            if n > 0:
                reached = self._power(rate, n) * reached + self._sum(rate, n) * (self.gap / self.size * size)
                noise = self._power(rate**2, n) * noise + self._sum(rate**2, n) * nu**2
            left -= n
        return reached / ar.sqrt(noise)

    def _power(self, base: Fraction, n: int) -> Numbers:
        ar = self.ar
        if n == 0 or base == 1:
            return ar.asarray(1)[()]
        return ar.asarray(0)[()] if base == 0 else ar.exp(ar.log(ar.asarray(base)[()]) * n)

    def _sum(self, base: Fraction, n: int) -> Numbers:
        """1 + base + ... + base^(n-1)."""
        if base == 1 or n <= 1:
            return self.ar.asarray(n)[()]
        return (1 - self._power(base, n)) / (1 - base)


def _chain(unknown: str, given: dict[str, Any], mus: list[Numbers], answer: float, ar: Precise, bits: int) -> Numbers:
    def log_delta(epsilon: Numbers, sigma: Numbers) -> Numbers:
        reached, each = ar.asarray([0]), np.full(1, epsilon)
        for mu in mus:
            reached = contracted_in(reached, each, np.full(1, mu / sigma), ar)
        return reached[0]

    if unknown == "delta":
        return ar.exp(log_delta(given["epsilon"], given["sigma"]))
    target = ar.log(given["delta"])

    def slope(epsilon: Any, sigma: Any, read: Callable[..., float]) -> Numbers:
        """In doubles, which is enough for Newton's method."""
        at = [(np.array([float(ar.midpoint(mu / sigma))]), 1) for mu in mus]
        return ar.asarray(read(chained(np.array([float(ar.midpoint(epsilon))]), at)))[()]

    def excess(x: Any) -> tuple[Numbers, Numbers]:
        if unknown == "epsilon":
            return log_delta(x, given["sigma"]) - target, slope(x, given["sigma"], lambda found: float(found.by_epsilon[0]))
        by_log = slope(given["epsilon"], x, lambda found: float(found.by_log_mu[0]))
        return log_delta(given["epsilon"], x) - target, -by_log / x

    return refined_root(excess, start=answer, arithmetic=ar, bits=bits)
