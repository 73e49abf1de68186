"""Answers to any number of digits where blocks contract behind a radius: what the split that was found in doubles proves."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from accountant.curves import averaged, chained, contracted_in
from accountant.numerics import SMALLEST, Enclosure, InputError, Numbers, Precise, refined_root, settle
from accountant.problem import Number, Read
from accountant.questions.outcome import Outcome


def enclose_blocks(
    outcome: Outcome, unknown: str, exact: dict[str, Fraction], *, digits: int, arithmetic: str, read: Read
) -> Enclosure:
    """``unknown`` ("sigma", "epsilon" or "delta") from the two others, exact numbers, of an outcome whose blocks contract."""
    answer = float(np.asarray(outcome.answer))
    if unknown == "delta" and answer < SMALLEST:
        raise InputError(f"delta is below {SMALLEST:g}: blocks make it fall super-exponentially, and its digits say nothing")

    def evaluate(ar: Precise, bits: int) -> Numbers:
        weights, first, blocks = outcome.chain_in(Number(ar, read))
        given = {name: ar.asarray(value)[()] for name, value in exact.items()}
        return _Chain(ar.exp(weights), ar.exp(first), ar.exp(blocks), ar).answer(unknown, given, answer, bits)

    return settle(evaluate, digits, arithmetic)


class _Chain:
    """Components (C,), and the blocks after them, at sigma = 1; in some arithmetic, and in doubles for slopes."""

    def __init__(self, weights: Numbers, first: Numbers, blocks: Numbers, ar: Precise) -> None:
        self.weights, self.first, self.blocks, self.ar = weights, first, blocks, ar
        self.some = np.flatnonzero(ar.midpoint(first) > 0)
        self.doubles = tuple(ar.midpoint(x).astype(float) for x in (weights, first, blocks))

    def answer(self, unknown: str, given: dict[str, Any], answer: float, bits: int) -> Numbers:
        ar = self.ar
        if unknown == "delta":
            return self._delta(given["epsilon"], given["sigma"])
        target = ar.log(given["delta"])

        def excess(x: Any) -> tuple[Numbers, Numbers]:
            epsilon, sigma = (x, given["sigma"]) if unknown == "epsilon" else (given["epsilon"], x)
            log_delta = ar.log(self._delta(epsilon, sigma))
            by_epsilon, by_log_mu = self._slopes(float(ar.midpoint(epsilon)), float(ar.midpoint(sigma)))
            return log_delta - target, by_epsilon if unknown == "epsilon" else -by_log_mu / x

        return refined_root(excess, start=answer, arithmetic=ar, bits=bits)

    def _delta(self, epsilon: Numbers, sigma: Numbers) -> Numbers:
        ar, first = self.ar, self.first[self.some]
        at = np.full(first.shape, epsilon)
        reached = contracted_in(ar.asarray([0] * first.size), at, first / sigma, ar)
        for mu in self.blocks:
            reached = contracted_in(reached, at, np.full(first.shape, mu / sigma), ar)
        return (self.weights[self.some] * ar.exp(reached)).sum()

    def _slopes(self, epsilon: float, sigma: float) -> tuple[Numbers, Numbers]:
        """By epsilon and log mu, in doubles, which is enough for Newton's method."""
        weights, first, blocks = self.doubles
        mus = [first[self.some], *(np.full(self.some.size, mu) for mu in blocks.tolist())]
        reached = chained(np.full(self.some.size, epsilon), [(mu / sigma, 1) for mu in mus])
        mean = averaged(type(reached)(*(part[None] for part in reached)), np.log(weights[self.some]))
        read: Callable[[Any], Numbers] = lambda part: self.ar.asarray(float(part[0]))[()]  # noqa: E731
        return read(mean.by_epsilon), read(mean.by_log_mu)
