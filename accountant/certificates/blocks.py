"""What noisy steps prove that both runs share: strings of shifts, block by block, and their contraction, in balls.

The shifts of a block of n steps are shift rho^r, r steps before its end: proportional to the weights of the steps, which is
cheapest, so one number says all of them. Blocks contract delta one after the other: docs/guides/certificates.md, "Fine-tuning".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Final

from accountant.certificates.format import Ends, WrittenBlocks
from accountant.certificates.ratio import ball, bits, ends, text_ends
from accountant.numerics import InputError, UnreachableError, rounded_text
from accountant.problem import CENTRE, FineTuning, decimal
from accountant.shifts import Clipped, best_stop

if TYPE_CHECKING:
    from flint import arb

#: Working precision of the shifts, and their digits.
_BITS: Final = 640
_DIGITS: Final = 45
#: Working precisions of the curve.
_PRECISIONS: Final = (320, 640, 1280, 2560)
_APART: Final = Fraction(1, 10**32)
#: Narrower than what a checker calls tight.
_TIGHT: Final = 10**26
_MOST_STEPS: Final = 60
#: What is smaller has no digits that anybody needs.
_NEGLIGIBLE: Final = ("0", "1e-1001")
_LEAST: Final = "1e-1003"


@dataclass(frozen=True)
class Block:
    """So many equal blocks of so many steps, and the last shift of each, a decimal."""

    count: int
    steps: int
    shift: str

    @property
    def written(self) -> WrittenBlocks:
        return {"blocks": self.count, "steps": self.steps, "shift": self.shift}


class Lengths:
    """The constants of an algorithm in exact numbers, and how far apart two models are. InputError if they contradict."""

    def __init__(self, algorithm: FineTuning, start_distance: Fraction | None) -> None:
        gamma = decimal(algorithm.step_size)
        #: 1 - rho.
        self.lost = gamma * decimal(algorithm.weight_decay)
        if self.lost > 1:
            raise InputError(
                f"weight_decay must be at most 1/step_size as an exact decimal, got {algorithm.weight_decay!r} for step_size "
                f"{algorithm.step_size!r}"
            )
        self._clip_first = algorithm.clip_first
        self._gap = None if algorithm.gradient_clip is None else 2 * gamma * decimal(algorithm.gradient_clip)
        self._diameter = None if algorithm.model_clip is None else 2 * decimal(algorithm.model_clip)
        apart = start_distance
        if apart is None and algorithm.start_clip is not None:
            apart = decimal(algorithm.start_clip) * (1 if algorithm.start == CENTRE else 2)
        known = [length for length in (apart, self._diameter) if length is not None]
        if not known:
            raise InputError("start_clip must be given, or model_clip, or a start_distance")
        self.start = min(known)

    def arrives(self, *, first: bool) -> Fraction:
        """How far apart two models are at most when a block's first noise comes."""
        if self._clip_first:
            assert self._diameter is not None
            if not first or self._gap is None:
                return self._diameter
            return min(self._diameter, (1 - self.lost) * self.start + self._gap)
        apart = self.start if first else self._diameter
        assert apart is not None
        assert self._gap is not None
        return (1 - self.lost) * apart + self._gap

    def block(self, count: int, most: int, *, first: bool) -> Block:
        """Blocks of at most so many steps each: of the number of them at which mu is least, the rest is post-processing."""
        arrives = self.arrives(first=first)
        with bits(_BITS):
            return min(
                ((self._mu(steps, shift), Block(count, steps, shift))
                 for steps in self._candidates(arrives, most) for shift in [self._shift(arrives, steps)]),
                key=lambda pair: pair[0],
            )[1]  # fmt: skip

    def _candidates(self, arrives: Fraction, most: int) -> list[int]:
        if self._gap is None or arrives <= self._gap or self.lost == 1:
            return [1]
        modulus = Clipped(float(1 - self.lost), float(self._gap), float(self.lost))
        best = best_stop(modulus, float((arrives - self._gap) / (1 - self.lost)))
        near = [most] if math.isinf(best) else [math.floor(best), math.floor(best) + 1]
        return sorted({min(max(number, 1), most) for number in near})

    def _shift(self, arrives: Fraction, steps: int) -> str:
        moved = ball(self._gap or Fraction(0)) * self.total(steps - 1, 1)
        needed = (moved + ball(arrives) * self.power(steps - 1)) / self.total(steps, 2)
        return rounded_text(ends(needed)[1], _DIGITS, up=True)

    def _mu(self, steps: int, shift: str) -> float:
        return float(ball(Fraction(shift)) * self.total(steps, 2).sqrt())

    def power(self, count: int) -> arb:
        """rho^count, at the precision in force."""
        from flint import arb

        if self.lost in (0, 1) or count == 0:
            return arb(int(self.lost == 0 or count == 0))
        return (count * (-ball(self.lost)).log1p()).exp()

    def total(self, count: int, stride: int) -> arb:
        """1 + rho^stride + ..., ``count`` terms."""
        from flint import arb

        if self.lost in (0, 1):
            return arb(count if self.lost == 0 else min(count, 1))
        log = stride * (-ball(self.lost)).log1p()
        return (count * log).expm1() / log.expm1()


