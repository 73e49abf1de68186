"""An independent oracle: a Gaussian mixture against a Gaussian, by the direct formula with many digits; slow and plain.

Shares no code with the package. Weights count relative to their sum, and Python floats are converted exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

from mpmath import mp, mpf


def _parts(weights: Sequence[float], mu: Sequence[float]) -> list[tuple[mpf, mpf]]:
    total = mp.fsum(mpf(w) for w in weights)
    return [(mpf(w) / total, mpf(m)) for w, m in zip(weights, mu, strict=True) if w > 0]


def log_ratio(x: mpf, parts: list[tuple[mpf, mpf]]) -> mpf:
    """l(x) = log sum_j w_j exp(mu_j x - mu_j^2/2)."""
    return mp.log(mp.fsum(w * mp.exp(m * x - m * m / 2) for w, m in parts))


def crossing(level: mpf, parts: list[tuple[mpf, mpf]], digits: int) -> mpf | None:
    """The root of l(x) = level, between bounds that only move together; None where l stays above."""
    still = mp.fsum(w for w, m in parts if m == 0)
    if still and mp.log(still) >= level:
        return None
    high = min((level - mp.log(w)) / m + m / 2 for w, m in parts if m > 0)
    reach = mpf(1)
    while log_ratio(high - reach, parts) > level:
        reach *= 2
    low, x = high - reach, high
    for count in range(20_000):
        terms = [w * mp.exp(m * x - m * m / 2) for w, m in parts]
        total = mp.fsum(terms)
        value = mp.log(total) - level
        low, high = (low, min(x, high)) if value >= 0 else (max(x, low), high)
        step = value * total / mp.fsum(t * m for t, (_, m) in zip(terms, parts, strict=True))
        fine = mpf(10) ** -digits * max(abs(x), mpf(10) ** -30)
        if abs(step) <= fine or high - low <= fine:
            return x
        x = x - step if low < x - step < high and (count < 30 or count % 3) else (low + high) / 2
    raise ArithmeticError("the search did not settle")


def pair_delta(epsilon: float | mpf, weights: Sequence[float], mu: Sequence[float], digits: int = 80) -> tuple[mpf, mpf]:
    """H(P || R) and H(R || P) at e^epsilon, with so many working digits that two numbers of them agree to 25."""
    if not any(m > 0 for w, m in zip(weights, mu, strict=True) if w > 0):
        return mpf(0), mpf(0)
    before = (mpf(-1), mpf(-1))
    for _ in range(9):
        with mp.workdps(digits + 60):
            found = _at(mpf(epsilon), _parts(weights, mu), digits)
        if found is not None:
            close = (
                one == two or (two and abs(one / two - 1) < mpf(10) ** -25) for one, two in zip(before, found, strict=True)
            )
            if all(close):
                return found
            before = found
        digits = 5 * digits // 2
    raise ArithmeticError("the digits do not suffice")


def _at(epsilon: mpf, parts: list[tuple[mpf, mpf]], digits: int) -> tuple[mpf, mpf] | None:
    x, y = crossing(epsilon, parts, digits), crossing(-epsilon, parts, digits)
    if x is None:
        # l(0) <= 0 <= epsilon: only rounding says so.
        return None
    forward = mp.fsum(w * mp.ncdf(m - x) for w, m in parts) - mp.exp(epsilon) * mp.ncdf(-x)
    if y is None:
        return forward, mpf(0)
    return forward, mp.ncdf(y) - mp.exp(epsilon) * mp.fsum(w * mp.ncdf(y - m) for w, m in parts)
