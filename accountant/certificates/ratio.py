"""The ratio of a Gaussian mixture's density to a Gaussian's, in balls: where it reaches a level, and what lies beyond.

P is a mixture of N(mu_j, 1), given as pairs of a chance and mu_j, R is N(-s, 1). Places are looked for in doubles, and then by
Newton's method; nothing here needs to be right about where they are: the signs at their two sides are what proves.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from accountant.certificates.format import Ends
from accountant.numerics import Floats, rounded_text

if TYPE_CHECKING:
    from flint import arb

    Weighted = tuple[arb, arb]

#: Digits of the ends of an enclosure.
DIGITS: Final = 40
MOST_STEPS: Final = 300
#: Of two, in numbers that are turned into fractions.
_LARGEST_EXPONENT: Final = 1 << 20
#: Batches of which every class is looked at.
_MOST_COMPARED: Final = 2000


def bits(bits: int) -> Any:
    from flint import ctx

    return ctx.workprec(bits)


def ball(value: Fraction) -> arb:
    from flint import arb, fmpq

    return arb(fmpq(value.numerator, value.denominator))


def ends(x: arb) -> tuple[Fraction, Fraction]:
    """Both, exactly."""
    return _fraction(x.lower()), _fraction(x.upper())


def _fraction(x: arb) -> Fraction:
    if not x.is_finite():
        raise ArithmeticError("no number")
    mantissa, exponent = (int(part) for part in x.man_exp())
    if abs(exponent) > _LARGEST_EXPONENT:
        raise ArithmeticError(f"{x.str(5, radius=False)} is too far from one to be written as a fraction")
    return Fraction(mantissa) * Fraction(2) ** exponent


def text_ends(low: Fraction, high: Fraction) -> Ends:
    return [rounded_text(low, DIGITS, up=False), rounded_text(high, DIGITS, up=True)]


def largest(values: list[arb]) -> arb:
    result = values[0]
    for value in values[1:]:
        result = result.max(value)
    return result


def phi(x: arb) -> arb:
    """The normal distribution function."""
    from flint import arb

    return (-x / arb(2).sqrt()).erfc() / 2


def above(inner: list[Weighted], x: arb, way: int = 1) -> arb:
    """P(X > x), or P(X < x)."""
    from flint import arb

    root, total = arb(2).sqrt(), arb(0)
    for chance, mu in inner:
        total += chance * ((x - mu) / root * way).erfc()
    return total / 2


def loss(inner: list[Weighted], s: arb, x: arb) -> tuple[arb, arb]:
    """log of the ratio of densities, and its derivative."""
    from flint import arb

    total = moved = arb(0)
    for chance, mu in inner:
        term = chance * (mu * (x - mu / 2)).exp()
        total, moved = total + term, moved + mu * term
    return total.log() + s * (x + s / 2), moved / total + s


def place(inner: list[Weighted], s: arb, level: arb, start: float) -> arb | None:
    """Where the log ratio is ``level``, by Newton's method; None where it never is."""
    from flint import arb

    if not start > -1e290:
        return None
    x, last = arb(start), arb("inf")
    for _ in range(MOST_STEPS):
        value, slope = loss(inner, s, x)
        if not slope > 0:
            return None
        move = ((level - value) / slope).mid()
        x = (x + move).mid()
        if settled(move, last, x, 0.55):
            break
        last = abs(move)
    return x


def settled(move: arb, last: arb, x: arb, share: float) -> bool:
    """Whether a step of Newton's method is so small, as a share of the bits, that what it leaves is about its square."""
    from flint import arb, ctx

    size = abs(move)
    return bool(size <= abs(x) * arb(2) ** -int(share * ctx.prec)) or bool(size >= last and size < abs(x) * arb("1e-36"))


def around(x: arb | None, digits: int, least: arb, never: str | None) -> list[str | None]:
    """A little below and above, as decimals; ``least``: what is small, where x is nearly zero."""
    if x is None:
        return [never, None]
    middle = ends(x)[0]
    width = max(abs(middle), min(ends(least)[1], Fraction(1))) / 10**digits
    return [rounded_text(middle - width, digits + 4, up=False), rounded_text(middle + width, digits + 4, up=True)]


def starts(level: float, log_chances: Floats, inner: Floats, outer: Floats) -> Floats:
    """Where the log ratio is about ``level``, a little above, for each s: (K,). -inf where it is nowhere."""
    x = np.empty(outer.shape)
    with np.errstate(all="ignore"):
        reach = (level - log_chances + inner * inner / 2 - outer[:, None] ** 2 / 2) / (inner + outer[:, None])
        x = np.where(inner + outer[:, None] > 0, reach, np.inf).min(axis=1)
        for _ in range(MOST_STEPS):
            terms = inner * (x[:, None] - inner / 2) + log_chances
            top = terms.max(axis=1)
            shares = np.exp(terms - top[:, None])
            total = shares.sum(axis=1)
            slope = (shares * inner).sum(axis=1) / total + outer
            move = (level - top - np.log(total) - outer * (x + outer / 2)) / slope
            x = x + move
            if not (np.abs(move) > 1e-13 * np.abs(x)).any():
                break
    lowest = float(np.logaddexp.reduce(log_chances[inner == 0])) if (inner == 0).any() else -math.inf
    return np.where((outer == 0) & (lowest >= level), -np.inf, np.where(np.isfinite(x), x, -np.inf))


def best_classes(log_sizes: Floats, most: int) -> list[int]:
    """Ends of at most so many classes of neighbours that lose the least if each member counts as the largest."""
    count = log_sizes.size
    sizes = np.exp(log_sizes - log_sizes.max())
    if count > _MOST_COMPARED:
        # Classes of equally many: what has so many batches has little in most of them.
        return sorted({int(end) for end in np.linspace(0, count, most + 1)[1:]})
    # lost[i, j] of the class [i, j], and by dynamic programming the least that the first members lose in so many classes.
    largest_of = np.maximum.accumulate(np.triu(np.broadcast_to(sizes, (count, count))), axis=1)
    total = np.append(0.0, sizes.cumsum())
    at = np.arange(count)
    lost = largest_of * (at[None, :] - at[:, None] + 1) - (total[None, 1:] - total[:-1, None])
    lost = np.where(at[None, :] >= at[:, None], lost, np.inf)
    best, begins = lost[0], []
    for _ in range(most - 1):
        # Where the last class begins: not at 0, for more classes never lose more.
        through = np.append(np.inf, best[:-1])[:, None] + lost
        begins.append(through.argmin(axis=0))
        best = through.min(axis=0)
    found, end = [count], count
    for begin in reversed(begins):
        end = int(begin[end - 1])
        found.append(end)
    return sorted(found)