class BlockProof:
    """The curve of a string of shifts, or of blocks that contract."""

    def __init__(self, lengths: Lengths, split: Sequence[int], sigma: Fraction) -> None:
        self._lengths, self._sigma = lengths, sigma
        sizes = [size for size in split if size > 0]
        runs = [(sizes[0], 1), *((size, len(list(run))) for size, run in itertools.groupby(sizes[1:]))]
        self.blocks = [lengths.block(count, size, first=k == 0) for k, (size, count) in enumerate(runs)]
        if len(self.blocks) > 1 and replace(self.blocks[0], count=self.blocks[1].count) == self.blocks[1]:
            self.blocks[:2] = [replace(self.blocks[0], count=1 + self.blocks[1].count)]
        self._known: dict[int, list[tuple[int, arb]]] = {}

    @cached_property
    def count(self) -> int:
        """Blocks in all."""
        return sum(block.count for block in self.blocks)

    def mu(self) -> Ends | None:
        """Of a single string; blocks that contract have none."""
        if self.count > 1:
            return None
        with bits(_BITS):
            return text_ends(*ends(self._mus()[0][1]))

    def delta(self, epsilon: Fraction) -> Ends:
        """An enclosure of delta at an epsilon."""
        for precision in _PRECISIONS:
            with bits(precision):
                value = self._delta(ball(epsilon))
                if value is None:
                    return list(_NEGLIGIBLE)
                if not value.is_finite():
                    continue
                low, high = ends(value)
                if (high - low) * _TIGHT <= high:
                    return text_ends(max(low, Fraction(0)), min(high, Fraction(1)))
        raise UnreachableError(f"delta at epsilon = {float(epsilon):g} cannot be enclosed")

    def epsilon(self, delta: Fraction, start: float) -> tuple[Fraction, Fraction]:
        """The ends of an enclosure of the smallest epsilon at a delta; start: about that."""
        for precision in _PRECISIONS:
            with bits(precision):
                if self._excess(ball(Fraction(0)), delta) <= 0:
                    return Fraction(0), Fraction(0)
                try:
                    middle = self._root(delta, start)
                    low, high = (Fraction(text) for text in text_ends(middle * (1 - _APART), middle * (1 + _APART)))
                except ArithmeticError:
                    # More bits may help.
                    continue
                if self._excess(ball(low), delta) >= 0 and self._excess(ball(high), delta) <= 0:
                    return low, high
        raise UnreachableError(f"epsilon at delta = {float(delta):g} cannot be enclosed")

    def _root(self, delta: Fraction, start: float) -> Fraction:
        """By the secant method on log delta."""
        from flint import arb, ctx

        points: list[tuple[arb, arb]] = []
        at = arb(max(start, 1e-300))
        for _ in range(_MOST_STEPS):
            value = self._excess(at, delta).mid()
            if not value.is_finite():
                # Too far out to be a number.
                at = ((at + points[-1][0]) / 2 if points else at / 2).mid()
                continue
            points.append((at, value))
            if value == 0:
                break
            if len(points) == 1:
                at = (at * (1 + arb(2) ** -30)).mid()
                continue
            (before, was), (now, has) = points[-2:]
            if has == was:
                break
            # Never across zero, nor further than a factor of two.
            move = ((before - now) * has / (has - was)).mid()
            at = (now + move).mid().max(now / 2).min(now * 2).mid()
            if abs(at - now) <= abs(at) * arb(2) ** -int(0.6 * ctx.prec):
                break
        if not points:
            raise ArithmeticError("nowhere a number")
        return ends(at)[0]

    def _excess(self, epsilon: arb, delta: Fraction) -> arb:
        """log of what is proved over delta, -infinity for what is negligible."""
        from flint import arb

        value = self._delta(epsilon)
        return arb("-inf") if value is None else value.log() - ball(delta).log()

    def _delta(self, epsilon: arb) -> arb | None:
        """delta at the precision in force; None for less than anybody needs."""
        from flint import arb

        root, odds, value = arb(2).sqrt(), epsilon.expm1(), arb(1)
        for count, mu in self._mus():
            wide, half = 1 / (mu * root), mu / (2 * root)
            for _ in range(count):
                inner = (odds / value).log1p()
                tail = inner * wide
                value = value * ((tail - half).erfc() - (1 + odds / value) * (tail + half).erfc()) / 2
                if value < arb(_LEAST):
                    return None
        return value

    def _mus(self) -> list[tuple[int, arb]]:
        from flint import ctx

        if ctx.prec not in self._known:
            self._known[ctx.prec] = [
                (block.count, ball(Fraction(block.shift)) * self._lengths.total(block.steps, 2).sqrt() / ball(self._sigma))
                for block in self.blocks
            ]
        return self._known[ctx.prec]
