"""Rewind-to-Delete and Descent-to-Delete on batches, from their definitions: both runs are run, on losses as bad as may be.

A point's loss is f(x; d) = (k/2) x^2 + M d x in one dimension, |d| <= 1: its data part has gradient at most M, its curvature is
k. All points have d = 0 but those that are deleted (d = 1); a stand-in has d = -1 ("replace"), none at all with "zero-out".
Numbers are fractions, so nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from mpmath import erfc, exp, log, mpf, sqrt

#: Sum of d over the points of a batch, and the divisor.
Batch = tuple[int, int]


def visits(steps: int, sizes: Sequence[int], sums: Sequence[int], start: int = 0) -> list[Batch]:
    """What each step sees: batches with these sums of d, in order, over and over, from step ``start`` of the cycle."""
    return [(sums[at % len(sizes)], sizes[at % len(sizes)]) for at in range(start, start + steps)]


def run(x: Fraction, steps: Sequence[Batch], *, eta: Fraction, curvature: Fraction, gradient: Fraction) -> list[Fraction]:
    """Iterates of gradient descent, the start included: the step is the mean gradient of the batch."""
    path = [x]
    for total, size in steps:
        x = x - eta * (curvature * x + gradient * Fraction(total, size))
        path.append(x)
    return path


def rewound(
    sizes: Sequence[int], before: Sequence[int], after: Sequence[int], *, epochs: int, back: int, **loss: Fraction
) -> Fraction:
    """Distance of the model that went ``back`` steps and ran them again on what is left, and that of retraining."""
    length = epochs * len(sizes)
    saved = run(Fraction(1, 3), visits(length, sizes, before), **loss)[length - back]
    unlearned = run(saved, visits(back, sizes, after, start=length - back), **loss)[-1]
    return abs(unlearned - run(Fraction(1, 3), visits(length, sizes, after), **loss)[-1])


def descended(
    sizes: Sequence[int], before: Sequence[int], after: Sequence[int], *, epochs: int, steps: int, **loss: Fraction
) -> Fraction:
    """Distance of the model that goes on for so many steps on what is left, and that of as long a retraining."""
    length = epochs * len(sizes)
    more = visits(steps, sizes, after)
    learned = run(Fraction(1, 3), visits(length, sizes, before), **loss)[-1]
    anew = run(Fraction(1, 3), visits(length, sizes, after), **loss)[-1]
    return abs(run(learned, more, **loss)[-1] - run(anew, more, **loss)[-1])


def removed(n: int, points: int, *, epochs: int, back: int, eta: Fraction, curvature: Fraction, gradient: Fraction) -> Fraction:
    """The same as ``rewound`` on full batches where points really leave: the divisor becomes n - S, the others have d = -1."""
    loss = {"eta": eta, "curvature": curvature, "gradient": gradient}
    full, left = [(points - (n - points), n)], [(-(n - points), n - points)]
    saved = run(Fraction(1, 3), full * epochs, **loss)[epochs - back]
    return abs(run(saved, left * back, **loss)[-1] - run(Fraction(1, 3), left * epochs, **loss)[-1])


def gaussian_delta(epsilon: mpf, mu: mpf) -> mpf:
    """delta(epsilon) of N(0, 1) against N(mu, 1): P(X > log ratio) by the definition of the hockey-stick divergence."""
    if mu == 0:
        return mpf(0)

    def above(x: mpf) -> mpf:
        return erfc(x / sqrt(mpf(2))) / 2

    return above(epsilon / mu - mu / 2) - exp(epsilon) * above(epsilon / mu + mu / 2)


def averaged_delta(epsilon: float, distances: Sequence[Fraction], sizes: Sequence[int], n: int, sigma: float) -> mpf:
    """delta(epsilon) where the deleted point is in batch j with probability |B_j|/n."""
    return sum(
        (
            mpf(size) / n * gaussian_delta(mpf(epsilon), mpf(d.numerator) / d.denominator / mpf(sigma))
            for d, size in zip(distances, sizes, strict=True)
        ),
        mpf(0),
    )


def published_sigma(
    *, epsilon: float, delta: float, steps: int, back: int, n: int, points: int, eta: float, smoothness: float, bound: float
) -> mpf:
    """2 m G h(K)/(L n) sqrt(2 log(1.25/delta))/epsilon with the h(K) of the authors' code."""
    rate = mpf(eta) * mpf(smoothness)
    h = ((1 + rate * n / (n - points)) ** (steps - back) - 1) * (1 + rate) ** back
    return 2 * points * mpf(bound) * h / (mpf(smoothness) * n) * sqrt(2 * log(mpf("1.25") / mpf(delta))) / mpf(epsilon)


def smallest_sigma(holds: Callable[[float], bool], guess: float) -> tuple[float, float]:
    """An interval of relative width 1e-9 around the smallest sigma that keeps a target, by bisection."""
    low, high = guess, guess
    while holds(low):
        low /= 2
    while not holds(high):
        high *= 2
    while high > low * (1 + 1e-9):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if holds(middle) else (middle, high)
    return low, high
