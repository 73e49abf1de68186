"""Exact laws for secret batches (section 7 of the mathematical description), sharing no code with the package.

In the linear instance every record i pushes by a constant d_i at its visits, x <- c x + sum of pushes + nu W from x = 0:
given everybody's draws the last iterate is Gaussian, so every law below is a finite mixture of Gaussians of one variance,
and its hockey-stick divergence is exact up to the rounding of Phi. Time is counted in steps, step k visits batch k mod J.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from mpmath import mp, mpf
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp, ndtr

Array = NDArray[np.float64]
Law = tuple[Array, Array]  # weights, means; the variance is one

MNIST_N = 11264


@dataclass(frozen=True)
class Instance:
    """A contraction c, the step's noise nu, J batches."""

    c: float
    nu: float
    J: int


def mnist(batch_size: int, sigma: float) -> tuple[Instance, float]:
    """The preset of the published experiments, and h = eta M / b (M = 1)."""
    m = 1e-6 * MNIST_N
    eta = 1 / (0.25 + m)
    return Instance(1 - eta * m, math.sqrt(2 * eta) * sigma, MNIST_N // batch_size), eta / batch_size


# Visits, means, strings


def visits(instance: Instance, j: int, start: int, end: int) -> range:
    """The steps start <= k < end that visit batch j."""
    return range(start + (j - start) % instance.J, end, instance.J)


def push(instance: Instance, steps: Iterable[int], end: int, h: float = 1.0) -> float:
    """What visits at these steps add to the mean after step end - 1."""
    return h * math.fsum(instance.c ** (end - 1 - k) for k in steps)


def spread(instance: Instance, length: int | None) -> float:
    """The standard deviation of the last iterate: `length` steps from a point, None for the stationary one."""
    c = instance.c
    if length is None:
        return instance.nu / math.sqrt(1 - c * c)
    return instance.nu * (math.sqrt(length) if c == 1 else math.sqrt(math.expm1(2 * length * math.log(c)) / (c * c - 1)))


def converged_scales(instance: Instance, h: float, steps: int) -> Array:
    """mu_j after infinitely many epochs with the record and `steps` steps without it (the chord)."""
    c, J = instance.c, instance.J
    ages = np.arange(J - 1, -1, -1)
    return h * c ** (ages + steps) / (1 - c**J) / spread(instance, None)


def string(sensitivities: Sequence[float], c: float, nu: float, start: float = 0.0) -> float:
    """mu of the cheapest shifts (greatest convex minorant), by the plain quadratic algorithm."""
    n = len(sensitivities)
    weight = [c ** (n - 1 - k) for k in range(n)]
    reached = [0.0, *itertools.accumulate((w * h for w, h in zip(weight, sensitivities, strict=True)), initial=0.0)]
    reached = [0.0] + [start * c**n + value for value in reached[2:]]
    time = [0.0, *itertools.accumulate((w * nu) ** 2 for w in weight)]
    at, mu2 = 0, 0.0
    while at < n:
        slopes = [(reached[k] - reached[at]) / (time[k] - time[at]) for k in range(at + 1, n + 1)]
        best = min(range(len(slopes)), key=lambda i: (slopes[i], -i))
        mu2 += slopes[best] ** 2 * (time[at + 1 + best] - time[at])
        at += 1 + best
    return math.sqrt(mu2)


def capped_string(sensitivities: Sequence[float], c: float, nu: float, diameter: float) -> float:
    """The same on a set of this diameter: from a common start, or from any step on at the diameter."""
    mus = [string(sensitivities, c, nu)]
    mus += [string(sensitivities[k:], c, nu, diameter) for k in range(len(sensitivities))]
    return min(mus)


# Hockey-stick divergences


def _log_density(law: Law, x: Array) -> Array:
    out = np.empty_like(x)
    weights, means = law
    log_w = np.log(weights)
    for i in range(0, len(x), 256):
        out[i : i + 256] = logsumexp(log_w - (x[i : i + 256, None] - means) ** 2 / 2, axis=1)
    return out


def pure(mean: float) -> Law:
    return np.ones(1), np.array([float(mean)])


def law(weights: Sequence[float] | Array, means: Sequence[float] | Array) -> Law:
    """A mixture without its components of weight zero."""
    w, m = np.asarray(weights, float), np.asarray(means, float)
    return w[w > 0], m[w > 0]


def merged(mixture: Law) -> Law:
    """Components of the same mean are one."""
    means, at = np.unique(mixture[1], return_inverse=True)
    return np.bincount(at, mixture[0]), means


def _around(means: Array, width: float, grid: float) -> Array:
    """A grid that covers what is nearer to a mean than `width`; farther away nothing of 1e-30 is left."""
    means = np.sort(means)
    groups = np.split(means, np.flatnonzero(np.diff(means) > 2 * width) + 1)
    return np.concatenate([np.arange(group[0] - width, group[-1] + width + grid, grid) for group in groups])


def hockey_stick(p: Law, q: Law, epsilon: float, *, grid: float = 0.01) -> float:
    """H_g(p || q) of two mixtures of Gaussians of variance one; every sign change of p - g q wider than the grid is found."""
    p, q = merged(p), merged(q)
    x = _around(np.concatenate([p[1], q[1]]), 12 + abs(epsilon), grid)

    def sign(points: Array) -> Array:
        return _log_density(p, points) - _log_density(q, points) - epsilon

    positive = sign(x) > 0
    at = np.flatnonzero(positive[1:] != positive[:-1])
    left, right, up = x[at].copy(), x[at + 1].copy(), positive[at + 1]
    for _ in range(60):
        middle = (left + right) / 2
        beyond = (sign(middle) > 0) == up
        right, left = np.where(beyond, middle, right), np.where(beyond, left, middle)
    edges = [-np.inf] * bool(positive[0]) + list((left + right) / 2) + [np.inf] * bool(positive[-1])
    g = math.exp(epsilon)
    pieces = []
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        pieces += [_mass(p, a, b), -g * _mass(q, a, b)]
    return max(0.0, math.fsum(pieces))


def _mass(mixture: Law, a: float, b: float) -> float:
    """P(a < X < b), every component from the tail that is the smaller."""
    weights, means = mixture
    lo, hi = a - means, b - means
    flip = lo > 0
    lo, hi = np.where(flip, -hi, lo), np.where(flip, -lo, hi)
    return math.fsum(weights * (ndtr(hi) - ndtr(lo)))


def monotone_delta(mixture: Law, epsilon: float, outside: float = 0.0) -> tuple[float, float]:
    """Both directions of a mixture of scales >= 0 against N(-outside, 1), whose likelihood ratio increases."""
    weights, means = mixture
    means = means + outside
    log_w = np.log(weights)

    def ratio(x: float) -> float:
        return float(logsumexp(log_w + means * x - means**2 / 2))

    g = math.exp(epsilon)

    def root(level: float) -> float:
        left, right = -1e4, 1e4
        if ratio(left) > level:
            return -math.inf
        if ratio(right) < level:
            return math.inf
        for _ in range(200):
            middle = (left + right) / 2
            left, right = (left, middle) if ratio(middle) > level else (middle, right)
        return (left + right) / 2

    x = root(epsilon)
    forward = math.fsum(weights * ndtr(means - x)) - g * float(ndtr(-x))
    x = root(-epsilon)
    backward = float(ndtr(x)) - g * math.fsum(weights * ndtr(x - means))
    return max(0.0, forward), max(0.0, backward)


@mp.workdps(40)
def precise_delta(weights: Sequence[float], means: Sequence[float], epsilon: float) -> tuple[mpf, mpf]:
    """Both directions of a mixture of scales >= 0 against N(0, 1) in 40 digits (weights as given, normed)."""
    w = [mpf(value) for value in weights]
    w = [value / sum(w) for value in w]
    mu = [mpf(value) for value in means]
    eps = mpf(epsilon)

    def ratio(x: mpf) -> mpf:
        return mp.log(sum(a * mp.exp(m * x - m * m / 2) for a, m in zip(w, mu, strict=True)))

    def root(level: mpf) -> mpf | None:
        left, right = mpf(-1), mpf(1)
        while ratio(left) > level:
            left *= 2
            if left < -(10**8):
                return None
        while ratio(right) < level:
            right *= 2
        for _ in range(160):
            middle = (left + right) / 2
            left, right = (left, middle) if ratio(middle) > level else (middle, right)
        return (left + right) / 2

    x = root(eps)
    assert x is not None
    forward = sum(a * mp.ncdf(m - x) for a, m in zip(w, mu, strict=True)) - mp.exp(eps) * mp.ncdf(-x)
    x = root(-eps)
    if x is None:
        return forward, mpf(0)
    return forward, mp.ncdf(x) - mp.exp(eps) * sum(a * mp.ncdf(x - m) for a, m in zip(w, mu, strict=True))


def gaussian_delta(mu: float | Array, epsilon: float) -> Array:
    """H_g(N(mu, 1) || N(0, 1))."""
    mu = np.asarray(mu, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.exp(log_ndtr(-epsilon / mu + mu / 2)) - np.exp(epsilon + log_ndtr(-epsilon / mu - mu / 2))
    return np.where(mu > 0, value, 0.0)


def smallest(delta: Callable[[float], float], target: float, low: float, high: float) -> float:
    """The sigma at which a decreasing delta meets the target."""
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if delta(middle) > target else (low, middle)
    return high


# Histories: who is in when, and what the reference leaves out


@dataclass(frozen=True)
class Record:
    """A record with its push and the steps between which each of the two runs has it."""

    push: float
    with_it: tuple[int, int] | None  # in the first run: [joined, left)
    without: tuple[int, int] | None  # in the reference

    def means(self, instance: Instance, end: int) -> tuple[Array, Array]:
        """What it adds to the two means, for each of its J draws."""

        def added(span: tuple[int, int] | None) -> Array:
            if span is None:
                return np.zeros(instance.J)
            return np.array([push(instance, visits(instance, j, *span), end, self.push) for j in range(instance.J)])

        return added(self.with_it), added(self.without)


def exact_pair(instance: Instance, records: Sequence[Record], end: int, length: int | None = 0) -> tuple[Law, Law]:
    """The laws of the last iterate of both runs, brute force over all tuples of draws, in units of its noise."""
    scale = spread(instance, end if length == 0 else length)
    first, second = np.zeros(1), np.zeros(1)
    for record in records:
        mine, reference = record.means(instance, end)
        first = (first[:, None] + mine / scale).ravel()
        second = (second[:, None] + reference / scale).ravel()
    uniform = np.full(len(first), 1 / len(first))
    return (uniform, first), (uniform, second)


def convolved(laws: Iterable[Law]) -> Law:
    """The law of a sum of independent terms."""
    weights, means = np.ones(1), np.zeros(1)
    for w, m in laws:
        weights, means = (weights[:, None] * w).ravel(), (means[:, None] + m).ravel()
    return weights, means


def exact_delta(p: Law, q: Law, epsilon: float, grid: float = 0.01) -> float:
    return max(hockey_stick(p, q, epsilon, grid=grid), hockey_stick(q, p, epsilon, grid=grid))


# The answers of section 7 (upper bounds)


def removed(scales: Array, epsilon: float) -> float:
    """Theorem H with J equal chances."""
    return max(monotone_delta((np.full(len(scales), 1 / len(scales)), np.asarray(scales)), epsilon))


def replaced(scales: Array, epsilon: float, outside: Array | None = None) -> float:
    """The leaver inside, the stand-in outside."""
    outside = scales if outside is None else outside
    w = np.full(len(scales), 1 / len(scales))
    pairs = [monotone_delta((w, scales), epsilon, float(mu)) for mu in outside]
    return max(math.fsum(p for p, _ in pairs), math.fsum(q for _, q in pairs)) / len(outside)


def averaged(scales: Array, epsilon: float) -> float:
    """Section 3: the average outside."""
    return float(np.mean(gaussian_delta(scales, epsilon)))


# Batches that come out too large: quadratic data parts, so that the map of a batch of size s is 1 - eta (lam + s L_d / b)


@dataclass(frozen=True)
class Quadratic:
    """x <- x - eta (lam x + |B_j| / b L_d x) + push + nu W, n - 1 others; the record's own data part is linear."""

    n: int
    J: int
    b: float
    eta: float
    lam: float
    L_d: float
    nu: float
    h: float

    @property
    def limit(self) -> float:
        return self.b * (2 / self.eta - 2 * self.lam) / self.L_d

    def factor(self, size: int) -> float:
        return 1 - self.eta * (self.lam + size * self.L_d / self.b)

    def sizes(self, others: int) -> Iterable[tuple[tuple[int, ...], float]]:
        """The batch sizes of the others, with their chances (multinomial)."""
        for sizes in itertools.product(range(others + 1), repeat=self.J):
            if sum(sizes) == others:
                yield sizes, math.factorial(others) / math.prod(map(math.factorial, sizes)) / self.J**others

    def run(self, sizes: Sequence[int], span: tuple[int, int], end: int) -> tuple[Array, float]:
        """Means for each draw of the record (in during span), and the standard deviation."""
        factors = [self.factor(sizes[k % self.J]) for k in range(end)]
        variance = 0.0
        for f in factors:
            variance = f * f * variance + self.nu**2
        means = np.zeros(self.J)
        for j in range(self.J):
            x = 0.0
            for k in range(end):
                x = factors[k] * x + (self.h if k % self.J == j and span[0] <= k < span[1] else 0.0)
            means[j] = abs(x)
        return means, math.sqrt(variance)


def tail(n: int, J: int, limit: float) -> float:
    """J P(Bin(n, 1/J) > limit)."""
    from scipy.stats import binom

    return J * float(binom.sf(math.floor(limit), n, 1 / J))


def redrawn_alone(n: int, J: int, limit: int, deleted: int, epsilon: float) -> float:
    """The exact delta of records that push by nothing, of keys redrawn until no batch has more than `limit` records.

    Both runs show everybody else's draws: only what room the deleted records needed tells them apart.
    """
    g, reference, room = math.exp(epsilon), [], []
    for others in _loads(n - deleted, J):
        if max(others) > limit:
            continue
        reference.append(math.factorial(n - deleted) / math.prod(map(math.factorial, others)) / J ** (n - deleted))
        ways = [
            math.factorial(deleted) / math.prod(map(math.factorial, mine))
            for mine in _loads(deleted, J)
            if all(a + b <= limit for a, b in zip(others, mine, strict=True))
        ]
        room.append(math.fsum(ways) / J**deleted)
    r, a = np.array(reference) / math.fsum(reference), np.array(room)
    a /= math.fsum(r * a)
    return max(math.fsum(r * np.maximum(0, 1 - g * a)), math.fsum(r * np.maximum(0, a - g)))


def _loads(total: int, J: int) -> Iterable[tuple[int, ...]]:
    if J == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _loads(total - first, J - 1):
            yield (first, *rest)


def without_replacement(scales: Sequence[Array], epsilon: float) -> tuple[float, float]:
    """E delta of sums of scales, one of each, at distinct positions; and at independent ones."""
    J = len(scales[0])

    def mean(tuples: Iterable[tuple[int, ...]]) -> float:
        sums = [math.fsum(scale[j] for scale, j in zip(scales, where, strict=True)) for where in tuples]
        return float(np.mean(gaussian_delta(np.array(sums), epsilon)))

    return mean(itertools.permutations(range(J), len(scales))), mean(itertools.product(range(J), repeat=len(scales)))
