"""Rows that stand for themselves: epsilon under both bounds, what would have done, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from accountant.methods import METHODS, Method, Setup
from accountant.numerics import SMALLEST, Floats, InputError, digits
from accountant.verification.claims import Claim
from accountant.verification.verdicts import ARITHMETIC, Checked, checked, finite, unchecked, value_of

#: epsilon is printed with so many digits at least where its rounding counts; 0.5 or 1 are targets, not results.
_RESULT_DIGITS: Final = 3


def check_rows(claims: list[Claim], wasteful: float) -> list[Checked]:
    """Rows of one method and one setup."""
    method, setup, unit = claims[0].method, claims[0].setup, claims[0].unit
    try:
        method.check(setup)
    except InputError as error:
        return [unchecked(claim, str(error)) for claim in claims]
    rows: list[Checked | None] = [None] * len(claims)
    complete = []
    for at, claim in enumerate(claims):
        lacking = [name for name in ("sigma", "epsilon") if getattr(claim, name) is None]
        if claim.count is None and method.family not in ("retrain",) and method.name != "dp":
            lacking.append(unit)
        if lacking:
            rows[at] = _lacking(claim, lacking)
        else:
            complete.append(at)
    if complete:
        some = [claims[at] for at in complete]
        for at, row in zip(complete, _judge(method, setup, unit, some, wasteful), strict=True):
            rows[at] = row
    return [row for row in rows if row is not None]


def _lacking(claim: Claim, lacking: list[str]) -> Checked:
    """A row that does not say enough: the number that it leaves out, where that is one."""
    known: dict[str, Any] = {}
    method, setup = claim.method, claim.setup
    given = {name: np.array([printed.value]) for name in ("sigma", "epsilon") if (printed := getattr(claim, name)) is not None}
    given["delta"] = np.array([claim.delta])
    if len(lacking) == 1:
        if lacking[0] == claim.unit:
            fewest = float(_tolerant(lambda **q: method.fewest(setup, **q, unit=claim.unit), **given)[0])
            if math.isfinite(fewest):
                known["epochs_needed"] = fewest if claim.unit == "epochs" else fewest / method.steps_per_epoch(setup)
        else:
            given["steps"] = np.array([claim.steps])
            name = {"sigma": "sigma_needed", "epsilon": "epsilon_achieved"}[lacking[0]]
            known[name] = finite(float(_tolerant(lambda **q: getattr(method, lacking[0])(setup, **q), **given)[0]))
    return unchecked(claim, f"the row has no {' and no '.join(lacking)}", **known)


def _judge(method: Method, setup: Setup, unit: str, claims: list[Claim], wasteful: float) -> list[Checked]:
    """Rows of one method and one setup that say all of sigma, epsilon and their length."""
    sigma = np.array([claim.sigma.value for claim in claims if claim.sigma is not None])
    target = np.array([claim.epsilon.value for claim in claims if claim.epsilon is not None])
    delta, steps = np.array([claim.delta for claim in claims]), np.array([claim.steps for claim in claims])
    best = METHODS[method.tightest]

    def reached(noise: Floats, rows: NDArray[np.intp]) -> Floats:
        return _tolerant(lambda **q: method.epsilon(setup, **q), sigma=noise, delta=delta[rows], steps=steps[rows])

    every = np.arange(sigma.size)
    achieved = reached(sigma, every)
    holds = achieved <= target
    near = np.flatnonzero(~holds & (achieved <= target * (1 + 1e-9) + 1e-300))
    holds[near] = reached(sigma[near] * ARITHMETIC, near) <= target[near]
    tight = achieved.copy()
    if best is not method:
        tight = np.fmin(tight, _tolerant(lambda **q: best.epsilon(setup, **q), sigma=sigma, delta=delta, steps=steps))
    known = {"epsilon": target, "delta": delta}
    needed = _tolerant(lambda **q: method.sigma(setup, **q), **known, steps=steps)
    fewest = _tolerant(lambda **q: method.fewest(setup, **q, unit=unit), sigma=sigma, **known)
    if unit == "steps":
        fewest = fewest / method.steps_per_epoch(setup)
    below = np.flatnonzero(~holds)
    noise_below = {name: values[below] for name, values in known.items()}
    tightest_needed = _tolerant(lambda **q: best.sigma(setup, **q), **noise_below, steps=steps[below])
    by_row = dict(zip(below.tolist(), tightest_needed.tolist(), strict=True))
    by_rounding = _by_rounding(claims, below, reached)
    rows = []
    for at, claim in enumerate(claims):
        numbers = {
            "epsilon_achieved": finite(achieved[at]),
            "epsilon_tightest": finite(tight[at]),
            "sigma_needed": finite(needed[at]),
            "epochs_needed": finite(fewest[at]),
            "sigma_tightest": finite(by_row.get(at, math.nan)),
            "factor": finite(sigma[at] / needed[at]) if needed[at] > 0 else None,
        }
        verdict, reason = _verdict(claim, best, holds=bool(holds[at]), numbers=numbers, wasteful=wasteful)
        if at in by_rounding:
            reason += f"; only because of rounding: {by_rounding[at]}"
        rows.append(checked(claim, verdict, reason, rounding=at in by_rounding, **numbers))
    return rows


def _by_rounding(claims: list[Claim], below: NDArray[np.intp], reached: Callable[..., Floats]) -> dict[int, str]:
    """Rows that some number which rounds to the printed one would certify, with that number in words."""
    found: dict[int, str] = {}
    if not below.size:
        return found
    noise = np.array([printed.high for at in below.tolist() if (printed := claims[at].sigma) is not None])
    for at, value in zip(below.tolist(), reached(noise, below).tolist(), strict=True):
        sigma, epsilon = claims[at].sigma, claims[at].epsilon
        assert sigma is not None
        assert epsilon is not None
        if value <= epsilon.value:
            found[at] = f"sigma up to {sigma.high:.10g} prints the same and would do"
        elif epsilon.digits >= _RESULT_DIGITS and value <= epsilon.high:
            found[at] = f"sigma up to {sigma.high:.10g} and epsilon up to {epsilon.high:.10g} print the same and would do"
    return found


def _verdict(claim: Claim, best: Method, *, holds: bool, numbers: dict[str, Any], wasteful: float) -> tuple[str, str]:
    method = claim.method
    epsilon, sigma = value_of(claim.epsilon), claim.sigma
    assert epsilon is not None
    assert sigma is not None
    achieved, tight, needed = numbers["epsilon_achieved"], numbers["epsilon_tightest"], numbers["sigma_needed"]
    if holds:
        if method.family != "retrain" and needed and sigma.low > wasteful * needed:
            if needed <= SMALLEST:
                return "wasteful", "any noise at all would do"
            return "wasteful", f"sigma = {digits(needed, 5)} would do, {digits(sigma.value / needed, 3, down=True)} times less"
        return "certified", ""
    says = f"{method.name} proves nothing here" if achieved is None else f"{method.name} gives epsilon = {digits(achieved, 5)}"
    if needed is not None and needed > 0:
        says += f" and needs sigma = {digits(needed, 5)}"
    if best is method:
        return "fails", says
    if tight is not None and tight <= epsilon:
        return "certified-tighter", f"{says}; {best.name} gives epsilon = {digits(tight, 5)}"
    tightest = "proves nothing either" if tight is None else f"gives epsilon = {digits(tight, 5)}"
    if numbers["sigma_tightest"]:
        tightest += f" and needs sigma = {digits(numbers['sigma_tightest'], 5)}"
    return "fails", f"{says}; {best.name} {tightest}"


def _tolerant(ask: Callable[..., Floats], **question: Floats) -> Floats:
    """``ask(**question)`` for arrays (P,); NaN for the rows that have no answer."""
    size = next(iter(question.values())).size
    result = np.full(size, np.nan)

    def fill(start: int, stop: int) -> None:
        try:
            result[start:stop] = ask(**{name: values[start:stop] for name, values in question.items()})
        except InputError:
            if stop - start > 1:
                middle = (start + stop) // 2
                fill(start, middle)
                fill(middle, stop)

    if size:
        fill(0, size)
    return result
