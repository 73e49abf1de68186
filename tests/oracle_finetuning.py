"""An independent oracle for noisy fine-tuning as published: the formulas, the recursion and the chord, in mpmath.

Written from the mathematical description alone (sections 3, 8, 9 and 10), sharing no code with the package. C0, C1, C2: what
the start, gradients and the model in every step are clipped to; gamma the step size, lam the weight decay, T steps.
"""

from __future__ import annotations

from collections.abc import Callable

from mpmath import mp, mpf

mp.dps = 60  # differences of tails down to 1e-40 or so


def theta(e: mpf, mu: mpf) -> mpf:
    """The hockey-stick divergence of N(mu, 1) against N(0, 1) at epsilon e."""
    return mp.ncdf(-e / mu + mu / 2) - mp.exp(e) * mp.ncdf(-e / mu - mu / 2)


def bisect(holds: Callable[[mpf], bool], low: mpf, high: mpf) -> mpf:
    """The boundary between low, where it does not hold, and high, where it does."""
    for _ in range(140):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def epsilon_of(mu: float | mpf, delta: float) -> mpf:
    """The epsilon of mu-GDP."""
    mu = mpf(mu)
    return bisect(lambda e: theta(e, mu) <= mpf(delta), mpf(0), mpf(10000))


def mu_of(epsilon: float, delta: float) -> mpf:
    """The largest mu for (epsilon, delta)."""
    return bisect(lambda mu: theta(mpf(epsilon), mu) > mpf(delta), mpf("1e-6"), mpf(1000))


def chord(C0: float, C1: float, gamma: float, lam: float, T: int) -> mpf:
    """mu at sigma = 1 of one string over all T steps, summed step by step."""
    rho = 1 - mpf(gamma) * mpf(lam)
    moved, spread = 2 * mpf(C0), mpf(0)
    for _ in range(T):
        moved = rho * moved + 2 * mpf(gamma) * mpf(C1)
        spread = rho**2 * spread + 1
    return moved / mp.sqrt(spread)


def clipping_sigma(C0: float, C1: float, gamma: float, T: int, epsilon: float, delta: float) -> mpf:
    """sigma^2 = 9 log(1/delta) (C0 + C1 gamma T)^2/(epsilon^2 T)."""
    return mp.sqrt(9 * mp.log(1 / mpf(delta)) * (mpf(C0) + mpf(C1) * mpf(gamma) * T) ** 2 / (mpf(epsilon) ** 2 * T))


def clipping_limit(delta: float) -> mpf:
    """The largest epsilon at which that is enough: its mu, 2 (C0 + C1 gamma T)/(sigma sqrt T), does not depend on the run."""
    slope = 2 / mp.sqrt(9 * mp.log(1 / mpf(delta)))
    return bisect(lambda e: theta(e, slope * e) > mpf(delta), mpf("0.01"), mpf(100))


def output_sigma(C0: float, epsilon: float, delta: float) -> mpf:
    """sigma = 2 C0 sqrt(2 log(1.25/delta))/epsilon."""
    return 2 * mpf(C0) * mp.sqrt(2 * mp.log(mpf("1.25") / mpf(delta))) / mpf(epsilon)


def output_limit(delta: float) -> mpf:
    """The largest epsilon at which that is enough."""
    slope = 1 / mp.sqrt(2 * mp.log(mpf("1.25") / mpf(delta)))
    return bisect(lambda e: theta(e, slope * e) > mpf(delta), mpf("0.01"), mpf(100))


def chain(epsilon: float | mpf, mu: float | mpf, T: int) -> mpf:
    """delta after T steps of model clipping: delta <- delta Theta(log(1 + (e^epsilon - 1)/delta); mu), from 1."""
    delta = mpf(1)
    for _ in range(T):
        delta *= theta(mp.log(1 + (mp.exp(epsilon) - 1) / delta), mpf(mu))
    return delta


def chain_steps(epsilon: float, delta: float, mu: float) -> int:
    """The fewest steps of it."""
    steps = 1
    while chain(epsilon, mu, steps) > mpf(delta):
        steps += 1
    return steps


def logged(renyi: float, delta: float) -> mpf:
    """What the public code logs: the usual conversion, as if the divergence were epsilon_R at every order up to 1000."""
    order = mpf(1000)
    return mpf(renyi) + mp.log((order - 1) / order) - (mp.log(mpf(delta)) + mp.log(order)) / (order - 1)
