"""Answers to any number of digits, from the same formulas in other arithmetics: proved (interval) or evaluated (mp).

``interval`` encloses every result, so all digits that it gives are proved; it needs the extra ``certify``. ``mp`` evaluates at
two precisions that agree. Numbers are read as the decimals that they print as (0.03 is 3/100), and the defaults delta = 1/n and
step_size = 1/smoothness are exact fractions, also where they come as the doubles next to them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from functools import lru_cache, reduce
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from accountant.arithmetic import MAX_DIGITS, Precise
from accountant.arithmetic.multiprecision import Multiprecision
from accountant.components import Mixture
from accountant.constants import Number, Read, decimal, exact_step_size
from accountant.divergences import renyi
from accountant.divergences.curves import TANGENT
from accountant.divergences.hockey_stick import hockey_stick
from accountant.recursions import READABLE
from accountant.roots import refined_root
from accountant.stream import UnlearningStream
from accountant.unlearning import UnlearningAccountant
from accountant.validation import InputError, UnreachableError, choice, integer, number

#: By name; interval where it is installed.
ARITHMETICS: Final = ("interval", "mp")
#: Digits that an enclosure has where nobody asks for another number.
DEFAULT_DIGITS: Final = 40
#: Digits that settle a comparison, which is not asked for to the last one.
_ENOUGH: Final = 20
#: Doublings of the working precision before giving up.
_ATTEMPTS: Final = 7
UNKNOWNS: Final = ("sigma", "epsilon", "delta", "rdp")


@dataclass(frozen=True)
class Enclosure:
    """The true value lies in [lower, upper] (interval), or agrees with both to ``digits`` digits (mp)."""

    lower: Fraction
    upper: Fraction
    digits: int
    arithmetic: str

    @property
    def proved(self) -> bool:
        return self.arithmetic == "interval"

    def __str__(self) -> str:
        """``digits`` significant digits, rounded up."""
        return rounded(self.upper, self.digits, up=True)

    @property
    def ends(self) -> tuple[str, str]:
        """Decimals a little outside of the enclosure."""
        return rounded(self.lower, self.digits, up=False), rounded(self.upper, self.digits, up=True)


def rounded(value: Fraction, digits: int, *, up: bool) -> str:
    """A decimal with so many significant digits, on the side asked for."""
    context = Context(prec=digits, rounding=ROUND_CEILING if up else ROUND_FLOOR, Emin=-(10**9), Emax=10**9)
    text = str(context.divide(Decimal(value.numerator), Decimal(value.denominator)).normalize(context))
    return text.replace("E+", "e+").replace("E-", "e-")


def exact_text(value: Fraction) -> str:
    """A fraction as a decimal where that is short, as p/q otherwise."""
    if value.denominator == 1 and abs(value.numerator) < 10**21:
        return str(value.numerator)
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    text = rounded(value, 400, up=True) if rest == 1 else ""
    return text if text and Fraction(text) == value and len(text) < 60 else f"{value.numerator}/{value.denominator}"


def kind() -> dict[str, Any]:
    """What answers are computed in, for the reader: ``arithmetic``, and whether they are ``proved``."""
    name = available()
    return {"arithmetic": name, "proved": name == "interval"}


def available() -> str:
    """The best arithmetic that is installed."""
    return "interval" if find_spec("flint") is not None else "mp"


def enclose(
    accountant: UnlearningAccountant,
    unknown: str,
    *,
    digits: int = DEFAULT_DIGITS,
    arithmetic: str | None = None,
    read: Read = decimal,
    sigma: float | Fraction | None = None,
    epsilon: float | Fraction | None = None,
    delta: float | Fraction | None = None,
    alpha: float | Fraction | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    start_distance: float | None = None,
) -> Enclosure:
    """The accountant's ``unknown`` ("sigma", "epsilon", "delta" or "rdp") to ``digits`` digits, 1 to 1000; scalars only.

    The question as in the methods of :class:`UnlearningAccountant`; fractions are taken exactly, floats through ``read``.
    Raises what they raise, and InputError where an average over placements is bounded on a grid.
    """
    choice("unknown", unknown, UNKNOWNS)
    integer("precision", digits, at_least=1, at_most=MAX_DIGITS)
    name = choice("arithmetic", available() if arithmetic is None else arithmetic, ARITHMETICS)
    length: dict[str, Any] = {"epochs": epochs, "steps": steps, "start_distance": start_distance}
    given: dict[str, Any] = {"sigma": sigma, "epsilon": epsilon, "delta": delta, "alpha": alpha}
    needed = {"sigma": ("epsilon", "delta"), "epsilon": ("sigma", "delta"), "delta": ("sigma", "epsilon"),
              "rdp": ("sigma", "alpha")}[unknown]  # fmt: skip
    if "delta" in needed:
        given["delta"] = _exact_delta(accountant, delta, read)
    exact = {}
    for key in needed:
        value = given[key]
        exact[key] = value if isinstance(value, Fraction) else read(number(key, value))
    # The double answer checks the question, and is where the search starts.
    question = {key: float(value) for key, value in exact.items()}
    start = float(getattr(accountant, unknown)(**question, **length))

    def evaluate(ar: Precise, bits: int) -> Any:
        mixture = accountant.components_at(Number(ar, read), **length)
        return PrivacyCurve(mixture, ar, bits).answer(unknown, {k: ar.asarray(v)[()] for k, v in exact.items()}, start)

    return settle(evaluate, digits, name)


def _exact_delta(accountant: UnlearningAccountant, delta: float | Fraction | None, read: Read = decimal) -> Any:
    """delta; 1/n exactly where none is given, or a double that is 1/n to the last bit."""
    n = accountant.algorithm.problem.n
    given = accountant.default_delta if delta is None else delta
    return Fraction(1, n) if read is decimal and type(given) is float and given == 1 / n else given


def exact_inputs(accountant: UnlearningAccountant, **values: float | None) -> dict[str, str]:
    """The numbers that ``enclose`` computes with, as exact decimals or fractions."""
    problem, algorithm = accountant.algorithm.problem, accountant.algorithm
    inputs = {name: decimal(getattr(problem, name)) for name in ("smoothness", "strong_convexity", "lipschitz")}
    inputs["step_size"] = exact_step_size(algorithm)
    if algorithm.radius is not None:
        inputs["radius"] = decimal(algorithm.radius)
    for name, value in values.items():
        exact = _exact_delta(accountant, value) if name == "delta" else value
        if exact is not None:
            inputs[name] = exact if isinstance(exact, Fraction) else decimal(exact)
    return {name: exact_text(value) for name, value in inputs.items()}


class EnclosedStream:
    """A stream that somebody answers, followed to ``digits`` digits, 1 to 1000.

    It starts before the first request of ``stream``, which stays as it is. Numbers are read as decimals. Raises InputError
    where only doubles have an answer (groups at random), UnreachableError where nothing is proved.
    """

    def __init__(self, stream: UnlearningStream, *, digits: int = DEFAULT_DIGITS, arithmetic: str | None = None) -> None:
        self.digits = integer("precision", digits, at_least=1, at_most=MAX_DIGITS)
        self.name = choice("arithmetic", available() if arithmetic is None else arithmetic, ARITHMETICS)
        self.stream = stream
        self.exact = {"sigma": decimal(stream.sigma), "epsilon": decimal(stream.epsilon)}
        delta = _exact_delta(stream.accountant, stream.delta)
        self.exact["delta"] = delta if isinstance(delta, Fraction) else decimal(delta)
        self._answered: list[tuple[int, int]] = []
        # Each working precision follows on its own; most are never asked for.
        self._copies: dict[Precise, tuple[UnlearningStream, list[int]]] = {}

    def answer(self, points: int, count: int) -> None:
        """Take the next request, of so many points, as answered with ``count`` steps (or epochs)."""
        self._answered.append((points, count))

    def enclose(self, unknown: str, points: int, count: int, *, digits: int | None = None) -> Enclosure:
        """What the next request reaches if it is answered with ``count`` steps (or epochs).

        "epsilon" at the stream's sigma and delta, or "sigma", the smallest that reaches the stream's epsilon at its delta.
        """
        choice("unknown", unknown, ("sigma", "epsilon"))

        def evaluate(ar: Precise, bits: int) -> Any:
            found = []
            given = {key: ar.asarray(value)[()] for key, value in self.exact.items() if key != unknown}
            for mixture in self._copy(ar).mixtures(points, count):
                start = self._start(mixture, ar, unknown)
                if start is not None:
                    found.append(PrivacyCurve(mixture, ar, bits).answer(unknown, given, start))
            if not found:
                raise UnreachableError(f"nothing is proved after {count} {self.stream.unit}")
            return reduce(ar.minimum, found)

        return settle(evaluate, self.digits if digits is None else digits, self.name)

    def fewest(self, points: int, count: int) -> int | None:
        """The fewest steps (or epochs) for the next request, from what doubles say; None if even that is not certain."""

        def meets(number: int) -> bool:
            return self.enclose("epsilon", points, number, digits=_ENOUGH).upper <= self.exact["epsilon"]

        return confirmed(count, meets)

    def _copy(self, ar: Precise) -> UnlearningStream:
        """The stream in that arithmetic, at sigma = 1, after all requests so far."""
        stream, done = self._copies.setdefault(ar, (self.stream.at_unit_noise(Number(ar)), [0]))
        for points, count in self._answered[done[0] :]:
            try:
                stream.answer(points, count)
            except ArithmeticError:
                # It stopped halfway.
                del self._copies[ar]
                raise
            done[0] += 1
        return stream

    def _start(self, mixture: Mixture, ar: Precise, unknown: str) -> float | None:
        """The answer in doubles, where the search starts; None where nothing is proved."""
        log_scale, log_weights = ar.midpoint(mixture.log_scale), ar.midpoint(mixture.log_weights)
        peak, log_delta = float(log_scale.max()), np.array([math.log(self.stream.delta)])
        if unknown == "epsilon":
            log_mu = log_scale - math.log(self.stream.sigma)
            return float(mixture.curve.epsilon(log_delta, log_weights, log_mu)[0]) if log_mu.max() < READABLE else None
        if peak == -math.inf:
            return 0.0
        scale = mixture.curve.log_scale(np.array([self.stream.epsilon]), log_delta, log_weights, log_scale - peak)
        return math.exp(min(peak - float(scale[0]), 690.0))


def confirmed(count: int, meets: Callable[[int], bool]) -> int | None:
    """The smallest whole number that ``meets``, from what doubles say it is; None if even that is not certain."""

    def fewer() -> bool:
        try:
            return meets(count - 1)
        except InputError:
            # Nothing is proved there, or the bound says nothing about it.
            return False

    while count > 0 and fewer():
        count -= 1
    return count if meets(count) else None


@lru_cache(maxsize=64)
def _arithmetic(name: str, bits: int) -> Precise:
    """One of the kind, so that what was computed in it can be used again."""
    if name == "mp":
        return Multiprecision(int(bits / 3.32) + 1)
    from accountant.arithmetic.interval import Interval

    return Interval(bits)


def settle(evaluate: Callable[[Precise, int], Any], digits: int, name: str) -> Enclosure:
    """``evaluate(arithmetic, bits)`` at more and more working precision, until ``digits`` digits are known."""
    wanted = int(digits * 3.322) + 5
    before: Fraction | None = None
    reason = "its enclosure stays too wide"
    for attempt, ar in enumerate(_arithmetic(name, (wanted + 64) * 2**k) for k in range(_ATTEMPTS)):
        with ar:
            try:
                # Roots inside get finer, too: what follows from them may be worse conditioned.
                value = evaluate(ar, wanted + 8 + 64 * attempt)
                if not math.isfinite(float(ar.midpoint(ar.asarray(value)))) or ar.accuracy(value) < wanted:
                    continue
                lower, upper = ar.ends(value)
            except ArithmeticError as error:
                reason = str(error)[:200] or type(error).__name__
                continue
        if ar.proves:
            return Enclosure(lower, upper, digits, name)
        if before is not None and abs(before - lower) * 2**wanted <= abs(lower):
            return Enclosure(lower, upper, digits, name)
        before = lower
    raise UnreachableError(f"precision={digits} is not reached: {reason}")


class PrivacyCurve:
    """One privacy curve at sigma = 1 in some arithmetic."""

    def __init__(self, mixture: Mixture, ar: Precise, bits: int) -> None:
        self.ar, self.bits = ar, bits
        self.tangent = mixture.curve.kind == TANGENT
        self.family = None if self.tangent or mixture.curve.kind == "gdp" else mixture.curve.kind
        log_mu, self.log_weights = mixture.log_scale[0], mixture.log_weights
        if self.family is None and log_mu.size > 1:
            # What never moves adds nothing to a Gaussian delta.
            moving = ~np.isneginf(ar.midpoint(log_mu))
            if moving.any():
                log_mu, self.log_weights = log_mu[moving], self.log_weights[moving]
        self.mu = ar.exp(log_mu)

    def answer(self, unknown: str, given: dict[str, Any], start: float) -> Any:
        ar = self.ar
        if unknown == "rdp":
            beta = given["alpha"] - 1
            family = self.family or "linear"
            found = renyi.moment(np.array([beta]), self.log_weights, self._rho(given["sigma"]), family, ar).value[0]
            return found / beta
        if unknown == "delta":
            return ar.exp(self._log_delta(given["epsilon"], given["sigma"], start))
        log_delta = ar.log(given["delta"])
        if unknown == "epsilon":
            return self._epsilon(log_delta, given["sigma"], start)[0]
        target = given["epsilon"]
        if not np.any(ar.midpoint(self.mu) > 0):
            return ar.asarray(0)[()]

        def excess(sigma: Any) -> tuple[Any, Any]:
            if self.family is None:
                value, _, by_log_mu = self._hockey_stick(target, sigma)
                return value - log_delta, -by_log_mu / sigma
            # The inner root is finer, so that its own width does not hide the sign.
            reached, slope = self._epsilon(log_delta, sigma, float(ar.midpoint(target)), self.bits + 40)
            return reached - target, slope

        return refined_root(excess, start=start, arithmetic=ar, bits=self.bits)

    def _rho(self, sigma: Any) -> Any:
        return ((self.mu / sigma) ** 2 / 2)[None]

    def _hockey_stick(self, epsilon: Any, sigma: Any) -> tuple[Any, Any, Any]:
        """log delta and its derivatives by epsilon and by log mu."""
        mu = self.mu / sigma
        each = np.full(mu.shape, epsilon)
        ar = self.ar
        if not self.tangent:
            tail = hockey_stick(each, mu, ar)
            terms = ar.exp(tail.log_delta + self.log_weights)
            total = terms.sum()
            return ar.log(total), (terms * tail.by_epsilon).sum() / total, (terms * tail.by_log_mu).sum() / total
        # The smallest convex function above: beyond sqrt(2 epsilon) the tangent there, of slope phi(0).
        flex = ar.sqrt(2 * epsilon)
        low = ar.minimum(mu, flex)
        tail = hockey_stick(each, low, ar)
        own, weights = ar.exp(tail.log_delta), ar.exp(self.log_weights)
        slope = ar.exp(-ar.log_sqrt_2pi)
        total = (weights * (own + slope * (mu - low))).sum()
        by_mu = np.where(ar.midpoint(mu) > float(ar.midpoint(flex)), slope * mu, own * tail.by_log_mu)
        return ar.log(total), (weights * own * tail.by_epsilon).sum() / total, (weights * by_mu).sum() / total

    def _log_delta(self, epsilon: Any, sigma: Any, start: float) -> Any:
        ar = self.ar
        if self.family is None:
            return self._hockey_stick(epsilon, sigma)[0]
        if start >= 1:
            return ar.asarray(0)[()]
        rho = self._rho(sigma)

        def excess(beta: Any) -> tuple[Any, Any]:
            found = renyi.moment(np.array([beta]), self.log_weights, rho, self.family or "", ar)
            return epsilon - found.slope[0], -found.bend[0]

        # One component: K' = (2 a beta + b) rho.
        a, b, _ = renyi.FAMILIES[self.family]
        guess = (float(ar.midpoint(epsilon / self._largest(rho))) - b) / (2 * a)
        beta = refined_root(excess, start=max(guess, 1e-3), arithmetic=ar, bits=self.bits)
        value = renyi.moment(np.array([beta]), self.log_weights, rho, self.family, ar).value[0] - beta * epsilon
        return ar.minimum(value, ar.asarray(0)[()])

    def _largest(self, rho: Any) -> Any:
        return rho[0, int(self.ar.midpoint(rho[0]).argmax())]

    def _epsilon(self, log_delta: Any, sigma: Any, start: float, bits: int | None = None) -> tuple[Any, Any]:
        """epsilon, and (Renyi only) its derivative by sigma."""
        ar = self.ar
        zero = ar.asarray(0)[()]
        if not np.any(ar.midpoint(self.mu) > 0):
            return zero, zero
        if self.family is None:
            if not ar.surely_greater(self._hockey_stick(zero, sigma)[0], log_delta):
                if ar.surely_greater(log_delta, self._hockey_stick(zero, sigma)[0]):
                    return zero, zero
                raise ArithmeticError("delta(0) equals the target to all digits")

            def excess(epsilon: Any) -> tuple[Any, Any]:
                value, slope, _ = self._hockey_stick(epsilon, sigma)
                return value - log_delta, slope

            return refined_root(excess, start=start, arithmetic=ar, bits=self.bits), zero
        family, rho = self.family, self._rho(sigma)
        largest = ar.midpoint(self._largest(rho))
        a, _, c = renyi.FAMILIES[family]

        def balance(beta: Any) -> tuple[Any, Any]:
            found = renyi.moment(np.array([beta]), self.log_weights, rho, family, ar)
            value, slope = found.value[0], found.slope[0]
            return -log_delta - (beta * slope - value), -beta * found.bend[0]

        guess = math.sqrt((-float(ar.midpoint(log_delta)) / float(largest) + c) / a)
        beta = refined_root(balance, start=guess, arithmetic=ar, bits=bits or self.bits)
        found = renyi.moment(np.array([beta]), self.log_weights, rho, family, ar)
        a, b, c = renyi.FAMILIES[family]
        slope = -2 * (beta * (a * beta + b) + c) * found.tilted[0] / beta / sigma
        return (found.value[0] - log_delta) / beta, slope
